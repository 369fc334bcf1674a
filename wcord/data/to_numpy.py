"""Convert arrays of any library to numpy: tensors, columns of data frames, lists, images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from wcord.data.image_files import DEEP, UnreadableImage, flattened
from wcord.errors import first_line

NUMBERS = (bool, int, float, np.number, np.bool_)


def to_numpy(value: Any, name: str, missing: str = "") -> np.ndarray:
    """Return any array-like as a numpy array; tensors may be on a GPU, and bytes become text.

    Args:
        value: the array-like.
        name: for messages.
        missing: what to do about missing entries, for the message.

    Raises:
        ValueError: entries of different shapes or kinds, or missing entries.
    """
    if isinstance(value, Tensor):
        return _of_tensor(value, name)
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise ValueError(f"{name} has masked entries: fill them or leave out their samples")
    if isinstance(value, Dataset):
        raise ValueError(f'{name} is a data set: give it by its part, as {{"train": ...}}')
    if isinstance(value, (list, tuple)):
        array = _of_entries(list(value), name, missing)
    elif isinstance(value, pd.DataFrame) and value.shape[1] != 1:
        array = _of_frame(value, name)
    else:
        array = np.asarray(value)
    if array.dtype.kind == "O":
        if array.ndim == 2 and array.shape[1] == 1:  # a frame of one column
            array = array[:, 0]
        if array.ndim != 1:
            raise ValueError(f"{name} must be an array of numbers or text, not of objects")
        array = _of_entries(list(array), name, missing)
    if array.dtype.kind == "T":  # numpy's text of any length
        array = array.astype(str)
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} holds bytes that are no UTF-8 text") from error
    return array


def _of_tensor(value: Tensor, name: str) -> np.ndarray:
    if value.is_meta:
        raise ValueError(f"{name} is on the meta device and has no values")
    try:
        value = value.detach().to_dense().cpu().resolve_conj().resolve_neg()
        if value.dtype.is_floating_point and value.dtype.itemsize < 4:  # numpy lacks some of these
            value = value.float()
        return value.numpy()
    except (TypeError, RuntimeError) as error:  # quantised, nested, ...
        raise ValueError(
            f"{name} is a tensor that numpy cannot hold: {first_line(error)}"
        ) from error


def _of_frame(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a data frame of numbers (n, columns); missing numbers become NaN."""
    is_number = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    other = [str(column) for column, fits in zip(frame.columns, is_number, strict=True) if not fits]
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise ValueError(
            f"{name} has columns that are no numbers: {', '.join(other[:3])}{more}; encode them as "
            "numbers or leave them out"
        )
    array = np.asarray(frame)
    return frame.to_numpy(np.float64, na_value=np.nan) if array.dtype.kind == "O" else array


def _of_entries(entries: list[Any], name: str, missing: str) -> np.ndarray:
    """Return a list as an array; its entries must have one type and one shape."""
    kinds = {type(entry) for entry in entries}
    if all(issubclass(kind, NUMBERS) for kind in kinds) or any(
        all(issubclass(kind, text) for kind in kinds) for text in (str, bytes)
    ):
        return np.array(entries)
    if all(issubclass(kind, Image.Image) for kind in kinds):
        entries = _image_arrays(entries, name)
    elif not all(issubclass(kind, (Tensor, np.ndarray, list, tuple)) for kind in kinds):
        if any(pd.api.types.is_scalar(entry) and pd.isna(entry) for entry in entries):
            raise ValueError(f"{name} has missing values{missing}")
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"{name} must hold numbers or text of one kind, not {names}")
    arrays = [to_numpy(entry, name, missing) for entry in entries]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ValueError(
            f"{name} has entries of different shapes, such as {shapes[0]} and {shapes[-1]}: all "
            "must have one shape"
        )
    return np.stack(arrays)


def _image_arrays(images: list[Image.Image], name: str) -> list[np.ndarray]:
    """Return images as arrays: all gray, all of more than 8 bits, or all (H, W, 3) uint8."""
    try:
        flat = [flattened(image) for image in images]
    except UnreadableImage as error:
        raise ValueError(f"{name} has an image that cannot be read: {error}") from error
    modes = {image.mode for image in flat}
    if modes & set(DEEP) and not modes <= set(DEEP):
        raise ValueError(f"{name} mixes images of 8 bits and of more: convert them to 8 bits")
    if "RGB" in modes:
        flat = [image.convert("RGB") for image in flat]
    return [np.asarray(image) for image in flat]
