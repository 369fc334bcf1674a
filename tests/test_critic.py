"""Critics: the Lipschitz bound at any moment, and what each critic can see."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from wcord.critic import DotCritic, JointCritic, NonExpansive, group_sort, non_expansive

sizes = st.integers(1, 40)
seeds = st.integers(0, 2**31)


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def norm(matrix: Tensor) -> float:
    """The largest singular value, by numpy in float64."""
    return float(np.linalg.norm(matrix.detach().double().numpy(), 2))


# ------------------------------------------------------------------ the constraint on weights


@given(rows=sizes, columns=sizes, seed=seeds, scale=st.sampled_from([1e-20, 1e-3, 1, 377, 1e15]))
def test_norm_never_exceeds_one(rows: int, columns: int, seed: int, scale: float) -> None:
    matrix = non_expansive(draw(seed, rows, columns) * scale)
    assert norm(matrix) <= 1 + 1e-6


@pytest.mark.parametrize("matrix", [torch.zeros(5, 3), torch.ones(4, 9), torch.eye(6)[:, :2]])
def test_norm_of_degenerate_matrices(matrix: Tensor) -> None:
    constrained = non_expansive(matrix)
    assert constrained.isfinite().all() and norm(constrained) <= 1 + 1e-6


@given(rows=sizes, columns=sizes, seed=seeds)
def test_starts_semi_orthogonal(rows: int, columns: int, seed: int) -> None:
    torch.manual_seed(seed)
    values = torch.linalg.svdvals(NonExpansive(columns, rows).weight)
    torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-2)


def test_norm_after_training_loading_and_in_evaluation_mode() -> None:
    layer = NonExpansive(20, 12)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    for step in range(20):
        layer(draw(step, 8, 20)).square().sum().neg().backward()
        optimizer.step()
        assert norm(layer.weight) <= 1 + 1e-6
    layer.eval()
    layer.load_state_dict({"free": 377 * draw(99, 12, 20)})
    assert norm(layer.weight) <= 1 + 1e-6


def test_torch_spectral_norm_is_wrong_after_loading() -> None:
    """The reason for `NonExpansive`."""
    torch.manual_seed(0)
    layer = spectral_norm(nn.Linear(20, 12, bias=False)).eval()
    state = layer.state_dict()
    state["parametrizations.weight.original"] = 377 * draw(99, 12, 20)
    layer.load_state_dict(state)
    assert norm(layer.weight) > 2


def slopes(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The gradient of a scalar function by central differences."""
    found = torch.zeros_like(at)
    for k in range(at.numel()):
        step = torch.zeros(at.numel(), dtype=at.dtype)
        step[k] = 1e-6
        step = step.view_as(at)
        found.view(-1)[k] = (function(at + step) - function(at - step)) / 2e-6
    return found


@pytest.mark.parametrize("start", ["any", "semi-orthogonal"])
def test_gradient_against_finite_differences(start: str) -> None:
    free = draw(0, 5, 3, dtype=torch.float64)
    if start == "semi-orthogonal":
        free = torch.linalg.qr(free)[0].contiguous()
    target = draw(1, 5, 3, dtype=torch.float64)

    def bound(v: Tensor) -> Tensor:
        return torch.linalg.matrix_power(v.T @ v, 8).square().sum() ** (1 / 32)

    free.requires_grad_()
    (gradient,) = torch.autograd.grad((non_expansive(free) * target).sum(), free)
    free = free.detach()
    measured = slopes(lambda v: (non_expansive(v) * target).sum(), free)
    left_out = (gradient * free).sum() * slopes(bound, free) / bound(free)
    torch.testing.assert_close(gradient - left_out, measured, rtol=0, atol=1e-7)
    if start == "semi-orthogonal":
        assert left_out.norm() < 1e-3 * gradient.norm()


# -------------------------------------------------------------------------- Lipschitz bounds


@given(seed=seeds, dim=st.integers(1, 24), tau=st.floats(0.02, 2))
@settings(max_examples=50)
def test_dot_critic_is_lipschitz_on_the_sphere(seed: int, dim: int, tau: float) -> None:
    torch.manual_seed(seed)
    critic = DotCritic(10, 6, dim, tau)
    assert critic.lipschitz_bound("sphere") == pytest.approx(1 / tau)
    t, s = F.normalize(draw(seed, 12, 10), dim=1), F.normalize(draw(seed + 1, 12, 6), dim=1)
    slope = largest_slope(critic.scores(t, s), torch.cdist(t, t), torch.cdist(s, s))
    assert slope <= (1 + 1e-4) / tau


