"""The exercises of chapter 6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from wcord.transport import cosine_cost, sinkhorn

from .checking import Exercise, draws, far, numbers, tensor


def _total(function: Callable[..., float]) -> str:
    draw = draws()
    for terms in (("ce", "gckt", "lckt"), ("kd",)):
        losses, weights = torch.randn(2, len(terms), generator=draw, dtype=torch.float64)
        named = (dict(zip(terms, row.tolist(), strict=True)) for row in (losses, weights))
        if far(tensor(function(*named)), losses @ weights):
            return f"that is not the weighted sum of {', '.join(terms)}"
    return ""


def _gradients(function: Callable[..., tuple[Any, Any]]) -> str:
    """The gradients of <P, C> at W_S and at W_T, P and the teacher's side held fixed."""
    draw = draws()
    t, s, w_t, w_s = (
        torch.randn(*shape, generator=draw, dtype=torch.float64)
        for shape in ((5, 4), (5, 3), (2, 4), (2, 3))
    )
    plan = sinkhorn(cosine_cost(t @ w_t.T, s @ w_s.T), 0.2).plan
    w_t.requires_grad_(True), w_s.requires_grad_(True)
    loss = (plan * cosine_cost(t @ w_t.detach().T, s @ w_s.T)).sum()
    (expected,) = torch.autograd.grad(loss, w_s)
    at_s, at_t = function(plan, t, s, w_t, w_s)
    if at_t is not None and not (tensor(at_t) == 0).all():
        return "the gradient at W_T is not that of a teacher's side that is held fixed"
    if at_s is None or far(tensor(at_s), expected):
        return "the gradient at W_S is not that of <P, C>"
    return ""


EXERCISES = (
    Exercise("6.1", "derive", _total, ("A hint.",)),
    Exercise("6.2", "derive", _gradients, ("A hint.",)),
    Exercise("6.3", "quick", numbers("6.3", 5, "056a86d93a3e"), ("A hint.",)),
)
