"""The guided tour: failures of the local term, their cures, and when transport helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import streamlit as st

from wcord.runs import run_path

from ..control import address, start_form, steering
from ..control.page_parts import begin, redraw_needed
from ..course import notebook_section, tour_recordings
from ..course.tour_stops import PHASES, STOPS, Stop, experiment, place, run_name
from ..reading import registry
from ..viewer import in_streamlit
from ..viewer.frames import Part
from ..viewer.scene import Scene
from ..words.literal import markdown
from ..words.panels import PANELS

TICK, REST = 0.5, 4.0  # seconds between looks at a run that moves, and at others
CAN = dict.fromkeys(("ask", "steer", "why"), True)
PREDICT, WATCH, EXPLAIN, CURE = range(len(PHASES))


def page() -> None:
    """Draw the page: where one is, then as much of the stop as this phase shows."""
    begin()
    opened = st.session_state.pop("opened", None)
    number, phase = where()
    stop = STOPS[number]
    signposts(number, phase)
    if phase >= EXPLAIN:
        explanation(stop, phase)
    else:
        st.markdown(f"**{number + 1} · {stop.title}.** {stop.setting}")
        guess(stop, phase)
    if phase == PREDICT:
        return
    arms = stop.cured if phase >= CURE else stop.watched
    own = run_path(run_name(stop)).exists()
    name = run_name(stop) if own else tour_recordings.name_of(stop)
    kept = kept_scene(stop, name, arms, f"{stop.key} {phase >= CURE}")
    moving = own and is_moving(name)
    tick_at = TICK if moving else REST
    st.fragment(tick, run_every=tick_at, key="view")(stop, kept, own=own, moved=moving)
    if not own:
        train_it(stop)
    if opened:
        panel = str(opened["panel"]).partition("@")[0]
        if panel in PANELS and (section := PANELS[panel].section):
            notebook_section.show(section)


def where() -> tuple[int, int]:
    """Return the stop and the phase that the address names, the first ones where it does not."""
    keys, phases = [stop.key for stop in STOPS], [phase.lower() for phase in PHASES]
    stop, phase = address.value_of("stop"), address.value_of("phase").lower()
    return (
        keys.index(stop) if stop in keys else 0,
        phases.index(phase) if phase in phases else 0,
    )


def go(number: int, phase: int) -> None:
    """Put a stop and a phase into the address; a new stop begins at its newest step."""
    if STOPS[number].key != address.value_of("stop"):
        st.query_params.pop("step", None)
    st.query_params["stop"] = STOPS[number].key
    st.query_params["phase"] = PHASES[phase].lower()


def signposts(number: int, phase: int) -> None:
    """Show the stops, and in the same line back, the phase of the stop, and next."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for there, stop in enumerate(STOPS):
            post(
                f"{there + 1} · {stop.title}", f"stop-{stop.key}", (there, PREDICT), there == number
            )
        with st.container(width="stretch"):
            st.space("small")
        arrows(number, phase)