@given(seed=seeds, scale=st.sampled_from([0.01, 1.0, 50.0]))
@settings(max_examples=50)
def test_joint_critic_is_lipschitz_in_the_raw_pair(seed: int, scale: float) -> None:
    torch.manual_seed(seed)
    critic = JointCritic(7, 4, width=16, depth=3)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(37).add_(0.1)
    t, s = scale * draw(seed, 12, 7), scale * draw(seed + 1, 12, 4)
    scores = critic.scores(t, s).flatten()
    pairs = torch.cat([t.repeat_interleave(12, 0), s.repeat(12, 1)], 1)
    distance = torch.cdist(pairs, pairs, compute_mode="donot_use_mm_for_euclid_dist")
    rise = (scores[:, None] - scores).abs()
    assert (rise <= distance * (1 + 1e-4) + 1e-5 * scores.abs().max()).all()
    assert critic.lipschitz_bound("features") == critic.lipschitz_bound("sphere") == 1


def largest_slope(scores: Tensor, teacher: Tensor, student: Tensor) -> float:
    """max |g(a) - g(b)| / d(a, b) over all pairs a = (i, j), b = (k, l)."""
    rise = (scores[:, :, None, None] - scores).abs()  # (n, m, n, m)
    distance = teacher[:, None, :, None] + student[None, :, None, :]
    return float((rise.detach() / distance.clamp_min(1e-6))[distance > 1e-3].max())


def test_normalising_after_has_no_bound_in_raw_features() -> None:
    """The gradient in raw h grows as 1 / ||h||."""
    torch.manual_seed(0)
    critic = DotCritic(8, 8, 4, normalise="after")
    for project in (critic.project_teacher, critic.project_student):
        nn.init.zeros_(project.bias)
    t, s = draw(0, 1, 8), draw(1, 1, 8)
    slopes = []
    for scale in (1.0, 0.01):
        h = (scale * t).requires_grad_()
        slopes.append(torch.autograd.grad(critic.scores(h, s).sum(), h)[0].norm().item())
    assert slopes[1] / slopes[0] == pytest.approx(100, rel=1e-3)
    assert critic.lipschitz_bound("sphere") == critic.lipschitz_bound() == math.inf
    assert DotCritic(8, 8).lipschitz_bound() == math.inf


def test_spectral_norm_is_a_no_op_under_normalise_after() -> None:
    torch.manual_seed(0)
    critic = DotCritic(9, 5, 6, normalise="after")
    for project in (critic.project_teacher, critic.project_student):
        nn.init.zeros_(project.bias)
    t, s = draw(0, 7, 9), draw(1, 7, 5)
    free = critic.scores(t, s)
    with torch.no_grad():
        for project in (critic.project_teacher, critic.project_student):
            project.weight.div_(3 * norm(project.weight))
    torch.testing.assert_close(critic.scores(t, s), free, rtol=0, atol=1e-5)


# -------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("normalise", ["before", "after"])
def test_dot_scores_by_hand(normalise: str) -> None:
    torch.manual_seed(0)
    critic = DotCritic(6, 4, 3, 0.2, normalise)  # type: ignore[arg-type]
    t, s = draw(0, 5, 6), draw(1, 2, 4)
    critic.observe(draw(2, 50, 6) + 1, draw(3, 50, 4) - 1, momentum=1)
    scores = critic.scores(t, s)
    assert scores.shape == (5, 2)
    for i in range(5):
        for j in range(2):
            u, v = t[i], s[j]
            if normalise == "before":
                u, v = u - critic.teacher_mean, v - critic.student_mean
                u, v = u / u.norm(), v / v.norm()
                u, v = critic.project_teacher.weight @ u, critic.project_student.weight @ v
            else:
                u, v = critic.project_teacher(u), critic.project_student(v)
                u, v = u / u.norm(), v / v.norm()
            assert scores[i, j].item() == pytest.approx((u @ v).item() / 0.2, abs=1e-5)
    assert scores.abs().max() <= 1 / 0.2 + 1e-5


@pytest.mark.parametrize(
    "critic", [DotCritic(6, 4, 3), JointCritic(6, 4), JointCritic(6, 4, normalise="before")]
)
def test_aligned_and_transposed_pairs_equal_pair(critic: DotCritic | JointCritic) -> None:
    z_t, z_s = critic.embed_teacher(draw(0, 5, 6)), critic.embed_student(draw(1, 5, 4))
    pair = critic.pair(z_t, z_s)
    torch.testing.assert_close(critic.aligned(z_t, z_s), pair.diagonal())
    torch.testing.assert_close(critic.pair_student(z_s, z_t), pair.T)


