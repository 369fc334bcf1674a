"""The checks of the assignment, which students do not get.

A task consists of criteria with points. A criterion looks at what the student handed in, on random
input that no student has seen, and returns "" or one sentence that says what is missing. The
eighth task is graded by a person, with the rubric.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.course.exercises.checking import (
    draws,
    far,
    masses,
    normal,
    own,
    tensor,
    uniform,
)
from wcord.transport import dependency, euclidean, exact, sinkhorn, sinkhorn_divergence

Criterion = Callable[[Any], str]


class Task(NamedTuple):
    """One task: the name that the student defines, and its criteria with their points."""

    name: str
    title: str
    criteria: tuple[tuple[int, str, Criterion], ...]

    @property
    def points(self) -> int:
        """All points of the task."""
        return sum(points for points, _, _ in self.criteria)


def _unit(*shape: int, draw: torch.Generator) -> Tensor:
    return F.normalize(normal(*shape, draw=draw), dim=1)


# ------------------------------------------------------------------------------- 1: dual_value


def _dual_value(answer: Any, cases: tuple[tuple[int, int, bool], ...]) -> str:
    function, draw = own(answer), draws(11)
    for n, m, even in cases:
        cost, f = 3 * uniform(n, m, draw=draw), normal(n, draw=draw)
        a, b = (
            (torch.full((k,), 1 / k, dtype=torch.float64) if even else masses(k, draw))
            for k in (n, m)
        )
        partner = (cost - f[:, None]).amin(0)
        if far(
            tensor(function(f.clone(), cost.clone(), a.clone(), b.clone())),
            a @ f + b @ partner,
        ):
            return f"wrong for {n} sources and {m} targets with {'equal' if even else 'other'} masses"
    return ""


def dual_value_of_equal_masses(answer: Any) -> str:
    """Uniform masses, as many targets as sources."""
    return _dual_value(answer, ((4, 4, True), (7, 7, True)))


def dual_value_of_any_masses(answer: Any) -> str:
    """Any masses, n and m different; never above the exact value."""
    return _dual_value(answer, ((3, 5, False), (6, 2, False), (1, 4, False)))


# ---------------------------------------------------------------------------- 2: sinkhorn_plan


def _plan(answer: Any, n: int, m: int, epsilon: float, even: bool, seed: int) -> str:
    draw = draws(seed)
    cost = uniform(n, m, draw=draw)
    a, b = (
        torch.full((k,), 1 / k, dtype=torch.float64) if even else masses(k, draw)
        for k in (n, m)
    )
    plan = tensor(own(answer)(cost.clone(), a.clone(), b.clone(), epsilon, 60))
    if plan.shape != (n, m):
        return f"the plan should have shape ({n}, {m})"
    if not plan.isfinite().all():
        return f"at ε = {epsilon:g} the plan has entries that are no numbers"
    expected = sinkhorn(cost, epsilon, source=a, target=b, iterations=60).plan
    if (plan - expected).abs().max() > 1e-8:
        return f"the plan after 60 iterations at ε = {epsilon:g} is another one"
    return ""


def sinkhorn_plan_of_equal_masses(answer: Any) -> str:
    """Uniform masses at a moderate ε."""
    return _plan(answer, 6, 6, 0.2, True, 21) or _plan(answer, 9, 9, 0.1, True, 22)


def sinkhorn_plan_of_any_masses(answer: Any) -> str:
    """Any masses, n and m different."""
    return _plan(answer, 5, 8, 0.15, False, 23) or _plan(answer, 7, 3, 0.3, False, 24)


def sinkhorn_plan_of_small_epsilon(answer: Any) -> str:
    """An ε at which the kernel itself is zero in float64."""
    return _plan(answer, 6, 6, 5e-4, False, 25)


# ------------------------------------------------------------------------------ 3: certificate


def _certificate_case(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = draws(seed)
    x, y = normal(7, 2, draw=draw), normal(5, 2, draw=draw) + 1
    return (
        normal(7, draw=draw) + 2,
        normal(5, draw=draw),
        euclidean(x, y),
        exact(euclidean(x, y)).value,
    )


def certificate_is_the_bound(answer: Any) -> str:
    """The raw difference over the steepest slope; a critic may be turned round."""
    for seed, sign in ((31, 1), (32, -1), (33, 1)):
        at_x, at_y, distance, best = _certificate_case(seed)
        at_x, at_y = sign * at_x, sign * at_y
        slope = ((at_x[:, None] - at_y[None, :]).abs() / distance).max()
        found = tensor(own(answer)(at_x.clone(), at_y.clone(), distance.clone()))
        if found.numel() == 1 and float(found) > float(best) + 1e-9:
            return "the bound is larger than the exact distance"
        if far(found, (at_x.mean() - at_y.mean()).abs() / slope):
            return "that is not the largest bound that these scores certify"
    return ""


def certificate_is_scale_free(answer: Any) -> str:
    """Ten times the critic, and a critic plus a constant, certify the same."""
    at_x, at_y, distance, _ = _certificate_case(34)
    once = tensor(own(answer)(at_x, at_y, distance))
    if float(once) <= 0:
        return "a critic that is higher on x certifies something"
    again = tensor(own(answer)(10 * at_x + 3, 10 * at_y + 3, distance))
    if far(once, again):
        return "the bound changes when the critic is multiplied by 10 and moved by 3"
    worse = tensor(own(answer)(at_x, at_y, distance / 2))
    return (
        ""
        if far(once, worse) and not far(once, 2 * worse)
        else "distances do not enter rightly"
    )


# ------------------------------------------------------------------------------ 4: gckt_loss


def _direction(anchors: Tensor, bank: Tensor, index: Tensor, group: Tensor) -> Tensor:
    scores = anchors @ bank.T
    positive = scores[torch.arange(len(index)), index]
    other = (group[index][:, None] != group[None, :]).double()
    return -(positive - (scores * other).sum(1) / other.sum(1)).mean()


def _gckt_inputs(
    seed: int, groups: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    draw = draws(seed)
    z_t, z_s = 0.9 * _unit(6, 5, draw=draw), 0.8 * _unit(6, 5, draw=draw)
    bank_t, bank_s = 0.7 * _unit(11, 5, draw=draw), 0.6 * _unit(11, 5, draw=draw)
    index = torch.randperm(11, generator=draw)[:6]
    return z_t, z_s, bank_t, bank_s, index, torch.arange(11) % groups


def gckt_loss_of_student_anchors(answer: Any) -> str:
    """The direction whose anchors are the student's; the teacher's embeddings are 0."""
    for seed, groups in ((41, 11), (42, 3)):
        z_t, z_s, bank_t, bank_s, index, group = _gckt_inputs(seed, groups)
        given = torch.zeros_like(z_t), z_s, bank_t, bank_s, index, group, 0.07
        if far(tensor(own(answer)(*given)), _direction(z_s, bank_t, index, group)):
            return "with teacher embeddings of 0 the loss is not that of the student's anchors"
    return ""


def gckt_loss_of_both_directions(answer: Any) -> str:
    """Both directions, groups of unequal sizes, and no dependence on τ, which cancels."""
    for seed, tau, groups in ((43, 0.07, 2), (44, 0.5, 4), (45, 1.0, 11)):
        z_t, z_s, bank_t, bank_s, index, group = _gckt_inputs(seed, groups)
        expected = _direction(z_s, bank_t, index, group) + _direction(
            z_t, bank_s, index, group
        )
        found = tensor(own(answer)(z_t, z_s, bank_t, bank_s, index, group, tau))
        if far(found, expected):
            return f"the sum of both directions is another one for {groups} groups, τ = {tau:g}"
    return ""


def gckt_loss_has_a_gradient(answer: Any) -> str:
    """The gradient reaches the embeddings, and none reaches the banks."""
    z_t, z_s, bank_t, bank_s, index, group = _gckt_inputs(46, 3)
    leaves = [given.clone().requires_grad_(True) for given in (z_t, z_s)]
    loss = own(answer)(*leaves, bank_t, bank_s, index, group, 0.07)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        return "the loss carries no gradient"
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    right = _direction(leaves[1], bank_t, index, group) + _direction(
        leaves[0], bank_s, index, group
    )
    expected = torch.autograd.grad(right, leaves)
    wrong = any(
        one is None or far(tensor(one), tensor(other))
        for one, other in zip(found, expected, strict=True)
    )
    return "the gradient at the embeddings is another one" if wrong else ""


# ------------------------------------------------------------------------ 5: debiased_gradient


def _divergence(z_t: Tensor, z_s: Tensor, epsilon: float) -> float:
    settings: Any = {"iterations": 5000, "tolerance": 1e-13}
    return float(sinkhorn_divergence(z_t, z_s, epsilon, **settings).value)


def _debiased_gradient(
    answer: Any, seed: int, n: int, epsilon: float, scale: float
) -> str:
    draw = draws(seed)
    z_t, z_s = 1.7 * normal(n, 3, draw=draw), scale * normal(n, 3, draw=draw)
    found = tensor(own(answer)(z_t.clone(), z_s.clone(), epsilon))
    if found.shape != z_s.shape:
        return f"the gradient should have the shape {tuple(z_s.shape)} of z_S"
    step = 1e-5
    for place in range(0, z_s.numel(), 2):
        move = torch.zeros(z_s.numel(), dtype=torch.float64)
        move[place] = step
        moved = move.view_as(z_s)
        above, below = (
            _divergence(z_t, z_s + sign * moved, epsilon) for sign in (1, -1)
        )
        slope = (above - below) / (2 * step)
        if not abs(slope - float(found.flatten()[place])) <= 1e-4 * max(
            1.0, abs(slope)
        ):
            return "it is not the derivative of the divergence: compare with finite differences"
    return ""


def debiased_gradient_of_unit_features(answer: Any) -> str:
    """Right at a moderate ε."""
    return _debiased_gradient(answer, 51, 4, 0.3, 1.0) or _debiased_gradient(
        answer, 52, 6, 0.2, 1
    )


def debiased_gradient_of_any_length(answer: Any) -> str:
    """The cosine does not change with the length of z_S, its gradient does."""
    return _debiased_gradient(answer, 53, 5, 0.25, 4) or _debiased_gradient(
        answer, 54, 3, 0.4, 0.3
    )


def debiased_gradient_rests_at_the_teacher(answer: Any) -> str:
    """It is 0 at z_S = z_T, also if the student's features are longer, and nowhere near by."""
    draw = draws(55)
    z_t = 2 * normal(7, 4, draw=draw)
    near = z_t + 0.3 * normal(7, 4, draw=draw)
    for z_s in (z_t, 3 * z_t):
        found = tensor(own(answer)(z_t.clone(), z_s.clone(), 0.2))
        if found.shape != z_s.shape:
            return "the gradient should have the shape of z_S"
        if not float(found.norm()) < 1e-6:
            return "at z_S = z_T the gradient of the divergence should be 0"
    if not float(tensor(own(answer)(z_t, near, 0.2)).norm()) > 1e-4:
        return "the gradient is 0 where it should not be"
    return ""


