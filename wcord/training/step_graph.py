"""A whole training step as one CUDA graph: captured once, then replayed with new arguments.

At batch 64 a step of one arm has about eight hundred kernels of a few microseconds each. The host
needs longer to launch them than a large GPU needs to compute them. A graph launches all of them at
once. From step to step only the arguments change: the samples, the drawn numbers, the learning rate
and the number of the step. The arguments lie in one block of device memory, which one copy from
pinned memory fills (`wcord.training.cuda_graph.InputBlock`).

A graph is compared with plain steps before it is used. Where the step cannot be captured, training
goes on with plain steps, and one line on stderr gives the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from wcord.compute.memory_format import send
from wcord.compute.random_draws import Distribution
from wcord.compute.seeds import forbid_drawing, generator
from wcord.errors import first_line
from wcord.objectives.term import Draws
from wcord.training.cuda_graph import CaptureError, InputBlock, capture
from wcord.training.faster_networks import print_once

COMPARED_STEPS = 3  # steps that are taken plainly and replayed before a graph is used
# tensors with these endings of names are not compared: counters, and values that no step reads
NOT_COMPARED = ("sums", "latest", "summed", "fault", "losses", ".step")
# largest ||replayed - plain|| / ||plain - before|| of a group of tensors
TOLERANCE = {"float32": 0.02, "bfloat16": 0.1}


@dataclass(frozen=True)
class StepArguments:
    """The numbers that differ from one step to the next.

    index (batch,) int64 are the training samples, rate is the learning rate. In a graph all of them
    have fixed addresses: rate and step_tensor (the number of the step) are scalars on the device,
    and draws returns tensors that are filled before each replay.
    """

    index: Tensor
    step: int
    rate: float | Tensor
    draws: Draws | None = None
    step_tensor: Tensor | None = None


class Step(Protocol):
    """A training step that can be replayed: `compute` depends on its arguments alone."""

    seed: int
    device: torch.device
    precision: Literal["float32", "bfloat16"]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the networks that are trained; if the names change, the step is recaptured."""

    @property
    def capture_obstacle(self) -> str | None:
        """Why the step cannot be captured as a CUDA graph; None where it can."""

    def rows(self, step: int) -> Tensor:
        """Return the samples of a step, (batch,) on the CPU."""

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""

    def compute(self, arguments: StepArguments) -> None:
        """Take the step; every tensor that it changes is changed in place."""

    def changed_tensors(self) -> dict[str, Tensor]:
        """Return every tensor that a step changes, by name (after the first step).

        Names are ARM/weights.NETWORK.…, ARM/optimizer.NUMBER.KIND, or those of buffers. All weights
        of a network are compared together, all moments of a kind, and each buffer by itself.
        """


