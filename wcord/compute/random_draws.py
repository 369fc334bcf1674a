"""Distributions that a training step draws from, by `Batch.draw(purpose, distribution)`.

Distributions are hashable, and equal if their parameters are equal, because a step that is
replayed as a CUDA graph looks up its draws by (purpose, distribution).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Distribution = Callable[[torch.Generator], Tensor]  # generator -> sample, both on the CPU


@dataclass(frozen=True)
class Integers:
    """`count` integers, uniform on 0 ... high - 1, with replacement: (count,) int64."""

    high: int
    count: int

    def __call__(self, generator: torch.Generator) -> Tensor:
        return torch.randint(self.high, (self.count,), generator=generator, device=generator.device)


@dataclass(frozen=True)
class Permutation:
    """A uniform permutation of 0 ... size - 1: (size,) int64."""

    size: int

    def __call__(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(self.size, generator=generator, device=generator.device)


@dataclass(frozen=True)
class WrongPairs:
    """A partner for every row; a share `broken` of the rows gets a wrong partner: (size,) int64.

    round(broken * size) rows are drawn at random. Each of them gets the partner of the one drawn
    before it (the first gets that of the last), so none keeps its own. If the number is 1, two rows
    are drawn where size allows, because a single row would keep its partner.
    """

    size: int
    broken: float

    def __call__(self, generator: torch.Generator) -> Tensor:
        count = round(self.broken * self.size)
        if count == 1:
            count = min(2, self.size)
        device = generator.device  # not the default device
        rows = torch.randperm(self.size, generator=generator, device=device)[:count]
        partners = torch.arange(self.size, device=device)
        partners[rows] = rows.roll(1)
        return partners
