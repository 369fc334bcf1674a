"""Find the logits in the output of a classifier: a tensor, tuple, dict or object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

KEYS = ("logits", "out")  # keys of a dict that may hold the logits


def logits_of(output: Any, count: int, kind: str) -> Tensor:
    """Return the logits (n, classes) in the output of a classifier.

    They are the output itself, its attribute `logits`, or the first entry of a tuple or list. In
    a dict they are the value of "logits" or "out", else the only tensor of the right shape.

    Args:
        output: the return value of the module.
        count: n, the number of images.
        kind: name of the module's class, for messages.

    Raises:
        ValueError: there is no such tensor.
    """
    logits = _unpacked(output, count, kind)
    if isinstance(logits, Tensor) and _fits(logits, count):
        return logits
    got = type(logits).__name__
    if isinstance(logits, Tensor):
        got = f"{tuple(logits.shape)} {logits.dtype}".replace("torch.", "")
    raise ValueError(
        f"{kind} must return logits (n, classes), a tuple that begins with them, or a dict or "
        f"object with logits; for a batch of {count} it returns {got}"
    )


def are_probabilities(outputs: Tensor) -> bool:
    """Return whether outputs (n, K) of two classes or more are those of a softmax.

    Log-probabilities are logits, too: their softmax is the same.

    >>> import torch
    >>> scores = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> are_probabilities(scores), are_probabilities(scores.softmax(1))
    (False, True)
    """
    sums = outputs.double().sum(1)
    return outputs.shape[1] > 1 and bool((outputs >= 0).all() and ((sums - 1).abs() < 1e-3).all())


def _unpacked(output: Any, count: int, kind: str) -> Any:
    if isinstance(output, Tensor):
        return output
    if hasattr(output, "logits"):
        return _unpacked(output.logits, count, kind)
    if isinstance(output, Mapping):
        return _unpacked(_from_dict(output, count, kind), count, kind)
    if isinstance(output, tuple | list) and output:
        return _unpacked(output[0], count, kind)
    return output


def _from_dict(output: Mapping[Any, Any], count: int, kind: str) -> Any:
    for key in KEYS:
        if key in output:
            return output[key]
    candidates = [v for v in output.values() if isinstance(v, Tensor) and _fits(v, count)]
    if len(candidates) == 1:
        return candidates[0]
    keys = ", ".join(map(repr, output)) or "nothing"
    raise ValueError(f"{kind} returns a dict with {keys}: put its logits under the key 'logits'")


def _fits(value: Tensor, count: int) -> bool:
    return value.ndim == 2 and value.shape[0] == count and value.is_floating_point()
