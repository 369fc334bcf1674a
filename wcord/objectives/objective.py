"""The loss terms there are, and the objective of an arm: their weighted sum."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wcord.compute.seeds import seed_of
from wcord.models.output import Output
from wcord.objectives.registry import TERMS
from wcord.objectives.term import Batch, Passes, Shapes, Term, TermSettings


class Objective(nn.Module):
    """The objective of one arm.

        total = sum over terms of weight * L_term

    A term of weight 0 is evaluated and reported, and moves nothing. Everything that training
    changes is in `state_dict`. Construction and every draw depend on the seed and on names of
    terms alone, so an arm's numbers do not depend on its neighbours or on its other terms.

    Args:
        settings: of each term, by its name in `TERMS`.
        shapes: sizes of the task.
        seed: the run's seed.

    Raises:
        ValueError: an unknown term, or one that the task does not allow.
    """

    def __init__(self, settings: Mapping[str, TermSettings], shapes: Shapes, seed: int) -> None:
        super().__init__()
        for name in settings:
            if name not in TERMS:
                near = difflib.get_close_matches(name, TERMS, n=1, cutoff=0)
                raise ValueError(f"there is no term {name!r}: did you mean {near[0]!r}?")
        terms = {}
        for name, term in TERMS.items():
            if name in settings:
                _refuse(name, term, shapes)
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed_of(seed, name))
                    terms[name] = term(settings[name], shapes, seed)
        self.settings = {name: settings[name] for name in terms}
        self.terms = nn.ModuleDict(terms)
        self.weights = {name: settings[name].weight for name in terms}
        self.needs_maps = any(term.needs_maps for term in terms.values())

    def forward(
        self, batch: Batch, teacher: Output, student: Output
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total and each term's unweighted loss, computed in float32 or wider."""
        shared: dict[str, Any] = {}
        losses: dict[str, Tensor] = {}
        with torch.autocast(student.features.device.type, enabled=False):
            teacher, student = _wide(teacher.detach()), _wide(student)
            total = student.features.new_zeros(())
            for name, term in self.terms.items():
                loss = term(batch, teacher, student, shared)
                losses[name] = loss
                if self.weights[name] > 0:
                    total = total + self.weights[name] * loss
        return total, losses

    def precompute(self, batch: Batch) -> None:
        """Let every term compute what it needs besides outputs (see `Term.precompute`)."""
        with torch.autocast(batch.index.device.type, enabled=False):
            for term in self.each():
                term.precompute(batch)

    def fill_banks(self, passes: Passes) -> None:
        """Show every term the features of the whole training set, before the first step."""
        for term in self.each():
            term.fill_banks(passes)

    def update(self) -> None:
        """Let every term write its banks, after the optimizer's step."""
        for term in self.each():
            term.update()

    def embed(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the embeddings (n, dim) of the most telling term; None where there are none."""
        for name in ("gckt", "crd", "lckt"):
            if name in self.terms:
                return self._term(name).embed(teacher, student)
        return None

    @property
    def critic(self) -> nn.Module | None:
        """gckt's critic, else crd's, else None."""
        for name in ("gckt", "crd"):
            if name in self.terms:
                return self._term(name).critic
        return None

    @property
    def logs(self) -> dict[str, Tensor]:
        """Detached scalars of the last forward pass, as `term.name`."""
        return {f"{t.name}.{key}": value for t in self.each() for key, value in t.logs.items()}

    def _term(self, name: str) -> Term:
        term = self.terms[name]
        assert isinstance(term, Term)
        return term

    def each(self) -> list[Term]:
        """Return the terms, in the order of evaluation."""
        return [self._term(name) for name in self.terms]


def _refuse(name: str, term: type[Term], shapes: Shapes) -> None:
    if term.needs_logits and not shapes.same_labels:
        raise ValueError(
            f"{name} compares logits, but teacher and student have different label sets: "
            f"remove {name} or use a term on features such as gckt, crd or hint"
        )
    if term.needs_maps and not (shapes.teacher_maps and shapes.student_maps):
        raise ValueError(
            f"{name} compares feature maps, but a network offers none: remove {name} or use a "
            "term on features such as gckt, crd or hint"
        )


def _wide(output: Output) -> Output:
    """Return half-precision outputs in float32; float32 and float64 as they are."""
    return output if output.features.dtype == torch.float64 else output.float()
