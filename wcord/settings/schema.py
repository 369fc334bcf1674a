"""Settings as files: the schema's version, the rule for names, YAML in and out; without torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

SCHEMA_VERSION = 1
MOST_NODES = 200_000  # of settings with their aliases written out
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{,199}")


def check_run_name(name: str) -> str:
    """Return a name that an experiment and its run directory can have.

    Raises:
        ValueError: it could lead out of the runs folder.
    """
    if not RUN_NAME.fullmatch(name) or ".." in name:
        raise ValueError(
            f"{name!r} cannot name a run: use letters, digits, '-', '_', '+' and '.' only"
        )
    return name


def as_yaml(value: Any, **style: Any) -> str:
    """Return plain data as YAML that reads back the same; `style` is given to PyYAML."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, **style)
    if "\x85" in text:  # PyYAML takes it for a line break, and reads a blank
        return yaml.safe_dump(value, sort_keys=False, **style)
    return text


def read_settings(path: Path) -> dict[str, Any]:
    """Return a settings file as plain data: YAML of nothing but tables, lists, texts and numbers.

    Raises:
        ValueError: it cannot be read, holds no table, or is far too large with its aliases
            written out.
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
    """Walk the tree with its aliases written out, and refuse one that is far too large."""
    open_nodes, count = [(tree, 0)], 0
    while open_nodes:
        node, depth = open_nodes.pop()
        count += 1
        if count > MOST_NODES or depth > 50:
            raise ValueError("it is nested too deeply or repeats itself too often")
        if isinstance(node, dict):
            if not all(isinstance(key, (str, int, float)) for key in node):
                raise ValueError("the names of settings must be texts")
            open_nodes += [(inner, depth + 1) for inner in node.values()]
        elif isinstance(node, (list, set)):
            open_nodes += [(inner, depth + 1) for inner in node]
