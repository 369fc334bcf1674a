"""What the command line prints: errors and warnings in one line, JSON, settings as a tree."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wcord.settings.settings_file import as_yaml

if TYPE_CHECKING:
    from wcord.settings.listing import Setting

PACKAGE = Path(__file__).parents[1]
LEFT = 38  # columns of names and values


def print_error(error: object, code: int) -> int:
    """Print an error in one line on stderr and return the exit code."""
    line = " ".join(str(error).split()) or type(error).__name__
    with suppress(BrokenPipeError):
        print(f"wcord: {line}", file=sys.stderr)
    return code


def print_json(value: Any) -> None:
    """Print plain data as JSON, with null for numbers that are not finite."""
    from wcord.runs.storage import plain

    print(json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False))


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print a warning of wcord in one line on stderr, without its file and line number."""
    with warnings.catch_warnings():
        default = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, *more: Any
        ) -> None:
            ours = category.__module__.startswith("wcord.") or PACKAGE in Path(filename).parents
            if ours:
                print_error(message, 0)
            else:
                default(message, category, filename, *more)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def settings_tree(settings: Iterable[Setting], above: int = 0) -> str:
    """Return settings as an indented tree: name = value, and beside it the meaning.

    A star marks a value that is not the default.

    Args:
        settings: tables before their settings.
        above: number of parts of a name that are not printed.
    """
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 120)
    lines: list[str] = []
    for setting in settings:
        star = "*" if setting.changed else " "
        left = f"{star} {'  ' * (len(setting.path) - 1 - above)}{setting.path[-1]}"
        if not setting.table:
            left += f" = {_as_text(setting.value)}"
        lines += _two_columns(left, _right(setting), width)
    return "\n".join(lines)


def _as_text(value: Any) -> str:
    text = as_yaml(value, default_flow_style=True, width=10**9)
    return " ".join(text.removesuffix("\n").removesuffix("\n...").split())


def _right(setting: Setting) -> str:
    """Return meaning, accepted values, values that suit other settings, and the default."""
    if setting.table:
        return setting.meaning
    allowed = f" [{setting.allowed}]" if setting.allowed not in ("", "text") else ""
    default = f"default {_as_text(setting.default)}" if setting.changed else ""
    parts = [setting.meaning + allowed, setting.suited_text, default]
    return "; ".join(part for part in parts if part)


def _two_columns(left: str, right: str, width: int) -> list[str]:
    if len(left) < LEFT:
        return textwrap.wrap(
            right,
            width,
            initial_indent=left.ljust(LEFT),
            subsequent_indent=" " * LEFT,
            drop_whitespace=True,
        ) or [left]
    indent = " " * (len(left) - len(left[1:].lstrip()) + 2)
    above = textwrap.wrap(left, width, subsequent_indent=indent, break_on_hyphens=False)
    return above + textwrap.wrap(
        right, width, initial_indent=" " * LEFT, subsequent_indent=" " * LEFT
    )
