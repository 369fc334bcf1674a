"""The primal form: couplings of two sets of points, and what it costs to move one to the other.

    OT(C)   = min   <P, C>                over P >= 0 with P 1 = a, P^T 1 = b        `exact`
    OT_e(C) = min   <P, C> - e H(P)       over the same P, H(P) = -sum P log P       `sinkhorn`

`sinkhorn` is what local transfer (LCKT) trains with, `ipot` reaches a small e by proximal steps,
`exact` is the network simplex of POT. All three take one cost matrix or any batch of them and
return a `Transport`, the plan together with the evidence for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from wcord.arguments import (
    check_numbers,
    require_choice,
    require_cost,
    require_count,
    require_masses,
    require_points,
    require_positive,
)
from wcord.network_simplex import network_simplex
from wcord.scaling import Scaled, log_form, proximal_steps, solve

MOST_UPDATES = 20_000  # of the last projection of IPOT
DRAWN = 1e-3  # the row error up to which a plan counts as converged where no tolerance is given


@dataclass(frozen=True)
class Transport:
    """A transport plan and the evidence for it. Leading dimensions ... are those of the cost.

    Attributes:
        plan: P (..., n, m), mass moved from source i to target j; never carries a gradient of
            its own under `gradient="envelope"`.
        value: <P, C> (...), in units of cost.
        objective: the regularised problem's value (...), in units of cost; equal to
            <a, f> + <b, g>. For `exact`, the same as `value`.
        potentials: (f, g), shapes (..., n) and (..., m), in units of cost, -inf where the mass
            is 0. Defined up to (f + c, g - c).
        iterations: passes over rows and columns that were made (0 for `exact`).
        marginal_error: sum_i |(P 1)_i - a_i| (...), the L1 error of the rows; the columns are
            met to rounding because they are updated last.
        converged: boolean (...): the row error is within the tolerance asked for, else 1e-3.
    """

    plan: Tensor
    value: Tensor
    objective: Tensor
    potentials: tuple[Tensor, Tensor]
    iterations: int
    marginal_error: Tensor
    converged: Tensor


class Divergence(NamedTuple):
    """A Sinkhorn divergence (...) and the three problems that it is made of."""

    value: Tensor
    cross: Transport
    source: Transport
    target: Transport


# ------------------------------------------------------------------------------------- costs


def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    """Return one minus the cosine of the angle between every two points.

        C_ij = 1 - <x_i, y_j> / (|x_i| |y_j|)   in [0, 2]

    Args:
        x: points (..., n, d); a zero vector has cosine 0 with everything.
        y: points (..., m, d).

    Returns:
        cost (..., n, m), without unit. Gradients reach x and y.

    >>> cosine_cost(torch.eye(2), torch.tensor([[3.0, 0.0], [-1.0, 0.0]]))
    tensor([[0., 2.],
            [1., 1.]])
    """
    require_points(x, y)
    similarity = F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).mT  # (..., n, m)
    return (1 - similarity).clamp(0, 2)  # rounding may leave [0, 2]; the true slope there is 0


def squared_euclidean_cost(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared Euclidean distance of every two points.

        C_ij = |x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 <x_i, y_j>

    Both clouds are centred on y's mean first, so that distances survive a common offset.

    Args:
        x: points (..., n, d).
        y: points (..., m, d).

    Returns:
        cost (..., n, m), in squared units of the points. Gradients reach x and y.

    >>> squared_euclidean_cost(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[25.]])
    """
    require_points(x, y)
    centre = y.detach().mean(-2, keepdim=True)
    x, y = x - centre, y - centre
    squares = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return (squares - 2 * (x @ y.mT)).clamp_min(0)


