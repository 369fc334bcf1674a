"""The base class of gckt and crd: critic, banks, negatives, and the loss in both directions."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wcord.bank import FeatureBank
from wcord.critic import Critic, DotCritic
from wcord.models.output import Output
from wcord.objectives.critic_losses import FORMS, Scores, difference
from wcord.objectives.negatives import NegativeSampler, NegativeSet
from wcord.objectives.normalising_constant import Normaliser
from wcord.objectives.term import Batch, FirstPass, Shapes, Term

SIDES = ("student", "teacher")  # of the anchors, whose embeddings are those of this step


class MeanNegatives(NamedTuple):
    """The mean of each anchor's negatives in the teacher's and the student's bank, (n, dim)."""

    teacher: Tensor
    student: Tensor


class Contrastive(Term):
    """Train a critic to distinguish pairs of one sample from pairs of two samples.

        L = L(student anchors, teacher bank) + L(teacher anchors, student bank)

    Each direction trains the side of its anchors. Positives and negatives both come from the bank
    of the other side: otherwise the critic could distinguish them by their age alone.

    Args:
        settings: needs `bank_momentum`.
        shapes: sizes of the task.
        seed: the run's seed.
        critic: gives the score of a pair.
        embedding_dims: lengths of the critic's embeddings, teacher and student.
        form: a name in `FORMS`.
        lipschitz: Lipschitz constant of the scores, by which `wasserstein` divides.
        normaliser: "moving_average" or "first_batch".
        negatives: draws the negatives.
        normalise_bank: keep bank rows at unit length.
        temperature: divides the scores of a critic that has no temperature itself.
        summed: add negatives up instead of averaging (`wasserstein`).
        has_bound: whether the form's bound of mutual information holds; it is then logged.
    """

    critic: Critic

    def __init__(
        self,
        settings: Any,
        shapes: Shapes,
        seed: int,
        *,
        critic: Critic,
        embedding_dims: tuple[int, int],
        form: str,
        lipschitz: float,
        normaliser: str,
        negatives: NegativeSampler,
        normalise_bank: bool,
        temperature: float = 1.0,
        summed: bool = False,
        has_bound: bool = True,
    ) -> None:
        super().__init__(settings, shapes, seed)
        self.critic = critic
        self.form, self.lipschitz, self.temperature = form, lipschitz, temperature
        self.summed, self.has_bound = summed, has_bound
        self.negatives = negatives
        self.normalisers = nn.ModuleDict({side: Normaliser(normaliser) for side in SIDES})
        teacher_dim, student_dim = embedding_dims
        bank_options = (settings.bank_momentum, normalise_bank)
        self.teacher_bank = FeatureBank(shapes.samples, teacher_dim, *bank_options)
        self.student_bank = FeatureBank(shapes.samples, student_dim, *bank_options)
        self._last: tuple[Tensor, ...] | None = None  # index, embeddings, means, for `update`
        self._precomputed: NegativeSet | MeanNegatives | None = None

    @torch.no_grad()
    def fill_banks(self, first_pass: FirstPass) -> None:
        """Set the critic's means to those of all features, then fill the banks with embeddings."""
        teacher_sum = torch.zeros_like(self.critic.teacher_mean)
        student_sum, count = torch.zeros_like(self.critic.student_mean), 0
        indices, groups = [], []
        for batch in first_pass():
            teacher_sum = teacher_sum + batch.teacher.features.sum(0)
            student_sum = student_sum + batch.student.features.sum(0)
            count += len(batch.index)
            indices.append(batch.index)
            groups.append(batch.group)
        self.negatives.set_groups(torch.cat(indices), torch.cat(groups))
        self.critic.observe((teacher_sum / count)[None], (student_sum / count)[None], momentum=1)
        for batch in first_pass():
            z_t, z_s = self.embed(batch.teacher.features, batch.student.features)
            self.teacher_bank.fill(batch.index, z_t)
            self.student_bank.fill(batch.index, z_s)

    def embed(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """Return z_t (n, dim) and z_s (n, dim)."""
        return self.critic.embed_teacher(teacher), self.critic.embed_student(student)

    def precompute(self, batch: Batch) -> None:
        """Compute the critic's matrices and draw the negatives."""
        self.critic.precompute()
        self._precomputed = self._draw_negatives(batch)

    def _draw_negatives(self, batch: Batch) -> NegativeSet | MeanNegatives:
        """Return the negatives of a batch, or only their means if `mean_suffices`."""
        purpose = f"{self.name}-negatives"
        if not self.mean_suffices:
            return self.negatives.draw(batch, purpose)
        rows = self.negatives.draw_shared_rows(batch, purpose)
        banks = (self.teacher_bank, self.student_bank)
        return MeanNegatives(*(bank.mean_of_others(batch.index, rows) for bank in banks))

    def forward(
        self, batch: Batch, teacher: Output, student: Output, shared: dict[str, Any]
    ) -> Tensor:
        z_t, z_s = self.embed(teacher.features, student.features)
        if z_t.shape == z_s.shape:  # otherwise lckt uses its own projections
            shared["embeddings"] = (z_t, z_s)
        # means and not features, which the caller may change in place before `update`
        means = (teacher.features.mean(0, keepdim=True), student.features.mean(0, keepdim=True))
        self._last = tuple(values.detach() for values in (batch.index, z_t, z_s, *means))
        forms, differences = [], []
        for side, scores in self.scores(batch, z_t, z_s).items():
            log_c = None
            if self.form == "nce":
                log_c = self.normalisers[side](scores)
                self.logs[f"normaliser_{side}"] = log_c.exp()
            forms.append(FORMS[self.form](scores, log_c, self.lipschitz, self.summed))
            differences.append(difference(scores).detach())
        self.logs["difference"] = torch.stack(differences).mean()
        if self.has_bound:
            self.logs["bound"] = torch.stack([form.bound for form in forms]).mean()
        return forms[0].loss + forms[1].loss

    def scores(self, batch: Batch, z_t: Tensor, z_s: Tensor) -> dict[str, Scores]:
        """Return the scores of the student's and of the teacher's anchors, over temperature."""
        critic, teacher_bank, student_bank = self.critic, self.teacher_bank, self.student_bank
        positive_s = critic.aligned(teacher_bank.rows(batch.index), z_s)  # (n,)
        positive_t = critic.aligned(z_t, student_bank.rows(batch.index))  # (n,)
        negatives = self._precomputed or self._draw_negatives(batch)
        if isinstance(negatives, MeanNegatives):
            scores_s = Scores(positive_s, critic.aligned(negatives.teacher, z_s)[:, None])
            scores_t = Scores(positive_t, critic.aligned(z_t, negatives.student)[:, None])
        else:
            scores_s = negatives.scores(
                positive_s, lambda rows: critic.pair_student(z_s, teacher_bank.rows(rows))
            )
            scores_t = negatives.scores(
                positive_t, lambda rows: critic.pair(z_t, student_bank.rows(rows))
            )
        return {"student": scores_s / self.temperature, "teacher": scores_t / self.temperature}

    def teacher_embeddings(self) -> tuple[Tensor, Tensor] | None:
        """Return the teacher's embeddings of the last step and the bank's rows of its samples.

        Both are (n, dim), and of before the write; None if there was no step.
        """
        if self._last is None:
            return None
        index, z_t, *_ = self._last
        return z_t, self.teacher_bank.rows(index)

    @property
    def mean_suffices(self) -> bool:
        """Whether the negatives' mean is enough: a mean of a bilinear phi, shared negatives."""
        linear = isinstance(self.critic, DotCritic) and self.form == "wasserstein"
        return linear and self.negatives.kind == "any" and not self.summed

    def update(self) -> None:
        """Write the banks, the critic's means and the normalisers, after the optimizer's step."""
        if self._last is None:
            return
        self._precomputed = None
        index, z_t, z_s, teacher_mean, student_mean = self._last
        self.teacher_bank.write(index, z_t)
        self.student_bank.write(index, z_s)
        self.critic.observe(teacher_mean, student_mean)
        for normaliser in self.normalisers.values():
            normaliser.update()  # type: ignore[operator]
        self._last = None

    def discard(self) -> None:
        """Forget the embeddings, negatives and normalisers of the last forward pass."""
        self._last = self._precomputed = None
        for normaliser in self.normalisers.values():
            normaliser.discard()  # type: ignore[operator]
