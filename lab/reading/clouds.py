"""Transport between two clouds as the playground shows it: solved, measured, compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wcord.transport import (
    Transport,
    c_transform,
    cosine_cost,
    exact,
    ipot,
    kantorovich,
    sinkhorn,
    squared_euclidean_cost,
)

Array = NDArray[Any]


def distance_cost(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean distance of every two points (n, m), the ground cost of W1."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


COSTS = {
    "squared distance": squared_euclidean_cost,
    "distance": distance_cost,
    "1 − cosine": cosine_cost,
}
SOLVERS: dict[str, Callable[[torch.Tensor, float, int], Transport]] = {
    "sinkhorn": lambda cost, epsilon, iterations: sinkhorn(cost, epsilon, iterations=iterations),
    "ipot": lambda cost, beta, iterations: ipot(cost, beta, iterations=iterations),
    "exact": lambda cost, _epsilon, _iterations: exact(cost),
}


def cost_matrix(source: Array, target: Array, cost: str) -> Array:
    """Return the cost (n, m) of moving mass between points (n, d) and (m, d), in float64.

    Raises:
        ValueError: points that are not finite, empty clouds, an unknown cost.
    """
    if cost not in COSTS:
        raise ValueError(f"unknown cost {cost!r}; known are {', '.join(COSTS)}")
    for name, points in (("source", source), ("target", target)):
        if not np.isfinite(points).all():
            raise ValueError(f"the {name} holds points that are not finite numbers")
    x, y = (torch.from_numpy(np.asarray(points, dtype=np.float64)) for points in (source, target))
    return COSTS[cost](x, y).numpy()


@dataclass(frozen=True)
class Solved:
    """A plan between two clouds, as numpy arrays and numbers.

    plan (n, m); f (n,) and g (m,) are potentials in units of cost, where f has mean 0; value is
    ⟨P, C⟩, objective ⟨a, f⟩ + ⟨b, g⟩, marginal_error the L1 error of the rows.
    """

    plan: Array
    f: Array
    g: Array
    value: float
    objective: float
    marginal_error: float


def solve(matrix: Array, solver: str, epsilon: float, iterations: int) -> Solved:
    """Solve transport at a cost (n, m), uniform masses, in float64.

    Args:
        matrix: the cost (n, m), as `cost_matrix` returns it.
        solver: a name in `SOLVERS`.
        epsilon: strength of the entropy, in units of cost; β for "ipot", whose entropy is
            β / iterations; not used by "exact".
        iterations: updates of rows and columns, or proximal steps.

    Raises:
        ValueError: as the solvers do, in one line.
    """
    found = SOLVERS[solver](torch.from_numpy(matrix), epsilon, iterations)
    return Solved(
        found.plan.numpy(),
        *_centred(*found.potentials),
        float(found.value),
        float(found.objective),
        float(found.marginal_error),
    )


@dataclass(frozen=True)
class Dual:
    """The least cost of transport, and potentials f (n,) and g (m,) that prove it; f has mean 0."""

    value: float
    f: Array
    g: Array


def exact_dual(matrix: Array) -> Dual:
    """Return the exact value and dual solution of transport at a cost (n, m), uniform masses.

    Raises:
        ValueError: a cost that is not finite.
    """
    dual = kantorovich(torch.from_numpy(matrix))
    return Dual(float(dual.value), *_centred(dual.f, dual.g))


def _centred(f: torch.Tensor, g: torch.Tensor) -> tuple[Array, Array]:
    return (f - f.mean()).numpy(), (g + f.mean()).numpy()


@dataclass(frozen=True)
class ExactDistance:
    """The exact W1 of two clouds and its dual, from which the best critic is extended."""

    value: float
    _g: torch.Tensor
    _target: torch.Tensor

    def critic(self, points: Array) -> Array:
        """Return the best 1-Lipschitz critic φ* (k,) at any points (k, d).

        φ*(x) = min over j of d(x, y_j) − g_j, the McShane extension of the dual solution.
        """
        between = distance_cost(self._target, torch.from_numpy(points).double())
        return c_transform(self._g, between).numpy()


def exact_distance(source: Array, target: Array) -> ExactDistance:
    """Return the exact W1 = min ⟨P, d⟩ = max E_x[φ] − E_y[φ] of two clouds (n, d), (m, d)."""
    x, y = torch.from_numpy(source).double(), torch.from_numpy(target).double()
    dual = kantorovich(distance_cost(x, y))
    return ExactDistance(float(dual.value), dual.g, y)


def line_of(source: Array, target: Array, count: int = 241) -> Array:
    """Return places (count, 1) that span two clouds of numbers with some room."""
    both = np.concatenate([np.ravel(source), np.ravel(target)])
    room = 0.15 * max(float(np.ptp(both)), 0.5)
    return np.linspace(both.min() - room, both.max() + room, count)[:, None]
