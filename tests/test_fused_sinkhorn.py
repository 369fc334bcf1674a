"""The fused kernel against float64 and POT, in Triton's interpreter and on a GPU if there is one.

Triton reads TRITON_INTERPRET when it is imported, so the interpreted checks run in a separate
process: `python tests/test_fused_sinkhorn.py` writes an error for each case as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from wcord.transport import cosine_cost, fused_sinkhorn, scaling, sinkhorn
from wcord.transport.scaling import Scaled, log_form

DOUBLE = torch.float64
ACCURACY = 1e-4  # of the largest entry of |P - P64|, times max(n, m)
triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="there is no Triton for this system"
)


def problem(n: int, m: int, batch: tuple[int, ...] = (), seed: int = 0) -> Tensor:
    free = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(*batch, size, 4, generator=free) for size in (n, m))
    return cosine_cost(x, y)


def masses(*shape: int, seed: int = 0, zeros: float = 0.3) -> Tensor:
    free = torch.Generator().manual_seed(seed)
    mass = torch.rand(*shape, generator=free) + 0.05
    mass = mass * (torch.rand(*shape, generator=free) >= zeros)
    mass[..., 0] += 0.1
    return mass / mass.sum(-1, keepdim=True)


def uniform(*shape: int) -> Tensor:
    return torch.full(shape, 1 / shape[-1])


def errors(
    found: Scaled, cost: Tensor, epsilon: float, a: Tensor, b: Tensor, iterations: int
) -> dict[str, float]:
    """Return the errors of a result against `log_form` in float64; all are 0 without rounding."""
    size = max(cost.shape[-2:])
    cost, a, b = (part.to("cpu", DOUBLE) for part in (cost, a, b))
    plan, f, g = (part.to("cpu", DOUBLE) for part in found[:3])
    expected = log_form(cost, epsilon, a, b, iterations, None)
    again = ((f[..., :, None] + g[..., None, :] - cost) / epsilon).exp()
    alive = expected.f.isfinite()[..., :, None] & expected.g.isfinite()[..., None, :]
    sums = f[..., :, None] + g[..., None, :] - expected.f[..., :, None] - expected.g[..., None, :]
    infinite = (f == -math.inf) != (a == 0), (g == -math.inf) != (b == 0)
    return {
        "plan": float((plan - expected.plan).abs().max()) * size,
        "columns": float((plan.sum(-2) - b).abs().max()) * size,
        "plan of potentials": float((plan - again).abs().max()) * size,
        "f + g": float(sums[alive].abs().max()),
        "infinities": float(sum(int(wrong.sum()) for wrong in infinite)),
        "iterations": float(found.iterations - iterations),
    }


# --------------------------------------------------------------------------- in the interpreter


def cases() -> dict[str, tuple[Tensor, float, Tensor, Tensor, int]]:
    """Return name: (cost, epsilon, a, b, iterations)."""
    found = {}
    shapes = ((1, 1), (1, 7), (17, 5), (64, 64), (100, 99), (130, 70))
    for k, (n, m) in enumerate(shapes):
        for epsilon, iterations in ((0.01, 1), (1.0, 2), (0.05, 50), (0.01, 200)):
            if iterations == 200 and (n, m) not in ((17, 5), (64, 64)):
                continue  # an update takes two milliseconds in the interpreter
            name = f"{n} x {m}, {epsilon}, {iterations} iterations"
            found[name] = problem(n, m, seed=k), epsilon, uniform(n), uniform(m), iterations
    for iterations in (1, 2, 50):
        cost, a, b = problem(33, 20, (2, 3)), masses(2, 3, 33), masses(20, seed=1)
        found[f"a batch, zeros, {iterations}"] = cost, 0.05, a, b, iterations
        both = masses(3, 33).expand(2, 3, 33), masses(2, 1, 20, seed=1).expand(2, 3, 20)
        found[f"a batch, shared masses, {iterations}"] = cost, 0.02, *both, iterations
    cost = problem(40, 50)
    found["negative costs"] = cost - 5, 0.05, uniform(40), masses(50), 50
    found["transposed in memory"] = cost.T, 0.05, masses(50), masses(40), 50
    far = 2 * (torch.rand(40, 50, generator=torch.Generator().manual_seed(3)) > 0.5).float()
    found["two or nothing"] = far, 0.01, uniform(40), uniform(50), 50
    column = torch.zeros(40, 50).index_fill_(1, torch.tensor([3]), 2.0)
    found["one column out of reach"] = column, 0.01, uniform(40), uniform(50), 50
    tiny_a, tiny_b = masses(40, zeros=0), masses(50, zeros=0)
    tiny_a[::3], tiny_b[::2] = 1e-30, 1e-30
    tiny_a, tiny_b = tiny_a / tiny_a.sum(), tiny_b / tiny_b.sum()
    for iterations in (1, 2, 3, 50):
        found[f"masses of 1e-30, {iterations}"] = far, 0.01, tiny_a, tiny_b, iterations
        found[f"masses of 1e-30, cosine, {iterations}"] = cost, 0.02, tiny_a, tiny_b, iterations
    return found


def fused(cost: Tensor, epsilon: float, a: Tensor, b: Tensor, iterations: int) -> Scaled:
    """Return the fused kernel's result in the type of the other forms."""
    return Scaled(*fused_sinkhorn.fused_form(cost, epsilon, a, b, iterations), iterations)


