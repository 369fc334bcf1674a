"""Distillation from a stronger teacher (DIST): correlations of predictions."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Term, TermSettings


class DISTSettings(TermSettings):
    """Settings of `dist`; factors are the authors' default, the temperature is unconfirmed."""

    weight: float = Field(1.0, ge=0, description="factor of this term in the total")
    inter: float = Field(1.0, ge=0, description="beta, factor of the part between classes")
    intra: float = Field(1.0, ge=0, description="gamma, factor of the part between samples")
    temperature: float = Field(4.0, gt=0, description="T, softens both sides")


class DIST(Term):
    """One minus Pearson's correlation of predictions, instead of their divergence.

        L = T^2 (beta mean over rows of (1 - r(Y_T[i, :], Y_S[i, :]))
                 + gamma mean over columns of (1 - r(Y_T[:, c], Y_S[:, c])))

    Y (n, classes) = softmax(logits / T), r Pearson's correlation: over the classes of each sample,
    and over the samples of each class. r does not change with the mean and the scale of a row or
    column. T^2 is from the released code.

    Source: Huang et al. (2022), "Knowledge distillation from a stronger teacher", inter- and
    intra-class relation.
    """

    Settings = DISTSettings
    name: ClassVar[str] = "dist"
    needs_logits: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = True

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        temperature = self.settings.temperature
        y_t, y_s = ((output.logits / temperature).softmax(1) for output in (teacher, student))
        inter = 1 - correlation(y_t, y_s).mean()
        intra = 1 - correlation(y_t.T, y_s.T).mean()
        return temperature**2 * (self.settings.inter * inter + self.settings.intra * intra)


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Return Pearson's correlation of x[i] and y[i] for every row i, (n,)."""
    x, y = (v - v.mean(1, keepdim=True) for v in (x, y))
    return F.cosine_similarity(x, y, dim=1)
