"""The compare page: two arms, of one run or of two, on the same samples, axes and step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ..control import address, comparing, exporting, steering
from ..control.page_parts import begin, redraw_needed
from ..course import notebook_section
from ..reading import registry
from ..reading.pairing import Side
from ..viewer import in_streamlit
from ..viewer.frames import Part
from ..viewer.scene import Scene, scene
from ..words.panels import PANELS

TICK, REST = 0.5, 4.0  # seconds between looks at runs that move, and at others
CAN = dict.fromkeys(("ask", "runs", "export", "why"), True)
SHOWN = (
    *("plan@0", "plan@1", "difference"),
    *("scores@0", "scores@1", "answers"),
    *("map@0", "map@1", "accuracy"),
)


def page() -> None:
    """Draw the page: two sides in the view, and what their difference means."""
    begin()
    opened = st.session_state.pop("opened", None)
    rows = [row for row in registry.rows(registry.attached()) if not row.trouble]
    if not rows:
        st.info("No run yet: start one on the live page.")
        return
    names = [row.name for row in rows]
    given = [(address.value_of(key), address.value_of(f"arm_{key}")) for key in "ab"]
    sides = comparing.sides_of(names, given)
    kept = address.scene_of("compare", lambda: scene(sides, SHOWN, letters=True))
    if any(run for run, _ in given):
        kept["sides"] = [list(side) for side in sides]
    moving = comparing.moving(kept)
    every = TICK if moving else REST
    st.fragment(tick, run_every=every, key="view")(kept, names, moving)
    if opened:
        steering.attempt(lambda: open_dialog(opened, kept))
        if "trouble" in st.session_state:  # shown at the top of the page, at once
            st.rerun()


def tick(kept: Scene, names: list[str], moved: bool) -> None:
    """Send the view what is new, and the verdicts on the two sides."""
    if redraw_needed() or comparing.moving(kept) != moved:
        st.rerun()
    choices = Part("choices", {"runs": names, "own": True})
    in_streamlit.show(
        "compare",
        kept,
        CAN,
        lambda message: take_message(kept, message),
        [choices, *comparing.parts(kept)],
    )
    if redraw_needed() or comparing.moving(kept) != moved:
        st.rerun()


def take_message(kept: Scene, message: Mapping[str, Any]) -> None:
    """Keep a scene that the view reports, or remember a dialog to open (a callback)."""
    if message["kind"] == "scene":
        kept_up = address.keep(kept, message["scene"])
        for key, (run, arm) in zip("ab", kept["sides"] if kept_up else (), strict=False):
            st.query_params[key], st.query_params[f"arm_{key}"] = run, arm
    else:
        st.session_state["opened"] = dict(message)


def open_dialog(message: Mapping[str, Any], kept: Scene) -> None:
    """Open a dialog that the view requested.

    Raises:
        ValueError: a run is gone, or what the dialog needs of it is damaged.
    """
    name, _, side = str(message["panel"]).partition("@")
    if message["kind"] == "why" and (section := PANELS[name].section):
        notebook_section.show(section)
        return
    a, b = (Side(registry.watch_of(registry.find(run)), arm) for run, arm in kept["sides"])
    if name == "difference":
        exporting.dialog(exporting.of_difference(a, b, message["step"]), a.watch, b.watch)
    elif name != "answers":
        chosen = (a, b)[int(side or 0)]
        exporting.of_panel(name, chosen.watch, chosen.arm, message["step"], message["metric"])