def interpret() -> dict[str, Any]:
    """Run every case through the kernel; for a process with TRITON_INTERPRET=1."""
    solve, found = fused, {}
    with torch.no_grad():
        for name, case in cases().items():
            found[name] = errors(solve(*case), *case)
        cost = problem(5, 4, (3,))
        cost[1, 2, 3] = math.nan
        result = solve(cost, 0.1, uniform(5), uniform(4), 20)
        nan = [part.isnan().flatten(1) for part in result[:3]]
        dead = problem(5, 4)
        dead[2, 3] = math.nan
        a = torch.tensor([0.25, 0.25, 0.0, 0.25, 0.25])
        negligible = torch.tensor([1e-38, 1 - 1e-38, 0.0, 1e-42, 0.0])
        clamped = solve(problem(5, 4) * 40, 0.01, negligible, uniform(4), 50)
        converged = solve(problem(30, 25), 0.05, uniform(30), uniform(25), 300).plan
    return {
        "errors": found,
        "NaN where it is": all(bool(part[1].all()) for part in nan),
        "NaN elsewhere": any(bool(part[[0, 2]].any()) for part in nan),
        "NaN without mass": bool(solve(dead, 0.1, a, uniform(4), 20).plan.isnan().any()),
        "clamped is finite": bool(clamped.plan.isfinite().all()),
        "converged": converged.tolist(),
    }


@pytest.fixture(scope="module")
def interpreted() -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@triton
def test_kernel_equals_the_log_domain_in_float64_after_as_many_iterations(interpreted: Any) -> None:
    for name, (cost, epsilon, a, b, iterations) in cases().items():
        error = interpreted["errors"][name]
        assert error["plan"] < ACCURACY and error["columns"] < 1e-5, (name, error)
        assert error["infinities"] == 0 and error["iterations"] == 0, (name, error)
        size = float(cost.abs().max()) / epsilon + 80  # f / e in float32 is rounded at this scale
        rounding = torch.finfo(torch.float32).eps * size
        assert error["plan of potentials"] < 4 * rounding, (name, error)
        assert error["f + g"] < 1e-3 * epsilon + 4 * rounding * epsilon, (name, error)
        if "1e-30" not in name:
            log = log_form(cost, epsilon, a, b, iterations, None)
            coarse = errors(log, cost, epsilon, a, b, iterations)
            assert error["plan"] < 4 * coarse["plan"] + 1e-6, (name, error, coarse)


@triton
def test_converged_plan_equals_pot(interpreted: Any) -> None:
    import ot  # here, because it would cost the other process seconds

    a, b, cost = uniform(30).double(), uniform(25).double(), problem(30, 25).double()
    plan = ot.sinkhorn(
        a, b, cost, 0.05, method="sinkhorn_log", numItermax=5000, stopThr=1e-15, warn=False
    )
    found = torch.tensor(interpreted["converged"], dtype=DOUBLE)
    assert float((found - plan).abs().max()) * 30 < ACCURACY


@triton
def test_nan_stays_in_its_problem_and_small_masses_stay_finite(interpreted: Any) -> None:
    assert interpreted["NaN where it is"] and not interpreted["NaN elsewhere"]
    assert not interpreted["NaN without mass"]
    assert interpreted["clamped is finite"]


