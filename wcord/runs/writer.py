"""The one process that writes a run: its lock, metrics, status, and what it is told to do."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from wcord.runs import Run
from wcord.storage import (
    StorageError,
    append,
    numbered,
    plain,
    sentence,
    sweep_temporary,
    write_bytes,
    write_json,
)
from wcord.tables import CONTROL

if TYPE_CHECKING:
    from wcord.mirror import Mirror

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
            (self.path / "snapshots").mkdir(exist_ok=True)
        except Timeout:
            raise RunLocked(
                f"{run.name} is being written by another process: wait or stop it"
            ) from None
        except OSError as error:
            self._lock.release()
            raise StorageError(f"cannot write in {self.path}: {error.strerror}") from error
        sweep_temporary(self.path)
        self._pending: list[str] = []
        self._metrics: Any = None
        self._length = 0
        self._mirror: Mirror | None = None
        self._seen_control: tuple[int, int] | None = None
        self.control = self.run.control
        self.ending = False  # set by a signal; read as a stop
        self._said = 0.0
        before = self.run.status  # a run that is taken up stands where it stood
        self.status: dict[str, Any] = {
            "state": "starting", "eta": None, "heartbeat": None, "error": None,
            "pid": os.getpid(), "host": socket.gethostname(),
        } | {key: before[key] for key in ("step", "total", "epoch")}  # fmt: skip

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
            stat = None
        if stat and (mark := (stat.st_mtime_ns, stat.st_ino)) != self._seen_control:
            self._seen_control = mark
            self.control = self.run.control
        return self.control | {"stop": True} if self.ending else self.control

    # -- metrics ---------------------------------------------------------------------------

    def open_metrics(self, length: int, mirror: bool = True) -> None:
        """Begin to append after the first `length` bytes; what lies behind is cut off.

        Raises:
            StorageError: the file cannot be written.
        """
        path = self.path / "metrics.jsonl"
        try:
            self._metrics = open(path, "ab", buffering=0)  # noqa: SIM115 (open as long as the run)
            self._metrics.truncate(length)
            self._length = length
        except OSError as error:
            raise StorageError(f"cannot write metrics.jsonl: {error.strerror}") from error
        if mirror:
            from wcord.mirror import Mirror  # imports TensorBoard, which readers do without

            self._mirror = Mirror(self.path)

    def holds_metrics(self, length: int) -> bool:
        """Return whether metrics.jsonl is at least as long as a checkpoint says."""
        try:
            return (self.path / "metrics.jsonl").stat().st_size >= length
        except OSError:
            return length == 0

    def record(self, step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        """Take values of one arm ("" for the run's own) at one step."""
        epoch = round(epoch, 4)
        for name, value in values.items():
            line = {"step": step, "epoch": epoch, "arm": arm, "name": name, "value": value}
            self._pending.append(json.dumps(plain(line)))
        if self._mirror is not None:
            self._mirror.add(f"{arm}/" if arm else "", step, values)

    def flush(self, durable: bool = False) -> int:
        """Write what was recorded; return the length of metrics.jsonl.

        Args:
            durable: flush to the disk as well, before a checkpoint names the length.

        Raises:
            StorageError: the disk is full or the folder is gone.
        """
        try:
            if self._pending:
                content = ("\n".join(self._pending) + "\n").encode()
                append(self._metrics, content)
                self._pending = []
                self._length += len(content)
            if durable:
                os.fsync(self._metrics.fileno())
        except OSError as error:
            raise StorageError(sentence(error, self.path / "metrics.jsonl")) from error
        self._reflect()
        return self._length

    def _reflect(self) -> None:
        try:
            if self._mirror is not None:
                self._mirror.flush()
        except OSError:  # a mirror: the truth is metrics.jsonl, which is written
            self._mirror = None

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
        for folder in (self.path / "snapshots", *self.path.glob("maps/*")):
            for later in numbered(folder, ".safetensors"):
                if later > step:
                    (folder / f"{later}.safetensors").unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files and of the lock."""
        try:
            with suppress(OSError):
                if self._metrics is not None:
                    self._metrics.close()
            self._reflect()
        finally:
            self._lock.release()


class Listener(RunWriter):
    """What a rank that is not the first has for a writer: it writes nothing and is told nothing."""

    def __init__(self, run: Run) -> None:
        self.run, self.path = run, run.path
        self.ending = False
        self.control = {key: value for key, (value, _) in CONTROL.items()}

    def say(self, *, now: bool = False, **change: Any) -> None:
        """The first rank says it."""

    def read_control(self) -> dict[str, Any]:
        """The first rank obeys, and the others do as it does."""
        return self.control

    def open_metrics(self, length: int, mirror: bool = True) -> None:
        """The first rank opens them."""

    def record(self, step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        """The first rank records."""

    def flush(self, durable: bool = False) -> int:
        """The first rank writes."""
        return 0

    def forget_after(self, step: int) -> None:
        """The first rank forgets."""

    def close(self) -> None:
        """Nothing is held."""


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
        write_json(path / "control.json", {key: value for key, (value, _) in CONTROL.items()})
    except (OSError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"cannot make a run in {path}: {reason}") from error
    return Run(path)
