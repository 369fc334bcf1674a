"""A task: one data set, a pair of views and a pair of label sets, and the frozen teacher.

Compression, cross-modal transfer, privileged information and unlike label sets differ in
nothing but the views and the label sets, so one training loop serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wcord.compute import ranks
from wcord.compute.memory_format import channels_last, send
from wcord.compute.seeds import WrongPairs, generator
from wcord.data import Data, Epochs, Split
from wcord.models import Network, Output
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, Draws, FirstPassBatch, Shapes
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError
from wcord.training.accelerate import Forward, accelerated, cast_weights
from wcord.training.evaluation import outputs
from wcord.training.network_input import NetworkInput

KEPT_IN_MEMORY = 256 * 2**20  # bytes of prepared images or teacher outputs that are kept


@dataclass(frozen=True)
class StepInputs:
    """What every arm is given at one step; of the images, this rank's rows of the batch.

    Where no arm has a term that looks at the teacher, its output is that of the images unmoved.
    """

    batch: Batch
    teacher: Output
    images: Tensor


class Task:
    """Everything that arms share: samples on the device, both sights, the teacher's answers.

    Args:
        experiment: the settings.
        data: divided samples, on the device.
        teacher_input, student_input: what each network sees.
        teacher: the trained network; frozen here.
        maps: whether an arm asks for the maps of the stages.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Data,
        teacher_input: NetworkInput,
        student_input: NetworkInput,
        teacher: Network,
        maps: bool = False,
    ) -> None:
        self.experiment, self.data, self.maps = experiment, data, maps
        self.needs_teacher = any(
            TERMS[t].needs_teacher for arm in experiment.arms.values() for t in arm
        )
        self.teacher_input, self.student_input = teacher_input, student_input
        self.teacher = teacher.requires_grad_(False).eval()
        self.labels = student_input.labels(data.train.labels)
        answer = outputs(teacher, teacher_input.all_images(data.train))
        self.scale = 1.0
        if experiment.teacher.scale_features:
            size = answer.features.norm(dim=1).mean().item()
            if not size > 0:
                raise SettingsError(
                    "every feature of the teacher is 0, so there is nothing to learn from it: "
                    "check its weights and teacher.normalise"
                )
            self.scale = 1 / size
        self.answer = Output(answer.features * self.scale, answer.logits)
        predicted = answer.logits.argmax(1)
        self.group = predicted
        if experiment.same_labels:
            self.group = torch.where(data.labelled, self.labels, predicted)
        # in training steps; everything else is asked of the teacher in float32
        self._teacher_in_training = self.teacher
        if experiment.precision == "bfloat16":
            some = torch.arange(min(2, len(data.train)), device=self.labels.device)
            images = channels_last(teacher_input.images_of(data.train.take(some)))
            self._teacher_in_training = cast_weights(self.teacher, images)
        self._forward: Forward | None = None
        self._epochs = Epochs(
            experiment.seed, "order", len(data.train), experiment.batch, experiment.data,
            self.labels.device,
        )  # fmt: skip
        self.rows, self.still = self._epochs.rows, self._epochs.still
        wide = len(data.train) * 4 * math.prod(student_input.shape)
        kept = self.still and wide <= KEPT_IN_MEMORY
        self._images = student_input.all_images(data.train) if kept else None

    def accelerate(self, speed: str) -> None:
        """Compute the teacher in a faster way from now on, if there is one (see `accelerate`)."""
        if self.needs_teacher and not self.still and not self.maps:
            own = ranks.own_rows(torch.arange(self.experiment.batch, device=self.labels.device))
            images = channels_last(self.teacher_input.images_of(self.data.train.take(own)))
            half = self.experiment.precision == "bfloat16"
            self._forward = accelerated(self._teacher_in_training, speed, images, half)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch; a last batch that is not full is dropped."""
        return self._epochs.steps

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.epoch_steps * self.experiment.epochs

    def at(self, step: int) -> StepInputs:
        """Return batch, teacher output and student images of one step: a pure function of it."""
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
        """Return what is known of the samples `index` (batch,) of one step."""
        return Batch(
            index, self.labels[index], self.data.labelled[index], self.group[index], step,
            self.experiment.seed, draws, step_tensor,
        )  # fmt: skip

    def student_images(self, batch: Batch) -> tuple[Split | None, Tensor]:
        """Return this rank's samples as both networks see them, and the student's images.

        The samples are None where the teacher need not look at them again.
        """
        own = ranks.own_rows(batch.index)  # all of them, unless there are other ranks
        if self._images is not None and not self.maps:
            return None, channels_last(self._images[own])
        split = self._epochs.moved(self.data.train.take(own), own)
        images = channels_last(self.student_input.images_of(split))
        return (split if self.needs_teacher and (self.maps or not self.still) else None), images

    def teacher_output(self, batch: Batch, split: Split | None) -> Output:
        """Return what the teacher says of a batch, wrong pairs included.

        Args:
            batch: the whole batch.
            split: this rank's samples as `images_of` returned them.
        """
        answer = (
            self._cached_output(batch.index)
            if split is None
            else ranks.gather(self._teacher_forward(split))
        )
        broken = self.experiment.pairing.broken
        if not broken:
            return answer
        return answer.take(batch.draw("pairing", WrongPairs(len(batch.index), broken)))

    def _cached_output(self, index: Tensor) -> Output:
        return Output(self.answer.features[index], self.answer.logits[index])

    @torch.no_grad()
    def _teacher_forward(self, split: Split) -> Output:
        images = channels_last(self.teacher_input.images_of(split))
        half = self.experiment.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            if self._forward is not None:
                answer = self._forward(images)
            else:
                answer = self._teacher_in_training(images, maps=self.maps)
        answer = answer.float()
        return Output(answer.features * self.scale, answer.logits, answer.maps)

    def teacher_outputs(self, split: Split) -> Output:
        """Return the teacher's output of a whole split."""
        answer = outputs(self.teacher, self.teacher_input.all_images(split))
        return Output(answer.features * self.scale, answer.logits)

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
        )

    def first_pass(self, student: Network) -> Any:
        """Return the pass that fills banks: real features of teacher and first student."""
        images = self._images
        if images is None:
            images = self.student_input.all_images(self.data.train)
        first = outputs(student, images)
        index = paired = torch.arange(len(self.data.train), device=self.labels.device)
        if broken := self.experiment.pairing.broken:  # a bank holds what training shows it
            draw = generator(self.experiment.seed, "pairing-bank")
            paired = WrongPairs(len(index), broken)(draw).to(index.device)

        def again() -> Iterable[FirstPassBatch]:
            for part in index.split(4096):
                seen = Output(first.features[part], first.logits[part])
                yield FirstPassBatch(
                    part, self.group[part], self._cached_output(paired[part]), seen
                )

        return again
