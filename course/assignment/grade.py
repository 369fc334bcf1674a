"""Grade a submission of the assignment: `python -m course.assignment.grade SUBMISSION`.

The code of the submission is run in this process. Grade the work of strangers on a machine that
may be lost, such as a container.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from .checks import BY_HAND, TASKS, wrong_with

SECONDS = 120  # for the code of a submission, and for each criterion


class Graded(NamedTuple):
    """One criterion of a task: its points, those given, its name, and what is missing."""

    task: str
    points: int
    given: int
    criterion: str
    missing: str


def grade(names: Mapping[str, Any]) -> list[Graded]:
    """Return every criterion with its points, for the names that a submission defines."""
    found = []
    for task in TASKS:
        for points, criterion, checked in task.criteria:
            try:
                with _time_limit(), contextlib.redirect_stdout(io.StringIO()):
                    missing = wrong_with(checked, names.get(task.name))
            except TimeoutError:
                missing = f"it takes more than {SECONDS} s"
            given = 0 if missing else points
            found.append(Graded(task.name, points, given, criterion, missing))
    return found


def names_of(submission: Path) -> tuple[dict[str, Any], list[str]]:
    """Run a submission, and return the names that it defines and the cells that failed.

    Args:
        submission: a notebook (.ipynb) or a file of Python.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        text = submission.read_text("utf-8")
        cells = [text]
        if submission.suffix == ".ipynb":
            parts = json.loads(text)["cells"]
            cells = ["".join(part["source"]) for part in parts if part["cell_type"] == "code"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{submission} cannot be read: {error}") from error
    names: dict[str, Any] = {"__name__": "submission"}
    failed = []
    for place, cell in enumerate(cells, 1):
        lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!"))]
        try:
            with _time_limit(), contextlib.redirect_stdout(io.StringIO()):
                exec(compile("\n".join(lines), f"cell {place}", "exec"), names)
        except Exception as error:
            failed.append(f"cell {place}: {type(error).__name__}: {error}")
    return names, failed


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the points of a submission, task by task."""
    parser = argparse.ArgumentParser("python -m course.assignment.grade", description=__doc__)
    parser.add_argument("submission", type=Path, help="a notebook or a file of Python")
    options = parser.parse_args(arguments)
    try:
        names, failed = names_of(options.submission)
    except ValueError as error:
        print(f"grade: {error}", file=sys.stderr)
        return 2
    for line in failed:
        print(f"could not be run: {line}")
    graded = grade(names)
    for task in TASKS:
        mine = [one for one in graded if one.task == task.name]
        print(f"{task.title}: {sum(one.given for one in mine)} of {task.points}")
        for one in mine:
            print(f"    {one.given}  {one.criterion}{': ' * bool(one.missing)}{one.missing}")
    total, most = sum(one.given for one in graded), sum(task.points for task in TASKS)
    print(f"{total} of {most} points; {BY_HAND} more are given by hand, with the rubric")
    return 0


if __name__ == "__main__":
    sys.exit(main())
