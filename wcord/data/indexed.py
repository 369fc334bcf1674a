"""A data set that gives the index of each sample along with it."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from torch.utils.data import Dataset, IterableDataset


class Indexed(Dataset[Any]):
    """A map-style data set whose samples begin with their index: (index, *sample).

        Indexed(dataset)[i] = (i, *dataset[i])
        Indexed(dataset)[i] = {"index": i, **dataset[i]}   for dictionaries

    Losses with a bank need this index: the number of a sample in the training set.

    Args:
        dataset: has a length, and samples that are tuples, lists, dictionaries or single values.
            To train on a part of a data set, give the part: Indexed(Subset(...)).

    Raises:
        ValueError: a data set without a length, or a sample that already has an "index".

    >>> Indexed([("a", 0), ("b", 1)])[1]
    (1, 'b', 1)
    """

    def __init__(self, dataset: Any) -> None:
        stream = isinstance(dataset, IterableDataset)
        if stream or not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ValueError(
                f"Indexed needs a data set with a length, not {type(dataset).__name__}: samples of "
                "a stream have no number"
            )
        if isinstance(dataset, Indexed):
            raise ValueError("the samples of this data set have an index already")
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        number = operator.index(index)
        if number < 0:  # counted from the end
            number += len(self)
        sample = self.dataset[number]
        if isinstance(sample, Mapping):
            if "index" in sample:
                raise ValueError('the samples of this data set have an "index" already')
            return {"index": number, **sample}
        values = sample if isinstance(sample, (tuple, list)) else (sample,)
        return (number, *values)

    def __getattr__(self, name: str) -> Any:
        """Return other attributes of the data set, such as `classes`."""
        # "dataset" is not set yet in a copy that is being made; special methods of the data set,
        # such as __getitems__, would give samples without index
        if name == "dataset" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)
