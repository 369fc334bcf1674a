"""The small files by which a run is told and tells: read with a blank for whatever is not sound.

Anybody may write control.json, and any file may have been copied by half. A reader takes what
fits its type and is in range, and the blank's value for everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from wcord.storage import read_json

ACTIVE = ("starting", "training-teacher", "running", "paused")
ENDED = ("finished", "failed", "stopped")
LARGEST = 2**53  # integers beyond it are not the same in every JSON reader
MOST_NODES = 200_000  # of settings with their aliases written out

Sound = Callable[[Any], bool]


def _whole(most: int) -> Sound:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= most


def _number(v: Any) -> bool:
    return isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v <= LARGEST


def _text(v: Any) -> bool:
    return isinstance(v, str)


STATUS: dict[str, tuple[Any, Sound]] = {
    "state": ("starting", lambda v: isinstance(v, str) and v in ACTIVE + ENDED),
    "step": (0, _whole(LARGEST)),
    "total": (0, _whole(LARGEST)),
    "epoch": (0.0, _number),
    "eta": (None, _number),
    "pid": (None, _whole(2**31 - 1)),
    "host": (None, _text),
    "heartbeat": (None, _number),
    "error": (None, _text),
}
CONTROL: dict[str, tuple[Any, Sound]] = {
    "pause_at": (None, _whole(LARGEST)),
    "stop": (False, lambda v: isinstance(v, bool)),
    "delay": (0.0, _number),
}


def read_table(path: Path, blank: dict[str, tuple[Any, Sound]]) -> dict[str, Any]:
    """Return what a JSON file says of each key of `blank`, its own value where that is unsound.

    Args:
        path: the file; absent, unreadable and foreign ones count as empty.
        blank: by key, the value to fall back on and what a sound value is.
    """
    said = read_json(path, {})
    said = said if isinstance(said, dict) else {}
    return {
        key: said[key] if key in said and sound(said[key]) else value
        for key, (value, sound) in blank.items()
    }


def as_yaml(value: Any, **style: Any) -> str:
    """Return plain data as YAML that reads back the same; `style` is given to PyYAML."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, **style)
    if "\x85" in text:  # PyYAML takes it for a line break, and reads a blank
        return yaml.safe_dump(value, sort_keys=False, **style)
    return text


def read_settings(path: Path) -> dict[str, Any]:
    """Return a settings file as plain data: YAML of nothing but tables, lists, texts and numbers.

    Raises:
        ValueError: it cannot be read, holds no table, or its aliases unfold without end.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        _count(tree)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"cannot read settings from {path.name}: {reason:.300}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path.name} holds no settings: a table of names was expected")
    return tree


def _count(tree: Any) -> None:
    """Walk the tree with its aliases written out, and refuse one that is too large to be meant."""
    waiting, seen = [(tree, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > MOST_NODES or depth > 50:
            raise ValueError("it is nested or repeated beyond all measure")
        if isinstance(node, dict):
            if not all(isinstance(key, (str, int, float)) for key in node):
                raise ValueError("names of settings are texts")
            waiting += [(inner, depth + 1) for inner in node.values()]
        elif isinstance(node, (list, set)):
            waiting += [(inner, depth + 1) for inner in node]
