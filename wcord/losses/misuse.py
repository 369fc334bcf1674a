"""How a loss is used: checks of features, index and optimizer, each with one line that helps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

PATIENCE = 20  # optimizer steps after which parameters that did not change are reported
HALF = (torch.float16, torch.bfloat16)


class LossWarning(UserWarning):
    """A loss is probably not used as it is meant."""


class LossError(ValueError, RuntimeError):
    """A loss is used before it is primed, or without its parameters in an optimizer."""


def check_precision(loss: nn.Module, name: str) -> None:
    """Raise a ValueError if parameters or banks of a loss have half precision."""
    for tensor in (*loss.parameters(), *loss.buffers()):
        if tensor.dtype in HALF:
            raise ValueError(
                f"{name} is in {str(tensor.dtype).removeprefix('torch.')}: keep it in float32, "
                "loss.float(); half-precision features are widened by themselves"
            )


def check_features(
    teacher: Any, student: Any, dims: tuple[int, int], device: torch.device, name: str
) -> None:
    """Check the features of a step.

    Args:
        teacher, student: should be floating-point tensors (n, dim) on one device.
        dims: lengths of teacher and student features.
        device: of the loss.
        name: of the loss, for messages.

    Raises:
        ValueError: they are not, or NaN (checked on a CPU only, where this needs no waiting).
    """
    sides = {"teacher": (teacher, dims[0]), "student": (student, dims[1])}
    for side, (features, dim) in sides.items():
        if not isinstance(features, Tensor) or not features.is_floating_point():
            kind = features.dtype if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"{name}: {side} features must be a floating-point tensor, not {kind}")
        if features.ndim != 2 or features.shape[1] != dim:
            raise ValueError(f"{name}: {_wrong_shape(side, features, dim, teacher, student, dims)}")
        if features.device != device:
            raise ValueError(
                f"{name} is on {device}, but the {side} features are on {features.device}: "
                f"loss.to({str(features.device)!r})"
            )
        if device.type == "cpu" and not bool(features.isfinite().all()):
            raise ValueError(f"{name}: {side} features are NaN or infinite: check the {side}")
    if len(teacher) != len(student):
        raise ValueError(
            f"{name}: {len(teacher)} teacher features and {len(student)} student features: give "
            "both of the same samples"
        )
    if len(student) < 2:
        raise ValueError(f"{name}: a batch needs two samples at least: use drop_last=True")
    if teacher.requires_grad and not student.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            f"{name}: the teacher features carry a gradient and the student features none: give "
            "them in the order (teacher, student)"
        )


def _wrong_shape(
    side: str, features: Tensor, dim: int, teacher: Any, student: Any, dims: tuple[int, int]
) -> str:
    text = f"{side} features must be of shape (n, {dim}), not {tuple(features.shape)}"
    shapes = [getattr(values, "shape", ())[1:] for values in (teacher, student)]
    if shapes == [(dims[1],), (dims[0],)]:
        return f"{text}: give them in the order (teacher, student)"
    if features.ndim > 2:
        return f"{text}: average maps over their positions, as wcord.features(module) does"
    return text


def integers(values: Any, name: str) -> Tensor:
    """Return integers (n,) as a CPU tensor.

    Raises:
        ValueError: they are none.
    """
    try:
        tensor = torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be integers, not {type(values).__name__}") from error
    kind = tensor.dtype
    if tensor.ndim != 1 or kind == torch.bool or kind.is_floating_point or kind.is_complex:
        got = f"{str(kind).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
        raise ValueError(f"{name} must be integers of shape (n,), not {got}")
    return tensor.cpu().long()


class IndexCheck:
    """Checks the index of every step: a sample's number in the training set.

    An index within the batch (0 ... n - 1 in every step) would train without an error, with a
    falling loss, and teach nothing. It is recognised at the end of an epoch, which is when a sample
    comes again, by the samples that were not seen.

    Args:
        name: of the loss, for messages.
        samples: number N of training samples; None if the loss has no bank and needs no index.
    """

    def __init__(self, name: str, samples: int | None) -> None:
        self.name, self.samples = name, samples
        self._seen = torch.zeros(samples or 0, dtype=torch.bool)  # in this epoch
        self._largest = 0  # samples of a batch
        self._ended = samples is None  # nothing is counted any more

    def check(self, index: Any, count: int) -> Tensor:
        """Return the index (n,) of a batch of `count` samples, on the CPU.

        Raises:
            ValueError: no index, another shape, an index out of range or twice.
        """
        if self.samples is None:
            return torch.arange(count)
        if index is None:
            raise ValueError(
                f"{self.name} keeps features of every training sample, so it needs "
                "index=, the number of each sample in the data set: wcord.Indexed(dataset) gives it"
            )
        index = integers(index, f"{self.name}: index")
        if len(index) != count:
            raise ValueError(f"{self.name}: the index has {len(index)} entries for {count} samples")
        least, most = int(index.min()), int(index.max())
        if least < 0 or most >= self.samples:
            raise ValueError(
                f"{self.name}: the index {least if least < 0 else most} is not in 0 ... "
                f"{self.samples - 1}: samples is the length of the data set"
            )
        ordered = index.sort().values
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(twice):
            raise ValueError(
                f"{self.name}: the sample {int(twice[0])} is twice in the batch: use a sampler "
                "without replacement"
            )
        return index

    def count(self, index: Tensor) -> None:
        """Note the samples (n,) of a training step; warn once if an epoch left out too many."""
        if self.samples is None or self._ended:
            return
        self._largest = max(self._largest, len(index))
        again = bool(self._seen[index].any())
        unseen = self.samples - int(self._seen.sum())
        if again and unseen >= self._largest:  # fewer are left out by drop_last
            self._ended = True
            warnings.warn(
                f"{self.name}: {unseen} of {self.samples} samples were never seen when others "
                "came again, so their rows in the bank stay those of prime: the index must be the "
                "number of each sample in the data set, and not in the batch",
                LossWarning,
                stacklevel=5,  # the caller's step
            )
        if again:
            self._seen.zero_()
        self._seen[index] = True

    def end(self) -> None:
        """Count no more: training goes on from somewhere inside an epoch."""
        self._ended = True


class OptimizerCheck:
    """Checks that an optimizer changes the parameters of a loss: critics and projections.

    It observes the first 20 steps of all optimizers of the process. A parameter is changed if an
    optimizer that took a step holds it, or if it was written in place (by an optimizer that keeps
    copies).

    Args:
        name: of the loss, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._steps = 0
        self._held: set[int] = set()  # ids of the parameters of optimizers that took a step
        self._versions: dict[str, int] | None = None
        self._passed = False

    def observe(self, optimizer: torch.optim.Optimizer) -> None:
        """Note a step of an optimizer."""
        self._steps += 1
        self._held |= {id(p) for group in optimizer.param_groups for p in group["params"]}

    def check(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Check the parameters that should change.

        Raises:
            LossError: after 20 optimizer steps some of them are as they were.
        """
        if self._passed:
            return
        if self._versions is None:
            self._versions = {name: p._version for name, p in parameters.items()}
            _pending.add(self)
        if self._steps < PATIENCE:
            return
        _pending.discard(self)
        still = [
            name
            for name, p in parameters.items()
            if id(p) not in self._held and p._version == self._versions.get(name, -1)
        ]
        if still:
            raise LossError(
                f"{self.name}: in {PATIENCE} optimizer steps none has changed {', '.join(still)}: "
                "give the optimizer [*student.parameters(), *loss.parameters()]"
            )
        self._passed = True


_pending: WeakSet[OptimizerCheck] = WeakSet()


def _observe(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for check in list(_pending):
        check.observe(optimizer)


register_optimizer_step_post_hook(_observe)
