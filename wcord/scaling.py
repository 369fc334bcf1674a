"""The two schemes behind Sinkhorn: products with a stabilised kernel, and log-sum-exp.

Both return the same numbers to rounding. The kernel form is the hot path: two matrix-vector
products and two divisions an update, in buffers allocated once. The log domain is for the rest:
gradients through the iterations, masses so small that a single update could overflow, and
masses that cannot be read without making the host wait for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

# In kernel form log-scalings stay within +-LIMIT: exp(2 LIMIT) is finite, and kernel entries that
# underflow are worth at most exp(2 LIMIT) * 1e-45 = 1e-10 of their row in float32.
LIMIT = {torch.float32: 40.0, torch.float64: 300.0}
# Below this mass one update could leave the range (|log u| <= log(n / mass) after an absorption).
SMALLEST_MASS = {torch.float32: 1e-9, torch.float64: 1e-60}
LOOKS = 10  # updates between two looks at the error where a tolerance is given


class Scaled(NamedTuple):
    """Where a scheme stopped.

    plan (..., n, m); f (..., n) and g (..., m) in units of cost, plan = exp((f + g - C) / e),
    -inf without mass; the number of updates of rows and columns.
    """

    plan: Tensor
    f: Tensor
    g: Tensor
    iterations: int


def kernel_is_safe(a: Tensor, b: Tensor, uniform: bool) -> bool:
    """Return whether `kernel_form` may be used with masses a and b.

    Uniform masses always; others are read, on a CPU only, and must be 0 or above SMALLEST_MASS.
    """
    if uniform:
        return True
    if a.device.type != "cpu":
        return False
    least = SMALLEST_MASS[a.dtype]
    return all(bool(((mass == 0) | (mass > least)).all()) for mass in (a, b))


def log_form(
    cost: Tensor, epsilon: float, a: Tensor, b: Tensor, iterations: int, tolerance: float | None
) -> Scaled:
    """Run Sinkhorn on log-scalings: every operation differentiable, any masses.

        log u = log a - logsumexp_j(log v_j - C_ij / e),   f = e log u,   and likewise v, g

    Args:
        cost: C (..., n, m).
        epsilon: e, in units of cost.
        a, b: masses (..., n) and (..., m).
        iterations, tolerance: as in `wcord.transport.sinkhorn`.
    """
    log_a, log_b, log_kernel = a.log(), b.log(), -cost / epsilon
    log_v = torch.zeros_like(log_b)
    done = 0
    while done < iterations:
        log_u = log_a - torch.logsumexp(log_kernel + log_v[..., None, :], -1)
        log_v = log_b - torch.logsumexp(log_kernel + log_u[..., :, None], -2)
        done += 1
        if tolerance is not None and (done % LOOKS == 0 or done == iterations):
            rows = (log_u + torch.logsumexp(log_kernel + log_v[..., None, :], -1)).exp()
            if (rows.detach() - a).abs().sum(-1).max() <= tolerance:
                break
    plan = _columns(log_kernel, log_u, b)
    return Scaled(plan, epsilon * log_u, epsilon * log_v, done)


def _columns(log_kernel: Tensor, log_u: Tensor, b: Tensor) -> Tensor:
    """Return diag(u) K diag(v) with v such that the columns sum to b, to rounding."""
    return torch.softmax(log_kernel + log_u[..., :, None], -2) * b[..., None, :]


def proximal_steps(
    cost: Tensor, beta: float, a: Tensor, b: Tensor, steps: int, inner: int
) -> Scaled:
    """Run IPOT: multiply the plan by exp(-C / beta) and project it, `steps` times.

        log P_t = log u_t + log v_t - t C / beta,   `inner` updates of u and v a step

    Args as `log_form`'s; the potentials belong to e = beta / steps.
    """
    log_a, log_b = a.log(), b.log()
    log_v = torch.zeros_like(log_b)
    for t in range(1, steps + 1):
        log_kernel = cost * (-t / beta)
        for _ in range(inner):
            log_u = log_a - torch.logsumexp(log_kernel + log_v[..., None, :], -1)
            log_v = log_b - torch.logsumexp(log_kernel + log_u[..., :, None], -2)
    plan = _columns(log_kernel, log_u, b)
    return Scaled(plan, beta / steps * log_u, beta / steps * log_v, steps * inner)


def kernel_form(
    cost: Tensor, epsilon: float, a: Tensor, b: Tensor, iterations: int, tolerance: float | None
) -> Scaled:
    """Sinkhorn on scalings in buffers allocated once, absorbed before they can overflow.

    Between absorptions P = diag(u) K diag(v), K = exp((f + g - C) / e); f and g are held in
    units of e, and C is reduced, so that K starts with a 1 in every row and column.
    """
    batch, (n, m) = cost.shape[:-2], cost.shape[-2:]
    lead = () if batch.numel() == 1 else (batch.numel(),)
    column, row = (*lead, n, 1), (*lead, 1, m)  # how scalings meet the kernel
    times, tail = (_products(cost), (1,)) if lead else (torch.mv, ())
    a, b = a.reshape(*lead, n, *tail), b.reshape(*lead, m, *tail)
    dead = (a.view(column) == 0) | (b.view(row) == 0)
    reduced, least_f, least_g = _reduce(cost.reshape(*lead, n, m), dead)
    log_kernel = reduced.div_(-epsilon)
    start = (least_g / -epsilon).exp().view_as(b).masked_fill(b == 0, 0)  # g = 0 before reducing
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    kernel, u, v = torch.empty_like(log_kernel), torch.empty_like(a), torch.empty_like(b)
    done = 0
    while done < iterations:
        torch.add(log_kernel, f.view(column), out=kernel).add_(g.view(row)).exp_()
        kernel.masked_fill_(dead, 1)  # keeps 0 / sum finite: scalings without mass are 0 anyway
        transposed, steps, taken = kernel.mT, 1, 0
        v.copy_(start)
        while taken < steps:
            torch.div(a, times(kernel, v, out=u), out=u)
            torch.div(b, times(transposed, u, out=v), out=v)
            taken += 1
            if taken == 1 and done > 0:
                steps = min(_window(u, v, max(n, m), tolerance), iterations - done)
        done += taken
        f += u.log()
        g += v.log()
        start = (b > 0).to(b.dtype)
        if tolerance is not None:
            error = (times(kernel, v, out=torch.empty_like(u)) * u - a).abs()
            if error.view(*lead, n).sum(-1).max() <= tolerance:
                break
    plan = kernel.mul_(u.view(column)).mul_(v.view(row))
    f = f.view(column).mul(epsilon) + least_f
    g = g.view(row).mul(epsilon) + least_g
    return Scaled(plan.view(cost.shape), f.view(*batch, n), g.view(*batch, m), done)


def _reduce(cost: Tensor, dead: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return C - r - c >= 0 with a 0 in every row and column that has mass, r and c."""
    cost = cost.masked_fill(dead, math.inf)
    rows = cost.amin(-1, keepdim=True).nan_to_num_(posinf=0.0)
    cost = cost - rows
    columns = cost.amin(-2, keepdim=True).nan_to_num_(posinf=0.0)
    return cost.sub_(columns), rows, columns


