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


@dataclass(frozen=True)
class Solved:
    """A plan between two clouds beside the exact answer, as numpy arrays and numbers.

    plan (n, m); f (n,), g (m,) and exact_f, exact_g are potentials in units of cost, centred on
    f's mean; value is ⟨P, C⟩, bias its excess over the exact value.
    """

    plan: Array
    f: Array
    g: Array
    exact_f: Array
    exact_g: Array
    value: float
    objective: float
    exact_value: float
    marginal_error: float
    converged: bool

    @property
    def bias(self) -> float:
        """How much dearer the plan is than the exact one, in units of cost."""
        return self.value - self.exact_value


def solve(
    source: Array, target: Array, cost: str, solver: str, epsilon: float, iterations: int
) -> Solved:
    """Solve transport between clouds (n, d) and (m, d), uniform masses, in float64.

    Args:
        source: points (n, d).
        target: points (m, d).
        cost: a name in `COSTS`.
        solver: a name in `SOLVERS`.
        epsilon: strength of the entropy, in units of cost; β for "ipot", whose entropy is
            β / iterations; not used by "exact".
        iterations: updates of rows and columns, or proximal steps.

    Raises:
        ValueError: as the solvers do, in one line.
    """
    matrix = COSTS[cost](torch.from_numpy(source).double(), torch.from_numpy(target).double())
    found = SOLVERS[solver](matrix, epsilon, iterations)
    dual = kantorovich(matrix)
    f, g = _centred(found)
    shift = dual.f.mean()
    return Solved(
        plan=found.plan.numpy(),
        f=f,
        g=g,
        exact_f=(dual.f - shift).numpy(),
        exact_g=(dual.g + shift).numpy(),
        value=float(found.value),
        objective=float(found.objective),
        exact_value=float(dual.value),
        marginal_error=float(found.marginal_error),
        converged=bool(found.converged),
    )


def _centred(found: Transport) -> tuple[Array, Array]:
    f, g = found.potentials
    return (f - f.mean()).numpy(), (g + f.mean()).numpy()


@dataclass(frozen=True)
class ExactDistance:
    """The exact W1 of two clouds and its dual, from which the best critic is extended."""

    value: float
    _g: torch.Tensor
    _target: torch.Tensor

    def critic(self, points: Array) -> Array:
        """Return the best 1-Lipschitz critic g* (k,) at any points (k, d).

        g*(x) = min over j of d(x, y_j) − g_j, the McShane extension of the dual solution.
        """
        between = distance_cost(self._target, torch.from_numpy(points).double())
        return c_transform(self._g, between).numpy()


def exact_distance(source: Array, target: Array) -> ExactDistance:
    """Return the exact W1 = min ⟨P, d⟩ = max E_x[g] − E_y[g] of two clouds (n, d), (m, d)."""
    x, y = torch.from_numpy(source).double(), torch.from_numpy(target).double()
    dual = kantorovich(distance_cost(x, y))
    return ExactDistance(float(dual.value), dual.g, y)


def line_of(source: Array, target: Array, count: int = 241) -> Array:
    """Return places (count, 1) that span two clouds of numbers with some room."""
    both = np.concatenate([np.ravel(source), np.ravel(target)])
    room = 0.15 * max(float(np.ptp(both)), 0.5)
    return np.linspace(both.min() - room, both.max() + room, count)[:, None]
