"""Answers to the exercises of chapter 8."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from wcord.transport import cosine_cost, exact


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def put_back(plan: Tensor, partner: Tensor) -> Tensor:
    straight = torch.empty_like(plan)
    straight[partner] = plan
    return straight


def by_the_formula(t: Tensor, s: Tensor, w: int) -> Tensor:
    costs, n = 1 - unit(t) @ unit(s).T, len(t)
    paired = costs.diagonal().mean()
    others = (costs.sum() - n * paired) / (n * (n - 1))
    return (1 - w / n) * paired + w / n * others


def by_targets(t: Tensor, s: Tensor, w: int) -> float:
    t, s, n = unit(t), unit(s), len(t)
    rest = (t.sum(0) - t) / (n - 1)
    return float(1 - (((1 - w / n) * t + w / n * rest) * s).sum(1).mean())


def assignment(t: Tensor, s: Tensor) -> Any:
    return linear_sum_assignment(-(t @ s.T).numpy())[1]


def own_sinkhorn(t: Tensor, s: Tensor) -> Tensor:
    kernel = ((t @ s.T - 1) / 0.02).exp()
    u = torch.ones(len(t), dtype=t.dtype)
    for _ in range(1000):
        v = 1 / (kernel.T @ u)
        u = 1 / (kernel @ v)
    return (u[:, None] * kernel * v).argmax(1)


def greedy(t: Tensor, s: Tensor) -> Tensor:
    scores, found = (t @ s.T).clone(), torch.zeros(len(t), dtype=torch.int64)
    for _ in range(len(t)):
        i, j = divmod(int(scores.argmax()), len(t))
        found[i] = j
        scores[i], scores[:, j] = -9, -9
    return found


RIGHT: dict[str, list[Any]] = {
    "8.1": [
        lambda n, w: (1 - w / n, 1 - w / (n - 1)),
        lambda n, w: torch.tensor([(n - w) / n, (n - 1 - w) / (n - 1)], dtype=torch.float64),
    ],
    "8.2": [
        put_back,
        lambda plan, partner: plan[partner.argsort()],
        lambda plan, partner: np.array(
            [row for _, row in sorted(zip(partner.tolist(), plan.tolist(), strict=True))]
        ),
        lambda plan, partner: torch.eye(len(plan), dtype=plan.dtype)[partner].T @ plan,
    ],
    "8.3": [by_the_formula, by_targets],
    "8.4": [assignment, own_sinkhorn, lambda t, s: assignment(t, s).tolist()],
}
WRONG: dict[str, list[Any]] = {
    "8.1": [
        lambda n, w: (1 - w / n, 1 - w / n),
        lambda n, w: (1 - w / (n - 1), 1 - w / (n - 1)),
        lambda n, w: (1 - w / (n - 1), 1 - w / n),
        lambda n, w: (w / n, w / (n - 1)),
        lambda n, w: (1 - w / n, 1 - w / (n + 1)),
        lambda n, w: (1 - w / n, max(0.0, 1 - w / (n - 1))),  # all wrong: it turns round
        lambda n, w: (1 - w / n, (1 - w / n) ** 2),
        lambda n, w: 1 - w / n,
        lambda n, w: (0.25, 0.238),
        lambda n, w: (n - w, n - 1 - w),
        (0.25, 1 - 48 / 63),
    ],
    "8.2": [
        lambda plan, partner: plan[partner],  # a second time
        lambda plan, partner: plan,
        lambda plan, partner: plan.flip(0),
        lambda plan, partner: plan.roll(1, dims=0),
        lambda plan, partner: plan[partner][partner],
        lambda plan, partner: put_back(plan, partner) * 2,
        lambda plan, partner: put_back(plan, partner)[:-1],
        lambda plan, partner: put_back(plan, partner).T,
        lambda plan, partner: torch.zeros_like(plan),
        lambda plan, partner: plan[:, partner % plan.shape[1]],
        lambda plan, partner: plan.sort(0).values,
        lambda plan, partner: partner,
    ],
    "8.3": [
        lambda t, s, w: (1 - w / len(t)) * (1 - (unit(t) * unit(s)).sum(1)).mean(),
        lambda t, s, w: (
            (1 - w / len(t)) * (1 - (unit(t) * unit(s)).sum(1)).mean()
            + w / len(t) * (1 - unit(t) @ unit(s).T).mean()
        ),  # the mean of all pairs
        lambda t, s, w: by_the_formula(s, t, len(t) - w),
        lambda t, s, w: 1 - by_the_formula(t, s, w),
        lambda t, s, w: by_the_formula(t, s, w - 1),
        lambda t, s, w: by_the_formula(t - t.mean(0), s - s.mean(0), w),
        lambda t, s, w: 1 - (t * s).sum(1).mean(),  # not of unit length
        lambda t, s, w: cosine_cost(t, s).mean(),
        lambda t, s, w: (1 - unit(t) @ unit(s).T).diagonal().mean(),
        lambda t, s, w: by_the_formula(t, s, w).expand(len(t)),
        lambda t, s, w: len(t) * by_the_formula(t, s, w),
        0.5,
    ],
    "8.4": [
        lambda t, s: (t @ s.T).argmax(1),  # the nearest
        lambda t, s: (t @ s.T).argmax(0),
        greedy,
        lambda t, s: ((t - t.mean(0)) @ unit(s - s.mean(0)).T).argmax(1),
        lambda t, s: torch.arange(len(t)),
        lambda t, s: torch.randperm(len(t), generator=torch.manual_seed(0)),
        lambda t, s: assignment(s, t),  # the other way round
        lambda t, s: linear_sum_assignment((t @ s.T).numpy())[1],  # the dearest
        lambda t, s: exact(cosine_cost(t, s)).plan.argmax(1),
        lambda t, s: t @ s.T,
        lambda t, s: assignment(t, s)[:-1],
        lambda t, s: torch.zeros(len(t)),
    ],
}
