"""The normaliser zeta = E_product[e^phi] of the form `nce`; each direction has one.

Without zeta, the loss lowers all scores, those of positives too: at a temperature of 0.07 the mean
q of random negatives is 0.5 for independent directions in 64 dimensions, and was 0.7 for
trained features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from wcord.objectives.critic_losses import Scores


class Normaliser(nn.Module):
    """An estimate of log zeta from the scores of the batches, without gradients.

        moving_average:  zeta <- 0.9 zeta + 0.1 mean e^phi over the batch's negatives
        first_batch:     zeta = mean e^phi over positives and negatives of the first
                         batch, then fixed

    The published code of CRD uses `first_batch`; its Z is N zeta. `forward` returns the value to
    use, and `update` stores it, after the optimizer's step.

    Args:
        kind: "moving_average" or "first_batch".
        momentum: share of the old value in the moving average.
    """

    log_c: Tensor

    def __init__(self, kind: str, momentum: float = 0.9) -> None:
        super().__init__()
        self.kind, self.momentum = kind, momentum
        self.register_buffer("log_c", torch.tensor(math.nan))  # NaN before the first batch
        self._next: Tensor | None = None

    @torch.no_grad()
    def forward(self, scores: Scores) -> Tensor:
        """Return log zeta for this batch's scores, a detached scalar."""
        count = scores.count.sum()
        log_sum = scores.masked(-math.inf).logsumexp((0, 1))  # of e^phi-
        if self.kind == "first_batch":
            log_sum = torch.logaddexp(log_sum, scores.positive.logsumexp(0))
            count = count + len(scores.positive)
        batch_log_c, next_log_c = log_sum - count.log(), self.log_c
        if self.kind == "moving_average":
            old_weight, new_weight = math.log(self.momentum), math.log(1 - self.momentum)
            next_log_c = torch.logaddexp(self.log_c + old_weight, batch_log_c + new_weight)
        self._next = torch.where(self.log_c.isnan(), batch_log_c, next_log_c)
        return self._next

    def update(self) -> None:
        """Store the value of the last forward pass, unless it overflowed."""
        if self._next is not None:
            self.log_c.copy_(torch.where(self._next < math.inf, self._next, self.log_c))
            self._next = None

    def discard(self) -> None:
        """Forget the value of the last forward pass."""
        self._next = None
