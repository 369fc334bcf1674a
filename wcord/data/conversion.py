"""Arrays of any library as numpy: tensors, columns of data frames, pictures, torch data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from wcord.data.image_files import DEEP, NotRead, flattened

NUMBERS = (bool, int, float, np.number, np.bool_)


class Samples(NamedTuple):
    """One part of a data set: images, labels, and the names of the classes where they are known."""

    images: Any
    labels: Any
    classes: Sequence[str] | None = None


def samples(value: Any, name: str) -> Samples:
    """Return images and labels of a pair (images, labels) or of a torch `Dataset`.

    A data set is read once, sample by sample, so that its transforms must be the same every time.

    Raises:
        ValueError: it is neither; says what to give instead.
    """
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
    if not isinstance(value, Dataset):
        raise ValueError(
            f"{name} must be a pair (images, labels), a torch Dataset, or arrays by name as "
            f'{{"images_train": ..., "labels_train": ...}}, not {type(value).__name__}'
        )
    if not hasattr(value, "__len__"):
        raise ValueError(f"{name} is a data set without a length: collect its samples first")
    items = [value[i] for i in range(len(value))]
    if not all(isinstance(item, (tuple, list)) and len(item) == 2 for item in items):
        raise ValueError(f"{name}: every sample must be a pair (picture, label)")
    whole: Any = value
    while isinstance(whole, Subset):
        whole = whole.dataset
    labels = [label.item() if isinstance(label, Tensor) else label for _, label in items]
    classes = getattr(whole, "classes", None)
    known = classes if isinstance(classes, (list, tuple)) else None
    return Samples([picture for picture, _ in items], labels, known)


def to_numpy(value: Any, name: str) -> np.ndarray:
    """Return an array-like as numpy, also off a graph and from a GPU; bytes become text.

    Raises:
        ValueError: entries of different shapes or kinds, or missing ones; names the array.
    """
    if isinstance(value, Tensor):
        value = value.detach().to_dense().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, Dataset):
        raise ValueError(f'{name} is a data set: give it by its part, as {{"train": ...}}')
    if isinstance(value, (list, tuple)):
        array = _of_entries(list(value), name)
    else:
        array = np.asarray(value)
    if array.dtype.kind == "O":
        if array.ndim == 2 and array.shape[1] == 1:  # a frame of one column
            array = array[:, 0]
        if array.ndim != 1:
            raise ValueError(f"{name} must be an array of numbers or text, not of objects")
        array = _of_entries(list(array), name)
    if array.dtype.kind == "T":  # numpy's text of any length
        array = array.astype(str)
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} holds bytes that are no UTF-8 text") from error
    return array


def _of_entries(entries: list[Any], name: str) -> np.ndarray:
    """Return a list as an array: of one type, of one shape."""
    kinds = {type(entry) for entry in entries}
    if all(issubclass(kind, NUMBERS) for kind in kinds) or any(
        all(issubclass(kind, text) for kind in kinds) for text in (str, bytes)
    ):
        return np.array(entries)
    if all(issubclass(kind, Image.Image) for kind in kinds):
        entries = _pictures(entries, name)
    elif not all(issubclass(kind, (Tensor, np.ndarray, list, tuple)) for kind in kinds):
        if any(pd.api.types.is_scalar(entry) and pd.isna(entry) for entry in entries):
            raise ValueError(f"{name} has missing values")
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"{name} must hold numbers or text of one kind, not {found}")
    arrays = [to_numpy(entry, name) for entry in entries]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ValueError(
            f"{name} has entries of different shapes, such as {shapes[0]} and {shapes[-1]}: all "
            "must have one shape"
        )
    return np.stack(arrays)


def _pictures(pictures: list[Image.Image], name: str) -> list[np.ndarray]:
    """Return pictures as arrays: all gray, all of more than 8 bits, or all (H, W, 3) uint8."""
    try:
        flat = [flattened(picture) for picture in pictures]
    except NotRead as error:
        raise ValueError(f"{name} has a picture that is not read: {error}") from error
    modes = {picture.mode for picture in flat}
    if modes & set(DEEP) and not modes <= set(DEEP):
        raise ValueError(f"{name} mixes pictures of 8 bits and of more: convert them to 8 bits")
    if "RGB" in modes:
        flat = [picture.convert("RGB") for picture in flat]
    return [np.asarray(picture) for picture in flat]
