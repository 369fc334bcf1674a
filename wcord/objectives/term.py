"""The base class of a loss term, and its inputs: settings, shapes, batch and first pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from wcord.compute.memory_format import send
from wcord.compute.random_draws import Distribution
from wcord.compute.seeds import generator
from wcord.frozen import Frozen
from wcord.models.output import Output

Draws = Callable[[str, Distribution], Tensor]  # (purpose, distribution) -> numbers on the device


@dataclass(frozen=True)
class Shapes:
    """The sizes of a task, which are known before training.

    Attributes:
        teacher_dim: length of teacher features.
        student_dim: length of student features.
        teacher_classes: number of the teacher's logits.
        student_classes: number of the student's logits.
        same_labels: whether teacher and student have the same label set.
        samples: N, the number of training samples.
        teacher_maps: (channels, height, width) of each stage of the teacher, shallow to deep.
        student_maps: the same of the student.
        missing: those of "features", "logits" and "groups" (the class of every sample) that are
            not known, because the teacher is given by its outputs alone.
        targets: kind of the labels, "classes", "regression" or "multilabel".
    """

    teacher_dim: int
    student_dim: int
    teacher_classes: int
    student_classes: int
    same_labels: bool
    samples: int
    teacher_maps: tuple[tuple[int, int, int], ...] = ()
    student_maps: tuple[tuple[int, int, int], ...] = ()
    missing: frozenset[str] = frozenset()
    targets: str = "classes"


@dataclass(frozen=True)
class Batch:
    """The n samples of one step, without their images.

    Attributes:
        index: (n,) int64, positions in the training set.
        label: (n,) int64, classes in the student's label set, −1 for none; or (n, K), regression
            targets or several labels.
        labelled: (n,) bool, whether the label may be used.
        group: (n,) int64, the class by which negatives of other classes are chosen: the label if
            it may be used, else the teacher's prediction (with wrong pairs, that for the wrong
            partner). All are 0 where there are no classes.
        step: number of the step.
        seed: the run's seed. Random numbers depend on seed, step and purpose only.
        draws: where `draw` takes its numbers in a step that is replayed as a CUDA graph, which
            reads its inputs from fixed addresses on the device; else None.
        step_tensor: (), the step on the device, in such a replayed step; else None.
        teacher_row: (n,) int64, with wrong pairs within the batch: the row whose teacher output
            each row has; else None. It is for measurements, and no loss may depend on it.
    """

    index: Tensor
    label: Tensor
    labelled: Tensor
    group: Tensor
    step: int
    seed: int
    draws: Draws | None = None
    step_tensor: Tensor | None = None
    teacher_row: Tensor | None = None

    def mean_of_labelled(self, losses: Tensor) -> Tensor:
        """Return the mean of losses (n,) over samples whose labels may be used; 0 without any."""
        return losses.where(self.labelled, 0.0).sum() / self.labelled.sum().clamp_min(1)

    def draw(self, purpose: str, distribution: Distribution) -> Tensor:
        """Return random numbers for this step, on the device of `index`.

        They are a pure function of (seed, purpose, step) and the distribution. Take all random
        numbers of a term from this method: then a replayed step draws new numbers, too.

        Args:
            purpose: name of the draw, such as "gckt-negatives"; a part of its seed.
            distribution: such as `wcord.compute.random_draws.Integers(high, count)`.
        """
        if self.draws is not None:
            return self.draws(purpose, distribution)
        return send(distribution(generator(self.seed, purpose, self.step)), self.index.device)


@dataclass(frozen=True)
class FirstPassBatch:
    """Some samples of the first pass over the training set, without gradients.

    Attributes:
        index: (n,) int64, positions in the training set.
        group: (n,) int64, classes, as in `Batch`.
        teacher: the teacher's output.
        student: the student's output.
    """

    index: Tensor
    group: Tensor
    teacher: Output
    student: Output


FirstPass = Callable[[], Iterable[FirstPassBatch]]  # every call is a pass over all samples


class TermSettings(Frozen):
    """The settings that every term has; unknown keys and negative weights are refused."""

    weight: float = Field(1.0, ge=0, description="factor of this term in the total")


class Term(nn.Module):
    """A loss term. A new term is a subclass in its own file, with a line in `TERMS`.

    A subclass defines `forward`, and overrides the other methods where it needs them. Everything
    that training changes is a parameter or a buffer, so that a run can be resumed.

    Class attributes:
        Settings: the model of its settings.
        name: its name in `TERMS`.
        needs_logits: it compares logits, so that both label sets must be the same.
        needs_maps: it reads `Output.maps`.
        needs_teacher: it reads the teacher's output.
        needs_features: it reads the teacher's features; without effect unless `needs_teacher`.
        needs_classes: it reads `Batch.group`, or takes labels or logits as those of classes.
        targets: the kind of labels that it reads (see `Shapes`), None where it reads none.
        needs_right_pairs: it cannot be used with wrong pairs, the setting `pairing.broken`. This is
            False for all terms of this package.

    Attributes:
        logs: detached scalars of the last forward pass, by name; training logs their means.
        critic: the critic that it trains, else None.

    Args:
        settings: an instance of `Settings`.
        shapes: sizes of the task.
        seed: the run's seed.
    """

    Settings: ClassVar[type[TermSettings]] = TermSettings
    name: ClassVar[str] = ""
    needs_logits: ClassVar[bool] = False
    needs_maps: ClassVar[bool] = False
    needs_teacher: ClassVar[bool] = True
    needs_features: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = False
    targets: ClassVar[str | None] = None
    needs_right_pairs: ClassVar[bool] = False
    critic: nn.Module | None

    def __init__(self, settings: Any, shapes: Shapes, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self.shapes = shapes
        self.seed = seed
        self.logs: dict[str, Tensor] = {}
        self.critic = None

    @classmethod
    def classes_needed_by(cls, settings: Any) -> str | None:
        """Return which term or setting needs classes, for messages; None where nothing does."""
        return cls.name if cls.needs_classes else None

    def fill_banks(self, first_pass: FirstPass) -> None:
        """Set banks, centres and scales from the whole training set, before the first step."""

    def precompute(self, batch: Batch) -> None:
        """Compute the parts of the next loss that need no network output, while the networks run.

        In a CUDA graph this runs on a second stream. Keep a reference to every tensor that
        `forward` reads until the next call: otherwise its memory is reused too early.
        """

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        """Return the unweighted loss, a float32 scalar.

        Args:
            batch: the samples.
            teacher: the teacher's output for them, without gradients.
            student: the student's output for them.
            shared: values that terms of one step pass on to later terms: "embeddings"
                (z_t, z_s), written by gckt and crd, read by lckt.
        """
        raise NotImplementedError

    def update(self) -> None:
        """Write banks and running means, after the optimizer's step."""

    def discard(self) -> None:
        """Forget what `update` would write: the last forward pass was not a training step."""

    @property
    def capture_obstacle(self) -> str | None:
        """Why a step with this term cannot be replayed as a CUDA graph; None where it can."""
        return None

    def embed(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return projections (n, dim) of both sides' features; None where a term has none."""
        return None
