"""A weighted sum of terms on features, as a module for any training loop."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wcord.bank import FeatureBank
from wcord.compute import ranks
from wcord.compute.memory_format import send
from wcord.losses.bank_check import BankCheck
from wcord.losses.build_objective import build_objective
from wcord.losses.first_pass import Needs, Source, chunks, read_features, read_labels
from wcord.losses.index_check import IndexCheck
from wcord.losses.loss_state import LossState
from wcord.losses.misuse import (
    LossError,
    LossWarning,
    check_features,
    check_labels,
    check_place,
    check_precision,
    integer,
    warn_of_unsuited,
)
from wcord.losses.optimizer_check import OptimizerCheck
from wcord.models.output import Output
from wcord.objectives.contrastive import Contrastive
from wcord.objectives.term import Batch, FirstPassBatch, Shapes, Term, TermSettings
from wcord.settings.term_settings import parse_terms

EVALUATIONS = 100  # calls in evaluation mode in a row that are reported

TermValue = float | Mapping[str, Any] | TermSettings | None


class FeatureLoss(LossState):
    """A weighted sum of terms that compare teacher and student features.

        loss(teacher, student, index) = sum over terms of weight * L_term

    It is the objective of `wcord`'s own training without its terms on labels and logits: with the
    same seed and the same batches it gives the same numbers. The order of use is

        loss.prime(...)     once, before the first step; fills the banks
        loss(...)           in every step; the total goes into backward
        optimizer.step()    of the parameters of the student and of the loss

    Banks and running means are written at the start of the next call, or when `state_dict` is
    called, so after the optimizer's step. Steps are counted; random draws depend on (seed, step)
    alone. In evaluation mode, and without gradients, a call writes and counts nothing. The losses
    are computed in float32 (or float64, if the module is), also under autocast.

    With `torch.distributed` the features of all ranks are gathered, and every rank computes the
    loss of the whole batch, so that banks and parameters stay equal on all ranks. Gradients are
    right where they are averaged over ranks, as DistributedDataParallel does for the student. The
    loss itself needs no wrapping.

    Args:
        teacher_dim: length of teacher features.
        student_dim: length of student features.
        terms: weight or settings of each term, by its name in `wcord.objectives.TERMS`:
            {"gckt": 5, "lckt": {"weight": 0.05, "epsilon": 0.1}}. Settings may be a number (the
            weight), a dictionary, or an instance of the term's `Settings`.
        samples: number N of training samples; needed by terms with a bank (gckt, crd).
        classes: number of classes; None: the largest label in `prime` plus 1. Only used with
            negatives of other classes (crd, and gckt with negatives "other_class").
        seed: seed of initial weights and of all draws.
        gather: whether to compute the loss of the features of all ranks.

    Attributes:
        logs: detached scalars of the last call: the unweighted loss of each term by its name, and
            what terms log as TERM.NAME, such as "gckt.difference".
        steps: number of training calls so far.
        primed: whether `prime` was called, or a state loaded that was.

    Raises:
        ValueError: an unknown term or setting, a term that does not compare features, a missing or
            wrong size; one line.
    """

    def __init__(
        self,
        teacher_dim: int,
        student_dim: int,
        terms: Mapping[str, TermValue],
        *,
        samples: int | None = None,
        classes: int | None = None,
        seed: int = 0,
        gather: bool = True,
    ) -> None:
        name = type(self).__name__
        teacher_dim = integer(teacher_dim, f"{name}: teacher_dim", 1)
        student_dim = integer(student_dim, f"{name}: student_dim", 1)
        try:
            settings = parse_terms(terms)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        warn_of_unsuited(settings, name)
        samples = None if samples is None else integer(samples, f"{name}: samples", 2)
        classes = None if classes is None else integer(classes, f"{name}: classes", 2)
        seed, groups = integer(seed, f"{name}: seed"), classes or 1
        shapes = Shapes(teacher_dim, student_dim, groups, groups, True, samples or 2)
        super().__init__(build_objective(settings, shapes, seed, name), seed)
        self.gather, self.classes = gather, classes
        self._evaluations = 0  # calls with gradients in evaluation mode, since the last step
        self.logs: dict[str, Tensor] = {}
        if self._banks and samples is None:
            with_bank = [term.name for term in self.objective if _has_bank(term)]
            raise ValueError(
                f"{name}: {' and '.join(with_bank)} keeps features of every training sample: "
                "give their number, samples=len(dataset)"
            )
        self._index = IndexCheck(name, samples if self._banks else None)
        self._bank_check = BankCheck(name, samples if self._banks and samples else 0)
        self._optimizer = OptimizerCheck(name)

    @property
    def needs_prime(self) -> bool:
        """Whether a term measures the training set before the first step (banks, scales)."""
        return any(type(term).fill_banks is not Term.fill_banks for term in self.objective)

    @property
    def needs_labels(self) -> bool:
        """Whether a term draws negatives of other classes, so that `prime` needs labels."""
        return any(sampler.kind == "other_class" for sampler in self._samplers)

    def prime(
        self,
        loader: Iterable[Any] | None = None,
        *,
        teacher: Source,
        student: Source,
        labels: Any = None,
        progress: bool = True,
    ) -> None:
        """Fill the banks and measure means and scales, with one pass over the training samples.

        Call it before the first step, with the student's initial weights and images that are not
        augmented. Modules are run in evaluation mode, without gradients, and get their modes back
        (a function of your own must do that itself). Features are collected in the CPU's memory,
        4 N (teacher_dim + student_dim) bytes in float32.

        Args:
            loader: gives batches (index, inputs, ...) or dictionaries with "index", and every
                sample once, in any order (`wcord.Indexed` adds the index to a data set). With
                several ranks, give every rank all samples. None if both sides are arrays. Inputs
                are moved to the module's device.
            teacher: a function from inputs to features (n, teacher_dim), such as
                `wcord.features(module)`; a module whose output they are, or its method; or an
                array (N, teacher_dim) with the features of all samples.
            student: the same for the student.
            labels: (N,) classes 0 ... K - 1 of all samples, where `needs_labels`; None: the third
                entry of the loader's batches, or their "labels" or "label".
            progress: whether to show a bar.

        Raises:
            ValueError: features that do not fit, are NaN, infinite or all equal; samples that are
                missing or given twice; labels that are needed and missing.
        """
        check_precision(self, self._name)
        device, dtype = self._place()
        found = read_features(
            loader,
            {"teacher": teacher, "student": student},
            Needs(
                self._name,
                dict(zip(("teacher", "student"), self._dims, strict=True)),
                self._index.samples,
                self.needs_labels and labels is None,
                dtype,
            ),
            progress,
        )
        group = torch.zeros(len(found.teacher), dtype=torch.long, device="cpu")
        if self.needs_labels:
            group = read_labels(labels, found, self.classes, self._name)

        def first_pass() -> Iterable[FirstPassBatch]:
            for part in chunks(len(group)):
                both = (found.teacher, found.student)
                sides = (_output(features[part].to(device)) for features in both)
                yield FirstPassBatch(part.to(device), group[part].to(device), *sides)

        if self.steps:
            warnings.warn(
                f"{self._name}: prime fills banks and scales again after {self.steps} steps: leave "
                "it out where training goes on from a loaded state",
                LossWarning,
                stacklevel=2,
            )
        self._forget()
        self._bank_check.restart()
        self.primed = False  # until all banks are filled
        with torch.inference_mode(False), torch.autocast(device.type, enabled=False):
            self._resize_groups(int(group.max()) + 1)
            self.objective.fill_banks(first_pass)
        self.primed = True

    def forward(
        self, teacher: Tensor, student: Tensor, index: Any = None, labels: Any = None
    ) -> Tensor:
        """Return the weighted sum of all terms, a scalar.

        Args:
            teacher: features (n, teacher_dim), without gradient; half precision is widened.
            student: features (n, student_dim), with gradient.
            index: (n,) the number of each sample in the training set, 0 ... N - 1; needed by terms
                with a bank. Best left on the CPU, where checking it costs no waiting.
            labels: (n,) classes; not needed. Where `needs_labels`, they are compared with those of
                `prime`, which finds a wrong index; on a GPU this waits for the device.

        Raises:
            ValueError: features, index or labels that do not fit.
            LossError: the loss is not primed; parameters that no optimizer changes.
        """
        training = self.training and torch.is_grad_enabled()
        rows, teacher, student = self._prepared(teacher, student, index, labels, training)
        total = self._total(rows, teacher, student)
        if training:
            self._check_bank()
            self._evaluations = 0
            self._remember(total)
        else:
            self._discard()
            self._count_evaluation(total)
        return total

    def _prepared(
        self, teacher: Tensor, student: Tensor, index: Any, labels: Any, training: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Check the arguments of a call, write what the last one left, and gather all ranks."""
        check_precision(self, self._name)
        check_place(self, self._name)
        device, dtype = self._place(student)
        check_features(teacher, student, self._dims, device, training, self._name)
        if self.needs_prime and not self.primed:
            raise LossError(
                f"{self._name} is not primed: call loss.prime(loader, teacher=..., student=...) "
                "once before the first step"
            )
        on_cpu = self._index.check(index, len(student))
        rows = send(on_cpu, device)
        if labels is not None and self.needs_labels:
            check_labels(labels, self._samplers[0].group[rows], self._name)
        self.flush()
        if training and not self._optimizer.passed:
            self._optimizer.check(self._trained_parameters())
        # a tensor of inference mode cannot be saved for the gradient of a projection; its clone can
        teacher = teacher.clone() if teacher.is_inference() else teacher
        student = student.clone() if student.is_inference() else student
        teacher, student = teacher.detach().to(dtype), student.to(dtype)
        if self.gather and ranks.size() > 1:
            rows, teacher, student = ranks.gather_rows(rows, teacher, student)
            if self._index.samples is not None:  # else nothing is counted, and no wait is needed
                on_cpu = rows.cpu()
                self._index.check_once(
                    on_cpu, "give every rank other samples, by DistributedSampler"
                )
        if training:
            self._index.count(on_cpu)
        return rows, teacher, student

    def _total(self, rows: Tensor, teacher: Tensor, student: Tensor) -> Tensor:
        none = torch.zeros_like(rows)
        batch = Batch(rows, none, none.bool(), none, self.steps, self.seed)
        total, losses = self.objective(batch, _output(teacher), _output(student))
        self.logs = {name: loss.detach() for name, loss in losses.items()} | self.objective.logs
        return total

    def _check_bank(self) -> None:
        """Compare the samples of the first steps with those that the banks were filled with."""
        for term in () if self._bank_check.passed else self.objective:
            if isinstance(term, Contrastive) and (embeddings := term.teacher_embeddings()):
                self._bank_check.check(*embeddings)
                return

    def _after_loading(self) -> None:
        self._bank_check.restart()
        if self.steps:
            self._index.end()

    def _count_evaluation(self, total: Tensor) -> None:
        """Warn where the loss is probably left in evaluation mode during training."""
        self._evaluations += total.requires_grad
        if self._evaluations == EVALUATIONS:
            warnings.warn(
                f"{self._name}: {EVALUATIONS} calls with gradients in evaluation mode, and none in "
                "training mode between them: banks and steps do not change. Call loss.train() "
                "before training, and validate under torch.no_grad()",
                LossWarning,
                stacklevel=5,  # the caller's step
            )

    def extra_repr(self) -> str:
        """Return weights and sizes, for printing."""
        weights = ", ".join(f"{term}={w:g}" for term, w in self.objective.weights.items())
        return f"{weights}, steps={self.steps}, primed={self.primed}"

    # -- parts -----------------------------------------------------------------------------

    @property
    def _dims(self) -> tuple[int, int]:
        shapes = next(iter(self.objective)).shapes
        return shapes.teacher_dim, shapes.student_dim

    def _place(self, features: Tensor | None = None) -> tuple[torch.device, torch.dtype]:
        """Return device and type of the loss; those of the features if it has no tensors."""
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.is_floating_point():
                return tensor.device, tensor.dtype
        if features is None:
            return torch.device("cpu"), torch.float32
        wide = features.dtype == torch.float64
        return features.device, torch.float64 if wide else torch.float32

    def _resize_groups(self, groups: int) -> None:
        for sampler in self._samplers:
            sampler.resize(max(groups, self.classes or 1))

    def _trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that an optimizer must change, by name."""
        weights = self.objective.weights
        return {
            f"{term.name}.{name}": parameter
            for term in self.objective
            for name, parameter in term.named_parameters()
            if parameter.requires_grad and weights[term.name] > 0
        }


def _output(features: Tensor) -> Output:
    return Output(features, features.new_zeros(len(features), 0))


def _has_bank(term: Term) -> bool:
    return any(isinstance(module, FeatureBank) for module in term.modules())
