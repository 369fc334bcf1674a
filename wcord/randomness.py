"""Randomness as a pure function: the seed of every draw is a hash of what the draw is for.

Nothing is ever drawn from a shared stream, so an arm's numbers do not depend on its
neighbours, a resumed run needs no saved generator states, and the cells of a sweep are equal
on one machine and on many.
"""

from __future__ import annotations

import hashlib

import torch


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


def generator(seed: int, purpose: str, *position: int) -> torch.Generator:
    """Return a CPU generator that stands at the start of one draw (see `seed_of`)."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, *position))
