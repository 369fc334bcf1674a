"""Change a plain tree of settings by dotted keys, such as "arms.wcord.gckt.weight"."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from wcord.settings.messages import SettingsError, nearest


def plain_value(value: Any) -> Any:
    """Return a settings model as plain data, and any other value unchanged."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def set_dotted(tree: dict[str, Any], key: str, value: Any) -> None:
    """Change one setting of a plain tree in place; None as an arm or a term removes it.

    Raises:
        SettingsError: the key leads into a setting that is not a table.
    """
    *path, last = _path(tree, key)
    node = tree
    for depth, name in enumerate(path):
        inner = node.get(name)
        if path[0] == "arms" and depth == 2:  # the term may be absent, or a number: its weight
            inner = {"weight": inner} if isinstance(inner, (int, float)) else inner or {}
        if not isinstance(inner, dict):
            raise SettingsError(f"unknown setting {key!r}; {nearest(key, _dotted_keys(tree))}")
        node[name] = inner
        node = inner
    if value is None and path[:1] == ["arms"] and len(path) < 3:
        node.pop(last, None)
    else:
        node[last] = value


def _path(tree: dict[str, Any], key: str) -> list[str]:
    """Split a dotted key; the name of an arm may contain dots."""
    head, _, rest = key.partition(".")
    if head != "arms" or not rest:
        return key.split(".")
    arms = tree["arms"] if isinstance(tree["arms"], dict) else {}
    names = [arm for arm in arms if f"{rest}.".startswith(f"{arm}.")]
    arm = max(names, key=len, default=rest.partition(".")[0])
    tail = rest.removeprefix(arm).removeprefix(".")
    return ["arms", arm, *tail.split(".")] if tail else ["arms", arm]


def _dotted_keys(tree: dict[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in tree.items():
        keys.append(prefix + key)
        if isinstance(value, dict):
            keys += _dotted_keys(value, f"{prefix}{key}.")
    return keys
