"""Logits, in whatever a classifier returns them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

KEYS = ("logits", "out")  # of dicts


def logits_of(answer: Any, count: int, kind: str) -> Tensor:
    """Return the logits (n, classes) in the answer of a classifier.

    They are the answer itself, its attribute `logits`, the first part of a tuple or list, or of
    a dict what is under "logits" or "out", else the only tensor that has the shape.

    Args:
        answer: what the module returned.
        count: n, the number of images.
        kind: name of the module's class, for messages.

    Raises:
        ValueError: there is no such tensor.
    """
    found = _found(answer, count, kind)
    if isinstance(found, Tensor) and _fits(found, count):
        return found
    got = type(found).__name__
    if isinstance(found, Tensor):
        got = f"{tuple(found.shape)} {found.dtype}".replace("torch.", "")
    raise ValueError(
        f"{kind} must return logits (n, classes), a tuple that begins with them, or a dict or "
        f"object with logits; for a batch of {count} it returns {got}"
    )


def _found(answer: Any, count: int, kind: str) -> Any:
    if isinstance(answer, Tensor):
        return answer
    if hasattr(answer, "logits"):
        return _found(answer.logits, count, kind)
    if isinstance(answer, Mapping):
        return _found(_of_dict(answer, count, kind), count, kind)
    if isinstance(answer, tuple | list) and answer:
        return _found(answer[0], count, kind)
    return answer


def _of_dict(answer: Mapping[Any, Any], count: int, kind: str) -> Any:
    for key in KEYS:
        if key in answer:
            return answer[key]
    fit = [v for v in answer.values() if isinstance(v, Tensor) and _fits(v, count)]
    if len(fit) == 1:
        return fit[0]
    keys = ", ".join(map(repr, answer)) or "nothing"
    raise ValueError(f"{kind} returns a dict with {keys}: put its logits under the key 'logits'")


def _fits(value: Tensor, count: int) -> bool:
    return value.ndim == 2 and len(value) == count and value.is_floating_point()
