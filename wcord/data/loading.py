"""Read a data set, divide it into training, held-out and test parts, choose labelled samples."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.compute.seeds import generator
from wcord.data.arrays import from_arrays
from wcord.data.colours import Colours
from wcord.data.dataset import Data
from wcord.data.dataset_contents import Contents
from wcord.data.fingerprint import fingerprints
from wcord.data.labels import LabelMap
from wcord.data.raw import Given, Raw
from wcord.data.settings import DataSettings
from wcord.data.sources import ReadOptions, check_source
from wcord.data.split import (
    Split,
    channel_statistics,
    draw_part,
    labelled_part,
    order,
    strata,
)

PROBE = 128  # held-out samples that a probe uses, if there are enough


def load(settings: DataSettings, seed: int, labels: object = None) -> Data:
    """Read and divide the data set of the settings.

    Args:
        settings: the source, and the sizes of its parts.
        seed: seed of the run; draws the held-out, training and labelled parts unless
            `settings.subset_seed` is set. The test part never depends on it.
        labels: label set of the student (see `LabelMap.parse`); `labels_per_class` counts samples
            of its classes. None: the classes of the data set.

    Raises:
        ValueError: one line with the name of the file or setting.
    """
    source, argument = check_source(settings.source)
    options = ReadOptions(settings.shape, settings.download, settings.kind, settings.targets)
    if not settings.source.startswith("npz:"):
        for name in ("kind", "targets"):
            if getattr(settings, name) not in ("auto", "pictures", "classes"):
                raise ValueError(
                    f"data.{name} {getattr(settings, name)!r} is for npz:PATH and arrays of your "
                    f"own; {settings.source} holds pictures with classes"
                )
    raw = source.read(argument, options)
    return _divided(raw, settings, seed, source.held_out, labels, settings.source)


def load_arrays(
    arrays: Any, settings: DataSettings | None = None, seed: int = 0, labels: object = None
) -> Data:
    """Divide a user's arrays (see `from_arrays`) as `load` does; `settings.source` is not used."""
    settings = settings or DataSettings()
    raw = from_arrays(arrays, kind=settings.kind, targets=settings.targets)
    return _divided(raw, settings, seed, 0.1, labels, "arrays")


def _divided(
    raw: Raw, settings: DataSettings, seed: int, share: float, labels: object, name: str
) -> Data:
    """Resize and divide a data set, and choose the labelled samples.

    Args:
        raw: the samples as read.
        settings: sizes of the parts.
        seed: seed of the run.
        share: share of the training part that is held out, if `settings.held_out` is None.
        labels: as in `load`.
        name: name of the data set.
    """
    _check_labels(raw, settings, name)
    label_map = LabelMap.parse(labels, raw.classes, raw.targets)
    if settings.subset_seed is not None:
        seed = settings.subset_seed
    train, held_out, test = _parts(raw, settings, seed, share, name)
    labelled = labelled_part(
        label_map(train.labels), settings.labels_per_class, generator(seed, "labelled")
    )
    count = int(labelled.sum()) or len(held_out)  # all held-out samples if no label is used
    choices = order(strata(label_map(held_out.labels)), generator(seed, "choices"))[:count]
    mean, std = channel_statistics(train.images)
    as_read = {"training": raw.train, "held-out": raw.held_out, "test": raw.test}
    parts = {"train": train, "held_out": held_out, "test": test}
    colours = Colours.of(train.labels, raw.classes, raw.targets)
    return Data(
        name,
        raw.classes,
        train,
        held_out,
        test,
        labelled,
        choices.sort().values,
        mean,
        std,
        fingerprints(raw.classes, as_read),
        Contents.of(name, colours, parts, raw.passed_over, raw.remarks, raw.targets),
        raw.given or _as_read(raw),
        raw.targets,
        colours,
    )


def _check_labels(raw: Raw, settings: DataSettings, name: str) -> None:
    """Refuse fewer than two classes, and a number of labels a class where there are no classes."""
    if raw.targets == "classes" and len(raw.classes) < 2:
        hint = ""
        if not bool(raw.train.labelled.all()):
            hint = " (-1 marks samples without a label: number two classes 0 and 1)"
        raise ValueError(f"{name} has one class only: at least two classes are needed{hint}")
    if raw.targets != "classes" and settings.labels_per_class is not None:
        raise ValueError(
            f"labels_per_class is {settings.labels_per_class}, but {name} has {raw.targets} "
            "labels, no classes: set it to null"
        )


def _as_read(raw: Raw) -> Given:
    """Return the order of the samples of a source that numbers them itself, such as digits."""
    parts = {"train": raw.train, "test": raw.test, "held_out": raw.held_out}
    ids = {part: split.ids for part, split in parts.items() if split is not None}
    count = sum(map(len, ids.values()))
    numbers = torch.cat(list(ids.values())).sort().values
    return Given(ids, in_one=torch.equal(numbers, torch.arange(count)))