# --------------------------------------------------------------------------- 6: infonce_bound


def _infonce(scores: Tensor) -> Tensor:
    n = len(scores)
    return (scores.diagonal() - scores.logsumexp(1) + math.log(n)).mean()


def infonce_bound_is_the_formula(answer: Any) -> str:
    """(4.5) with all other columns as negatives."""
    for seed, n, scale in ((61, 5, 1.0), (62, 9, 4.0), (63, 2, 0.3)):
        scores = scale * normal(n, n, draw=draws(seed))
        if far(tensor(own(answer)(scores.clone())), _infonce(scores)):
            return f"for scores of {n} anchors the bound is another one"
    return ""


def infonce_bound_is_a_bound(answer: Any) -> str:
    """It never exceeds log n, and large scores make no NaN."""
    n = 8
    sharp = 900 * torch.eye(n, dtype=torch.float64) - 100
    found = tensor(own(answer)(sharp))
    if not found.isfinite().all():
        return "large scores leave the range of numbers"
    if float(found) > math.log(n) + 1e-9:
        return "it exceeds log n, so it is no bound"
    return (
        ""
        if abs(float(found) - math.log(n)) < 1e-6
        else "a perfect critic should reach log n"
    )


# ------------------------------------------------------------------------------ 7: blind_pair


