"""The view on a page of Streamlit: packets down, messages up, the scene in the address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from ..reading import registry
from . import module
from .feed import Feed, Opened
from .frames import Part
from .scene import Scene


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    loader = (module.FOLDER / "streamlit.js").read_text("utf-8")
    return st.components.v2.component("wcord_view", js=loader, css=module.style())


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
    return st.session_state[kept]


def show(
    key: str,
    scene: Scene,
    can: Mapping[str, bool],
    on_message: Callable[[Mapping[str, Any]], None],
    extra: Sequence[Part] = (),
    first: Callable[[], Sequence[Part]] | None = None,
    *,
    recorded: bool = False,
) -> None:
    """Show a view, and pass its messages on.

    Args:
        key: of the view, one a page.
        scene: as the page keeps it.
        can: what the view may ask of this page: "ask", "steer", "start", "runs", "export", "why".
        on_message: is given every message of the view that is not for its feed (a callback).
        extra: parts of the page's own, in every packet.
        first: returns parts for the first packet only, such as a recording of a run.
        recorded: whether the runs of the scene are in those parts, and not on disk.
    """
    feed = feed_of(key)

    def take_message() -> None:
        message = st.session_state[key].message
        if not message or message["number"] == st.session_state.get(f"{key} acknowledged"):
            return
        st.session_state[f"{key} acknowledged"] = message["number"]
        feed.take_requests(message["number"], message["messages"])
        for one in message["messages"]:
            if one.get("kind") not in ("hello", "frames", "images"):
                on_message(one)

    playground = bool(scene.get("playground"))
    about = {"can": dict(can), "scene": scene, "playground": playground}
    begins = not feed.number  # the code of the view is sent with the first packet alone
    script = {"script": np.frombuffer(module.script().encode(), np.uint8)} if begins else {}
    setup = Part("setup", about, script)
    sides = [] if recorded else [(str(run), str(arm)) for run, arm in scene["sides"]]
    if scene.get("moves"):
        extra = [*extra, Part("scene", {"scene": scene, "number": scene["moves"]})]
    more = first() if first is not None and begins else ()
    packet = feed.packet(sides, scene["step"], [setup, *more, *extra])
    _component()(key=key, data=packet, on_message_change=take_message)
