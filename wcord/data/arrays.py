"""Data sets from a user's arrays: inputs, labels and extras, checked, by part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wcord.data.array_inputs import inputs_of
from wcord.data.array_labels import Labels, checked_labels
from wcord.data.array_names import named_arrays, suffixes_of
from wcord.data.raw import Raw
from wcord.data.scene_labels import room_labels
from wcord.data.split import Split

EXTRAS = ("boxes", "depth", "gray")


def from_arrays(
    arrays: Any, name: str = "the arrays", kind: str = "auto", targets: str = "auto"
) -> Raw:
    """Build a source from named arrays, the contents of an .npz file for instance.

    Names of the arrays of the training part; those of the other parts end in _val and _test:

    - `images_train`: pictures (n, H, W), (n, H, W, C) or (n, C, H, W) with C = 1 or 3, as
      floating point in [0, 1], bool or integers. Integers of more than 8 bits are scaled so that
      2^b − 1 becomes 255, with the smallest b of 10, 12, 14 and 16 that fits all parts.
    - `images_train` of any other shape (n, C, ...), such as tables (n, D) and series (n, C, T):
      taken as they are, in float32 (see the argument `kind`).
    - `labels_train`: classes (n,) as integers, bool or text; −1 for training samples without a
      label. Or regression targets (n,) or (n, K) in floating point. Or (n, K) of 0 and 1, several
      labels a sample (see the argument `targets`).
    - `class_names` or `classes`: (K,) text, optional; then labels are 0 ... K − 1 or these names.
    - `boxes_train`: (n, 4) left, top, right, bottom, optional, in pixels of the images or of
      images larger by a whole factor (the smallest factor for which all boxes fit).
    - `depth_train`: (n, H, W) uint8, optional.
    - `gray_train`: (n,) bool, optional; images with equal channels always count as gray.
    - `segments_train`: (n, H, W) uint8, used only if there are no labels: the class of an image
      of a room is then the object class with the most pixels.
    - `train`, `val`, `test`: a pair (inputs, labels) or a torch `Dataset` of such pairs; a pair
      or a `Dataset` without a name is the training part.

    Names may have any case; x_ and inputs_ mean images_, y_ means labels_, and _valid, _validation
    and _dev mean _val. Arrays are numpy arrays, tensors (also with a graph or on a GPU), lists,
    data frames or their columns. Validation arrays are the held-out part; without them it is drawn
    from the training part. Without a test part, a fifth of the labelled training samples is the
    test part, the same for every seed.

    Args:
        arrays: by name, a pair, or a `Dataset`.
        name: name of the data set, for messages.
        kind: "pictures"; "arrays", taken as they are; or "auto": arrays with the shape of pictures
            must be pictures, all others are taken as they are.
        targets: "classes", "regression", "multilabel" (several labels a sample), or "auto".

    Raises:
        ValueError: one line with the name of the array.
    """
    values, class_names, unused = named_arrays(arrays, name)
    suffixes = suffixes_of(values, unused, name)
    labels, masks = _labels(values, suffixes, class_names, targets, name)
    images, remarks = inputs_of(
        {f"images_{suffix}": values[f"images_{suffix}"] for suffix in suffixes.values()}, kind, name
    )
    by_part = {part: images[f"images_{suffix}"] for part, suffix in suffixes.items()}
    _check_shapes(by_part, suffixes, name)
    if by_part["train"].dtype != torch.uint8:
        _refuse_extras(values, by_part["train"], name)
    _check_extras(values, suffixes, name)
    scale = _box_scale(values, suffixes, by_part)
    parts = {
        part: _split(
            values, suffix, by_part[part], labels.values[part], scale, masks.get(part), name
        )
        for part, suffix in suffixes.items()
    }
    without_images = [key for key in values if key.partition("_")[2] not in suffixes.values()]
    passed_over = unused + tuple((key, "no images of this part") for key in without_images)
    return Raw.of(labels.classes, parts, passed_over, remarks, labels.targets)


def _labels(
    values: Mapping[str, np.ndarray],
    suffixes: Mapping[str, str],
    class_names: list[str] | None,
    targets: str,
    name: str,
) -> tuple[Labels, dict[str, np.ndarray]]:
    """Return labels by part and, if they come from segments, masks of the samples used."""
    if f"labels_{suffixes['train']}" in values:
        for suffix in suffixes.values():
            if f"labels_{suffix}" not in values:
                raise ValueError(f"{name} holds images_{suffix} but no labels_{suffix}")
        keys = {f"labels_{suffix}": values[f"labels_{suffix}"] for suffix in suffixes.values()}
        found = checked_labels(keys, class_names, targets, name)
        by_part = {part: found.values[f"labels_{suffix}"] for part, suffix in suffixes.items()}
        return found._replace(values=by_part), {}
    if class_names is not None and all(
        f"segments_{suffix}" in values for suffix in suffixes.values()
    ):
        segments = {part: values[f"segments_{suffix}"] for part, suffix in suffixes.items()}
        labels, classes, masks = room_labels(segments, class_names)
        return Labels(labels, classes, "classes"), masks
    raise ValueError(f"{name} holds no array labels_train (or y_train)")


def _check_shapes(inputs: Mapping[str, Tensor], suffixes: Mapping[str, str], name: str) -> None:
    """Refuse parts of different shapes, and parts without samples."""
    for part, values in inputs.items():
        if values.shape[1:] != inputs["train"].shape[1:]:
            shapes = " and ".join(
                "×".join(map(str, i.shape[1:])) for i in (inputs["train"], values)
            )
            raise ValueError(
                f"{name}: images_train and images_{suffixes[part]} differ in size or channels: "
                f"{shapes}"
            )
        if not len(values):
            raise ValueError(f"{name}: images_{suffixes[part]} is empty")


def _refuse_extras(values: Mapping[str, np.ndarray], inputs: Tensor, name: str) -> None:
    extra = next((key for key in values if key.partition("_")[0] in (*EXTRAS, "segments")), None)
    if extra is not None:
        size = "×".join(map(str, inputs.shape[1:]))
        raise ValueError(f"{name}: {extra} belongs to pictures, and these are arrays of {size}")


def _check_extras(values: Mapping[str, np.ndarray], suffixes: Mapping[str, str], name: str) -> None:
    for key in (f"{kind}_{suffix}" for kind in EXTRAS for suffix in suffixes.values()):
        extra = values.get(key, np.zeros(1))
        if extra.dtype.kind not in "biuf" or not np.isfinite(extra).all():
            raise ValueError(f"{name}: {key} must hold finite numbers")


def _box_scale(
    values: Mapping[str, np.ndarray], suffixes: Mapping[str, str], images: Mapping[str, Tensor]
) -> float:
    """Return 1/k, if boxes are in pixels of images k times as large as `images`."""
    factor = 1.0
    for part, suffix in suffixes.items():
        boxes = values.get(f"boxes_{suffix}")
        if boxes is not None and boxes.size and boxes.shape[1:] == (4,):
            height, width = images[part].shape[2:]
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
    n = len(images)
    if len(labels) != n:
        raise ValueError(f"{name}: {len(labels)} labels for {n} images in the {suffix} part")
    extras: dict[str, Tensor] = {}
    if images.dtype == torch.uint8:
        extras = _extras(arrays, suffix, images, box_scale, name)
    split = Split(images, torch.from_numpy(labels), extras)
    return split if mask is None else split.take(torch.from_numpy(mask))


def _extras(
    arrays: Mapping[str, np.ndarray], suffix: str, images: Tensor, box_scale: float, name: str
) -> dict[str, Tensor]:
    """Return boxes, depth and gray of the pictures of one part."""
    n, _, height, width = images.shape
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
    extras["gray"] = extras.get("gray", torch.zeros(n, dtype=torch.bool)).bool()
    return extras
