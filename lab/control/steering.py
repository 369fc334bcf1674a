"""Steering a run from a page: what state it is in, the row of buttons, the pace."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from lab import panels
from lab.reading.watch import Watch
from lab.words import literal
from wcord.runs import ACTIVE, Status

PACES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds an epoch; 0 is full speed
STEERED = (*ACTIVE, "silent")  # phases in which a process may still read control.json
TALK = 1.0  # seconds an epoch at which a run on the digits lasts a minute of talk


def epoch_steps(watch: Watch, status: Status) -> int:
    """Return the number of steps of an epoch, 0 while it is not known."""
    return int(status["total"]) // watch.epochs if status["total"] else 0


def attempt(action: Callable[[], object]) -> None:
    """Do what a button asks; what goes wrong is shown as one line by the page's next run."""
    try:
        action()
    except (ValueError, OSError, RuntimeError) as error:
        st.session_state["trouble"] = str(error).splitlines()[0]


def set_pace(watch: Watch, seconds: float) -> None:
    """Ask for `seconds` an epoch; while the length of an epoch is unknown, remember to."""
    steps = epoch_steps(watch, watch.run.status)
    if steps or not seconds:
        watch.run.pace(seconds / max(steps, 1))
        st.session_state.pop("pace_due", None)
    else:
        st.session_state["pace_due"] = (watch.run.name, seconds)


def keep_promised_pace(watch: Watch, status: Status) -> None:
    """Set a pace that was asked for before the length of an epoch was known."""
    due = st.session_state.get("pace_due")
    if due and due[0] == watch.run.name and status["total"]:
        attempt(lambda: set_pace(watch, due[1]))


def _relaunch(watch: Watch) -> None:
    from wcord import relaunch

    relaunch(watch.run)


def _button(
    label: str, icon: str, key: str, action: Callable[[], object], why: str, *, enabled: bool
) -> None:
    st.button(
        label,
        key=key,
        icon=f":material/{icon}:",
        help=why,
        disabled=not enabled,
        on_click=attempt,
        args=(action,),
    )


def controls(watch: Watch, status: Status, *, steerable: bool = True) -> None:
    """Show pause or resume, single steps, stop and the pace; grey where they make no sense."""
    run, now = watch.run, status.phase
    alive = steerable and now in STEERED
    held = alive and now == "paused"
    moving = alive and not held
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", width="content"):
        if held:
            _button("Resume", "play_arrow", "resume", run.resume, "Go on training.", enabled=True)
        elif steerable and now in ("interrupted", "stopped", "failed"):
            why = "Go on from the last checkpoint, to the same numbers."
            _button("Resume", "play_arrow", "resume", lambda: _relaunch(watch), why, enabled=True)
        else:
            _button("Pause", "pause", "pause", run.pause, "Wait before the next step.",
                    enabled=moving)  # fmt: skip
        per_epoch = epoch_steps(watch, status)
        for label, key, count in (
            ("1 step", "step-1", 1),
            ("10 steps", "step-10", 10),
            ("1 epoch", "step-epoch", per_epoch),
        ):
            _button(
                label,
                "skip_next",
                key,
                partial(run.step, count),
                f"Take {label}, then pause.",
                enabled=alive and count > 0,
            )
        _button("Stop", "stop", "stop", run.stop, "End the run, with a checkpoint.", enabled=alive)
        pace(watch, status, steerable=steerable)


def pace(watch: Watch, status: Status, *, steerable: bool = True) -> None:
    """Show the slider of the least time that an epoch takes."""
    key = f"pace-{watch.run.name}"
    st.select_slider(
        "Pace",
        PACES,
        value=_pace_now(watch, status),
        format_func=said,
        key=key,
        disabled=not steerable or status.phase not in STEERED,
        on_change=lambda: attempt(lambda: set_pace(watch, st.session_state[key])),
        help="The least time that an epoch takes. The run itself is the same at any pace.",
        width=200,
    )


def said(seconds: float) -> str:
    """Return a pace in words, from seconds an epoch.

    >>> said(0.0), said(0.5), said(1.0), said(30.0)
    ('full speed', '2 epochs a second', '1 s an epoch', '30 s an epoch')
    """
    if not seconds:
        return "full speed"
    return f"{1 / seconds:g} epochs a second" if seconds < 1 else f"{seconds:g} s an epoch"


def words(watch: Watch, status: Status) -> str:
    """Return how far a run is, and how fast it goes, in one line."""
    speed = watch.speed(status) if status.phase == "running" else None
    epoch = f" · epoch {status['epoch']:.1f} of {watch.epochs}" if status["total"] else ""
    return f"{status.sentence}{epoch}{f' · {speed:.2g} epochs a second' if speed else ''}"


def progress(watch: Watch, status: Status) -> None:
    """Show how far a run is, and what went wrong where anything did."""
    share = min(max(status["step"] / status["total"], 0.0), 1.0) if status["total"] else 0.0
    st.progress(share, text=literal.markdown(words(watch, status)))
    if status["error"]:
        panels.error(status["error"])


def _pace_now(watch: Watch, status: Status) -> float:
    due = st.session_state.get("pace_due")
    if due and due[0] == watch.run.name:
        return float(due[1])
    seconds = float(watch.run.control["delay"] or 0) * epoch_steps(watch, status)
    return min(PACES, key=lambda pace: abs(pace - seconds))
