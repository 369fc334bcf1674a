"""The updates of Sinkhorn and IPOT: products with a stabilised kernel, or log-sum-exp.

Both forms return the same numbers up to rounding. The kernel form is the fast one: two
matrix-vector products and two divisions per update, in buffers allocated once. The log domain is
for all other cases: gradients through the iterations, masses so small that a single update could
overflow, and masses on a device where reading them would make the host wait. On CUDA, problems of
up to 256 x 256 in float32 are solved by `fused_sinkhorn` instead, all updates in one launch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# In kernel form log-scalings stay within +-LIMIT: exp(2 LIMIT) is finite, and kernel entries that
# underflow have at most exp(2 LIMIT) * 1e-45 = 1e-10 of the mass of their row in float32.
LIMIT = {torch.float32: 40.0, torch.float64: 300.0}
# Below this mass one update could exceed LIMIT (|log u| <= log(n / mass) after an absorption).
SMALLEST_MASS = {torch.float32: 1e-9, torch.float64: 1e-60}
CHECK_EVERY = 10  # updates between two checks of the error, with a tolerance


class Scaled(NamedTuple):
    """The result of the updates.

    plan (..., n, m); potentials f (..., n) and g (..., m) in units of cost, with
    plan = exp((f + g - C) / ε), -inf where the mass is 0; iterations, updates of rows and columns.
    """

    plan: Tensor
    f: Tensor
    g: Tensor
    iterations: int


def solve(
    cost: Tensor,
    epsilon: float,
    a: Tensor,
    b: Tensor,
    iterations: int,
    tolerance: float | None,
    uniform: bool,
) -> Scaled:
    """Run Sinkhorn in one launch, in kernel form or in the log domain, without gradients.

    One launch if `fused_sinkhorn.fits`, for any masses. Otherwise kernel form where it is safe:
    for uniform masses on any device, and on a CPU for masses that are 0 or large enough (other
    devices would make the host wait for this check). The log domain otherwise.

    Arguments as in `log_form`; `uniform` means that a and b are uniform.
    """
    with torch.no_grad():
        if cost.is_cuda:  # imported here because only CUDA needs Triton
            from wcord.transport.fused_sinkhorn import fits, fused_form

            if fits(cost, tolerance):
                return Scaled(*fused_form(cost, epsilon, a, b, iterations), iterations)
        if uniform or (a.device.type == "cpu" and _large_enough(a) and _large_enough(b)):
            return kernel_form(cost, epsilon, a, b, iterations, tolerance, zeros=not uniform)
        return log_form(cost, epsilon, a, b, iterations, tolerance)


def _large_enough(mass: Tensor) -> bool:
    return bool(((mass == 0) | (mass > SMALLEST_MASS[mass.dtype])).all())


def log_form(
    cost: Tensor, epsilon: float, a: Tensor, b: Tensor, iterations: int, tolerance: float | None
) -> Scaled:
    """Run Sinkhorn on log-scalings: every operation differentiable, any masses.

        log u = log a - logsumexp_j(log v_j - C_ij / ε)
        f = ε log u,   and likewise v, g

    The least entry of each row is subtracted from C first and added to f afterwards, so that a
    large constant in C does not reduce the precision of the sums.

    Args:
        cost: C (..., n, m).
        epsilon: ε, in units of cost.
        a, b: masses (..., n) and (..., m).
        iterations, tolerance: as in `wcord.transport.sinkhorn`.
    """
    least = _least_of_rows(cost, b)
    log_a, log_b, log_kernel = a.log(), b.log(), (least - cost) / epsilon
    log_v = torch.zeros_like(log_b).masked_fill(b == 0, -math.inf)
    done = 0
    while done < iterations:
        log_u = log_a - torch.logsumexp(log_kernel + log_v[..., None, :], -1)
        log_v = log_b - torch.logsumexp(log_kernel + log_u[..., :, None], -2)
        done += 1
        if tolerance is not None and (done % CHECK_EVERY == 0 or done == iterations):
            row_sums = (log_u + torch.logsumexp(log_kernel + log_v[..., None, :], -1)).exp()
            if (row_sums.detach() - a).abs().sum(-1).max() <= tolerance:
                break
    plan = _columns(log_kernel, log_u, b)
    return Scaled(plan, epsilon * log_u + least.squeeze(-1), epsilon * log_v, done)


def _least_of_rows(cost: Tensor, b: Tensor) -> Tensor:
    """Return the least entry (..., n, 1) of each row among columns with mass, without gradient."""
    return cost.detach().masked_fill((b == 0)[..., None, :], math.inf).amin(-1, keepdim=True)


def _columns(log_kernel: Tensor, log_u: Tensor, b: Tensor) -> Tensor:
    """Return diag(u) K diag(v), where v makes the columns sum to b up to rounding."""
    return torch.softmax(log_kernel + log_u[..., :, None], -2) * b[..., None, :]


def proximal_steps(
    cost: Tensor, beta: float, a: Tensor, b: Tensor, steps: int, inner: int
) -> Scaled:
    """Run IPOT: multiply the plan by exp(-C / beta) and project it, `steps` times.

        Q = P_t * exp(-C / beta);   p = a / Q q,  q = b / Q^T p,  `inner` times;
        P_{t+1} = diag(p) Q diag(q),   P_t = diag(u) exp(-t C / beta) diag(v)

    Each step starts with the q of the last step, as in the paper. Arguments as in `log_form`; the
    potentials belong to ε = beta / steps.
    """
    least = _least_of_rows(cost, b)  # subtracted as in `log_form`
    log_a, log_b, reduced = a.log(), b.log(), cost - least
    log_v = torch.zeros_like(log_b).masked_fill(b == 0, -math.inf)
    log_q = torch.zeros_like(log_b)
    for t in range(1, steps + 1):
        log_kernel, last_log_v = reduced * (-t / beta), log_v
        for _ in range(inner):
            log_u = log_a - torch.logsumexp(log_kernel + (last_log_v + log_q)[..., None, :], -1)
            log_v = log_b - torch.logsumexp(log_kernel + log_u[..., :, None], -2)
            log_q = (log_v - last_log_v).masked_fill(b == 0, 0)
    plan = _columns(log_kernel, log_u, b)
    epsilon = beta / steps
    return Scaled(plan, epsilon * log_u + least.squeeze(-1), epsilon * log_v, steps * inner)


def kernel_form(
    cost: Tensor,
    epsilon: float,
    a: Tensor,
    b: Tensor,
    iterations: int,
    tolerance: float | None,
    zeros: bool,
) -> Scaled:
    """Run Sinkhorn on scalings u and v, which are absorbed into K before they can overflow.

        P = diag(u) K diag(v),   K = exp((f + g - C) / ε)
        u = a / K v,   v = b / K^T u

    An absorption adds log u to f and log v to g (in units of ε here) and rebuilds K; `_window`
    returns the number of updates between two absorptions. C is reduced first, so that K starts
    with a 1 in every row and column. v starts at exp(-c / ε), where c is subtracted from the
    columns of C: so the updates are those from g = 0.

    Arguments as in `log_form`; `zeros` means that masses may be 0. Not differentiable.
    """
    batch, (n, m) = cost.shape[:-2], cost.shape[-2:]
    lead = (batch.numel(),) if batch.numel() > 1 else ()
    column, row = (*lead, n, 1), (*lead, 1, m)  # shapes of u and v beside the kernel
    a, b = (a.reshape(column), b.reshape(row)) if lead else (a.reshape(n), b.reshape(m))
    cost = cost.reshape(*lead, n, m)
    massless = (a.view(column) == 0) | (b.view(row) == 0) if zeros else None
    log_kernel, least_f, least_g = _reduce(cost, massless)
    log_kernel.div_(-epsilon)
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    kernel, u, v = torch.empty_like(log_kernel), torch.empty_like(f), torch.empty_like(g)
    update_rows, update_columns = _updates(kernel, u, v, a, b)
    start = (least_g / -epsilon).exp_().view_as(b)  # v for g = 0, after the reduction
    done = 0
    while done < iterations:
        torch.add(log_kernel, f.view(column), out=kernel).add_(g.view(row)).exp_()
        v.copy_(start)
        if massless is not None:
            kernel.masked_fill_(massless, 1)  # any positive number: these scalings are 0 / sum = 0
            v.mul_(b > 0)
        update_rows()
        update_columns()
        steps = 1
        if done > 0:
            steps = min(_window(u, v, max(n, m), tolerance), iterations - done)
            for _ in range(steps - 1):
                update_rows()
                update_columns()
        done += steps
        f += u.log()
        g += v.log()
        start = torch.ones_like(g)
        if tolerance is not None and _row_error(kernel, u, v, a) <= tolerance:
            break
    plan = kernel.mul_(u.view(column)).mul_(v.view(row))
    f = f.view(column).mul_(epsilon).add_(least_f)
    g = g.view(row).mul_(epsilon).add_(least_g)
    return Scaled(plan.view(*batch, n, m), f.view(*batch, n), g.view(*batch, m), done)


def _updates(
    kernel: Tensor, u: Tensor, v: Tensor, a: Tensor, b: Tensor
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the two updates u = a / K v and v = b / K^T u on these buffers."""
    if kernel.ndim == 2:
        transposed = kernel.mT

        def update_rows() -> None:
            torch.div(a, torch.mv(kernel, v, out=u), out=u)

        def update_columns() -> None:
            torch.div(b, torch.mv(transposed, u, out=v), out=v)

        return update_rows, update_columns

    # Batches use elementwise products and sums: faster than bmm on a CPU from 32 x 32 on, and never
    # on tensor cores, where TF32 is too coarse for the marginals.
    work = torch.empty_like(kernel)

    def update_rows_of_batch() -> None:
        torch.div(a, torch.sum(torch.mul(kernel, v, out=work), -1, keepdim=True, out=u), out=u)

    def update_columns_of_batch() -> None:
        torch.div(b, torch.sum(torch.mul(kernel, u, out=work), -2, keepdim=True, out=v), out=v)

    return update_rows_of_batch, update_columns_of_batch


