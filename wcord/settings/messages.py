"""Error messages about settings: one line that names the setting and says what to do."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

MOST_NAMED = 40  # most names in one line


class SettingsError(ValueError):
    """Settings that cannot be run; the message is one line that says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # a user's names may contain line breaks


def near(word: str, known: Iterable[Any]) -> str | None:
    """Return the known name that is closest to a word, or None where none is close."""
    close = difflib.get_close_matches(word, [str(name) for name in known], n=1, cutoff=0.5)
    return close[0] if close else None


def nearest(word: str, known: Iterable[Any]) -> str:
    """Return "did you mean ...?" with the known name closest to a word, else the known names."""
    names = [str(name) for name in known]
    close = near(word, names)
    if close:
        return f"did you mean {close!r}?"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"known are {', '.join(names[:MOST_NAMED])}{more}"


def first_error(error: ValidationError, model: type[BaseModel], prefix: str) -> str:
    """Return the first error of a validation in one line that names the setting.

    Args:
        error: raised by pydantic.
        model: the model that was validated.
        prefix: dotted name of the tree that was validated, with a dot at its end; "" for the
            whole tree.
    """
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if "constrained" not in str(part)]
    setting = (prefix + ".".join(path)).rstrip(".")
    if first["type"] == "extra_forbidden":
        known = _field_names(model, path[:-1])
        return f"unknown setting {setting!r}; {nearest(path[-1], known)}"
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"])
        return text if not path or path == ["arms"] else f"{setting}: {text}"
    if first["type"] == "model_type":
        return f"{setting}: a table of settings is needed, not {first['input']!r:.60}"
    if first["type"] == "too_short":
        return f"{setting}: at least one is needed"
    text = first["msg"][0].lower() + first["msg"][1:]
    received = "" if first["type"] == "missing" else f", not {first['input']!r:.60}"
    return f"{setting}: {text}{received}" if setting else text


def _field_names(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the names of the settings in the table at a path; [] where it is not a model."""
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        inner = [annotation]
        if get_origin(annotation) in (Union, types.UnionType):
            inner = list(get_args(annotation))
        models = [a for a in inner if isinstance(a, type) and issubclass(a, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)
