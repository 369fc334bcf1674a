"""What is wrong with settings, in one line that says what to do."""

from __future__ import annotations

import difflib
import types
from typing import Any, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ValidationError,
)

MOST_NAMED = 40  # names that a line can list


class SettingsError(ValueError):
    """Settings that cannot be run, in one line that says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.split()))  # a name in it may hold anything


def nearest(word: str, known: Any) -> str:
    """Return "did you mean ...?" for a word that is not known, else the list of what is."""
    known = [str(name) for name in known]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
    return f"known are {', '.join(known[:MOST_NAMED])}{more}"


def first_error(error: ValidationError, model: type[BaseModel], prefix: str) -> str:
    """Say the first error of a validation in one line that names the setting."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if "constrained" not in str(part)]
    where = prefix + ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _known_fields(model, place[:-1])
        return f"unknown setting {where!r}; {nearest(place[-1], known)}"
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"])
        return text if not place or place == ["arms"] else f"{where}: {text}"
    if first["type"] == "model_type":
        return f"{where}: a table of settings is needed, not {first['input']!r:.60}"
    if first["type"] == "too_short":
        return f"{where}: at least one is needed"
    text = first["msg"][0].lower() + first["msg"][1:]
    got = "" if first["type"] == "missing" else f", not {first['input']!r:.60}"
    return f"{where}: {text}{got}" if where else text


def _known_fields(model: type[BaseModel], place: list[str]) -> list[str]:
    for part in place:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        inner = [annotation]
        if get_origin(annotation) in (Union, types.UnionType):
            inner = list(get_args(annotation))
        models = [a for a in inner if isinstance(a, type) and issubclass(a, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)
