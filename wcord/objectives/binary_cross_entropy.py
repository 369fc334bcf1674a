"""Binary cross-entropy of several labels a sample."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Term, TermSettings


class BCESettings(TermSettings):
    """Settings of `bce`."""


class BCE(Term):
    """Binary cross-entropy of each label, for several labels a sample.

        L = -1/(|A| K) sum over i in A, labels k of
            y_ik log p_ik + (1 - y_ik) log(1 - p_ik)

    p_ik = sigmoid(s_ik), y_ik is 0 or 1, and A are the samples whose labels may be used.

    Source: the negative log-likelihood of K independent Bernoulli variables; Bishop (2006),
    "Pattern recognition and machine learning", eq. 5.24, as a mean over samples and labels.
    """

    Settings = BCESettings
    name: ClassVar[str] = "bce"
    needs_teacher: ClassVar[bool] = False
    targets: ClassVar[str | None] = "multilabel"

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        label = batch.label.to(student.logits.dtype)
        losses = F.binary_cross_entropy_with_logits(student.logits, label, reduction="none").mean(1)
        return batch.mean_of_labelled(losses)
