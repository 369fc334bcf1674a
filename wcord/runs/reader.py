"""A run on disk, read and steered: the only link between training and looking.

Nothing here needs the writer to be alive, and nothing here imports torch until a trained
student is asked for.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from wcord.storage import numbered, read_json, write_bytes, write_json
from wcord.tables import CONTROL, ENDED, STATUS, read_settings, read_table

if TYPE_CHECKING:
    from torch import nn

    from wcord.experiment import Experiment

SILENT_AFTER = 30.0  # seconds without a heartbeat before a remote run is called silent
_COLUMNS = ["step", "epoch", "arm", "name", "value"]


def runs_folder() -> Path:
    """Return the folder of all runs: `WCORD_RUNS`, else `runs` in the working directory."""
    return Path(os.environ.get("WCORD_RUNS", "runs")).expanduser()


def list_runs(folder: Path | None = None) -> list[Run]:
    """Return the runs of a folder, newest first; what is no run is passed over."""
    folder = folder or runs_folder()
    if not folder.is_dir():
        return []
    paths = [path.parent for path in folder.glob("*/settings.yaml")]
    return [Run(path) for path in sorted(paths, key=_created, reverse=True)]


def run_path(name: str, folder: Path | None = None) -> Path:
    """Return the place inside the runs folder that a run of this name has or would have.

    Raises:
        ValueError: the name could lead outside of the folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{,199}", name) or ".." in name:
        raise ValueError(f"{name!r} is no run name: letters, digits, '-', '_', '+' and '.' only")
    return (folder or runs_folder()) / name


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


class Status(dict):
    """What status.json says, each entry as a key and as an attribute.

    state, step, total, epoch, eta (seconds), pid, host, heartbeat (seconds since 1970), error,
    and `alive`: True or False where the lock can tell, None for a run on another machine.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"status has no {name!r}; it has {', '.join(self)}") from None

    @property
    def sentence(self) -> str:
        """One line for people: how far the run is and whether anything is wrong."""
        state, step, total = self["state"], self["step"], self["total"]
        if state in ENDED:
            return f"{state} at step {step} of {total}" + (
                f": {self['error']}" if self["error"] else ""
            )
        if self["alive"] is False:
            return f"interrupted at step {step} of {total}: its process has ended; resume continues"
        silence = time.time() - (self["heartbeat"] or 0)
        if self["alive"] is None and silence > SILENT_AFTER:
            return f"{state}, step {step} of {total}: no sign for {silence:.0f} s"
        left = f", {self['eta']:.0f} s left" if self["eta"] and state == "running" else ""
        return f"{state}, step {step} of {total}{left}"


@dataclass(frozen=True)
class ArmPicture:
    """One arm at one probe, as numpy arrays.

    plan, cost, scores (n, n): rows are teacher samples, columns student samples; the plan sums
    to 1. teacher, student (m, d): projected features. prediction (m,): the student's classes.
    values: scalars by name. fitted: the projection is a ridge map made for the picture only.
    """

    plan: np.ndarray
    cost: np.ndarray
    scores: np.ndarray
    teacher: np.ndarray
    student: np.ndarray
    prediction: np.ndarray
    values: dict[str, float]
    fitted: bool


_PICTURE = ("plan", "cost", "scores", "teacher", "student", "prediction")


def _whole(array: np.ndarray) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"integers (m,) were expected, not {array.dtype} {array.shape}")
    return array.astype(np.int64)


def _check_arrays(arrays: dict[str, np.ndarray], arm: str, samples: int) -> None:
    """Refuse arrays of one arm that do not fit together."""
    n = len(arrays["plan"])
    squares = all(arrays[key].shape == (n, n) for key in ("plan", "cost", "scores"))
    rows = all(arrays[key].shape[:1] == (samples,) for key in ("teacher", "student", "prediction"))
    flat = [arrays[key].ndim for key in ("teacher", "student", "prediction")] == [2, 2, 1]
    if not (squares and rows and flat and 0 < n <= samples):
        raise ValueError(f"the arrays of arm {arm!r} do not fit together")


class Snapshot:
    """One probe of a run: `labels` and `index` (m,) of its samples, and every arm's picture.

    The first n of the m samples are the probe batch of plan, cost and scores; `index` counts in
    the held-out part.
    """

    def __init__(self, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
        self._arrays = arrays
        self._values: dict[str, dict[str, float]] = {
            str(arm): {str(k): float("nan") if v is None else float(v) for k, v in inner.items()}
            for arm, inner in header["values"].items()
        }
        self._fitted: list[str] = list(header["fitted"])
        self.step, self.epoch = int(header["step"]), float(header["epoch"])
        self.labels, self.index = (_whole(arrays[key]) for key in ("labels", "index"))
        for arm in self._values:
            _check_arrays({key: arrays[f"{arm}/{key}"] for key in _PICTURE}, arm, len(self.labels))

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read a snapshot file.

        Raises:
            ValueError: the file is damaged or is no snapshot.
        """
        from safetensors.numpy import load

        try:
            content = path.read_bytes()
            header = _metadata(content)
            return cls(load(content), json.loads(header["snapshot"]))
        except FileNotFoundError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"snapshot {path.name} cannot be read: {reason:.200}") from error

    @property
    def arms(self) -> list[str]:
        """The arms that were probed, in the order of the settings."""
        return list(self._values)

    def values(self, arm: str) -> dict[str, float]:
        """Return the scalars of an arm without touching its arrays."""
        if arm not in self._values:
            raise ValueError(f"no arm {arm!r} in this snapshot; it has {', '.join(self.arms)}")
        return dict(self._values[arm])

    def arm(self, name: str) -> ArmPicture:
        """Return one arm's picture, in float32.

        Raises:
            ValueError: no such arm in this snapshot.
        """
        values = self.values(name)
        part = {key: self._arrays[f"{name}/{key}"] for key in ("plan", "cost", "scores")}
        wide = {key: array.astype(np.float32) for key, array in part.items()}
        wide["plan"] /= wide["plan"].shape[0]  # stored as plan × n, which keeps fp16 exact enough
        return ArmPicture(
            **wide,
            teacher=self._arrays[f"{name}/teacher"].astype(np.float32),
            student=self._arrays[f"{name}/student"].astype(np.float32),
            prediction=self._arrays[f"{name}/prediction"].astype(np.int64),
            values=values,
            fitted=name in self._fitted,
        )


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def _is_run(path: Path) -> bool:
    try:
        return (path / "settings.yaml").is_file()
    except OSError:  # a name too long, a folder that may not be read
        return False