def _reduce(cost: Tensor, massless: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return C - r - c >= 0, with a 0 in every row and column that has mass; then r and c."""
    if massless is None:
        rows = cost.amin(-1, keepdim=True)
        cost = cost - rows
        columns = cost.amin(-2, keepdim=True)
    else:
        cost = cost.masked_fill(massless, math.inf)
        rows = cost.amin(-1, keepdim=True).nan_to_num_(posinf=0.0)
        cost = cost - rows
        columns = cost.amin(-2, keepdim=True).nan_to_num_(posinf=0.0)
    return cost.sub_(columns), rows, columns


def _row_error(kernel: Tensor, u: Tensor, v: Tensor, a: Tensor) -> float:
    """Return the largest L1 error of the rows in the batch; the host waits for the device."""
    if kernel.ndim == 2:
        return float((torch.mv(kernel, v) * u - a).abs().sum())
    return float(((kernel * v).sum(-1, keepdim=True) * u - a).abs().sum(-2).max())


def _window(u: Tensor, v: Tensor, size: int, tolerance: float | None) -> int:
    """Return how many updates after an absorption keep |log u| and |log v| within LIMIT.

    Updates are non-expansive in the sup norm of the logarithms, so that no later update changes
    them by more than the first. On a CPU the first change is measured. On other devices masses are
    uniform and the first change is at most log max(n, m): a row of a plan with exact column sums
    has a mass between a_i min(b) and 1. (The very first update, from g = 0, is absorbed at once.)
    """
    limit = LIMIT[u.dtype]
    if u.device.type == "cpu":
        logs = torch.cat((u.flatten(), v.flatten())).log_().abs_()
        change = float(logs.masked_fill_(logs.isinf(), 0).max())
        if math.isnan(change):  # the cost holds NaN, and so will the plan
            return 1
        updates = limit / max(change, 1e-3)
    else:
        updates = limit / math.log(max(2, size))
    return max(1, min(int(updates), CHECK_EVERY if tolerance is not None else 10**9))
