"""Commands of other packages, by entry points of the group `wcord.commands`.

Each entry point names a function `command(parser)`, which adds the options to an
`argparse.ArgumentParser` and returns the function that runs the command: of the parsed options, to
the exit code. The first line of its docstring is the help.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wcord.errors import first_line

GROUP = "wcord.commands"
LAB = "pip install 'wcord[lab]'"


def points() -> list[EntryPoint]:
    """Return the entry points of commands."""
    return sorted(entry_points(group=GROUP))


def add_command(point: EntryPoint, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command of an entry point; where it cannot be loaded, one that names the reason.

    Args:
        point: the entry point.
        add: makes the parser of a command from its name, function, help and defaults.
    """

    def run(options: argparse.Namespace, changes: dict[str, Any]) -> int:
        try:
            return start(options)
        except ImportError as error:
            raise ValueError(_reason(point, error)) from error

    def refuse(options: argparse.Namespace, changes: dict[str, Any]) -> int:
        raise ValueError(reason)

    try:
        begin = point.load()
    except Exception as error:  # whatever is wrong with it, the other commands work
        reason = _reason(point, error)
        command = add(point.name, refuse, f"cannot be used: {reason}", any_words=True)
        command.add_argument("words", nargs="*", help=argparse.SUPPRESS)
        return
    text = (begin.__doc__ or point.value).splitlines()[0].rstrip(".")
    start = begin(add(point.name, run, text[:1].lower() + text[1:]))


def _reason(point: EntryPoint, error: Exception) -> str:
    """Return why the command of an entry point cannot be used, and what to install."""
    if not isinstance(error, ImportError):
        return f"wcord {point.name} is damaged: {first_line(error)}"
    package = point.dist.name if point.dist else "wcord"
    extras = f"[{','.join(point.extras)}]" if point.extras else ""
    needed = f"the package {error.name}" if error.name else first_line(error)
    return f"wcord {point.name} needs {needed}: pip install '{package}{extras}'"