def _shown(path: Path) -> str:
    text = str(path)
    return text if text.isprintable() else repr(text)


class Run:
    """A run directory: read it while it grows, steer it, or look back at it.

    Args:
        path: the directory; a name alone is looked up in the runs folder.

    Raises:
        ValueError: there is no run there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = Path(path)
        if not _is_run(path):
            inside = runs_folder() / path
            if len(path.parts) != 1 or not _is_run(inside):
                raise ValueError(f"no run at {_shown(path)}: settings.yaml is missing")
            path = inside
        self.path = path
        self.students: dict[str, nn.Module] = {}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.status.sentence})"

    @property
    def name(self) -> str:
        """The name of the directory, by which the run is known."""
        return self.path.name

    # -- reading ---------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """What the writer last said, and whether it is alive."""
        status = Status(read_table(self.path / "status.json", STATUS))
        status["alive"] = self._alive(status)
        return status

    def _alive(self, status: Status) -> bool | None:
        if status["state"] in ENDED:
            return False
        if status["host"] not in (None, socket.gethostname()):
            return None
        if is_locked(self.path):
            return True
        # Between launching and locking lie the seconds that importing torch takes.
        return status["state"] == "starting" and _process_exists(status["pid"])

    @property
    def settings(self) -> Experiment:
        """The settings of the run, complete: enough to run it again."""
        from wcord.experiment import load

        return load(self.path / "settings.yaml")

    @property
    def plain_settings(self) -> dict[str, Any]:
        """The settings as plain data, unvalidated: for readers that must not wait for torch."""
        return read_settings(self.path / "settings.yaml")

    @property
    def arms(self) -> list[str]:
        """The names of the arms, in the order of the settings."""
        arms = self.plain_settings.get("arms")
        if not isinstance(arms, dict):
            raise ValueError(f"{self.name}: settings.yaml names no arms")
        return [str(arm) for arm in arms]

    @property
    def summary(self) -> dict[str, Any] | None:
        """The results, once the run has finished."""
        said = read_json(self.path / "summary.json")
        return said if isinstance(said, dict) else None

    @property
    def data(self) -> dict[str, Any] | None:
        """What was found in the data, and what else the run was made from; None in older runs.

        name; classes, a list of {name, train, held_out, test}; labels, the class names of the
        label sets of "teacher" and "student"; passed_over, a list of {file, why}, and
        passed_over_count; remarks, a list of {about, remark}; inputs, fingerprint (see
        `wcord.provenance`); own, what the caller gave.
        """
        found = read_json(self.path / "data.json")
        return found if isinstance(found, dict) else None

    def metrics(self) -> pd.DataFrame:
        """Return every value written so far: step, epoch, arm ("" for the run's own), name, value.

        A last line that is still being written is left out.

        Raises:
            ValueError: another line is no value.
        """
        path = self.path / "metrics.jsonl"
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            return pd.DataFrame(columns=_COLUMNS)
        try:
            frame = pd.read_json(
                io.BytesIO(whole), lines=True, precise_float=True, dtype={"arm": str, "name": str}
            )
            frame = frame[_COLUMNS].astype({"step": np.int64, "epoch": float, "value": float})
        except Exception as error:
            raise ValueError(_first_bad_line(self.name, whole)) from error
        return frame

    @property
    def steps(self) -> list[int]:
        """The steps that have a snapshot, ascending."""
        return numbered(self.path / "snapshots", ".safetensors")

    def snapshot(self, step: int | None = None) -> Snapshot:
        """Return the snapshot of a step; without a step, the newest.

        Raises:
            ValueError: there is none, or it is damaged.
        """
        steps = self.steps
        if step is None and steps:
            step = steps[-1]
        if step is None or step not in steps:
            known = f"there are {len(steps)}, {steps[0]} to {steps[-1]}" if steps else "none yet"
            raise ValueError(f"no snapshot of step {step} in {self.name}: {known}")
        return Snapshot.read(self.path / "snapshots" / f"{step}.safetensors")

    def student(self, arm: str) -> nn.Module:
        """Return the trained student of an arm: a plain module, images to logits.

        It is in evaluation mode, and takes images as the student's view and normalisation make
        them (`wcord.task.Sight`). The Run of `distill` gives the very modules it trained, any
        other the newest checkpoint's, on the CPU. For features: `wcord.models.Network(module)`.

        Raises:
            ValueError: no such arm, no checkpoint yet.
        """
        from wcord.distillation import load_student

        return self.students[arm] if arm in self.students else load_student(self, arm)

    @property
    def notes(self) -> str:
        """What people wrote about the run; it lies beside the numbers, in notes.txt."""
        try:
            return (self.path / "notes.txt").read_text("utf-8", errors="replace")
        except OSError:
            return ""

    def note(self, text: str) -> None:
        """Replace the notes about the run.

        Raises:
            wcord.storage.StorageError: they could not be written.
        """
        write_bytes(self.path / "notes.txt", text.encode())

    # -- steering --------------------------------------------------------------------------

    @property
    def control(self) -> dict[str, Any]:
        """What the writer is asked to do now."""
        return read_table(self.path / "control.json", CONTROL)

    def _steer(self, **change: Any) -> None:
        write_json(self.path / "control.json", self.control | change)

    def pause(self) -> None:
        """Pause before the next step."""
        self._steer(pause_at=0)

    def step(self, count: int = 1) -> None:
        """Go on for `count` steps, then pause."""
        self._steer(pause_at=self.status["step"] + count)

    def resume(self) -> None:
        """Go on without pausing. (A run whose process has ended: `wcord.resume`.)"""
        self._steer(pause_at=None)

    def stop(self) -> None:
        """End the run after the step under way, with a checkpoint."""
        self._steer(stop=True)

    def pace(self, delay: float) -> None:
        """Let a step take at least `delay` seconds; 0 is full speed."""
        if not 0 <= delay < float("inf"):
            raise ValueError(f"delay is {delay}: it is a number of seconds, 0 or more")
        self._steer(delay=float(delay))

    def wait(self, timeout: float | None = None, every: float = 0.1) -> Status:
        """Return the status once the run has ended.

        Raises:
            TimeoutError: it goes on after `timeout` seconds.
            RuntimeError: its process ended without a word.
        """
        start = time.monotonic()
        while True:
            status = self.status
            if status["state"] in ENDED:
                return status
            if status["alive"] is False:
                raise RuntimeError(f"{self.name}: {status.sentence}")
            if timeout is not None and time.monotonic() - start > timeout:
                raise TimeoutError(f"{self.name} goes on after {timeout:g} s: {status.sentence}")
            time.sleep(every)

    def delete(self) -> None:
        """Remove the directory.

        Raises:
            ValueError: the run is being written.
        """
        if is_locked(self.path):
            raise ValueError(f"{self.name} is being written: stop it first")
        shutil.rmtree(self.path)


def _first_bad_line(name: str, content: bytes) -> str:
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            value = json.loads(line)
            sound = isinstance(value, dict) and set(_COLUMNS) <= value.keys()
        except (ValueError, RecursionError):
            sound = False
        if not sound:
            return f"{name}: metrics.jsonl is damaged: line {number} is no value"
    return f"{name}: metrics.jsonl is damaged: it holds values of mixed kinds"


def is_locked(path: Path) -> bool:
    """Return whether a living process of this machine writes the run."""
    if not (path / "lock").exists():
        return False
    lock = FileLock(path / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _process_exists(pid: int | None) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
