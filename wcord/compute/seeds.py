"""Randomness as a pure function: the seed of every draw is a hash of what the draw is for.

Nothing is ever drawn from a shared stream, so an arm's numbers do not depend on its
neighbours, a resumed run needs no saved generator states, and the cells of a sweep are equal
on one machine and on many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

Recipe = Callable[[torch.Generator], Tensor]  # makes numbers on the CPU; hashable, equal when alike


def seed_of(seed: int, purpose: str, *position: int) -> int:
    """Return the 63-bit seed of one draw.

    seed_of(s, purpose, p1, ...) = blake2b(s, purpose, p1, ...) mod 2^63

    Args:
        seed: the run's seed.
        purpose: what the draw is for ("order", "augment", "gckt-negatives", ...), never the
            name or place of an arm.
        position: epoch or step, where the draw repeats.

    >>> seed_of(0, "order", 3) == seed_of(0, "order", 3) != seed_of(0, "order", 4)
    True
    """
    words = "/".join([str(seed), purpose, *map(str, position)])
    digest = hashlib.blake2b(words.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


_refused: ContextVar[bool] = ContextVar("_refused", default=False)


@contextmanager
def forbid_drawing() -> Iterator[None]:
    """Refuse `generator` inside: what is drawn while a step is captured would never change."""
    token = _refused.set(True)
    try:
        yield
    finally:
        _refused.reset(token)


def generator(seed: int, purpose: str, *position: int) -> torch.Generator:
    """Return a CPU generator that stands at the start of one draw (see `seed_of`).

    Raises:
        RuntimeError: inside `forbid_drawing`.
    """
    if _refused.get():
        raise RuntimeError(f"{purpose!r} is drawn by a generator: take it from Batch.draw")
    return torch.Generator().manual_seed(seed_of(seed, purpose, *position))


@dataclass(frozen=True)
class Integers:
    """Recipe for `count` integers, uniform on 0 ... high - 1, with replacement: (count,) int64."""

    high: int
    count: int

    def __call__(self, stream: torch.Generator) -> Tensor:
        return torch.randint(self.high, (self.count,), generator=stream)


@dataclass(frozen=True)
class Permutation:
    """Recipe for a random order of `size` places: (size,) int64."""

    size: int

    def __call__(self, stream: torch.Generator) -> Tensor:
        return torch.randperm(self.size, generator=stream)


@dataclass(frozen=True)
class WrongPairs:
    """Recipe for pairs of which a share is wrong: (size,) int64, row i is paired with place[i].

    round(broken * size) rows are chosen at random and each gets the place of the next one chosen,
    in a circle, so that none of them keeps its own. A single row cannot be exchanged with another:
    then two are, unless there is only one.
    """

    size: int
    broken: float

    def __call__(self, stream: torch.Generator) -> Tensor:
        count = round(self.broken * self.size)
        if count == 1:
            count = min(2, self.size)
        chosen = torch.randperm(self.size, generator=stream)[:count]
        place = torch.arange(self.size)
        place[chosen] = chosen.roll(1)
        return place