def _parts(
    raw: Raw, settings: DataSettings, seed: int, share: float, name: str
) -> tuple[Split, Split, Split]:
    """Return the training, the held-out and the test part."""
    train, test = (_prepared(part, settings) for part in (raw.train, raw.test))
    held_out = None if raw.held_out is None else _prepared(raw.held_out, settings)
    _check_settings(settings, train, held_out is not None, name)
    if settings.test_size is not None:  # seed 0: the test part is the same in all runs
        test = _subset(test, settings.test_size, "test_size", 0, keep_shares=True)
    total = len(train) + len(test)
    if held_out is None:
        share = share if settings.held_out is None else settings.held_out
        labelled = train.labelled_count
        count = max(round(share * labelled), min(PROBE, labelled // 4), 1)
        held_out, train = draw_part(train, count, generator(seed, "held-out"))
    if not (len(train) and len(held_out) and len(test)):
        raise ValueError(
            f"{name} has {total} images: too few for a training, a held-out and a test part"
        )
    if settings.train_size is not None:
        train = _subset(train, settings.train_size, "train_size", seed)
    return train, held_out, test


def _check_settings(settings: DataSettings, train: Split, has_held_out: bool, name: str) -> None:
    """Refuse a held-out share of data with a held-out part, and a padding as large as an image."""
    if has_held_out and settings.held_out is not None:
        raise ValueError(
            f"held_out is {settings.held_out}, but {name} has a held-out part: leave held_out out"
        )
    if not train.pictures:
        _refuse_picture_settings(settings, train, name)
        return
    shortest = min(train.images.shape[2:])
    if settings.augment != "none" and settings.padding >= shortest:
        raise ValueError(
            f"padding is {settings.padding}, but images are {shortest} pixels wide: use less"
        )


def _refuse_picture_settings(settings: DataSettings, train: Split, name: str) -> None:
    """Refuse settings that have no meaning for arrays that are no pictures."""
    neutral = {"augment": "none", "drop_gray": False, "size": None}
    for setting, value in neutral.items():
        if getattr(settings, setting) != value:
            size = "×".join(map(str, train.images.shape[1:]))
            value = "null" if value is None else str(value).lower()
            raise ValueError(
                f"data.{setting} is {getattr(settings, setting)!r}, which is for pictures, but "
                f"{name} holds arrays of {size}: set it to {value}"
            )


def _subset(
    split: Split, size: int, setting: str, seed: int, *, keep_shares: bool = False
) -> Split:
    """Return `size` samples that are spread over the classes, in their old order."""
    if size > len(split):
        raise ValueError(f"{setting} is {size}, but there are only {len(split)} images")
    labels = strata(split.labels)
    if bool((labels < 0).any()):  # samples without a label keep their share
        labels, keep_shares = torch.where(labels < 0, labels.max() + 1, labels), True
    index = order(labels, generator(seed, setting), keep_shares=keep_shares)[:size]
    return split.take(index.sort().values)


def _prepared(split: Split, settings: DataSettings) -> Split:
    """Mark images without colour, drop them with `drop_gray`, and resize; arrays do not change."""
    if not split.pictures:
        return split
    extras = dict(split.extras)
    if split.images.shape[1] == 3:
        is_gray = (split.images[:, :1] == split.images[:, 1:]).flatten(1).all(1)
        extras["gray"] = is_gray | extras.get("gray", torch.zeros_like(is_gray))
    else:
        extras.pop("gray", None)
    split = Split(split.images, split.labels, extras, split.ids)
    if settings.drop_gray:
        if "gray" not in extras or bool(extras["gray"].all()):
            raise ValueError("drop_gray would leave no image: all images are gray")
        split = split.take(~extras["gray"])
    if settings.shape is None or settings.shape == tuple(split.images.shape[2:]):
        return split
    return _resized(split, *settings.shape)


def _resized(split: Split, height: int, width: int) -> Split:
    """Resize images and depth (bilinear, antialiased), and scale boxes with them."""

    def resize(images: Tensor) -> Tensor:
        parts = [
            F.interpolate(part, (height, width), mode="bilinear", antialias=True)
            for part in images.split(1024)
        ]
        return torch.cat(parts)

    extras = dict(split.extras)
    if "depth" in extras:
        extras["depth"] = resize(extras["depth"])
    if "boxes" in extras:
        old_height, old_width = split.images.shape[2:]
        factor = [width / old_width, height / old_height] * 2
        extras["boxes"] = extras["boxes"] * torch.tensor(factor)
    return Split(resize(split.images), split.labels, extras, split.ids)
