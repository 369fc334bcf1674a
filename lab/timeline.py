"""Time on a page: one slider over the pictures of a run, play, and back to the newest.

    timeline.controls(watch, redraws=("pictures",))   # once a page, outside of what ticks
    step = timeline.shown(watch)                      # inside of what ticks, at every tick

The step is part of the address: `?step=149`; without it a page follows the newest picture.
Elsewhere `timeline.ask(149)` leads there. The slider stands in a small fragment of its own, so
that it keeps its place, and a finger on it is not disturbed, while training goes on.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from functools import partial

import streamlit as st

from lab import address
from lab.echoes import moved
from lab.reading.watch import Watch
from lab.redrawing import redraw

NEWEST = "newest"
KEY, FRAGMENT = "step", "time"
TICK = 2.0  # seconds between looks for new pictures: the slider alone needs them
FRAME = 0.5  # seconds a picture while playing
LONGEST = 30.0  # seconds that playing a whole run lasts: of a long one pictures are skipped


def steps_of(watches: Sequence[Watch]) -> list[int]:
    """Return the steps at which any of the runs has a picture, ascending."""
    return sorted({step for watch in watches for step in watch.run.steps})


def latest(steps: Sequence[int], asked: int | None) -> int | None:
    """Return the last step up to the one asked for, else the first; None asks for the newest.

    >>> latest([0, 50, 99], 60), latest([10, 20], 5), latest([0, 50], None), latest([], 7)
    (50, 10, 50, None)
    """
    if not steps:
        return None
    place = len(steps) if asked is None else bisect_right(steps, asked)
    return steps[max(place - 1, 0)]


def asked() -> int | None:
    """Return the step that the address asks for; None where the page follows the newest."""
    said = address.read(KEY)
    return int(said) if said.isdecimal() and said.isascii() else None


def ask(step: int | None) -> None:
    """Go to a step; None follows the newest."""
    address.write(KEY, "" if step is None else str(step))


def is_playing() -> bool:
    """Return whether time runs by itself: then what shows it must tick every `FRAME` seconds."""
    return bool(st.session_state.get("playing"))


def played(steps: Sequence[int]) -> int | None:
    """Return the step that playing has come to; None once it is at the end.

    A pure function of the clock, so that everything on a page shows the same step.
    """
    start, place = st.session_state.get("played_from", (0.0, len(steps)))
    frame = min(FRAME, LONGEST / max(len(steps), 1))
    place += int((time.monotonic() - start) / frame)
    return steps[place] if place < len(steps) - 1 else None


def shown(*watches: Watch) -> int | None:
    """Return the step that the page shows now, of the first run given; None without pictures.

    With several runs playing goes through the pictures of all of them.
    """
    wanted = played(steps_of(watches)) if is_playing() else asked()
    return latest(watches[0].run.steps, wanted)


def controls(*watches: Watch, redraws: Sequence[str] = (), moving: bool = True) -> None:
    """Show play, the slider and follow for one or more runs; call it outside of what ticks.

    Args:
        watches: the runs whose pictures time goes through.
        redraws: keys of the fragments that show `shown`; without any the whole page is redrawn.
        moving: whether new pictures may come.
    """
    steps = steps_of(watches)
    if is_playing() and played(steps) is None:
        st.session_state["playing"] = False
    address.show(KEY)
    scope = [FRAGMENT, *redraws] if redraws else "app"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.toggle(
            "Play",
            help="Go through the pictures taken so far, from the step shown, else from the first.",
            **moved("play", is_playing(), taken=partial(_play, steps)),
        )
        every = FRAME if is_playing() else TICK if moving else None
        with st.container(width="stretch"):
            st.fragment(_slider, run_every=every, key=FRAGMENT)(watches, scope)
        st.button(
            "Follow",
            key="follow",
            icon=":material/last_page:",
            on_click=_follow,
            args=(scope,),
            help="Back to the newest picture, and stay with it.",
        )


def _slider(watches: Sequence[Watch], scope: str | list[str]) -> None:
    steps = steps_of(watches)
    step = played(steps) if is_playing() else asked()
    if is_playing() and step is None:
        st.rerun()  # at the end: the toggle goes back
    found = None if step is None else latest(steps, step)
    place = NEWEST if found is None else str(found)
    with st.container(key=KEY):
        st.select_slider(
            "Step shown",
            [*(str(step) for step in steps), NEWEST],
            disabled=not steps,
            help="Moves every picture of the page. The arrow keys go from picture to picture; at "
            "the right end the page follows the training.",
            **moved("slider", place, taken=partial(_go, steps, scope)),
        )


def _play(steps: Sequence[int], wanted: bool) -> None:
    """Begin to play, or stay at the step that playing has come to."""
    if wanted:
        _begin(steps)
    else:
        ask(played(steps))
    st.session_state["playing"] = wanted


def _begin(steps: Sequence[int]) -> None:
    """Start the clock of playing at the step shown, else at the first."""
    step = asked()
    place = 0 if step is None else max(bisect_right(steps, step) - 1, 0)
    st.session_state["played_from"] = (time.monotonic(), place)
    ask(None)  # once it has played to the end, the page follows


def _go(steps: Sequence[int], scope: str | list[str], place: str) -> None:
    ask(None if place == NEWEST else int(place))
    if is_playing():
        _begin(steps)
    redraw(scope)


def _follow(scope: str | list[str]) -> None:
    if is_playing():
        st.session_state["playing"], scope = False, "app"
    ask(None)
    redraw(scope)
