"""The status of a run: status.json, whether its writer is alive, and the phase that follows."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wcord.runs.lock import is_locked, process_exists
from wcord.runs.records import ACTIVE, ENDED, STATUS, read_record

SILENT_AFTER = 30.0  # seconds without a heartbeat before a run elsewhere is called silent


@dataclass(frozen=True)
class Status:
    """How far a run is and whether a process writes it; entries can also be read as status["step"].

    Attributes:
        state: what the writer wrote last, one of `ACTIVE` or `ENDED`.
        step, total: steps done, steps of the whole run (0 while unknown).
        epoch: epochs done, with a fraction.
        eta: seconds left, where known.
        pid, host: the writing process.
        heartbeat: when it wrote last, seconds since 1970.
        error: why the run failed, in one line.
        alive: whether the writer lives; None for a run of another machine, where only its
            heartbeat can be seen.
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
        """The state as it is now: "interrupted" where the writer has ended without writing so.

        "silent" where a writer of another machine has given no sign for 30 s; else `state`.
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
        """Whether a process seems to write the run."""
        return self.phase in ACTIVE

    @property
    def sentence(self) -> str:
        """One line for people: how far the run is and whether anything is wrong."""
        phase, place = self.phase, f"step {self.step} of {self.total}"
        if phase in ENDED:
            return f"{phase} at {place}" + (f": {self.error}" if self.error else "")
        if phase == "interrupted":
            return f"interrupted at {place}: its process has ended; resume continues"
        if phase == "silent":
            return f"{self.state}, {place}: no sign for {self.silence:.0f} s"
        left = f", {self.eta:.0f} s left" if self.eta and phase == "running" else ""
        return f"{phase}, {place}{left}"


def read_status(path: Path) -> Status:
    """Return the status of a run directory."""
    record = read_record(path / "status.json", STATUS)
    return Status(**record, alive=_is_alive(path, record))


def _is_alive(path: Path, record: dict[str, Any]) -> bool | None:
    if record["state"] in ENDED:
        return False
    if record["host"] not in (None, socket.gethostname()):
        return None
    if is_locked(path):
        return True
    # Between launching and locking lie the seconds that importing torch takes.
    return record["state"] == "starting" and process_exists(record["pid"])
