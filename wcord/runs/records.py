"""The entries of status.json and control.json, with a default and a check for each.

Any process may write control.json, and a file may be a partial copy. A reader uses the entries
that have the right type and range, and the default for all others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wcord.runs.storage import read_json

ACTIVE = ("starting", "training-teacher", "running", "paused")
ENDED = ("finished", "failed", "stopped")
LARGEST = 2**53  # some JSON readers round larger integers

Check = Callable[[Any], bool]
Entries = dict[str, tuple[Any, Check]]  # name -> default, check of a value


def _is_count(largest: int) -> Check:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= largest


def _is_number(v: Any) -> bool:
    return isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v <= LARGEST


def _is_text(v: Any) -> bool:
    return isinstance(v, str)


STATUS: Entries = {
    "state": ("starting", lambda v: isinstance(v, str) and v in ACTIVE + ENDED),
    "step": (0, _is_count(LARGEST)),
    "total": (0, _is_count(LARGEST)),
    "epoch": (0.0, _is_number),
    "eta": (None, _is_number),
    "pid": (None, _is_count(2**31 - 1)),
    "host": (None, _is_text),
    "heartbeat": (None, _is_number),
    "error": (None, _is_text),
}
CONTROL: Entries = {
    "pause_at": (None, _is_count(LARGEST)),
    "stop": (False, lambda v: isinstance(v, bool)),
    "delay": (0.0, _is_number),
}


def defaults(entries: Entries) -> dict[str, Any]:
    """Return the default of every entry."""
    return {name: default for name, (default, _) in entries.items()}


def read_record(path: Path, entries: Entries) -> dict[str, Any]:
    """Return the entries of a JSON file, with the default of each that is absent or unusable.

    Args:
        path: the file; it counts as empty where it is absent, unreadable or not a table.
        entries: default and check of each entry.
    """
    content = read_json(path, {})
    content = content if isinstance(content, dict) else {}
    return {
        name: content[name] if name in content and usable(content[name]) else default
        for name, (default, usable) in entries.items()
    }
