"""A whole training step as one CUDA graph: captured once, then replayed with new inputs.

At batch 64 a step of one arm is some eight hundred kernels of a few microseconds each, and the host
needs longer to launch them than a large GPU needs to compute them. A graph launches all of them at
once. Only its inputs change: which samples, what was drawn, the learning rate, the number of the
step. They lie in one block of memory on the device, which one copy from pinned memory fills
(`wcord.training.graph_capture.Block`).

What is replayed is compared with plain steps before it is used, and where the step cannot be
captured the plain way is taken; one line gives the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from wcord.compute.memory_format import send
from wcord.compute.seeds import Recipe, forbid_drawing, generator
from wcord.objectives.term import Draws
from wcord.training.accelerate import print_once
from wcord.training.graph_capture import Block, CaptureError, captured

COMPARED = 3  # steps that are taken both ways before a graph is used
# ends of names that are not compared: no step depends on them, or they only count
SCALARS = ("sums", "latest", "summed", "fault", "losses", ".step")
# ||replayed - plain|| / ||plain - before||, for every part
TOLERANCE = {"float32": 0.02, "bfloat16": 0.1}


@dataclass(frozen=True)
class Inputs:
    """What differs from one step to the next.

    index (batch,) int64 are the training samples, rate is the learning rate. Where a graph is
    replayed, rate and clock (the step) are scalars on the device, and draws gives fixed places.
    """

    index: Tensor
    step: int
    rate: float | Tensor
    draws: Draws | None = None
    step_tensor: Tensor | None = None


class Step(Protocol):
    """A training step written so that it can be replayed: `compute` depends on `Inputs` alone."""

    seed: int
    device: torch.device
    precision: Literal["float32", "bfloat16"]

    @property
    def parts(self) -> tuple[str, ...]:
        """What a step consists of: where that changes, so must its graph."""

    @property
    def capture_obstacle(self) -> str | None:
        """Why it cannot be replayed without the host; None where it can."""

    def rows(self, step: int) -> Tensor:
        """Return the samples of a step, (batch,) on the CPU."""

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""

    def compute(self, inputs: Inputs) -> None:
        """Take the step: everything that it moves is changed in place."""

    def changed_tensors(self) -> dict[str, Tensor]:
        """Return all that a step moves, by name (once a step was taken).

        Names are ARM/weights.NETWORK.…, ARM/optimizer.PLACE.KIND, or those of buffers. All weights
        of a network are compared together, all moments of a kind, and each buffer by itself.
        """


class StepGraph:
    """A captured step. Call it with the number of a step to take that step.

    Args:
        step: has taken one step at least, so that all that it moves exists.
        first: the number of the next step. It and the steps after it are taken plainly, then
            replayed and compared; afterwards everything stands where it stood before.

    Raises:
        CaptureError: the step asks for the host, or a replay differs from a plain step.
    """

    def __init__(self, step: Step, first: int) -> None:
        self.step = step
        if step.capture_obstacle is not None:
            raise CaptureError(step.capture_obstacle)
        before = _copies(step)
        try:
            self._capture(first, before)
        finally:
            _restore(step, before)

    def _capture(self, first: int, before: dict[str, Tensor]) -> None:
        """Take steps plainly, capture one, and refuse it where replays end elsewhere."""
        step = self.step
        wanted: dict[Any, Tensor] = {}
        for number in range(first, first + COMPARED):
            step.compute(self._plain(number, wanted))
        after = _copies(step)
        _restore(step, before)
        self._block = Block({**self._basic(first), **wanted}, step.device)
        self._wanted = list(wanted)
        self._moved = {name: value.data_ptr() for name, value in step.changed_tensors().items()}
        places = self._block.places
        inputs = Inputs(
            places["index"],
            first,
            places["rate"],
            lambda purpose, recipe: _place(places, purpose, recipe),
            places["step_tensor"],
        )
        with forbid_drawing():
            self._replay = captured(lambda: step.compute(inputs), step.device)
        for number in range(first, first + COMPARED):
            self(number)
        self._check(before, after, _copies(step))

    def __call__(self, number: int) -> None:
        """Take the step of this number."""
        drawn = {
            (purpose, recipe): recipe(generator(self.step.seed, purpose, number))
            for purpose, recipe in self._wanted
        }
        self._block.fill({**self._basic(number), **drawn})
        self._replay()

    def _basic(self, number: int) -> dict[Any, Tensor]:
        return {
            "index": self.step.rows(number),
            "rate": torch.tensor(self.step.rate(number), dtype=torch.float32),
            "step_tensor": torch.tensor(number),
        }

    def _plain(self, number: int, wanted: dict[Any, Tensor]) -> Inputs:
        """Return the inputs of a plain step, whose draws are noted in `wanted`."""
        step = self.step

        def draws(purpose: str, recipe: Recipe) -> Tensor:
            values = recipe(generator(step.seed, purpose, number))
            wanted[purpose, recipe] = values
            return send(values, step.device)

        return Inputs(send(step.rows(number), step.device), number, step.rate(number), draws)

    def _check(
        self, before: dict[str, Tensor], after: dict[str, Tensor], moved: dict[str, Tensor]
    ) -> None:
        """Refuse a graph whose steps end elsewhere than plain ones."""
        for name, value in self.step.changed_tensors().items():
            if value.data_ptr() != self._moved.get(name):
                raise CaptureError(f"{name} is replaced in a step and not changed in place")
        self.gaps = gaps(before, after, moved)
        part, worst = max(self.gaps.items(), key=lambda item: _large(item[1]))
        if not worst <= TOLERANCE[self.step.precision]:
            raise CaptureError(
                f"after {COMPARED} steps {part} is {worst:.3g} of its change away from plain steps"
            )


def _place(places: Mapping[Any, Tensor], purpose: str, recipe: Recipe) -> Tensor:
    if (purpose, recipe) not in places:
        raise CaptureError(f"the draw {purpose!r} differs from step to step")
    return places[purpose, recipe]


def _copies(step: Step) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in step.changed_tensors().items()}


@torch.no_grad()
def _restore(step: Step, values: Mapping[str, Tensor]) -> None:
    for name, place in step.changed_tensors().items():
        if name not in values or values[name].shape != place.shape:
            raise CaptureError(f"{name} has another shape after a step")
        place.copy_(values[name])


def gaps(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], moved: Mapping[str, Tensor]
) -> dict[str, float]:
    """Return how far two ends of the same steps are apart, for every part (see `part_of`).

        ||moved - after|| / ||after - before||   over all tensors of the part, floating point only

    Args:
        before, after, moved: what the steps began with, and what each way made of it.
    """
    parts: dict[str, list[Tensor]] = {}
    for name, value in after.items():
        if value.is_floating_point() and not name.endswith(SCALARS):
            pairs = (moved[name], value), (value, before[name])
            parts.setdefault(part_of(name), []).append(torch.stack([_square(*p) for p in pairs]))
    found: dict[str, float] = {}
    for part, squares in parts.items():
        apart, change = torch.stack(squares).sum(0).sqrt().tolist()
        found[part] = apart / change if change else (0.0 if apart == 0 else math.inf)
    return found


def part_of(name: str) -> str:
    """Return what a tensor is compared with together.

    >>> part_of("wcord/weights.student.conv1.weight"), part_of("wcord/optimizer.3.exp_avg")
    ('wcord/weights.student', 'wcord/optimizer.exp_avg')
    """
    arm, slash, tail = name.rpartition("/")
    kind, *rest = tail.split(".")
    if kind == "weights":
        tail = f"{kind}.{rest[0]}"
    if kind == "optimizer":
        tail = f"{kind}.{rest[-1]}"
    return f"{arm}{slash}{tail}"


def _square(a: Tensor, b: Tensor) -> Tensor:
    """Return ||a - b||^2; what is NaN on both sides (not measured yet) is equal."""
    unset = a.isnan() & b.isnan()
    return (a.double() - b.double()).masked_fill(unset, 0).square().sum()


def _large(value: float) -> float:
    return math.inf if math.isnan(value) else value


class Stepper:
    """Takes steps: plainly at first, then by a graph where `graphs` asks for one.

    A graph is made again where the step's `parts` change (an arm froze).

    Args:
        step: what a step is.
        graphs: whether to capture it.
        total: steps of the whole run; none beyond is taken for comparison.
    """

    def __init__(self, step: Step, graphs: bool, total: int) -> None:
        self.step, self.graphs, self.total = step, graphs, total
        self.graph: StepGraph | None = None
        self._tried: Any = None
        self._warm = False

    def __call__(self, number: int) -> None:
        """Take the step of this number."""
        if self.graphs and self._warm and self._tried != self.step.parts:
            self._capture(number)
        if self.graph is not None:
            self.graph(number)
            return
        step = self.step
        step.compute(Inputs(send(step.rows(number), step.device), number, step.rate(number)))
        self._warm = True

    def _capture(self, number: int) -> None:
        self.graph = None
        if number + COMPARED > self.total or not self.step.parts:
            return
        self._tried = self.step.parts
        try:
            self.graph = StepGraph(self.step, number)
        except Exception as error:  # whatever a capture may raise: the plain way is there
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print_once(f"the step is not one CUDA graph, going on plainly: {reason:.300}")
