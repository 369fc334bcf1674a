"""Criteria of the tasks on dependence: GCKT, InfoNCE, and what a bilinear critic cannot see."""

from __future__ import annotations

import math
from typing import Any

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


def _unit(*shape: int, draw: torch.Generator) -> Tensor:
    return F.normalize(normal(*shape, draw=draw), dim=1)


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
