"""Writing a run directory: one process holds its lock and writes everything but checkpoints."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock, Timeout

from wcord.runs.records import CONTROL, defaults
from wcord.runs.run import Run
from wcord.runs.storage import (
    StorageError,
    append,
    numbered,
    plain,
    remove_temporary_files,
    sentence,
    write_bytes,
    write_json,
)

if TYPE_CHECKING:
    from wcord.runs.tensorboard import TensorBoardFile

STATUS_EVERY = 0.25  # seconds between two writes of status.json


class RunLocked(ValueError):
    """A living process writes this run already."""


class RunWriter(Protocol):
    """What training needs of a run directory. `FileWriter` writes it, `SilentWriter` does not."""

    path: Path
    end_requested: bool  # set by a signal; has the effect of a stop

    def write_status(self, *, now: bool = False, **change: Any) -> None:
        """Write the changed entries of status.json, at most four times a second unless `now`."""

    def read_control(self) -> dict[str, Any]:
        """Return the entries of control.json."""

    def open_metrics(self, length: int) -> None:
        """Append to metrics.jsonl after its first `length` bytes; the rest is cut off."""

    def record(self, step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        """Take values of one arm ("" for the run's own) at one step."""

    def flush(self, durable: bool = False) -> int:
        """Write the recorded values; return the length of metrics.jsonl."""

    def snapshot(self, step: int, content: bytes, limit: int) -> None:
        """Write one snapshot, and keep at most `limit`."""

    def remove_after(self, step: int) -> None:
        """Remove snapshots and maps of later steps, which resuming will make again."""

    def close(self) -> None:
        """Close the files and free the lock."""


class SilentWriter:
    """Writes nothing: for the ranks other than the first, which follow the first one's decisions.

    Args:
        run: the run that the first rank writes.
    """

    def __init__(self, run: Run) -> None:
        self.path = run.path
        self.end_requested = False

    def write_status(self, *, now: bool = False, **change: Any) -> None:
        """Write nothing."""

    def read_control(self) -> dict[str, Any]:
        """Return the defaults: to go on at full speed."""
        return defaults(CONTROL)

    def open_metrics(self, length: int) -> None:
        """Open nothing."""

    def record(self, step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        """Drop the values."""

    def flush(self, durable: bool = False) -> int:
        """Write nothing; the length is 0."""
        return 0

    def snapshot(self, step: int, content: bytes, limit: int) -> None:
        """Write nothing."""

    def remove_after(self, step: int) -> None:
        """Remove nothing."""

    def close(self) -> None:
        """Close nothing."""


class FileWriter:
    """Holds the lock of a run directory and writes into it.

    Args:
        run: the run, whose directory holds settings.yaml.

    Raises:
        RunLocked: another living process writes the run.
        wcord.runs.storage.StorageError: its directory cannot be written.
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
        remove_temporary_files(self.path)
        self._pending: list[str] = []
        self._metrics: Any = None
        self._length = 0
        self._mirror: TensorBoardFile | None = None
        self._control_version: tuple[int, int] | None = None
        self._control = run.control
        self.end_requested = False
        self._status_written = 0.0
        before = run.status  # a resumed run begins where it stopped
        self.status: dict[str, Any] = {
            "state": "starting", "eta": None, "heartbeat": None, "error": None,
            "pid": os.getpid(), "host": socket.gethostname(),
            "step": before.step, "total": before.total, "epoch": before.epoch,
        }  # fmt: skip

    # -- status and control ----------------------------------------------------------------

    def write_status(self, *, now: bool = False, **change: Any) -> None:
        """Write the changed entries of status.json, at most four times a second unless `now`.

        A new state or error is always written at once.
        """
        now = now or any(self.status[k] != change[k] for k in ("state", "error") if k in change)
        self.status.update(change)
        moment = time.monotonic()
        if now or moment - self._status_written >= STATUS_EVERY:
            self._status_written = moment
            self.status["heartbeat"] = time.time()
            write_json(self.path / "status.json", self.status)

    def read_control(self) -> dict[str, Any]:
        """Return the entries of control.json; the file is only read when it has changed."""
        try:
            stat = os.stat(self.path / "control.json")
        except OSError:
            stat = None
        if stat and (version := (stat.st_mtime_ns, stat.st_ino)) != self._control_version:
            self._control_version = version
            self._control = self.run.control
        return self._control | {"stop": True} if self.end_requested else self._control

    # -- metrics ---------------------------------------------------------------------------

    def open_metrics(self, length: int) -> None:
        """Append to metrics.jsonl after its first `length` bytes; the rest is cut off.

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
        from wcord.runs.tensorboard import TensorBoardFile  # readers do without TensorBoard

        self._mirror = TensorBoardFile(self.path)

    def record(self, step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        """Take values of one arm ("" for the run's own) at one step."""
        epoch = round(epoch, 4)
        for name, value in values.items():
            line = {"step": step, "epoch": epoch, "arm": arm, "name": name, "value": value}
            self._pending.append(json.dumps(plain(line)))
        if self._mirror is not None:
            self._mirror.add(f"{arm}/" if arm else "", step, values)

    def flush(self, durable: bool = False) -> int:
        """Write the recorded values; return the length of metrics.jsonl.

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
        self._flush_mirror()
        return self._length

    def _flush_mirror(self) -> None:
        try:
            if self._mirror is not None:
                self._mirror.flush()
        except OSError:  # only a mirror: metrics.jsonl is written and holds the truth
            self._mirror = None

    # -- snapshots -------------------------------------------------------------------------

    def snapshot(self, step: int, content: bytes, limit: int) -> None:
        """Write one snapshot and thin the others evenly to `limit`, first and last kept."""
        folder = self.path / "snapshots"
        write_bytes(folder / f"{step}.safetensors", content)
        steps = self.run.steps
        if len(steps) > limit:
            gaps = [steps[i + 1] - steps[i - 1] for i in range(1, len(steps) - 1)]
            least = steps[1 + gaps.index(min(gaps))]
            (folder / f"{least}.safetensors").unlink(missing_ok=True)

    def remove_after(self, step: int) -> None:
        """Remove snapshots and maps of later steps, which resuming will make again."""
        for folder in (self.path / "snapshots", *self.path.glob("maps/*")):
            for later in numbered(folder, ".safetensors"):
                if later > step:
                    (folder / f"{later}.safetensors").unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files and free the lock."""
        try:
            with suppress(OSError):
                if self._metrics is not None:
                    self._metrics.close()
            self._flush_mirror()
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
        write_json(path / "control.json", defaults(CONTROL))
    except (OSError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"cannot make a run in {path}: {reason}") from error
    return Run(path)
