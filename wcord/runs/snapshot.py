"""A snapshot: the arrays and values of one probe of a run, in numpy."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wcord.runs.storage import safetensors_metadata


@dataclass(frozen=True)
class ArmSnapshot:
    """One arm at one probe, as numpy arrays.

    Attributes:
        plan: (n, n), the transport plan, with sum 1; rows are teacher samples and columns
            student samples.
        cost: (n, n), the cost of each pair, in the same order.
        scores: (n, n), the critic's score of each pair, in the same order.
        teacher: (m, d), the projected features of the teacher.
        student: (m, d), the projected features of the student.
        prediction: (m,), the class that the student predicts.
        values: scalars by name.
        fitted: whether the projection is a ridge map that was fitted for the picture, because the
            arm trains no embeddings of equal dimension.
    """

    plan: np.ndarray
    cost: np.ndarray
    scores: np.ndarray
    teacher: np.ndarray
    student: np.ndarray
    prediction: np.ndarray
    values: dict[str, float]
    fitted: bool


LARGEST_HEADER = 100_000_000  # bytes, in the safetensors format
_ARRAYS = ("plan", "cost", "scores", "teacher", "student", "prediction")


class _Misfit(ValueError):
    """Arrays that do not fit together; the message says which."""


def _damage(content: bytes) -> str:
    """Return in words why the content of a file is no snapshot."""
    if not content:
        return "it is empty"
    length = int.from_bytes(content[:8], "little")
    end = 8 + length if length <= LARGEST_HEADER else 8
    with suppress(Exception):  # a header that is damaged does not tell where the arrays end
        parts = json.loads(content[8:end])
        end += max(parts[name]["data_offsets"][1] for name in parts if name != "__metadata__")
    return "it is cut off" if len(content) < end else "its bytes are damaged"


def _integers(array: np.ndarray) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise _Misfit(f"integers (m,) were expected, not {array.dtype} {array.shape}")
    return array.astype(np.int64)


def _check_arrays(arrays: dict[str, np.ndarray], arm: str, samples: int) -> None:
    """Refuse arrays of one arm that do not fit together."""
    n = len(arrays["plan"])
    squares = all(arrays[key].shape == (n, n) for key in ("plan", "cost", "scores"))
    rows = all(arrays[key].shape[:1] == (samples,) for key in ("teacher", "student", "prediction"))
    flat = [arrays[key].ndim for key in ("teacher", "student", "prediction")] == [2, 2, 1]
    if not (squares and rows and flat and 0 < n <= samples):
        raise _Misfit(f"the arrays of arm {arm!r} do not fit together")
    of_teacher, of_student = arrays["teacher"].shape[1], arrays["student"].shape[1]
    if of_teacher != of_student or of_teacher < 1:
        raise _Misfit(
            f"teacher and student of arm {arm!r} have {of_teacher} and {of_student} features: "
            "the same number, at least 1, was expected"
        )


class Snapshot:
    """One probe of a run: m samples of the held-out part, and the arrays of each arm.

    Plan, cost and scores are those of the first n of the m samples.

    Attributes:
        step: number of training steps before the probe.
        epoch: number of epochs before the probe, with a fraction.
        labels: (m,) int64, the classes of the samples.
        index: (m,) int64, the positions of the samples in the held-out part.
    """

    def __init__(self, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
        self._arrays = arrays
        self._values: dict[str, dict[str, float]] = {
            str(arm): {str(k): float("nan") if v is None else float(v) for k, v in inner.items()}
            for arm, inner in header["values"].items()
        }
        self._fitted: list[str] = list(header["fitted"])
        self.step, self.epoch = int(header["step"]), float(header["epoch"])
        self.labels, self.index = (_integers(arrays[key]) for key in ("labels", "index"))
        for arm in self._values:
            _check_arrays({key: arrays[f"{arm}/{key}"] for key in _ARRAYS}, arm, len(self.labels))

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read a snapshot file.

        Raises:
            ValueError: the file is damaged or not a snapshot.
            FileNotFoundError: there is no such file.
        """
        from safetensors.numpy import load

        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            reason = "it is a folder" if path.is_dir() else "it cannot be opened"
            raise ValueError(f"snapshot {path.name} cannot be read: {reason}") from error
        try:
            header = json.loads(safetensors_metadata(content)["snapshot"])
            return cls(load(content), header)
        except Exception as error:
            reason = str(error) if isinstance(error, _Misfit) else _damage(content)
            raise ValueError(f"snapshot {path.name} cannot be read: {reason:.200}") from error

    @property
    def arms(self) -> list[str]:
        """The arms that were probed, in the order of the settings."""
        return list(self._values)

    def values(self, arm: str) -> dict[str, float]:
        """Return the scalars of an arm.

        Raises:
            ValueError: no such arm in this snapshot.
        """
        if arm not in self._values:
            raise ValueError(f"no arm {arm!r} in this snapshot; it has {', '.join(self.arms)}")
        return dict(self._values[arm])

    def arm(self, name: str) -> ArmSnapshot:
        """Return the arrays and scalars of one arm, in float32.

        Raises:
            ValueError: no such arm in this snapshot.
        """
        values = self.values(name)
        matrices = {
            key: self._arrays[f"{name}/{key}"].astype(np.float32)
            for key in ("plan", "cost", "scores")
        }
        matrices["plan"] /= len(matrices["plan"])  # stored as plan × n: fp16 is coarse near 0
        return ArmSnapshot(
            **matrices,
            teacher=self._arrays[f"{name}/teacher"].astype(np.float32),
            student=self._arrays[f"{name}/student"].astype(np.float32),
            prediction=self._arrays[f"{name}/prediction"].astype(np.int64),
            values=values,
            fitted=name in self._fitted,
        )
