"""Cross-entropy on the labels that the student may use."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Term, TermSettings


class CrossEntropySettings(TermSettings):
    """Settings of `ce`."""


class CrossEntropy(Term):
    """Cross-entropy of labelled samples.

        L = 1/|A| sum over i in A of -log softmax(logits_i)[y_i]
        A = labelled samples

    In a batch without labels L is exactly 0, with zero gradient. Samples outside A may have any
    label, also −1 (none) or a label outside the student's classes.
    """

    Settings = CrossEntropySettings
    name: ClassVar[str] = "ce"
    needs_teacher: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = True
    targets: ClassVar[str | None] = "classes"

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        label = batch.label.where(batch.labelled, 0)
        losses = F.cross_entropy(student.logits, label, reduction="none")  # (n,)
        return batch.mean_of_labelled(losses)