def arrows(number: int, phase: int) -> None:
    """Show back, the phase of the stop, and next."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
        back, on = place(number, phase, -1), place(number, phase, 1)
        st.button(
            "Back", key="back", icon=":material/arrow_back:", disabled=back == (number, phase),
            on_click=go, args=back,
        )  # fmt: skip
        st.markdown(f"{PHASES[phase]} · {phase + 1} of {len(PHASES)}", width="content")
        st.button(
            PHASES[on[1]] if on[0] == number and on[1] != phase else "Next stop",
            key="next", icon=":material/arrow_forward:", type="primary",
            disabled=on == (number, phase), on_click=go, args=on,
        )  # fmt: skip


def post(label: str, key: str, target: tuple[int, int], is_here: bool) -> None:
    """Show one signpost; the one where one stands has a frame."""
    kind: Literal["secondary", "tertiary"] = "secondary" if is_here else "tertiary"
    st.button(label, key=key, type=kind, on_click=go, args=target)


def guess(stop: Stop, phase: int) -> None:
    """Show the question and take a prediction; it can be changed until all is explained."""
    made = st.session_state.get(f"guess of {stop.key}")
    if phase == PREDICT:
        st.subheader(stop.question, anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if phase != PREDICT:
            st.markdown(stop.question, width="content")
        for number, answer in enumerate(stop.answers):
            icon = "radio_button_checked" if answer == made else "radio_button_unchecked"
            st.button(
                answer,
                key=f"guess-{stop.key}-{number}",
                icon=f":material/{icon}:",
                on_click=partial(st.session_state.__setitem__, f"guess of {stop.key}", answer),
            )


def answer(stop: Stop) -> str:
    """Return the question, the prediction, and what happens."""
    made, right = st.session_state.get(f"guess of {stop.key}"), stop.answers[stop.right]
    if made is None:
        return f"{stop.question} **{right[0].upper()}{right[1:]}.**"
    if made == right:
        return f"{stop.question} You predicted it: **{right}.**"
    return f"{stop.question} You predicted “{made}”; what happens: **{right}.**"


def kept_scene(stop: Stop, name: str, arms: Sequence[str], key: str) -> Scene:
    """Return the scene of a stop: its pictures of the arms, then its curves."""
    return address.scene_of(
        f"tour {key} {name}",
        lambda: tour_recordings.scene_of(stop, name, arms) | {"key": f"{key} {name}"},
    )


def is_moving(name: str) -> bool:
    """Return whether a run is being trained."""
    row = registry.row(run_path(name))
    return not row.trouble and row.moving


def tick(stop: Stop, kept: Scene, *, own: bool, moved: bool) -> None:
    """Send the view what is new, with what to look for at every step."""
    if redraw_needed() or (own and is_moving(kept["sides"][0][0]) != moved):
        st.rerun()
    first, extra = None, list[Part]()
    if own:
        extra = own_parts(stop, kept, moved=moved)
    else:
        first = partial(tour_recordings.parts, stop)
    in_streamlit.show(
        f"tour {kept['key']}", kept, CAN, lambda message: take_message(kept, message), extra, first,
        recorded=not own,
    )  # fmt: skip


def own_parts(stop: Stop, kept: Scene, *, moved: bool) -> list[Part]:
    """Return what to look for at every step of a run of one's own."""
    try:
        watch = registry.watch_of(run_path(run_name(stop)))
    except ValueError:
        return []
    steering.keep_promised_pace(watch, watch.run.status)
    arms = [arm for _, arm in kept["sides"]]
    return tour_recordings.guidance(stop, watch, arms, finished=not moved)


def take_message(kept: Scene, message: Mapping[str, Any]) -> None:
    """Keep the view's scene, steer, or remember what it wants opened (a callback)."""
    if message["kind"] == "scene":
        address.keep(kept, message["scene"] | {"sides": kept["sides"]})
    elif message["kind"] == "steer":
        path = run_path(str(message["run"]))
        steering.attempt(lambda: steering.steer(path, message["action"], message["value"]))
    else:
        st.session_state["opened"] = dict(message)


def train_it(stop: Stop) -> None:
    """Offer to train the run of a stop here; it is kept for later visits."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.button(
            "Train this here",
            key="start-stop",
            icon=":material/play_arrow:",
            on_click=lambda: start_form.start(experiment(stop), steering.TALK, run_name(stop)),
        )
        st.caption(
            f"You see a recording. This trains the preset {stop.preset} on this machine, an epoch "
            "a second: under a minute and a half."
        )


def explanation(stop: Stop, phase: int) -> None:
    """Show why it happens, what cures it, and the way to the notebook that derives both."""
    with st.container(border=True, gap="small"):
        st.markdown(f"**{stop.title}.** {answer(stop)}")
        if phase == EXPLAIN:
            st.markdown(stop.explanation)
        else:
            st.markdown(f"**The cure.** {stop.cure}")
            with st.expander("Why it happened"):
                st.markdown(stop.explanation)
        if st.button(
            "Why: the notebook's section",
            key="why",
            icon=":material/menu_book:",
            type="tertiary",
            help=markdown(f"“{stop.section.heading}” of notebooks/{stop.section.notebook}"),
        ):
            notebook_section.show(stop.section)
