"""Randomness as a pure function: the seed of every draw is a hash of its purpose and position.

Each draw has its own seed. So the results of an arm do not depend on the other arms, a resumed
run needs no saved generator states, and a sweep gives the same results on one machine and on many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch


def seed_of(seed: int, purpose: str, *position: int) -> int:
    """Return the 63-bit seed of one draw.

    seed_of(s, purpose, p1, ...) = blake2b(s, purpose, p1, ...) mod 2^63

    Args:
        seed: the run's seed.
        purpose: of the draw ("order", "augment", "gckt-negatives", ...), never the name or the
            position of an arm.
        position: epoch or step, for a draw that is repeated.

    >>> seed_of(0, "order", 3) == seed_of(0, "order", 3) != seed_of(0, "order", 4)
    True
    """
    words = "/".join([str(seed), purpose, *map(str, position)])
    digest = hashlib.blake2b(words.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


_forbidden: ContextVar[bool] = ContextVar("_forbidden", default=False)


@contextmanager
def forbid_drawing() -> Iterator[None]:
    """Forbid `generator` in the block: a CUDA graph would replay the numbers of its capture."""
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


def generator(seed: int, purpose: str, *position: int) -> torch.Generator:
    """Return a CPU generator with the seed of one draw (see `seed_of`).

    Raises:
        RuntimeError: inside `forbid_drawing`.
    """
    if _forbidden.get():
        raise RuntimeError(f"{purpose!r} is drawn by a generator: use Batch.draw instead")
    return torch.Generator().manual_seed(seed_of(seed, purpose, *position))
