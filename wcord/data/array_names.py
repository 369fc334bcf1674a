"""The names of a user's arrays: spellings, parts, class names, and names that are misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from wcord.data.dataset_contents import Notes
from wcord.data.raw import part_of
from wcord.data.read_dataset import samples
from wcord.data.to_numpy import to_numpy

ALIASES = {"x": "images", "inputs": "images", "y": "labels"}
KINDS = ("images", "labels", "boxes", "depth", "gray", "segments")
NAMES = ("class_names", "classes")
NO_LABEL = ": write -1 for samples without a label"


class Named(NamedTuple):
    """A user's arrays by their long names (images_train), class names, and what was not used."""

    arrays: dict[str, np.ndarray]
    class_names: list[str] | None
    unused: Notes


def named_arrays(given: Any, name: str) -> Named:
    """Return arrays by long name from named arrays, a pair (inputs, labels) or a `Dataset`.

    Args:
        given: as in `from_arrays`.
        name: of the data set, for messages.

    Raises:
        ValueError: a misspelt name, an array that is given twice, or class names that differ.
    """
    named = given if isinstance(given, Mapping) else {"train": given}
    values: dict[str, Any] = {}
    class_names: dict[str, Any] = {}  # by key
    unused: Notes = ()
    for key, value in named.items():
        kind, _, suffix = str(key).lower().partition("_")
        kind = ALIASES.get(kind, kind)
        if str(key).lower() in NAMES:
            class_names[str(key)] = value
            continue
        if part_of(kind) and not suffix:
            part = samples(value, f"{name}: {key}" if named is given else name)
            new = {f"images_{kind}": part.images, f"labels_{kind}": part.labels}
            class_names |= {} if part.classes is None else {f"{key}.classes": part.classes}
            unused += tuple((f"{key}: {entry}", why) for entry, why in part.unused)
        elif kind in KINDS and part_of(suffix):
            new = {f"{kind}_{suffix}": value}
        else:
            _refuse_misspelt(str(key), name)
            unused += ((str(key), "an unknown name"),)
            continue
        if duplicates := values.keys() & new.keys():
            raise ValueError(f"{name} holds {min(duplicates)} twice")
        values |= new
    classes = [_class_names(value, f"{name}: {key}") for key, value in class_names.items()]
    if any(other != classes[0] for other in classes[1:]):
        raise ValueError(f"{name}: {' and '.join(class_names)} name different classes")
    arrays = {
        key: to_numpy(value, f"{name}: {key}", NO_LABEL if key.startswith("labels") else "")
        for key, value in values.items()
    }
    return Named(arrays, classes[0] if classes else None, unused)


def suffixes_of(arrays: Mapping[str, Any], unused: Notes, name: str) -> dict[str, str]:
    """Return the suffix of the arrays of each part, such as "validation" for "held_out".

    Raises:
        ValueError: two arrays of one part, or no training part.
    """
    suffixes: dict[str, str] = {}
    for key in arrays:
        kind, _, suffix = key.partition("_")
        part = part_of(suffix)
        if kind != "images" or part is None:
            continue
        if part in suffixes:
            raise ValueError(f"{name}: images_{suffixes[part]} and {key} are of one part")
        suffixes[part] = suffix
    if "train" not in suffixes:
        keys = [*arrays, *(key for key, _ in unused)]
        raise ValueError(
            f"{name} holds no array images_train (or inputs_train, x_train), only: "
            f"{', '.join(keys) or 'none'}"
        )
    return {part: suffixes[part] for part in ("train", "held_out", "test") if part in suffixes}


def _refuse_misspelt(key: str, name: str) -> None:
    """Refuse an unknown name that is near a known one or begins with a known kind."""
    known = [f"{kind}_{part}" for kind in (*KINDS, *ALIASES) for part in ("train", "val", "test")]
    near = difflib.get_close_matches(key.lower(), [*known, *NAMES], 1, 0.8)
    kind, _, suffix = key.lower().partition("_")
    if not near and kind in (*KINDS, *ALIASES):
        if suffix:
            raise ValueError(
                f"{name}: {key} ends in {suffix!r}, which is no part: use {kind}_train, {kind}_val "
                f"or {kind}_test"
            )
        near = [f"{kind}_train"]
    if near:
        raise ValueError(f"{name}: unknown name {key}: did you mean {near[0]}?")


def _class_names(value: Any, name: str) -> list[str]:
    names = to_numpy(value, name)
    if names.ndim != 1:
        raise ValueError(f"{name} must be one name per class, of shape (K,)")
    texts = [str(n) for n in names]
    if duplicates := {text for text in texts if texts.count(text) > 1}:
        raise ValueError(f"{name} holds {min(duplicates)!r} twice")
    return texts
