"""Transport against POT, linear programmes, finite differences and closed forms."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ot.batch import solve_batch
from scipy.optimize import linear_sum_assignment, linprog
from torch import Tensor
from torch.nn import functional as F

from wcord.transport import (
    cosine_cost,
    exact,
    exact_solver,
    ipot,
    scaling,
    sinkhorn,
    sinkhorn_divergence,
    squared_euclidean_cost,
)

DOUBLE = torch.float64


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def problem(n: int, m: int, seed: int = 0, batch: tuple[int, ...] = ()) -> Tensor:
    return cosine_cost(draw(*batch, n, 6, seed=seed), draw(*batch, m, 6, seed=seed + 1))


def masses(*shape: int, seed: int = 0, zeros: float = 0.0) -> Tensor:
    free = torch.Generator().manual_seed(seed)
    mass = torch.rand(*shape, generator=free, dtype=DOUBLE) + 0.05
    mass = mass * (torch.rand(*shape, generator=free) >= zeros)
    mass[..., 0] += 0.1
    return mass / mass.sum(-1, keepdim=True)


def reference(cost: Tensor, epsilon: float, a: Tensor, b: Tensor, iterations: int) -> Tensor:
    """Sinkhorn by its formula, as a loop over entries in numpy."""
    c, f, g = cost.numpy(), np.zeros(cost.shape[0]), np.zeros(cost.shape[1])
    for _ in range(iterations):
        for i in range(len(f)):
            f[i] = epsilon * (math.log(a[i]) - np.logaddexp.reduce((g - c[i]) / epsilon))
        for j in range(len(g)):
            g[j] = epsilon * (math.log(b[j]) - np.logaddexp.reduce((f - c[:, j]) / epsilon))
    return torch.from_numpy(np.exp((f[:, None] + g - c) / epsilon))


# ------------------------------------------------------------------------------------- costs


def test_costs_equal_loops_over_pairs() -> None:
    x, y = draw(5, 3), draw(4, 3, seed=1) + 2
    for i in range(5):
        for j in range(4):
            cosine = float(x[i] @ y[j] / (x[i].norm() * y[j].norm()))
            assert float(cosine_cost(x, y)[i, j]) == pytest.approx(1 - cosine, abs=1e-12)
            square = float(((x[i] - y[j]) ** 2).sum())
            assert float(squared_euclidean_cost(x, y)[i, j]) == pytest.approx(square, abs=1e-12)


def test_costs_stay_in_range_and_survive_a_common_offset() -> None:
    x = draw(40, 3, dtype=torch.float32)
    assert 0 <= float(cosine_cost(x, x).min()) <= float(cosine_cost(x, -x).max()) <= 2
    far = squared_euclidean_cost(x + 1000, x.flip(0) + 1000)
    true = squared_euclidean_cost((x + 1000).double(), (x.flip(0) + 1000).double())
    assert float((far - true).abs().max()) < 1e-4  # 2 (1000^2) eps would be 0.2
    assert torch.isfinite(cosine_cost(torch.zeros(2, 3), x)).all()


def test_costs_are_differentiable_in_both_arguments() -> None:
    for cost in (cosine_cost, squared_euclidean_cost):
        x, y = draw(3, 4).requires_grad_(True), draw(2, 4, seed=1).requires_grad_(True)
        # the centre of squared_euclidean_cost is held constant and must not matter
        assert torch.autograd.gradcheck(cost, (x, y))


# ------------------------------------------------------------------- Sinkhorn against others


@pytest.mark.parametrize("iterations", [1, 2, 7, 60])
@pytest.mark.parametrize("epsilon", [0.02, 0.3])
def test_plan_after_any_number_of_iterations_equals_the_loop(
    iterations: int, epsilon: float
) -> None:
    cost, a, b = problem(6, 9), masses(6), masses(9, seed=2)
    expected = reference(cost, epsilon, a, b, iterations)
    for gradient in ("envelope", "unrolled"):
        found = sinkhorn(
            cost, epsilon, source=a, target=b, iterations=iterations, gradient=gradient
        )
        assert found.iterations == iterations
        torch.testing.assert_close(found.plan, expected, rtol=0, atol=1e-13)
        error = float((expected.sum(1) - a).abs().sum())
        assert float(found.marginal_error) == pytest.approx(error, abs=1e-13)
        torch.testing.assert_close(found.value, (expected * cost).sum(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_converged_plan_and_values_equal_pot(epsilon: float) -> None:
    cost, a, b = problem(20, 30), masses(20), masses(30, seed=3)
    ours = sinkhorn(cost, epsilon, source=a, target=b, iterations=3000)
    plan = ot.sinkhorn(a, b, cost, epsilon, method="sinkhorn_log", numItermax=5000, stopThr=1e-15)
    torch.testing.assert_close(ours.plan, plan, rtol=0, atol=1e-12)
    batch = solve_batch(cost[None], epsilon, a[None], b[None], max_iter=5000, tol=1e-15)
    torch.testing.assert_close(ours.objective, batch.value[0], rtol=0, atol=1e-11)
    torch.testing.assert_close(ours.value, batch.value_linear[0], rtol=0, atol=1e-11)
    assert bool(ours.converged)


def test_float32_equals_pot_at_training_settings() -> None:
    cost = problem(64, 64).float()
    ours = sinkhorn(cost, 0.05, iterations=100).plan
    for method in ("sinkhorn", "log_sinkhorn"):
        theirs = solve_batch(cost[None], 0.05, max_iter=100, tol=0.0, method=method).plan[0]
        assert float((ours - theirs).abs().sum()) < 1e-5


def test_pots_one_call_solver_has_the_kl_convention_by_default() -> None:
    """`ot.solve(...).value` is <P, C> + e KL(P | a b^T), not the value with -e H."""
    cost, a, b, epsilon = problem(8, 6), masses(8), masses(6, seed=1), 0.1
    ours = sinkhorn(cost, epsilon, source=a, target=b, iterations=3000)
    theirs = ot.solve(cost, a, b, reg=epsilon, max_iter=5000, tol=1e-14)
    masses_entropy = torch.special.xlogy(a, a).sum() + torch.special.xlogy(b, b).sum()
    expected = ours.objective - epsilon * masses_entropy
    torch.testing.assert_close(theirs.value, expected, rtol=0, atol=1e-9)
    other = ot.solve(cost, a, b, reg=epsilon, reg_type="entropy", max_iter=5000, tol=1e-14)
    torch.testing.assert_close(other.value, ours.objective, rtol=0, atol=1e-9)


def test_pot_keeps_its_parts_of_the_interface() -> None:
    """`network_simplex` uses the potentials and the warning in `log` of ot.emd."""
    _, log = ot.emd([0.5, 0.5], [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], log=True)
    assert {"cost", "u", "v", "warning"} <= set(log) and log["warning"] is None


@settings(max_examples=60)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    epsilon=st.sampled_from([1e-3, 0.01, 0.05, 0.4, 5.0]),
    scale=st.sampled_from([0.5, 2.0, 300.0, -7.0]),
    zeros=st.sampled_from([0.0, 0.4]),
    iterations=st.integers(1, 80),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_any_problem_gives_a_consistent_result(
    n: int,
    m: int,
    seed: int,
    epsilon: float,
    scale: float,
    zeros: float,
    iterations: int,
    dtype: torch.dtype,
) -> None:
    free = torch.Generator().manual_seed(seed)
    cost = (scale * torch.rand(n, m, generator=free)).to(dtype)
    a, b = masses(n, seed=seed, zeros=zeros), masses(m, seed=seed + 1, zeros=zeros)
    result = sinkhorn(cost, epsilon, source=a, target=b, iterations=iterations)
    plan, (f, g) = result.plan, result.potentials
    for number in (plan, result.value, result.objective, result.marginal_error):
        assert torch.isfinite(number).all()
    assert (plan >= 0).all()
    torch.testing.assert_close(plan.sum(0), b.to(dtype), rtol=0, atol=1e-5)
    assert ((f == -math.inf) == (a == 0)).all() and ((g == -math.inf) == (b == 0)).all()
    assert (plan[a == 0] == 0).all() and (plan[:, b == 0] == 0).all()
    # relative error of exp((f + g - C) / epsilon) from rounding its argument
    rounding = 100 * torch.finfo(dtype).eps * max(1.0, abs(scale) / epsilon)
    if rounding < 1:
        again = torch.exp((f[:, None] + g - cost) / epsilon)
        torch.testing.assert_close(again, plan, rtol=rounding, atol=1e-6)
    if dtype == DOUBLE:  # both schemes make the same updates from the same start
        log = sinkhorn(
            cost, epsilon, source=a, target=b, iterations=iterations, gradient="unrolled"
        )
        torch.testing.assert_close(plan, log.plan, rtol=0, atol=max(1e-12, rounding))
    # the dual value never exceeds the primal value of any coupling, here of a b^T
    product = (a[:, None] * b).to(cost)
    entropy = -torch.special.xlogy(product, product).sum()
    above = (product * cost).sum() - epsilon * entropy
    assert float(result.objective) <= float(above) + 1e-4 * max(1.0, abs(scale), epsilon)


# ------------------------------------------------------------------------- numbers and limits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("epsilon", [1e-3, 5e-3, 0.025, 0.05, 1.0])
def test_never_nan_on_costs_up_to_two(epsilon: float, dtype: torch.dtype) -> None:
    """The plain kernel is NaN from epsilon = 0.005 in float32 (see the next test)."""
    far = torch.full((12, 12), 2.0, dtype=dtype)
    costs = {
        "two or nothing": far * torch.eye(12, dtype=dtype).flip(0),
        "one column out of reach": far * (torch.arange(12) == 3),
        "one row out of reach": (far * (torch.arange(12) == 3)).T,
        "all far": far,
        "one far entry": far * ((torch.arange(144) == 5).reshape(12, 12)),
        "random": cosine_cost(draw(12, 2, dtype=dtype), draw(12, 2, seed=1, dtype=dtype)),
        "blocks": far * ((torch.arange(12)[:, None] < 3) != (torch.arange(12) < 9)),
    }
    for name, cost in costs.items():
        for iterations in (1, 50, 400):
            leaf = cost.clone().requires_grad_(True)
            result = sinkhorn(leaf, epsilon, iterations=iterations)
            result.objective.backward()
            assert leaf.grad is not None
            for number in (result.plan, result.objective, result.marginal_error, leaf.grad):
                assert torch.isfinite(number).all(), name
            log = sinkhorn(cost.double(), epsilon, iterations=iterations, gradient="unrolled")
            coarse = 1e-9 if dtype == DOUBLE else 1e-2
            assert float((result.plan - log.plan).abs().sum()) < coarse, name


def test_the_plain_kernel_does_fail_where_ours_does_not() -> None:
    """Otherwise the test above could not fail."""
    cost = torch.full((12, 12), 2.0)
    plain = solve_batch(cost[None], 0.005, max_iter=50, tol=0.0, method="sinkhorn").plan
    assert not torch.isfinite(plain).all()
    torch.testing.assert_close(sinkhorn(cost, 0.005).plan, torch.full((12, 12), 1 / 144))


def test_absorption_is_used_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = squared_euclidean_cost(draw(30, 2), draw(25, 2, seed=1) + 1)
    expected = sinkhorn(cost, 0.05, iterations=300).plan
    a, b = cost.new_full((30,), 1 / 30), cost.new_full((25,), 1 / 25)
    for every in (1, 3, 1000):  # 1000: never after the first two
        monkeypatch.setattr(scaling, "_window", lambda *_, every=every: every)
        found = scaling.kernel_form(cost, 0.05, a, b, 300, None, zeros=False)
        torch.testing.assert_close(found.plan, expected, rtol=0, atol=1e-13)


def test_scalings_stay_in_range_between_absorptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound behind `_window`: no update exceeds the first after an absorption."""
    cost = squared_euclidean_cost(draw(40, 2), 3 * draw(40, 2, seed=5)).float()
    seen: list[float] = []
    plain = scaling._updates

    def watched(kernel: Tensor, u: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Any:
        rows, columns = plain(kernel, u, v, a, b)

        def columns_watched() -> None:
            columns()
            seen.append(float(torch.cat((u, v)).log().abs().max()))

        return rows, columns_watched

    monkeypatch.setattr(scaling, "_updates", watched)
    sinkhorn(cost, 0.02, iterations=2000)
    assert len(seen) == 2000 and max(seen) <= scaling.LIMIT[torch.float32]
    assert max(seen) > 5  # scalings did grow before they were absorbed


@pytest.mark.parametrize("epsilon", [0.004, 0.05])
def test_fixed_schedule_of_other_devices_is_safe(
    epsilon: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On other devices the window is a constant; run that branch on the CPU."""
    read = scaling._window

    def unread(u: Tensor, v: Tensor, size: int, tolerance: float | None) -> int:
        return read(u.to("meta"), v.to("meta"), size, tolerance)

    monkeypatch.setattr(scaling, "_window", unread)
    cost = cosine_cost(draw(2, 64, 3), draw(2, 48, 3, seed=1))
    expected = sinkhorn(cost, epsilon, iterations=200, gradient="unrolled")
    for dtype, coarse in ((torch.float32, 2e-3), (DOUBLE, 1e-10)):
        found = sinkhorn(cost.to(dtype), epsilon, iterations=200)
        assert float((found.plan - expected.plan).abs().sum()) < coarse


def test_masses_too_small_for_scalings_take_the_log_domain() -> None:
    a = torch.tensor([1e-30, 1 - 1e-30])
    cost = torch.tensor([[0.0, 2.0, 1.0], [2.0, 0.0, 1.0]])
    result = sinkhorn(cost, 0.01, source=a, iterations=200)
    assert torch.isfinite(result.plan).all() and float(result.marginal_error) < 1e-6


def test_tolerance_stops_early_and_the_reported_error_is_true() -> None:
    cost = problem(64, 64)
    result = sinkhorn(cost, 0.05, iterations=5000, tolerance=1e-6)
    error = float((result.plan.sum(1) - 1 / 64).abs().sum())
    assert error <= 1e-6 and bool(result.converged) and result.iterations < 5000
    assert float(result.marginal_error) == pytest.approx(error, abs=1e-15)
    short = sinkhorn(cost, 0.05, iterations=5, tolerance=1e-6)
    assert short.iterations == 5 and not bool(short.converged)
    unrolled = sinkhorn(cost, 0.05, iterations=5000, tolerance=1e-6, gradient="unrolled")
    assert (
        float(unrolled.marginal_error) <= 1e-6
        and abs(unrolled.iterations - result.iterations) <= 20
    )


def test_training_settings_meet_the_marginals() -> None:
    """The error is of the order of 1e-3 for each pair of epsilon and iterations in training."""
    teacher = F.normalize(draw(64, 32), dim=1)
    cost = cosine_cost(teacher, teacher + 0.15 * draw(64, 32, seed=1))
    for epsilon, iterations in ((0.1, 20), (0.05, 50), (0.02, 100)):
        assert float(sinkhorn(cost, epsilon, iterations=iterations).marginal_error) < 5e-3
    assert float(sinkhorn(cost, 0.05, iterations=1).marginal_error) > 5e-3


def test_autocast_does_not_reach_the_iterations() -> None:
    cost = problem(32, 32).float()
    expected = sinkhorn(cost, 0.05).plan
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(sinkhorn(cost, 0.05).plan, expected)
        batch = sinkhorn(torch.stack([cost, cost]), 0.05).plan
    torch.testing.assert_close(batch[1], expected, rtol=0, atol=1e-8)


def test_iterations_to_a_tolerance_grow_faster_than_one_over_epsilon() -> None:
    cost = problem(20, 20)
    taken = [
        sinkhorn(cost, epsilon, iterations=50_000, tolerance=1e-6).iterations
        for epsilon in (0.16, 0.08, 0.04)
    ]
    assert taken[1] > 2 * taken[0] and taken[2] > 5 * taken[1]


EIGHTHS = torch.randint(0, 64, (9, 7), generator=torch.Generator().manual_seed(3)) / 8


@pytest.mark.parametrize("constant", [-1e4, -100.0, 1e4])
@pytest.mark.parametrize(
    "solver",
    [
        lambda c, a: sinkhorn(c, 0.5, source=a),
        lambda c, a: sinkhorn(c, 0.5, source=a, tolerance=1e-5),
        lambda c, a: sinkhorn(c, 0.5, source=a, gradient="unrolled"),
        lambda c, a: ipot(c, 5.0, source=a, iterations=10),
        lambda c, a: ipot(c, 5.0, source=a, iterations=10, inner=1),
        lambda c, a: exact(c, source=a),
    ],
)
def test_a_constant_in_the_cost_takes_no_digits_from_a_float32_plan(
    solver: Any, constant: float
) -> None:
    """Eighths of up to 8 and these constants have exact sums in float32."""
    a = masses(9, zeros=0.3).float()
    plain, moved = solver(EIGHTHS, a), solver(EIGHTHS + constant, a)
    torch.testing.assert_close(moved.plan, plain.plan, rtol=0, atol=1e-6)
    rounding = 1e-6 * abs(constant)
    torch.testing.assert_close(moved.value, plain.value + constant, rtol=0, atol=rounding)
    torch.testing.assert_close(moved.objective, plain.objective + constant, rtol=0, atol=rounding)


# ----------------------------------------------------------------------------------- gradients


def differences(function: Any, cost: Tensor, step: float = 1e-5) -> Tensor:
    """Central differences of a scalar function of the cost."""
    gradient = torch.zeros_like(cost)
    for index in np.ndindex(*cost.shape):
        up, down = cost.clone(), cost.clone()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def test_plan_is_the_gradient_of_the_objective() -> None:
    cost, a, b = problem(5, 7), masses(5), masses(7, seed=1)

    def objective(c: Tensor) -> Tensor:
        return sinkhorn(c, 0.1, source=a, target=b, iterations=2000).objective

    result = sinkhorn(cost, 0.1, source=a, target=b, iterations=2000)
    found = differences(objective, cost)
    assert float((found - result.plan).abs().max()) < 1e-8


@pytest.mark.parametrize("output", ["value", "objective"])
def test_envelope_backward_gives_the_plan(output: str) -> None:
    cost = problem(6, 4, batch=(2, 3)).requires_grad_(True)
    weights = draw(2, 3, seed=9)
    result = sinkhorn(cost, 0.1)
    (getattr(result, output) * weights).sum().backward()
    assert cost.grad is not None
    torch.testing.assert_close(cost.grad, weights[..., None, None] * result.plan)
    assert not result.plan.requires_grad


def test_envelope_adds_up_over_both_outputs_and_reaches_the_features() -> None:
    x = draw(8, 3).requires_grad_(True)
    cost = cosine_cost(x, draw(8, 3, seed=1))
    result = sinkhorn(cost, 0.1)
    (found,) = torch.autograd.grad(result.value + 2 * result.objective, x, retain_graph=True)
    (expected,) = torch.autograd.grad(cost, x, grad_outputs=3 * result.plan)
    torch.testing.assert_close(found, expected)


def test_unrolled_gradient_is_that_of_the_iterations() -> None:
    cost, a = problem(4, 5), masses(4)

    def run(c: Tensor) -> Any:
        return sinkhorn(c, 0.1, source=a, iterations=15, gradient="unrolled")

    for output in ("value", "objective"):
        leaf = cost.clone().requires_grad_(True)
        getattr(run(leaf), output).backward()
        assert leaf.grad is not None
        expected = differences(lambda c, o=output: getattr(run(c), o), cost)
        assert float((leaf.grad - expected).abs().max()) < 1e-8


def test_unrolled_gradient_reaches_masses_and_survives_zeros() -> None:
    cost = problem(4, 5).requires_grad_(True)
    logits = draw(5, seed=4).requires_grad_(True)
    source = torch.tensor([0.5, 0.0, 0.2, 0.3], dtype=DOUBLE)

    def value(c: Tensor, free: Tensor) -> Tensor:
        return sinkhorn(
            c, 0.2, source=source, target=free.softmax(0), iterations=9, gradient="unrolled"
        ).value

    assert torch.autograd.gradcheck(value, (cost, logits), eps=1e-6, atol=1e-7)


def test_the_two_gradients_differ() -> None:
    """By 23-49 % at epsilon = 0.05, cosine 0.92-0.94; fails if they are exchanged."""
    teacher = F.normalize(draw(64, 32), dim=1)
    cost = cosine_cost(teacher, teacher + 0.5 * draw(64, 32, seed=1))
    grads = []
    for gradient in ("envelope", "unrolled"):
        leaf = cost.clone().requires_grad_(True)
        sinkhorn(leaf, 0.05, iterations=200, gradient=gradient).value.backward()
        assert leaf.grad is not None
        grads.append(leaf.grad.flatten())
    apart = float((grads[0] - grads[1]).norm() / grads[1].norm())
    assert 0.2 < apart < 0.6 and 0.9 < float(F.cosine_similarity(grads[0], grads[1], dim=0)) < 0.98


# --------------------------------------------------------------------- conventions, symmetries


def test_potentials_follow_the_documented_convention() -> None:
    epsilon, a, b = 0.1, masses(6), masses(8, seed=1)
    cost = problem(6, 8)
    result = sinkhorn(cost, epsilon, source=a, target=b, iterations=3000)
    plan, (f, g) = result.plan, result.potentials
    torch.testing.assert_close(torch.exp((f[:, None] + g - cost) / epsilon), plan)
    entropy = -(plan * plan.log()).sum()
    primal = (plan * cost).sum() - epsilon * entropy
    torch.testing.assert_close(result.objective, primal, rtol=0, atol=1e-12)
    torch.testing.assert_close(a @ f + b @ g, result.objective, rtol=0, atol=1e-12)
    # H with the further -1 (its sum is -1 as the plan sums to 1): subtract epsilon
    extra = (plan * cost).sum() - epsilon * -(plan * (plan.log() - 1)).sum()
    torch.testing.assert_close(extra, result.objective - epsilon, rtol=0, atol=1e-12)
    # e KL(P | a b^T): f - e log a, g - e log b
    kl = (plan * cost).sum() + epsilon * (plan * (plan / (a[:, None] * b)).log()).sum()
    dual = a @ (f - epsilon * a.log()) + b @ (g - epsilon * b.log())
    torch.testing.assert_close(dual, kl, rtol=0, atol=1e-12)


def test_objective_rises_to_the_optimum_from_below() -> None:
    cost = problem(20, 20)
    values = [float(sinkhorn(cost, 0.02, iterations=k).objective) for k in (1, 3, 10, 50, 3000)]
    assert values == sorted(values)


def test_batch_equals_loop_also_with_masses_of_either_shape() -> None:
    cost = problem(7, 5, batch=(2, 3))
    a, b = masses(2, 3, 7, zeros=0.3), masses(5, seed=8)
    whole = sinkhorn(cost, 0.05, source=a, target=b, iterations=40)
    for i in range(2):
        for j in range(3):
            single = sinkhorn(cost[i, j], 0.05, source=a[i, j], target=b, iterations=40)
            torch.testing.assert_close(whole.plan[i, j], single.plan, rtol=0, atol=1e-13)
            for name in ("value", "objective", "marginal_error"):
                torch.testing.assert_close(getattr(whole, name)[i, j], getattr(single, name))
            torch.testing.assert_close(whole.potentials[0][i, j], single.potentials[0])
    assert whole.value.shape == whole.converged.shape == (2, 3)
    corner = sinkhorn(cost[:1, :1], 0.05)
    assert corner.plan.shape == (1, 1, 7, 5) and corner.potentials[1].shape == (1, 1, 5)


def test_permuting_points_permutes_the_plan_and_transposing_transposes_it() -> None:
    cost = problem(9, 6)
    rows, columns = torch.randperm(9), torch.randperm(6)
    plan = sinkhorn(cost, 0.1, iterations=2000).plan
    torch.testing.assert_close(
        sinkhorn(cost[rows][:, columns], 0.1, iterations=2000).plan, plan[rows][:, columns]
    )
    torch.testing.assert_close(
        sinkhorn(cost.mT, 0.1, iterations=2000).plan, plan.mT, rtol=0, atol=1e-12
    )


def test_local_transfer_is_blind_to_the_pairing() -> None:
    """A limit of LCKT: shuffling the students changes nothing."""
    teacher, student = draw(16, 4), draw(16, 4, seed=1)
    shuffled = student[torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    values = [sinkhorn(cosine_cost(teacher, s), 0.05).objective for s in (student, shuffled)]
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-12)


def test_constant_costs_shift_potentials_only() -> None:
    cost = problem(6, 6)
    plain, shifted = sinkhorn(cost, 0.05), sinkhorn(cost + 3, 0.05)
    torch.testing.assert_close(plain.plan, shifted.plan, rtol=0, atol=1e-12)
    torch.testing.assert_close(shifted.objective, plain.objective + 3)


def test_two_points_have_a_closed_form() -> None:
    epsilon, c = 0.3, 0.7
    plan = sinkhorn(torch.tensor([[0.0, c], [c, 0.0]], dtype=DOUBLE), epsilon).plan
    stay = 0.5 / (1 + math.exp(-c / epsilon))
    assert float(plan[0, 0]) == pytest.approx(stay, abs=1e-14)


# ------------------------------------------------------------------------------- IPOT and exact


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_ipot_is_sinkhorn_at_beta_over_steps(steps: int) -> None:
    epsilon, a, b = 0.08, masses(10, zeros=0.2), masses(12, seed=1)
    cost = problem(10, 12)
    proximal = ipot(cost, epsilon * steps, source=a, target=b, iterations=steps)
    direct = sinkhorn(cost, epsilon, source=a, target=b, iterations=5000)
    torch.testing.assert_close(proximal.plan, direct.plan, rtol=0, atol=1e-12)
    torch.testing.assert_close(proximal.objective, direct.objective, rtol=0, atol=1e-12)
    assert bool(proximal.converged) and proximal.iterations >= steps


@pytest.mark.parametrize("steps", [1, 4, 15])
@pytest.mark.parametrize("inner", [1, 3])
def test_ipot_is_the_published_algorithm(steps: int, inner: int) -> None:
    """Algorithm 1 of Xie et al. in numpy: P_0 = 1 1^T, `inner` projections a step."""
    cost, a, b, beta = problem(6, 9), masses(6), masses(9, seed=1), 0.4
    plan, gibbs, q = np.ones((6, 9)), np.exp(-cost.numpy() / beta), np.ones(9)
    for _ in range(steps):
        kernel = gibbs * plan
        for _ in range(inner):
            p = a.numpy() / (kernel @ q)
            q = b.numpy() / (kernel.T @ p)
        plan = p[:, None] * kernel * q
    found = ipot(cost, beta, source=a, target=b, iterations=steps, inner=inner)
    np.testing.assert_allclose(found.plan.numpy(), plan, rtol=1e-9)
    assert found.iterations == steps * inner


@pytest.mark.filterwarnings("ignore:Sinkhorn did not converge")  # stopThr=0 never does
def test_converged_proximal_steps_by_pot_are_ipot_and_sinkhorn() -> None:
    """P_{t+1} = argmin <P, C> + beta KL(P | P_t) over couplings: Sinkhorn on C - beta log P_t."""
    cost, a, b, beta, steps = problem(6, 9), masses(6), masses(9, seed=1), 1.0, 5
    plan = torch.ones(6, 9, dtype=DOUBLE)
    for _ in range(steps):
        around = cost - beta * plan.log()
        plan = ot.sinkhorn(a, b, around, beta, method="sinkhorn_log", numItermax=1500, stopThr=0)
    given_masses = {"source": a, "target": b}
    for other in (
        ipot(cost, beta, iterations=steps, **given_masses),
        ipot(cost, beta, iterations=steps, inner=500, **given_masses),
        sinkhorn(cost, beta / steps, iterations=5000, **given_masses),
    ):
        torch.testing.assert_close(other.plan, plan, rtol=0, atol=1e-12)
    once = ipot(cost, beta, iterations=steps, inner=1, **given_masses)
    assert float((once.plan - plan).abs().sum()) > 1e-3  # the published steps are another plan


def test_bias_of_ipot_falls_with_its_steps() -> None:
    cost = problem(20, 20)
    least = float(exact(cost).value)
    biases = [float(ipot(cost, 0.5, iterations=k).value) - least for k in (1, 5, 20)]
    assert biases[0] > biases[1] > biases[2] >= -1e-12


def test_ipot_gradient_is_its_plan() -> None:
    cost = problem(6, 5, batch=(2,)).requires_grad_(True)
    result = ipot(cost, 1.0, iterations=10, inner=1)
    assert result.iterations == 10
    result.value.sum().backward()
    torch.testing.assert_close(cost.grad, result.plan)


def linear_programme(cost: Tensor, a: Tensor, b: Tensor) -> float:
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    solved = linprog(cost.numpy().ravel(), A_eq=np.vstack([rows, columns]), b_eq=[*a, *b])
    return float(solved.fun)


def test_exact_equals_a_linear_programme_and_its_dual() -> None:
    cost, a, b = problem(6, 9, batch=(3,)), masses(3, 6, zeros=0.3), masses(9, seed=1)
    result = exact(cost, source=a, target=b)
    for k in range(3):
        assert float(result.value[k]) == pytest.approx(linear_programme(cost[k], a[k], b), abs=1e-9)
    f, g = result.potentials
    assert bool(((f[..., :, None] + g[..., None, :]) <= cost + 1e-9).all())
    dual = (a * f.nan_to_num(neginf=0)).sum(-1) + (b * g).sum(-1)
    torch.testing.assert_close(dual, result.value, rtol=0, atol=1e-9)
    assert bool(result.converged.all()) and result.iterations == 0
    assert float(result.marginal_error.max()) < 1e-12


@settings(max_examples=60)
@given(
    n=st.integers(1, 7),
    m=st.integers(1, 7),
    seed=st.integers(0, 10_000),
    constant=st.sampled_from([0.0, -0.25, -1.0, -8.0, 100.0, -1e4, 1e5]),
    power=st.sampled_from([-990, -40, -13, 0, 10, 40]),
    sign=st.sampled_from([1, -1]),
    dtype=st.sampled_from([torch.float32, DOUBLE]),
    zeros=st.booleans(),
)
def test_exact_plan_does_not_depend_on_unit_or_constant(
    n: int,
    m: int,
    seed: int,
    constant: float,
    power: int,
    sign: int,
    dtype: torch.dtype,
    zeros: bool,
) -> None:
    """Against a linear programme on plain costs; 64ths, constants and powers of 2 are exact."""
    free = torch.Generator().manual_seed(seed)
    plain = torch.randint(-64, 64, (n, m), generator=free).to(DOUBLE) / 64
    a, b = masses(n, seed=seed, zeros=0.4 * zeros), masses(m, seed=seed + 1)
    unit = 2.0 ** (max(power, -90) if dtype == torch.float32 else power)
    cost = (sign * (plain + constant) * unit).to(dtype)
    result = exact(cost, source=a, target=b)
    least = linear_programme(sign * plain, a, b)
    rounding = 20 * torch.finfo(dtype).eps
    assert float((result.plan.sum(1) - a).abs().sum()) <= rounding
    assert float((result.plan.sum(0) - b).abs().sum()) <= rounding
    found = sign * float((result.plan.double() * plain).sum())
    assert found == pytest.approx(least, abs=1e-9 + rounding)  # the plan is optimal
    expected, far = least + sign * constant, 1e-9 + rounding * (abs(constant) + 1)
    f, g = (potential.double() / unit for potential in result.potentials)
    assert float((f[:, None] + g - cost.double() / unit).max()) <= far
    dual = (a * f.nan_to_num(neginf=0)).sum() + (b * g).sum()
    for value in (result.value, result.objective, dual * unit):
        assert float(value.double() / unit) == pytest.approx(expected, abs=far)
    assert bool(result.converged)


@settings(max_examples=30)
@given(n=st.integers(1, 30), seed=st.integers(0, 1000), power=st.floats(-12, 12))
def test_exact_is_the_best_assignment_in_any_unit(n: int, seed: int, power: float) -> None:
    cost = 10**power * draw(2, n, n, seed=seed)
    found = exact(cost)
    for k in range(2):
        best = cost[k].numpy()[linear_sum_assignment(cost[k].numpy())].mean()
        assert float(found.value[k]) == pytest.approx(best, rel=1e-12, abs=1e-13 * 10**power)


def test_each_problem_of_a_batch_has_its_own_constant() -> None:
    cost, constants = problem(6, 5, batch=(3,)), torch.tensor([-20.0, 0.0, 7e5], dtype=DOUBLE)
    plain, moved = exact(cost), exact(cost + constants[:, None, None])
    torch.testing.assert_close(moved.plan, plain.plan)
    torch.testing.assert_close(moved.value, plain.value + constants)


def test_constants_of_rows_and_columns_change_no_exact_plan() -> None:
    cost, rows, columns = problem(6, 5), 1e6 * draw(6, 1), -1e6 * draw(1, 5, seed=1)
    plain, moved = exact(cost), exact(cost + rows + columns)
    torch.testing.assert_close(moved.plan, plain.plan)
    assert float(moved.value) == pytest.approx(float(plain.value + rows.mean() + columns.mean()))


@pytest.mark.filterwarnings("ignore:numItermax reached")
@pytest.mark.parametrize("fault", ["empty plan", "not the best plan", "too few pivots"])
def test_a_plan_that_is_not_optimal_is_never_returned(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = ot.emd

    def faulty(a: Any, b: Any, cost: Any, **rest: Any) -> Any:
        plan, log = solver(a, b, cost, **rest)
        return (0 * plan if fault == "empty plan" else np.outer(a, b)), log

    if fault == "too few pivots":
        monkeypatch.setattr(exact_solver, "MAX_PIVOTS", 1)
    else:
        monkeypatch.setattr(ot, "emd", faulty)
    with pytest.raises(RuntimeError, match="found no plan") as caught:
        exact(problem(9, 9))
    assert "\n" not in str(caught.value)


def test_exact_keeps_dtype_and_gives_its_plan_as_gradient() -> None:
    cost = problem(8, 8).float().requires_grad_(True)
    result = exact(cost)
    assert result.plan.dtype == torch.float32
    result.objective.backward()
    torch.testing.assert_close(cost.grad, result.plan)
    assert sorted(set(result.plan.flatten().tolist())) == [0.0, 0.125]  # a permutation


def test_sinkhorn_approaches_exact_as_epsilon_falls() -> None:
    cost = problem(15, 15)
    least = float(exact(cost).value)
    gaps = [
        float(sinkhorn(cost, e, iterations=20_000, tolerance=1e-9).value) - least
        for e in (0.2, 0.05, 0.01, 0.002)
    ]
    assert gaps == sorted(gaps, reverse=True) and 0 <= gaps[-1] < 1e-3


# -------------------------------------------------------------------------- Sinkhorn divergence


def test_divergence_is_its_definition_and_zero_at_equality() -> None:
    x, y = draw(10, 4), draw(12, 4, seed=1)
    found = sinkhorn_divergence(x, y, 0.1, iterations=2000)

    def regularised(u: Tensor, v: Tensor) -> Tensor:  # e KL(P | a b^T): entropies must cancel
        a, b = torch.full((len(u),), 1 / len(u)), torch.full((len(v),), 1 / len(v))
        cost = cosine_cost(u, v)
        plan = ot.sinkhorn(a.to(cost), b.to(cost), cost, 0.1, numItermax=4000, warn=False)
        return (plan * cost).sum() + 0.1 * (plan * (plan * len(u) * len(v)).log()).sum()

    expected = regularised(x, y) - (regularised(x, x) + regularised(y, y)) / 2
    torch.testing.assert_close(found.value, expected, rtol=0, atol=1e-7)
    assert float(found.value) > 0
    assert float(sinkhorn_divergence(x, x, 0.1).value) == 0


def shrunk(epsilon: float, debias: bool) -> float:
    """Variance left of a student that starts at the teacher and follows the gradient."""
    teacher = draw(40, 2)
    student = teacher.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([student], 0.02)
    for _ in range(250):
        if debias:
            loss = sinkhorn_divergence(
                student, teacher, epsilon, cost=squared_euclidean_cost, iterations=60
            ).value
        else:
            loss = sinkhorn(squared_euclidean_cost(student, teacher), epsilon).objective
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(student.detach().var(0).sum() / teacher.var(0).sum())


def test_entropic_transport_shrinks_what_it_moves_and_the_divergence_does_not() -> None:
    """A limit of LCKT: students that start at the teacher shrink."""
    assert shrunk(1.0, debias=False) < 0.8
    assert shrunk(1.0, debias=True) == pytest.approx(1.0, abs=0.02)


# -------------------------------------------------------------------------------------- refusals

C = torch.rand(3, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sinkhorn(C, 0.0), "epsilon must be a positive"),
        (lambda: sinkhorn(C, -1.0), "epsilon must be a positive"),
        (lambda: sinkhorn(C, math.nan), "epsilon must be a positive"),
        (lambda: sinkhorn(C, math.inf), "epsilon must be a positive"),
        (lambda: sinkhorn(C, 1e-9), "exact"),
        (lambda: sinkhorn(C, 0.1, iterations=0), "iterations must be at least 1"),
        (lambda: sinkhorn(C, 0.1, tolerance=0.0), "tolerance must be positive"),
        (lambda: sinkhorn(C, 0.1, gradient="both"), "gradient must be"),
        (lambda: sinkhorn(C[0], 0.1), r"cost must be \(\.\.\., n, m\)"),
        (lambda: sinkhorn(C[:0], 0.1), "not empty"),
        (lambda: sinkhorn(C.half(), 0.1), "float32 or float64"),
        (lambda: sinkhorn(cast(Tensor, C.tolist()), 0.1), "float32 or float64"),
        (lambda: sinkhorn(C * math.nan, 0.1), "NaN"),
        (lambda: sinkhorn(C / 0, 0.1), "infinite"),
        (lambda: sinkhorn(C, 0.1, source=torch.ones(3)), "source must sum to 1, got 3"),
        (lambda: sinkhorn(C, 0.1, target=torch.ones(3) / 3), r"target must have shape \(4,\)"),
        (lambda: sinkhorn(C, 0.1, source=torch.tensor(1.0)), "source must have shape"),
        (lambda: sinkhorn(C, 0.1, source=torch.ones(2, 3) / 3), "source must have shape"),
        (lambda: sinkhorn(C, 0.1, source=torch.tensor([1.5, -0.5, 0.0])), "negative"),
        (lambda: sinkhorn(C, 0.1, source=torch.tensor([math.nan, 0.5, 0.5])), "NaN"),
        (
            lambda: sinkhorn(C, 0.1, source=torch.full((3,), 1 / 3).requires_grad_()),
            "detach it",
        ),
        (lambda: ipot(C, 0.0), "beta must be a positive"),
        (lambda: exact(C.long()), "float32 or float64"),
        (lambda: exact(C + 0j), "float32 or float64"),
        (lambda: exact(cast(Tensor, C.numpy())), "got a ndarray"),
        (lambda: exact(C, source=torch.tensor([1, 0, 0])), "source must be a float tensor"),
        (lambda: cosine_cost(cast(Tensor, [[1.0]]), C), "x must be a float tensor, got a list"),
        (lambda: cosine_cost(C, C[:, :2]), r"x and y must be \(\.\.\., n, d\)"),
        (lambda: cosine_cost(C.expand(2, 3, 4), C.expand(3, 3, 4)), "batches that fit"),
        (lambda: cosine_cost(C, C.double()), "one dtype"),
        (lambda: squared_euclidean_cost(C, C[0]), r"y must be \(\.\.\., m, d\), not empty"),
        (lambda: squared_euclidean_cost(C, C[:0]), "not empty"),
        (lambda: exact(C * math.nan), "NaN"),
        (lambda: exact(C, target=torch.ones(4)), "target must sum to 1"),
        (lambda: sinkhorn_divergence(C, C, 0.0), "epsilon must be a positive"),
    ],
)
def test_errors_are_one_line_with_the_remedy(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


SOLVERS: dict[str, Any] = {
    "sinkhorn": lambda cost, **rest: sinkhorn(cost, 0.1, **rest),
    "sinkhorn unchecked": lambda cost, **rest: sinkhorn(cost, 0.1, validate=False, **rest),
    "ipot": lambda cost, **rest: ipot(cost, 0.1, **rest),
    "exact": exact,
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize(
    "masses", [[0.5, 0.5], (0.5, 0.5), np.array([0.5, 0.5]), 0.5, "ab", torch.tensor([1, 0])]
)
def test_masses_that_are_no_float_tensor_are_refused(solver: str, side: str, masses: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{side} must be a float tensor, .*: pass a torch "):
        SOLVERS[solver](torch.rand(2, 2), **{side: masses})


@pytest.mark.parametrize("count", [2.5, 50.0, "50", True, None, 0, -3, math.nan, [50], C])
def test_counts_are_whole_numbers_of_at_least_one(count: Any) -> None:
    calls = [
        lambda: sinkhorn(C, 0.1, iterations=count),
        lambda: sinkhorn(C, 0.1, iterations=count, validate=False),
        lambda: sinkhorn_divergence(C, C, 0.1, iterations=count),
        lambda: ipot(C, 0.1, iterations=count),
    ]
    if count is not None:
        calls.append(lambda: ipot(C, 0.1, inner=count))
    for call in calls:
        with pytest.raises(ValueError, match=r"^\w+ must be at least 1, and a whole number, got"):
            call()


@pytest.mark.parametrize("number", [0, -0.1, math.nan, math.inf, "0.1", True, [0.1], C, 1j])
def test_strengths_and_tolerances_are_positive_numbers(number: Any) -> None:
    for call in (
        lambda: sinkhorn(C, number),
        lambda: sinkhorn(C, 0.1, tolerance=number),
        lambda: sinkhorn_divergence(C, C, number),
        lambda: ipot(C, number),
    ):
        with pytest.raises(ValueError, match=r"^\w+ must be (a )?positive[^\n]*$"):
            call()


def test_numpy_numbers_are_accepted() -> None:
    expected = sinkhorn(C, 0.5, iterations=30)
    found = sinkhorn(C, np.float64(0.5), iterations=cast(int, np.int64(30)), tolerance=None)
    torch.testing.assert_close(found.plan, expected.plan)


def test_without_validation_nothing_is_read_from_the_device() -> None:
    """On the meta device any read raises, so a step on an accelerator never waits here."""
    cost = torch.empty(2, 8, 6, device="meta", requires_grad=True)
    result = sinkhorn(cost, 0.05, iterations=20, validate=False)
    result.objective.sum().backward()
    assert cost.grad is not None and cost.grad.shape == cost.shape
    sinkhorn(cost, 0.05, source=torch.empty(8, device="meta"), iterations=5, validate=False)
    sinkhorn(cost, 0.05, iterations=5, gradient="unrolled", validate=False)
    ipot(cost, 1.0, iterations=5, inner=1, validate=False)
