"""Timing a run in a process of its own: answers, refusals, one at a time."""

from __future__ import annotations

import time

import pytest

import wcord
from lab.control import run_time
from wcord.analysis.estimate import Estimate


def test_a_process_times_real_steps() -> None:
    experiment = wcord.load("digits-compression").replace({"epochs": 2})
    answer = run_time.timed(experiment.yaml())
    assert isinstance(answer, Estimate)
    assert answer.student_seconds > 0
    assert answer.teacher_seconds > 0
    assert answer.steps == wcord.estimate(experiment).steps


@pytest.mark.parametrize(
    "settings",
    ["data: {source: 'npz:missing.npz'}\narms: {plain: {ce: {weight: 1}}}", "epochs: -1"],
)
def test_what_cannot_be_run_is_one_line(settings: str) -> None:
    answer = run_time.timed(settings)
    assert isinstance(answer, str)
    assert answer
    assert "\n" not in answer


def test_ask_answers_none_until_known_and_times_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def slow(settings: str) -> Estimate | str:
        asked.append(settings)
        time.sleep(0.2)
        return "no such data" if settings == "bad" else Estimate(1.0, 2.0, 3, "cpu", 4)

    monkeypatch.setattr(run_time, "timed", slow)
    watch = run_time.Stopwatch()
    assert [watch.ask("good"), watch.ask("good"), watch.ask("bad")] == [None, None, None]

    def known(settings: str) -> Estimate:
        deadline = time.monotonic() + 10
        while (answer := watch.ask(settings)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return answer

    assert known("good").steps == 4
    with pytest.raises(ValueError, match="no such data"):
        known("bad")
    assert asked == ["good", "bad"]


def test_answers_kept_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_time, "timed", lambda settings: "no")
    watch = run_time.Stopwatch()
    for number in range(run_time.KEPT + 10):
        watch._busy.acquire()
        watch._work(str(number))
    assert len(watch._answers) == run_time.KEPT
