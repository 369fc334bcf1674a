"""Sinkhorn as one launch on a CUDA device: one Triton program for each transport problem.

At the sizes of a mini-batch the arithmetic of Sinkhorn takes a GPU less time than the launches
of its kernels, about five for each update. Here a program keeps its problem in registers, makes
all updates and writes plan and potentials, so that a batch of any shape is one launch.
"""

from __future__ import annotations

import functools
import math
import warnings

import torch
from torch import Tensor

try:
    import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:  # there is no Triton for Windows and macOS: `fits` is False there
    triton = None

Solved = tuple[Tensor, Tensor, Tensor]  # plan, f, g
LARGEST = 256  # rows or columns: 1024 threads, the most a program can have, hold 64 entries each
SMALLEST = 16  # a smaller problem is padded to this
ENTRIES = 1024  # entries of the padded cost for each warp of 32 threads


def fits(cost: Tensor, tolerance: float | None) -> bool:
    """Return whether `fused_form` can solve this: C (..., n, m) in float32 on CUDA, n, m <= 256.

    A tolerance needs the host between updates and is refused. The first call for a device tries
    the kernel there, because Triton needs a recent GPU and a C compiler on the machine.
    """
    return (
        cost.is_cuda
        and cost.dtype == torch.float32
        and tolerance is None
        and max(cost.shape[-2:]) <= LARGEST
        and _runs_on(cost.device)
    )


@functools.cache
def _runs_on(device: torch.device) -> bool:
    """Return whether Triton can compile and launch the kernel on this device."""
    if triton is None or torch.version.hip is not None:
        return False
    one = torch.ones(1, 1, device=device)
    try:
        fused_form(one, 1.0, one[0], one[0], 1)
    except Exception as error:  # whatever it is, the unfused schemes still work
        warnings.warn(f"fused Sinkhorn is off, Triton failed on {device}: {error}", stacklevel=2)
        return False
    return True


def fused_form(cost: Tensor, epsilon: float, a: Tensor, b: Tensor, iterations: int) -> Solved:
    """Run Sinkhorn in one launch: the updates of `wcord.transport.scaling.log_form`, any masses.

        f_i <- f_i - log sum_j b_j exp(f_i + g_j - C_ij / e)
        g_j <- g_j - log sum_i a_i exp(f_i + g_j - C_ij / e)
        P_ij = a_i b_j exp(f_i + g_j - C_ij / e)

    f and g are in units of e here, without the logarithms of the masses. Every update absorbs its
    scaling into them. C is reduced first: D_ij = C_ij - r_i - c_j >= 0 has a 0 in every row and
    column with mass. The sums then stay in the range of float32, so no maximum is subtracted:

        1 <= sum_j exp(-(c_j + D_ij) / e) <= m        the first update of rows, from g = 0
        |log sum| <= log max(m / min b, 1 / min a)    every later update

    The second bound follows term by term for the first update of columns and the second of rows;
    the others are shorter, because updates do not expand the sup norm. It is 11 for uniform masses
    at 256 x 256 and 75 for masses of 1e-30, and float32 reaches to 87. Smaller masses are safe
    too: the sums are clamped, and an update that was cut short is continued by the next.

    Args:
        cost: C (..., n, m), float32, n, m <= 256, on CUDA (on a CPU in Triton's interpreter).
        epsilon: e, in units of cost.
        a, b: masses (..., n) and (..., m); zeros are allowed, and C is not read there.
        iterations: updates of rows and columns, at least 1.

    Returns:
        P (..., n, m), and f (..., n), g (..., m) in units of cost as `scaling.Scaled` has
        them, equal to those of the other schemes to rounding. The host does not wait for the
        device, and the call can be captured in a CUDA graph once it has run with these n and m.
        NaN in C gives NaN. Not differentiable.
    """
    *batch, n, m = cost.shape
    count = math.prod(batch)
    cost = cost.contiguous()
    a = a.expand(*batch, n).reshape(count, n)
    b = b.expand(*batch, m).reshape(count, m)
    plan, f, g = torch.empty_like(cost), cost.new_empty(*batch, n), cost.new_empty(*batch, m)
    rows, columns = _padded(n), _padded(m)
    with torch.cuda.device_of(cost):  # Triton launches on the current device
        _sinkhorn[(count,)](
            *(cost, a, b, plan, f, g),
            *(float(epsilon), int(iterations), n, m, *a.stride(), *b.stride()),
            ROWS=rows,
            COLUMNS=columns,
            num_warps=_warps(rows, columns),
        )
    return plan, f, g


