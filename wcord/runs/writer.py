"""Write a run directory: status, metrics and snapshots, by the process that holds the lock."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock, Timeout

from wcord.runs.read_status import Status
from wcord.runs.records import CONTROL, defaults
from wcord.runs.run import Run
from wcord.runs.storage import (
    StorageError,
    append,
    numbered,
    plain,
    remove_temporary_files,
    write_bytes,
    write_failure,
    write_json,
)

if TYPE_CHECKING:
    from wcord.runs.tensorboard import TensorBoardFile

STATUS_EVERY = 0.25  # seconds between two writes of status.json


class RunLocked(ValueError):
    """Another process holds the lock of the run."""


class RunWriter(Protocol):
    """The methods with which training writes a run.

    `FileWriter` writes files, `SilentWriter` writes nothing. A signal handler sets `end_requested`,
    which has the effect of a stop in control.json.
    """

    path: Path
    end_requested: bool

    def write_status(self, *, now: bool = False, **change: Any) -> None:
        """Write the changed entries of status.json, at most four times a second unless `now`."""

    def read_control(self) -> dict[str, Any]:
        """Return the entries of control.json."""

    def open_metrics(self, length: int) -> None:
        """Cut metrics.jsonl to its first `length` bytes and open it for appending."""

    def record(self, step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        """Collect values of one arm ("" for the run's own) at one step."""

    def flush(self, durable: bool = False) -> int:
        """Write the collected values; return the length of metrics.jsonl."""

    def write_snapshot(self, step: int, content: bytes, limit: int) -> None:
        """Write one snapshot, and keep at most `limit` of all."""

    def remove_after(self, step: int) -> None:
        """Remove the snapshots and maps of later steps, which a resumed run writes again."""

    def close(self) -> None:
        """Close the files and free the lock."""


class SilentWriter:
    """Writes nothing. All ranks but the first use it; they follow the decisions of the first.

    Args:
        run: the run that the first rank writes.
    """

    def __init__(self, run: Run) -> None:
        self.path = run.path
        self.end_requested = False

    def write_status(self, *, now: bool = False, **change: Any) -> None:
        """Write nothing."""

    def read_control(self) -> dict[str, Any]:
        """Return the defaults: no request."""
        return defaults(CONTROL)

    def open_metrics(self, length: int) -> None:
        """Do nothing."""

    def record(self, step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        """Discard the values."""

    def flush(self, durable: bool = False) -> int:
        """Write nothing and return 0."""
        return 0

    def write_snapshot(self, step: int, content: bytes, limit: int) -> None:
        """Write nothing."""

    def remove_after(self, step: int) -> None:
        """Remove nothing."""

    def close(self) -> None:
        """Do nothing."""


class FileWriter:
    """Writes a run directory and holds its lock until `close`.

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
        self.end_requested = False
        self._control = run.control
        self._control_version: tuple[int, int] | None = None
        self._lines: list[str] = []
        self._metrics: Any = None
        self._length = 0
        self._tensorboard: TensorBoardFile | None = None
        self._status_written = 0.0
        before = run.status  # keeps the progress of a resumed run
        self._status = Status(
            step=before.step,
            total=before.total,
            epoch=before.epoch,
            pid=os.getpid(),
            host=socket.gethostname(),
        )

    # -- status and control ----------------------------------------------------------------

    def write_status(self, *, now: bool = False, **change: Any) -> None:
        """Write the changed entries of status.json, at most four times a second unless `now`.

        A new state or error is always written at once.
        """
        before, self._status = self._status, replace(self._status, **change)
        now |= (before.state, before.error) != (self._status.state, self._status.error)
        moment = time.monotonic()
        if now or moment - self._status_written >= STATUS_EVERY:
            self._status_written = moment
            self._status = replace(self._status, heartbeat=time.time())
            write_json(self.path / "status.json", self._status.entries())

    def read_control(self) -> dict[str, Any]:
        """Return the entries of control.json; the file is only read again when it has changed."""
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
        """Cut metrics.jsonl to its first `length` bytes and open it for appending.

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
        from wcord.runs.tensorboard import TensorBoardFile  # readers do not need TensorBoard

        self._tensorboard = TensorBoardFile(self.path)

    def record(self, step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        """Collect values of one arm ("" for the run's own) at one step."""
        epoch = round(epoch, 4)
        for name, value in values.items():
            line = {"step": step, "epoch": epoch, "arm": arm, "name": name, "value": value}
            self._lines.append(json.dumps(plain(line)))
        if self._tensorboard is not None:
            self._tensorboard.add(f"{arm}/" if arm else "", step, values)

    def flush(self, durable: bool = False) -> int:
        """Write the collected values; return the length of metrics.jsonl.

        Args:
            durable: flush to the disk as well, before a checkpoint stores the length.

        Raises:
            StorageError: the disk is full or the folder is missing.
        """
        try:
            if self._lines:
                content = ("\n".join(self._lines) + "\n").encode()
                append(self._metrics, content)
                self._lines = []
                self._length += len(content)
            if durable:
                os.fsync(self._metrics.fileno())
        except OSError as error:
            raise StorageError(write_failure(error, self.path / "metrics.jsonl")) from error
        self._flush_tensorboard()
        return self._length

    def _flush_tensorboard(self) -> None:
        try:
            if self._tensorboard is not None:
                self._tensorboard.flush()
        except OSError:  # the run continues without TensorBoard: metrics.jsonl has all values
            self._tensorboard = None

    # -- snapshots -------------------------------------------------------------------------

    def write_snapshot(self, step: int, content: bytes, limit: int) -> None:
        """Write one snapshot; thin all snapshots evenly to `limit`, but keep first and last."""
        folder = self.path / "snapshots"
        write_bytes(folder / f"{step}.safetensors", content)
        steps = self.run.steps
        if len(steps) > limit:
            gaps = [steps[i + 1] - steps[i - 1] for i in range(1, len(steps) - 1)]
            densest = steps[1 + gaps.index(min(gaps))]
            (folder / f"{densest}.safetensors").unlink(missing_ok=True)

    def remove_after(self, step: int) -> None:
        """Remove the snapshots and maps of later steps, which a resumed run writes again."""
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
            self._flush_tensorboard()
        finally:
            self._lock.release()


def create(path: Path, settings: str) -> Run:
    """Create a run directory with its settings (YAML) and return the run.

    Raises:
        ValueError: the directory exists and is not empty, or cannot be written.
    """
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(f"{path} exists: choose another folder, or resume the run in it")
        _fill(path, settings)
    except (OSError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"cannot make a run in {path}: {reason}") from error
    return Run(path)


def _fill(path: Path, settings: str) -> None:
    """Make a run directory where there is none or an empty one; leave nothing if this fails."""
    made = missing_folders(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_bytes(path / "settings.yaml", settings.encode())
        write_json(path / "control.json", defaults(CONTROL))
    except BaseException:
        discard(path, made)
        raise


def missing_folders(path: Path) -> list[Path]:
    """Return the folders that must be made for a path to be a folder, from the path outwards."""
    try:
        return [folder for folder in (path, *path.parents) if not folder.exists()]
    except OSError:  # the name is too long, or a folder cannot be read
        return []


def discard(path: Path, made: list[Path]) -> None:
    """Remove the content of a run directory that was never used, and the folders made for it.

    Args:
        path: the run directory.
        made: as `missing_folders` returned it before the directory was made. Folders of these that
            hold other files stay.
    """
    with suppress(OSError):
        for inside in path.iterdir():
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside, ignore_errors=True)
            else:
                inside.unlink()
    for folder in made:
        with suppress(OSError):
            folder.rmdir()
