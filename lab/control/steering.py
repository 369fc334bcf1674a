"""Steering a run from a page: pause, single steps, pace, stop, resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from wcord.runs import ACTIVE, Run, Status

from ..reading.watch import Watch
from ..viewer import steering_messages

PACES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds an epoch; 0 is full speed
STEERED = (*ACTIVE, "silent")  # phases in which a process may still read control.json
TALK = 1.0  # seconds an epoch at which a run on the digits lasts a minute of talk


def attempt(action: Callable[[], object]) -> None:
    """Do what a button is for; a failure is shown in one line by the next run of the page."""
    try:
        action()
    except (ValueError, OSError, RuntimeError) as error:
        st.session_state["trouble"] = str(error).splitlines()[0]


def steer(path: Path, action: str, value: Any = None) -> None:
    """Steer a run.

    Args:
        path: its directory.
        action: "pause", "resume", "stop", "relaunch" (go on from the last checkpoint), "step"
            with a number of steps, "pace" with seconds an epoch.
        value: as the action needs it.

    Raises:
        ValueError: no such action, or a value that makes no sense.
    """
    run = Run(path)
    if action == "pace" and isinstance(value, (int, float)) and value >= 0:
        set_pace(run, float(value))
    else:
        steering_messages.steer(run, action, value)


def epoch_steps(run: Run, status: Status) -> int:
    """Return the number of steps of an epoch, 0 while it is not known."""
    return int(status.total) // max(int(run.plain_settings["epochs"]), 1) if status.total else 0


def set_pace(run: Run, seconds: float) -> None:
    """Ask for `seconds` an epoch; while the length of an epoch is unknown, remember to."""
    steps = epoch_steps(run, run.status)
    if steps or not seconds:
        run.pace(seconds / max(steps, 1))
        st.session_state.pop("pace_due", None)
    else:
        st.session_state["pace_due"] = (run.name, seconds)


def keep_promised_pace(watch: Watch, status: Status) -> None:
    """Set a pace that was chosen before the length of an epoch was known."""
    due: tuple[str, float] | None = st.session_state.get("pace_due")
    if due and due[0] == watch.run.name and status.total:
        attempt(lambda: set_pace(watch.run, due[1]))


def pace_in_words(seconds: float) -> str:
    """Return a pace in words, from seconds an epoch.

    >>> pace_in_words(0.0), pace_in_words(0.5), pace_in_words(1.0), pace_in_words(30.0)
    ('full speed', '2 epochs a second', '1 s an epoch', '30 s an epoch')
    """
    if not seconds:
        return "full speed"
    return f"{1 / seconds:g} epochs a second" if seconds < 1 else f"{seconds:g} s an epoch"