def _pair(answer: Any) -> tuple[Tensor, Tensor]:
    t, s = (tensor(side) for side in answer)
    if t.ndim != 2 or s.ndim != 2 or len(t) != len(s):
        raise ValueError("two tensors with one row a sample are asked for")
    if not 8 <= len(t) <= 64:
        raise ValueError("8 to 64 samples are asked for")
    return t, s


def blind_pair_has_no_cross_covariance(answer: Any) -> str:
    """Unit rows whose cross-covariance is 0: the bilinear critic sees nothing."""
    t, s = _pair(answer)
    for side in (t, s):
        if (side.norm(dim=1) - 1).abs().max() > 1e-4:
            return "every row should have length 1"
    if (
        t.shape[1] < 3
        or float(torch.linalg.svdvals(t - t.mean(0))[2]) < 0.1 * len(t) ** 0.5
    ):
        return "the rows of t should spread over three dimensions at least"
    cross = (t - t.mean(0)).T @ (s - s.mean(0)) / len(t)
    if float(torch.linalg.matrix_norm(cross, "nuc")) > 1e-3:
        return "the best bilinear critic sees something"
    return ""


def blind_pair_depends(answer: Any) -> str:
    """And yet s is a function of t, and the exact dependency is large, beyond chance."""
    wrong = blind_pair_has_no_cross_covariance(answer)
    if wrong:
        return wrong
    t, s = _pair(answer)
    same = torch.cdist(t, t) < 1e-6
    if (torch.cdist(s, s)[same] > 1e-4).any():
        return "equal rows of t have different rows of s: s is no function of t"
    found = float(dependency(t, s))
    draw = draws(71)
    chance = max(
        float(dependency(t, s[torch.randperm(len(s), generator=draw)]))
        for _ in range(8)
    )
    if found < 0.3 or found < chance + 0.1:
        return f"I_W is {found:.2f}, and rows in another order reach {chance:.2f}"
    return ""


