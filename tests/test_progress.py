"""Progress: lines in a file or a pipe, a bar in a terminal, nothing where it is not wanted."""

from __future__ import annotations

import io
import re
import sys

import pytest

from wcord.training import progress
from wcord.training.progress import ProgressLines, show_progress


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_come_every_few_seconds_with_the_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first step takes 9 s, all others 1 s: it does not count for the time left."""
    with ProgressLines("mine", total=40, initial=10) as lines:
        clock.now += 9
        lines.update()
        for _ in range(29):
            clock.now += 1
            lines.update()
    printed = capsys.readouterr().err.splitlines()
    assert "\r" not in "".join(printed)
    assert printed[0] == "mine: step 11 of 40 (27 %)"
    assert printed[1] == "mine: step 16 of 40 (40 %), 24 s left"
    assert printed[-1] == "mine: step 40 of 40 (100 %), took 38 s"
    steps = [int(re.findall(r"step (\d+)", line)[0]) for line in printed]
    assert steps == [11, 16, 21, 26, 31, 36, 40]


def test_long_runs_print_fewer_lines(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines("mine", total=100_000) as lines:
        for _ in range(100_000):
            clock.now += 1
            lines.update()
    assert len(capsys.readouterr().err.splitlines()) < 350  # a line every 5 s would be 20,000


def test_nothing_is_printed_without_steps_or_after_an_error(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressLines("mine", total=3):
        pass
    with pytest.raises(ValueError, match="no"), ProgressLines("mine", total=3) as lines:
        lines.update()
        raise ValueError("no")
    assert capsys.readouterr().err == ""


def test_a_closed_pipe_does_not_end_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    with ProgressLines("mine", total=3) as lines:
        lines.update()


def test_a_terminal_has_a_bar_and_a_file_has_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(show_progress(True, "mine", 3), ProgressLines)
    with show_progress(False, "mine", 3) as silent:
        silent.update()
    assert capsys.readouterr().err == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with show_progress(True, "mine", 3, 1) as bar:
        bar.update(2)
    assert "\r" in terminal.getvalue() and "3/3" in terminal.getvalue()
