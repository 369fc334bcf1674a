"""A user's own arrays: their names, their checks, and what is derived where labels are missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wcord.data.contents import Notes
from wcord.data.conversion import samples, to_numpy
from wcord.data.image_files import check_levels, scaling, to_8_bit, white
from wcord.data.raw import Raw, part_of
from wcord.data.scene_labels import room_labels
from wcord.data.split import Split

ALIASES = {"x": "images", "y": "labels"}
KINDS = ("images", "labels", "boxes", "depth", "gray", "segments")
NAMES = ("class_names", "classes")


def from_arrays(arrays: Any, name: str = "the arrays") -> Raw:
    """Build a source from named arrays, the contents of an .npz file for instance.

    Understood names, in any case (x_ for images_ and y_ for labels_ are taken too; for _val also
    _valid, _validation and _dev):
        images_train, images_val, images_test: (n, H, W), (n, H, W, C) or (n, C, H, W) with C = 1
            or 3; floating point in [0, 1], bool, or integers, where more than 8 bits are scaled
            by one factor for all parts (see `white`).
        labels_train, ...: (n,) integers, bool or text.
        class_names or classes: (K,) text, optional; then labels are 0 ... K − 1 or these names.
        boxes_train, ...: (n, 4) left, top, right, bottom, optional, in pixels of the images or
            of a picture larger by a whole factor (the smallest that holds all boxes).
        depth_train, ...: (n, H, W) uint8, optional.
        gray_train, ...: (n,) bool, optional; pictures whose channels are equal are found anyway.
        segments_train, ...: (n, H, W) uint8, only used where there are no labels (see
            `room_labels`).
        train, val, test: a pair (images, labels) or a torch `Dataset` of such pairs; a pair or a
            `Dataset` by itself is the training part.
    Arrays are numpy's, tensors (also on a graph or a GPU), lists, or columns of a data frame.
    Validation arrays are the held-out part, which is else drawn from the training part. Without a
    test part a fifth of the training samples becomes it, always the same.

    Raises:
        ValueError: one line, naming the array.
    """
    found, names, unused = _named(arrays, name)
    suffixes = _parts(found, [*found, *unused], name)
    for key in (f"{kind}_{s}" for kind in ("boxes", "depth", "gray") for s in suffixes.values()):
        values = found.get(key, np.zeros(1))
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise ValueError(f"{name}: {key} must hold finite numbers")
    keep: dict[str, np.ndarray] = {}
    if f"labels_{suffixes['train']}" in found:
        for s in suffixes.values():
            if f"labels_{s}" not in found:
                raise ValueError(f"{name} holds images_{s} but no labels_{s}")
        labels, classes = _labels({s: found[f"labels_{s}"] for s in suffixes.values()}, names, name)
    elif names is not None and all(f"segments_{s}" in found for s in suffixes.values()):
        segments = {part: found[f"segments_{s}"] for part, s in suffixes.items()}
        derived, classes, shown = room_labels(segments, names)
        labels, keep = ({suffixes[p]: v for p, v in each.items()} for each in (derived, shown))
    else:
        raise ValueError(f"{name} holds no array labels_train (or y_train)")
    images, remarks = _images({s: found[f"images_{s}"] for s in suffixes.values()}, name)
    scale = _box_scale(found, images)
    parts = {
        part: _split(found, s, images[s], labels[s], scale, keep.get(s), name)
        for part, s in suffixes.items()
    }
    for part, split in parts.items():
        if split.images.shape[1:] != parts["train"].images.shape[1:]:
            raise ValueError(
                f"{name}: images_train and images_{suffixes[part]} differ in size or channels"
            )
    alone = [key for key in found if key.partition("_")[2] not in suffixes.values()]
    passed_over = [(key, "no name that is understood") for key in unused]
    passed_over += [(key, "no images of this part") for key in alone]
    return Raw.of(classes, parts, tuple(passed_over), remarks)


def _named(arrays: Any, name: str) -> tuple[dict[str, np.ndarray], list[str] | None, list[str]]:
    """Return the arrays by their long names, the names of the classes, and the keys not used."""
    given = arrays if isinstance(arrays, Mapping) else {"train": arrays}
    found: dict[str, Any] = {}
    names: dict[str, Any] = {}  # by the key that gives them
    unused = []
    for key, value in given.items():
        kind, _, suffix = str(key).lower().partition("_")
        kind = ALIASES.get(kind, kind)
        if str(key).lower() in NAMES:
            names[str(key)] = value
            continue
        if part_of(kind) and not suffix:
            part = samples(value, f"{name}: {key}" if given is arrays else name)
            new = {f"images_{kind}": part.images, f"labels_{kind}": part.labels}
            names |= {} if part.classes is None else {f"{key}.classes": part.classes}
        elif kind in KINDS and part_of(suffix):
            new = {f"{kind}_{suffix}": value}
        else:
            unused.append(str(key))
            continue
        if twice := found.keys() & new.keys():
            raise ValueError(f"{name} holds {min(twice)} twice")
        found |= new
    classes = [_class_names(value, f"{name}: {key}") for key, value in names.items()]
    if any(other != classes[0] for other in classes[1:]):
        raise ValueError(f"{name}: {' and '.join(names)} name different classes")
    arrays = {key: to_numpy(value, f"{name}: {key}") for key, value in found.items()}
    return arrays, classes[0] if classes else None, unused


def _class_names(value: Any, name: str) -> list[str]:
    names = to_numpy(value, name)
    if names.ndim != 1:
        raise ValueError(f"{name} must be one name a class, of shape (K,)")
    texts = [str(n) for n in names]
    if twice := {text for text in texts if texts.count(text) > 1}:
        raise ValueError(f"{name} holds {min(twice)!r} twice")
    return texts


def _parts(found: Mapping[str, Any], keys: list[str], name: str) -> dict[str, str]:
    """Return how the arrays spell each part, "validation" for "held_out" for instance."""
    suffixes: dict[str, str] = {}
    for key in found:
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
    given: dict[str, np.ndarray], names: list[str] | None, name: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return labels 0 ... K − 1 of every part, the training part first, and the class names."""
    given = {s: _checked_labels(values, f"{name}: labels_{s}") for s, values in given.items()}
    train = next(iter(given.values()))
    text = train.dtype.kind == "U"
    if names is None:
        known, fault = np.unique(train), "has the class {} that labels_train lacks"
    elif text:
        known, fault = np.array(names), "has {}, which is none of the class names"
    else:
        known = np.arange(len(names))
        fault = (
            f"must lie in 0 ... {len(names) - 1}, as there are {len(names)} class names, not {{}}"
        )
    by_value = np.argsort(known)
    labels = {}
    for s, values in given.items():
        if (values.dtype.kind == "U") != text:
            raise ValueError(f"{name}: labels_{s} and labels_train are not of one kind")
        strange = values[~np.isin(values, known)]
        if len(strange):
            raise ValueError(f"{name}: labels_{s} {fault.format(repr(strange[0].item()))}")
        labels[s] = by_value[np.searchsorted(known, values, sorter=by_value)].astype(np.int64)
    return labels, tuple(names or (str(label) for label in known))


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


