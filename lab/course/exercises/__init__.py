"""Checks of the notebooks' exercises, which do not give an answer away, and hints in steps.

    check("2.1", answer)    whether an answer is right, and if not, what is wrong with it
    hint("2.1")             the next hint at each call

The exercises of a chapter stand in a file of their own, `chapter_02.py`. The solutions notebook
runs every check.
"""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from .checking import Exercise

CHAPTERS = sorted(part.name for part in iter_modules(__path__) if part.name.startswith("chapter_"))
EXERCISES: dict[str, Exercise] = {
    exercise.number: exercise
    for chapter in CHAPTERS
    for exercise in import_module(f".{chapter}", __name__).EXERCISES
}
_hints_given: Counter[str] = Counter()


def check(number: str, answer: Any) -> None:
    """Print whether an answer is right.

    Args:
        number: of the exercise, such as "2.1".
        answer: a number, a tensor, a function or a tuple, as the exercise asks; `...` where there
            is none yet.

    Raises:
        ValueError: there is no such exercise.
    """
    print(f"{number}: {wrong_with(number, answer) or 'right'}")


def hint(number: str) -> None:
    """Print the next hint of an exercise; after the last one, where its solution is.

    Raises:
        ValueError: there is no such exercise.
    """
    hints = _exercise(number).hints
    given = _hints_given[number]
    _hints_given[number] += 1
    if given < len(hints):
        print(f"{number}, hint {given + 1} of {len(hints)}: {hints[given]}")
    else:
        print(f"{number}: no further hint. The answer is in the notebook of solutions.")
        _hints_given[number] = 0


def wrong_with(number: str, answer: Any) -> str:
    """Return what is wrong with an answer, "" where nothing is (see `check`)."""
    exercise = _exercise(number)
    if answer is ...:
        return "no answer yet"
    try:
        return exercise.check(answer)
    except Exception as error:
        return f"your answer could not be used ({type(error).__name__}: {error})"


def _exercise(number: str) -> Exercise:
    if number not in EXERCISES:
        raise ValueError(f"there is no exercise {number!r}")
    return EXERCISES[number]
