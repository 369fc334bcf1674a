"""Sinkhorn in one launch on a CUDA device: one Triton program for each transport problem.

For the size of a mini-batch, a GPU spends more time on launching the kernels of Sinkhorn (about
five for each update) than on its arithmetic. Here a program keeps its problem in registers, makes
all updates and writes plan and potentials: a batch of any shape is one launch.
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
except ImportError:  # Windows and macOS have no Triton: `fits` returns False there
    triton = None

Solved = tuple[Tensor, Tensor, Tensor]  # plan, f, g
LARGEST = 256  # rows or columns: 64 entries for each of 1024 threads, the most that a program has
SMALLEST = 16  # rows or columns; smaller problems are padded to this size
ENTRIES = 1024  # entries of the padded cost for each warp of 32 threads


def fits(cost: Tensor, tolerance: float | None) -> bool:
    """Return whether `fused_form` can solve this: C (..., n, m) in float32 on CUDA, n, m <= 256.

    False with a tolerance, which needs the host between updates. The first call for a device runs
    the kernel once as a test, because Triton needs a recent GPU and a C compiler.
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
    cost = torch.ones(1, 1, device=device)
    try:
        fused_form(cost, 1.0, cost[0], cost[0], 1)
    except Exception as error:  # after any error, the forms in `scaling` still work
        warnings.warn(f"fused Sinkhorn is off, Triton failed on {device}: {error}", stacklevel=2)
        return False
    return True


def fused_form(cost: Tensor, epsilon: float, a: Tensor, b: Tensor, iterations: int) -> Solved:
    """Run Sinkhorn in one launch: the updates of `wcord.transport.scaling.log_form`, any masses.

        f_i <- f_i - log sum_j b_j exp(f_i + g_j - C_ij / ε)
        g_j <- g_j - log sum_i a_i exp(f_i + g_j - C_ij / ε)
        P_ij = a_i b_j exp(f_i + g_j - C_ij / ε)

    f and g are in units of ε here, without the logarithms of the masses, and absorb the scaling of
    every update. C is reduced first: D_ij = C_ij - r_i - c_j >= 0 has a 0 in every row and
    column with mass. The sums then stay in the range of float32, so no maximum is subtracted:

        1 <= sum_j exp(-(c_j + D_ij) / ε) <= m        the first update of rows, from g = 0
        |log sum| <= log max(m / min b, 1 / min a)    every later update

    The second bound follows term by term for the first update of columns and the second of rows;
    later changes are smaller, because updates do not expand the sup norm. The bound is 11 for
    uniform masses at 256 x 256 and 75 for masses of 1e-30, and the limit of float32 is 87. Smaller
    masses are safe too: the sums are clamped, and the next update completes a clamped one.

    Args:
        cost: C (..., n, m), float32, n, m <= 256, on CUDA (on a CPU in Triton's interpreter).
        epsilon: ε, in units of cost.
        a, b: masses (..., n) and (..., m); where a mass is 0, C is not read.
        iterations: updates of rows and columns, at least 1.

    Returns:
        P (..., n, m), and f (..., n), g (..., m) in units of cost as in `scaling.Scaled`, equal
        to those of the forms in `scaling` up to rounding. The host does not wait for the device. A
        CUDA graph can capture the call once it has run with these n and m. NaN in C gives NaN.
        Not differentiable.
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
    """Return the smallest power of two that is at least `size` and at least 16."""
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
        cost_ptr,
        a_ptr,
        b_ptr,
        plan_ptr,
        f_ptr,
        g_ptr,
        epsilon,
        iterations,
        n,
        m,
        a_problem_stride,
        a_stride,
        b_problem_stride,
        b_stride,
        ROWS: tl.constexpr,
        COLUMNS: tl.constexpr,
    ):
        """Solve the problem with the number of this program."""
        problem = tl.program_id(0).to(tl.int64)
        i, j = tl.arange(0, ROWS), tl.arange(0, COLUMNS)  # (ROWS,), (COLUMNS,)
        a = tl.load(a_ptr + problem * a_problem_stride + i * a_stride, mask=i < n, other=0.0)
        b = tl.load(b_ptr + problem * b_problem_stride + j * b_stride, mask=j < m, other=0.0)
        log_a = tl.where(a == 0, float("-inf"), tl.log(a))
        log_b = tl.where(b == 0, float("-inf"), tl.log(b))
        entry = i[:, None] * m + j[None, :]  # (ROWS, COLUMNS)
        has_mass = (a != 0)[:, None] & (b != 0)[None, :]  # elsewhere the kernel is exp(-inf)
        cost = tl.load(cost_ptr + problem * n * m + entry, mask=has_mass, other=float("inf"))

        least_f = tl.min(cost, axis=1)
        least_f = tl.where(least_f == float("inf"), 0.0, least_f)
        cost = cost - least_f[:, None]
        least_g = tl.min(cost, axis=0)
        least_g = tl.where(least_g == float("inf"), 0.0, least_g)
        rate = -1.0 / epsilon
        log_kernel = (cost - least_g[None, :]) * rate  # -inf where there is no mass

        # f and g are held in units of ε, without log a and log b; g = 0 before the reduction
        f = -_log(tl.sum(tl.exp(log_kernel + (least_g * rate)[None, :]), axis=1))
        g = tl.zeros_like(least_g)
        remaining = iterations - 1
        while remaining > 0:  # in some versions, the interpreter has no range up to an argument
            total = tl.sum(tl.exp((f + log_a)[:, None] + g[None, :] + log_kernel), axis=0)
            g = g - _log(total)
            total = tl.sum(tl.exp(f[:, None] + (g + log_b)[None, :] + log_kernel), axis=1)
            f = f - _log(total)
            remaining = remaining - 1
        plan = tl.exp((f + log_a)[:, None] + g[None, :] + log_kernel)
        total = tl.sum(plan, axis=0)
        g = g - _log(total)
        total = tl.where(total == 0, 1.0, total)
        plan = plan * (b / total)[None, :]  # the columns sum to b, up to rounding

        inside = (i < n)[:, None] & (j < m)[None, :]
        tl.store(plan_ptr + problem * n * m + entry, plan, mask=inside)
        tl.store(f_ptr + problem * n + i, epsilon * (f + log_a) + least_f, mask=i < n)
        tl.store(g_ptr + problem * m + j, epsilon * (g + log_b) + least_g, mask=j < m)
