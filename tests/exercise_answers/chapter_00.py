"""Answers to the exercises of chapter 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor
from torch.nn import functional as F

from wcord.objectives.kd import KDSettings


def by_entropies(joint: Tensor) -> Tensor:
    def entropy(p: Tensor) -> Tensor:
        return -torch.xlogy(p, p).sum()

    return entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint)


def by_a_loop(joint: Tensor) -> float:
    total = 0.0
    for i, row in enumerate(joint):
        for j, p in enumerate(row):
            if p > 0:
                total += float(p) * math.log(p / (joint[i].sum() * joint[:, j].sum()))
    return total


def least_cost() -> tuple[float, float, float]:
    found = linprog([-7.5, -6], A_ub=[[3, 1], [1, 2]], b_ub=[5, 4.2])
    return (*found.x, -found.fun)


def centred_distance(teacher: Tensor, student: Tensor) -> Tensor:
    apart = teacher - student
    return (apart - apart.mean(1, keepdim=True)).square().mean() / 2


def by_variance(teacher: Tensor, student: Tensor) -> float:
    return float(np.var((teacher - student).numpy(), axis=1).mean() / 2)


def kd(teacher: Tensor, student: Tensor, theta: float) -> Tensor:
    p, q = ((side / theta).log_softmax(1) for side in (teacher, student))
    return theta**2 * F.kl_div(q, p, reduction="batchmean", log_target=True)


def product(joint: Tensor) -> Tensor:
    return joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)


NEARLY_CANCELS = ([[10.0, 0.0], [10.0, 0.0]], [[1.1, -1.0]])
RIGHT: dict[str, list[Any]] = {
    "0.1": [by_entropies, by_a_loop, lambda p: torch.xlogy(p, p / product(p)).sum()],
    "0.2": [(1.16, 1.52, 17.82), least_cost(), torch.tensor([29 / 25, 38 / 25, 17.82])],
    "0.3": [centred_distance, by_variance],
    "0.4": [
        NEARLY_CANCELS,
        ([[100.0, 0.0], [0.0, 1.0]], [[0.0, 1.0]]),
        (torch.tensor([[30.0, 0.0], [0.0, 0.6], [0.3, 0.3]]), np.array([[0.0, 1.0, 1.0]])),
    ],
}
WRONG: dict[str, list[Any]] = {
    "0.1": [
        lambda p: (p * (p / product(p)).log()).sum(),  # 0 log 0
        lambda p: torch.xlogy(p, p / product(p)).sum() / math.log(2),  # bits
        lambda p: -torch.xlogy(p, p).sum(),
        lambda p: torch.xlogy(product(p), product(p) / (p + 1e-9)).sum(),  # the other order
        lambda p: torch.xlogy(p, p * p.numel()).sum(),  # uniform marginals
        lambda p: torch.xlogy(p, p / p.sum(1, keepdim=True)).sum(),
        lambda p: torch.xlogy(p, p / product(p)).mean(),
        lambda p: torch.xlogy(p, p / product(p)),
        lambda p: -by_entropies(p),
        lambda p: by_entropies(p) + 1e-3,
        lambda p: by_entropies(p).exp(),
        0.193,
    ],
    "0.2": [
        (1.8, 2.1, 17.82),  # the purchase, not the multipliers
        (1.52, 1.16, 17.82),
        (1.16, 1.52),
        (1.16, 1.52, 13.0),
        (1.17, 1.52, 17.82),
        (1.16, 1.53, 17.82),
        (-1.16, -1.52, 17.82),
        (5 / 3, 0.0, 12.5),
        (0.0, 2.1, 12.6),
        (2.0, 1.0, 13.0),
        17.82,
        (math.nan, 1.52, 17.82),
    ],
    "0.3": [
        lambda t, s: kd(t, s, 4.0),
        lambda t, s: kd(t, s, 100.0),  # near, and not the limit
        lambda t, s: kd(t, s, 1e7),  # rounding is left
        lambda t, s: (t - s).square().mean() / 2,  # not centred
        lambda t, s: 2 * centred_distance(t, s),
        lambda t, s: centred_distance(t, s) * t.shape[1],
        lambda t, s: centred_distance(t, s) * len(t),
        lambda t, s: centred_distance(t, s).sqrt(),
        lambda t, s: ((t - s) - (t - s).mean(0)).square().mean() / 2,
        lambda t, s: ((t - s) - (t - s).mean()).square().mean() / 2,
        lambda t, s: ((t - s) - (t - s).mean(1, keepdim=True)).square().sum(1) / t.shape[1] / 2,
        lambda t, s: kd(t, s, 4.0) * KDSettings().weight,
    ],
    "0.4": [
        ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]]),  # the bound is reached
        ([[20.0, 0.0]], [[1.0]]),
        ([[10.0, 0.0], [10.0, 0.0]], [[1.0, -1.0]]),  # no slope at all
        ([[10.0, 0.0], [-10.0, 0.0]], [[1.1, -1.0]]),  # cancels nothing: the units take turns
        ([[10.0, 0.0], [10.0, 0.0]], [[1.04, -1.0]]),  # too flat
        ([[10.0, 0.0], [10.0, 0.0]], [[1.2, -1.0]]),  # too steep
        ([[100.0, 0.0], [0.0, 1.0]], [[1.0]]),
        ([[100.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 1.0]]),
        ([[math.nan, 0.0], [0.0, 1.0]], [[0.0, 1.0]]),
        ([[math.inf, 0.0], [0.0, 1.0]], [[0.0, 1.0]]),
        ([[0.0, 0.0], [0.0, 0.0]], [[30.0, 30.0]]),
        [[100.0, 0.0], [0.0, 1.0]],
    ],
}
