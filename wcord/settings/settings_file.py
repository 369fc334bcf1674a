"""Read and write settings as YAML without torch; the schema version; the rule for run names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

SCHEMA_VERSION = 1
MOST_NODES = 200_000  # most nodes of a settings file, with its YAML aliases expanded
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{,199}")


def check_run_name(name: str) -> str:
    """Return a name unchanged if it can be the name of a run directory.

    Raises:
        ValueError: other characters than letters, digits and -_+. or a name that could lead out
            of the runs folder.
    """
    if not RUN_NAME.fullmatch(name) or ".." in name:
        raise ValueError(
            f"{name!r} cannot name a run: use letters, digits, '-', '_', '+' and '.' only"
        )
    return name


def as_yaml(value: Any, **style: Any) -> str:
    """Return plain data as YAML, from which the same data can be read.

    Args:
        value: the data.
        style: options of PyYAML.
    """
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, **style)
    if "\x85" in text:  # PyYAML reads this character as a line break unless it is escaped
        return yaml.safe_dump(value, sort_keys=False, **style)
    return text


def read_settings(path: Path) -> dict[str, Any]:
    """Return a settings file as plain data: tables, lists, texts and numbers.

    Raises:
        ValueError: the file cannot be read, is not a table, or is far too large when its YAML
            aliases are expanded.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        _check_size(tree)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"cannot read settings from {path.name}: {reason:.300}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path.name} holds no settings: a table of names was expected")
    return tree


def _check_size(tree: Any) -> None:
    """Refuse a tree that is far too large when its YAML aliases are expanded."""
    unvisited, count = [(tree, 0)], 0
    while unvisited:
        node, depth = unvisited.pop()
        count += 1
        if count > MOST_NODES or depth > 50:
            raise ValueError("it is nested too deeply or repeats itself too often")
        if isinstance(node, dict):
            if not all(isinstance(key, (str, int, float)) for key in node):
                raise ValueError("the names of settings must be texts")
            unvisited += [(inner, depth + 1) for inner in node.values()]
        elif isinstance(node, (list, set)):
            unvisited += [(inner, depth + 1) for inner in node]
