"""What a loss term is: its settings, what it is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from wcord.compute.memory_format import send
from wcord.compute.seeds import Recipe, generator
from wcord.models.output import Output

Draws = Callable[[str, Recipe], Tensor]  # (purpose, recipe) -> numbers on the device


@dataclass(frozen=True)
class Shapes:
    """What a term may know of a task before training: sizes, and whether label sets agree.

    `samples` is N, the number of training samples; maps are (channels, height, width) of each
    stage, shallow to deep.
    """

    teacher_dim: int
    student_dim: int
    teacher_classes: int
    student_classes: int
    same_labels: bool
    samples: int
    teacher_maps: tuple[tuple[int, int, int], ...] = ()
    student_maps: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Batch:
    """What is known of the n samples of one step besides their images.

    index (n,) is the place in the training set, label (n,) the class in the student's label
    set, labelled (n,) whether cross-entropy may see that label, group (n,) the class by which
    negatives of "other classes" are told: the label where there is one, else the teacher's
    prediction. `seed` and `step` key every draw (see `wcord.compute.seeds`).

    A step that is replayed as a CUDA graph reads its numbers from fixed places on the device:
    there `draws` gives the numbers of `draw`, and `step_tensor` () is the step.
    """

    index: Tensor
    label: Tensor
    labelled: Tensor
    group: Tensor
    step: int
    seed: int
    draws: Draws | None = None
    step_tensor: Tensor | None = None

    def draw(self, purpose: str, recipe: Recipe) -> Tensor:
        """Return numbers drawn for this step, on the device of `index`.

        They are a pure function of (seed, purpose, step) and the recipe. A term takes every
        random number from here, and so is right when its step is replayed.

        Args:
            purpose: what the draw is for, such as "gckt-negatives".
            recipe: makes the numbers, such as `wcord.compute.seeds.Integers(high, count)`.
        """
        if self.draws is not None:
            return self.draws(purpose, recipe)
        return send(recipe(generator(self.seed, purpose, self.step)), self.index.device)


@dataclass(frozen=True)
class FirstPassBatch:
    """One batch of the pass that fills banks before the first step (no gradients)."""

    index: Tensor
    group: Tensor
    teacher: Output
    student: Output


Passes = Callable[[], Iterable[FirstPassBatch]]


class TermSettings(BaseModel):
    """Settings that every term has; unknown keys and negative weights are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: float = Field(1.0, ge=0, description="factor of this term in the total")


class Term(nn.Module):
    """A loss term: one class, one line in `TERMS`.

    All that resuming needs lives in parameters and buffers. `logs` holds detached scalars of
    the last forward pass.
    """

    Settings: ClassVar[type[TermSettings]] = TermSettings
    name: ClassVar[str] = ""
    needs_logits: ClassVar[bool] = False
    needs_maps: ClassVar[bool] = False
    needs_teacher: ClassVar[bool] = True
    critic: nn.Module | None

    def __init__(self, settings: Any, shapes: Shapes, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self.shapes = shapes
        self.seed = seed
        self.logs: dict[str, Tensor] = {}
        self.critic = None

    def fill_banks(self, passes: Passes) -> None:
        """Look at every training sample once, before the first step."""

    def precompute(self, batch: Batch) -> None:
        """Compute what the next loss needs besides outputs, while the networks compute these.

        A graph does it on a stream of its own. What `forward` then reads must stay referred to
        until the next call, so that its memory is not given to somebody else.
        """

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        """Return the unweighted loss, a float32 scalar."""
        raise NotImplementedError

    def update(self) -> None:
        """Write what must be written after the optimizer's step (banks)."""

    @property
    def capture_obstacle(self) -> str | None:
        """Why a step with this term cannot be replayed without the host; None where it can."""
        return None

    def embed(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return projected features (n, d) of both sides, or None where a term has none."""
        return None


@dataclass
class Summary:
    """The scalars of one step, kept on the device until somebody looks."""

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    logs: dict[str, Tensor] = field(default_factory=dict)

    def finite(self) -> Tensor:
        """Return a boolean scalar: every loss is finite."""
        return torch.stack([self.total, *self.terms.values()]).isfinite().all()