def _images(given: dict[str, np.ndarray], name: str) -> tuple[dict[str, Tensor], Notes]:
    """Return the images of every part as (n, C, H, W) uint8."""
    highest = {}  # of integers that may have more than 8 bits
    for s, values in given.items():
        if values.dtype.kind not in "biuf":
            raise ValueError(f"{name}: images_{s} must be numbers, not {values.dtype}")
        if values.dtype.kind in "iuf" and values.dtype != np.uint8:
            highest[s] = check_levels(values, f"{name}: images_{s}")
    top = white(max(highest.values(), default=0))
    images = {}
    for s, values in given.items():
        if values.dtype.kind == "b":
            values = values.astype(np.uint8) * 255
        elif values.dtype != np.uint8:
            values = to_8_bit(values, 1 if values.dtype.kind == "f" else top)
        images[s] = _channels_first(values, f"{name}: images_{s}")
    deep = top > 255
    return images, (("images of more than 8 bits", scaling(max(highest.values()))),) if deep else ()


def _channels_first(values: np.ndarray, name: str) -> Tensor:
    if values.ndim == 3:
        values = values[..., None]
    last, first = (values.ndim == 4 and values.shape[axis] in (1, 3) for axis in (3, 1))
    if not last and not first:
        four = values.ndim == 4 and 4 in (values.shape[1], values.shape[3])
        hint = ": composite RGBA on a background first" if four else ""
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


def _box_scale(found: dict[str, np.ndarray], images: dict[str, Tensor]) -> float:
    """Return 1/k where boxes refer to a picture k times as large as the images."""
    reach = 1.0
    for s, pictures in images.items():
        boxes = found.get(f"boxes_{s}")
        if boxes is not None and boxes.size and boxes.shape[1:] == (4,):
            height, width = pictures.shape[2:]
            reach = max(reach, boxes[:, 2].max() / width, boxes[:, 3].max() / height)
    return 1 / math.ceil(reach)


def _split(
    found: dict[str, np.ndarray],
    suffix: str,
    images: Tensor,
    labels: np.ndarray,
    box_scale: float,
    keep: np.ndarray | None,
    name: str,
) -> Split:
    n, _, height, width = images.shape
    if n == 0:
        raise ValueError(f"{name}: images_{suffix} is empty")
    extras: dict[str, Tensor] = {}
    shapes = {"boxes": (n, 4), "depth": (n, height, width), "gray": (n,)}
    for key, shape in shapes.items():
        values = found.get(f"{key}_{suffix}")
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
    return split if keep is None else split.take(torch.from_numpy(keep))
