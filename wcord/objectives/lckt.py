"""Local contrastive knowledge transfer (LCKT): the primal form of the Wasserstein distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from wcord import transport
from wcord.compute import ranks
from wcord.compute.random_draws import Permutation
from wcord.models.output import Output
from wcord.objectives.partner_masses import partner_masses
from wcord.objectives.term import Batch, Shapes, Term, TermSettings

COSTS = {
    "cosine": transport.cosine_cost,
    "squared_euclidean": transport.squared_euclidean_cost,
}


class LCKTSettings(TermSettings):
    """Settings of `lckt`; the paper's weight (about 0.05), epsilon and cost are unconfirmed."""

    weight: float = Field(0.05, ge=0, description="factor of this term in the total (lambda 2)")
    plan: Literal["sinkhorn", "ipot", "exact", "identity", "uniform", "shuffled"] = Field(
        "sinkhorn", description="how teacher and student samples are matched"
    )
    epsilon: float = Field(0.05, ge=1e-3, description="entropic regularisation, units of cost")
    iterations: int = Field(50, ge=1, description="iterations of sinkhorn or ipot")
    beta: float = Field(1.0, gt=0, description="proximal step of ipot; bias as of beta/iterations")
    inner: int = Field(1, ge=1, description="projections of rows and columns in a step of ipot")
    gradient: Literal["envelope", "unrolled"] = Field(
        "envelope", description="of the objective (plan fixed), or through the iterations"
    )
    debias: bool = Field(False, description="subtract half the cost of each side with itself")
    cost: Literal["cosine", "squared_euclidean"] = Field("cosine", description="ground cost")
    over: Literal["batch", "rank"] = Field(
        "batch", description="under torchrun: one plan of the whole batch, or one of each rank"
    )
    share: bool = Field(True, description="use the embeddings of gckt or crd where there are any")
    teacher_side: Literal["fixed", "trained"] = Field(
        "fixed", description="whether gradients move the teacher's projection"
    )
    dim: int = Field(128, ge=1, description="length of own projections, where both are trained")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.debias and self.plan not in ("sinkhorn", "ipot"):
            raise ValueError(
                f"debias is for entropic plans: set plan to 'sinkhorn' or 'ipot', not {self.plan!r}"
            )
        if self.inner != 1 and self.plan != "ipot":
            raise ValueError(f"inner is for plan 'ipot': set inner to 1 for {self.plan!r}")
        if self.gradient == "unrolled" and self.plan != "sinkhorn":
            raise ValueError(
                "gradient 'unrolled' is for plan 'sinkhorn': set it to 'envelope' "
                f"for {self.plan!r}"
            )
        return self


