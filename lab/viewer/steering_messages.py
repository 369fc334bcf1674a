"""What the buttons of the view do to a run. The pace waits for a run's length: hosts keep it."""

from __future__ import annotations

from typing import Any

from wcord.runs import Run


def steer(run: Run, action: str, value: Any = None) -> None:
    """Steer a run: "pause", "resume", "stop", "step" (a number of steps), "relaunch".

    "relaunch" goes on from the last checkpoint.

    Raises:
        ValueError: no such action, or a number of steps below 1.
    """
    if action in ("pause", "resume", "stop"):
        getattr(run, action)()
    elif action == "step" and type(value) is int and value > 0:
        run.step(value)
    elif action == "relaunch":
        from wcord import relaunch

        relaunch(run)
    else:
        raise ValueError(f"a run cannot be steered by {action} {value!r}")