def _window(u: Tensor, v: Tensor, size: int, tolerance: float | None) -> int:
    """Return how many updates after an absorption keep |log u| and |log v| within LIMIT.

    An update is non-expansive in the sup norm of the logarithms, so none that follows is longer
    than the first. On a CPU the first is read. Elsewhere masses are uniform and it is at most
    log max(n, m): rows of a plan whose columns are met hold between a_i min(b) and 1. (The very
    first update, from g = 0, is absorbed at once.)
    """
    limit = LIMIT[u.dtype]
    if u.device.type == "cpu":
        logs = torch.cat((u.flatten(), v.flatten())).log_().abs_()
        step = float(logs.masked_fill_(logs.isinf(), 0).max())
        updates = limit / max(step, 1e-3)
    else:
        updates = limit / math.log(max(2, size))
    return max(1, min(int(updates), LOOKS if tolerance is not None else 10**9))


def _products(like: Tensor) -> Callable[..., Any]:
    """Return batched matrix-vector multiplication (B, n, m) x (B, m, 1) for this device."""
    if like.device.type == "cpu":
        return torch.bmm

    def multiply(kernel: Tensor, scaling: Tensor, out: Tensor) -> Tensor:
        # no tensor cores: TF32, where a user has allowed it, is too coarse for marginals
        return torch.sum(kernel * scaling.mT, -1, keepdim=True, out=out)

    return multiply
