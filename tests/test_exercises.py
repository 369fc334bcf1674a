"""The checks of the exercises: right answers in any form pass, ten wrong ones of each do not."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.course import exercises
from lab.course.exercises import CHAPTERS, EXERCISES, check, hint, wrong_with
from lab.course.exercises.checking import NotOwn, fingerprint, numbers, own
from wcord.transport import cosine_cost

FOLDER = Path(__file__).parent / "exercise_answers"
LEVELS = ("quick", "derive", "explore")
ANSWERS = {
    name: import_module(f"exercise_answers.{name}")
    for name in sorted(path.stem for path in FOLDER.glob("chapter_*.py"))
}


def named(kind: str) -> list[Any]:
    return [
        pytest.param(number, answer, id=f"{number}-{place}")
        for chapter in ANSWERS.values()
        for number, answers in getattr(chapter, kind).items()
        for place, answer in enumerate(answers)
    ]


@pytest.mark.parametrize(("number", "answer"), named("RIGHT"))
def test_right_answers_pass(number: str, answer: Any) -> None:
    assert wrong_with(number, answer) == ""


@pytest.mark.parametrize(("number", "answer"), named("WRONG"))
def test_wrong_answers_fail_with_a_sentence(number: str, answer: Any) -> None:
    said = wrong_with(number, answer)
    assert said and "\n" not in said


def test_every_check_has_two_right_and_ten_wrong_answers() -> None:
    for kind, least in (("RIGHT", 2), ("WRONG", 10)):
        answers = {n: a for chapter in ANSWERS.values() for n, a in getattr(chapter, kind).items()}
        few = {number for number in EXERCISES if len(answers.get(number, ())) < least}
        assert not few and set(answers) == set(EXERCISES)


@pytest.mark.parametrize("number", EXERCISES)
def test_no_check_passes_by_chance(number: str) -> None:
    """No small whole number, no word, no constant function."""
    assert wrong_with(number, ...) == "no answer yet"
    nonsense: list[Any] = [*range(-3, 101), 0.5, -12345.678, "no", True, None, (0, 0), (1, 1)]
    nonsense += [lambda *_, **__: 0.0, lambda *_, **__: None, [[0.0] * 6] * 6, {}, torch.zeros(3)]
    assert not [answer for answer in nonsense if not wrong_with(number, answer)]


@pytest.mark.parametrize("number", EXERCISES)
def test_hints_come_in_steps(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = EXERCISES[number]
    assert exercise.level in LEVELS and exercise.number == number
    assert 2 <= len(exercise.hints) <= 4 and len(set(exercise.hints)) == len(exercise.hints)
    exercises._hints_given.clear()
    for place, words in enumerate(exercise.hints):
        hint(number)
        said = capsys.readouterr().out
        assert said == f"{number}, hint {place + 1} of {len(exercise.hints)}: {words}\n"
    hint(number)
    assert "no further hint" in capsys.readouterr().out


def test_chapters_of_theory_have_every_level() -> None:
    for chapter in range(2, 7):
        levels = [e.level for n, e in EXERCISES.items() if n.startswith(f"{chapter}.")]
        assert levels.count("quick") >= 2 and levels.count("derive") >= 2 and "explore" in levels
    assert len(CHAPTERS) == len(ANSWERS)


def test_a_check_says_right_or_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    check("2.2", lambda f, C: (C - f[:, None]).amin(0))
    check("2.2", lambda f, C: C.amin(0))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2.2: right" and said[1].startswith("2.2: f_i + g_j exceeds C_ij")
    for call in (lambda: check("99.9", 1), lambda: hint("99.9")):
        with pytest.raises(ValueError, match=r"99\.9"):
            call()


def test_numbers_are_taken_in_any_form_with_more_digits_and_no_fewer() -> None:
    checked = numbers("0.0", 3, fingerprint("0.0", (1.23456, 2.0), 3))
    for form in (tuple, list, torch.tensor):
        assert checked(form([1.23456, 2.0])) == "" == checked(form([1.235, 2.0]))
    for wrong in ((1.236, 2.0), (1.234, 2.0), (2.0, 1.23456), (1.235,), (1.235, 2.0, 0.0)):
        assert checked(wrong)


def test_an_answer_that_calls_the_course_is_not_ones_own() -> None:
    given = torch.rand(3, 2), torch.rand(4, 2)
    hidden = {"f": cosine_cost}
    for borrowed in (cosine_cost, lambda x, y: hidden["f"](x, y)):
        with pytest.raises(NotOwn, match="calls wcord"):
            own(borrowed)(*given)

    def hides_the_failure(x: Any, y: Any) -> Any:
        try:
            return cosine_cost(x, y)
        except Exception:
            return None

    with pytest.raises(NotOwn):
        own(hides_the_failure)(*given)
    with pytest.raises(TypeError):
        own(3)
    assert torch.equal(own(torch.add)(*given[:1], 1.0), given[0] + 1)
