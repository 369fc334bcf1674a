"""Answers to the exercises of chapter 3."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import ot
import torch
from torch import Tensor

from wcord.transport import sinkhorn


def stable(f: Tensor, cost: Tensor, b: Tensor, epsilon: float) -> Tensor:
    return epsilon * (b.log() - ((f[:, None] - cost) / epsilon).logsumexp(0))


def by_the_minimum(f: Tensor, cost: Tensor, b: Tensor, epsilon: float) -> Any:
    away = cost.numpy() - f.numpy()[:, None]
    least = away.min(0)
    return least - epsilon * np.log(np.exp((least - away) / epsilon).sum(0) / b.numpy())


def plain(f: Tensor, cost: Tensor, b: Tensor, epsilon: float) -> Tensor:
    return epsilon * (b / ((f[:, None] - cost) / epsilon).exp().sum(0)).log()


def rise(q: Tensor, a: Tensor, epsilon: float) -> Tensor:
    return epsilon * ((a * (a / q.sum(1)).log()).sum() - 1 + q.sum())


def rise_by_rows(q: Tensor, a: Tensor, epsilon: float) -> float:
    rows = q.sum(1)
    return sum(float(epsilon * (p * math.log(p / r) - p + r)) for p, r in zip(a, rows, strict=True))


def two_by_two(cost: Tensor, epsilon: float) -> Tensor:
    s = (cost[0, 1] + cost[1, 0] - cost[0, 0] - cost[1, 1]) / (2 * epsilon)
    p = torch.sigmoid(s) / 2
    return torch.stack([torch.stack([p, 0.5 - p]), torch.stack([0.5 - p, p])])


def two_by_two_numpy(cost: Tensor, epsilon: float) -> Any:
    c = cost.numpy()
    p = (1 + np.tanh((c[0, 1] + c[1, 0] - c[0, 0] - c[1, 1]) / (4 * epsilon))) / 4
    return np.array([[p, 0.5 - p], [0.5 - p, p]])


def two_by_two_overflows(cost: Tensor, epsilon: float) -> Tensor:
    k = (-cost / epsilon).exp()
    ratio = (k[0, 0] * k[1, 1] / (k[0, 1] * k[1, 0])).sqrt()
    p = ratio / (1 + ratio) / 2
    return torch.stack([torch.stack([p, 0.5 - p]), torch.stack([0.5 - p, p])])


def without_the_root(cost: Tensor, epsilon: float) -> Tensor:
    return two_by_two(2 * cost, epsilon)


def slopes(p: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    first = (p * p.log()).sum()
    return first, first - 1, (p * (p / a[:, None] / b).log()).sum()


def slopes_numpy(p: Tensor, a: Tensor, b: Tensor) -> Any:
    def entropy(of: Tensor) -> float:
        return float(-(of * of.log()).sum())

    return np.array([-entropy(p), -entropy(p) - 1, entropy(a) + entropy(b) - entropy(p)])


def blocks(n: int, ones: int) -> Tensor:
    cost = torch.zeros(n, n)
    cost[:ones, :ones] = 1
    return cost


STEP = torch.arange(4.0) * 0.5
GRID = torch.stack(torch.meshgrid(STEP, STEP[:2], indexing="ij"), -1).reshape(-1, 2)


def shrunk(factor: float, cloud: Tensor = GRID) -> Tensor:
    return cloud.mean(0) + factor * (cloud - cloud.mean(0))


RIGHT: dict[str, list[Any]] = {
    "3.1": [
        lambda Q, a: Q * (a / Q.sum(1))[:, None],
        lambda Q, a: (Q.numpy().T / Q.numpy().sum(1) * a.numpy()).T,
    ],
    "3.2": [stable, by_the_minimum],
    "3.3": [
        (0.512 - 0.1 * math.log(40), 0.412 - 0.1 * math.log(40)),
        torch.tensor([0.1431, 0.0431]),
        [0.143, 0.043],
    ],
    "3.4": [
        lambda width, share: 3 * width / math.log(1 + share),
        lambda width, share: 3.75 * width / share,
    ],
    "3.5": [(25, 0.1875), (0.5 / 0.02, 25 * 0.3 / 40)],
    "3.6": [rise, rise_by_rows],
    "3.7": [two_by_two, two_by_two_numpy],
    "3.8": [slopes, slopes_numpy],
    "3.9": [(blocks(4, 3), 0.001), (blocks(10, 6), 0.001), (blocks(10, 6).tolist(), 0.01)],
    "3.10": [
        (GRID, shrunk(0.7), 0.3),
        (GRID.numpy(), shrunk(0.6).numpy(), 0.3),
        (GRID + 5, shrunk(0.7, GRID + 5).flip(0), 0.29),
    ],
}
WRONG: dict[str, list[Any]] = {
    "3.1": [
        lambda Q, a: Q * (a / Q.sum(0)[: len(a)])[:, None] if len(a) <= Q.shape[1] else Q,
        lambda Q, a: Q / Q.sum(1, keepdim=True),
        lambda Q, a: Q / Q.sum() * a[:, None],
        lambda Q, a: a[:, None].expand(Q.shape) / Q.shape[1],
        lambda Q, a: Q + ((a - Q.sum(1)) / Q.shape[1])[:, None],
        lambda Q, a: Q.square() * (a / Q.square().sum(1))[:, None],
        lambda Q, a: Q * a[:, None],
        lambda Q, a: a / Q.sum(1),
        lambda Q, a: Q * (a / Q.sum(1)),
        lambda Q, a: Q,
        lambda Q, a: math.nan * Q,
        lambda Q, a: ot.sinkhorn(a, torch.ones(Q.shape[1]) / Q.shape[1], -Q.log(), 1.0),
    ],
    "3.2": [
        plain,  # overflows
        lambda f, C, b, e: -e * ((f[:, None] - C) / e).logsumexp(0),  # no b
        lambda f, C, b, e: e * (math.log(1 / len(b)) - ((f[:, None] - C) / e).logsumexp(0)),
        lambda f, C, b, e: (C - f[:, None]).amin(0),  # hard
        lambda f, C, b, e: e * (b.log() - ((f[:, None] - C) / e).logsumexp(1)[: len(b)]),
        lambda f, C, b, e: e * (b.log() + ((f[:, None] - C) / e).logsumexp(0)),
        lambda f, C, b, e: b.log() - ((f[:, None] - C) / e).logsumexp(0),
        lambda f, C, b, e: e * (b.log() - ((f[:, None] + C) / e).logsumexp(0)),
        lambda f, C, b, e: e * (b.log() - (f[:, None] - C).logsumexp(0)),
        lambda f, C, b, e: sinkhorn(C, e, target=b, iterations=1).potentials[1],
        lambda f, C, e: -e * ((f[:, None] - C) / e).logsumexp(0),
        torch.zeros(3),
    ],
    "3.3": [
        0.143,
        (0.143, 0.143),
        (0.043, 0.143),
        (0.143, 0.243),  # added where it is subtracted
        (0.881, 0.781),
        (0.096, -0.004),  # both clouds of 8
        (0.142, 0.043),
        (0.143, 0.042),
        (0.512, 0.412),
        (-3.177, -3.277),  # ε forgotten
        (0.352, 0.252),  # logarithm to base 10
        "0.143, 0.043",
    ],
    "3.4": [
        lambda width, share: width / share,
        lambda width, share: 1.5 * width / share,  # not for every size
        lambda width, share: 4.1 * width / share,
        lambda width, share: 302,
        lambda width, share: 3 / math.log(1 + share),
        lambda width, share: 3 * width * math.log(1 + share),
        lambda width, share: width / math.log(1 + share),
        lambda width, share: 3 * share / width,
        lambda width, share: -3 * width / share,
        lambda width, share: math.inf,
        lambda width, share: math.nan,
        302,
    ],
    "3.5": [
        25,
        (25, 0.48),  # the ratio turned round
        (25, 0.3),
        (25, 0.0075),
        (0.01, 0.1875),
        (25.3, 0.1875),
        (24, 0.1875),
        (26, 0.1875),
        (25, 0.187),
        (0.1875, 25),
        (math.nan, 0.1875),
        "25",
    ],
    "3.6": [
        lambda Q, a, e: e * (a * (a / Q.sum(1)).log()).sum(),  # for total mass 1
        lambda Q, a, e: rise(Q, a, 1.0),
        lambda Q, a, e: -rise(Q, a, e),
        lambda Q, a, e: e * (a * (a / Q.sum(1)).log()).sum() + e * (1 - Q.sum()),
        lambda Q, a, e: (a - Q.sum(1)).abs().sum(),
        lambda Q, a, e: e * (Q.sum(1) * (Q.sum(1) / a).log()).sum(),
        lambda Q, a, e: e * (a / Q.sum(1)).log().sum(),
        lambda Q, a, e: e * (a * (a / Q.sum(1)).log()).sum() - e,
        lambda Q, a, e: rise(Q / Q.sum(), a, e),
        lambda Q, a, e: rise(Q, torch.ones_like(a) / len(a), e),
        lambda Q, a, e: e * a * (a / Q.sum(1)).log() + e * (Q.sum(1) - a),
        0.1,
    ],
    "3.7": [
        two_by_two_overflows,
        without_the_root,
        lambda C, e: two_by_two(-C, e),
        lambda C, e: two_by_two(C, 1.0),
        lambda C, e: torch.full((2, 2), 0.25),
        lambda C, e: torch.eye(2) / 2,
        lambda C, e: torch.softmax(-C.flatten() / e, 0).reshape(2, 2),
        lambda C, e: torch.softmax(-C / e, 1) / 2,
        lambda C, e: 2 * two_by_two(C, e),
        lambda C, e: sinkhorn(C, e, iterations=5000).plan,
        lambda C, e: ot.sinkhorn([0.5, 0.5], [0.5, 0.5], C.numpy(), e),
        lambda C, e: two_by_two(C, e)[0],
        lambda C, e: two_by_two(C, 2 * e),
    ],
    "3.8": [
        lambda P, a, b: tuple(-value for value in slopes(P, a, b)),
        lambda P, a, b: (slopes(P, a, b)[0],) * 3,
        lambda P, a, b: slopes(P, a, b)[:2],
        lambda P, a, b: slopes(P, a, b)[::-1],
        lambda P, a, b: (slopes(P, a, b)[0], slopes(P, a, b)[0] + 1, slopes(P, a, b)[2]),
        lambda P, a, b: (slopes(P, a, b)[0], slopes(P, a, b)[1], slopes(P, a, b)[0]),
        lambda P, a, b: (0.0, 0.0, 0.0),
        lambda P, a, b: slopes(P, torch.ones_like(a) / len(a), torch.ones_like(b) / len(b)),
        lambda P, a, b: slopes(torch.outer(a, b), a, b),
        lambda P, a, b: slopes(P, a, b)[0],
        lambda P, a, b: (math.nan,) * 3,
        (1.0, 2.0, 3.0),
    ],
    "3.9": [
        (blocks(4, 2), 0.001),  # nobody has to give way
        (blocks(4, 3), 0.05),  # converged
        (blocks(4, 3), 0.0001),
        (2 * blocks(4, 3), 0.001),
        (-blocks(4, 3), 0.001),
        (torch.ones(4, 4), 0.001),
        (torch.zeros(4, 4), 0.001),
        (torch.eye(4), 0.001),
        (torch.rand(8, 8, generator=torch.Generator().manual_seed(0)), 0.001),
        (blocks(12, 7), 0.001),
        (blocks(4, 3) * math.nan, 0.001),
        blocks(4, 3),
        (blocks(4, 3), "small"),
    ],
    "3.10": [
        (GRID, GRID, 0.3),
        (GRID, shrunk(0.9), 0.3),  # too near
        (GRID, shrunk(0.0), 0.3),  # too far
        (GRID, shrunk(1.3), 0.3),
        (GRID, shrunk(0.7), 0.1),
        (GRID, shrunk(0.5), 0.5),
        (GRID / 2, shrunk(0.7, GRID / 2), 0.3),
        (shrunk(0.7), GRID, 0.3),  # the wrong way round
        (GRID[:7], shrunk(0.7)[:7], 0.3),
        (GRID, shrunk(0.7) + 1, 0.3),
        (GRID, shrunk(0.7), 0.0),
        (10 * GRID, shrunk(0.7, 10 * GRID), 0.3),
        (GRID, math.nan * GRID, 0.3),
        (GRID, shrunk(0.7)),
    ],
}
