"""Read a pair of arrays or any map-style data set into inputs and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)

from wcord.data.dataset_contents import Notes
from wcord.data.indexed import Indexed
from wcord.data.to_numpy import to_numpy
from wcord.errors import first_line

# keys of a sample that is a table
INPUT_KEYS = ("image", "images", "img", "input", "inputs", "x", "pixel_values", "features", "data")
LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class")
READ_TWICE = 24  # samples that are compared with a second reading


class Samples(NamedTuple):
    """One part of a data set: images, labels, class names if known, and entries not used."""

    images: Any
    labels: Any
    classes: Sequence[str] | None = None
    unused: Notes = ()


def samples(value: Any, name: str) -> Samples:
    """Return inputs and labels of a pair (inputs, labels) or of a map-style data set.

    A data set has a length and samples by position: (input, label), with further entries that are
    not used, or a table such as {"image": ..., "label": ...}. It is read once. A few samples are
    read a second time, because random transforms would be frozen.

    Raises:
        ValueError: the value is neither, a sample cannot be read or is of another form, or two
            readings of a sample differ; one line.
    """
    value = value.dataset if isinstance(value, Indexed) else value
    pair = value.tensors if isinstance(value, TensorDataset) else value
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        if any(isinstance(part, (tuple, Dataset)) for part in pair):
            raise ValueError(
                f"{name} must be one pair (images, labels): give several parts by name, as "
                '{"train": ..., "test": ...}'
            )
        return Samples(*pair)
    if isinstance(value, DataLoader):
        raise ValueError(f"{name} is a DataLoader: give its .dataset")
    if not _is_map_style(value):
        raise ValueError(
            f"{name} must be a pair (images, labels), a torch Dataset, or arrays by name as "
            f'{{"images_train": ..., "labels_train": ...}}, not {type(value).__name__}'
        )
    count = _length(value, name)
    items = [_sample(value, i, name) for i in range(count)]
    inputs, labels, unused = _columns(items, name)
    for i in np.unique(np.linspace(0, count - 1, min(count, READ_TWICE)).astype(int)):
        again = _columns([_sample(value, int(i), name)], name)
        if not (_same(again[0][0], inputs[i]) and _same(again[1][0], labels[i])):
            raise ValueError(
                f"{name}: two readings of sample {i} differ, so it has random transforms, which "
                "would be frozen: give the data set without them (data.augment: crop-flip augments "
                "pictures in training)"
            )
    return Samples(inputs, labels, _class_names(value), unused)


def _is_map_style(value: Any) -> bool:
    """Return whether a value is a data set: a torch `Dataset`, or has samples by position."""
    if isinstance(value, Dataset):
        return True
    known = (str, bytes, Mapping, list, tuple, Tensor, np.ndarray, pd.DataFrame, pd.Series)
    is_array = isinstance(value, known) or hasattr(value, "__array__")
    return not is_array and hasattr(value, "__getitem__") and hasattr(value, "__len__")


def _length(value: Any, name: str) -> int:
    iterable = isinstance(value, IterableDataset) or not hasattr(value, "__getitem__")
    try:
        count = len(value)
    except Exception:  # a user's class may raise anything
        iterable = True
    if iterable:
        raise ValueError(
            f"{name} is a data set without a length or without samples by position: collect its "
            "samples in arrays first"
        )
    if not count:
        raise ValueError(f"{name} is a data set of no samples")
    return int(count)


def _sample(value: Any, place: int, name: str) -> Any:
    try:
        return value[place]
    except Exception as error:  # a user's code may raise anything
        reason = first_line(error)
        raise ValueError(f"{name}: sample {place} cannot be read: {reason}") from error


def _columns(items: list[Any], name: str) -> tuple[list[Any], list[Any], Notes]:
    """Return inputs and labels of samples, and the entries that are not used."""
    if all(isinstance(item, Mapping) for item in items):
        return _of_tables(items, name)
    if not all(isinstance(item, (tuple, list)) and len(item) >= 2 for item in items):
        raise ValueError(
            f"{name}: every sample must be a pair (image, label), or a table such as "
            '{"image": ..., "label": ...}'
        )
    most = max(map(len, items))
    unused = ((f"entries 3 to {most}", "only input and label are used"),) if most > 3 else ()
    unused = (("entry 3", "only input and label are used"),) if most == 3 else unused
    return [item[0] for item in items], [_plain(item[1]) for item in items], unused


def _of_tables(items: list[Any], name: str) -> tuple[list[Any], list[Any], Notes]:
    keys = list(items[0])
    if any(list(item) != keys for item in items):
        raise ValueError(f"{name}: samples have different keys")
    chosen = []
    for side, known in (("input", INPUT_KEYS), ("label", LABEL_KEYS)):
        found = [key for key in keys if str(key).lower() in known]
        if len(found) != 1:
            fault = f"{len(found)} keys for its {side}" if found else f"no key for its {side}"
            raise ValueError(
                f"{name}: a sample with the keys {', '.join(map(str, keys))} has {fault}: name one "
                f"of them {known[0]!r}, and no other {', '.join(known[1:])}"
            )
        chosen.append(found[0])
    unused = tuple((str(k), "only input and label are used") for k in keys if k not in chosen)
    return [item[chosen[0]] for item in items], [_plain(item[chosen[1]]) for item in items], unused


def _plain(label: Any) -> Any:
    """Return a label of one number as a number."""
    return label.item() if isinstance(label, Tensor) and label.numel() == 1 else label


def _same(one: Any, other: Any) -> bool:
    """Return whether two readings of an input or a label are equal."""
    if isinstance(one, Image.Image) and isinstance(other, Image.Image):
        return (
            one.mode == other.mode and one.size == other.size and one.tobytes() == other.tobytes()
        )
    if isinstance(one, (Tensor, np.ndarray, list, tuple)):
        a, b = (to_numpy(value, "a sample") for value in (one, other))
        nan = a.dtype.kind in "fc"
        return a.shape == b.shape and np.array_equal(a, b, equal_nan=nan)
    return bool(one == other) or (one != one and other != other)


def _class_names(value: Any) -> Sequence[str] | None:
    """Return the class names of a data set, also inside `Subset` and `ConcatDataset`."""
    while isinstance(value, Subset):
        value = value.dataset
    if isinstance(value, ConcatDataset):
        names = [_class_names(part) for part in value.datasets]
        return names[0] if all(other == names[0] for other in names) else None
    classes = getattr(value, "classes", None)
    return classes if isinstance(classes, (list, tuple)) else None
