"""Answers to the exercises of chapter 9."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from wcord.transport import squared_euclidean_cost


def variance(std_a: float, std_b: float, r: float) -> float:
    return std_a**2 + std_b**2 - 2 * r * std_a * std_b


def seeds(factor: float = 8.0, power: float = 1.0) -> Callable[..., float]:
    return lambda a, b, r, effect: factor * (variance(a, b, r) / effect**2) ** power


def optimism(factor: float) -> Callable[..., float]:
    return lambda a, b, r: factor * math.sqrt(variance(a, b, r))


def distances(h: Tensor) -> Tensor:
    return (h[:, None] - h).square().sum(-1)


def gram(h: Tensor) -> Tensor:
    return h @ h.T


def cosines(h: Tensor) -> Tensor:
    h = F.normalize(h - h.mean(0))
    return h @ h.T


def shares(h: Tensor) -> Tensor:
    """Of each sample, how near it is to the others."""
    return (-distances(h)).log_softmax(1)


def between(of: Callable[[Tensor], Tensor], power: int = 2) -> Callable[..., Tensor]:
    return lambda t, s: (of(t) - of(s)).abs().pow(power).mean()


def without_a_way_back(t: Tensor, s: Tensor) -> Tensor:
    return (gram(t) - gram(s.detach())).square().mean()


HALF = 1 / math.sqrt(2 * math.pi)

RIGHT: dict[str, list[Any]] = {
    "9.1": [
        seeds(),
        lambda std_A, std_B, r, effect: torch.tensor(seeds()(std_A, std_B, r, effect)),
    ],
    "9.2": [optimism(HALF), lambda a, b, r: torch.tensor(variance(a, b, r) / (2 * math.pi)).sqrt()],
    "9.3": [
        between(distances),
        between(gram),
        between(lambda h: gram(h - h.mean(0))),
        between(lambda h: gram(F.normalize(h))),
        between(cosines, power=1),
        lambda t, s: (t.norm(dim=1) - s.norm(dim=1)).square().mean(),  # little, but all four
        lambda t, s: (shares(t).exp() * (shares(t) - shares(s))).sum(1).mean(),
    ],
}

WRONG: dict[str, list[Any]] = {
    "9.1": [
        seeds(factor=4),
        seeds(factor=2.8),
        seeds(factor=7.85),
        seeds(power=0.5),
        lambda a, b, r, effect: 8 * (a**2 + b**2) / effect**2,
        lambda a, b, r, effect: 8 * variance(a, b, -r) / effect**2,
        lambda a, b, r, effect: 8 * (a - b) ** 2 / effect**2,
        lambda a, b, r, effect: 8 * math.sqrt(variance(a, b, r)) / effect,
        lambda a, b, r, effect: 8 * variance(a, b, r) / effect,
        lambda a, b, r, effect: math.ceil(8 * variance(a, b, r) / effect**2),
        lambda a, b, r, effect: 8 * (1 - r) * a * b / effect**2,
        lambda a, b, r: 8,
        32.0,
    ],
    "9.2": [
        optimism(2 * HALF),
        optimism(HALF / 2),
        optimism(-HALF),
        optimism(1.0),
        optimism(1 / math.sqrt(math.pi)),
        lambda a, b, r: HALF * math.sqrt(a**2 + b**2),
        lambda a, b, r: HALF * math.sqrt(variance(a, b, -r)),
        lambda a, b, r: max(a, b) * HALF,
        lambda a, b, r: a / math.sqrt(math.pi),
        lambda a, b, r: (a + b) * HALF,
        lambda a, b, r: variance(a, b, r) * HALF,
        lambda a, b, r: 0.0,
        1.128,
    ],
    "9.3": [
        between(cosines),
        lambda t, s: 3 * between(cosines)(t, s),
        lambda t, s: (squared_euclidean_cost(t, t) - squared_euclidean_cost(s, s)).square().mean(),
        lambda t, s: (t - s).square().mean(),  # needs equal lengths
        lambda t, s: (t[:, :3] - s[:, :3]).square().mean(),  # changes under rotations
        lambda t, s: (t.norm() - s.norm()).square(),
        lambda t, s: (t.norm(dim=1).sort().values - s.norm(dim=1).sort().values).square().mean(),
        lambda t, s: (distances(t).sum() - distances(s).sum()).square(),
        lambda t, s: (torch.linalg.eigvalsh(gram(t)) - torch.linalg.eigvalsh(gram(s))).abs().mean(),
        lambda t, s: (distances(t).flatten().sort()[0] - distances(s).flatten().sort()[0]).norm(),
        between(lambda h: h @ h.mean(0, keepdim=True).T * 0 + 1),
        without_a_way_back,
        lambda t, s: between(gram)(t, s).item(),
        lambda t, s: (gram(t) - gram(s)).square().mean(1),
        lambda t, s: -between(gram)(t, s),
        lambda t, s: s.square().mean(),
        lambda t, s: torch.zeros((), dtype=t.dtype, requires_grad=True),
    ],
}
