"""The inputs of a run: its samples, and the input images and labels of each network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wcord.compute.seeds import seed_of
from wcord.data import Data, LabelMap, Split, load, load_arrays, normalise, standardise
from wcord.data.teacher_outputs import TeacherOutputs, teacher_outputs
from wcord.data.teacher_outputs_file import read_teacher_outputs
from wcord.settings.experiment import Experiment, check_cached_teacher
from wcord.settings.messages import SettingsError
from wcord.settings.sections import NetworkSettings
from wcord.views import View
from wcord.views.normalise import mean_and_deviation


def read_data(experiment: Experiment, arrays: Any = None) -> Data:
    """Return the samples of `data.source` or of a caller's arrays, divided into parts.

    Raises:
        SettingsError: a batch would not fit into the training part.
    """
    labels = experiment.student.labels
    if arrays is None:
        data = load(experiment.data, experiment.seed, labels)
    else:
        data = load_arrays(arrays, experiment.data, experiment.seed, labels)
    if len(data.train) < experiment.batch:
        raise SettingsError(
            f"batch is {experiment.batch}, but there are {len(data.train)} training samples"
        )
    return data


class NetworkInput:
    """The input of one network: a view of the samples, normalised; and its label set.

    `shape` is (C, H, W) of an image, or the shape of an array.

    Args:
        settings: view, normalisation and labels of a network.
        data: the normalisation "measured" is computed from its training part.
        seed: of the random numbers that a view draws (noise).

    Raises:
        ValueError: the data set lacks what the view needs, or the label map or the normalisation
            does not fit.
    """

    def __init__(self, settings: NetworkSettings, data: Data, seed: int) -> None:
        self.view = View.parse(settings.view)
        self.view.check(data)
        self.labels = LabelMap.parse(settings.labels, data.classes, data.targets)
        self.seed = seed_of(seed, "view")
        device = data.train.images.device
        statistics = mean_and_deviation(settings.normalise, self.view, data, self.seed)
        self.mean, self.std = (values.to(device) for values in statistics)
        first = self.images_of(data.train.take(torch.arange(1)))
        self.shape: tuple[int, ...] = tuple(first.shape[1:])

    def images_of(self, split: Split) -> Tensor:
        """Return the inputs of the network, (n, C, H, W) or (n, ...) float32."""
        images = self.view(split, self.seed)
        if not split.pictures:
            return standardise(images, self.mean.to(images.device), self.std.to(images.device))
        return normalise(images, self.mean.to(images.device), self.std.to(images.device))

    def all_images(self, split: Split, chunk: int = 2048) -> Tensor:
        """Return `images_of` of many samples, in chunks."""
        index = torch.arange(len(split), device=split.images.device)
        return torch.cat([self.images_of(split.take(part)) for part in index.split(chunk)])


def read_outputs(
    experiment: Experiment, data: Data, features: Any = None, logits: Any = None
) -> TeacherOutputs | None:
    """Return the teacher's outputs of `teacher.outputs` or of a caller's arrays; None without any.

    Args:
        experiment: the settings.
        data: the samples.
        features, logits: arrays of the caller (see `wcord.data.teacher_outputs`), or None.

    Raises:
        SettingsError: outputs that do not fit the data, or settings that need the teacher itself.
    """
    settings = experiment.teacher
    given = "teacher_logits" if features is None else "teacher_features"
    try:
        if features is None and logits is None:
            if settings.outputs is None:
                return None
            return read_teacher_outputs(settings.outputs, data)
        if other := next((n for n in ("weights", "outputs") if getattr(settings, n)), None):
            raise SettingsError(f"teacher.{other} is set, but {given} is given as well: use one")
        check_cached_teacher(experiment, given)
        return teacher_outputs(features, logits, data)
    except SettingsError:
        raise
    except ValueError as error:
        prefix = "teacher.outputs: " if settings.outputs is not None else ""
        raise SettingsError(f"{prefix}{error}") from error


def network_inputs(
    experiment: Experiment, data: Data, outputs: TeacherOutputs | None = None
) -> tuple[NetworkInput, NetworkInput]:
    """Return the inputs of the teacher and of the student.

    Args:
        experiment: the settings.
        data: the samples.
        outputs: of the teacher, in place of the teacher; then its input is not used, and the data
            need not have what its view needs.

    Raises:
        SettingsError: a view, label set or normalisation that does not fit; the message names the
            network.
    """
    inputs = []
    teacher = experiment.teacher
    if outputs is not None:
        teacher = teacher.model_copy(update={"view": ["identity"], "normalise": "none"})
    for side, settings in (("teacher", teacher), ("student", experiment.student)):
        try:
            inputs.append(NetworkInput(settings, data, experiment.seed))
        except ValueError as error:
            raise SettingsError(f"{side}: {error}") from error
    classes = inputs[0].labels.classes
    if outputs is not None and outputs.classes not in (0, classes):
        raise SettingsError(
            f"the teacher's logits have {outputs.classes} columns, but its label set has {classes} "
            "classes: give one logit for each class"
        )
    return inputs[0], inputs[1]