TASKS = (
    Task(
        "dual_value",
        "The dual value of a potential",
        (
            (1, "equal masses", dual_value_of_equal_masses),
            (1, "any masses, n ≠ m", dual_value_of_any_masses),
        ),
    ),
    Task(
        "sinkhorn_plan",
        "Sinkhorn's algorithm",
        (
            (1, "equal masses", sinkhorn_plan_of_equal_masses),
            (1, "any masses, n ≠ m", sinkhorn_plan_of_any_masses),
            (1, "a very small ε", sinkhorn_plan_of_small_epsilon),
        ),
    ),
    Task(
        "certificate",
        "A certified bound",
        (
            (1, "the bound", certificate_is_the_bound),
            (1, "scale and constant of the critic", certificate_is_scale_free),
        ),
    ),
    Task(
        "gckt_loss",
        "GCKT with banks and groups",
        (
            (1, "student anchors", gckt_loss_of_student_anchors),
            (1, "both directions, any τ", gckt_loss_of_both_directions),
            (1, "gradient", gckt_loss_has_a_gradient),
        ),
    ),
    Task(
        "debiased_gradient",
        "The gradient of debiased LCKT",
        (
            (1, "moderate ε", debiased_gradient_of_unit_features),
            (1, "features of any length", debiased_gradient_of_any_length),
            (
                1,
                "zero at the teacher, and only there",
                debiased_gradient_rests_at_the_teacher,
            ),
        ),
    ),
    Task(
        "infonce_bound",
        "A bound that is one",
        (
            (1, "the formula", infonce_bound_is_the_formula),
            (1, "never above log n", infonce_bound_is_a_bound),
        ),
    ),
    Task(
        "blind_pair",
        "What a bilinear critic cannot see",
        (
            (1, "no cross-covariance", blind_pair_has_no_cross_covariance),
            (1, "a function, far beyond chance", blind_pair_depends),
        ),
    ),
)
BY_HAND = 3  # points of the eighth task, which a person grades with the rubric


def wrong_with(criterion: Criterion, answer: Any) -> str:
    """Return what a criterion misses in an answer, "" where nothing."""
    if answer is None or answer is ...:
        return "nothing was handed in"
    try:
        return criterion(answer)
    except Exception as error:
        return f"it could not be used ({type(error).__name__}: {error})".replace(
            "\n", " "
        )
