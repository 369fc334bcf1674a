"""Dotted changes of a plain tree of settings."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
)

from wcord.settings.messages import SettingsError, nearest


def plain_value(value: Any) -> Any:
    """Return settings given as models as plain data."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def set_dotted(tree: dict[str, Any], key: str, value: Any) -> None:
    """Change one setting of a plain tree; None in place of an arm or a term removes it."""
    *path, last = _path(tree, key)
    node = tree
    for depth, name in enumerate(path):
        inner = node.get(name)
        if path[0] == "arms" and depth == 2:  # a term may be new, or given as a bare weight
            inner = {"weight": inner} if isinstance(inner, (int, float)) else inner or {}
        if not isinstance(inner, dict):
            raise SettingsError(f"unknown setting {key!r}; {nearest(key, _leaves(tree))}")
        node[name] = inner
        node = inner
    if value is None and path[:1] == ["arms"] and len(path) < 3:
        node.pop(last, None)
    else:
        node[last] = value


def _path(tree: dict[str, Any], key: str) -> list[str]:
    """Split a dotted key; the name of an arm may have dots of its own."""
    head, _, rest = key.partition(".")
    if head != "arms" or not rest:
        return key.split(".")
    arms = tree["arms"] if isinstance(tree["arms"], dict) else {}
    names = [arm for arm in arms if f"{rest}.".startswith(f"{arm}.")]
    arm = max(names, key=len, default=rest.partition(".")[0])
    tail = rest.removeprefix(arm).removeprefix(".")
    return ["arms", arm, *tail.split(".")] if tail else ["arms", arm]


def _leaves(tree: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        found.append(prefix + key)
        if isinstance(value, dict):
            found += _leaves(value, f"{prefix}{key}.")
    return found