def _padded(size: int) -> int:
    """Return the power of two that holds this many rows or columns."""
    return max(SMALLEST, 1 << (size - 1).bit_length())


def _warps(rows: int, columns: int) -> int:
    return min(32, max(1, rows * columns // ENTRIES))


if triton is not None:

    @triton.jit
    def _log(total):  # type: ignore[no-untyped-def]
        """Return log total, with total clamped to float32's normal numbers; NaN stays NaN."""
        total = tl.where(total < 1e-37, 1e-37, total)
        return tl.log(tl.where(total > 1e38, 1e38, total))

    @triton.jit(do_not_specialize=["iterations"])
    def _sinkhorn(  # type: ignore[no-untyped-def]
        cost_at,
        a_at,
        b_at,
        plan_at,
        f_at,
        g_at,
        epsilon,
        iterations,
        n,
        m,
        a_problem,
        a_step,
        b_problem,
        b_step,
        ROWS: tl.constexpr,
        COLUMNS: tl.constexpr,
    ):
        """Solve the problem whose number is the program's. `at` is an address, `step` a stride."""
        problem = tl.program_id(0).to(tl.int64)
        i, j = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
        a = tl.load(a_at + problem * a_problem + i * a_step, mask=i < n, other=0.0)  # (ROWS,)
        b = tl.load(b_at + problem * b_problem + j * b_step, mask=j < m, other=0.0)  # (COLUMNS,)
        log_a = tl.where(a == 0, float("-inf"), tl.log(a))
        log_b = tl.where(b == 0, float("-inf"), tl.log(b))
        entry = i[:, None] * m + j[None, :]  # (ROWS, COLUMNS)
        live = (a != 0)[:, None] & (b != 0)[None, :]  # the rest, and the padding, is exp(-inf)
        cost = tl.load(cost_at + problem * n * m + entry, mask=live, other=float("inf"))

        least_f = tl.min(cost, axis=1)
        least_f = tl.where(least_f == float("inf"), 0.0, least_f)
        cost = cost - least_f[:, None]
        least_g = tl.min(cost, axis=0)
        least_g = tl.where(least_g == float("inf"), 0.0, least_g)
        rate = -1.0 / epsilon
        log_kernel = (cost - least_g[None, :]) * rate  # -inf where there is no mass

        # f and g are held in units of e, without log a and log b; g = 0 before the reduction
        f = -_log(tl.sum(tl.exp(log_kernel + (least_g * rate)[None, :]), axis=1))
        g = tl.zeros_like(least_g)
        left = iterations - 1
        while left > 0:  # the interpreter of some versions cannot count up to an argument
            total = tl.sum(tl.exp((f + log_a)[:, None] + g[None, :] + log_kernel), axis=0)
            g = g - _log(total)
            total = tl.sum(tl.exp(f[:, None] + (g + log_b)[None, :] + log_kernel), axis=1)
            f = f - _log(total)
            left = left - 1
        plan = tl.exp((f + log_a)[:, None] + g[None, :] + log_kernel)
        total = tl.sum(plan, axis=0)
        g = g - _log(total)
        total = tl.where(total == 0, 1.0, total)
        plan = plan * (b / total)[None, :]  # columns are met to rounding

        inside = (i < n)[:, None] & (j < m)[None, :]
        tl.store(plan_at + problem * n * m + entry, plan, mask=inside)
        tl.store(f_at + problem * n + i, epsilon * (f + log_a) + least_f, mask=i < n)
        tl.store(g_at + problem * m + j, epsilon * (g + log_b) + least_g, mask=j < m)
