"""The inputs of a user's arrays: pictures as uint8, all other arrays as float32, unchanged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from wcord.data.dataset_contents import Notes
from wcord.data.image_files import check_levels, scaling, to_8_bit, white_level

LOST = 1e-3  # largest loss of float32, as a share of a channel's deviation
ROWS = 4096
TAKE_AS_IT_IS = "set data.kind to 'arrays' to take it as it is, with channels in axis 1"


def inputs_of(
    arrays: Mapping[str, np.ndarray], kind: str, name: str
) -> tuple[dict[str, Tensor], Notes]:
    """Return the inputs of each array, and remarks on their scaling.

    Args:
        arrays: by name, such as images_train.
        kind: "pictures", "arrays" or "auto" (see `DataSettings.kind`).
        name: of the data set, for messages.

    Returns:
        Pictures (n, C, H, W) uint8, or other arrays (n, ...) float32.

    Raises:
        ValueError: an array that cannot be used; the message names it and says what to do.
    """
    for key, values in arrays.items():
        if values.dtype.kind not in "biuf":
            raise ValueError(f"{name}: {key} must be numbers, not {values.dtype}")
    if kind == "pictures" or (kind == "auto" and _are_pictures(arrays, name)):
        return _pictures(arrays, kind, name)
    found = {}
    for key, values in arrays.items():
        if values.ndim < 2 or 0 in values.shape[1:]:
            hint = ": give (n, 1) for one number a sample" if values.ndim == 1 else ""
            raise ValueError(f"{name}: {key} must be (n, ...), not {values.shape}{hint}")
        found[key] = torch.from_numpy(as_float32(values, f"{name}: {key}"))
    return found, ()


def as_float32(values: np.ndarray, name: str) -> np.ndarray:
    """Return numbers (n, C, ...) as float32.

    Raises:
        ValueError: NaN or infinite values, or a channel (axis 1) whose values differ by less than
            float32 can tell apart, such as large numbers that count seconds.
    """
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(single).all():
        large = np.isfinite(values).all()
        fault = f"values up to {np.abs(values).max():g}, too large" if large else "NaN or infinite"
        raise ValueError(
            f"{name} holds {fault}{' for float32' if large else ' values'}: replace them"
        )
    if values.dtype.itemsize > 2 and values.dtype != np.float32 and len(values):
        _check_precision(values, single, name)
    return single


def _check_precision(values: np.ndarray, single: np.ndarray, name: str) -> None:
    axes = (0, *range(2, values.ndim))
    origin = values[:1].mean(axes, dtype=np.float64, keepdims=True)
    total = square = lost = np.zeros(values.shape[1])
    for start in range(0, len(values), ROWS):
        part = values[start : start + ROWS].astype(np.float64)
        total = total + (part - origin).sum(axes)
        square = square + np.square(part - origin).sum(axes)
        lost = lost + np.square(part - single[start : start + ROWS]).sum(axes)
    count = values.size / values.shape[1]
    spread = np.sqrt(np.maximum(square / count - np.square(total / count), 0))
    faulty = (spread > 0) & (np.sqrt(lost / count) > LOST * spread)
    if faulty.any():
        channel = int(faulty.argmax())
        level = float(total[channel] / count + origin.reshape(-1)[channel])
        raise ValueError(
            f"{name}: the values of column {channel} (axis 1) lie about {spread[channel]:.3g} "
            f"around {level:.9g}, and float32 cannot tell them apart: subtract an offset, or leave "
            "the column out"
        )


def _picture_shaped(values: np.ndarray) -> bool:
    channels = (values.shape[1], values.shape[3]) if values.ndim == 4 else ()
    return values.ndim == 3 or 1 in channels or 3 in channels


def _are_pictures(arrays: Mapping[str, np.ndarray], name: str) -> bool:
    """Return whether arrays have the shape of pictures; refuse shapes that may be either."""
    shaped = {key: _picture_shaped(values) for key, values in arrays.items()}
    for key, values in arrays.items():
        if shaped[key] or values.ndim != 4:
            continue
        if any(shaped.values()) or _may_be_rgba(values) or values.shape[3] < min(values.shape[1:3]):
            raise ValueError(f"{_no_picture(values, f'{name}: {key}')}; {TAKE_AS_IT_IS}")
    if len(set(shaped.values())) > 1:
        shapes = " and ".join(f"{key} is of shape {values.shape}" for key, values in arrays.items())
        raise ValueError(f"{name}: {shapes}: all parts must have one shape")
    return all(shaped.values())


def _may_be_rgba(values: np.ndarray) -> bool:
    if 4 not in (values.shape[1], values.shape[3]):
        return False
    return values.dtype.kind != "f" or not ((values < 0) | (values > 1)).any()


def _no_picture(values: np.ndarray, name: str) -> str:
    four_channels = values.ndim == 4 and 4 in (values.shape[1], values.shape[3])
    hint = ": composite RGBA on a background first" if four_channels else ""
    return (
        f"{name} must be (n, H, W), (n, H, W, C) or (n, C, H, W) with C = 1 or 3, not "
        f"{values.shape}{hint}"
    )


def _pictures(
    arrays: Mapping[str, np.ndarray], kind: str, name: str
) -> tuple[dict[str, Tensor], Notes]:
    """Return pictures as (n, C, H, W) uint8, and remarks on their scaling."""
    hint = f"; or, if these are no pictures, {TAKE_AS_IT_IS}" if kind == "auto" else ""
    highest = {}  # of integers that may have more than 8 bits
    for key, values in arrays.items():
        if values.dtype.kind in "iuf" and values.dtype != np.uint8:
            highest[key] = check_levels(values, f"{name}: {key}", hint)
    white = white_level(max(highest.values(), default=0))
    images = {}
    for key, values in arrays.items():
        if values.dtype.kind == "b":
            values = values.astype(np.uint8) * 255
        elif values.dtype != np.uint8:
            values = to_8_bit(values, 1 if values.dtype.kind == "f" else white)
        images[key] = _channels_first(values, f"{name}: {key}")
    if white == 255:
        return images, ()
    return images, (("images of more than 8 bits", scaling(max(highest.values()))),)


def _channels_first(values: np.ndarray, name: str) -> Tensor:
    if values.ndim == 3:
        values = values[..., None]
    last, first = (values.ndim == 4 and values.shape[axis] in (1, 3) for axis in (3, 1))
    if not last and not first:
        raise ValueError(_no_picture(values, name))
    if last and first:
        raise ValueError(
            f"{name} of shape {values.shape} may have its channels first or last: make the images "
            "larger than 3 pixels"
        )
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.permute(0, 3, 1, 2).contiguous() if last else tensor
