"""Data sets from a user's arrays: names and checks; missing labels are made from segments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wcord.data.dataset_contents import Notes
from wcord.data.image_files import check_levels, scaling, to_8_bit, white_level
from wcord.data.raw import Raw, part_of
from wcord.data.scene_labels import room_labels
from wcord.data.split import Split
from wcord.data.to_numpy import samples, to_numpy

ALIASES = {"x": "images", "y": "labels"}
KINDS = ("images", "labels", "boxes", "depth", "gray", "segments")
NAMES = ("class_names", "classes")


def from_arrays(arrays: Any, name: str = "the arrays") -> Raw:
    """Build a source from named arrays, the contents of an .npz file for instance.

    Names, in any case (x_ means images_ and y_ means labels_; _valid, _validation and _dev mean
    _val):
        images_train, images_val, images_test: (n, H, W), (n, H, W, C) or (n, C, H, W) with C = 1
            or 3; floating point in [0, 1], bool, or integers; more than 8 bits are scaled by one
            factor for all parts (see `white_level`).
        labels_train, ...: (n,) integers, bool or text.
        class_names or classes: (K,) text, optional; then labels are 0 ... K − 1 or these names.
        boxes_train, ...: (n, 4) left, top, right, bottom, optional, in pixels of the images or of
            images larger by a whole factor (the smallest factor for which all boxes fit).
        depth_train, ...: (n, H, W) uint8, optional.
        gray_train, ...: (n,) bool, optional; images with equal channels always count as gray.
        segments_train, ...: (n, H, W) uint8, only used if there are no labels (see
            `room_labels`).
        train, val, test: a pair (images, labels) or a torch `Dataset` of such pairs; a pair or a
            `Dataset` without a name is the training part.
    Arrays are numpy arrays, tensors (also with a graph or on a GPU), lists, or columns of a data
    frame. Validation arrays are the held-out part; without them it is drawn from the training part.
    Without a test part, a fifth of the training samples is the test part, the same for every seed.

    Args:
        arrays: by name, a pair, or a `Dataset`.
        name: of the data set, for messages.

    Raises:
        ValueError: one line with the name of the array.
    """
    values, class_names, unused = _long_names(arrays, name)
    suffixes = _suffixes(values, [*values, *unused], name)
    for key in (
        f"{kind}_{suffix}" for kind in ("boxes", "depth", "gray") for suffix in suffixes.values()
    ):
        extra = values.get(key, np.zeros(1))
        if extra.dtype.kind not in "biuf" or not np.isfinite(extra).all():
            raise ValueError(f"{name}: {key} must hold finite numbers")
    labels, classes, masks = _labels(values, suffixes, class_names, name)
    images, remarks = _images(
        {suffix: values[f"images_{suffix}"] for suffix in suffixes.values()}, name
    )
    scale = _box_scale(values, images)
    parts = {
        part: _split(values, suffix, images[suffix], labels[part], scale, masks.get(part), name)
        for part, suffix in suffixes.items()
    }
    for part, split in parts.items():
        if split.images.shape[1:] != parts["train"].images.shape[1:]:
            raise ValueError(
                f"{name}: images_train and images_{suffixes[part]} differ in size or channels"
            )
    without_images = [key for key in values if key.partition("_")[2] not in suffixes.values()]
    passed_over = [(key, "an unknown name") for key in unused]
    passed_over += [(key, "no images of this part") for key in without_images]
    return Raw.of(classes, parts, tuple(passed_over), remarks)


def _long_names(
    arrays: Any, name: str
) -> tuple[dict[str, np.ndarray], list[str] | None, list[str]]:
    """Return the arrays by long name (images_train), the class names, and the unused keys."""
    named = arrays if isinstance(arrays, Mapping) else {"train": arrays}
    values: dict[str, Any] = {}
    class_names: dict[str, Any] = {}  # by key
    unused = []
    for key, value in named.items():
        kind, _, suffix = str(key).lower().partition("_")
        kind = ALIASES.get(kind, kind)
        if str(key).lower() in NAMES:
            class_names[str(key)] = value
            continue
        if part_of(kind) and not suffix:
            part = samples(value, f"{name}: {key}" if named is arrays else name)
            new = {f"images_{kind}": part.images, f"labels_{kind}": part.labels}
            class_names |= {} if part.classes is None else {f"{key}.classes": part.classes}
        elif kind in KINDS and part_of(suffix):
            new = {f"{kind}_{suffix}": value}
        else:
            unused.append(str(key))
            continue
        if duplicates := values.keys() & new.keys():
            raise ValueError(f"{name} holds {min(duplicates)} twice")
        values |= new
    classes = [_class_names(value, f"{name}: {key}") for key, value in class_names.items()]
    if any(other != classes[0] for other in classes[1:]):
        raise ValueError(f"{name}: {' and '.join(class_names)} name different classes")
    arrays = {key: to_numpy(value, f"{name}: {key}") for key, value in values.items()}
    return arrays, classes[0] if classes else None, unused


def _class_names(value: Any, name: str) -> list[str]:
    names = to_numpy(value, name)
    if names.ndim != 1:
        raise ValueError(f"{name} must be one name per class, of shape (K,)")
    texts = [str(n) for n in names]
    if duplicates := {text for text in texts if texts.count(text) > 1}:
        raise ValueError(f"{name} holds {min(duplicates)!r} twice")
    return texts


def _suffixes(values: Mapping[str, Any], keys: list[str], name: str) -> dict[str, str]:
    """Return the suffix of the arrays of each part, such as "validation" for "held_out"."""
    suffixes: dict[str, str] = {}
    for key in values:
        kind, _, suffix = key.partition("_")
        part = part_of(suffix)
        if kind != "images" or part is None:
            continue
        if part in suffixes:
            raise ValueError(f"{name}: images_{suffixes[part]} and {key} are of one part")
        suffixes[part] = suffix
    if "train" not in suffixes:
        raise ValueError(
            f"{name} holds no array images_train (or x_train), only: {', '.join(keys) or 'none'}"
        )
    return {part: suffixes[part] for part in ("train", "held_out", "test") if part in suffixes}


def _labels(
    values: Mapping[str, np.ndarray],
    suffixes: Mapping[str, str],
    class_names: list[str] | None,
    name: str,
) -> tuple[dict[str, np.ndarray], tuple[str, ...], dict[str, np.ndarray]]:
    """Return labels, class names and, if labels come from segments, masks of the samples used."""
    if f"labels_{suffixes['train']}" in values:
        for suffix in suffixes.values():
            if f"labels_{suffix}" not in values:
                raise ValueError(f"{name} holds images_{suffix} but no labels_{suffix}")
        labels = {
            part: _checked_labels(values[f"labels_{suffix}"], f"{name}: labels_{suffix}")
            for part, suffix in suffixes.items()
        }
        return *_numbered(labels, suffixes, class_names, name), {}
    if class_names is not None and all(
        f"segments_{suffix}" in values for suffix in suffixes.values()
    ):
        segments = {part: values[f"segments_{suffix}"] for part, suffix in suffixes.items()}
        return room_labels(segments, class_names)
    raise ValueError(f"{name} holds no array labels_train (or y_train)")


def _numbered(
    labels: Mapping[str, np.ndarray],
    suffixes: Mapping[str, str],
    class_names: list[str] | None,
    name: str,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return labels 0 ... K − 1 of each part, and the class names."""
    text = labels["train"].dtype.kind == "U"
    if class_names is None:
        known, fault = np.unique(labels["train"]), "has the class {} that labels_train lacks"
    elif text:
        known, fault = np.array(class_names), "has {}, which is none of the class names"
    else:
        count = len(class_names)
        known = np.arange(count)
        fault = f"must lie in 0 ... {count - 1}, as there are {count} class names, not {{}}"
    by_value = np.argsort(known)
    numbers = {}
    for part, values in labels.items():
        key = f"labels_{suffixes[part]}"
        if (values.dtype.kind == "U") != text:
            raise ValueError(f"{name}: {key} and labels_train are not of one kind")
        unknown = values[~np.isin(values, known)]
        if len(unknown):
            raise ValueError(f"{name}: {key} {fault.format(repr(unknown[0].item()))}")
        numbers[part] = by_value[np.searchsorted(known, values, sorter=by_value)].astype(np.int64)
    return numbers, tuple(class_names or (str(label) for label in known))