class StepGraph:
    """A captured step. Call it with the number of a step to take that step.

    Args:
        step: the step, already taken at least once, so that all tensors that it changes exist.
        first: the number of the next step. From this step on, `COMPARED_STEPS` steps are taken
            plainly, then replayed and compared; afterwards every tensor has its old value.

    Raises:
        CaptureError: the step needs the host, or a replay differs from a plain step.
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
        """Take plain steps, capture a step, and check that replays give the same values."""
        step = self.step
        samples: dict[Any, Tensor] = {}
        for number in range(first, first + COMPARED_STEPS):
            step.compute(self._plain_arguments(number, samples))
        plain = _copies(step)
        _restore(step, before)
        self._draws = list(samples)
        self._block = InputBlock({**self._arguments(first), **samples}, step.device)
        self._addresses = {name: value.data_ptr() for name, value in step.changed_tensors().items()}
        tensors = self._block.tensors
        arguments = StepArguments(
            tensors["index"],
            first,
            tensors["rate"],
            lambda purpose, distribution: _sample(tensors, purpose, distribution),
            tensors["step_tensor"],
        )
        with forbid_drawing():
            self._replay = capture(lambda: step.compute(arguments), step.device)
        for number in range(first, first + COMPARED_STEPS):
            self(number)
        self._check(before, plain, _copies(step))

    def __call__(self, number: int) -> None:
        """Take the step of this number."""
        samples = {
            (purpose, distribution): distribution(generator(self.step.seed, purpose, number))
            for purpose, distribution in self._draws
        }
        self._block.fill({**self._arguments(number), **samples})
        self._replay()

    def _arguments(self, number: int) -> dict[Any, Tensor]:
        """Return all arguments but the drawn numbers, on the CPU."""
        return {
            "index": self.step.rows(number),
            "rate": torch.tensor(self.step.rate(number), dtype=torch.float32),
            "step_tensor": torch.tensor(number),
        }

    def _plain_arguments(self, number: int, samples: dict[Any, Tensor]) -> StepArguments:
        """Return the arguments of a plain step, whose drawn numbers are written into `samples`."""
        step = self.step

        def draw(purpose: str, distribution: Distribution) -> Tensor:
            values = distribution(generator(step.seed, purpose, number))
            samples[purpose, distribution] = values
            return send(values, step.device)

        return StepArguments(send(step.rows(number), step.device), number, step.rate(number), draw)

    def _check(
        self, before: dict[str, Tensor], plain: dict[str, Tensor], replayed: dict[str, Tensor]
    ) -> None:
        """Raise where replayed steps give other values than plain steps."""
        for name, value in self.step.changed_tensors().items():
            if value.data_ptr() != self._addresses.get(name):
                raise CaptureError(f"{name} is replaced in a step and not changed in place")
        self.gaps = gaps(before, plain, replayed)
        group, largest = max(self.gaps.items(), key=lambda item: _nan_last(item[1]))
        if not largest <= TOLERANCE[self.step.precision]:
            raise CaptureError(
                f"after {COMPARED_STEPS} steps {group} is {largest:.3g} of its change away from "
                "plain steps"
            )


def _sample(tensors: Mapping[Any, Tensor], purpose: str, distribution: Distribution) -> Tensor:
    if (purpose, distribution) not in tensors:
        raise CaptureError(f"the draw {purpose!r} differs from step to step")
    return tensors[purpose, distribution]


def _copies(step: Step) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in step.changed_tensors().items()}


@torch.no_grad()
def _restore(step: Step, values: Mapping[str, Tensor]) -> None:
    for name, tensor in step.changed_tensors().items():
        if name not in values or values[name].shape != tensor.shape:
            raise CaptureError(f"{name} has another shape after a step")
        tensor.copy_(values[name])


def gaps(
    before: Mapping[str, Tensor], plain: Mapping[str, Tensor], replayed: Mapping[str, Tensor]
) -> dict[str, float]:
    """Return the distance of replayed from plain steps, for every group (see `group_of`).

        ||replayed - plain|| / ||plain - before||   over all floating point tensors of the group

    Args:
        before: values of the tensors before the steps, by name.
        plain, replayed: their values after plain and after replayed steps.
    """
    groups: dict[str, list[Tensor]] = {}
    for name, value in plain.items():
        if value.is_floating_point() and not name.endswith(NOT_COMPARED):
            pairs = (replayed[name], value), (value, before[name])
            squares = torch.stack([_squared_distance(*pair) for pair in pairs])
            groups.setdefault(group_of(name), []).append(squares)
    ratios: dict[str, float] = {}
    for group, squared in groups.items():
        distance, change = torch.stack(squared).sum(0).sqrt().tolist()
        ratios[group] = distance / change if change else (0.0 if distance == 0 else math.inf)
    return ratios


def group_of(name: str) -> str:
    """Return the name of the group that a tensor is compared in.

    >>> group_of("wcord/weights.student.conv1.weight"), group_of("wcord/optimizer.3.exp_avg")
    ('wcord/weights.student', 'wcord/optimizer.exp_avg')
    """
    arm, slash, tail = name.rpartition("/")
    kind, *rest = tail.split(".")
    if kind == "weights":
        tail = f"{kind}.{rest[0]}"
    if kind == "optimizer":
        tail = f"{kind}.{rest[-1]}"
    return f"{arm}{slash}{tail}"


def _squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return ||a - b||^2; entries that are NaN in both (not measured yet) are equal."""
    both_nan = a.isnan() & b.isnan()
    return (a.double() - b.double()).masked_fill(both_nan, 0).square().sum()


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


class Stepper:
    """Takes steps: the first step plainly, the others by a graph if `graphs` is true.

    The step is captured again if its `parts` change (an arm froze).

    Args:
        step: the training step.
        graphs: whether to capture it.
        total: steps of the whole run; a comparison takes no step after the last.
    """

    def __init__(self, step: Step, graphs: bool, total: int) -> None:
        self.step, self.graphs, self.total = step, graphs, total
        self.graph: StepGraph | None = None
        self._captured_parts: tuple[str, ...] | None = None  # at the last attempt
        self._step_taken = False

    def __call__(self, number: int) -> None:
        """Take the step of this number."""
        if self.graphs and self._step_taken and self._captured_parts != self.step.parts:
            self._capture(number)
        if self.graph is not None:
            self.graph(number)
            return
        step = self.step
        step.compute(StepArguments(send(step.rows(number), step.device), number, step.rate(number)))
        self._step_taken = True

    def _capture(self, number: int) -> None:
        self.graph = None
        if number + COMPARED_STEPS > self.total or not self.step.parts:
            return
        self._captured_parts = self.step.parts
        try:
            self.graph = StepGraph(self.step, number)
        except Exception as error:  # a capture may raise anything; plain steps always work
            reason = first_line(error)
            print_once(f"plain steps are taken, the step cannot be one CUDA graph: {reason:.300}")
