"""A user's own arrays: their names, their checks, and what is derived where labels are missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wcord.data.split import Split, order
from wcord.randomness import generator

Arrays = Mapping[str, Any]
ALIASES = {"images": "x", "labels": "y"}
# of the 40-class segments of NYU Depth v2: what is in every room says nothing about the room
BACKGROUND = {"wall", "floor", "ceiling", "otherstructure", "otherfurniture", "otherprop", "void"}


class Raw(NamedTuple):
    """A source as read: the training images have not been divided yet."""

    classes: tuple[str, ...]
    train: Split
    test: Split


def divide(train: Split, test: Split | None) -> tuple[Split, Split]:
    """Return train and test; without a test part, a fifth of each class, whatever the seed."""
    if test is not None:
        ids = torch.arange(len(test)) + len(train)
        return train, Split(test.images, test.labels, test.extras, ids)
    place = order(train.labels, generator(0, "test-part"), keep_shares=True)
    count = max(1, round(0.2 * len(train)))
    return train.take(place[count:].sort().values), train.take(place[:count].sort().values)


def from_arrays(arrays: Arrays, name: str = "the arrays") -> Raw:
    """Build a source from named arrays, the contents of an .npz file for instance.

    Understood names (x_ for images_ and y_ for labels_ are taken too):
        images_train, images_test: (n, H, W), (n, H, W, C) or (n, C, H, W) with C = 1 or 3; uint8,
            or floating point in [0, 1].
        labels_train, labels_test: (n,) integers or strings.
        class_names or classes: (K,) strings, optional; then labels are 0 ... K − 1.
        boxes_train, ...: (n, 4) left, top, right, bottom, optional, in pixels of the images or
            of a picture larger by a whole factor (the smallest that holds all boxes).
        depth_train, ...: (n, H, W) uint8, optional.
        gray_train, ...: (n,) bool, optional; pictures whose channels are equal are found anyway.
        segments_train, ...: (n, H, W) uint8, only used where there are no labels (see
            `room_labels`).
    Without a test part a fifth of the samples becomes it, always the same.

    Raises:
        ValueError: one line, naming the array.
    """
    found = {key: np.asarray(value) for key, value in arrays.items()}
    for long, short in ALIASES.items():
        for part in ("train", "test"):
            if f"{short}_{part}" in found:
                found.setdefault(f"{long}_{part}", found[f"{short}_{part}"])
    if "images_train" not in found:
        raise ValueError(
            f"{name} holds no array images_train (or x_train), only: {', '.join(arrays) or 'none'}"
        )
    parts = ["train", "test"] if "images_test" in found else ["train"]
    names = found.get("class_names", found.get("classes"))
    if names is not None and names.ndim != 1:
        raise ValueError(f"{name}: class_names must be one name a class, of shape (K,)")
    for key in (f"{extra}_{part}" for extra in ("boxes", "depth", "gray") for part in parts):
        values = found.get(key, np.zeros(1))
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise ValueError(f"{name}: {key} must hold finite numbers")
    keep: dict[str, np.ndarray] = {}
    if "labels_train" in found:
        for part in parts:
            if f"labels_{part}" not in found:
                raise ValueError(f"{name} holds images_{part} but no labels_{part}")
        labels, classes = _labels({p: found[f"labels_{p}"] for p in parts}, names, name)
    elif all(f"segments_{part}" in found for part in parts) and names is not None:
        segments = {part: found[f"segments_{part}"] for part in parts}
        labels, classes, keep = room_labels(segments, [str(n) for n in names])
    else:
        raise ValueError(f"{name} holds no array labels_train (or y_train)")
    frame = _box_scale(found, parts)
    splits = [_split(found, p, labels[p], frame, keep.get(p), name) for p in parts]
    if len(splits) == 2 and splits[0].images.shape[1:] != splits[1].images.shape[1:]:
        raise ValueError(f"{name}: images_train and images_test differ in size or channels")
    return Raw(classes, *divide(splits[0], splits[1] if len(splits) == 2 else None))


def _labels(
    given: dict[str, np.ndarray], names: np.ndarray | None, name: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return labels 0 ... K − 1 of every part and the names of the classes."""
    given = {part: np.squeeze(values, -1) if values.ndim == 2 and values.shape[1] == 1 else values
             for part, values in given.items()}  # fmt: skip
    for part, values in given.items():
        if values.ndim != 1 or values.dtype.kind not in "iuUS":
            raise ValueError(f"{name}: labels_{part} must be one integer or string a sample")
    if names is None or given["train"].dtype.kind in "US":
        known = np.unique(given["train"])
        for part, values in given.items():
            if not np.isin(values, known).all():
                raise ValueError(f"{name}: labels_{part} has classes that labels_train lacks")
        given = {part: np.searchsorted(known, values) for part, values in given.items()}
        names = known
    for part, values in given.items():
        if len(values) and (values.min() < 0 or values.max() >= len(names)):
            raise ValueError(
                f"{name}: labels_{part} must lie in 0 ... {len(names) - 1}, as there are "
                f"{len(names)} class names"
            )
    return {part: values.astype(np.int64) for part, values in given.items()}, tuple(
        str(n) for n in names
    )