class LCKT(Term):
    """Minimise the cost of moving teacher features onto student features inside a batch.

        L = ⟨P, C⟩,   C_ij = 1 - cos(z_T,i, z_S,j)
        P of the chosen plan, with marginals 1/n

        sinkhorn:  P = argmin of ⟨P, C⟩ - ε H(P),   H(P) = -sum P log P
                   ε = `epsilon`
        ipot:      P after J proximal steps of size `beta`, each with L
                   projections of rows and columns: near sinkhorn at
                   ε = beta / J, the same plan for large L
                   J = `iterations`,   L = `inner`
        exact:     P = argmin of ⟨P, C⟩
        identity:  P = I / n, the paired cost
        uniform:   P = 1 / n^2
        shuffled:  P = a random permutation over n, drawn in each step

    With `debias`, L is the Sinkhorn divergence OT(z_T, z_S) - OT(z_T, z_T) / 2 - OT(z_S, z_S) / 2,
    where OT is the minimum of ⟨P, C⟩ - ε H(P). Its minimum is 0, at student = teacher. The minimum
    of OT is elsewhere: training on OT shrinks the student's classes.

    Embeddings: with `share`, those of `gckt`, else of `crd`, if the arm has one of these terms.
    Otherwise the term has its own projections: z_S = W_S h_S + b_S, and z_T = h_T (teacher side
    "fixed"; W_S starts as the identity if features have equal length) or z_T = W_T h_T + b_T
    ("trained"). Used alone, the term does not depend on which samples are paired, and if both
    sides are trained, they collapse.

    Differentiation: with "envelope", P is held fixed. This is the gradient of the objective OT, so
    that training minimises OT, while L = ⟨P, C⟩ is returned and logged. "unrolled" goes through
    all iterations and gives the gradient of ⟨P, C⟩. For exact, identity, uniform and shuffled, and
    with `debias`, training minimises L itself.

    Logged for sinkhorn, ipot and exact: `marginal_error`, the L1 error of the plan's rows. With
    wrong pairs within the batch also `true_partner_mass` and `wrong_partner_mass`, for a plan of
    the whole batch: of a sample with a wrong partner, the share of its mass in the plan that lies
    on its true partner and on the wrong one (mean over these samples).

    Source: Chen et al. (2021), "Wasserstein contrastive representation distillation"; Cuturi
    (2013); Xie et al. (2018) for ipot; Feydy et al. (2019), eq. 3, for `debias`.
    """

    Settings = LCKTSettings
    name: ClassVar[str] = "lckt"

    def __init__(self, settings: LCKTSettings, shapes: Shapes, seed: int) -> None:
        super().__init__(settings, shapes, seed)
        fixed = settings.teacher_side == "fixed"
        dim = shapes.teacher_dim if fixed else settings.dim
        self.project_student = nn.Linear(shapes.student_dim, dim)
        self.project_teacher = nn.Identity() if fixed else nn.Linear(shapes.teacher_dim, dim)
        if fixed and shapes.student_dim == shapes.teacher_dim:
            nn.init.eye_(self.project_student.weight)
            nn.init.zeros_(self.project_student.bias)

    def embed(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """Return the term's own projections of both sides, (n, dim) each."""
        return self.project_teacher(teacher), self.project_student(student)

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        if self.settings.share and "embeddings" in shared:
            z_t, z_s = shared["embeddings"]
        else:
            z_t, z_s = self.embed(teacher.features, student.features)
        if self.settings.teacher_side == "fixed":
            z_t = z_t.detach()
        if self.settings.over == "batch" or ranks.size() == 1:
            return self._cost(batch, z_t, z_s)
        sides = zip(z_t.chunk(ranks.size()), z_s.chunk(ranks.size()), strict=True)
        return torch.stack([self._cost(batch, t, s) for t, s in sides]).mean()

    def _cost(self, batch: Batch, z_t: Tensor, z_s: Tensor) -> Tensor:
        """Return L of embeddings (n, dim) of a batch, or of one rank's part of it."""
        cost = COSTS[self.settings.cost]
        if self.settings.plan in SOLVERS:
            solved = self._solve(cost(z_t, z_s))
            self.logs["marginal_error"] = solved.marginal_error.detach()
            if batch.teacher_row is not None and len(batch.teacher_row) == len(z_t):
                names = ("true_partner_mass", "wrong_partner_mass")
                masses = partner_masses(solved.plan.detach(), batch.teacher_row)
                self.logs |= dict(zip(names, masses, strict=True))
            if not self.settings.debias:
                return solved.value
            within_t, within_s = (self._solve(cost(z, z)).objective for z in (z_t, z_s))
            return solved.objective - (within_t + within_s) / 2
        return PLANS[self.settings.plan](cost(z_t, z_s), batch)

    @property
    def capture_obstacle(self) -> str | None:
        """Why a step cannot be replayed as a CUDA graph: the exact plan is solved on the CPU."""
        exact = self.settings.plan == "exact"
        return "lckt solves its plan 'exact' on the CPU in every step" if exact else None

    def _solve(self, cost: Tensor) -> transport.Transport:
        return SOLVERS[self.settings.plan](cost, self.settings)


def _sinkhorn(cost: Tensor, settings: LCKTSettings) -> transport.Transport:
    return transport.sinkhorn(
        cost,
        settings.epsilon,
        iterations=settings.iterations,
        gradient=settings.gradient,
        validate=False,
    )


def _ipot(cost: Tensor, settings: LCKTSettings) -> transport.Transport:
    return transport.ipot(
        cost,
        settings.beta,
        iterations=settings.iterations,
        inner=settings.inner,
        validate=False,
    )


def _exact(cost: Tensor, settings: LCKTSettings) -> transport.Transport:
    return transport.exact(cost)


def _identity(cost: Tensor, batch: Batch) -> Tensor:
    return cost.diagonal().mean()


def _uniform(cost: Tensor, batch: Batch) -> Tensor:
    return cost.mean()


def _shuffled(cost: Tensor, batch: Batch) -> Tensor:
    permutation = batch.draw("lckt-shuffle", Permutation(len(cost)))
    return cost.gather(1, permutation[:, None]).mean()


SOLVERS: dict[str, Callable[[Tensor, LCKTSettings], transport.Transport]] = {
    "sinkhorn": _sinkhorn,
    "ipot": _ipot,
    "exact": _exact,
}
PLANS: dict[str, Callable[[Tensor, Batch], Tensor]] = {
    "identity": _identity,
    "uniform": _uniform,
    "shuffled": _shuffled,
}
