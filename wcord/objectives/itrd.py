"""Information-theoretic representation distillation (ITRD)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Shapes, Term, TermSettings


class ITRDSettings(TermSettings):
    """Settings of `itrd`; the defaults are those of the authors' command for WRN-40-2 to 16-2."""

    weight: float = Field(1.0, ge=0, description="factor of this term in the total")
    correlation: float = Field(2.0, ge=0, description="factor of the correlation part")
    mutual: float = Field(1.0, ge=0, description="factor of the mutual-information part")
    alpha: float = Field(1.01, gt=0, description="order of the correlation part")


class ITRD(Term):
    """Correlation of channels, and Rényi's mutual information of Gram matrices.

        L = b_corr log2 sum_v |c_v - 1|^(2 alpha)
            + b_mi (||G_S||_F^2 - ||G_ST||_F^2)

    c_v is (1 - 1/n) times the correlation over the batch between channel v of the teacher and of
    the linearly embedded student; the factor keeps the logarithm finite. G is the Gram matrix of
    unit features over its trace, G_ST the elementwise product of both Gram matrices over its
    trace. G_S uses the student's features, embedded only if their length differs from the
    teacher's. ||G||_F^2 = 2^(-S_2), with S_2 Rényi's entropy of order 2 in bits. All this is as in
    the authors' code, with one exception: a channel that is constant in the batch gives NaN
    there, and c_v = 0 here.

    Source: Miles, Lopez-Rodriguez and Mikolajczyk (2022), "Information theoretic representation
    distillation", and the authors' code (distiller_zoo/IT.py).
    """

    Settings = ITRDSettings
    name: ClassVar[str] = "itrd"

    def __init__(self, settings: ITRDSettings, shapes: Shapes, seed: int) -> None:
        super().__init__(settings, shapes, seed)
        self.project = nn.Linear(shapes.student_dim, shapes.teacher_dim)

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        z_t, embedded = teacher.features, self.project(student.features)  # (n, teacher_dim)
        c = (_standard(z_t) * _standard(embedded)).mean(0)  # (teacher_dim,)
        correlation = ((c - 1).square() ** self.settings.alpha).sum().log2()
        z_s = student.features if student.features.shape == z_t.shape else embedded
        gram_t, gram_s = (F.normalize(z, dim=1) @ F.normalize(z, dim=1).T for z in (z_t, z_s))
        mutual = _purity(gram_s) - _purity(gram_s * gram_t)
        return self.settings.correlation * correlation + self.settings.mutual * mutual


def _standard(z: Tensor) -> Tensor:
    """Return z with mean 0 and unbiased variance 1 in every channel, 0 if it is constant."""
    centred = z - z.mean(0)
    return centred / (centred.square().sum(0) / max(len(z) - 1, 1) + 1e-12).sqrt()


def _purity(gram: Tensor) -> Tensor:
    """Return ||G / tr G||_F^2."""
    # not torch.trace, whose derivative makes the host wait for the device
    return (gram / gram.diagonal().sum()).square().sum()
