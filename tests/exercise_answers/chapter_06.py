"""Answers to the exercises of chapter 6."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wcord.bank import FeatureBank
from wcord.transport import cosine_cost

# ------------------------------------------------------------------------------------- 6.1


def written(bank: Tensor, index: Tensor, z: Tensor, momentum: float) -> Tensor:
    new = bank.clone()
    new[index] = momentum * bank[index] + (1 - momentum) * z
    return new


def row_by_row(bank: Tensor, index: Tensor, z: Tensor, momentum: float) -> list[list[float]]:
    rows = bank.tolist()
    for place, i in enumerate(index.tolist()):
        old, new = bank[i], z[place]
        rows[i] = (old + (1 - momentum) * (new - old)).tolist()
    return rows


def in_place(bank: Tensor, index: Tensor, z: Tensor, momentum: float) -> Tensor:
    bank[index] = momentum * bank[index] + (1 - momentum) * z
    return bank


def by_wcord(bank: Tensor, index: Tensor, z: Tensor, momentum: float) -> Tensor:
    own = FeatureBank(len(bank), bank.shape[1], momentum).double()
    own.embeddings.copy_(bank)
    own.write(index, z)
    return own.embeddings


def to_all(bank: Tensor, index: Tensor, z: Tensor, momentum: float) -> Tensor:
    return momentum * bank + (1 - momentum) * z.mean(0)


# ------------------------------------------------------------------------------------- 6.2


def cosines(x: Tensor, y: Tensor) -> Tensor:
    return F.normalize(x, dim=1) @ F.normalize(y, dim=1).T


def gradients(P: Tensor, t: Tensor, s: Tensor, W_T: Tensor, W_S: Tensor) -> Any:
    cost = 1 - cosines((t @ W_T.T).detach(), s @ W_S.T)
    return torch.autograd.grad((P * cost).sum(), (W_S, W_T), allow_unused=True)


@torch.no_grad()
def by_hand(P: Tensor, t: Tensor, s: Tensor, W_T: Tensor, W_S: Tensor) -> tuple[Tensor, Tensor]:
    z_T, z_S = t @ W_T.T, s @ W_S.T
    unit_T = z_T / z_T.norm(dim=1, keepdim=True)
    length = z_S.norm(dim=1, keepdim=True)
    unit_S = z_S / length
    pull = -P.T @ unit_T  # at the unit embeddings
    at_z = (pull - (pull * unit_S).sum(1, keepdim=True) * unit_S) / length
    return at_z.T @ s, torch.zeros_like(W_T)


def of_both(P: Tensor, t: Tensor, s: Tensor, W_T: Tensor, W_S: Tensor) -> Any:
    return torch.autograd.grad((P * (1 - cosines(t @ W_T.T, s @ W_S.T))).sum(), (W_S, W_T))


def unnormalised(P: Tensor, t: Tensor, s: Tensor, W_T: Tensor, W_S: Tensor) -> Any:
    cost = 1 - (t @ W_T.T).detach() @ (s @ W_S.T).T
    return torch.autograd.grad((P * cost).sum(), W_S)[0], None


def borrowed(P: Tensor, t: Tensor, s: Tensor, W_T: Tensor, W_S: Tensor) -> Any:
    cost = cosine_cost((t @ W_T.T).detach(), s @ W_S.T)
    return torch.autograd.grad((P * cost).sum(), W_S)[0], None


# ------------------------------------------------------------------------------------- 6.3


def pull(z_S: Tensor, bank: Tensor, index: Tensor) -> Tensor:
    positive = bank[index]
    others = (bank.sum(0) - positive) / (len(bank) - 1)
    return (others - positive) / len(z_S)


def of_tape(z_S: Tensor, bank: Tensor, index: Tensor) -> Tensor:
    leaf = z_S.clone().requires_grad_(True)
    phi = leaf @ bank.T / 0.07
    positive = phi.gather(1, index[:, None])[:, 0]
    negative = (phi.sum(1) - positive) / (phi.shape[1] - 1)
    return torch.autograd.grad(-0.07 * (positive - negative).mean(), leaf)[0]


# ------------------------------------------------------------------------------------- 6.4


def adam(
    weight: Tensor,
    gradients: Tensor,
    rate: float,
    decay: float,
    corrected: bool = True,
    decoupled: bool = False,
    root: bool = True,
) -> Tensor:
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for k, given in enumerate(gradients, 1):
        gradient = given if decoupled else given + decay * weight
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        up, down = (first / (1 - 0.9**k), second / (1 - 0.999**k)) if corrected else (first, second)
        if decoupled:
            weight = weight - rate * decay * weight
        weight = weight - rate * up / ((down.sqrt() if root else down) + 1e-8)
    return weight


def in_numpy(weight: Tensor, gradients: Tensor, rate: float, decay: float) -> Any:
    w, first, second = weight.numpy(), np.zeros(weight.shape), np.zeros(weight.shape)
    for k in range(len(gradients)):
        g = gradients[k].numpy() + decay * w
        first += 0.1 * (g - first)
        second += 0.001 * (g * g - second)
        w = w - rate * (first / (1 - 0.9 ** (k + 1))) / (
            np.sqrt(second / (1 - 0.999 ** (k + 1))) + 1e-8
        )
    return w


# ------------------------------------------------------------------------------------- 6.5

UNIT = torch.eye(8, 9).double()
HALF = 0.5 * UNIT
ASIDE = 0.8 * torch.eye(9).double()[8]
ROLLED = HALF.roll(1, dims=0)
DRAWN = F.normalize(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), dim=1)
WIDE = torch.cat([DRAWN.double(), torch.zeros(20, 1).double()], 1)
WIDE_ASIDE = 0.3 * WIDE + 0.95 * torch.eye(5).double()[4]

RIGHT: dict[str, list[Any]] = {
    "6.1": [
        written,
        row_by_row,
        lambda bank, index, z, m: bank.index_copy(0, index, torch.lerp(z, bank[index], m)),
    ],
    "6.2": [gradients, by_hand, lambda *given: (by_hand(*given)[0], None)],
    "6.3": [pull, of_tape],
    "6.4": [adam, in_numpy],
    "6.5": [
        (UNIT, HALF, HALF + ASIDE, ROLLED),
        (UNIT, HALF, HALF + ASIDE, 0.02 * UNIT),  # LCKT does not see lengths either
        (WIDE, 0.3 * WIDE, WIDE_ASIDE, (0.3 * WIDE).flip(0)),
    ],
}
WRONG: dict[str, list[Any]] = {
    "6.1": [
        torch.zeros(6, 2),
        in_place,
        by_wcord,
        to_all,
        lambda bank, index, z, m: written(bank, index, z, 1 - m),
        lambda bank, index, z, m: written(bank, index, z, 0.5),
        lambda bank, index, z, m: written(bank, index, z, 0.0),
        lambda bank, index, z, m: written(bank, torch.arange(len(z)), z, m),
        lambda bank, index, z, m: written(bank, index, F.normalize(z, dim=1), m),
        lambda bank, index, z, m: written(bank, index, z, m)[index],
        lambda bank, index, z, m: bank.clone(),
        lambda bank, index, z, m: written(bank, index, z, m) + 1e-4,
        lambda bank, index, z, m: F.normalize(written(bank, index, z, m), dim=1),
    ],
    "6.2": [
        (True, True, False, False),
        of_both,
        unnormalised,
        borrowed,
        lambda *given: (None, None),
        lambda *given: (-gradients(*given)[0], None),
        lambda *given: gradients(*given)[::-1],
        lambda *given: (gradients(*given)[0].T, None),
        lambda *given: (gradients(*given)[0] / len(given[0]), None),
        lambda P, t, s, W_T, W_S: gradients(torch.eye(len(P)) / len(P), t, s, W_T, W_S),
        lambda P, t, s, W_T, W_S: gradients(P.T, t, s, W_T, W_S),
        lambda P, t, s, W_T, W_S: gradients(torch.ones_like(P) / P.numel(), t, s, W_T, W_S),
        lambda *given: gradients(*given)[0],
    ],
    "6.3": [
        torch.zeros(3, 2),
        lambda z, bank, index: -pull(z, bank, index),
        lambda z, bank, index: len(z) * pull(z, bank, index),
        lambda z, bank, index: pull(z, bank, index) / 0.07,
        lambda z, bank, index: -bank[index] / len(z),
        lambda z, bank, index: (bank.mean(0) - bank[index]) / len(z),
        lambda z, bank, index: (bank.sum(0) / (len(bank) - 1) - bank[index]) / len(z),
        lambda z, bank, index: pull(z, bank, torch.arange(len(z))),
        lambda z, bank, index: pull(z, bank, index) * z,
        lambda z, bank, index: pull(z, bank, index).sum(0),
        lambda z, bank, index: (z - bank[index]) / len(z),
        lambda z, bank, index: pull(z, bank, index) * len(z) / len(bank),
        lambda z, bank, index: 2 * pull(z, bank, index),
    ],
    "6.4": [
        0.003,
        lambda w, g, rate, decay: w - rate * g.sum(0),
        lambda w, g, rate, decay: w - rate * g.sign().sum(0),
        lambda w, g, rate, decay: adam(w, g, rate, 0.0),
        lambda w, g, rate, decay: adam(w, g, rate, 1e-4),
        lambda w, g, rate, decay: adam(w, g, 0.003, decay),
        lambda w, g, rate, decay: adam(w, g, rate, decay, corrected=False),
        lambda w, g, rate, decay: adam(w, g, rate, decay, decoupled=True),
        lambda w, g, rate, decay: adam(w, g, rate, decay, root=False),
        lambda w, g, rate, decay: adam(w, g[:1], rate, decay),
        lambda w, g, rate, decay: adam(w, g.flip(0), rate, decay),
        lambda w, g, rate, decay: adam(w, -g, rate, decay),
        lambda w, g, rate, decay: adam(w, g, rate, decay).flatten()[0],
        lambda w, g, rate, decay: adam(w, g.mean(0, keepdim=True), rate, decay),
    ],
    "6.5": [
        (UNIT, HALF, HALF + ASIDE),
        (UNIT, HALF, ROLLED, HALF + ASIDE),  # the other way round
        (UNIT, HALF, HALF, HALF),  # nothing changes
        (UNIT, HALF, HALF + ASIDE, HALF),
        (UNIT, HALF, HALF + 0.1 * ASIDE, ROLLED),  # LCKT changes by too little
        (UNIT, HALF, HALF + 2 * ASIDE, ROLLED),  # longer than 1
        (UNIT, 0 * HALF, 0 * HALF + ASIDE, ROLLED),
        (UNIT[:7], HALF[:7], HALF[:7] + ASIDE, HALF[:7].roll(1, dims=0)),  # too few
        (UNIT, HALF, HALF + ASIDE, HALF[:, :8]),
        (UNIT, HALF, 0.9 * HALF + ASIDE, ROLLED),  # GCKT changes
        (UNIT, HALF, HALF + ASIDE, 0.9 * HALF),  # LCKT stays, GCKT by a tenth only
        (UNIT, HALF, torch.full((8, 9), torch.nan), ROLLED),
        (UNIT, UNIT.roll(1, dims=0), UNIT.roll(2, dims=0), UNIT),
    ],
}
