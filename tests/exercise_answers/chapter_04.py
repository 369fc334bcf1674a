"""Answers to the exercises of chapter 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wcord.objectives.critic_losses import Scores, infonce
from wcord.transport import dependency, exact


def entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum()


def by_loops(p: Tensor) -> float:
    rows, columns = p.sum(1).tolist(), p.sum(0).tolist()
    total = 0.0
    for i, row in enumerate(p.tolist()):
        for j, entry in enumerate(row):
            if entry:
                total += entry * math.log(entry / (rows[i] * columns[j]))
    return total


def product_of(p: Tensor) -> Tensor:
    return torch.outer(p.sum(1), p.sum(0))


def cross(t: Tensor, s: Tensor) -> Tensor:
    return (t - t.mean(0)).T @ (s - s.mean(0)) / len(t)


def in_numpy(t: Tensor, s: Tensor, dim: int) -> float:
    both = np.cov(t.T, s.T, bias=True)[: t.shape[1], t.shape[1] :]
    return float(np.sort(np.linalg.svd(both, compute_uv=False))[::-1][:dim].sum())


def others(phi: Tensor, index: Tensor) -> Tensor:
    away = torch.ones_like(phi, dtype=torch.bool)
    away[torch.arange(len(phi)), index] = False
    return phi[away]


def subtracted(phi: Tensor, index: Tensor) -> float:
    scores = others(phi, index)
    return float((scores - scores.max()).exp().mean().log() + scores.max())


def masked(phi: Tensor, index: Tensor) -> Tensor:
    n, samples = phi.shape
    gone = phi.scatter(1, index[:, None], -math.inf)
    return gone.flatten().logsumexp(0) - math.log(n * samples - n)


def common(mu: Tensor, nu: Tensor) -> Tensor:
    kept = torch.minimum(mu, nu)
    missing, surplus = nu - kept, mu - kept
    moved = float(surplus.sum())
    return torch.diag(kept) + (torch.outer(surplus, missing) / moved if moved > 0 else 0)


def north_west(mu: Tensor, nu: Tensor) -> Any:
    kept = np.minimum(mu.numpy(), nu.numpy())
    plan, a, b = np.diag(kept), mu.numpy() - kept, nu.numpy() - kept
    i = j = 0
    while i < len(a) and j < len(b):
        moved = min(a[i], b[j])
        plan[i, j] += moved
        a[i] -= moved
        b[j] -= moved
        i, j = (i + 1, j) if a[i] <= b[j] else (i, j + 1)
    return plan


def by_pot(mu: Tensor, nu: Tensor) -> Tensor:
    return exact(1 - torch.eye(len(mu), dtype=mu.dtype), source=mu, target=nu).plan


def fan(values: int, step: float) -> Tensor:
    angle = step * torch.arange(values).double()
    return torch.stack((angle.cos(), angle.sin()), 1)


def agree(share: float) -> list[list[float]]:
    return [[share / 2, (1 - share) / 2], [(1 - share) / 2, share / 2]]


NEAR = (torch.eye(5).double() / 5, fan(5, 0.01), fan(5, 0.01))
OPPOSITE = [[1.0, 0.0], [-1.0, 0.0]]
WEAK = (agree(0.585), OPPOSITE, OPPOSITE)

RIGHT: dict[str, list[Any]] = {
    "4.1": [
        lambda p: entropy(p.sum(0)) + entropy(p.sum(1)) - entropy(p),
        by_loops,
        lambda p: torch.special.entr(p).sum().neg() - torch.xlogy(p, product_of(p)).sum(),
    ],
    "4.2": [
        lambda t, s, dim: torch.linalg.svdvals((t - t.mean(0)).T @ s / len(t))[:dim].sum(),
        in_numpy,
        lambda t, s, dim: (
            torch.linalg.eigvalsh(cross(t, s) @ cross(t, s).T)
            .clamp_min(0)
            .sqrt()
            .flip(0)[:dim]
            .sum()
        ),
    ],
    "4.3": [subtracted, masked],
    "4.4": [
        lambda length_t, length_s: (1 - max(length_t, length_s) ** 2) / 4,
        lambda t, s: 2 * (min(math.sqrt(2 - 2 * t * t), math.sqrt(2 - 2 * s * s)) / 4) ** 2,
    ],
    "4.5": [common, north_west],
    "4.6": [
        (NEAR, WEAK),
        ((torch.eye(6) / 6, fan(6, 0.5), fan(6, 0.001)), (agree(0.42), OPPOSITE, OPPOSITE)),
    ],
}
WRONG: dict[str, list[Any]] = {
    "4.1": [
        math.log(2),
        lambda p: (p * (p / product_of(p)).log()).sum(),  # NaN where an entry is 0
        lambda p: by_loops((p + 1e-3) / (p + 1e-3).sum()),
        lambda p: by_loops(p) / math.log(2),  # bits
        lambda p: torch.xlogy(p, p * p.numel()).sum(),  # uniform marginals
        lambda p: entropy(p.sum(0)) - entropy(p),
        lambda p: entropy(p.sum(0)) + entropy(p.sum(1)),
        lambda p: torch.xlogy(product_of(p), product_of(p) / p.clamp_min(1e-9)).sum(),
        lambda p: -by_loops(p),
        lambda p: by_loops(p) + 1e-3,
        lambda p: by_loops(p / p.sum(1, keepdim=True)),
        lambda p: by_loops(p.T @ p),
    ],
    "4.2": [
        1.234,
        lambda t, s, dim: torch.linalg.matrix_norm(cross(t, s), "nuc"),
        lambda t, s, dim: torch.linalg.svdvals(t.T @ s / len(t))[:dim].sum(),
        lambda t, s, dim: torch.linalg.svdvals(cross(t, s))[0],
        lambda t, s, dim: torch.linalg.svdvals(cross(t, s))[-dim:].sum(),
        lambda t, s, dim: len(t) / (len(t) - 1) * in_numpy(t, s, dim),
        lambda t, s, dim: len(t) * in_numpy(t, s, dim),
        lambda t, s, dim: torch.linalg.svdvals(cross(t, s))[:dim].square().sum(),
        lambda t, s, dim: torch.linalg.matrix_norm(cross(t, s)),
        lambda t, s, dim: torch.trace(cross(t, s)[:dim, :dim]),
        lambda t, s, dim: dim * torch.linalg.matrix_norm(cross(t, s), 2),
        lambda t, s, dim: (float(dependency(t, s)), in_numpy(t, s, dim))[1],
    ],
    "4.3": [
        0.123,
        lambda phi, index: phi.exp().mean().log(),
        lambda phi, index: phi.flatten().logsumexp(0) - math.log(phi.numel()),
        lambda phi, index: others(phi, index).exp().mean().log(),  # overflows
        lambda phi, index: others(phi, index).mean(),
        lambda phi, index: others(phi, index).logsumexp(0),
        lambda phi, index: others(phi, index).logsumexp(0) - math.log(phi.numel()),
        lambda phi, index: math.exp(subtracted(phi / 1e3, index)),
        lambda phi, index: -subtracted(phi, index),
        lambda phi, index: subtracted(phi.clamp(max=80), index),
        lambda phi, index: subtracted(phi, torch.arange(len(phi))),
        lambda phi, index: (subtracted(phi, index), infonce(Scores(phi[0], phi), None, 1.0, False))[
            0
        ],
    ],
    "4.4": [
        (0, 0.16),
        0.16,
        lambda t, s: 0.25,
        lambda t, s: (1 - t * t) / 4,
        lambda t, s: (1 - s * s) / 4,
        lambda t, s: (1 - min(t, s) ** 2) / 4,
        lambda t, s: (1 - t * s) / 4,
        lambda t, s: (1 - max(t, s)) / 4,
        lambda t, s: 2 * (1.2 / 4) ** 2,
        lambda t, s: (1 - max(t, s) ** 2) / 2,
        lambda t, s: (2 - t * t - s * s) / 4,
        lambda t, s: math.sqrt(2 - 2 * max(t, s) ** 2),
    ],
    "4.5": [
        torch.eye(3),
        by_pot,
        lambda mu, nu: torch.outer(mu, nu),
        lambda mu, nu: torch.diag(mu),
        lambda mu, nu: torch.diag(torch.minimum(mu, nu)),
        lambda mu, nu: common(nu, mu),
        lambda mu, nu: common(mu, nu).flatten(),
        lambda mu, nu: common(mu, nu) + 1e-3,
        lambda mu, nu: common(mu, nu) if (mu != nu).any() else torch.full((4, 4), math.nan),
        lambda mu, nu: (
            torch.diag(torch.minimum(mu, nu))
            + torch.outer((mu - nu).clamp_min(0), (nu - mu).clamp_min(0))
        ),  # not divided
        lambda mu, nu: torch.diag(torch.minimum(mu, nu)) + torch.outer(mu - nu, nu - mu),
        lambda mu, nu: torch.diag(mu) + torch.outer(mu, nu - mu),  # an entry is negative
    ],
    "4.6": [
        (WEAK, NEAR),
        (NEAR, NEAR),
        (NEAR,),
        (NEAR, (agree(0.6), OPPOSITE, OPPOSITE)),  # 0.0201 nats
        (NEAR, (agree(0.57), OPPOSITE, OPPOSITE)),  # I_W is 0.14
        (NEAR, (agree(0.585), [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])),
        (NEAR, (agree(0.585), [[2.0, 0.0], [-2.0, 0.0]], OPPOSITE)),  # no unit vectors
        ((torch.eye(4) / 4, fan(4, 0.01), fan(4, 0.01)), WEAK),  # log 4 nats
        ((torch.eye(5) / 5, fan(5, 0.1), fan(5, 0.1)), WEAK),  # too far apart
        ((torch.eye(5), fan(5, 0.01), fan(5, 0.01)), WEAK),  # sums to 5
        ((torch.eye(5) / 5, fan(5, 0.01), fan(4, 0.01)), WEAK),
        ((torch.eye(5) / 5, fan(5, 0.0), 0 * fan(5, 0.01)), WEAK),
        ((torch.eye(9) / 9, fan(9, 0.01), fan(9, 0.01)), WEAK),  # too large
        (NEAR, (torch.full((2, 2), math.nan), OPPOSITE, OPPOSITE)),
    ],
}
