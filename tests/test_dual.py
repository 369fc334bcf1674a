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

from wcord.certificate import euclidean
from wcord.clouds import SpectralLinear
from wcord.dual import (
    CLOUDS,
    CONSTRAINTS,
    CloudCritic,
    CriticFit,
    GroupSort,
    c_transform,
    certified_bound,
    clouds,
    dependency,
    fit_critic,
    kantorovich,
)
from wcord.transport import exact

DOUBLE = torch.float64


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def sphere(n: int, d: int, seed: int = 0) -> Tensor:
    return F.normalize(draw(n, d, seed=seed), dim=1)


def dual_programme(cost: Tensor, a: Tensor, b: Tensor) -> float:
    """The dual linear programme by scipy: maximise <a, f> + <b, g> below the cost."""
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
    """Both equal exact W1 on 200 against 200 points (method.md)."""
    x, y = draw(200, 2), draw(200, 2, seed=1) + 1
    cost = euclidean(x, y)
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
    assert float(perfect) == pytest.approx(mean, abs=1e-9) and perfect.most == pytest.approx(mean)
    assert 0 < float(half) < half.most
    assert float(dependency(z_t, torch.ones(24, 2))) == pytest.approx(0, abs=1e-12)  # collapse
    assert float(dependency(3 * z_t, 3 * z_t)) == pytest.approx(3 * float(perfect))  # runs away


def test_dependency_does_not_care_for_order_but_for_the_pairing() -> None:
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
        assert time.perf_counter() - started < 0.5  # about 5 ms on an idle machine


@settings(max_examples=40)
@given(
    n=st.integers(1, 9),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-3, 1.0, 50.0]),
    kind=st.sampled_from(["noise", "bilinear", "cubed"]),
)
def test_certificate_never_exceeds_the_exact_value(
    n: int, seed: int, scale: float, kind: str
) -> None:
    z_t, z_s = sphere(n, 3, seed=seed), sphere(n, 3, seed=seed + 1)
    z_s = F.normalize(z_s + z_t)
    scores = {
        "noise": draw(n, n, seed=seed + 2),
        "bilinear": z_t @ z_s.T,
        "cubed": (z_t @ z_s.T) ** 3,
    }
    found = certified_bound(scale * scores[kind], z_t, z_s)
    assert 0 <= found.bound <= float(dependency(z_t, z_s)) + 1e-9


def test_certificate_equals_a_loop_and_ignores_scale_and_constants() -> None:
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
    twins = z_t.clone()
    twins[1], one = twins[0], z_s.clone()
    one[1] = one[0]  # samples 0 and 1 are one point, but are scored apart
    apart = certified_bound(torch.diag(torch.tensor([1.0, 5, 1, 1, 1])), twins, one)
    assert apart.slope == math.inf and apart.bound == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dependency(draw(3, 2), draw(4, 2)), "same n samples"),
        (lambda: dependency(draw(3), draw(3)), "same n samples"),
        (lambda: dependency(draw(3, 2) / 0, draw(3, 2)), "NaN or infinite"),
        (lambda: certified_bound(draw(3, 4), draw(3, 2), draw(3, 2)), r"scores must be \(3, 3\)"),
        (lambda: certified_bound(draw(3, 3) * math.nan, draw(3, 2), draw(3, 2)), "diverged"),
        (lambda: GroupSort(1), "at least 2"),
        (lambda: GroupSort()(draw(3)), "do not divide"),
        (lambda: CloudCritic(draw(3, 2), draw(3, 3)), "clouds must be"),
        (lambda: CloudCritic(draw(3, 2) / 0, draw(3, 2)), "NaN"),
        (lambda: CloudCritic(draw(3, 2), draw(3, 2), "relu"), "constraint must be one of linear"),
        (lambda: fit_critic(draw(3, 2), draw(3, 2), steps=0), "at least 1"),
        (lambda: clouds("3-D"), "clouds must be one of"),
        (lambda: clouds("1-D shift", 0), "at least 1"),
    ],
)
def test_refusals_say_what_to_do_in_one_line(call: Any, words: str) -> None:
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
    """Trap: norms kept in buffers are wrong after the weights are changed or loaded."""
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
    assert fit.bound > 0 or constraint == "gradient_penalty"  # which may start downhill in 1-D
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
    """What the certified bound is for: raw values above W1."""
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


def test_callback_sees_every_look() -> None:
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
    """The table of method.md: what each constraint reaches of the exact value, and its order."""
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
