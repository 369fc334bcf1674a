"""The objective of an arm: the weighted sum of its loss terms."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wcord.compute.seeds import seed_of
from wcord.models.output import Output
from wcord.objectives.needs import unmet_need
from wcord.objectives.registry import TERMS
from wcord.objectives.term import Batch, FirstPass, Shapes, Term, TermSettings


class Objective(nn.Module):
    """The objective of one arm.

        total = sum over terms of weight * L_term

    A term of weight 0 is computed and logged, but has no gradient. Everything that training
    changes is in `state_dict`. Initial weights and draws depend only on the seed and on the
    names of terms, so the numbers of a term do not depend on other terms or other arms.

    Args:
        settings: settings of each term, by its name in `TERMS`.
        shapes: sizes of the task.
        seed: the run's seed.

    Raises:
        ValueError: an unknown term, or a term that needs more than the networks offer.
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
                if problem := unmet_need(term, settings[name], shapes):
                    raise ValueError(problem)
                with torch.random.fork_rng(devices=[]):
                    torch.default_generator.manual_seed(seed_of(seed, name))  # not those of GPUs
                    terms[name] = term(settings[name], shapes, seed)
        self.settings = {name: settings[name] for name in terms}
        self.terms = nn.ModuleDict(terms)
        self.weights = {name: settings[name].weight for name in terms}
        self.needs_maps = any(term.needs_maps for term in terms.values())

    def __iter__(self) -> Iterator[Term]:
        """Iterate over the terms, in the order of evaluation."""
        for term in self.terms.values():
            assert isinstance(term, Term)
            yield term

    def forward(
        self, batch: Batch, teacher: Output, student: Output
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total and each term's unweighted loss, computed in float32 or wider."""
        shared: dict[str, Any] = {}
        losses: dict[str, Tensor] = {}
        with torch.autocast(student.features.device.type, enabled=False):
            teacher, student = teacher.detach().at_least_float32(), student.at_least_float32()
            total = student.features.new_zeros(())
            for name, term in self.terms.items():
                loss = term(batch, teacher, student, shared)
                losses[name] = loss
                if self.weights[name] > 0:
                    total = total + self.weights[name] * loss
        return total, losses

    def precompute(self, batch: Batch) -> None:
        """Compute the parts of all losses that need no network output (see `Term.precompute`)."""
        with torch.autocast(batch.index.device.type, enabled=False):
            for term in self:
                term.precompute(batch)

    def fill_banks(self, first_pass: FirstPass) -> None:
        """Fill the banks of all terms, before the first step (see `Term.fill_banks`)."""
        for term in self:
            term.fill_banks(first_pass)

    def update(self) -> None:
        """Write the banks of all terms, after the optimizer's step."""
        for term in self:
            term.update()

    def embed(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the embeddings (n, dim) of gckt, else crd, else lckt; None without these."""
        term = self._first("gckt", "crd", "lckt")
        return term.embed(teacher, student) if term else None

    @property
    def critic(self) -> nn.Module | None:
        """The critic of gckt, else crd, else None."""
        term = self._first("gckt", "crd")
        return term.critic if term else None

    @property
    def logs(self) -> dict[str, Tensor]:
        """Detached scalars of the last forward pass, as `term.name`."""
        return {f"{term.name}.{key}": value for term in self for key, value in term.logs.items()}

    @property
    def capture_obstacle(self) -> str | None:
        """Why a step cannot be replayed as a CUDA graph (first reason); None where it can."""
        return next(filter(None, (term.capture_obstacle for term in self)), None)

    def _first(self, *names: str) -> Term | None:
        """Return the first of these terms that the objective has."""
        terms = dict(zip(self.terms, self, strict=True))
        return next((terms[name] for name in names if name in terms), None)
