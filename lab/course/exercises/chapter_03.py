"""The exercises of chapter 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wcord.transport import sinkhorn

from .checking import Exercise, draws, far, numbers, tensor, uniform

MOST_EPSILON = 320.0  # of exercise 3.4, where any ε is right that is large enough


def _row_projection(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    draw = draws()
    for n, m in ((3, 4), (5, 2)):
        q = uniform(n, m, draw=draw) + 0.1
        a = uniform(n, draw=draw) + 0.1
        a = a / a.sum()
        p = tensor(function(q.clone(), a.clone()))
        if p.shape != (n, m) or far(p.sum(1), a):
            return "the rows do not sum to a"
        ratio = p / q
        if far(ratio, ratio[:, :1].expand(n, m)):
            return "the rows fit, but another such matrix is nearer to Q in KL"
    return ""


def _column_potential(function: Callable[..., Tensor]) -> str:
    draw = draws()
    for n, m, epsilon in ((4, 3, 1.0), (3, 5, 0.1), (4, 3, 1e-4)):
        cost = uniform(n, m, draw=draw)
        f = uniform(n, draw=draw)
        g = tensor(function(f.clone(), cost.clone(), epsilon))
        if g.shape != (m,):
            return f"g should have shape ({m},) for a cost of shape ({n}, {m})"
        if not g.isfinite().all():
            return f"at ε = {epsilon:g} an exponential leaves the range of numbers"
        columns = ((f[:, None] + g - cost) / epsilon).exp().sum(0)
        if far(columns, torch.full_like(columns, 1 / m)):
            return f"at ε = {epsilon:g} the columns do not sum to 1/m"
    return ""


def _nearly_uniform(answer: Any) -> str:
    """All plans of costs in [0, 1] are within a per cent of uniform, and ε is no larger than asked.

    The costs whose doubly centred entry [0, 0] is largest and smallest are the worst ones.
    """
    epsilon = float(answer)
    if not 0 < epsilon <= MOST_EPSILON:
        return f"ε should be above 0 and at most {MOST_EPSILON:g}"
    high = torch.ones(8, 8, dtype=torch.float64)
    high[0, 1:] = high[1:, 0] = 0
    for cost in (high, 1 - high):
        plan = sinkhorn(cost, epsilon, iterations=2000).plan
        far = float((64 * plan - 1).abs().max())
        if far > 0.01:
            return f"there is a cost for which an entry is {100 * far:.3f} % away from 1/64"
    return ""


EXERCISES = (
    Exercise("3.1", "derive", _row_projection, ("A hint.",)),
    Exercise("3.2", "derive", _column_potential, ("A hint.",)),
    Exercise("3.3", "quick", numbers("3.3", 3, "9cc00e478e29"), ("A hint.",)),
    Exercise("3.4", "derive", _nearly_uniform, ("A hint.",)),
    Exercise("3.5", "quick", numbers("3.5", 0, "05c474ef4456"), ("A hint.",)),
)
