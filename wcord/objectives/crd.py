"""Contrastive representation distillation (CRD)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from wcord.critic import DotCritic
from wcord.objectives.contrastive import Contrastive
from wcord.objectives.negatives import NegativeSampler
from wcord.objectives.term import Shapes, TermSettings


class CRDSettings(TermSettings):
    """Settings of `crd`; the defaults are those of the authors' code (RepDistiller)."""

    weight: float = Field(0.8, ge=0, description="factor of this term in the total")
    dim: int = Field(128, ge=1, description="length of the embeddings")
    temperature: float = Field(0.07, gt=0, description="tau of the scores")
    negatives_count: int | None = Field(
        16384, ge=1, description="M, drawn for each anchor; null takes all of other classes"
    )
    bank_momentum: float = Field(0.5, ge=0, lt=1, description="share of the old embedding kept")


class CRD(Contrastive):
    """Noise-contrastive estimation against a bank, negatives of other classes.

        P = e^phi / Z
        Z = N mean(e^phi) over the scores of the first batch, then fixed
        L = -1/n sum over anchors of
            log(P+ / (P+ + M/N)) + sum over M of log((M/N) / (P- + M/N))

    summed over both directions, phi = ⟨u(W_T h_T + b_T), u(W_S h_S + b_S)⟩ / tau,
    u(x) = x / ||x||.
    This is `gckt` with the form `nce`, the dot critic with `normalise` "after", and zeta = Z / N:
    the same function, given the same negatives and normaliser.

    Differences from the published code: the bank starts from real embeddings and not from noise
    and is written after the optimizer's step, M is at most the number of samples, no eps of 1e-7
    is needed, and the anchors of a batch shift one set of random numbers to draw their negatives,
    with replacement (there each anchor draws its own, without replacement).

    Source: Tian, Krishnan and Isola (2020), "Contrastive representation distillation"; the
    authors' code for Z and the negatives.
    """

    Settings = CRDSettings
    name: ClassVar[str] = "crd"
    needs_classes: ClassVar[bool] = True  # for negatives of other classes

    def __init__(self, settings: CRDSettings, shapes: Shapes, seed: int) -> None:
        groups = max(shapes.teacher_classes, shapes.student_classes)
        super().__init__(
            settings,
            shapes,
            seed,
            critic=DotCritic(
                shapes.teacher_dim,
                shapes.student_dim,
                settings.dim,
                settings.temperature,
                normalise="after",
            ),
            embedding_dims=(settings.dim, settings.dim),
            form="nce",
            lipschitz=1 / settings.temperature,
            normaliser="first_batch",
            negatives=NegativeSampler(
                shapes.samples, groups, "other_class", settings.negatives_count
            ),
            normalise_bank=True,
        )
