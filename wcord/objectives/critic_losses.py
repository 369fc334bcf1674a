"""The losses of a critic, as functions of its scores: wasserstein, nce and infonce.

Each row belongs to an anchor: the score phi+ of its positive and the scores phi- of its negatives.
`allowed` marks the negatives of a row that count (None: all), and M is their number. The bounds
of mutual information hold for expectations, with negatives from the product of the marginals; the
values returned are estimates from one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

DIAMETER = 4.0  # of the set of pairs of unit vectors, under ||t - t'|| + ||s - s'||


@dataclass(frozen=True)
class Scores:
    """Critic scores of n anchors: positive (n,), negative (n, k), allowed (n, k) or None."""

    positive: Tensor
    negative: Tensor
    allowed: Tensor | None = None

    def __truediv__(self, temperature: float) -> Scores:
        """Return the scores divided by a temperature."""
        if temperature == 1:
            return self
        return Scores(self.positive / temperature, self.negative / temperature, self.allowed)

    @cached_property
    def count(self) -> Tensor:
        """M of each row, (n,), at least 1."""
        if self.allowed is None:
            return self.positive.new_full(self.positive.shape, self.negative.shape[1])
        return self.allowed.sum(1).clamp_min(1).to(self.positive.dtype)

    def masked(self, value: float) -> Tensor:
        """Return the negatives with `value` where they do not count, (n, k)."""
        if self.allowed is None:
            return self.negative
        return self.negative.masked_fill(~self.allowed, value)


class Form(NamedTuple):
    """The loss of one direction, and its lower bound of mutual information in nats."""

    loss: Tensor
    bound: Tensor


def difference(scores: Scores) -> Tensor:
    """Return E_joint[phi] - E_product[phi] in units of phi, negatives averaged for each anchor."""
    product = scores.masked(0.0).sum(1) / scores.count  # (n,)
    return (scores.positive - product).mean()


def wasserstein(scores: Scores, log_c: Tensor | None, lipschitz: float, summed: bool) -> Form:
    """Return minus the Kantorovich-Rubinstein value as the loss.

        L = -(E_joint[phi] - E_product[phi]) / lipschitz

    in units of the ground distance d (0 to 4), so that temperature does not change it. With
    `summed` the negatives are added and not averaged: E_joint - M E_product. This is not the dual
    of a distance, because it changes with phi + const. It exists because the paper may use this
    sum.

    The bound is 2 (value / D)^2, with D = 4 the diameter. It holds where `lipschitz` is a Lipschitz
    constant of phi: the value is at most I_W, and I >= 2 (I_W / D)^2 (transport-entropy), both in
    expectation. For two unit vectors s and s' drawn independently from one distribution,
    I_W <= E||s - s'|| <= sqrt(2). So the bound is at most 1/4 nat in expectation; an estimate from
    a batch may exceed it.
    """
    value = difference(scores) / lipschitz
    loss = -value
    if summed:
        loss = -(scores.positive - scores.masked(0.0).sum(1)).mean() / lipschitz
    return Form(loss, 2 * (value.detach().clamp_min(0) / DIAMETER).square())


def nce(scores: Scores, log_c: Tensor | None, lipschitz: float, summed: bool) -> Form:
    """Return the loss of noise-contrastive estimation with the normaliser zeta.

        q = e^phi / (e^phi + M zeta)
        L = mean over anchors of  -log q+ - sum over M of log(1 - q-)

    The bound is I >= log M + E_joint log q + M E_product log(1 - q) = log M - L. It is often
    negative. For the optimal critic it equals I - E_joint log(1 + r/M) - E_product M log(1 + r/M),
    with r the density ratio, and tends to I - 1 as M grows.

    Source: Tian, Krishnan and Isola (2020), "Contrastive representation distillation".
    """
    if log_c is None:
        raise ValueError("the form 'nce' needs its normaliser")
    log_mc = scores.count.log() + log_c  # (n,)
    # -log q = softplus(log M zeta - phi),  -log(1 - q) = softplus(phi - log M zeta)
    negatives = F.softplus(scores.negative - log_mc[:, None])
    if scores.allowed is not None:
        negatives = negatives.masked_fill(~scores.allowed, 0.0)
    loss = (F.softplus(log_mc - scores.positive) + negatives.sum(1)).mean()
    return Form(loss, scores.count.log().mean() - loss.detach())


def infonce(scores: Scores, log_c: Tensor | None, lipschitz: float, summed: bool) -> Form:
    """Return the loss of InfoNCE, with the positive inside the mean.

        L = -mean over anchors of  phi+ - log mean of e^phi over the M + 1 scores

    -L is a lower bound of mutual information, and at most log(M + 1). Without the positive in the
    mean it would not be a bound.

    Source: van den Oord, Li and Vinyals (2018), "Representation learning with contrastive
    predictive coding", eq. 4; Poole et al. (2019), "On variational bounds of mutual information".
    """
    all_scores = torch.cat([scores.positive[:, None], scores.masked(-math.inf)], 1)  # (n, 1 + k)
    log_mean = all_scores.logsumexp(1) - (scores.count + 1).log()  # (n,)
    loss = -(scores.positive - log_mean).mean()
    return Form(loss, -loss.detach())


FORMS: dict[str, Callable[[Scores, Tensor | None, float, bool], Form]] = {
    "wasserstein": wasserstein,
    "nce": nce,
    "infonce": infonce,
}
