"""The view on a page of Streamlit: packets down, messages up, the scene in the address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from lab.reading import registry
from lab.viewer import module
from lab.viewer.feed import Feed, Opened
from lab.viewer.frames import Part
from lab.viewer.scene import Scene

# Where the host's own code begins: it passes packets to the view, and messages of the view on.
HOST = """
const views = new WeakMap();
export default function ({ data, parentElement, setTriggerValue }) {
  let held = views.get(parentElement);
  if (!held) {
    const waiting = [];
    let number = 0, sent = 0, at = 0;
    const flush = () => {
      if (!waiting.length || (sent && performance.now() - at < 3000)) return;
      number += 1; sent = number; at = performance.now();
      setTriggerValue("said", { number, messages: waiting.splice(0) });
    };
    const say = (message) => {
      const same = waiting.findIndex(({ kind }) => kind === "scene" && message.kind === "scene");
      if (same >= 0) waiting.splice(same, 1);
      waiting.push(message);
      flush();
    };
    const timer = setInterval(flush, 250);
    held = { heard(about) { if (about.heard >= sent) { sent = 0; flush(); } }, timer, say };
    views.set(parentElement, held);
  }
  if (!data) return;
  const { about, parts } = unpack(data);
  if (!held.view) {
    const setup = parts.find(({ kind }) => kind === "setup");
    if (!setup) { held.say({ kind: "hello" }); return; }
    const make = setup.playground ? mountPlayground : mount;
    held.view = make(parentElement, { kind: "streamlit", can: setup.can, say: held.say }, setup.scene);
  }
  held.heard(about);
  held.view.receive(data);
  return () => { clearInterval(held.timer); held.view.destroy(); views.delete(parentElement); };
}
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    script = module.script().replace("export { mount, mountPlayground };", HOST)
    return st.components.v2.component("wcord_view", js=script, css=module.style())


def opened(name: str) -> Opened:
    """Return a run by its name in the registry.

    Raises:
        ValueError: there is no such run (any more), or it cannot be read.
    """
    path = registry.find(name)
    return Opened(registry.watch_of(path), registry.is_ours(path))


def feed_of(key: str) -> Feed:
    """Return this session's feed of a view."""
    kept = f"feed of {key}"
    if kept not in st.session_state:
        st.session_state[kept] = Feed(opened)
    return st.session_state[kept]  # type: ignore[no-any-return]


def show(
    key: str,
    scene: Scene,
    can: Mapping[str, bool],
    heard: Callable[[Mapping[str, Any]], None],
    extra: Sequence[Part] = (),
) -> None:
    """Show a view, and pass on what it says.

    Args:
        key: of the view, one a page.
        scene: as the page keeps it.
        can: what the view may ask of this page: "ask", "steer", "start", "runs", "export", "why".
        heard: is given every message of the view that is not for its feed (a callback).
        extra: parts of the page's own.
    """
    feed = feed_of(key)

    def said() -> None:
        message = st.session_state[key].said
        if not message or message["number"] == st.session_state.get(f"{key} heard"):
            return
        st.session_state[f"{key} heard"] = message["number"]
        feed.hear(message["number"], message["messages"])
        for one in message["messages"]:
            if one.get("kind") not in ("hello", "frames", "images"):
                heard(one)

    setup = Part("setup", {"can": dict(can), "scene": scene, "playground": False})
    sides = [(str(run), str(arm)) for run, arm in scene["sides"]]
    packet = feed.packet(sides, scene["step"], [setup, *extra])
    _component()(key=key, data=packet, on_said_change=said)
