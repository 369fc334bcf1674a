"""A solution of the assignment, from the notebooks alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def dual_value(f: Tensor, C: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return <a, f> + <b, f^c>, (2.4) with (2.7)."""
    return a @ f + b @ (C - f[:, None]).amin(0)


def sinkhorn_plan(
    C: Tensor, a: Tensor, b: Tensor, epsilon: float, iterations: int
) -> Tensor:
    """Return the plan (3.2) after some rounds of (3.5), rows first."""
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(iterations):
        f = epsilon * (a.log() - ((g - C) / epsilon).logsumexp(1))
        g = epsilon * (b.log() - ((f[:, None] - C) / epsilon).logsumexp(0))
    return ((f[:, None] + g - C) / epsilon).exp()


def certificate(at_x: Tensor, at_y: Tensor, distance: Tensor) -> Tensor:
    """Return the certified bound (2.10) of the critic or of its negative, which is as steep."""
    slope = ((at_x[:, None] - at_y[None, :]).abs() / distance).max()
    return (at_x.mean() - at_y.mean()).abs() / slope


def gckt_loss(
    z_t: Tensor,
    z_s: Tensor,
    bank_t: Tensor,
    bank_s: Tensor,
    index: Tensor,
    group: Tensor,
    tau: float,
) -> Tensor:
    """Return (6.2) with negatives of other groups only."""
    other = group[index][:, None] != group[None, :]  # (n, N)

    def direction(anchors: Tensor, bank: Tensor) -> Tensor:
        scores = anchors @ bank.T / tau
        positive = scores[torch.arange(len(index)), index]
        return -tau * (positive - (scores * other).sum(1) / other.sum(1)).mean()

    return direction(z_s, bank_t) + direction(z_t, bank_s)


def debiased_gradient(z_t: Tensor, z_s: Tensor, epsilon: float) -> Tensor:
    """Return the gradient of (3.10) at z_S, every plan held fixed (3.8).

    The term of the teacher with itself does not depend on z_S; in that of the student with itself
    both sides do.
    """
    n = len(z_s)
    leaf = z_s.clone().requires_grad_(True)
    t, s = F.normalize(z_t, dim=1), F.normalize(leaf, dim=1)
    uniform = torch.full((n,), 1 / n, dtype=z_s.dtype)
    loss = torch.zeros((), dtype=z_s.dtype)
    for factor, C in ((1.0, 1 - t @ s.T), (-0.5, 1 - s @ s.T)):
        plan = sinkhorn_plan(C.detach(), uniform, uniform, epsilon, 5000)
        loss = loss + factor * (plan * C).sum()
    return torch.autograd.grad(loss, leaf)[0]


def infonce_bound(scores: Tensor) -> Tensor:
    """Return (4.5) with the other columns as negatives."""
    return (scores.diagonal() - scores.logsumexp(1) + math.log(len(scores))).mean()


# t is one of the six corners of an octahedron, s says on which axis it lies: E[t s'] = 0 because
# opposite corners have the same s, and yet s is a function of t.
_axis = torch.arange(3).repeat_interleave(16)
_sign = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(24)
_angle = _axis * 2 * math.pi / 3
blind_pair = (
    _sign[:, None] * torch.eye(3, dtype=torch.float64)[_axis],
    torch.stack([_angle.cos(), _angle.sin()], 1).double(),
)
