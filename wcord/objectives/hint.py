"""The hint of FitNets, on the penultimate layer."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from wcord.objectives.term import Batch, Output, Passes, Shapes, Term, TermSettings


class HintSettings(TermSettings):
    """Settings of `hint`."""


class Hint(Term):
    """Squared distance of regressed student features to the teacher's.

        L = 1/(2n) sum over i of ||W h_S,i + b - h_T,i / r||^2,   r = mean ||h_T||

    r is the mean length of teacher features over the training set, so that the weight means the
    same for every teacher.

    Source: Romero et al. (2015), "FitNets: hints for thin deep nets", eq. 3, with a linear
    regressor and the features before the classifier.
    """

    Settings = HintSettings
    name: ClassVar[str] = "hint"
    length: Tensor

    def __init__(self, settings: HintSettings, shapes: Shapes, seed: int) -> None:
        super().__init__(settings, shapes, seed)
        self.regress = nn.Linear(shapes.student_dim, shapes.teacher_dim)
        self.register_buffer("length", torch.ones(()))

    @torch.no_grad()
    def prime(self, passes: Passes) -> None:
        """Measure r, the mean length of teacher features."""
        total, count = torch.zeros_like(self.length), 0
        for primer in passes():
            total += primer.teacher.features.norm(dim=-1).sum()
            count += len(primer.index)
        self.length.copy_(total / max(count, 1)).clamp_(min=1e-12)

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        error = self.regress(student.features) - teacher.features / self.length  # (n, teacher_dim)
        return error.square().sum(-1).mean() / 2
