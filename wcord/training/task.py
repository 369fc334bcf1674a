"""A task: one data set, a pair of views and a pair of label sets, and the frozen teacher.

Compression, cross-modal transfer, privileged information and different label sets differ only in
views and label sets, so all of them use one training loop.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from wcord.compute import ranks
from wcord.compute.memory_format import channels_last, send
from wcord.data import Data, Sampler, Split
from wcord.data.sampler import CROPS
from wcord.data.teacher_outputs import TeacherOutputs
from wcord.models import Network, Output
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, Draws, FirstPassBatch, Shapes
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError
from wcord.training.evaluation import outputs, teacher_output
from wcord.training.faster_networks import Forward, cast_weights, faster_forward
from wcord.training.inputs import NetworkInput
from wcord.training.pairing import Pairing

KEPT_IN_MEMORY = 256 * 2**20  # most bytes of student images that are kept
TEACHER_CROPS = "augment-teacher"  # purpose of the teacher's crops where they are not shared


@dataclass(frozen=True)
class StepInputs:
    """The inputs of every arm at one step; images are this rank's rows of the batch.

    If no term of any arm needs the teacher, `teacher` is its output of the images before
    augmentation.
    """

    batch: Batch
    teacher: Output
    images: Tensor


def missing_outputs(teacher: Network | TeacherOutputs | None, data: Data) -> frozenset[str]:
    """Return which of "features", "logits" and "groups" a teacher does not offer (see `Shapes`).

    Without logits the groups are the labels, so they are missing if not all labels may be used.
    """
    if not isinstance(teacher, TeacherOutputs):
        return frozenset()
    groups = teacher.logits is not None or bool(data.labelled.all())
    offered = {"features": teacher.features, "logits": teacher.logits, "groups": groups or None}
    return frozenset(name for name, value in offered.items() if value is None)


class Task:
    """Everything that arms share: samples on the device, inputs of both networks, teacher outputs.

    Args:
        experiment: the settings.
        data: divided samples, on the device.
        teacher_input, student_input: view, normalisation and labels of each network.
        teacher: the trained network, frozen here; or its outputs of all samples.
        maps: whether a term compares the feature maps of the stages.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Data,
        teacher_input: NetworkInput,
        student_input: NetworkInput,
        teacher: Network | TeacherOutputs,
        maps: bool = False,
    ) -> None:
        self.experiment, self.data, self.maps = experiment, data, maps
        self.needs_teacher = any(
            TERMS[t].needs_teacher for arm in experiment.arms.values() for t in arm
        )
        self.teacher_input, self.student_input = teacher_input, student_input
        self.teacher = teacher
        self.network = None if isinstance(teacher, TeacherOutputs) else teacher
        if self.network is not None:
            self.network.requires_grad_(False).eval()
        self.labels = student_input.labels(data.train.labels)
        self.missing = missing_outputs(teacher, data)
        output = teacher_output(teacher, teacher_input, data.train)
        self.scale = 1.0
        if experiment.teacher.scale_features and "features" not in self.missing:
            mean_norm = output.features.norm(dim=1).mean().item()
            if not mean_norm > 0:
                raise SettingsError(
                    "every feature of the teacher is 0, so there is nothing to learn from it: "
                    "check its weights and teacher.normalise"
                )
            self.scale = 1 / mean_norm
        self.cached = Output(output.features * self.scale, output.logits)  # before augmentation
        # classes (N,) of the teacher; without its logits the labels (see `missing_outputs`)
        self.has_classes = data.targets == "classes"
        if not self.has_classes:
            self._predicted = torch.zeros_like(data.train.ids)
        elif output.logits.shape[1]:
            self._predicted = output.logits.argmax(1)
        else:
            self._predicted = self.labels.clamp_min(0)
        self.pairing = Pairing(
            experiment.pairing, len(data.train), experiment.seed, self.labels.device
        )
        # for training steps; everything else uses the teacher in float32
        self._teacher_in_training: Any = self.network
        if experiment.precision == "bfloat16" and self.network is not None:
            index = torch.arange(min(2, len(data.train)), device=self.labels.device)
            images = channels_last(teacher_input.images_of(data.train.take(index)))
            self._teacher_in_training = cast_weights(self.network, images)
        self._forward: Forward | None = None
        self._teacher_crops = CROPS if experiment.augment.shared else TEACHER_CROPS
        self._sampler = Sampler(
            experiment.seed, "order", len(data.train), experiment.batch, experiment.data,
            self.labels.device, (CROPS, self._teacher_crops),
        )  # fmt: skip
        self.rows, self.unaugmented = self._sampler.rows, self._sampler.unaugmented
        size_in_bytes = len(data.train) * 4 * math.prod(student_input.shape)
        keep = self.unaugmented and size_in_bytes <= KEPT_IN_MEMORY
        self._images = student_input.all_images(data.train) if keep else None

    def accelerate(self, speed: str) -> None:
        """Use a faster forward pass of the teacher from now on, if there is one (`speed`)."""
        if self._runs_teacher and not self.maps:
            index = ranks.own_rows(torch.arange(self.experiment.batch, device=self.labels.device))
            images = channels_last(self.teacher_input.images_of(self.data.train.take(index)))
            half = self.experiment.precision == "bfloat16"
            self._forward = faster_forward(self._teacher_in_training, speed, images, half)

    @property
    def _runs_teacher(self) -> bool:
        """Whether every step runs the teacher, instead of taking its cached output."""
        if self.network is None or not self.needs_teacher:
            return False
        return self.maps or not self.unaugmented

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch; an incomplete last batch is left out."""
        return self._sampler.steps

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.epoch_steps * self.experiment.epochs

    def at(self, step: int) -> StepInputs:
        """Return batch, teacher output and student images; they depend on the step alone."""
        batch = self.batch(send(self.rows(step), self.labels.device), step)
        split, images = self.student_images(batch)
        return StepInputs(batch, self.teacher_output(batch, split), images)

    def batch(
        self,
        index: Tensor,
        step: int,
        draws: Draws | None = None,
        step_tensor: Tensor | None = None,
    ) -> Batch:
        """Return the batch of one step: the training samples `index` (batch,)."""
        seen = self.pairing.partner[index]
        batch = Batch(
            index, self.labels[index], self.data.labelled[index], self.groups(index, seen), step,
            self.experiment.seed, draws, step_tensor,
        )  # fmt: skip
        rows = self.pairing.rows(batch)
        if rows is None:
            return batch
        return replace(batch, group=self.groups(index, seen[rows]), teacher_row=rows)

    def groups(self, index: Tensor, seen: Tensor) -> Tensor:
        """Return the class by which negatives of other classes are chosen, (n,) (`Batch.group`).

        Args:
            index: the student's samples (n,).
            seen: the samples that the teacher sees (n,).
        """
        predicted = self._predicted[seen]
        if not (self.experiment.same_labels and self.has_classes):
            return predicted
        return torch.where(self.data.labelled[index], self.labels[index], predicted)

    def student_images(self, batch: Batch) -> tuple[Split | None, Tensor]:
        """Return this rank's augmented samples for the teacher, and the student's images.

        Wrong pairs within the batch are not applied yet (`teacher_output`).

        The samples are None where the teacher's cached output is used.
        """
        index = ranks.own_rows(batch.index)  # all rows, unless there are other ranks
        if self._images is not None and not self.maps:
            return None, channels_last(self._images[index])
        split = self._augmented(index, CROPS)
        images = channels_last(self.student_input.images_of(split))
        if not self._runs_teacher:
            return None, images
        if not self.pairing.in_data and self._teacher_crops == CROPS:
            return split, images
        return self._augmented(self.pairing.partner[index], self._teacher_crops), images

    def _augmented(self, index: Tensor, crops: str) -> Split:
        return self._sampler.augmented(self.data.train.take(index), index, crops)

    def teacher_output(self, batch: Batch, split: Split | None) -> Output:
        """Return the teacher's output of a batch, with the wrong pairs of `pairing`.

        Args:
            batch: the whole batch.
            split: this rank's samples as `student_images` returned them.
        """
        if split is None:
            output = self.cached.take(self.pairing.partner[batch.index])
        else:
            output = ranks.gather(self._teacher_forward(split))
        return output if batch.teacher_row is None else output.take(batch.teacher_row)

    @torch.no_grad()
    def _teacher_forward(self, split: Split) -> Output:
        images = channels_last(self.teacher_input.images_of(split))
        half = self.experiment.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            if self._forward is not None:
                output = self._forward(images)
            else:
                output = self._teacher_in_training(images, maps=self.maps)
        output = output.at_least_float32()
        return Output(output.features * self.scale, output.logits, output.maps)

    def teacher_outputs(self, split: Split) -> Output:
        """Return the teacher's output of a whole split."""
        output = teacher_output(self.teacher, self.teacher_input, split)
        return Output(output.features * self.scale, output.logits)

    def shapes(self, student: Network) -> Shapes:
        """Return the sizes that terms are built from."""
        teacher = self.teacher
        return Shapes(
            teacher.feature_dim,
            student.feature_dim,
            teacher.classes,
            student.classes,
            self.experiment.same_labels,
            len(self.data.train),
            teacher.map_shapes,
            student.map_shapes,
            self.missing,
            self.data.targets,
        )

    def first_pass(self, student: Network) -> Any:
        """Return a function that yields the features of teacher and student, to fill banks.

        Args:
            student: with its initial weights.
        """
        images = self._images
        if images is None:
            images = self.student_input.all_images(self.data.train)
        student_output = outputs(student, images)
        seen = self.pairing.in_first_pass()
        index = torch.arange(len(seen), device=seen.device)

        def batches() -> Iterable[FirstPassBatch]:
            for part in index.split(4096):
                group, teacher = self.groups(part, seen[part]), self.cached.take(seen[part])
                yield FirstPassBatch(part, group, teacher, student_output.take(part))

        return batches