# --------------------------------------------------------------------------------- Sinkhorn


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

        OT_e(C) = min over P of <P, C> - e H(P),      P 1 = a,  P^T 1 = b,  H = -sum P log P
        P_ij    = exp((f_i + g_j - C_ij) / e)
        f_i    <- e log a_i - e log sum_j exp((g_j - C_ij) / e)
        g_j    <- e log b_j - e log sum_i exp((f_i - C_ij) / e)

    Args:
        cost: C (..., n, m), float32 or float64, any device, any sign and scale.
        epsilon: e > 0, in units of cost.
        source: a (n,) or (..., n), masses that sum to 1; 1/n where None. Zeros are allowed.
        target: b (m,) or (..., m), likewise.
        iterations: how many times rows and columns are updated; with a tolerance, at most. What a
            tolerance takes can grow much faster than 1 / e as e falls.
        tolerance: None makes exactly `iterations`; otherwise stop when the L1 error of the rows
            is at most this in every problem of the batch, looked at every ten iterations at
            most (which makes the host wait for the device).
        gradient: "envelope" or "unrolled", see below.
        validate: look at the numbers (NaN, masses) before starting. False saves the wait for
            the device; use it in training loops.

    Returns:
        `Transport`. Its potentials belong to -e H as written above, without the further -1 that
        some authors put into H: `objective` = <a, f> + <b, g>, the dual value, which is at
        convergence <P, C> - e H(P) and before that a lower bound of it. (With H - 1 subtract e
        from it. For e KL(P | a b^T), which `ot.solve(...).value` of POT has by default, the
        potentials are f - e log a and g - e log b.)

    Raises:
        ValueError: epsilon or tolerance not positive, iterations not a whole number of at least
            1, a cost or masses that are no float tensors or do not fit together, masses with a
            gradient under "envelope". With `validate`: a cost that holds NaN or infinity, masses
            that are negative or do not sum to 1, epsilon below what the number format resolves.

    Differentiation:
        "envelope": the plan is the gradient of `objective` with respect to the cost, exactly at
        convergence (Danskin). Backward through `objective` or through `value` gives the plan;
        this is the training signal, and costs one product. It is *not* the gradient of
        `value` = <P, C>, in which P moves too: that one is 23-49 % away at e = 0.05 (cosine
        0.92-0.94). "unrolled" is the true gradient of what was computed, through all
        iterations: of `value`, of `objective`, of the plan and the potentials, and with respect
        to the masses. It takes memory for 2 * iterations matrices.

    Numbers:
        Kernel form: P = diag(u) K diag(v) with the potentials absorbed into K. Updates do not
        expand the sup norm, |log u'' - log u'| <= |log u' - log u|, so the first step after an
        absorption bounds those that follow it, and K is rebuilt before a scaling can leave the
        range of the number format. On a CPU that step is read; on other devices, where reading
        would make the host wait, the schedule is fixed by the bound for uniform masses,
        log max(n, m) a step, and other masses take the log domain. On CUDA in float32, up to
        256 x 256 and without a tolerance, one Triton program makes all updates of a problem,
        each of which absorbs its own step: masses of any kind take one launch.

    Source: Cuturi (2013), "Sinkhorn distances"; Schmitzer (2019), "Stabilized sparse scaling
    algorithms", for the absorption; Peyré and Cuturi (2019), "Computational optimal transport",
    section 4.4 and remark 4.22.

    >>> result = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 0.1)
    >>> result.plan
    tensor([[4.9998e-01, 2.2699e-05],
            [2.2699e-05, 4.9998e-01]])
    """
    _require_problem(cost, source, target, gradient)
    require_positive("epsilon", epsilon)
    require_count("iterations", iterations)
    if tolerance is not None:
        require_positive("tolerance", tolerance, "positive, or None for all iterations")
    if validate:
        check_numbers(cost, epsilon, source, target)
    a, b = _masses(cost, source, target)
    if gradient == "unrolled":
        return _report(cost, a, b, log_form(cost, epsilon, a, b, iterations, tolerance), tolerance)
    uniform = source is None and target is None
    scaled = solve(cost.detach(), epsilon, a, b, iterations, tolerance, uniform)
    return _report(cost, a, b, scaled, tolerance)


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

        S_e(x, y) = OT_e(x, y) - 1/2 OT_e(x, x) - 1/2 OT_e(y, y)

    It is 0 at x = y, where OT_e alone is not smallest: entropic transport shrinks what it moves.
    The entropies of the masses cancel, so it is the same for -e H and for e KL(P | a b^T).

    Args:
        x: points (..., n, d).
        y: points (..., m, d); detach it where it is the fixed (teacher's) side.
        epsilon: e > 0, in units of the cost.
        cost: function of two clouds that returns (..., n, m).
        iterations, tolerance, gradient, validate: as in `sinkhorn`.

    Returns:
        `Divergence(value, cross, source, target)`, value (...) in units of cost.

    Raises:
        ValueError: as `sinkhorn`.

    Differentiation: as `sinkhorn`'s `objective`; with "envelope", exact at convergence. Points
    enter the cost of x with itself twice, and both ways count.

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


# ----------------------------------------------------------------------------- IPOT and exact


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
    """Solve optimal transport by T proximal steps, each an entropic problem around the last plan.

        P_{t+1} = argmin <P, C> + beta KL(P | P_t)  over couplings P of a and b,   P_0 = 1 1^T

    As published (`inner=1`), each step projects once on the rows and once on the columns:

        Q = P_t * exp(-C / beta);   p = a / Q q,   q = b / Q^T p;   P_{t+1} = diag(p) Q diag(q)

    Every P_t is a scaling of exp(-t C / beta). T steps with converged projections are therefore
    *the same plan* as Sinkhorn at e = beta / T, and the bias falls as T grows.

    Args:
        cost: C (..., n, m), as in `sinkhorn`.
        beta: > 0, in units of cost; compare solvers at equal beta / iterations.
        source, target: masses, as in `sinkhorn`.
        iterations: T, the number of proximal steps.
        inner: projections of rows and columns in each step (L in the paper, which takes 1). None
            gives the plan of converged steps: after T steps with one projection each, it solves
            Sinkhorn at e = beta / T from the potentials reached, to a row error of 1e-14 in
            float64 and 1e-6 in float32 or for 20,000 updates, and waits for the device.
        validate: as in `sinkhorn`.

    Returns:
        `Transport` at e = beta / T: plan = exp((f + g - C) / e), `objective` is OT_e, and
        `iterations` counts every update of rows and columns.

    Raises:
        ValueError: as `sinkhorn`; inner below 1.

    Differentiation: "envelope" (see `sinkhorn`): backward through `value` or `objective` gives
    the plan.

    Source: Xie, Wang, Wang, Zha (2018), "A fast proximal point method for computing exact
    Wasserstein distance", algorithm 1.

    >>> cost = torch.tensor([[0.0, 1.0], [1.0, 0.5]], dtype=torch.float64)
    >>> steps, direct = ipot(cost, 5.0, iterations=10), sinkhorn(cost, 0.5, iterations=1000)
    >>> torch.allclose(steps.plan, direct.plan, rtol=0, atol=1e-12)
    True
    """
    _require_problem(cost, source, target)
    require_positive("beta", beta)
    require_count("iterations", iterations)
    if inner is not None:
        require_count("inner", inner)
    epsilon = beta / iterations
    if validate:
        check_numbers(cost, epsilon, source, target)
    a, b = _masses(cost, source, target)
    with torch.no_grad():
        scaled = proximal_steps(cost.detach(), beta, a, b, iterations, inner or 1)
    if inner is not None:
        return _report(cost, a, b, scaled, None)
    # go on from there: the same problem, with what has been reached taken off the cost
    f, g = (potential.nan_to_num(neginf=0) for potential in (scaled.f, scaled.g))
    rest = cost.detach() - f[..., :, None] - g[..., None, :]
    tolerance = 1e-14 if cost.dtype == torch.float64 else 1e-6
    uniform = source is None and target is None
    last = solve(rest, epsilon, a, b, MOST_UPDATES, tolerance, uniform)
    scaled = Scaled(last.plan, f + last.f, g + last.g, iterations + last.iterations)
    return _report(cost, a, b, scaled, tolerance)


def exact(cost: Tensor, *, source: Tensor | None = None, target: Tensor | None = None) -> Transport:
    """Solve optimal transport exactly, by POT's network simplex on the CPU in float64.

        OT(C) = min over P of <P, C> = max over f, g of <a, f> + <b, g>  with f_i + g_j <= C_ij

    Args:
        cost: C (..., n, m), as in `sinkhorn`; problems of a batch are solved one by one.
        source, target: masses, as in `sinkhorn`.

    Returns:
        `Transport` on the cost's device and in its dtype. `objective` is `value`, the potentials
        are the dual solution, and `iterations` is 0. The plan does not depend on the unit of C nor
        on a constant added to it.

    Raises:
        ValueError: as `sinkhorn`.
        RuntimeError: the network simplex did not reach the optimum.

    Differentiation: backward through `value` or `objective` gives the plan, which is the
    gradient where the plan is unique and a subgradient elsewhere.

    Source: see `wcord.network_simplex`.

    >>> result = exact(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> float(result.value), result.plan.tolist()
    (0.0, [[0.5, 0.0], [0.0, 0.5]])
    """
    _require_problem(cost, source, target)
    check_numbers(cost, math.inf, source, target)
    a, b = _masses(cost.detach(), source, target)
    n, m = cost.shape[-2:]
    solved = [
        network_simplex(*problem)
        for problem in zip(
            a.reshape(-1, n).double().cpu().numpy(),
            b.reshape(-1, m).double().cpu().numpy(),
            cost.detach().reshape(-1, n, m).double().cpu().numpy(),
            strict=True,
        )
    ]
    plan, f, g = (torch.as_tensor(np.stack(part)).to(a) for part in zip(*solved, strict=True))
    scaled = Scaled(plan.reshape(cost.shape), f.reshape(a.shape), g.reshape(b.shape), 0)
    result = _report(cost, a, b, scaled, None)
    return replace(result, objective=result.value)


# -------------------------------------------------------------------- gradients and evidence


class _Envelope(torch.autograd.Function):
    """<P, C> and the objective, both with the plan as their gradient."""

    @staticmethod
    def forward(
        ctx: Any, cost: Tensor, plan: Tensor, value: Tensor, objective: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(plan)
        ctx.set_materialize_grads(False)
        return value.clone(), objective.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        (plan,) = ctx.saved_tensors
        given = [gradient for gradient in gradients if gradient is not None]
        if not given:
            return None, None, None, None
        weight = given[0] if len(given) == 1 else given[0] + given[1]
        return plan * weight[..., None, None], None, None, None


def _report(
    cost: Tensor, a: Tensor, b: Tensor, scaled: Scaled, tolerance: float | None
) -> Transport:
    """Return the result with its evidence; the envelope gradient where the plan carries none."""
    plan, f, g, iterations = scaled
    error = (plan.detach().sum(-1) - a.detach()).abs().sum(-1)
    converged = error <= (DRAWN if tolerance is None else tolerance)
    objective = _weighted(a, f) + _weighted(b, g)
    if plan.requires_grad or not cost.requires_grad:
        value = (plan * cost).sum((-2, -1))
    else:
        value, objective = _Envelope.apply(
            cost, plan, (plan * cost.detach()).sum((-2, -1)), objective
        )
    return Transport(plan, value, objective, (f, g), iterations, error, converged)


def _weighted(mass: Tensor, potential: Tensor) -> Tensor:
    """<mass, potential> over the last dimension, where 0 * -inf is 0."""
    return (mass * potential.masked_fill(mass == 0, 0)).sum(-1)


def _masses(cost: Tensor, source: Tensor | None, target: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return a (..., n) and b (..., m) in the cost's dtype, on its device."""
    *batch, n, m = cost.shape
    a = cost.new_full((n,), 1 / n) if source is None else source.to(cost)
    b = cost.new_full((m,), 1 / m) if target is None else target.to(cost)
    return a.expand(*batch, n), b.expand(*batch, m)


def _require_problem(
    cost: Tensor, source: Tensor | None, target: Tensor | None, gradient: str = "envelope"
) -> None:
    """Refuse what can be refused without reading the device."""
    require_cost(cost)
    require_choice("gradient", gradient, ("envelope", "unrolled"))
    *batch, n, m = cost.shape
    for name, mass, size in (("source", source, n), ("target", target, m)):
        if mass is not None:
            require_masses(name, mass, (*batch, size))
            if mass.requires_grad and gradient == "envelope":
                raise ValueError(f"{name} is a constant under gradient='envelope': detach it")
