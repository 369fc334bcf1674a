"""The normaliser c = E_product[e^g] of the `nce` form, one a direction.

Without it the scores of all pairs are pushed down, the congruent ones included: at a temperature
of 0.07 the mean q of random negatives is 0.5 for independent directions in 64 dimensions, and
was 0.7 for trained features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from wcord.objectives.dual_forms import Scores


class Normaliser(nn.Module):
    """log c, estimated from scores that are there anyway, never differentiated.

        moving_average:  c <- 0.9 c + 0.1 mean e^g over the batch's negatives
        first_batch:     c = mean e^g over the first batch's positives and negatives, then frozen

    The second is what the published CRD code does, where it is called Z = N c. `forward` returns
    the value to use; `update` keeps it, after the optimizer's step.

    Args:
        kind: "moving_average" or "first_batch".
        keep: share of the old value in the moving average.
    """

    log_c: Tensor

    def __init__(self, kind: str, keep: float = 0.9) -> None:
        super().__init__()
        self.kind, self.keep = kind, keep
        self.register_buffer("log_c", torch.tensor(math.nan))  # NaN: nothing seen yet
        self._next: Tensor | None = None

    @torch.no_grad()
    def forward(self, scores: Scores) -> Tensor:
        """Return log c for this batch's scores, a detached scalar."""
        count = scores.count.sum()
        seen = scores.masked(-math.inf).logsumexp((0, 1))  # log of the sum of e^g-
        if self.kind == "first_batch":
            seen = torch.logaddexp(seen, scores.positive.logsumexp(0))
            count = count + len(scores.positive)
        now = seen - count.log()
        later = self.log_c
        if self.kind == "moving_average":
            later = torch.logaddexp(self.log_c + math.log(self.keep), now + math.log(1 - self.keep))
        self._next = torch.where(self.log_c.isnan(), now, later)
        return self._next

    def update(self) -> None:
        """Keep the value of the last forward pass."""
        if self._next is not None:
            self.log_c.copy_(self._next)
            self._next = None
