"""The parts that checks of exercises are made of.

A check is a function of an answer that returns "" where it is right, and else one sentence that
says what is wrong with it, without the answer. An answer must not pass by chance, by a function
that the course itself offers, or at one special value only: numbers are asked for with three
digits or in pairs, functions are tried on random input of several shapes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

Level = Literal["quick", "derive", "explore"]
Check = Callable[[Any], str]

ROUNDING = 1e-6  # relative; answers may be computed in float32
SOLVED = ("wcord", "lab", "ot", "geomloss")  # packages that solve the exercises


class Exercise(NamedTuple):
    """One exercise: its number, its level, its check, and its hints, from a nudge onwards."""

    number: str
    level: Level
    check: Check
    hints: tuple[str, ...]


class NotOwn(Exception):
    """A function of the course or of POT did the work."""

    def __init__(self, package: str) -> None:
        super().__init__(f"it calls {package}: write the function yourself")


def own(answer: Any, also: tuple[str, ...] = ()) -> Callable[..., Any]:
    """Return an answer as a function that fails where `wcord` or POT does its work.

    Args:
        answer: the reader's function.
        also: further packages that it must not call.

    Raises:
        TypeError: the answer is not a function.
    """
    if not callable(answer):
        raise TypeError("give a function (def or lambda)")

    def called(*arguments: Any, **named: Any) -> Any:
        used: list[str] = []

        def note(frame: FrameType, event: str, _: Any) -> None:
            package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if event == "call" and package in (*SOLVED, *also):
                used.append(package)

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            result = answer(*arguments, **named)
        finally:
            sys.setprofile(before)
        if used:
            raise NotOwn(used[0])
        return result

    return called


def numbers(number: str, digits: int, known: str) -> Check:
    """Return the check of a number or of several, compared with the hash of the solution.

    Args:
        number: of the exercise.
        digits: after the point.
        known: the hash that `fingerprint` returns for the solution.
    """

    def check(answer: Any) -> str:
        if fingerprint(number, answer, digits) == known:
            return ""
        return f"not yet (give {digits} digits after the point)"

    return check


def fingerprint(number: str, answer: Any, digits: int) -> str:
    """Return the hash of a number, or of several, rounded to `digits` after the point."""
    several = isinstance(answer, tuple | list) or getattr(answer, "ndim", 0) > 0
    values = [float(value) for value in (answer if several else (answer,))]
    text = ",".join(f"{round(value, digits) + 0.0:.{digits}f}" for value in values)
    return hashlib.sha256(f"{number}:{text}".encode()).hexdigest()[:12]


def tensor(answer: Any) -> Tensor:
    """Return an answer in float64 without gradient: a tensor, an array, lists, lists of tensors.

    Raises:
        ValueError: the answer is None, as of a function without a `return`.
    """
    if answer is None or answer is ...:
        raise ValueError("nothing is returned")
    if isinstance(answer, list | tuple) and all(isinstance(row, Tensor) for row in answer):
        answer = torch.stack(list(answer))
    return torch.as_tensor(answer, dtype=torch.float64).detach()


def far(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors differ by more than rounding (NaN differs from everything)."""
    return one.shape != other.shape or not torch.allclose(one, other, rtol=ROUNDING, atol=ROUNDING)


def draws(seed: int = 0) -> torch.Generator:
    """Return a generator of random numbers for a check."""
    return torch.Generator().manual_seed(seed)


def uniform(*shape: int, draw: torch.Generator) -> Tensor:
    """Return numbers in [0, 1), float64."""
    return torch.rand(*shape, generator=draw, dtype=torch.float64)


def normal(*shape: int, draw: torch.Generator) -> Tensor:
    """Return normal numbers, float64."""
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def masses(n: int, draw: torch.Generator) -> Tensor:
    """Return positive masses (n,) that sum to 1."""
    found = uniform(n, draw=draw) + 0.1
    return found / found.sum()
