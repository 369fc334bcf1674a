"""The labels of a user's arrays: one class a sample, regression targets, or several labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from wcord.data.array_inputs import as_float32

ONE_HOT = "one-hot"  # rows of 0 and 1 with a single 1: one class, or several labels by chance
UNLABELLED = -1
FEW = 10  # different whole numbers that are classes even if they are floating point


class Labels(NamedTuple):
    """Labels by part, the names of the classes (or targets), and the kind of the labels.

    Values are (n,) int64 classes 0 ... K − 1 with −1 for none ("classes"), (n, K) float32
    ("regression"), or (n, K) uint8 of 0 and 1 ("multilabel").
    """

    values: dict[str, np.ndarray]
    classes: tuple[str, ...]
    targets: str


def checked_labels(
    arrays: Mapping[str, np.ndarray], class_names: list[str] | None, targets: str, name: str
) -> Labels:
    """Return labels of all parts in one form.

    Args:
        arrays: by part; the key of each in messages is labels_SUFFIX.
        class_names: K names, or None.
        targets: "classes", "regression" or "multilabel"; "auto" reads it from the values.
        name: of the data set, for messages.

    Raises:
        ValueError: labels that cannot be used; the message names the array and what to do.
    """
    arrays = {key: v[:, 0] if v.ndim == 2 and v.shape[1] == 1 else v for key, v in arrays.items()}
    if empty := next((key for key, values in arrays.items() if not values.size), None):
        raise ValueError(f"{name}: {empty} is empty")
    kinds = {key: _kind(values, targets, f"{name}: {key}") for key, values in arrays.items()}
    found = set(kinds.values())
    if found == {ONE_HOT, "multilabel"}:  # a small part may be one-hot by chance
        found = {"multilabel"}
    if ONE_HOT in found:
        key = next(key for key, kind in kinds.items() if kind == ONE_HOT)
        raise ValueError(
            f"{name}: {key} must be one integer or text a sample, not {arrays[key].dtype} of shape "
            f"{arrays[key].shape}: take argmax(1) of one-hot labels (or set data.targets to "
            "'multilabel')"
        )
    if len(found) > 1:
        words = ", ".join(f"{key} holds {WORDS[kind]}" for key, kind in kinds.items())
        raise ValueError(f"{name}: {words}: all parts need labels of one kind")
    (kind,) = found
    if kind == "classes":
        return Labels(*_numbered(arrays, class_names, name), kind)
    return _columns(arrays, class_names, kind, name)


WORDS = {
    "classes": "classes",
    "regression": "regression targets (floating point)",
    "multilabel": "several labels a sample",
}


def _kind(values: np.ndarray, targets: str, name: str) -> str:
    """Return the kind of labels: "classes", "regression", "multilabel" or `ONE_HOT`."""
    kind, form = values.dtype.kind, f"{values.dtype} of shape {values.shape}"
    if kind == "f" and np.isnan(values).any():
        raise ValueError(
            f"{name} has missing values (NaN): write -1 for samples without a class, or leave out "
            "samples without a target"
        )
    numbers = kind in "biuf" and values.ndim in (1, 2)
    binary = numbers and values.ndim == 2 and bool(((values == 0) | (values == 1)).all())
    if targets == "regression" and numbers:
        return targets
    if targets == "multilabel" and binary:
        return targets
    if targets in ("regression", "multilabel"):
        needed = "numbers (n,) or (n, K)" if targets == "regression" else "0 and 1 of shape (n, K)"
        raise ValueError(f"{name} must hold {needed}, as data.targets is {targets!r}, not {form}")
    if values.ndim == 1 and kind in "biuU":
        return "classes"
    if values.ndim == 1 and kind == "f":
        return _kind_of_floats(values, targets, name)
    if targets == "auto" and numbers and values.ndim == 2:
        if binary and bool((values.sum(1) == 1).all()):
            return ONE_HOT
        if binary and kind != "f":
            return "multilabel"
        if binary:
            raise ValueError(
                f"{name} holds floating point 0 and 1, which may be several labels a sample or "
                "regression targets: set data.targets to 'multilabel' or 'regression'"
            )
        if kind == "f":
            return "regression"
    hint = ""
    if values.ndim == 2:
        hint = ": take argmax(1) of one-hot labels" + (
            "; several labels a sample are 0 and 1, regression targets are floating point"
            if targets == "auto"
            else ""
        )
    raise ValueError(f"{name} must be one integer or text a sample, not {form}{hint}")


def _kind_of_floats(values: np.ndarray, targets: str, name: str) -> str:
    """Return the kind of floating point labels (n,): whole numbers are classes."""
    if not (values == np.rint(values)).all():
        if targets == "classes":
            raise ValueError(f"{name} must be one integer or text a sample, not {values.dtype}")
        return "regression"
    if (np.abs(values) > 2**53).any():
        raise ValueError(f"{name} holds {np.abs(values).max():g}, which is no class number")
    different = len(np.unique(values))
    if targets == "auto" and different > max(FEW, len(values) // 4):
        raise ValueError(
            f"{name} holds {different} different whole numbers in floating point for {len(values)} "
            "samples: set data.targets to 'regression' or 'classes'"
        )
    return "classes"


def _numbered(
    arrays: Mapping[str, np.ndarray], class_names: list[str] | None, name: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return labels 0 ... K − 1 of each part (−1 for none), and the class names."""
    arrays = {k: v.astype(np.int64) if v.dtype.kind == "f" else v for k, v in arrays.items()}
    first, train = next(iter(arrays.items()))  # the training part
    text = train.dtype.kind == "U"
    labelled = {
        key: _labelled(values, key == first, f"{name}: {key}") for key, values in arrays.items()
    }
    if class_names is None:
        known, fault = np.unique(train[labelled[first]]), f"has the class {{}} that {first} lacks"
        if not len(known):
            raise ValueError(f"{name}: {first} holds no label (only -1): give class_names as well")
    elif text:
        known, fault = np.array(class_names), "has {}, which is none of the class names"
    else:
        count = len(class_names)
        known = np.arange(count)
        fault = f"must lie in 0 ... {count - 1}, as there are {count} class names, not {{}}"
    by_value = np.argsort(known)
    numbers = {}
    for key, values in arrays.items():
        if (values.dtype.kind == "U") != text:
            raise ValueError(f"{name}: {key} and {first} are not of one kind")
        mask = labelled[key]
        unknown = values[mask & ~np.isin(values, known)]
        if len(unknown):
            raise ValueError(f"{name}: {key} {fault.format(repr(unknown[0].item()))}")
        numbers[key] = np.full(len(values), UNLABELLED, dtype=np.int64)
        places = np.searchsorted(known, values[mask], sorter=by_value)
        numbers[key][mask] = by_value[places]
    return numbers, tuple(class_names or (str(label) for label in known))


