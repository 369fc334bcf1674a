"""A batch of a caller's loader in parts: index, inputs of the networks, and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from wcord.losses.misuse import integers

LABEL_KEYS = ("labels", "label")


@dataclass(frozen=True)
class LoaderBatch:
    """A batch of a loader: index (n,) if any, the inputs of the networks, and labels if any."""

    index: Tensor | None
    inputs: Any
    labels: Any


def loader_batch(entry: Any, need_index: bool, name: str) -> LoaderBatch:
    """Return a batch of a loader in parts.

    Args:
        entry: a tuple or list (index, inputs, labels...), or a dictionary with "index", whose other
            entries without "labels" or "label" are the inputs. Without `need_index` the index may
            be missing. A first entry of whole numbers (n,) is an index.
        need_index: whether the index is needed.
        name: of the loss, for messages.

    Raises:
        ValueError: no index where it is needed, or an index of other numbers than integers.
    """
    index: Any = None
    inputs: Any
    if isinstance(entry, Mapping):
        rest = dict(entry)
        index = rest.pop("index", None)
        found = [rest.pop(key) for key in LABEL_KEYS if key in rest]
        inputs, labels = rest, found[0] if found else None
    else:
        values = list(entry) if isinstance(entry, (tuple, list)) else [entry]
        if len(values) > 1 and _is_index(values[0]):
            index = values.pop(0)
        inputs = values[0] if values else None
        labels = values[1] if len(values) > 1 else None
    if index is None and need_index:
        raise ValueError(
            f"{name}: the loader must give the index of every sample in the training set, as "
            "(index, inputs, labels) or {'index': ...}: wrap the data set by wcord.Indexed(dataset)"
        )
    if index is not None:
        index = integers(index, f"{name}: the loader's index")
    return LoaderBatch(index, inputs, labels)


def _is_index(values: Any) -> bool:
    """Return whether the first entry of a batch is an index: whole numbers (n,)."""
    try:
        integers(values, "")
    except ValueError:
        return False
    return True
