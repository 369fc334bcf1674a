"""Answers to the exercises of chapter 2."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

import wcord
from wcord.transport import c_transform, exact

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


RIGHT: dict[str, list[Any]] = {
    "2.1": [
        exact(
            torch.tensor([[2.0, 3.0], [1.0, 2.0]]),
            source=torch.tensor([0.7, 0.3]),
            target=torch.tensor([0.4, 0.6]),
        ).value,
        2.3,
    ],
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
    "2.5": [2.4 / 1.25, np.float64(1.92)],
}
WRONG: dict[str, list[Any]] = {
    "2.1": [2.0, 2.31, 2.29, 0.3, 1.0, 3.0, 2.6, math.nan, "2.3 or so", (2.3, 2.3)],
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
    "2.5": [2.4, 1.25, 3.0, 2.88, 1.91, 1.93, 1.15, 0.52, math.inf, "1.92?"],
}
