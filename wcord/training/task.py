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

from wcord import parallel
from wcord.data import Data, Epochs, LabelMap, Split, normalise
from wcord.evaluation import outputs
from wcord.experiment import Experiment, NetworkSettings, SettingsError
from wcord.models import Network
from wcord.normalisation import mean_and_deviation
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, Draws, Output, Primer, Shapes
from wcord.placement import sent, shaped
from wcord.randomness import WrongPairs, generator, seed_of
from wcord.speed import Forward, cast_once, hastened
from wcord.views import View

KEPT_IN_MEMORY = 256 * 2**20  # bytes of prepared images or teacher outputs that are kept


class Sight:
    """What one network sees of a sample: a view, then normalisation; and the labels it is for.

    Args:
        settings: view, normalisation and labels of a network.
        data: whose training part is measured, where the normalisation is "measured".
        seed: of what the view draws (noise).

    Raises:
        ValueError: the data set lacks what the view needs, or the label map or the normalisation
            does not fit.
    """

    def __init__(self, settings: NetworkSettings, data: Data, seed: int) -> None:
        self.view = View.parse(settings.view)
        self.view.check(data)
        self.labels = LabelMap.parse(settings.labels, data.classes)
        self.seed = seed_of(seed, "view")
        device = data.train.images.device
        normal = mean_and_deviation(settings.normalise, self.view, data, self.seed)
        self.mean, self.std = (values.to(device) for values in normal)
        channels, height, width = self.see(data.train.take(torch.arange(1))).shape[1:]
        self.shape: tuple[int, int, int] = (channels, height, width)

    def see(self, split: Split) -> Tensor:
        """Return what the network is given: (n, C, H, W) float32."""
        images = self.view(split, self.seed)
        return normalise(images, self.mean.to(images.device), self.std.to(images.device))

    def see_all(self, split: Split, chunk: int = 2048) -> Tensor:
        """Return `see` of many samples, in chunks."""
        index = torch.arange(len(split), device=split.images.device)
        return torch.cat([self.see(split.take(part)) for part in index.split(chunk)])


@dataclass(frozen=True)
class Given:
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
        teacher_sight, student_sight: what each network sees.
        teacher: the trained network; frozen here.
        maps: whether an arm asks for the maps of the stages.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Data,
        teacher_sight: Sight,
        student_sight: Sight,
        teacher: Network,
        maps: bool = False,
    ) -> None:
        self.experiment, self.data, self.maps = experiment, data, maps
        self.asks = any(TERMS[t].needs_teacher for arm in experiment.arms.values() for t in arm)
        self.teacher_sight, self.student_sight = teacher_sight, student_sight
        self.teacher = teacher.requires_grad_(False).eval()
        self.labels = student_sight.labels(data.train.labels)
        answer = outputs(teacher, teacher_sight.see_all(data.train))
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
        self._answering = self.teacher
        if experiment.precision == "bfloat16":
            some = torch.arange(min(2, len(data.train)), device=self.labels.device)
            images = shaped(teacher_sight.see(data.train.take(some)))
            self._answering = cast_once(self.teacher, images)
        self._forward: Forward | None = None
        self._epochs = Epochs(
            experiment.seed, "order", len(data.train), experiment.batch, experiment.data,
            self.labels.device,
        )  # fmt: skip
        self.rows, self.still = self._epochs.rows, self._epochs.still
        wide = len(data.train) * 4 * math.prod(student_sight.shape)
        kept = self.still and wide <= KEPT_IN_MEMORY
        self._images = student_sight.see_all(data.train) if kept else None

    def hasten(self, speed: str) -> None:
        """Compute the teacher in a faster way from here on (see `wcord.speed`), if there is one."""
        if self.asks and not self.still and not self.maps:
            own = parallel.own_rows(torch.arange(self.experiment.batch, device=self.labels.device))
            images = shaped(self.teacher_sight.see(self.data.train.take(own)))
            half = self.experiment.precision == "bfloat16"
            self._forward = hastened(self._answering, speed, images, half)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch; a last batch that is not full is dropped."""
        return self._epochs.steps

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.epoch_steps * self.experiment.epochs

    def at(self, step: int) -> Given:
        """Return batch, teacher output and student images of one step: a pure function of it."""
        batch = self.batch(sent(self.rows(step), self.labels.device), step)
        split, images = self.see(batch)
        return Given(batch, self.answer_of(batch, split), images)

    def batch(
        self, index: Tensor, step: int, draws: Draws | None = None, clock: Tensor | None = None
    ) -> Batch:
        """Return what is known of the samples `index` (batch,) of one step."""
        return Batch(
            index, self.labels[index], self.data.labelled[index], self.group[index], step,
            self.experiment.seed, draws, clock,
        )  # fmt: skip

    def see(self, batch: Batch) -> tuple[Split | None, Tensor]:
        """Return this rank's samples as both networks see them, and the student's images.

        The samples are None where the teacher need not look at them again.
        """
        own = parallel.own_rows(batch.index)  # all of them, unless there are other ranks
        if self._images is not None and not self.maps:
            return None, shaped(self._images[own])
        split = self._epochs.moved(self.data.train.take(own), own)
        images = shaped(self.student_sight.see(split))
        return (split if self.asks and (self.maps or not self.still) else None), images

    def answer_of(self, batch: Batch, split: Split | None) -> Output:
        """Return what the teacher says of a batch, wrong pairs included.

        Args:
            batch: the whole batch.
            split: this rank's samples as `see` returned them.
        """
        answer = self._answer(batch.index) if split is None else parallel.gather(self._ask(split))
        broken = self.experiment.pairing.broken
        if not broken:
            return answer
        return answer.take(batch.draw("pairing", WrongPairs(len(batch.index), broken)))

    def _answer(self, index: Tensor) -> Output:
        return Output(self.answer.features[index], self.answer.logits[index])

    @torch.no_grad()
    def _ask(self, split: Split) -> Output:
        images = shaped(self.teacher_sight.see(split))
        half = self.experiment.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            if self._forward is not None:
                answer = self._forward(images)
            else:
                answer = self._answering(images, maps=self.maps)
        answer = answer.float()
        return Output(answer.features * self.scale, answer.logits, answer.maps)

    def ask_all(self, split: Split) -> Output:
        """Return the teacher's output of a whole split."""
        answer = outputs(self.teacher, self.teacher_sight.see_all(split))
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

    def passes(self, student: Network) -> Any:
        """Return the pass that fills banks: real features of teacher and first student."""
        images = self._images
        if images is None:
            images = self.student_sight.see_all(self.data.train)
        first = outputs(student, images)
        index = paired = torch.arange(len(self.data.train), device=self.labels.device)
        if broken := self.experiment.pairing.broken:  # a bank holds what training shows it
            draw = generator(self.experiment.seed, "pairing-bank")
            paired = WrongPairs(len(index), broken)(draw).to(index.device)

        def again() -> Iterable[Primer]:
            for part in index.split(4096):
                seen = Output(first.features[part], first.logits[part])
                yield Primer(part, self.group[part], self._answer(paired[part]), seen)

        return again
