"""Variational information distillation (VID)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Shapes, Term, TermSettings

FIRST_VARIANCE, LEAST_VARIANCE = 5.0, 1e-5


class VIDSettings(TermSettings):
    """Settings of `vid`; the weight is RepDistiller's."""

    weight: float = Field(1.0, ge=0, description="factor of this term in the total")


class VID(Term):
    """Bound mutual information from below by a Gaussian q(t | s) with learnt mean and variances.

        L = mean over samples and channels c of
            log s_c^2 / 2 + (t_c - mu_c(s))^2 / (2 s_c^2)
        s_c^2 = softplus(a_c) + 1e-5

    on penultimate features, with mu linear. -D L, with D the number of channels, is a lower bound
    of mutual information up to the teacher's entropy and a constant. RepDistiller sums such terms
    over the stage maps, with three 1 x 1 convolutions (ReLU in between) as mu.

    Source: Ahn et al. (2019), "Variational information distillation for knowledge transfer"
    (Gaussian with learnt variances).
    """

    Settings = VIDSettings
    name: ClassVar[str] = "vid"

    def __init__(self, settings: VIDSettings, shapes: Shapes, seed: int) -> None:
        super().__init__(settings, shapes, seed)
        self.regress = nn.Linear(shapes.student_dim, shapes.teacher_dim)
        initial = math.log(math.expm1(FIRST_VARIANCE - LEAST_VARIANCE))
        self.spread = nn.Parameter(torch.full((shapes.teacher_dim,), initial))

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        variance = F.softplus(self.spread) + LEAST_VARIANCE  # (teacher_dim,)
        error = (teacher.features - self.regress(student.features)).square()
        return (variance.log() + error / variance).mean() / 2