def _labelled(values: np.ndarray, train: bool, name: str) -> np.ndarray:
    """Return which samples have a label; only training samples may have none.

    An accuracy of a part of which some samples are left out silently would mislead, so −1 in the
    held-out and test parts is refused.
    """
    if values.dtype.kind not in "if" or not (values == UNLABELLED).any():
        return np.ones(len(values), dtype=bool)
    if (values < UNLABELLED).any():
        raise ValueError(
            f"{name} holds -1, which marks samples without a label, and {values.min()}: number the "
            "classes from 0"
        )
    if not train:
        raise ValueError(
            f"{name} holds -1, which marks samples without a label, but results are measured on "
            "this part: leave these samples out (or number the classes from 0)"
        )
    return values != UNLABELLED


def _columns(
    arrays: Mapping[str, np.ndarray], class_names: list[str] | None, kind: str, name: str
) -> Labels:
    """Return regression targets or several labels a sample as (n, K)."""
    columns = {key: v[:, None] if v.ndim == 1 else v for key, v in arrays.items()}
    widths = {values.shape[1] for values in columns.values()}
    if len(widths) > 1 or not max(widths):
        shapes = ", ".join(f"{key} {values.shape}" for key, values in columns.items())
        raise ValueError(f"{name}: labels must have one number of columns, not {shapes}")
    (count,) = widths
    if class_names is not None and len(class_names) != count:
        raise ValueError(f"{name} has {len(class_names)} class names for {count} columns of labels")
    word = "target" if kind == "regression" else "label"
    names = class_names or ([word] if count == 1 else [f"{word} {k}" for k in range(count)])
    if kind == "regression":
        values = {key: as_float32(v, f"{name}: {key}") for key, v in columns.items()}
        first, train = next(iter(values.items()))  # the training part
        if (train == train[:1]).all():
            raise ValueError(f"{name}: every target of {first} is equal: there is nothing to learn")
    else:
        values = {key: v.astype(np.uint8) for key, v in columns.items()}
    return Labels(values, tuple(names), kind)
