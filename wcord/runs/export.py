"""Write a trained student into one file that other programs use without wcord."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from wcord.compute.seeds import seed_of
from wcord.data import load as load_data
from wcord.errors import first_line
from wcord.runs.data_provenance import OBJECTS, read_inputs
from wcord.runs.export_formats import ImagesToLogits, file_content, format_of, require_onnx
from wcord.runs.storage import StorageError, write_bytes
from wcord.runs.student_card import student_card
from wcord.runs.trained_students import TrainedStudent, load_student
from wcord.settings.messages import SettingsError
from wcord.views import View
from wcord.views.normalise import mean_and_deviation


def export_student(
    run: Path,
    arm: str,
    file: str | os.PathLike[str],
    overwrite: bool = False,
    module: nn.Module | None = None,
) -> Path:
    """Write the student of an arm, with its normalisation and its card (see `Run.export`).

    Args:
        run: the run directory.
        arm, file, overwrite, module: as in `Run.export`.
    """
    target = Path(file).expanduser()
    suffix = _check_target(target, overwrite)
    student = load_student(run, arm, module)
    mean, std = _statistics(run, student)
    card = student_card(run, arm, student, mean, std)
    shape = (student.built["channels"], *student.built["size"])
    content = file_content(suffix, ImagesToLogits(student.module, mean, std), shape, card)
    try:
        write_bytes(target, content)
    except StorageError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"the disk is full: {target} was not written") from cause
        raise
    return target


def _check_target(target: Path, overwrite: bool) -> str:
    """Return the suffix of a file that can be written; nothing is loaded before that is known."""
    suffix = format_of(target)
    if target.is_dir():
        raise SettingsError(f"{target} is a folder: name a file")
    if os.path.lexists(target) and not overwrite:
        raise SettingsError(
            f"{target} exists: choose another name, or give overwrite=True (--overwrite)"
        )
    if not target.parent.is_dir():
        raise SettingsError(f"the folder {target.parent} does not exist: make it first")
    if not os.access(target.parent, os.W_OK):
        raise SettingsError(f"no permission to write in {target.parent}: choose another folder")
    if suffix == ".onnx":
        require_onnx()
    return suffix


def _statistics(run: Path, student: TrainedStudent) -> tuple[Tensor, Tensor]:
    """Return mean and std (C,) of the student's images.

    Checkpoints of older versions do not hold them; then measured ones are computed from the data.
    """
    built, experiment = student.built, student.experiment
    if "mean" in built:
        mean, std = (torch.tensor(built[name], dtype=torch.float32) for name in ("mean", "std"))
        return mean, std
    inputs = read_inputs(run) or {}
    if "data" in inputs.get(OBJECTS, ""):
        raise SettingsError(
            f"{run.name} was trained by an older version on data of your own and does not hold "
            "their mean and std: train it again"
        )
    try:
        data = load_data(experiment.data, experiment.seed, experiment.student.labels)
    except (ValueError, OSError) as error:
        raise SettingsError(
            f"{run.name} was trained by an older version, so its data are needed for mean and std: "
            f"{first_line(error)}"
        ) from error
    if any(inputs.get(name, value) != value for name, value in data.fingerprints.items()):
        raise SettingsError(
            f"{run.name} was trained by an older version, so its data are needed for mean and std, "
            "but the data have changed since"
        )
    view = View.parse(experiment.student.view)
    seed = seed_of(experiment.seed, "view")
    return mean_and_deviation(experiment.student.normalise, view, data, seed)