def test_joint_scores_are_the_network_on_the_concatenated_pair() -> None:
    torch.manual_seed(0)
    critic = JointCritic(3, 2, width=8, depth=2)
    t, s = draw(0, 4, 3), draw(1, 5, 2)
    scores = critic.scores(t, s)
    for i in range(4):
        for j in range(5):
            x = critic.first(torch.cat([t[i], s[j]]))
            x = critic.hidden[0](sort_pairs(x))
            expected = critic.last(sort_pairs(x))
            assert scores[i, j].item() == pytest.approx(expected.item(), abs=1e-6)


def sort_pairs(x: Tensor) -> Tensor:
    """group_sort by Python."""
    flat = x.tolist()
    return torch.tensor([v for k in range(0, len(flat), 2) for v in sorted(flat[k : k + 2])])


@given(seed=seeds)
def test_group_sort(seed: int) -> None:
    x, y = draw(seed, 10), draw(seed + 1, 10)
    torch.testing.assert_close(group_sort(x), sort_pairs(x))
    assert (group_sort(x) - group_sort(y)).norm() <= (x - y).norm() * (1 + 1e-6)


def test_scores_change_no_state_and_observe_moves_the_means() -> None:
    critic = DotCritic(3, 2, 2).train()
    t, s = draw(0, 10, 3), draw(1, 10, 2)
    first = critic.scores(t, s)
    torch.testing.assert_close(critic.scores(t, s), first, rtol=0, atol=0)
    critic.observe(t, s, momentum=1)
    critic.observe(t + 1, s - 1)
    torch.testing.assert_close(critic.teacher_mean, t.mean(0) + 0.1)
    torch.testing.assert_close(critic.student_mean, s.mean(0) - 0.1)


# ------------------------------------------------------------ what the critics can reach


@pytest.mark.parametrize(("teacher", "student", "dim"), [(24, 10, 24), (24, 10, 4), (16, 24, 12)])
def test_bilinear_critic_reaches_the_ky_fan_norm(teacher: int, student: int, dim: int) -> None:
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(draw(0, teacher, student), full_matrices=False)
    values = torch.logspace(0, -1.5, min(teacher, student))
    covariance = left * values @ right
    critic = DotCritic(teacher, student, dim, 1.0)
    best = values[:dim].sum().item()
    seen = climb(critic.project_teacher, critic.project_student, covariance, 400)
    assert max(seen) <= best * (1 + 1e-5)
    if dim == teacher:  # full rank: the nuclear norm
        assert seen[99] >= 0.96 * best
    assert seen[-1] >= 0.98 * best


def test_spectral_norm_would_stay_far_below() -> None:
    torch.manual_seed(0)
    covariance = draw(0, 24, 10)
    best = torch.linalg.svdvals(covariance).sum().item()
    layers = [spectral_norm(nn.Linear(k, 24, bias=False)) for k in (24, 10)]
    assert max(climb(*layers, covariance, 100)) < 0.8 * best


def climb(left: nn.Module, right: nn.Module, covariance: Tensor, steps: int) -> list[float]:
    """Maximise <W_left C, W_right> by Adam 3e-3, the rate of the recipe."""
    optimizer = torch.optim.Adam([*left.parameters(), *right.parameters()], 3e-3)
    seen = []
    for _ in range(steps):
        value = (left.weight @ covariance * right.weight).sum()
        optimizer.zero_grad()
        value.neg().backward()
        optimizer.step()
        seen.append(value.item())
    return seen


def test_joint_critic_sees_a_dependence_without_covariance() -> None:
    """s = |t|: the cross-covariance is 0, the dependence is not."""
    torch.manual_seed(0)
    t = torch.linspace(-1, 1, 40)[:, None]
    s = t.abs() - t.abs().mean()
    assert max(climb(NonExpansive(1, 1), NonExpansive(1, 1), t.T @ s / 40, 50)) < 1e-4
    critic = JointCritic(1, 1, width=32, depth=2)
    optimizer = torch.optim.Adam(critic.parameters(), 0.01)
    for _ in range(150):
        scores = critic.scores(t, s)
        value = scores.diagonal().mean() - scores.mean()
        optimizer.zero_grad()
        value.neg().backward()
        optimizer.step()
    assert value.item() > 0.1


# ----------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "build",
    [
        lambda: DotCritic(0, 3),
        lambda: DotCritic(3, 3, 0),
        lambda: DotCritic(3, 3, temperature=0),
        lambda: DotCritic(3, 3, temperature=math.nan),
        lambda: DotCritic(3, 3, normalise="never"),  # type: ignore[arg-type]
        lambda: JointCritic(3, 3, width=5),
        lambda: JointCritic(3, 3, depth=0),
        lambda: JointCritic(3, 3, normalise="after"),  # type: ignore[arg-type]
        lambda: DotCritic(3, 3).lipschitz_bound("moon"),  # type: ignore[arg-type]
    ],
)
def test_invalid_arguments_are_errors_of_one_line(build: object) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        build()  # type: ignore[operator]
