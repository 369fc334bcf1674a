"""Errors of losses, and checks of their features and numbers, each with one line that helps."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wcord.objectives.term import TermSettings
from wcord.settings.listing import suited_values

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


def check_place(loss: nn.Module, name: str) -> None:
    """Raise a LossError if what a loss learns in this call would be lost or counted twice."""
    if getattr(loss, "_is_replica", False):
        raise LossError(
            f"{name} is inside DataParallel, which throws away what its copies learn: use "
            "DistributedDataParallel"
        )
    if torch._C._current_graph_task_id() != -1:
        raise LossError(
            f"{name} is called by a backward pass: call the loss outside of gradient "
            "checkpointing, which computes everything twice"
        )
    if torch._C._functorch.peek_interpreter_stack() is not None:
        raise LossError(
            f"{name} is called by a transform of torch.func, whose tensors cannot be kept in a "
            "bank: use torch.autograd.grad"
        )


def check_features(
    teacher: Any,
    student: Any,
    dims: tuple[int, int],
    device: torch.device,
    training: bool,
    name: str,
) -> None:
    """Check the features of a step; warn if the student cannot learn from them.

    Args:
        teacher, student: should be floating-point tensors (n, dim) on one device.
        dims: lengths of teacher and student features.
        device: of the loss.
        training: whether this is a step of training.
        name: of the loss, for messages.

    Raises:
        ValueError: they are not, or NaN (checked on a CPU only, where this needs no waiting).
    """
    sides = {"teacher": (teacher, dims[0]), "student": (student, dims[1])}
    for side, (features, dim) in sides.items():
        if not isinstance(features, Tensor) or not features.is_floating_point():
            kind = features.dtype if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"{name}: {side} features must be a floating-point tensor, not {kind}")
        if features.layout != torch.strided:
            raise ValueError(f"{name}: {side} features are sparse: give features.to_dense()")
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
    if training and teacher.requires_grad:
        warnings.warn(
            f"{name}: the teacher features carry a gradient, which is not used: compute them under "
            "torch.no_grad(), and give the arguments in the order (teacher, student)",
            LossWarning,
            stacklevel=6,  # the caller's step
        )
    if training and not student.requires_grad:
        warnings.warn(
            f"{name}: the student features carry no gradient, so the student learns nothing from "
            "this loss: compute them without torch.no_grad() and detach()",
            LossWarning,
            stacklevel=6,  # the caller's step
        )


def warn_of_unsuited(settings: Mapping[str, TermSettings], name: str) -> None:
    """Warn where a setting has its default, and another value suits the other settings."""
    for term, chosen in settings.items():
        for key, info in type(chosen).model_fields.items():
            for other, suited in suited_values(info).items():
                value = getattr(chosen, other)
                suits = suited.get(str(value).lower(), info.default)
                if key not in chosen.model_fields_set and suits != info.default:
                    warnings.warn(
                        f"{name}: {term}.{key} is {info.default:g}, its default, and {suits:g} "
                        f"suits {other} {value}: give {key}",
                        LossWarning,
                        stacklevel=4,
                    )


def check_labels(labels: Any, known: Tensor, name: str) -> None:
    """Raise a ValueError if the labels (n,) of a step are not those of the same index in `prime`.

    Args:
        labels: of the step.
        known: (n,) labels in `prime`.
        name: of the loss, for messages.
    """
    given = integers(labels, f"{name}: labels")
    if given.shape != known.shape:
        raise ValueError(f"{name}: {len(given)} labels for {len(known)} samples")
    different = int((given != known.cpu()).sum())
    if different:
        raise ValueError(
            f"{name}: {different} of {len(known)} labels differ from those of the same index in "
            "prime: give the index of each sample in the data set"
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
    """Return a copy of integers (n,) as a tensor on the CPU.

    A copy, because callers may change theirs before it is used for the last time.

    Raises:
        ValueError: they are none.
    """
    try:
        own = isinstance(values, Tensor)
        tensor = values.detach() if own else torch.tensor(np.asarray(values), device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        got = type(values).__name__
        if isinstance(values, (list, tuple)) and values:
            got = f"a {got} of {type(values[0]).__name__}"
        raise ValueError(f"{name} must be integers of shape (n,), not {got}") from error
    kind = tensor.dtype
    if tensor.ndim != 1 or kind == torch.bool or kind.is_floating_point or kind.is_complex:
        got = f"{str(kind).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
        raise ValueError(f"{name} must be integers of shape (n,), not {got}")
    return tensor.to("cpu", torch.long, copy=True)


def integer(value: Any, name: str, least: int | None = None) -> int:
    """Return a size or seed as an int.

    Raises:
        ValueError: it is none (bool included), or less than `least`.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        what = "an integer" if least is None else f"an integer of at least {least}"
        raise ValueError(f"{name} must be {what}, not {value!r:.40}")
    return number