def _checked_labels(values: np.ndarray, name: str) -> np.ndarray:
    """Return labels (n,) as integers, bool or text."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "f":
        if np.isnan(values).any():
            raise ValueError(f"{name} has missing values (NaN)")
        if (np.abs(values) > 2**53).any():
            raise ValueError(f"{name} holds {np.abs(values).max():g}, which is no class number")
        if (values == np.rint(values)).all():
            values = values.astype(np.int64)
    if values.ndim != 1 or values.dtype.kind not in "biuU":
        hint = ": take argmax(1) of one-hot labels" if values.ndim == 2 else ""
        raise ValueError(
            f"{name} must be one integer or text a sample, not {values.dtype} of shape "
            f"{values.shape}{hint}"
        )
    return values


def _images(arrays: Mapping[str, np.ndarray], name: str) -> tuple[dict[str, Tensor], Notes]:
    """Return the images of each suffix as (n, C, H, W) uint8, and remarks on their scaling."""
    highest = {}  # of integers that may have more than 8 bits
    for suffix, values in arrays.items():
        if values.dtype.kind not in "biuf":
            raise ValueError(f"{name}: images_{suffix} must be numbers, not {values.dtype}")
        if values.dtype.kind in "iuf" and values.dtype != np.uint8:
            highest[suffix] = check_levels(values, f"{name}: images_{suffix}")
    white = white_level(max(highest.values(), default=0))
    images = {}
    for suffix, values in arrays.items():
        if values.dtype.kind == "b":
            values = values.astype(np.uint8) * 255
        elif values.dtype != np.uint8:
            values = to_8_bit(values, 1 if values.dtype.kind == "f" else white)
        images[suffix] = _channels_first(values, f"{name}: images_{suffix}")
    if white == 255:
        return images, ()
    return images, (("images of more than 8 bits", scaling(max(highest.values()))),)


def _channels_first(values: np.ndarray, name: str) -> Tensor:
    if values.ndim == 3:
        values = values[..., None]
    last, first = (values.ndim == 4 and values.shape[axis] in (1, 3) for axis in (3, 1))
    if not last and not first:
        four_channels = values.ndim == 4 and 4 in (values.shape[1], values.shape[3])
        hint = ": composite RGBA on a background first" if four_channels else ""
        raise ValueError(
            f"{name} must be (n, H, W), (n, H, W, C) or (n, C, H, W) with C = 1 or 3, not "
            f"{values.shape}{hint}"
        )
    if last and first:
        raise ValueError(
            f"{name} of shape {values.shape} may have its channels first or last: make the images "
            "larger than 3 pixels"
        )
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.permute(0, 3, 1, 2).contiguous() if last else tensor


def _box_scale(values: Mapping[str, np.ndarray], images: Mapping[str, Tensor]) -> float:
    """Return 1/k, if boxes are in pixels of images k times as large as `images`."""
    factor = 1.0
    for suffix, part in images.items():
        boxes = values.get(f"boxes_{suffix}")
        if boxes is not None and boxes.size and boxes.shape[1:] == (4,):
            height, width = part.shape[2:]
            factor = max(factor, boxes[:, 2].max() / width, boxes[:, 3].max() / height)
    return 1 / math.ceil(factor)


def _split(
    arrays: Mapping[str, np.ndarray],
    suffix: str,
    images: Tensor,
    labels: np.ndarray,
    box_scale: float,
    mask: np.ndarray | None,
    name: str,
) -> Split:
    """Return the samples of one part with their extras; with `mask`, only the marked samples."""
    n, _, height, width = images.shape
    if n == 0:
        raise ValueError(f"{name}: images_{suffix} is empty")
    extras: dict[str, Tensor] = {}
    shapes = {"boxes": (n, 4), "depth": (n, height, width), "gray": (n,)}
    for key, shape in shapes.items():
        values = arrays.get(f"{key}_{suffix}")
        if values is None:
            continue
        if key == "depth" and values.ndim == 4 and values.shape[3] == 1:
            values = values[..., 0]
        if values.shape != shape or (key == "depth" and values.dtype != np.uint8):
            kind = " uint8" if key == "depth" else ""
            raise ValueError(f"{name}: {key}_{suffix} must be{kind} of shape {shape}")
        extras[key] = torch.from_numpy(np.ascontiguousarray(values))
    if "boxes" in extras:
        extras["boxes"] = extras["boxes"].float() * box_scale
    if "depth" in extras:
        extras["depth"] = extras["depth"][:, None]
    if len(labels) != n:
        raise ValueError(f"{name}: {len(labels)} labels for {n} images in the {suffix} part")
    extras["gray"] = extras.get("gray", torch.zeros(n, dtype=torch.bool)).bool()
    split = Split(images, torch.from_numpy(labels), extras)
    return split if mask is None else split.take(torch.from_numpy(mask))
