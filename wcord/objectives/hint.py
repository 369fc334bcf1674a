"""The hint of FitNets, on penultimate features."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, FirstPass, Shapes, Term, TermSettings


class HintSettings(TermSettings):
    """Settings of `hint`; the weight is chosen on held-out digits (results/weights.md)."""

    weight: float = Field(2.0, ge=0, description="factor of this term in the total")


class Hint(Term):
    """Mean squared error of a linear regression from student to teacher features.

        L = 1/(n D) sum over i of ||W h_S,i + b - h_T,i / r||^2
        r^2 = mean ||h_T||^2 / D

    D is the length of teacher features and r the root mean square of their entries over the
    training set. So targets are of order 1, and the same weight suits every teacher.

    Source: Romero et al. (2015), "FitNets: hints for thin deep nets", eq. 3, with a linear
    regressor, the features before the classifier, and the mean in place of half the sum. The
    paper gives no weight for a joint objective. RepDistiller compares the unscaled maps of the
    second stage, with convolution, batch normalisation and ReLU as regressor, at weight 100.
    """

    Settings = HintSettings
    name: ClassVar[str] = "hint"
    scale: Tensor

    def __init__(self, settings: HintSettings, shapes: Shapes, seed: int) -> None:
        super().__init__(settings, shapes, seed)
        self.regress = nn.Linear(shapes.student_dim, shapes.teacher_dim)
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def fill_banks(self, first_pass: FirstPass) -> None:
        """Measure r, the root mean square of the entries of teacher features."""
        total, count = torch.zeros_like(self.scale), 0
        for batch in first_pass():
            total += batch.teacher.features.square().sum()
            count += batch.teacher.features.numel()
        self.scale.copy_((total / max(count, 1)).sqrt().clamp_min(1e-12))

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        target = teacher.features / self.scale  # (n, D), entries of order 1
        return F.mse_loss(self.regress(student.features), target)
