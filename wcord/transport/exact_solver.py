"""Exact optimal transport: POT's network simplex, made safe for costs in any unit.

    OT(C) = min over P >= 0 of ⟨P, C⟩,   P 1 = a,  P^T 1 = b

`exact` solves any batch of problems on tensors, `network_simplex` one problem on numpy arrays.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wcord.transport.plan import Transport, masses_of, transport_of
from wcord.transport.scaling import Scaled
from wcord.transport.validation import check_entries, require_problem

Array = NDArray[np.float64]

MAX_PIVOTS = 10_000_000
EXPONENT = 10  # costs are scaled for POT so that the largest lies in [2^9, 2^10)
ROUNDING = 1e-9  # largest error of a solution, relative to the mass and to the largest cost


def network_simplex(a: Array, b: Array, cost: Array) -> tuple[Array, Array, Array]:
    """Solve OT(C) = min ⟨P, C⟩ = max ⟨a, f⟩ + ⟨b, g⟩ for one problem in float64.

    POT compares costs with tolerances of a fixed size. Its plans are therefore empty for costs
    clearly below 0, and wrong for costs of 1e-14. So POT solves

        D_ij = 2^k (C_ij - r_i - c_j),   512 <= max D < 1024
        r, c = minima of rows and columns

    which has the same optimal plans. Its dual solution u, v gives f = r + 2^-k u and
    g = c + 2^-k v. The solution is checked: P 1 = a, P^T 1 = b, u + v <= D, and ⟨P, D⟩ =
    ⟨a, u⟩ + ⟨b, v⟩ together prove that it is optimal. At 40 x 40 the value is right to 1e-14 of
    the range of C - r - c.

    Args:
        a: masses (n,) of the sources, with sum 1; may hold zeros.
        b: masses (m,) of the targets; they are scaled to the sum of a.
        cost: C (n, m), finite.

    Returns:
        The plan P (n, m), and f (n,) and g (m,) in units of cost, -inf where the mass is 0, with
        ⟨a, f⟩ = ⟨b, g⟩.

    Raises:
        RuntimeError: POT stopped before the optimum, or its solution fails the check.

    Source: Bonneel et al. (2011), "Displacement interpolation using Lagrangian mass transport"
    (the solver inside `ot.emd`).
    """
    import ot  # here, because this import takes three seconds and most training does not use it

    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    if rows.size < a.size or columns.size < b.size:
        plan, f, g = np.zeros_like(cost), np.full_like(a, -math.inf), np.full_like(b, -math.inf)
        with_mass = np.ix_(rows, columns)
        solution = network_simplex(a[rows], b[columns], cost[with_mass])
        plan[with_mass], f[rows], g[columns] = solution
        return plan, f, g
    b = b * (a.sum() / b.sum())
    r = cost.min(1)
    reduced = cost - r[:, None]
    c = reduced.min(0)
    reduced -= c
    k = EXPONENT - math.frexp(reduced.max())[1]
    np.ldexp(reduced, k, out=reduced)
    plan, log = ot.emd(
        a, b, reduced, numItermax=MAX_PIVOTS, log=True, center_dual=False, check_marginals=False
    )
    u, v = log["u"], log["v"]
    if not _optimal(plan, u, v, a, b, reduced):
        reason = log["warning"] or "its solution is not optimal"
        raise RuntimeError(f"POT's network simplex found no plan for these costs: {reason}")
    f, g = r + np.ldexp(u, -k), c + np.ldexp(v, -k)
    shift = (a @ f - b @ g) / 2
    return plan, f - shift, g + shift


def _optimal(plan: Array, u: Array, v: Array, a: Array, b: Array, reduced: Array) -> bool:
    """Return whether plan and potentials together prove that they are optimal, up to rounding."""
    marginal_error = np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()
    slack = np.subtract(reduced, u[:, None]).min(0) - v
    gap = np.vdot(plan, reduced) - a @ u - b @ v
    cost_error = max(abs(gap), -slack.min())
    return bool(marginal_error <= ROUNDING and cost_error <= ROUNDING * 2**EXPONENT)


def exact(cost: Tensor, *, source: Tensor | None = None, target: Tensor | None = None) -> Transport:
    """Solve optimal transport exactly, by POT's network simplex on the CPU in float64.

        OT(C) = min over P of ⟨P, C⟩
              = max over f, g of ⟨a, f⟩ + ⟨b, g⟩   with f_i + g_j <= C_ij

    Args:
        cost: C (..., n, m), as in `sinkhorn`. The problems of a batch are solved one by one.
        source: masses a (n,) or (..., n), as in `sinkhorn`.
        target: masses b (m,) or (..., m), as in `sinkhorn`.

    Returns:
        `Transport` on the cost's device and in its dtype. `objective` equals `value`, the
        potentials are the dual solution, and `iterations` is 0. The plan does not depend on the
        unit of C or on a constant added to it.

    Raises:
        ValueError: as `sinkhorn`.
        RuntimeError: the network simplex did not reach the optimum.

    Differentiation: backward through `value` or `objective` gives the plan, which is the
    gradient where the plan is unique and a subgradient elsewhere.

    Source: Bonneel et al. (2011), "Displacement interpolation using Lagrangian mass transport".

    >>> result = exact(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> float(result.value), result.plan.tolist()
    (0.0, [[0.5, 0.0], [0.0, 0.5]])
    """
    require_problem(cost, source, target)
    check_entries(cost, math.inf, source, target)
    a, b = masses_of(cost.detach(), source, target)
    n, m = cost.shape[-2:]
    solutions = [
        network_simplex(*problem)
        for problem in zip(
            a.reshape(-1, n).double().cpu().numpy(),
            b.reshape(-1, m).double().cpu().numpy(),
            cost.detach().reshape(-1, n, m).double().cpu().numpy(),
            strict=True,
        )
    ]
    plan, f, g = (torch.as_tensor(np.stack(parts)).to(a) for parts in zip(*solutions, strict=True))
    scaled = Scaled(plan.reshape(cost.shape), f.reshape(a.shape), g.reshape(b.shape), 0)
    result = transport_of(cost, a, b, scaled, None)
    return replace(result, objective=result.value)
