"""The dual on samples against linear programmes, brute force and known functions."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import Tensor
from torch.nn import functional as F

from wcord.transport import (
    CLOUDS,
    CONSTRAINTS,
    CloudCritic,
    CriticFit,
    GroupSort,
    c_transform,
    certified_bound,
    certify,
    clouds,
    dependency,
    euclidean,
    exact,
    fit_critic,
    kantorovich,
)
from wcord.transport.cloud_critic import SpectralLinear

DOUBLE = torch.float64
LIST: Any = [[0.0, 1.0], [1.0, 0.0]]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def sphere(n: int, d: int, seed: int = 0) -> Tensor:
    return F.normalize(draw(n, d, seed=seed), dim=1)


def dual_programme(cost: Tensor, a: Tensor, b: Tensor) -> float:
    """The dual linear programme by scipy: maximise <a, f> + <b, g> with f_i + g_j <= C_ij."""
    n, m = cost.shape
    below = np.hstack([np.kron(np.eye(n), np.ones((m, 1))), np.kron(np.ones((n, 1)), np.eye(m))])
    weights = -torch.cat([a.double(), b.double()]).numpy()
    solved = linprog(weights, A_ub=below, b_ub=cost.numpy().ravel(), bounds=(None, None))
    return -float(solved.fun)


# ------------------------------------------------------------------------- linear programmes


@settings(max_examples=25)
@given(n=st.integers(1, 8), m=st.integers(1, 8), seed=st.integers(0, 1000), zeros=st.booleans())
def test_kantorovich_solves_the_dual_programme(n: int, m: int, seed: int, zeros: bool) -> None:
    cost = draw(n, m, seed=seed)
    a, b = draw(n, seed=seed + 1).softmax(0), draw(m, seed=seed + 2).softmax(0)
    if zeros and n > 1:
        a = torch.cat([torch.zeros(1), a[1:] / a[1:].sum()])
    found = kantorovich(cost, a, b)
    assert float((found.f[:, None] + found.g - cost).max()) <= 1e-12
    assert float(found.value) == pytest.approx(dual_programme(cost, a, b), abs=1e-8)
    assert float(found.value) == pytest.approx(float(a @ found.f + b @ found.g), abs=1e-12)


def test_strong_duality_and_the_c_transform_to_four_decimals_in_time() -> None:
    """Both equal exact W1 on 200 against 200 points."""
    x, y = draw(200, 2), draw(200, 2, seed=1) + 1
    cost = euclidean(x, y)
    kantorovich(cost)  # imports POT
    started = time.perf_counter()
    found = kantorovich(cost)
    assert time.perf_counter() - started < 1.0  # 10 ms on an idle machine
    least = float(exact(cost).value)
    assert float(found.value) == pytest.approx(least, abs=1e-10)
    everywhere = -c_transform(found.f, euclidean(x, torch.cat([x, y])))  # McShane, 1-Lipschitz
    value = everywhere[:200].mean() - everywhere[200:].mean()
    assert float(value) == pytest.approx(least, abs=1e-10)
    apart = euclidean(torch.cat([x, y]), torch.cat([x, y]))
    assert float(((everywhere[:, None] - everywhere).abs() - apart).max()) < 1e-12


def test_kantorovich_takes_batches() -> None:
    cost = draw(3, 4, 5)
    found = kantorovich(cost)
    assert found.value.shape == (3,)
    for k in range(3):
        assert float(found.value[k]) == pytest.approx(float(kantorovich(cost[k]).value))


def test_c_transform_is_its_definition_and_never_loses() -> None:
    cost, f = draw(4, 6), draw(4, seed=1)
    g = c_transform(f, cost)
    for j in range(6):
        assert float(g[j]) == min(float(cost[i, j] - f[i]) for i in range(4))
    twice = c_transform(g, cost.mT)
    assert bool((twice >= f - 1e-12).all())  # f^cc >= f
    torch.testing.assert_close(c_transform(twice, cost), g)  # f^ccc = f^c
    left_out = torch.tensor([0.0, -math.inf, 0.0, 0.0], dtype=DOUBLE)
    torch.testing.assert_close(c_transform(left_out, cost), cost[[0, 2, 3]].amin(0))


# -------------------------------------------------------------------------------- dependence


def brute_cost(z_t: Tensor, z_s: Tensor) -> Tensor:
    n = len(z_t)
    cost = torch.empty(n, n, n, dtype=DOUBLE)
    for i in range(n):
        for k in range(n):
            for j in range(n):
                cost[i, k, j] = (z_t[i] - z_t[k]).norm() + (z_s[i] - z_s[j]).norm()
    return cost


@pytest.mark.parametrize("n", [1, 2, 5])
def test_dependency_equals_the_linear_programme_over_all_pairs(n: int) -> None:
    z_t, z_s = sphere(n, 3), sphere(n, 2, seed=1)
    cost = brute_cost(z_t, z_s).reshape(n, n * n)
    found = dependency(z_t, z_s)
    joint, product = torch.ones(n, dtype=DOUBLE) / n, torch.ones(n * n, dtype=DOUBLE) / n**2
    expected = dual_programme(cost, joint, product)
    assert float(found) == found.value == pytest.approx(expected, abs=1e-9)
    plan = found.plan.reshape(n, n * n)
    assert float((plan * cost).sum()) == pytest.approx(expected, abs=1e-9)
    torch.testing.assert_close(plan.sum(1), torch.full((n,), 1 / n, dtype=DOUBLE))
    slack = cost.reshape(n, n, n) - found.joint[:, None, None] - found.product
    assert float(slack.min()) > -1e-9
    dual = float(found.joint.mean() + found.product.mean())
    assert dual == pytest.approx(expected, abs=1e-9)


def test_dependency_is_bounded_by_spread_and_reaches_it_for_a_perfect_student() -> None:
    z_t = sphere(24, 4)
    perfect, half = dependency(z_t, z_t), dependency(z_t, F.normalize(z_t + draw(24, 4, seed=3)))
    mean = float(euclidean(z_t, z_t).mean())
    assert float(perfect) == pytest.approx(mean, abs=1e-9)
    assert perfect.upper_bound == pytest.approx(mean)
    assert 0 < float(half) < half.upper_bound
    assert float(dependency(z_t, torch.ones(24, 2))) == pytest.approx(0, abs=1e-12)  # collapse
    assert float(dependency(3 * z_t, 3 * z_t)) == pytest.approx(3 * float(perfect))  # runs away


def test_dependency_depends_on_the_pairing_and_not_on_the_order() -> None:
    z_t, z_s, order = sphere(16, 3), sphere(16, 3, seed=1), torch.randperm(16)
    z_s = F.normalize(z_t + 0.3 * z_s)
    value = float(dependency(z_t, z_s))
    assert float(dependency(z_t[order], z_s[order])) == pytest.approx(value, abs=1e-10)
    assert float(dependency(z_t, z_s.roll(1, 0))) < value


def test_dependency_and_certificate_are_fast_enough_for_a_probe() -> None:
    z_t, z_s, scores = sphere(64, 16), sphere(64, 16, seed=1), draw(64, 64)
    for call in (lambda: dependency(z_t, z_s), lambda: certified_bound(scores, z_t, z_s)):
        call()
        started = time.perf_counter()
        call()
        assert time.perf_counter() - started < 0.5  # 10 and 3 ms on an idle machine


@pytest.mark.parametrize("constant", [-20.0, 3.0, 1e6])
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_kantorovich_is_right_in_any_unit_with_any_constant(constant: float, unit: float) -> None:
    plain, a = draw(2, 5, 6), draw(5, seed=1).softmax(0)
    cost = unit * (plain + constant)
    found = kantorovich(cost, a)
    for k in range(2):
        least = dual_programme(plain[k], a, torch.full((6,), 1 / 6)) + constant
        assert float(found.value[k]) / unit == pytest.approx(least, rel=1e-13, abs=1e-8)
    above = found.f[..., :, None] + found.g[..., None, :] - cost
    assert float(above.max()) <= 1e-15 * unit * (abs(constant) + 10)


@settings(max_examples=60)
@given(
    n=st.integers(1, 9),
    seed=st.integers(0, 1000),
    unit=st.sampled_from([1e-300, 1e-30, 1e-12, 1e-3, 1.0, 50.0, 1e6, 1e30]),
    constant=st.sampled_from([0.0, 1.0, -1e3]),
    space=st.sampled_from([1e-12, 1.0, 1e6]),
    kind=st.sampled_from(["noise", "bilinear", "cubed", "float32"]),
    copies=st.sampled_from(["none", "teacher", "student", "pairs", "all"]),
)
def test_certificate_never_exceeds_the_exact_value(
    n: int, seed: int, unit: float, constant: float, space: float, kind: str, copies: str
) -> None:
    """In any unit of scores and features, with a constant, with points that coincide."""
    z_t, z_s = sphere(n, 3, seed=seed), sphere(n, 3, seed=seed + 1)
    z_s = F.normalize(z_s + z_t)
    first = torch.arange(n) if copies == "none" else torch.arange(n) // 2
    if copies in ("teacher", "pairs"):
        z_t = z_t[first]
    if copies in ("student", "pairs"):
        z_s = z_s[first]
    if copies == "all":
        z_s = z_s[:1].expand(n, 3)
    scores = {
        "noise": draw(n, n, seed=seed + 2),
        "bilinear": z_t @ z_s.T,
        "cubed": (z_t @ z_s.T) ** 3,
        "float32": (z_t @ z_s.T).float().double() * (1 + 1e-7 * draw(n, n, seed=seed + 3)),
    }[kind]
    z_t, z_s = space * z_t, space * z_s
    found = certified_bound(unit * (scores + constant), z_t, z_s)
    assert 0 <= found.bound <= float(dependency(z_t, z_s))


@settings(max_examples=30)
@given(n=st.integers(2, 12), seed=st.integers(0, 1000), unit=st.sampled_from([1e-12, 1.0, 1e6]))
def test_rounding_at_points_that_coincide_leaves_a_certificate_unchanged(
    n: int, seed: int, unit: float
) -> None:
    """A float32 critic gives copies of a point other last digits, and is a function still."""
    pairs = torch.arange(n) // 2
    z_t, z_s = sphere(n, 4, seed=seed)[pairs], sphere(n, 4, seed=seed + 1)[pairs]
    clean = z_t @ F.normalize(z_t + z_s).T
    noise = torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) * 4e-7
    exactly = certified_bound(unit * clean, z_t, z_s)
    rounded = certified_bound(unit * clean * (1 + noise), z_t, z_s)
    assert rounded.bound == pytest.approx(exactly.bound, rel=1e-3, abs=1e-5)
    assert rounded.bound <= float(dependency(z_t, z_s))


def test_a_student_of_one_point_certifies_nothing_whatever_the_rounding() -> None:
    """I_W is 0: a bound of 1e-7, from rounding alone, would already be above it."""
    z_t, z_s = sphere(8, 4), torch.ones(8, 2, dtype=DOUBLE)
    scores = (draw(8, 1) + torch.zeros(8, 8)) * (1 + 1e-7 * draw(8, 8, seed=1))
    for unit in (1e-12, 1.0, 1e6):
        found = certified_bound(unit * scores, z_t, z_s)
        assert found.bound == 0 and math.isfinite(found.slope)
        assert certified_bound(unit * draw(8, 8), z_t, z_s).slope == math.inf


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e6])
def test_a_critic_of_clouds_that_share_points_certifies_a_true_bound(unit: float) -> None:
    x = draw(12, 2)
    y = torch.cat([x[:6], x[:2] + 1])
    g = -unit * (x.sum(1) + 1e-8 * draw(12, seed=2)), -unit * y.sum(1)
    found = certify(g[0].numpy(), g[1].numpy(), euclidean(x, y).numpy())
    least = dual_programme(euclidean(x, y), torch.full((12,), 1 / 12), torch.full((8,), 1 / 8))
    assert 0 < found.bound <= least + 1e-12
    split = g[0] + unit * draw(12, seed=3)
    assert certify(split.numpy(), g[1].numpy(), euclidean(x, y).numpy()).slope == math.inf


def test_a_certificate_of_a_sample_proves_nothing_about_the_population() -> None:
    """Independent features: a critic fitted to the sample certifies much, a fresh sample little."""
    t, s = sphere(64, 64), sphere(64, 64, seed=1)
    assert 1.2 < float(dependency(t, s)) < 1.45
    weights = t.T @ s - 64 * t.mean(0)[:, None] * s.mean(0)  # 64 times the cross-covariance
    left, _, right = torch.linalg.svd(weights)
    fitted = left @ right  # the best bilinear critic of norm 1 (Ky Fan)
    assert certified_bound(t @ fitted @ s.T, t, s).bound > 0.5
    t, s = sphere(64, 64, seed=2), sphere(64, 64, seed=3)
    assert certified_bound(t @ fitted @ s.T, t, s).bound < 0.1


def test_certificate_equals_a_loop_and_does_not_depend_on_scale_and_constants() -> None:
    n = 6
    z_t, z_s, g = sphere(n, 3), sphere(n, 2, seed=1), draw(n, n, seed=2)
    cost, slope = brute_cost(z_t, z_s), 0.0
    for i in range(n):
        for k in range(n):
            for j in range(n):
                if not i == k == j:
                    slope = max(slope, abs(float(g[i, i] - g[k, j])) / float(cost[i, k, j]))
    found = certified_bound(g, z_t, z_s)
    raw = float(g.diagonal().mean() - g.mean())
    assert found.slope == pytest.approx(slope) and found.raw == pytest.approx(raw)
    assert found.bound == pytest.approx(max(raw, 0) / slope)
    scaled = certified_bound(7 * g + 3, z_t, z_s)
    assert scaled.bound == pytest.approx(found.bound) and scaled.raw == pytest.approx(7 * raw)


def test_certificate_of_the_optimal_potential_is_tight() -> None:
    """Extended from the optimal potentials, g is 1-Lipschitz and proves the exact value."""
    z_t, z_s = sphere(12, 3), sphere(12, 3, seed=1)
    found = dependency(z_t, z_s)
    cost = brute_cost(z_t, z_s).reshape(12, 144)
    g = -c_transform(found.joint, cost).reshape(12, 12)  # McShane extension of the joint's
    proof = certified_bound(g, z_t, z_s)
    assert proof.slope == pytest.approx(1) and proof.bound == pytest.approx(float(found))


def test_certificate_of_degenerate_critics_is_zero() -> None:
    z_t, z_s = sphere(5, 3), sphere(5, 3, seed=1)
    assert certified_bound(torch.ones(5, 5), z_t, z_s).bound == 0
    wrong_way = certified_bound(-torch.eye(5), z_t, z_s)
    assert wrong_way.raw < 0 and wrong_way.bound == 0
    z_t, z_s = z_t.clone(), z_s.clone()
    z_t[1], z_s[1] = z_t[0], z_s[0]  # samples 0 and 1 are one point with two scores
    for unit in (1e-12, 1.0, 1e6):
        found = certified_bound(unit * torch.diag(torch.tensor([1.0, 5, 1, 1, 1])), z_t, z_s)
        assert found.slope == math.inf and found.bound == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dependency(draw(3, 2), draw(4, 2)), "same n samples"),
        (lambda: dependency(LIST, draw(2, 2)), "teacher features must be a float tensor"),
        (lambda: dependency(draw(2, 2), LIST), "student features must be a float tensor"),
        (lambda: dependency(draw(2, 2) + 0j, draw(2, 2)), "teacher features must be a float"),
        (lambda: dependency(draw(0, 2), draw(0, 2)), "not empty"),
        (lambda: certified_bound(LIST, draw(2, 2), draw(2, 2)), "scores must be a float tensor"),
        (lambda: certified_bound(draw(3), draw(3, 2), draw(3, 2)), r"scores must be \(3, 3\)"),
        (lambda: kantorovich(LIST), "cost must be a float32 or float64 tensor, got a list"),
        (lambda: kantorovich(draw(2, 2), LIST), "source must be a float tensor, got a list"),
        (lambda: kantorovich(draw(2, 2), draw(3)), r"source must have shape \(2,\)"),
        (lambda: kantorovich(draw(2, 0)), "not empty"),
        (lambda: c_transform(LIST, draw(2, 2)), "potential must be a float tensor, got a list"),
        (lambda: c_transform(draw(2), LIST), "cost must be a float32"),
        (lambda: c_transform(draw(3), draw(2, 3)), r"potential must have shape \(2,\)"),
        (lambda: c_transform(draw(4, 2), draw(3, 2, 5)), r"potential must have shape \(2,\)"),
        (lambda: dependency(draw(3), draw(3)), "same n samples"),
        (lambda: dependency(draw(3, 2) / 0, draw(3, 2)), "NaN or infinite"),
        (lambda: certified_bound(draw(3, 4), draw(3, 2), draw(3, 2)), r"scores must be \(3, 3\)"),
        (lambda: certified_bound(draw(3, 3) * math.nan, draw(3, 2), draw(3, 2)), "diverged"),
        (lambda: GroupSort(1), "at least 2"),
        (lambda: GroupSort()(draw(3)), "do not divide"),
        (lambda: CloudCritic(draw(3, 2), draw(3, 3)), "clouds must be"),
        (lambda: CloudCritic(draw(3, 2) / 0, draw(3, 2)), "NaN"),
        (lambda: CloudCritic(draw(3, 2), draw(3, 2), "relu"), "constraint must be one of linear"),
        (lambda: CloudCritic(LIST, draw(3, 2)), "x must be a float tensor, got a list"),
        (lambda: CloudCritic(draw(3, 2), draw(3, 2), width=2.5), "width must be at least 1"),
        (lambda: CloudCritic(draw(3, 2), draw(3, 2), rate=-1.0), "rate must be a positive"),
        (lambda: CloudCritic(draw(3, 2), draw(3, 2)).step(0), "count must be at least 1"),
        (lambda: fit_critic(draw(3, 2), draw(3, 2), steps=0), "at least 1"),
        (lambda: fit_critic(draw(3, 2), draw(3, 2), steps=2.5), "steps must be at least 1"),
        (lambda: clouds("3-D"), "clouds must be one of"),
        (lambda: clouds("1-D shift", 0), "at least 1"),
    ],
)
def test_errors_are_one_line_with_the_remedy(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------- critics of clouds


@pytest.mark.parametrize("size", [2, 4])
def test_group_sort_sorts_within_groups_and_keeps_gradient_norms(size: int) -> None:
    x = draw(7, 8).requires_grad_(True)
    y = GroupSort(size)(x)
    for row, sorted_row in zip(x.detach(), y.detach(), strict=True):
        for start in range(0, 8, size):
            assert sorted_row[start : start + size].tolist() == sorted(
                row[start : start + size].tolist()
            )
    upstream = draw(7, 8, seed=1)
    (gradient,) = torch.autograd.grad(y, x, upstream)
    torch.testing.assert_close(gradient.norm(dim=1), upstream.norm(dim=1))


def test_spectral_layer_has_norm_one_whatever_its_weights_become() -> None:
    """A norm in a buffer would be wrong after the weights are changed or loaded."""
    layer = SpectralLinear(5, 8).double().eval()
    with torch.no_grad():
        layer.weight.copy_(100 * draw(8, 5))
    image = layer(torch.eye(5, dtype=DOUBLE)) - layer.bias
    assert float(torch.linalg.matrix_norm(image.detach(), 2)) == pytest.approx(1, abs=1e-12)
    layer.train()
    for _ in range(100):
        image = layer(torch.eye(5, dtype=DOUBLE)) - layer.bias
    assert float(torch.linalg.matrix_norm(image.detach(), 2)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("dim", [1, 3])
def test_every_critic_certifies_a_true_bound(constraint: str, dim: int) -> None:
    x, y = draw(40, dim), draw(30, dim, seed=1) + 1
    w1 = float(exact(euclidean(x, y)).value)
    fit = fit_critic(x, y, constraint, steps=60, every=20)
    assert 0 <= fit.bound <= w1 + 1e-9
    assert fit.bound > 0 or constraint == "gradient_penalty"  # raw may be negative at first
    assert fit.raw == pytest.approx(float(fit.scores_x.mean() - fit.scores_y.mean()))
    slopes = (fit.scores_x[:, None] - fit.scores_y).abs() / euclidean(x, y)
    assert fit.slope == pytest.approx(float(slopes.max()))
    assert [step for step, _ in fit.history] == [20, 40, 60] and fit.steps == 60


@pytest.mark.parametrize(
    "constraint", ["linear", "spectral_relu", "spectral_groupsort", "orthogonal"]
)
def test_constrained_critics_are_1_lipschitz_everywhere(constraint: str) -> None:
    critic = CloudCritic(draw(30, 4), draw(30, 4, seed=1) + 1, constraint).step(30)
    a, b = 5 * draw(400, 4, seed=2), 5 * draw(400, 4, seed=3)
    steps = (critic.scores(a) - critic.scores(b)).abs()
    assert float((steps / (a - b).norm(dim=1)).max()) <= 1 + 1e-9


def test_unconstrained_ones_are_not() -> None:
    """Their raw values exceed W1, and the certified bound does not."""
    x, y = clouds("2-D shift", 100)
    w1 = float(exact(euclidean(x, y)).value)
    clipped = fit_critic(x, y, "clipping", steps=200, every=200)
    assert clipped.raw > 2 * w1 and clipped.slope > 2 and clipped.bound <= w1


def test_linear_critic_is_the_distance_of_the_means() -> None:
    x, y = draw(50, 3), 2 * draw(70, 3, seed=1) + torch.tensor([1.0, -2, 0.5])
    fit = fit_critic(x, y, "linear", steps=300)
    assert fit.raw == pytest.approx(float((x.mean(0) - y.mean(0)).norm()), rel=1e-6)


@pytest.mark.parametrize("constraint", ["gradient_penalty", "spectral_groupsort"])
def test_stepping_in_pieces_changes_nothing_and_leaves_the_stream_alone(constraint: str) -> None:
    x, y = draw(20, 2), draw(20, 2, seed=1)
    before = torch.get_rng_state()
    whole = CloudCritic(x, y, constraint, seed=3).step(12)
    assert torch.equal(torch.get_rng_state(), before)
    pieces = CloudCritic(x, y, constraint, seed=3)
    for count in (1, 4, 7):
        pieces.step(count).fit()
        pieces.scores(x)
    assert torch.equal(whole.scores(x), pieces.scores(x)) and pieces.steps == 12
    other = CloudCritic(x, y, constraint, seed=4).step(12)
    assert not torch.equal(whole.scores(x), other.scores(x))


def test_callback_gets_every_evaluation() -> None:
    seen: list[CriticFit] = []
    last = fit_critic(draw(9, 1), draw(8, 1), "linear", steps=25, every=10, callback=seen.append)
    assert [fit.steps for fit in seen] == [10, 20, 25] and seen[-1] is last


def test_clouds_are_a_pure_function_of_name_count_and_seed() -> None:
    for name in CLOUDS:
        x, y = clouds(name, 50)
        assert x.shape == y.shape and len(x) == 50
        assert torch.equal(x, clouds(name, 50)[0])
        assert not torch.equal(x, clouds(name, 50, seed=1)[0])


@pytest.mark.slow
def test_kantorovich_rubinstein_in_numbers() -> None:
    """The share of the exact value that each constraint reaches, and their order."""
    share: dict[tuple[str, str], float] = {}
    for name in ("2-D shift", "ring → larger ring", "4 modes → 2", "16-D, same distribution"):
        x, y = clouds(name)
        w1 = float(kantorovich(euclidean(x, y)).value)
        for constraint in CONSTRAINTS:
            fit = fit_critic(x, y, constraint, steps=300, every=300)
            assert fit.bound <= w1 + 1e-9
            share[name, constraint] = fit.raw / w1
    for name in ("2-D shift", "4 modes → 2"):
        for constraint in ("linear", "spectral_relu", "spectral_groupsort", "orthogonal"):
            assert 0.9 < share[name, constraint] <= 1 + 1e-9, (name, constraint)
    for name in ("2-D shift", "ring → larger ring", "4 modes → 2"):
        assert 1 < share[name, "gradient_penalty"] < 1.3 and share[name, "clipping"] > 2
    for name in ("ring → larger ring", "16-D, same distribution"):
        rising = [
            share[name, c] for c in ("linear", "spectral_relu", "spectral_groupsort", "orthogonal")
        ]
        assert rising == sorted(rising), name
    assert (
        share["ring → larger ring", "orthogonal"]
        > 0.95
        > 0.2
        > share["ring → larger ring", "linear"]
    )
    assert (
        share["16-D, same distribution", "orthogonal"] < 0.5
    )  # W1 of two samples, not of two laws