def test_tiles_are_powers_of_two_with_registers_for_them() -> None:
    for size in range(1, fused_sinkhorn.LARGEST + 1):
        padded = fused_sinkhorn._padded(size)
        assert padded >= max(size, 16) and padded & (padded - 1) == 0
        assert padded == 16 or padded < 2 * size
        warps = fused_sinkhorn._warps(padded, padded)
        assert 1 <= warps <= 32 and warps & (warps - 1) == 0
        assert padded**2 <= 64 * 32 * warps


def test_a_cpu_never_uses_it() -> None:
    assert not fused_sinkhorn.fits(problem(4, 4), None)
    assert not fused_sinkhorn.fits(torch.empty(4, 4, device="meta"), None)


# ------------------------------------------------------------------------------------ on a GPU

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@cuda
@pytest.mark.cuda
def test_fits_up_to_the_size_of_one_program() -> None:
    cost = torch.zeros(2, 256, 3, device="cuda")
    assert fused_sinkhorn.fits(cost, None)
    assert not fused_sinkhorn.fits(cost, 1e-3)
    assert not fused_sinkhorn.fits(cost.double(), None)
    assert not fused_sinkhorn.fits(torch.zeros(257, 3, device="cuda"), None)


@cuda
@pytest.mark.cuda
def test_cuda_equals_float64_on_the_cpu() -> None:
    more = {
        f"{n} x {m}, {epsilon}": (problem(n, m), epsilon, masses(n, zeros=z), masses(m), 100)
        for n, m in ((256, 256), (256, 129), (16, 256), (64, 64))
        for epsilon, z in ((0.01, 0.0), (0.05, 0.3))
    }
    for name, case in (cases() | more).items():
        cost, epsilon, a, b, iterations = case
        found = fused(cost.cuda(), epsilon, a.cuda(), b.cuda(), iterations)
        error = errors(found, *case)
        assert error["plan"] < ACCURACY and error["columns"] < 1e-5, (name, error)
        assert error["infinities"] == 0 and error["f + g"] < 2e-3 * max(epsilon, 0.05), (
            name,
            error,
        )


@cuda
@pytest.mark.cuda
def test_nan_on_cuda_ends_and_stays_in_its_problem() -> None:
    cost = problem(40, 30, (3,)).cuda()
    cost[1, 2, 3] = math.nan
    a, b = uniform(40).cuda(), uniform(30).cuda()
    nan = [part.isnan().flatten(1).cpu() for part in fused(cost, 0.1, a, b, 9)[:3]]
    assert all(bool(part[1].all()) and not bool(part[[0, 2]].any()) for part in nan)


@cuda
@pytest.mark.cuda
def test_sinkhorn_on_cuda_uses_it_for_any_masses(monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(*_: Any, **__: Any) -> Scaled:
        raise AssertionError("the fused kernel should have been used")

    monkeypatch.setattr(scaling, "kernel_form", unexpected)
    monkeypatch.setattr(scaling, "log_form", unexpected)
    cost, a = problem(48, 64, (2,)), masses(48)
    for source in (None, a):
        leaf = cost.cuda().requires_grad_(True)
        masses_a = None if source is None else source.cuda()
        result = sinkhorn(leaf, 0.05, source=masses_a, iterations=60)
        result.objective.sum().backward()
        expected = log_form(
            *(cost.double(), 0.05, (uniform(48) if source is None else a).double()),
            *(uniform(64).double(), 60, None),
        )
        assert leaf.grad is not None and torch.equal(leaf.grad, result.plan)
        assert float((result.plan.cpu() - expected.plan).abs().max()) * 64 < ACCURACY


@cuda
@pytest.mark.cuda
def test_a_captured_call_follows_the_cost() -> None:
    first, second = problem(64, 64).cuda(), problem(64, 64, seed=9)
    a, cost = uniform(64).cuda(), first.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        fused(cost, 0.05, a, a, 50)  # compiles
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = fused(cost, 0.05, a, a, 50)
    cost.copy_(second)
    graph.replay()
    torch.cuda.synchronize()
    error = errors(found, second, 0.05, uniform(64), uniform(64), 50)
    assert error["plan"] < ACCURACY, error


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    json.dump(interpret(), sys.stdout)
