"""Answers to the exercises of chapter 5."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.transport import cosine_cost, sinkhorn

SIX = torch.eye(6)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def average(t: Tensor, plan: Tensor) -> Tensor:
    return plan.T @ t / plan.sum(0)[:, None]


def best_by_loop(t: Tensor, plan: Tensor) -> list[Tensor]:
    sums = [
        sum(p * row / row.norm() for p, row in zip(column, t, strict=True)) for column in plan.T
    ]
    return [total / total.norm() for total in sums]


def lost_as_difference(t: Tensor, plan: Tensor) -> Tensor:
    a, b, s = plan.sum(1), plan.sum(0), average(t, plan)
    return (a * t.square().sum(1)).sum() - (b * s.square().sum(1)).sum()


def own_plan(t: Tensor, epsilon: float) -> Tensor:
    kernel = ((unit(t) @ unit(t).T - 1) / epsilon).exp()
    u = torch.ones(len(t), dtype=t.dtype)
    for _ in range(500):
        u = (u / (len(t) * (kernel @ u))).sqrt()  # the kernel is symmetric
    return u[:, None] * kernel * u


def by_averages(t: Tensor, epsilon: float) -> Tensor:
    return average(unit(t), own_plan(t, epsilon))


def by_softmax(t: Tensor, epsilon: float) -> Tensor:
    s = unit(t)
    for _ in range(3):
        s = unit((s @ unit(t).T / epsilon).softmax(1) @ unit(t))
    return s


def with_own(common: float, own: float, n: int = 6) -> tuple[Tensor, Tensor]:
    """Teachers with a common part, students with more of their own part."""
    return common + torch.eye(n), common + own * torch.eye(n)


def borrowed(t: Tensor, epsilon: float) -> Tensor:
    return sinkhorn(cosine_cost(t, t), epsilon).plan.T @ unit(t)


RIGHT: dict[str, list[Any]] = {
    "5.1": [
        SIX.roll(1, dims=0),
        (3 * SIX[[1, 0, 3, 2, 5, 4]]).tolist(),
        np.roll(np.eye(6), 2, axis=1),
    ],
    "5.2": [
        lambda n, epsilon: (0, -2 * epsilon * math.log(n)),
        lambda n, e: [0.0, e * sum(math.log(1 / n**2) for _ in range(n * n)) / n**2],
        lambda n, e: torch.tensor([0.0, -e * math.log(n * n)], dtype=torch.float64),
    ],
    "5.3": [
        lambda t, P: F.normalize(P.T @ F.normalize(t, dim=1), dim=1),
        best_by_loop,
        lambda t, P: unit(average(unit(t), P)).numpy(),
    ],
    "5.4": [
        lambda t, P: (P * torch.cdist(t, average(t, P)).square()).sum(),
        lost_as_difference,
        lambda t, P: float(
            sum((P[:, j] @ (t - s).square()).sum() for j, s in enumerate(average(t, P)))
        ),
    ],
    "5.5": [
        with_own(0.6, 2.5),
        (
            [[5, 1, 0, 0], [5, -1, 0, 0], [5, 0, 1, 0], [5, 0, -1, 0]],
            [[5, 3, 0, 0], [5, -3, 0, 0], [5, 0, 3, 0], [5, 0, -3, 0]],
        ),
    ],
    "5.6": [by_averages, by_softmax, lambda t, e: by_averages(by_averages(t, e), e).tolist()],
}
WRONG: dict[str, list[Any]] = {
    "5.1": [
        SIX,
        -SIX,
        SIX[[1, 0, 2, 3, 4, 5]],  # four samples keep their own
        SIX[[1, 1, 3, 2, 5, 4]],  # one feature twice
        SIX.roll(1, dims=0) + 0.1,
        SIX[:5].roll(1, dims=0),
        torch.ones(6, 6),
        torch.full((6, 6), math.nan),
        (SIX + SIX.roll(1, dims=0)),
        [1, 2, 3, 4, 5, 0],
        lambda: SIX.roll(1, dims=0),
    ],
    "5.2": [
        lambda n, e: (0, 2 * e * math.log(n)),  # the sign of the entropy
        lambda n, e: (0, -e * math.log(n)),  # entropy of one side
        lambda n, e: (0, -2 * math.log(n)),
        lambda n, e: (0, 0),
        lambda n, e: (1, -2 * e * math.log(n)),
        lambda n, e: (0, 1 - 2 * e * math.log(n)),
        lambda n, e: (0, -0.1 * math.log(64)),  # right for one batch
        lambda n, e: -2 * e * math.log(n),
        lambda n, e: (-2 * e * math.log(n), 0),
        lambda n, e: (0, -2 * e * math.log2(n)),
        lambda n, e: (0, sinkhorn(torch.zeros(n, n, dtype=torch.float64), e).objective),
        (0, -0.1 * math.log(64)),
    ],
    "5.3": [
        lambda t, P: unit(average(t, P)),  # t is not of unit length
        lambda t, P: average(unit(t), P),
        lambda t, P: P.T @ unit(t),
        lambda t, P: unit(P.T @ t),
        lambda t, P: unit(t[P.argmax(0)]),
        lambda t, P: unit(unit(t).mean(0, keepdim=True)).repeat(P.shape[1], 1),
        lambda t, P: -unit(P.T @ unit(t)),
        lambda t, P: unit(P @ unit(t[: P.shape[1]])),
        lambda t, P: unit(t),
        lambda t, P: unit(P.gt(P.mean()).double().T @ unit(t) + 1e-9),
        lambda t, P: F.normalize(P.T @ (1 - cosine_cost(t, torch.eye(t.shape[1]))), dim=1),
    ],
    "5.4": [
        lambda t, P: (t - t.mean(0)).square().sum() - average(t, P).var(0).sum(),
        lambda t, P: torch.cdist(t, average(t, P)).square().mean(),  # not weighted
        lambda t, P: (P * torch.cdist(t, average(t, P))).sum(),  # not squared
        lambda t, P: -(P * torch.cdist(t, average(t, P)).square()).sum(),
        lambda t, P: (P * torch.cdist(t, average(t, P)).square()).sum(0),
        lambda t, P: (P * torch.cdist(t, average(unit(t), P)).square()).sum(),
        lambda t, P: (P * torch.cdist(t, t[: P.shape[1]]).square()).sum(),
        lambda t, P: (P.sum(1) @ (t - P.sum(1) @ t).square()).sum(),  # the right side alone
        lambda t, P: (P / P.sum(0) * torch.cdist(t, average(t, P)).square()).sum(),
        lambda t, P: (P / P.sum(1, keepdim=True) * torch.cdist(t, average(t, P)).square()).sum(),
        lambda t, P: 0.5 * (P * torch.cdist(t, average(t, P)).square()).sum(),
        0.25,
    ],
    "5.5": [
        (torch.eye(4), torch.eye(4) + 0.3 * torch.eye(4).roll(1, dims=1)),  # cosines of 0
        with_own(0.6, 1.0),  # cost 0
        with_own(0.6, 1.2),  # below 0.01
        with_own(0.6, 2.5, n=3),
        (0.6 + torch.eye(6), (0.6 + 2.5 * torch.eye(6)).roll(1, dims=0)),
        (torch.ones(6, 6), 0.6 + torch.eye(6)),  # every plan costs the same
        (0.6 + torch.eye(6), torch.ones(6, 6)),
        (0.6 + torch.eye(6), 0.6 - torch.eye(6)),
        (0.6 + torch.eye(6), torch.full((6, 6), math.nan)),
        (0.6 + torch.eye(6), 0.6 + 2.5 * torch.eye(6)[:5]),
        0.6 + torch.eye(6),
        (0.6 + torch.eye(6), torch.cat([0.6 + torch.eye(6)[:1], 0.6 + 2.5 * torch.eye(6)[1:]])),
    ],
    "5.6": [
        lambda t, e: t,
        lambda t, e: 0.5 * t,  # the cosine cost has no lengths
        lambda t, e: t - t.mean(0),
        lambda t, e: -t,
        lambda t, e: t.roll(1, dims=0),  # the same set
        lambda t, e: t.mean(0).expand_as(t) * 0,
        lambda t, e: t.mean(0).expand_as(t),  # narrower, but too far away at small ε
        lambda t, e: t + 0.1 * torch.randn(t.shape, generator=torch.manual_seed(0)),
        lambda t, e: torch.full_like(t, math.nan),
        lambda t, e: by_averages(t, e)[:-1],
        lambda t, e: t.sign(),
        borrowed,
        torch.ones(4, 4),
    ],
}
