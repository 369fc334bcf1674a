"""Entropic transport, forward and backward, against the solvers of POT, in one process.

    python -m benchmarks.transport

Each solver takes the same cost matrix (1 - cosine, float32, n x n, uniform masses), makes the same
number of updates at the same epsilon, and computes the gradient of the transport cost with respect
to the matrix by the envelope theorem: the plan. The time includes both, but not the computation of
the matrix. One thread. Solvers take turns within a round; printed are the median over rounds of the
ratio within a round, and its quartiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import ot
import torch
from ot.batch import solve_batch
from torch import Tensor

from benchmarks.interleaved import time_interleaved
from wcord.transport import cosine_cost, sinkhorn

SIZES = (64, 128, 256)
EPSILON = 0.05
ITERATIONS = 100
ROUNDS = 60
REPEATS = 5  # calls of one solver in one turn
# solver: its time over ours, at least
AIMS = {"POT sinkhorn_log": 4.0, "ot.batch log domain": 4.0, "ot.batch plain kernel": 2.5}

Solver = Callable[[Tensor], Tensor]


def wcord_sinkhorn(cost: Tensor) -> Tensor:
    """Our solver: stabilised kernel form, envelope gradient."""
    result = sinkhorn(cost, EPSILON, iterations=ITERATIONS, validate=False)
    result.value.backward()
    return result.plan


def pot_sinkhorn_log(cost: Tensor) -> Tensor:
    """POT's log domain solver on the detached cost, then the gradient of <P, C>.

    POT updates columns first; on the transposed problem its order equals ours, and so do its plans.
    """
    mass = cost.new_full(cost.shape[:1], 1 / len(cost))
    transposed = ot.sinkhorn(
        mass,
        mass,
        cost.detach().T.contiguous(),
        EPSILON,
        method="sinkhorn_log",
        numItermax=ITERATIONS,
        stopThr=0,
        warn=False,
    )
    plan = transposed.T
    (plan * cost).sum().backward()
    return plan


def pot_batch(method: str) -> Solver:
    """POT's batched solvers with their envelope gradient, on a batch of one."""

    def solver(cost: Tensor) -> Tensor:
        result = solve_batch(cost[None], EPSILON, max_iter=ITERATIONS, tol=0.0, method=method)
        result.value.sum().backward()
        return result.plan[0]

    return solver


SOLVERS: dict[str, Solver] = {
    "wcord": wcord_sinkhorn,
    "POT sinkhorn_log": pot_sinkhorn_log,
    "ot.batch log domain": pot_batch("log_sinkhorn"),
    "ot.batch plain kernel": pot_batch("sinkhorn"),
}


def problem(size: int) -> Tensor:
    """Return a cost matrix (size, size); the student's features are the teacher's plus noise."""
    draw = torch.Generator().manual_seed(size)
    teacher = torch.randn(size, 64, generator=draw)
    student = teacher + torch.randn(size, 64, generator=draw)
    return cosine_cost(teacher, student)


def disagreement(cost: Tensor) -> dict[str, tuple[float, float]]:
    """Return the largest entry and the sum of |plan - ours|, the larger of plan and gradient."""
    differences = {}
    for name, solver in SOLVERS.items():
        leaf = cost.clone().requires_grad_(True)
        plan = solver(leaf).detach()
        assert leaf.grad is not None
        if name == "wcord":
            ours = plan
        parts = (plan - ours).abs(), (leaf.grad - ours).abs()
        differences[name] = (max(float(p.max()) for p in parts), max(float(p.sum()) for p in parts))
    return differences


def rounds(cost: Tensor) -> dict[str, np.ndarray]:
    """Return seconds per call, an array (ROUNDS,) for every solver."""
    leaf = cost.clone().requires_grad_(True)
    actions = {name: partial(solve, solver, leaf) for name, solver in SOLVERS.items()}
    seconds = time_interleaved(actions, ROUNDS, repeats=REPEATS)
    return {name: np.array(times) for name, times in seconds.items()}


def solve(solver: Solver, leaf: Tensor) -> None:
    """Compute the plan and the gradient at `leaf`, in place of an earlier gradient."""
    leaf.grad = None
    solver(leaf)


def main() -> None:
    """Print time, ratio and difference of every solver and size."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="ot")
    print(
        f"Sinkhorn forward + backward without the cost matrix: epsilon {EPSILON}, {ITERATIONS} "
        f"iterations, float32, one thread, {ROUNDS} interleaved rounds of {REPEATS} calls.\n"
        f"torch {torch.__version__}, POT {ot.__version__}. Ratio: median [quartiles]."
    )
    print(
        f"{'n':>4}  {'solver':<22}{'ms':>7}  {'ratio':<20}{'aim':>5}  {'max|dP|':>8}{'sum|dP|':>9}"
    )
    for size in SIZES:
        cost = problem(size)
        differences, seconds = disagreement(cost), rounds(cost)
        for name in SOLVERS:
            low, middle, high = np.percentile(seconds[name] / seconds["wcord"], [25, 50, 75])
            ratio = f"{middle:5.2f} [{low:.2f}, {high:.2f}]"
            aim = f"{AIMS[name]:.1f}" if name in AIMS else ""
            print(
                f"{size:>4}  {name:<22}{np.median(seconds[name]) * 1e3:>7.2f}  {ratio:<20}"
                f"{aim:>5}  {differences[name][0]:>8.0e}{differences[name][1]:>9.0e}"
            )


if __name__ == "__main__":
    main()
