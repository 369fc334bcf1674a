"""What the contrastive terms share: critic, banks, negatives, two directions."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wcord.bank import FeatureBank
from wcord.critic import Critic, DotCritic
from wcord.models.output import Output
from wcord.objectives.dual_forms import FORMS, Scores, difference
from wcord.objectives.negatives import Choice, Negatives
from wcord.objectives.normalising_constant import Normaliser
from wcord.objectives.term import Batch, Passes, Shapes, Term

SIDES = ("student", "teacher")  # whose fresh embeddings are the anchors


class Means(NamedTuple):
    """Each anchor's mean negative among the teacher's and the student's embeddings, (n, dim)."""

    teacher: Tensor
    student: Tensor


class Contrastive(Term):
    """Train a critic to separate congruent from incongruent pairs, with anchors of both sides.

        L = L(student anchors, teacher bank) + L(teacher anchors, student bank)

    Each direction trains the side of its anchors; positives and negatives come from the bank of
    the other side, so that the critic cannot tell fresh from stale.

    Args:
        settings: needs `bank_momentum`.
        shapes: sizes of the task.
        seed: the run's seed.
        critic: scores pairs; fixed between two steps.
        dims: lengths of the critic's embeddings, teacher and student.
        form: a name in `FORMS`.
        lipschitz: K of the scores, by which `wasserstein` divides.
        temperature: divides scores of a critic that has no temperature of its own.
        normaliser: "moving_average" or "first_batch".
        negatives: the rule by which they are chosen.
        normalise_bank: keep bank rows at unit length.
        summed: add negatives up instead of averaging (`wasserstein`).
        certified: whether the form's bound of mutual information holds, and so is logged.
    """

    critic: Critic

    def __init__(
        self,
        settings: Any,
        shapes: Shapes,
        seed: int,
        *,
        critic: Critic,
        dims: tuple[int, int],
        form: str,
        lipschitz: float,
        normaliser: str,
        negatives: Negatives,
        normalise_bank: bool,
        temperature: float = 1.0,
        summed: bool = False,
        certified: bool = True,
    ) -> None:
        super().__init__(settings, shapes, seed)
        self.critic = critic
        self.form, self.lipschitz, self.temperature = form, lipschitz, temperature
        self.summed, self.certified = summed, certified
        self.negatives = negatives
        self.normalisers = nn.ModuleDict({side: Normaliser(normaliser) for side in SIDES})
        bank = (settings.bank_momentum, normalise_bank)
        self.teacher_bank = FeatureBank(shapes.samples, dims[0], *bank)
        self.student_bank = FeatureBank(shapes.samples, dims[1], *bank)
        self._seen: tuple[Tensor, ...] | None = None
        self._chosen: Choice | Means | None = None

    @torch.no_grad()
    def fill_banks(self, passes: Passes) -> None:
        """Centre the critic on real features, then fill the banks with their embeddings."""
        teacher = torch.zeros_like(self.critic.teacher_mean)
        student, count = torch.zeros_like(self.critic.student_mean), 0
        indices, groups = [], []
        for primer in passes():
            teacher = teacher + primer.teacher.features.sum(0)
            student = student + primer.student.features.sum(0)
            count += len(primer.index)
            indices.append(primer.index)
            groups.append(primer.group)
        self.negatives.observe(torch.cat(indices), torch.cat(groups))
        self.critic.observe((teacher / count)[None], (student / count)[None], momentum=1)
        for primer in passes():
            z_t, z_s = self.embed(primer.teacher.features, primer.student.features)
            self.teacher_bank.fill(primer.index, z_t)
            self.student_bank.fill(primer.index, z_s)

    def embed(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """Return z_t (n, dim) and z_s (n, dim)."""
        return self.critic.embed_teacher(teacher), self.critic.embed_student(student)

    def precompute(self, batch: Batch) -> None:
        """Compute the critic's matrices and choose the negatives, which wait for no feature."""
        self.critic.precompute()
        self._chosen = self._choose(batch)

    def _choose(self, batch: Batch) -> Choice | Means:
        """Return the negatives of a batch, or only their means where these say all."""
        purpose = f"{self.name}-negatives"
        if not self.averages:
            return self.negatives.choose(batch, purpose)
        drawn = self.negatives.draw(batch, purpose)
        banks = (self.teacher_bank, self.student_bank)
        return Means(*(bank.mean_of_others(batch.index, drawn) for bank in banks))

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        z_t, z_s = self.embed(teacher.features, student.features)
        if z_t.shape == z_s.shape:  # a joint critic's may differ: then lckt uses its own
            shared["embeddings"] = (z_t, z_s)
        self._seen = tuple(
            t.detach() for t in (batch.index, z_t, z_s, teacher.features, student.features)
        )
        forms, differences = [], []
        for side, scores in self.contrasts(batch, z_t, z_s).items():
            log_c = None
            if self.form == "nce":
                log_c = self.normalisers[side](scores)
                self.logs[f"normaliser_{side}"] = log_c.exp()
            forms.append(FORMS[self.form](scores, log_c, self.lipschitz, self.summed))
            differences.append(difference(scores).detach())
        self.logs["difference"] = torch.stack(differences).mean()
        if self.certified:
            self.logs["bound"] = torch.stack([form.bound for form in forms]).mean()
        return forms[0].loss + forms[1].loss

    def contrasts(self, batch: Batch, z_t: Tensor, z_s: Tensor) -> dict[str, Scores]:
        """Return the scores of student anchors and of teacher anchors, over temperature."""
        of_teacher, of_student = self.teacher_bank, self.student_bank
        positives = (
            self.critic.aligned(of_teacher.rows(batch.index), z_s),
            self.critic.aligned(z_t, of_student.rows(batch.index)),
        )
        choice = self._chosen or self._choose(batch)
        if isinstance(choice, Means):
            negatives = (
                self.critic.aligned(choice.teacher, z_s),
                self.critic.aligned(z_t, choice.student),
            )
            by_student, by_teacher = (
                Scores(g, h[:, None]) for g, h in zip(positives, negatives, strict=True)
            )
        else:
            by_student = choice.scores(
                positives[0], lambda rows: self.critic.pair_student(z_s, of_teacher.rows(rows))
            )
            by_teacher = choice.scores(
                positives[1], lambda rows: self.critic.pair(z_t, of_student.rows(rows))
            )
        return {"student": by_student / self.temperature, "teacher": by_teacher / self.temperature}

    @property
    def averages(self) -> bool:
        """Whether the mean negative says all: E_product of a bilinear g over shared negatives."""
        linear = isinstance(self.critic, DotCritic) and self.form == "wasserstein"
        return linear and self.negatives.kind == "any" and not self.summed

    def update(self) -> None:
        """Write the banks, move the centres and keep the normalisers, after the step."""
        if self._seen is None:
            return
        self._chosen = None
        index, z_t, z_s, teacher, student = self._seen
        self.teacher_bank.write(index, z_t)
        self.student_bank.write(index, z_s)
        self.critic.observe(teacher, student)
        for normaliser in self.normalisers.values():
            normaliser.update()  # type: ignore[operator]
        self._seen = None
