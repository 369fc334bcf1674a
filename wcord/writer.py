"""The one process that writes a run: its lock, metrics, status, and what it is told to do."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from wcord.runs import Run
from wcord.storage import StorageError, plain, read_json, write_bytes, write_json

STATUS_EVERY = 0.25  # seconds; while paused every step is said


class RunLocked(ValueError):
    """A living process writes this run already."""


class RunWriter:
    """Holds the lock of a run directory and writes everything but checkpoints.

    Args:
        run: the run, whose directory holds settings.yaml.

    Raises:
        RunLocked: another living process writes the run.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.path = run, run.path
        self._lock = FileLock(self.path / "lock")
        try:
            self._lock.acquire(timeout=2)
        except Timeout:
            raise RunLocked(
                f"{run.name} is being written by another process: wait or stop it"
            ) from None
        except OSError as error:
            raise StorageError(f"cannot write in {self.path}: {error.strerror}") from error
        (self.path / "snapshots").mkdir(exist_ok=True)
        self._pending: list[str] = []
        self._metrics: Any = None
        self._mirror: Any = None
        self._seen_control: tuple[int, int] | None = None
        self.control = {"pause_at": None, "stop": False, "delay": 0.0}
        self._said = 0.0
        self.status: dict[str, Any] = {
            "state": "starting", "step": 0, "total": 0, "epoch": 0.0, "eta": None,
            "pid": os.getpid(), "host": socket.gethostname(), "heartbeat": None, "error": None,
        }  # fmt: skip

    # -- status and control ----------------------------------------------------------------

    def say(self, *, now: bool = False, **change: Any) -> None:
        """Write status.json, at most four times a second unless `now`."""
        now = now or any(self.status[k] != change[k] for k in ("state", "error") if k in change)
        self.status.update(change)
        moment = time.monotonic()
        if now or moment - self._said >= STATUS_EVERY:
            self._said = moment
            self.status["heartbeat"] = time.time()
            write_json(self.path / "status.json", self.status)

    def read_control(self) -> dict[str, Any]:
        """Return what is asked now; the file is only read when it has changed."""
        try:
            stat = os.stat(self.path / "control.json")
        except OSError:
            return self.control
        mark = (stat.st_mtime_ns, stat.st_ino)
        if mark != self._seen_control:
            self._seen_control = mark
            said = read_json(self.path / "control.json", {})
            if isinstance(said, dict):
                self.control = {"pause_at": None, "stop": False, "delay": 0.0} | said
        return self.control

    # -- metrics ---------------------------------------------------------------------------

    def open_metrics(self, length: int, mirror: bool = True) -> None:
        """Begin to append after the first `length` bytes; what lies behind is cut off."""
        path = self.path / "metrics.jsonl"
        self._metrics = open(path, "ab")  # noqa: SIM115 (open as long as the run)
        self._metrics.truncate(length)
        if mirror:
            from torch.utils.tensorboard import SummaryWriter

            self._mirror = SummaryWriter(str(self.path), flush_secs=30, max_queue=1000)

    def record(self, step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        """Take values of one arm ("" for the run's own) at one step."""
        epoch = round(epoch, 4)
        for name, value in values.items():
            line = {"step": step, "epoch": epoch, "arm": arm, "name": name, "value": value}
            self._pending.append(json.dumps(plain(line)))
            if self._mirror is not None:
                self._mirror.add_scalar(f"{arm}/{name}" if arm else name, value, step)

    def flush(self) -> int:
        """Write what was recorded; return the length of metrics.jsonl.

        Raises:
            StorageError: the disk is full or the folder is gone.
        """
        try:
            if self._pending:
                self._metrics.write(("\n".join(self._pending) + "\n").encode())
                self._pending = []
                self._metrics.flush()
            return self._metrics.tell()
        except OSError as error:
            raise StorageError(f"cannot write metrics.jsonl: {error.strerror}") from error

    def snapshot(self, step: int, content: bytes, limit: int) -> None:
        """Write one snapshot and thin the others evenly to `limit`, first and last kept."""
        folder = self.path / "snapshots"
        write_bytes(folder / f"{step}.safetensors", content)
        steps = self.run.steps
        if len(steps) > limit:
            gaps = [steps[i + 1] - steps[i - 1] for i in range(1, len(steps) - 1)]
            least = steps[1 + gaps.index(min(gaps))]
            (folder / f"{least}.safetensors").unlink(missing_ok=True)

    def forget_after(self, step: int) -> None:
        """Remove snapshots and maps of later steps, which resuming will make again."""
        for path in self.path.glob("snapshots/*.safetensors"):
            if path.stem.isdigit() and int(path.stem) > step:
                path.unlink(missing_ok=True)
        for path in self.path.glob("maps/*/*.safetensors"):
            if path.stem.isdigit() and int(path.stem) > step:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files and of the lock."""
        try:
            if self._metrics is not None:
                self._metrics.close()
            if self._mirror is not None:
                self._mirror.close()
        finally:
            self._lock.release()


def create(path: Path, settings: str) -> Run:
    """Make a run directory with its settings.

    Raises:
        ValueError: it exists and is not empty, or cannot be written.
    """
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(f"{path} exists: choose another folder, or resume the run in it")
        path.mkdir(parents=True, exist_ok=True)
        write_bytes(path / "settings.yaml", settings.encode())
        write_json(path / "control.json", {"pause_at": None, "stop": False, "delay": 0.0})
    except (OSError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"cannot make a run in {path}: {reason}") from error
    return Run(path)
