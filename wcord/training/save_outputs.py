"""Write the outputs of a teacher to a file that takes its place in other runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wcord.compute.memory_format import to_device
from wcord.data import Data
from wcord.data.teacher_outputs import PART_NAMES
from wcord.data.teacher_outputs_file import check_suffix, file_content
from wcord.models import Network, Output
from wcord.models.user_modules import wrap_user_module
from wcord.runs import Run, data_provenance
from wcord.runs.storage import write_bytes
from wcord.settings.experiment import Experiment
from wcord.settings.loading import load
from wcord.settings.messages import SettingsError
from wcord.training import teacher as teachers
from wcord.training.devices import choose_device, chosen_threads
from wcord.training.evaluation import outputs
from wcord.training.inputs import NetworkInput, read_data

# settings with which no sample is left out
ALL_SAMPLES = {"data.train_size": None, "data.test_size": None, "data.drop_gray": False}


def save_teacher_outputs(
    teacher: Run | nn.Module,
    path: str | os.PathLike[str],
    data: Any = None,
    experiment: Experiment | str | None = None,
) -> Path:
    """Write the features and logits of a teacher for every sample of its data to a file.

    The setting `teacher.outputs` then uses the file in place of the teacher. It holds the digest of
    the samples, so it is refused for other samples. Samples are not augmented.

    Args:
        teacher: a run, whose teacher is used; or a classifier of your own.
        path: ends in .npz or .safetensors.
        data: your arrays or Dataset, as in `wcord.distill`; None: `data.source` of the settings.
        experiment: settings, or the name of a preset, with data, `teacher.view`,
            `teacher.normalise` and `teacher.labels`; those of the run by default.

    Returns:
        The path.

    Raises:
        ValueError: a run without a teacher of its own, a module without settings, or a module that
            does not fit the data.
        wcord.runs.storage.StorageError: the file could not be written.
    """
    path = Path(path)
    check_suffix(path)
    if isinstance(teacher, Run):
        experiment = teacher.settings if experiment is None else experiment
        _check_run(teacher, data)
    elif experiment is None:
        raise SettingsError(
            "give experiment= with a module: its teacher.view, teacher.normalise and data are used"
        )
    experiment = load(experiment) if isinstance(experiment, str) else experiment
    device = choose_device(experiment.device)
    samples = read_data(experiment, data).to(device)
    _check_samples(teacher, samples)
    try:
        teacher_input = NetworkInput(experiment.teacher, samples, experiment.seed)
    except ValueError as error:
        raise SettingsError(f"teacher: {error}") from error
    network = to_device(_network(teacher, experiment, samples, teacher_input), device)
    complete = experiment.replace(ALL_SAMPLES)
    whole = samples if complete == experiment else read_data(complete, data).to(device)
    with chosen_threads(experiment):
        arrays = _arrays(network, teacher_input, samples, whole)
    write_bytes(path, file_content(path, arrays, samples), durable=True)
    return path


def _check_run(run: Run, data: Any) -> None:
    """Refuse a run whose teacher is not stored with it, or whose data must be given."""
    own = (run.data or {}).get("own", [])
    if "teacher" in own:
        raise SettingsError(
            f"the teacher of {run.name} was a module of your own: give the module, with experiment="
        )
    if run.settings.teacher.outputs is not None or {"teacher_features", "teacher_logits"} & {*own}:
        raise SettingsError(f"{run.name} was trained on outputs of a teacher and has no teacher")
    if "data" in own and data is None:
        raise SettingsError(f"the data of {run.name} were objects of your own: give them as data=")


def _check_samples(teacher: Run | nn.Module, data: Data) -> None:
    """Refuse data that are not those of the run."""
    if isinstance(teacher, Run):
        then = data_provenance.read_inputs(teacher.path) or {}
        then = {name: value for name, value in then.items() if name in data.fingerprints}
        if names := data_provenance.differences(then, data.fingerprints) if then else []:
            raise SettingsError(
                f"these are not the data of {teacher.name}; these differ: {', '.join(names)}"
            )


def _network(
    teacher: Run | nn.Module, experiment: Experiment, data: Data, teacher_input: NetworkInput
) -> Network:
    if isinstance(teacher, Run):
        copy = teacher.path / "teacher.safetensors"
        if experiment.teacher.weights is None and not copy.exists():
            raise SettingsError(f"{teacher.name} has no trained teacher yet: wait for it")
        return teachers.obtain(experiment, data, teacher_input, copy)[0]
    classes, shape = teacher_input.labels.classes, teacher_input.shape
    try:
        name = experiment.teacher.classifier
        return wrap_user_module(teacher, shape, classes, "teacher", name, data.targets)
    except ValueError as error:
        raise SettingsError(str(error)) from error


@torch.no_grad()
def _arrays(
    network: Network, teacher_input: NetworkInput, data: Data, whole: Data
) -> dict[str, np.ndarray]:
    """Return features and logits by part, in the order of the samples as given.

    The parts of the run come first and are computed as in training, so that the numbers are equal
    to the bit; then the samples that no part of the run has.

    Args:
        network: the teacher.
        teacher_input: gives its images.
        data: the samples of the run.
        whole: all samples that were given.
    """
    given = torch.cat(list(data.given.ids.values()))
    place = torch.full((int(given.max()) + 1,), -1)
    place[given] = torch.arange(len(given))
    missing = torch.ones(len(given), dtype=torch.bool)
    found: list[tuple[Tensor, Output]] = []  # rows, and the outputs for them
    parts = [getattr(d, part) for d in (data, whole) for part in ("train", "held_out", "test")]
    for split in parts:
        new = missing[place[split.ids.cpu()]]
        if bool(new.any()):
            split = split.take(new)
            rows = place[split.ids.cpu()]
            found.append((rows, outputs(network, teacher_input.all_images(split))))
            missing[rows] = False
    assert not missing.any()
    order = torch.cat([rows for rows, _ in found]).argsort()
    arrays: dict[str, np.ndarray] = {}
    for kind in ("features", "logits"):
        values = torch.cat([getattr(output, kind).cpu() for _, output in found])[order]
        sizes = [len(ids) for ids in data.given.ids.values()]
        for part, rows in zip(data.given.ids, values.split(sizes), strict=True):
            arrays[f"{kind}_{PART_NAMES[part]}"] = rows.contiguous().numpy()
    return arrays
