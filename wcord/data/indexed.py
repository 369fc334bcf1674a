"""A data set that gives the index of each sample along with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.utils.data import Dataset


class Indexed(Dataset[Any]):
    """A map-style data set whose samples begin with their index: (index, *sample).

        Indexed(dataset)[i] = (i, *dataset[i]),   or {"index": i, **dataset[i]} for dictionaries

    Losses with a bank need this index: the number of a sample in the training set.

    Args:
        dataset: has a length, and samples that are tuples, lists, dictionaries or single values.

    Raises:
        ValueError: a data set without a length, or a sample that already has an "index".

    >>> Indexed([("a", 0), ("b", 1)])[1]
    (1, 'b', 1)
    """

    def __init__(self, dataset: Any) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ValueError(
                f"Indexed needs a data set with a length, not {type(dataset).__name__}: samples of "
                "a stream have no number"
            )
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        sample = self.dataset[index]
        if isinstance(sample, Mapping):
            if "index" in sample:
                raise ValueError('the samples of this data set have an "index" already')
            return {"index": index, **sample}
        values = sample if isinstance(sample, (tuple, list)) else (sample,)
        return (index, *values)

    def __getattr__(self, name: str) -> Any:
        """Return other attributes of the data set, such as `classes`."""
        if name == "dataset":  # not set yet, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self.dataset, name)
