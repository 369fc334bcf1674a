"""Relations between the samples of a batch: similarities, distances, angles, neighbours.

These terms never compare a teacher's feature with a student's, so their dimensions and label sets
may differ.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from wcord.models.output import Output
from wcord.objectives.term import Batch, Term, TermSettings

SMALLEST = 1e-6  # a shorter distance counts as 0, without direction and gradient
TINY = 1e-7  # added to probabilities before the logarithm


class SPSettings(TermSettings):
    """Settings of `sp`; the weight is the paper's."""

    weight: float = Field(3000.0, ge=0, description="factor of this term in the total")


class SP(Term):
    """Similarity-preserving distillation.

        L = 1/n^2 ||G_T - G_S||_F^2
        G = rows of F F' scaled to unit length,   F (n, d) features

    on penultimate features. The paper and RepDistiller use the maps of the last stage, flattened.

    Source: Tung and Mori (2019), "Similarity-preserving knowledge distillation".
    """

    Settings = SPSettings
    name: ClassVar[str] = "sp"

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        g_t, g_s = (F.normalize(f @ f.T, dim=1) for f in (teacher.features, student.features))
        return (g_t - g_s).square().mean()


class RKDSettings(TermSettings):
    """Settings of `rkd`; the factors are those of the authors' code for classification."""

    weight: float = Field(1.0, ge=0, description="factor of this term in the total")
    distance: float = Field(25.0, ge=0, description="factor of the part on distances")
    angle: float = Field(50.0, ge=0, description="factor of the part on angles")


class RKD(Term):
    """Relational knowledge distillation: distances of pairs, angles of triples.

        L = l_D mean over pairs of h(|x_i - x_j| / m)
            + l_A mean over triples of h(cos angle ijk)

    on penultimate features. h is the Huber loss between the teacher's and the student's value, m
    the mean distance of a pair in the batch, angle ijk the angle at x_j; means are over pairs and
    triples of distinct samples. The authors' code and RepDistiller divide by n^2 and n^3, because
    they also count pairs and triples in which a sample occurs twice, as 0. This makes their means
    1.6 % and 4.6 % smaller at n = 64. For classification the authors' code also scales features to
    unit length first.

    Source: Park et al. (2019), "Relational knowledge distillation", distance-wise and angle-wise
    losses.
    """

    Settings = RKDSettings
    name: ClassVar[str] = "rkd"

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        n = len(student.features)
        off_diagonal = ~torch.eye(n, dtype=torch.bool, device=student.features.device)
        distance_t, cosine_t = _geometry(teacher.features, off_diagonal)
        distance_s, cosine_s = _geometry(student.features, off_diagonal)
        pairs = F.smooth_l1_loss(distance_s, distance_t, reduction="none") * off_diagonal
        # (j, i, k): the angle at j between i and k, all distinct
        distinct = off_diagonal[:, :, None] & off_diagonal[:, None, :] & off_diagonal
        triples = F.smooth_l1_loss(cosine_s, cosine_t, reduction="none") * distinct
        loss = self.settings.distance * pairs.sum() / max(n * (n - 1), 1)
        return loss + self.settings.angle * triples.sum() / max(n * (n - 1) * (n - 2), 1)


def _geometry(x: Tensor, off_diagonal: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances (n, n) over their mean, and cosines (n, n, n) of the angles at j."""
    edges = x[None] - x[:, None]  # (j, i, d): from j to i
    length = edges.square().sum(-1).clamp_min(SMALLEST**2).sqrt()
    length = length * (off_diagonal & (length > SMALLEST))
    mean = length.sum() / off_diagonal.sum().clamp_min(1)
    unit = edges / length.clamp_min(SMALLEST)[..., None] * (length > SMALLEST)[..., None]
    return length / mean.clamp_min(SMALLEST), unit @ unit.mT


class PKTSettings(TermSettings):
    """Settings of `pkt`; the paper uses the loss alone, the weight is RepDistiller's."""

    weight: float = Field(30000.0, ge=0, description="factor of this term in the total")


class PKT(Term):
    """Probabilistic knowledge transfer: the probability that one sample is another's neighbour.

        p_j|i = K_ij / sum over k of K_ik,   K_ij = (cos(x_i, x_j) + 1) / 2
        L = 1/n^2 sum over i, j of
            p_j|i(T) log((p_j|i(T) + 1e-7) / (p_j|i(S) + 1e-7))

    on penultimate features. Sums include k = i and j = i, as in the authors' code and in
    RepDistiller; the paper's equations leave them out.

    Source: Passalis and Tefas (2018), "Learning deep representations with probabilistic knowledge
    transfer", with the cosine kernel, and the authors' code (nn/pkt.py).
    """

    Settings = PKTSettings
    name: ClassVar[str] = "pkt"

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        p_t, p_s = (_neighbourhood(output.features) for output in (teacher, student))
        return (p_t * ((p_t + TINY) / (p_s + TINY)).log()).mean()


def _neighbourhood(x: Tensor) -> Tensor:
    """Return p (n, n); each row is a probability distribution."""
    unit = F.normalize(x, dim=1, eps=SMALLEST)
    kernel = (unit @ unit.T + 1) / 2
    return kernel / kernel.sum(1, keepdim=True)
