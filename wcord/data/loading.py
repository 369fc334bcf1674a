"""Reading a data set and dividing it: training, held-out and test parts, and labels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.compute.seeds import generator
from wcord.data.arrays import from_arrays
from wcord.data.contents import Contents
from wcord.data.dataset import Data
from wcord.data.fingerprint import fingerprints
from wcord.data.labels import LabelMap
from wcord.data.raw import Raw
from wcord.data.settings import DataSettings
from wcord.data.sources import Reading, check_source
from wcord.data.split import Split, channel_statistics, labelled_part, order

PROBE = 128  # held-out samples that the pictures want, where there are enough


def load(settings: DataSettings, seed: int, labels: object = None) -> Data:
    """Read and divide the data set that the settings ask for.

    Args:
        settings: which source, and which parts of it.
        seed: the run's; draws the held-out, training and labelled parts unless
            `settings.subset_seed` is set. The test part never depends on it.
        labels: the student's label set (see `LabelMap.parse`); `labels_per_class` counts its
            classes. None: the data set's own.

    Raises:
        ValueError: one line that names the file or the setting at fault.
    """
    source, argument = check_source(settings.source)
    return _prepare(
        source.read(argument, Reading(settings.shape, settings.download)),
        settings,
        seed,
        source.held_out,
        labels,
    )


def load_arrays(
    arrays: Any, settings: DataSettings | None = None, seed: int = 0, labels: object = None
) -> Data:
    """Divide a user's own arrays as `load` does (see `from_arrays`); `source` is not read."""
    return _prepare(from_arrays(arrays), settings or DataSettings(), seed, 0.1, labels, "arrays")


def _prepare(
    raw: Raw,
    settings: DataSettings,
    seed: int,
    held_out: float,
    labels: object,
    name: str | None = None,
) -> Data:
    name = name or settings.source
    if len(raw.classes) < 2:
        raise ValueError(f"{name} has one class only: at least two classes are needed")
    label_map = LabelMap.parse(labels, raw.classes)
    pool, test = (_shaped(part, settings) for part in (raw.train, raw.test))
    kept = None if raw.held_out is None else _shaped(raw.held_out, settings)
    if kept is not None and settings.held_out is not None:
        raise ValueError(
            f"held_out is {settings.held_out}, but {name} has a held-out part of its own: leave "
            "held_out out"
        )
    shortest = min(pool.images.shape[2:])
    if settings.augment != "none" and settings.padding >= shortest:
        raise ValueError(
            f"padding is {settings.padding}, but images are {shortest} pixels wide: use less"
        )
    if settings.test_size is not None:
        place = _first(test.labels, settings.test_size, "test_size", 0, keep_shares=True)
        test = test.take(place)
    if settings.subset_seed is not None:
        seed = settings.subset_seed

    train = pool
    if kept is None:
        share = held_out if settings.held_out is None else settings.held_out
        count = max(round(share * len(pool)), min(PROBE, len(pool) // 4), 1)
        place = order(pool.labels, generator(seed, "held-out"), keep_shares=True)
        kept, train = pool.take(place[:count].sort().values), pool.take(place[count:].sort().values)
    if not (len(train) and len(kept) and len(test)):
        raise ValueError(
            f"{name} has {len(pool) + len(test)} pictures: too few for a training, a held-out and "
            "a test part"
        )
    if settings.train_size is not None:
        train = train.take(_first(train.labels, settings.train_size, "train_size", seed))

    labelled = labelled_part(
        label_map(train.labels), settings.labels_per_class, generator(seed, "labelled")
    )
    most = int(labelled.sum()) or len(kept)  # without labels nothing is chosen, only measured
    choices = order(label_map(kept.labels), generator(seed, "choices"))[:most]
    mean, std = channel_statistics(train.images)
    as_read = {"training": raw.train, "held-out": raw.held_out, "test": raw.test}
    parts = {"train": train, "held_out": kept, "test": test}
    return Data(
        name,
        raw.classes,
        train,
        kept,
        test,
        labelled,
        choices.sort().values,
        mean,
        std,
        fingerprints(raw.classes, as_read),
        Contents.of(name, raw.classes, parts, raw.passed_over, raw.remarks),
    )


def _first(
    labels: Tensor, size: int, setting: str, seed: int, *, keep_shares: bool = False
) -> Tensor:
    """Return the sorted places of a subset that is spread over the classes."""
    if size > len(labels):
        raise ValueError(f"{setting} is {size}, but only {len(labels)} images are there")
    chosen = order(labels, generator(seed, setting), keep_shares=keep_shares)[:size]
    return chosen.sort().values


def _shaped(split: Split, settings: DataSettings) -> Split:
    """Mark (and drop, where asked) pictures without colour, and resize."""
    extras = dict(split.extras)
    if split.images.shape[1] == 3:
        equal = (split.images[:, :1] == split.images[:, 1:]).flatten(1).all(1)
        extras["gray"] = equal | extras.get("gray", torch.zeros_like(equal))
    else:
        extras.pop("gray", None)
    split = Split(split.images, split.labels, extras, split.ids)
    if settings.drop_gray:
        if "gray" not in extras or bool(extras["gray"].all()):
            raise ValueError("drop_gray would leave no picture: all images are gray")
        split = split.take(~extras["gray"])
    if settings.shape is None or settings.shape == tuple(split.images.shape[2:]):
        return split
    return _resized(split, *settings.shape)


def _resized(split: Split, height: int, width: int) -> Split:
    """Resize images and depth (bilinear, antialiased) and scale boxes along."""

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
