"""Answers to the exercises of chapter 2."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import ot
import torch
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance
from torch import Tensor

import wcord
from wcord.transport import c_transform, exact, kantorovich

CIRCLE = [[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]]
STEP_X, STEP_Y = [0.3, 0.4], [-0.3, -0.4]


def own_transform(f: Tensor, cost: Tensor) -> Tensor:
    return torch.stack([(cost[:, j] - f).min() for j in range(cost.shape[1])])


def in_place(f: Tensor, cost: Tensor) -> Tensor:
    cost -= f[:, None]
    return cost.amin(0)


def by_a_library_in_disguise(f: Tensor, cost: Tensor) -> Tensor:
    from wcord import transport as borrowed

    return getattr(borrowed, "c_" + "transform")(f, cost)


def two_distances() -> tuple[Tensor, Tensor]:
    sand, holes = torch.tensor([0.0, 1.0]), torch.tensor([[2.0, 3.0], [-0.5, 3.0]])
    first, second = (
        exact(
            (sand[:, None] - two).abs(),
            source=torch.tensor([0.7, 0.3]),
            target=torch.tensor([0.4, 0.6]),
        ).value
        for two in holes
    )
    return first, second


def by_running_sums(x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> Tensor:
    places, order = torch.cat([x, y]).sort()
    height = torch.cat([a, -b])[order].cumsum(0)
    return (height[:-1].abs() * places.diff()).sum()


def by_pairing_in_order(x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> float:
    sand, holes = (
        sorted(zip(places.tolist(), mass.tolist(), strict=True))
        for places, mass in ((x, a), (y, b))
    )
    cost = 0.0
    while sand and holes:
        (place, mass), (hole, room) = sand.pop(), holes.pop()
        moved = min(mass, room)
        cost += moved * abs(place - hole)
        if mass - moved > 1e-12:
            sand.append((place, mass - moved))
        if room - moved > 1e-12:
            holes.append((hole, room - moved))
    return cost


def without_masses(x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> Tensor:
    return by_running_sums(x, torch.ones_like(a) / len(a), y, torch.ones_like(b) / len(b))


def without_sorting(x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> Tensor:
    height = torch.cat([a, -b]).cumsum(0)
    return (height[:-1].abs() * torch.cat([x, y]).diff().abs()).sum()


def without_modulus(x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> Tensor:
    return (b @ y - a @ x).abs()


def by_linprog(x: Tensor, a: Tensor, y: Tensor, b: Tensor) -> float:
    rows = torch.eye(len(x)).repeat_interleave(len(y), 1)
    columns = torch.eye(len(y)).repeat(1, len(x))
    cost = (x[:, None] - y).abs().flatten()
    return linprog(cost, A_eq=torch.cat([rows, columns]), b_eq=torch.cat([a, b])).fun


def dual_of(cost: Tensor, a: Tensor, b: Tensor, high: float | None, low: float | None) -> Any:
    n, m = cost.shape
    pairs = np.hstack([np.kron(np.eye(n), np.ones((m, 1))), np.kron(np.ones((n, 1)), np.eye(m))])
    bounds = [(None, None)] * n + [(low, high)] * m
    price = -np.concatenate([a, b])
    found = linprog(price, A_ub=pairs, b_ub=cost.flatten(), bounds=bounds).x
    return found[:n], found[n:]


def with_capacities(cost: Tensor, a: Tensor, b: Tensor) -> Any:
    return dual_of(cost, a, b, 0, None)


def with_spare_source(cost: Tensor, a: Tensor, b: Tensor) -> Any:
    """A pile of no cost fills what is left; its potential is subtracted afterwards."""
    spare = torch.cat([cost, torch.zeros(1, cost.shape[1])])
    f, g = dual_of(spare, torch.cat([a, (b.sum() - 1).reshape(1)]), b, None, None)
    f, g = f + g.max(), g - g.max()
    return torch.as_tensor(f[:-1]), torch.as_tensor(g)


def kantorovich_with_spare(cost: Tensor, a: Tensor, b: Tensor) -> Any:
    spare = torch.cat([cost, torch.zeros(1, cost.shape[1])])
    mass = torch.cat([a, (b.sum() - 1).reshape(1)]) / b.sum()
    found = kantorovich(spare, source=mass, target=b / b.sum())
    top = found.g.max()
    return found.f[:-1] + top, found.g - top


def full_holes(cost: Tensor, a: Tensor, b: Tensor) -> Any:
    return dual_of(cost, a, b / b.sum(), None, None)


def nearest(cost: Tensor, a: Tensor, b: Tensor) -> Any:
    return cost.amin(1), torch.zeros(cost.shape[1])


def a_step_lower(cost: Tensor, a: Tensor, b: Tensor) -> Any:
    f, g = dual_of(cost, a, b, 0, None)
    return f, g - 0.01


def softmin_radius(z: Tensor) -> Tensor:
    return -(z.square().sum(1) + 1e-6).sqrt()


RIGHT: dict[str, list[Any]] = {
    "2.1": [two_distances(), (2.3, 1.7), [np.float64(2.3), 1.7], torch.tensor([2.3, 1.7])],
    "2.2": [
        own_transform,
        lambda f, C: (C - f[:, None]).amin(0),
        lambda f, C: np.min(C.numpy() - f.numpy()[:, None], axis=0),
        in_place,
    ],
    "2.3": [
        ([[0.0, 0.0]] * 4, CIRCLE),
        (np.zeros((4, 2)), np.array(CIRCLE)),
        (torch.zeros(4, 2, requires_grad=True), [torch.tensor(p) for p in CIRCLE]),
        ([[0, 0]] * 4, [[1, 0], [-1, 0], [0, 1], [0, -1]]),  # W1 is 1, no more
    ],
    "2.4": [
        (lambda z: torch.tanh(50 * z), STEP_X, STEP_Y),
        (lambda z: 2 * (z > 0).double(), STEP_X, STEP_Y),
        (lambda z: z > 0, torch.tensor(STEP_X) / 2, np.array(STEP_Y) / 2),
        (lambda z: np.where(z.numpy() > 0, 1.0, -1.0), STEP_X, STEP_Y),
    ],
    "2.5": [(2.4 / 1.25, 0.8 / 0.64), np.array([1.92, 1.25])],
    "2.6": [by_running_sums, by_pairing_in_order],
    "2.7": [with_capacities, with_spare_source],
    "2.8": [
        lambda y, kappa: -(y**2) * kappa / (1 - kappa) / 2,
        lambda y, kappa: (
            torch.tensor((y * kappa / (1 - kappa)) ** 2 - kappa * (y / (1 - kappa)) ** 2) / 2
        ),
    ],
    "2.9": [
        lambda z: -z.norm(dim=1),
        softmin_radius,
        lambda z: 7 - 3 * np.hypot(z[:, 0].numpy(), z[:, 1].numpy()),
    ],
}
WRONG: dict[str, list[Any]] = {
    "2.1": [
        2.3,
        (2.3, 1.3),  # the difference of the means in both
        (2.3, 2.3),
        (1.7, 2.3),
        (2.31, 1.7),
        (2.3, 1.69),
        (2.3, -1.7),
        (2.3, 1.9),  # the nearer sand does not fill the hole on the left
        (math.nan, math.nan),
        "2.3 and 1.7",
        (2.3, 1.7, 0.0),
    ],
    "2.2": [
        c_transform,
        lambda f, C: c_transform(f, C),
        lambda f, C: wcord.transport.c_transform(f, C),
        by_a_library_in_disguise,
        lambda f, C: (C - f[:, None]).amin(0) - 0.1,
        lambda f, C: (C - f[:, None]).mean(0),
        lambda f, C: (C.zero_(), f.zero_(), torch.zeros(C.shape[1]))[2],
        lambda f, C: torch.full((C.shape[1],), math.nan),
        lambda f, C: (C - f[:, None]).amin(1),
        lambda f, C: (C + f[:, None]).amin(0),
        lambda f, C: C.amin(0) - f.max(),
    ],
    "2.3": [
        (CIRCLE, CIRCLE),
        ([[1e7, 0.0]] * 4, [[1e7 + 1 + x, y] for x, y in CIRCLE]),
        ([[0.0, 0.0]] * 4, [[0.9, 0.0], [-0.9, 0.0], [0.0, 0.9], [0.0, -0.9]]),
        ([[0.1, 0.0]] * 4, CIRCLE),
        ([[0.0, 0.0]] * 3, CIRCLE[:3]),
        ([[0.0, 0.0]] * 4, [[1.0, 0.0]] * 4),
        ([[0.0]] * 4, [[2.0], [-2.0], [2.0], [-2.0]]),
        ([[math.nan, 0.0]] * 4, CIRCLE),
        CIRCLE,
        (CIRCLE, [[2.1, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]]),
    ],
    "2.4": [
        (lambda z: 2 * z, STEP_X, STEP_Y),  # its gradient at the points is 2
        (lambda z: z, STEP_X, STEP_Y),  # 1-Lipschitz
        (lambda z: (z >= 0.3).double(), STEP_X, STEP_Y),  # jumps at one of the points
        (lambda z: torch.tanh(50 * z), STEP_X, STEP_X),
        (lambda z: math.nan * z, STEP_X, STEP_Y),
        (lambda z: (z > 0.5).double() + torch.sin(2e5 * math.pi * z), [0.6], [0.4]),
        (lambda z: -torch.tanh(50 * z), STEP_X, STEP_Y),  # the wrong way round
        (lambda z: 0.1 * torch.tanh(50 * z), STEP_X, STEP_Y),
        (lambda z: torch.zeros_like(z), STEP_X, STEP_Y),
        (lambda z: torch.tanh(50 * z), STEP_X),
    ],
    "2.5": [
        1.92,
        (1.92, 0.0),  # true, but more is proved
        (1.92, -1.25),
        (2.4, 0.8),
        (3.0, 0.51),
        (1.92, 0.51),
        (1.25, 1.92),
        (1.91, 1.25),
        (1.92, 0.8),
        (math.inf, 1.25),
        "1.92, 1.25",
    ],
    "2.6": [
        without_masses,
        without_sorting,
        without_modulus,
        by_linprog,
        lambda x, a, y, b: wasserstein_distance(x, y, a, b),
        lambda x, a, y, b: ot.wasserstein_1d(x, y, a, b),
        lambda x, a, y, b: exact((x[:, None] - y).abs(), source=a, target=b).value,
        lambda x, a, y, b: (x.sort().values[: len(y)] - y.sort().values[: len(x)]).abs().mean(),
        lambda x, a, y, b: 2 * by_running_sums(x, a, y, b),
        lambda x, a, y, b: (a[:, None] * b * (x[:, None] - y).abs()).sum(),
        lambda x, a, y, b: math.nan,
        2.3,
    ],
    "2.7": [
        kantorovich_with_spare,
        full_holes,
        nearest,
        a_step_lower,
        lambda C, a, b: dual_of(C, a, b, None, 0),  # the other sign
        lambda C, a, b: dual_of(C, a, b, None, None),  # unbounded
        lambda C, a, b: (torch.zeros(len(C)), C.amin(0)),
        lambda C, a, b: (torch.zeros(len(C)), torch.zeros(C.shape[1])),
        lambda C, a, b: with_capacities(C, a, b)[::-1],
        lambda C, a, b: with_capacities(C, a, b)[0],
        lambda C, a, b: (C.amin(1) + 0.1, torch.zeros(C.shape[1])),
        (torch.zeros(3), torch.zeros(5)),
    ],
    "2.8": [
        lambda y, kappa: -kappa * y**2 / 2,  # −f
        lambda y, kappa: kappa * y**2 / (1 - kappa) / 2,
        lambda y, kappa: -(y**2) * kappa / (1 + kappa) / 2,
        lambda y, kappa: -(y**2) * kappa / (1 - kappa),
        lambda y, kappa: -y * kappa / (1 - kappa) / 2,
        lambda y, kappa: y / (1 - kappa),  # the minimiser
        lambda y, kappa: (1 - kappa) * y**2 / 2,
        lambda y, kappa: -(y**2) * kappa / (1 - kappa) ** 2 / 2,
        lambda y, kappa: 0.0,
        lambda y, kappa: math.inf,
        lambda y, kappa: -(y**2) / 6,  # right at one kappa
        -0.5,
    ],
    "2.9": [
        lambda z: z.norm(dim=1),  # upside down
        lambda z: -z.square().sum(1),
        lambda z: -z[:, 0],
        lambda z: -z.abs().sum(1),
        lambda z: -z.abs().amax(1),
        lambda z: -z.norm(dim=1).clamp(1.2, 1.8),
        lambda z: torch.zeros(len(z)),
        lambda z: -torch.exp(z.norm(dim=1)),
        lambda z: -z.norm(dim=1, keepdim=True),
        lambda z: -torch.sin(z.norm(dim=1)),
        lambda z: math.nan * z.norm(dim=1),
        lambda z: -(wcord.transport.euclidean(z, torch.zeros(1, 2).to(z))[:, 0]),
        lambda z: -z.norm(),
    ],
}
