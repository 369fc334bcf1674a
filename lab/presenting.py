"""Lecture mode: one panel and its equation on the full screen, `?present=plan`.

The arrow keys go through time, H hides the picture until it is revealed, Escape leads back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from lab import panels, timeline
from lab.control import steering
from lab.echoes import moved
from lab.panels import Panel, View
from lab.pictures import PANELS, objective
from lab.reading.watch import Watch
from lab.redrawing import redraw
from lab.words import literal

KEY = "present"
SCALE = 1.5  # of type and lines on a projector
STAGE = "stage"
# Only what is presented is seen: the page's header and the tools of the charts go.
LOOK = """<style>
[data-testid=stHeader], [data-testid=stSidebar], [data-testid=stSidebarCollapsedControl],
[data-testid=stElementToolbar] {display: none}
[data-testid=stMainBlockContainer] {padding: .5rem 2rem}
.st-key-stage-words {container-type: inline-size}
.st-key-stage-words .katex {font-size: min(1.75rem, (100cqi - 1.8rem) / 17)}
.st-key-stage-objective .katex {font-size: 2.6rem}
.st-key-stage [data-testid=stCaptionContainer] p {font-size: 1.35rem}
.st-key-stage [data-testid=stMetricValue] {font-size: 2.2rem}
.st-key-stage [data-testid=stMetricLabel] p {font-size: 1.15rem}
.st-key-stage-picture :is([data-testid=stElementContainer], [data-testid=stFullScreenFrame],
  [data-testid=stEChartsChart]) {height: max(calc(100vh - 14.2rem), 18rem) !important;
  min-height: 0 !important; flex: none !important}
@media (max-width: 640px) {
  [data-testid=stMainBlockContainer] {padding: .6rem}
  .st-key-stage .katex {font-size: 1.2rem !important}
}
</style>"""


def asked() -> str | None:
    """Return the panel that the address asks to present, None where it asks for none."""
    name = st.query_params.get(KEY, "")
    return name if name in (*PANELS, "objective") else None


def begin(name: str) -> None:
    """Present a panel (a callback)."""
    st.query_params[KEY] = name


def _end() -> None:
    st.query_params.pop(KEY, None)


def _step(watch: Watch, by: int) -> None:
    """Go to another picture; from the last on the page follows (a callback)."""
    steps, now = watch.run.steps, timeline.shown(watch)
    if now is None:
        return
    place = steps.index(now) + by
    timeline.ask(None if by > 0 and place >= len(steps) - 1 else steps[max(place, 0)])
    redraw([STAGE, timeline.FRAGMENT])


def stage(
    watch: Watch, every: float | None, look: Callable[[], View], *, steerable: bool = True
) -> None:
    """Show the panel asked for, large, with its time; `look` says what is shown now."""
    st.html(LOOK)
    name = asked() or "plan"
    hidden = controls(watch, name, steerable=steerable)
    st.fragment(_stage, run_every=every, key=STAGE)(watch, name, look, hidden)
    timeline.controls(watch, redraws=(STAGE,), moving=every is not None)


def controls(watch: Watch, name: str, *, steerable: bool) -> bool:
    """Show the way back, the panels to choose from, steps, pace; return whether to hide."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Back", key="back", icon=":material/close_fullscreen:", on_click=_end,
                  shortcut="Escape", help="Back to all panels.")  # fmt: skip
        st.selectbox(
            "Panel",
            [*PANELS, "objective"],
            label_visibility="collapsed",
            width=170,
            **moved("presented", name, taken=begin),
        )
        st.button("", key="earlier", icon=":material/chevron_left:", shortcut="Left",
                  on_click=_step, args=(watch, -1), help="The picture before.")  # fmt: skip
        st.button("", key="later", icon=":material/chevron_right:", shortcut="Right",
                  on_click=_step, args=(watch, 1), help="The next picture.")  # fmt: skip
        hidden = st.session_state.setdefault("hidden", False)
        st.button(
            "Reveal" if hidden else "Hide",
            key="hide",
            icon=":material/visibility:" if hidden else ":material/visibility_off:",
            shortcut="H",
            on_click=lambda: st.session_state.update(hidden=not hidden),
            help="Hide the picture, let people say what they expect, then reveal it.",
        )
        with st.container(width="stretch"):
            st.space("small")
        steering.pace(watch, watch.run.status, steerable=steerable)
    return bool(hidden)


def _stage(watch: Watch, name: str, look: Callable[[], View], hidden: bool) -> None:
    status = watch.run.status
    steering.keep_promised_pace(watch, status)
    try:
        view = replace(look(), scale=SCALE)
        with st.container(key=STAGE):
            words = literal.markdown(steering.words(watch, status))
            st.markdown(f"{heading(name, view)} · step {view.step} · {words}")
            if hidden:
                st.header("What do you expect to see?")
            elif name == "objective":
                with st.container(key="stage-objective"):
                    st.latex(objective(view).latex)
                st.caption(objective(view).words)
            else:
                _panel(PANELS[name], view)
    except ValueError as error:
        panels.error(error)


def heading(name: str, view: View) -> str:
    """Return what stands over the picture."""
    if name == "objective":
        return f"**Objective** · {literal.markdown(view.arm)}"
    return PANELS[name].title(view)


def _panel(panel: Panel, view: View) -> None:
    left, right = st.columns([1.7, 1], gap="large", vertical_alignment="center")
    with left, st.container(key="stage-picture"), st.container(key=panel.name):
        panels.chart(panel, view, [STAGE], height=640)
    with right, st.container(key="stage-words"):
        panels.equation(panel, view)
        st.caption(literal.markdown(panel.look(view)))
        panels.facts(panel.facts(view))
