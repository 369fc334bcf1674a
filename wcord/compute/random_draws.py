"""Distributions that a training step draws from, by `Batch.draw(purpose, distribution)`.

A distribution is hashable and equal to another with the same parameters: a step that is replayed
as a CUDA graph finds its draws by (purpose, distribution).
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
        return torch.randint(self.high, (self.count,), generator=generator)


@dataclass(frozen=True)
class Permutation:
    """A uniform permutation of 0 ... size - 1: (size,) int64."""

    size: int

    def __call__(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(self.size, generator=generator)


@dataclass(frozen=True)
class WrongPairs:
    """A partner for every row, for a share `broken` of rows the wrong one: (size,) int64.

    round(broken * size) rows are drawn at random and exchange their partners in a circle, so that
    none of them keeps its own. Where this gives one row, two are drawn (if there are two), because
    a single row has nobody to exchange with.
    """

    size: int
    broken: float

    def __call__(self, generator: torch.Generator) -> Tensor:
        count = round(self.broken * self.size)
        if count == 1:
            count = min(2, self.size)
        rows = torch.randperm(self.size, generator=generator)[:count]
        partners = torch.arange(self.size)
        partners[rows] = rows.roll(1)
        return partners
