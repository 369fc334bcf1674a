"""The live page: one run in the view. Training is another process, steered by its control.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from wcord.runs import list_runs

from ..control import address, data_card, exporting, start_form, steering, warm_up
from ..control.page_parts import begin, redraw_needed
from ..course import notebook_section
from ..reading import map_worker, registry
from ..viewer import in_streamlit
from ..viewer.frames import Part
from ..viewer.scene import Scene, move, scene
from ..words.panels import PANELS

TICK = 0.5  # seconds between looks at a run that moves
REST = 4.0  # seconds between looks at one that does not
MOST = 100  # runs to choose from here; the page of runs has them all
CAN = dict.fromkeys(("ask", "steer", "start", "runs", "export", "why", "data"), True)
WELCOME = (
    "A small student network learns from a large teacher on handwritten digits (a recording). "
    "Filled squares on the plan's diagonal: the student puts each class where the teacher does."
)


def page() -> None:
    """Draw the page; what needs torch is not waited for."""
    begin()
    opened = st.session_state.pop("opened", None)
    name = chosen_run()
    kept = address.scene_of("live", lambda: scene([(name, address.value_of("arm") or "wcord")]))
    if kept["sides"][0][0] != name:  # a link to another run
        move(kept, sides=[[name, kept["sides"][0][1]]], step=None, selected=[])
        address.write(kept)
    st.fragment(tick, run_every=TICK if moving(name) else REST, key="view")(kept, moving(name))
    warm_up.begin()
    if opened:
        steering.attempt(lambda: open_dialog(opened, kept))
        if "trouble" in st.session_state:  # shown at the top of the page, at once
            st.rerun()


def chosen_run() -> str:
    """Return the run of the address, else the one looked at before, the newest, the demo.

    One that cannot be shown is not chosen, unless the address names it.
    """
    if name := st.query_params.get("run", ""):
        return name
    if (before := address.run_before("live")) and not registry.trouble(before):
        return before
    names = (run.name for run in list_runs())
    newest = next((name for name in names if not registry.trouble(name)), "")
    return newest or next(iter(registry.demo_runs()), "")


def moving(name: str) -> bool:
    """Return whether something of a run may change: its training, or its maps."""
    try:
        run = registry.watch_of(registry.find(name)).run
    except ValueError:
        return False
    return run.status.phase in steering.STEERED or map_worker.is_working(run.path)


def tick(kept: Scene, moved: bool) -> None:
    """Send the view what is new, and take its messages."""
    name, arm = kept["sides"][0]
    if redraw_needed() or moving(name) != moved:
        st.rerun()
    draw_maps(name, arm)
    own = [run.name for run in list_runs()]
    others = [*registry.attached(), *registry.demo_runs()]
    choices = Part("choices", {"runs": [*own[:MOST], *others], "own": bool(own)})
    new = not own and name in registry.demo_runs()
    extra = [choices, Part("note", {"text": WELCOME if new else ""})]
    if new and "welcomed" not in st.session_state and kept["step"] is None:
        extra.append(Part("play", {}))
        st.session_state["welcomed"] = True
    in_streamlit.show("live", kept, CAN, lambda message: take_message(kept, message), extra)


def draw_maps(name: str, arm: str) -> None:
    """See to it that a worker draws the maps that are missing, those of this arm first."""
    try:
        path = registry.find(name)
        watch = registry.watch_of(path)
    except ValueError:
        return
    if registry.is_ours(path) and not map_worker.all_drawn(watch.run, watch.arms):
        map_worker.prefer(path, arm)
        if not map_worker.is_working(path):
            map_worker.start(path)
    steering.keep_promised_pace(watch, watch.run.status)


def take_message(kept: Scene, message: Mapping[str, Any]) -> None:
    """Take a message of the view: keep its scene, steer, or open a dialog (a callback)."""
    kind = message["kind"]
    if kind == "scene":
        if address.keep(kept, message["scene"]):
            st.query_params["run"], st.query_params["arm"] = kept["sides"][0]
    elif kind == "steer":
        steering.attempt(
            lambda: steering.steer(found(message["run"]), message["action"], message["value"])
        )
    elif kind == "train":
        begin_recording(kept)
    else:  # "new", "export", "why": a dialog, which the whole page opens
        st.session_state["opened"] = dict(message)


def found(name: str) -> Path:
    """Return the directory of a run that may be steered.

    Raises:
        ValueError: there is none, or it lies outside of the runs folder.
    """
    path = registry.find(name)
    if not registry.is_ours(path):
        raise ValueError(f"{name} lies outside of the runs folder: it is looked at, not steered")
    return path


def begin_recording(kept: Scene) -> None:
    """Train the preset of the recording, at the pace of a talk."""
    experiment = start_form.preset("digits-compression")
    start_form.start(experiment.replace(start_form.watched(experiment)), steering.TALK)
    move(kept, sides=[[address.value_of("run"), kept["sides"][0][1]]], step=None, selected=[])
    address.write(kept)


def open_dialog(message: Mapping[str, Any], kept: Scene) -> None:
    """Open a dialog that the view requested.

    Raises:
        ValueError: a run is gone, or what the dialog needs of it is damaged.
    """
    if message["kind"] == "new":
        start_form.dialog()
        return
    if message["kind"] == "data":
        data_card.of_run(registry.watch_of(registry.find(kept["sides"][0][0])).run)
        return
    panel = str(message["panel"]).partition("@")[0]
    if message["kind"] == "why":
        if section := PANELS[panel].section:
            notebook_section.show(section)
    elif message["kind"] == "export":
        name, arm = kept["sides"][0]
        watch = registry.watch_of(registry.find(name))
        arm = arm if arm in watch.arms else watch.arms[0]  # as the view chooses
        exporting.of_panel(panel, watch, arm, message["step"], message["metric"])
