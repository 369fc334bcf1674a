"""Steer a run: pause, step, pace, stop, wait, write notes, delete. List and find runs."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from wcord.runs.lock import is_locked
from wcord.runs.paths import run_path, runs_folder
from wcord.runs.read_status import Status
from wcord.runs.reader import RunReader
from wcord.runs.records import ENDED
from wcord.runs.storage import remove_folder, write_bytes, write_json


class Run(RunReader):
    """Reads and steers a run directory.

    Args:
        path: the directory, or the name of a run in the runs folder.

    Raises:
        ValueError: there is no run there.
    """

    def _change_control(self, **change: Any) -> None:
        write_json(self.path / "control.json", self.control | change)

    def pause(self) -> None:
        """Pause before the next step."""
        self._change_control(pause_at=0)

    def step(self, count: int = 1) -> None:
        """Take `count` more steps, then pause."""
        self._change_control(pause_at=self.status.step + count)

    def resume(self) -> None:
        """End a pause. (`wcord.resume` continues a run whose process has ended.)"""
        self._change_control(pause_at=None)

    def stop(self) -> None:
        """End the run after the current step, with a checkpoint."""
        self._change_control(stop=True)

    def pace(self, delay: float) -> None:
        """Make each step last at least `delay` seconds; 0 is full speed.

        Raises:
            ValueError: the delay is negative or not finite.
        """
        if not 0 <= delay < float("inf"):
            raise ValueError(f"delay is {delay}: it is a number of seconds, 0 or more")
        self._change_control(delay=float(delay))

    def clear_requests(self) -> None:
        """Remove requests to pause or stop that were meant for an earlier process."""
        self._change_control(stop=False, pause_at=None)

    def wait(self, timeout: float | None = None, every: float = 0.1) -> Status:
        """Wait until the run has ended, and return its status.

        Args:
            timeout: seconds; None waits without a limit.
            every: seconds between two readings of the status.

        Raises:
            TimeoutError: the run has not ended after `timeout` seconds.
            RuntimeError: its process has ended without writing a final state.
        """
        start = time.monotonic()
        while True:
            status = self.status
            if status.state in ENDED:
                return status
            if status.phase == "interrupted":
                raise RuntimeError(f"{self.name}: {status.sentence}")
            if timeout is not None and time.monotonic() - start > timeout:
                raise TimeoutError(f"{self.name} has not ended in {timeout:g} s: {status.sentence}")
            time.sleep(every)

    def note(self, text: str) -> None:
        """Replace the notes about the run.

        Raises:
            wcord.runs.storage.StorageError: the notes could not be written.
        """
        write_bytes(self.path / "notes.txt", text.encode())

    def delete(self) -> None:
        """Remove the run directory.

        Raises:
            ValueError: a process writes the run.
            wcord.runs.storage.StorageError: it could not be removed.
        """
        if is_locked(self.path):
            raise ValueError(f"{self.name} is being written: stop it first")
        remove_folder(self.path)


def list_runs(folder: Path | None = None) -> list[Run]:
    """Return the runs of a folder (by default the runs folder), newest first.

    A directory that is no run, or that is deleted while the folder is read, is passed over.
    """
    folder = folder or runs_folder()
    if not folder.is_dir():
        return []
    paths = [path.parent for path in folder.glob("*/settings.yaml")]
    runs = []
    for path in sorted(paths, key=_created, reverse=True):
        with suppress(ValueError):
            runs.append(Run(path))
    return runs


def find_run(name: str, folder: Path | None = None) -> Run:
    """Return the run of this name inside the runs folder.

    Raises:
        ValueError: the name could lead outside of the folder, or there is no such run.
    """
    return Run(run_path(name, folder))


def _created(path: Path) -> float:
    try:
        return (path / "settings.yaml").stat().st_mtime
    except OSError:
        return 0.0
