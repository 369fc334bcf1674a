"""Entropic optimal transport: Sinkhorn, its debiased divergence, and IPOT.

    OT_ε(C) = min over P >= 0 of ⟨P, C⟩ - ε H(P),   H(P) = -sum P log P
              with P 1 = a,  P^T 1 = b

Local transfer (LCKT) trains with `sinkhorn`; `ipot` reaches a small ε by proximal steps;
`sinkhorn_divergence` subtracts the bias of OT_ε. Each solves one cost matrix or a batch of them
with the updates of `scaling`. The result is a `Transport`: the plan, its cost and its error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from wcord.transport.costs import cosine_cost
from wcord.transport.plan import Transport, masses_of, transport_of
from wcord.transport.scaling import Scaled, log_form, proximal_steps, solve
from wcord.transport.validation import (
    check_entries,
    require_count,
    require_positive,
    require_problem,
)

MAX_UPDATES = 20_000  # in the last projection of IPOT


def sinkhorn(
    cost: Tensor,
    epsilon: float,
    *,
    source: Tensor | None = None,
    target: Tensor | None = None,
    iterations: int = 50,
    tolerance: float | None = None,
    gradient: str = "envelope",
    validate: bool = True,
) -> Transport:
    """Solve entropic optimal transport by alternating projections.

        OT_ε(C) = min over P of ⟨P, C⟩ - ε H(P),   H(P) = -sum P log P
                  with P 1 = a,  P^T 1 = b
        P_ij    = exp((f_i + g_j - C_ij) / ε)
        f_i    <- ε log a_i - ε log sum_j exp((g_j - C_ij) / ε)
        g_j    <- ε log b_j - ε log sum_i exp((f_i - C_ij) / ε)

    Args:
        cost: C (..., n, m), float32 or float64, any device, any sign and scale.
        epsilon: ε > 0, in units of cost.
        source: a (n,) or (..., n), masses that sum to 1; 1/n where None. Zeros are allowed.
        target: b (m,) or (..., m), likewise.
        iterations: number of updates of rows and columns; with a tolerance, the largest number.
            The number that a tolerance needs can grow much faster than 1 / ε as ε falls.
        tolerance: largest L1 error of the rows. The updates stop when every problem of the batch
            reaches it; None makes exactly `iterations` updates. The error is checked after every
            ten updates or fewer, and each check makes the host wait for the device.
        gradient: "envelope" or "unrolled", see below.
        validate: check the entries (NaN, masses) first. Use False in training loops, because the
            check makes the host wait for the device.

    Returns:
        `Transport`, whose `objective` is the dual value ⟨a, f⟩ + ⟨b, g⟩. This is a lower bound
        of the minimum of ⟨P, C⟩ - ε H(P), and equal to it at convergence. Other conventions: some
        authors put a further -1 into H; subtract ε from `objective` then. POT's
        `ot.solve(...).value` has ε KL(P | a b^T) by default; its potentials are f - ε log a and
        g - ε log b.

    Raises:
        ValueError: epsilon or tolerance not positive, iterations not a whole number of at least
            1, a cost or masses that are no float tensors or do not fit together, masses with a
            gradient under "envelope". With `validate`: a cost that holds NaN or infinity, masses
            that are negative or do not sum to 1, an epsilon too small for the number format.

    Differentiation:

    - "envelope": backward through `objective` or `value` gives the plan, which is the gradient
      of `objective` with respect to the cost, exactly at convergence (Danskin). It costs one
      product, and training uses it. It is not the gradient of `value` = ⟨P, C⟩, in which P
      depends on C too: the two differ by 23-49 % at ε = 0.05 (cosine 0.92-0.94).
    - "unrolled": the true gradient through all iterations, of `value`, `objective`, plan and
      potentials, with respect to the cost and the masses. It takes memory for
      2 * iterations matrices.

    Numbers: the kernel form is P = diag(u) K diag(v) with the potentials absorbed into K. Updates
    do not expand the sup norm, |log u'' - log u'| <= |log u' - log u|, so the first change after
    an absorption bounds those that follow it, and K is rebuilt before a scaling can leave the
    range of the number format. On a CPU, this change is measured. On other devices, measuring
    would make the host wait: for uniform masses the bound log max(n, m) per update is used
    instead, and other masses are solved in the log domain. On CUDA in float32, up to 256 x 256
    and without a tolerance, one Triton program makes all updates of a problem and absorbs each of
    them: one launch for masses of any kind.

    Source: Cuturi (2013), "Sinkhorn distances"; Schmitzer (2019), "Stabilized sparse scaling
    algorithms", for the absorption; Peyré and Cuturi (2019), "Computational optimal transport",
    section 4.4 and remark 4.22.

    >>> result = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 0.1)
    >>> result.plan
    tensor([[4.9998e-01, 2.2699e-05],
            [2.2699e-05, 4.9998e-01]])
    """
    require_problem(cost, source, target, gradient)
    require_positive("epsilon", epsilon)
    require_count("iterations", iterations)
    if tolerance is not None:
        require_positive("tolerance", tolerance, "positive, or None for all iterations")
    if validate:
        check_entries(cost, epsilon, source, target)
    a, b = masses_of(cost, source, target)
    if gradient == "unrolled":
        scaled = log_form(cost, epsilon, a, b, iterations, tolerance)
    else:
        uniform = source is None and target is None
        scaled = solve(cost.detach(), epsilon, a, b, iterations, tolerance, uniform)
    return transport_of(cost, a, b, scaled, tolerance)


class Divergence(NamedTuple):
    """A Sinkhorn divergence, and the three transport problems whose objectives it is made of.

    Attributes:
        value: (...), cross - source / 2 - target / 2 of the objectives, in units of cost.
        cross: the problem from x to y.
        source: the problem from x to x.
        target: the problem from y to y.
    """

    value: Tensor
    cross: Transport
    source: Transport
    target: Transport


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    epsilon: float,
    *,
    cost: Callable[[Tensor, Tensor], Tensor] = cosine_cost,
    iterations: int = 50,
    tolerance: float | None = None,
    gradient: str = "envelope",
    validate: bool = True,
) -> Divergence:
    """Return the debiased transport cost of two clouds with uniform masses.

        S_ε(x, y) = OT_ε(x, y) - 1/2 OT_ε(x, x) - 1/2 OT_ε(y, y)

    It is 0 at x = y. OT_ε alone is not smallest there: a cloud that follows its gradient shrinks.
    The entropies of the masses cancel, so that -ε H and ε KL(P | a b^T) give the same value.

    Args:
        x: points (..., n, d).
        y: points (..., m, d); detach y if it is fixed, as a teacher's features are.
        epsilon: ε > 0, in units of the cost.
        cost: function of two clouds that returns a cost (..., n, m).
        iterations: number of updates of rows and columns, as in `sinkhorn`.
        tolerance: largest L1 error of the rows, as in `sinkhorn`.
        gradient: "envelope" or "unrolled", as in `sinkhorn`.
        validate: whether to check the entries first, as in `sinkhorn`.

    Returns:
        `Divergence`, whose `value` (...) is S_ε.

    Raises:
        ValueError: as `sinkhorn`.

    Differentiation: as `sinkhorn`'s `objective`; with "envelope", exact at convergence. The
    gradient of OT_ε(x, x) has two parts, because x is both its source and its target.

    Source: Feydy et al. (2019), "Interpolating between optimal transport and MMD using Sinkhorn
    divergences", equation 3.

    >>> points = torch.eye(3)
    >>> float(sinkhorn_divergence(points, points, 0.1).value)
    0.0
    """
    cross, source, target = (
        sinkhorn(
            cost(left, right),
            epsilon,
            iterations=iterations,
            tolerance=tolerance,
            gradient=gradient,
            validate=validate,
        )
        for left, right in ((x, y), (x, x), (y, y))
    )
    value = cross.objective - (source.objective + target.objective) / 2
    return Divergence(value, cross, source, target)


def ipot(
    cost: Tensor,
    beta: float,
    *,
    source: Tensor | None = None,
    target: Tensor | None = None,
    iterations: int = 50,
    inner: int | None = None,
    validate: bool = True,
) -> Transport:
    """Solve optimal transport by T proximal steps, each penalised by KL to the last plan.

        P_{t+1} = argmin of ⟨P, C⟩ + beta KL(P | P_t)   over couplings P of a, b
        P_0     = 1 1^T

    As published (`inner=1`), each step projects once on the rows and once on the columns:

        Q = P_t * exp(-C / beta),   p = a / Q q,   q = b / Q^T p
        P_{t+1} = diag(p) Q diag(q)

    Every P_t is a scaling of exp(-t C / beta). T steps with converged projections are therefore
    the same plan as Sinkhorn at ε = beta / T, and the bias falls as T grows.

    Args:
        cost: C (..., n, m), as in `sinkhorn`.
        beta: > 0, in units of cost; compare solvers at equal beta / iterations.
        source: masses a (n,) or (..., n), as in `sinkhorn`.
        target: masses b (m,) or (..., m), as in `sinkhorn`.
        iterations: T, the number of proximal steps.
        inner: projections of rows and columns in each step (L in the paper, which uses 1). None
            gives the plan of converged steps: T steps with one projection each, then Sinkhorn at
            ε = beta / T from their potentials, until the row error is 1e-14 in float64 or 1e-6
            in float32, for at most 20,000 updates. Its checks make the host wait.
        validate: as in `sinkhorn`.

    Returns:
        `Transport` at ε = beta / T, with the plan exp((f + g - C) / ε). Its `objective` is OT_ε,
        and its `iterations` counts every update of rows and columns.

    Raises:
        ValueError: as `sinkhorn`; inner below 1.

    Differentiation: "envelope" (see `sinkhorn`): backward through `value` or `objective` gives
    the plan.

    Source: Xie, Wang, Wang, Zha (2018), "A fast proximal point method for computing exact
    Wasserstein distance", algorithm 1.

    >>> cost = torch.tensor([[0.0, 1.0], [1.0, 0.5]], dtype=torch.float64)
    >>> steps = ipot(cost, 5.0, iterations=10)
    >>> direct = sinkhorn(cost, 0.5, iterations=1000)
    >>> torch.allclose(steps.plan, direct.plan, rtol=0, atol=1e-12)
    True
    """
    require_problem(cost, source, target)
    require_positive("beta", beta)
    require_count("iterations", iterations)
    if inner is not None:
        require_count("inner", inner)
    epsilon = beta / iterations
    if validate:
        check_entries(cost, epsilon, source, target)
    a, b = masses_of(cost, source, target)
    with torch.no_grad():
        scaled = proximal_steps(cost.detach(), beta, a, b, iterations, inner or 1)
    if inner is not None:
        return transport_of(cost, a, b, scaled, None)
    # continue from these potentials: subtracting them from the cost keeps the same problem
    f, g = (potential.nan_to_num(neginf=0) for potential in (scaled.f, scaled.g))
    reduced_cost = cost.detach() - f[..., :, None] - g[..., None, :]
    tolerance = 1e-14 if cost.dtype == torch.float64 else 1e-6
    uniform = source is None and target is None
    final = solve(reduced_cost, epsilon, a, b, MAX_UPDATES, tolerance, uniform)
    scaled = Scaled(final.plan, f + final.f, g + final.g, iterations + final.iterations)
    return transport_of(cost, a, b, scaled, tolerance)
