"""The status of a run: status.json, whether its writer is alive, and the phase of the run."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wcord.runs.lock import is_locked, process_exists
from wcord.runs.records import ACTIVE, ENDED, STATUS, read_record

SILENT_AFTER = 30.0  # seconds without a heartbeat; then a run on another machine is "silent"


@dataclass(frozen=True)
class Status:
    """The progress of a run, and whether a process writes it; status["step"] is status.step.

    Attributes:
        state: the last state that the writer wrote, one of `ACTIVE` or `ENDED`.
        step: number of steps done.
        total: number of steps of the whole run; 0 while it is unknown.
        epoch: the epochs done, with a fraction.
        eta: seconds left, where known.
        pid: id of the process that writes the run.
        host: name of the machine of that process.
        heartbeat: when status.json was last written, in seconds since 1970.
        error: why the run failed, in one line.
        alive: whether the writer is alive; None where this is unknown, because the run is on
            another machine.
    """

    state: str = "starting"
    step: int = 0
    total: int = 0
    epoch: float = 0.0
    eta: float | None = None
    pid: int | None = None
    host: str | None = None
    heartbeat: float | None = None
    error: str | None = None
    alive: bool | None = None

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None

    @property
    def phase(self) -> str:
        """The state of the run now, which need not be the last state that was written.

        "interrupted": the writer has ended without writing a final state. "silent": a writer on
        another machine has written nothing for 30 s. Otherwise `state`.
        """
        if self.state in ENDED:
            return self.state
        if self.alive is False:
            return "interrupted"
        if self.alive is None and self.silence > SILENT_AFTER:
            return "silent"
        return self.state

    @property
    def silence(self) -> float:
        """Seconds since the last heartbeat."""
        return time.time() - (self.heartbeat or 0)

    @property
    def active(self) -> bool:
        """Whether a process writes the run, as far as can be known."""
        return self.phase in ACTIVE

    @property
    def sentence(self) -> str:
        """The progress and any problem of the run, in one line."""
        phase, progress = self.phase, f"step {self.step} of {self.total}"
        if phase in ENDED:
            return f"{phase} at {progress}" + (f": {self.error}" if self.error else "")
        if phase == "interrupted":
            return f"interrupted at {progress}: its process has ended; resume continues"
        if phase == "silent":
            return f"{self.state}, {progress}: no sign for {self.silence:.0f} s"
        if phase == "training-teacher":
            return "training the teacher, which is kept for later runs"
        left = f", {self.eta:.0f} s left" if self.eta and phase == "running" else ""
        return f"{phase}, {progress}{left}"

    def entries(self) -> dict[str, Any]:
        """Return the entries of status.json."""
        return {name: getattr(self, name) for name in STATUS}


def read_status(path: Path) -> Status:
    """Return the status of a run directory."""
    status = _read(path)
    if status.phase == "interrupted":  # perhaps the writer ended after status.json was read
        status = _read(path)
    return status


def _read(path: Path) -> Status:
    status = Status(**read_record(path / "status.json", STATUS))
    return replace(status, alive=_is_alive(path, status))


def _is_alive(path: Path, status: Status) -> bool | None:
    if status.state in ENDED:
        return False
    if status.host not in (None, socket.gethostname()):
        return None
    if is_locked(path):
        return True
    # A launched process imports torch for some seconds before it locks the run.
    return status.state == "starting" and process_exists(status.pid)