def _images(values: np.ndarray, key: str, name: str) -> Tensor:
    """Return (n, C, H, W) uint8."""
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or (values.shape[3] not in (1, 3) and values.shape[1] not in (1, 3)):
        raise ValueError(
            f"{name}: {key} must be (n, H, W), (n, H, W, C) or (n, C, H, W) with C = 1 or 3, not "
            f"{values.shape}"
        )
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"{name}: {key} is floating point and must lie in [0, 1]")
        values = np.rint(values * 255).astype(np.uint8)
    if values.dtype != np.uint8:
        raise ValueError(f"{name}: {key} must be uint8 or floating point, not {values.dtype}")
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.permute(0, 3, 1, 2).contiguous() if values.shape[3] in (1, 3) else tensor


def _box_scale(found: dict[str, np.ndarray], parts: list[str]) -> float:
    """Return 1/k where boxes refer to a picture k times as large as the images."""
    reach = 1.0
    for part in parts:
        boxes, images = found.get(f"boxes_{part}"), found[f"images_{part}"]
        if boxes is not None and boxes.size and boxes.shape[1:] == (4,) and images.ndim >= 3:
            height, width = images.shape[1:3] if images.shape[-1] in (1, 3) else images.shape[-2:]
            reach = max(reach, boxes[:, 2].max() / width, boxes[:, 3].max() / height)
    return 1 / math.ceil(reach)


def _split(
    found: dict[str, np.ndarray],
    part: str,
    labels: np.ndarray,
    box_scale: float,
    keep: np.ndarray | None,
    name: str,
) -> Split:
    images = _images(found[f"images_{part}"], f"images_{part}", name)
    n, _, height, width = images.shape
    if n == 0:
        raise ValueError(f"{name}: images_{part} is empty")
    extras: dict[str, Tensor] = {}
    shapes = {"boxes": (n, 4), "depth": (n, height, width), "gray": (n,)}
    for key, shape in shapes.items():
        values = found.get(f"{key}_{part}")
        if values is None:
            continue
        if key == "depth" and values.shape == (n, height, width, 1):
            values = values[..., 0]
        if values.shape != shape or (key == "depth" and values.dtype != np.uint8):
            kind = " uint8" if key == "depth" else ""
            raise ValueError(f"{name}: {key}_{part} must be{kind} of shape {shape}")
        extras[key] = torch.from_numpy(np.ascontiguousarray(values))
    if "boxes" in extras:
        extras["boxes"] = extras["boxes"].float() * box_scale
    if "depth" in extras:
        extras["depth"] = extras["depth"][:, None]
    if len(labels) != n:
        raise ValueError(f"{name}: {len(labels)} labels for {n} images in the {part} part")
    extras["gray"] = extras.get("gray", torch.zeros(n, dtype=torch.bool)).bool()
    split = Split(images, torch.from_numpy(labels), extras)
    return split if keep is None else split.take(torch.from_numpy(keep))


def room_labels(
    segments: dict[str, np.ndarray], names: list[str], fewest: int = 20
) -> tuple[dict[str, np.ndarray], tuple[str, ...], dict[str, np.ndarray]]:
    """Derive one class a picture from its segments, for sets without class labels (NYU Depth v2).

    label = the object class with the most pixels, among those object classes that are the
    largest in at least `fewest` training pictures; walls, floors, ceilings and "other" segments
    are not objects. Pictures that show none of the classes are left out. This is a label of our
    own making: accuracies on it compare with nothing published.

    Args:
        segments: for "train" and perhaps "test", (n, H, W) uint8 places in `names`.
        names: of all segment classes.
        fewest: training pictures a class needs.

    Returns:
        labels (n,) int64 of each part, the class names, and which pictures are kept (n,) bool.
    """
    counts = {
        part: np.stack([np.bincount(p.ravel(), minlength=256)[: len(names)] for p in pictures])
        for part, pictures in segments.items()
    }
    objects = [i for i, n in enumerate(names) if n.lower().replace(" ", "") not in BACKGROUND]
    train = counts["train"][:, objects]
    winners = np.bincount(train.argmax(1)[train.max(1) > 0], minlength=len(objects))
    chosen = np.array(objects)[winners >= fewest]
    if len(chosen) < 2:
        raise ValueError("segments give fewer than two classes: add labels_train to the file")
    labels = {part: count[:, chosen].argmax(1).astype(np.int64) for part, count in counts.items()}
    keep = {part: count[:, chosen].max(1) > 0 for part, count in counts.items()}
    return labels, tuple(names[i] for i in chosen), keep
