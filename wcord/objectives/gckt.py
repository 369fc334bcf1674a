"""Global contrastive knowledge transfer (GCKT): the dual form of the Wasserstein distance."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wcord.critic import Critic, DotCritic, JointCritic
from wcord.objectives.contrastive import Contrastive
from wcord.objectives.negatives import NegativeSampler
from wcord.objectives.term import Shapes, TermSettings

MOST_JOINT = 256  # negatives of a joint critic, which stores `width` numbers for every pair


class GCKTSettings(TermSettings):
    """Settings of `gckt`.

    The default weight of 5 was tried with the form `wasserstein`; 0.8 suits `nce` and `infonce`.
    The paper's weight and form are unconfirmed.
    """

    weight: float = Field(
        5.0,
        ge=0,
        description="factor of this term in the total (lambda 1)",
        json_schema_extra={"suited": {"form": {"wasserstein": 5.0, "nce": 0.8, "infonce": 0.8}}},
    )
    form: Literal["wasserstein", "nce", "infonce"] = Field(
        "wasserstein", description="loss of the critic's scores"
    )
    critic: Literal["dot", "joint"] = Field("dot", description="bilinear, or a small network")
    normalise: Literal["before", "after"] = Field(
        "before", description="unit length before the projection, or after it as crd does"
    )
    dim: int = Field(128, ge=1, description="length of the embeddings of the dot critic")
    width: int = Field(64, ge=2, multiple_of=2, description="hidden units of the joint critic")
    depth: int = Field(2, ge=1, description="hidden layers of the joint critic")
    temperature: float = Field(0.07, gt=0, description="tau; without effect under wasserstein")
    negatives: Literal["any", "other_class"] = Field(
        "any", description="any other sample, or one of another class"
    )
    negatives_count: int | None = Field(
        None, ge=1, description="M; null takes all (256 for the joint critic)"
    )
    normaliser: Literal["moving_average", "first_batch"] = Field(
        "moving_average", description="how nce's normaliser zeta is measured"
    )
    scale: Literal["mean", "sum"] = Field(
        "mean", description="sum adds wasserstein's negatives up instead of averaging them"
    )
    bank_momentum: float = Field(0.5, ge=0, lt=1, description="share of the old embedding kept")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.scale == "sum" and self.form != "wasserstein":
            raise ValueError(f"scale 'sum' is for form 'wasserstein': remove it from {self.form!r}")
        if self.critic == "joint":
            if self.normalise == "after":
                raise ValueError("a joint critic has no projection: set normalise to 'before'")
            if (self.negatives_count or 0) > MOST_JOINT:
                raise ValueError(
                    f"a joint critic takes at most {MOST_JOINT} negatives: lower negatives_count "
                    f"from {self.negatives_count} or set critic to 'dot'"
                )
        return self


class GCKT(Contrastive):
    """Maximise the dependence between teacher and student features, measured by a critic phi.

        wasserstein:  L = -tau (E_joint[phi] - E_product[phi])
        nce:          L = -log q+ - sum over M of log(1 - q-)
                      q = e^phi / (e^phi + M zeta)
        infonce:      L = -(phi+ - log mean of e^phi over the M + 1 scores)

    Each is a mean over anchors, summed over both directions: student anchors train the student's
    side, teacher anchors the teacher's projection. phi is `DotCritic`, or `JointCritic` over tau.

    With `normalise` "before", phi is (1/tau)-Lipschitz on pairs of unit features. So `wasserstein`
    is a Kantorovich-Rubinstein value in units of d = ||t - t'|| + ||s - s'||, and does not change
    with tau. With "after" (projections with biases, then unit length), phi has no Lipschitz bound;
    `nce` with "after", `other_class` and `first_batch` is CRD.

    Logged: `difference` = E_joint[phi] - E_product[phi] in units of phi (times tau: in units of d);
    `normaliser_student` and `normaliser_teacher` (zeta, of `nce`); `bound`, an estimate from batch
    and bank of the form's lower bound of mutual information, in nats. `bound` is absent for
    `wasserstein` with "after". With `other_class`, `bound` is not a valid bound, because the
    negatives are not drawn from the product.

    Source: Chen et al. (2021), "Wasserstein contrastive representation distillation" (which form
    and weight it uses is unconfirmed); Ozair et al. (2019), "Wasserstein dependency measure for
    representation learning".
    """

    Settings = GCKTSettings
    name: ClassVar[str] = "gckt"

    @classmethod
    def classes_needed_by(cls, settings: Any) -> str | None:
        """Return the setting that needs classes: negatives of other classes."""
        return "gckt with negatives 'other_class'" if settings.negatives == "other_class" else None

    def __init__(self, settings: GCKTSettings, shapes: Shapes, seed: int) -> None:
        joint = settings.critic == "joint"
        sizes = (shapes.teacher_dim, shapes.student_dim)
        groups = max(shapes.teacher_classes, shapes.student_classes)
        count = settings.negatives_count or (MOST_JOINT if joint else None)
        super().__init__(
            settings,
            shapes,
            seed,
            critic=_critic(settings, sizes),
            embedding_dims=sizes if joint else (settings.dim, settings.dim),
            form=settings.form,
            lipschitz=1 / settings.temperature,
            normaliser=settings.normaliser,
            negatives=NegativeSampler(
                shapes.samples, groups, settings.negatives, count, shared=joint
            ),
            normalise_bank=settings.normalise == "after",
            temperature=settings.temperature if joint else 1.0,
            summed=settings.scale == "sum",
            has_bound=settings.form != "wasserstein" or settings.normalise == "before",
        )


def _critic(settings: GCKTSettings, sizes: tuple[int, int]) -> Critic:
    if settings.critic == "joint":
        return JointCritic(*sizes, settings.width, settings.depth, normalise="before")
    return DotCritic(*sizes, settings.dim, settings.temperature, settings.normalise)
