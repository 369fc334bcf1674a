"""A view: the transforms between a sample and the images that a network sees.

In the settings it is a list of transforms, applied from left to right: ["luminance"], or
[{"downsample": {"factor": 2}}, {"noise": {"sigma": 0.5}}]. Transforms take images in [0, 1] and may
use the extras of a sample (depth, boxes). A new transform is one function in
`wcord.views.functional`, and one class and one line of `VIEWS` in `wcord.views.transforms`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from wcord.data import Data, Split
from wcord.data.split import array_statistics
from wcord.views.transforms import VIEWS, Identity, Transform

MEASURED = 10_000  # largest number of training samples for mean and deviation


@dataclass(frozen=True)
class View:
    """Transforms, applied from left to right: view(split, seed) -> images (n, C, H, W).

    >>> View.parse(["luminance", {"downsample": {"factor": 4}}]).shape(3, 32, 32)
    (1, 8, 8)
    """

    transforms: tuple[Transform, ...]

    @staticmethod
    def parse(settings: Sequence[str | Mapping[str, Any]]) -> View:
        """Read a list of transforms, each a name or {name: settings}.

        Raises:
            ValueError: an unknown view (the nearest is named), an unknown or wrong setting, or
                a wrong order.
        """
        if isinstance(settings, str | Mapping):
            settings = [settings]
        transforms = tuple(_transform(entry) for entry in settings)
        names = [_name(transform) for transform in transforms]
        for index, transform in enumerate(transforms):
            before = [name for name in names[:index] if name != "identity"]
            if transform.first and before:
                raise ValueError(
                    f"the view {names[index]} does not use the image of {before[-1]}: put it first"
                )
            if transform.needs == "boxes" and any(t.moves for t in transforms[:index]):
                raise ValueError(
                    f"the view {names[index]} needs boxes that fit the image: put it before views "
                    "that cut or shrink it"
                )
        return View(transforms)

    def shape(self, *shape: int) -> tuple[int, ...]:
        """Return the (C, H, W) of an image, or the shape of an array, in this view.

        Raises:
            ValueError: a transform does not fit the shape.
        """
        if all(transform.any_shape for transform in self.transforms):
            return shape
        channels, height, width = shape
        for transform in self.transforms:
            channels, height, width = transform.shape(channels, height, width)
        if height < 1 or width < 1:
            raise ValueError("the view leaves no pixels")
        return channels, height, width

    def check(self, data: Data) -> None:
        """Check that a data set fits the view.

        Raises:
            ValueError: no pictures, no boxes, no depth, gray images although colour is needed, or a
                size that a transform cannot divide.
        """
        for transform in self.transforms:
            if not data.pictures and not transform.any_shape:
                size = "×".join(map(str, data.shape))
                fitting = ", ".join(name for name, kind in VIEWS.items() if kind.any_shape)
                raise ValueError(
                    f"the view {_name(transform)} is for pictures, but {data.name} holds arrays of "
                    f"{size}: use {fitting}"
                )
        parts = (data.train, data.held_out, data.test)
        for transform in self.transforms:
            name, needs = _name(transform), transform.needs
            if needs in ("boxes", "depth"):
                if any(needs not in part.extras for part in parts):
                    raise ValueError(
                        f"the view {name} needs {needs}, which {data.name} does not have"
                    )
            elif needs == "colour":
                if data.shape[0] != 3:
                    raise ValueError(f"the view {name} needs colour, but {data.name} is gray")
                gray = sum(int(p.extras["gray"].sum()) for p in parts if "gray" in p.extras)
                if gray:
                    raise ValueError(
                        f"the view {name} needs colour, but {gray} images of {data.name} are "
                        "gray: set data.drop_gray to true"
                    )
        self.shape(*data.shape)

    def __call__(self, split: Split, seed: int) -> Tensor:
        """Return the images of samples in this view.

        Args:
            split: n samples, augmented or not.
            seed: of the draws of transforms; the draws of a sample do not depend on its batch.

        Returns:
            (n, C, H, W): the stored uint8 if nothing changes, else float32, about [0, 1]. Arrays
            keep their shape and scale.
        """
        if all(isinstance(transform, Identity) for transform in self.transforms):
            return split.images
        images = split.images.float() / 255 if split.pictures else split.images
        for transform in self.transforms:
            images = transform(images, split, seed)
        return images


def statistics(view: View, data: Data, seed: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C,) float32 of each channel of a view.

    They are measured on at most 10,000 training samples, evenly spread and not augmented. A
    constant channel gets the deviation 1/255, and 1 in arrays that are not pictures.
    """
    count = min(MEASURED, len(data.train))
    index = torch.linspace(0, len(data.train) - 1, count, dtype=torch.float64).long()
    index = index.to(data.train.images.device)
    if not data.pictures:
        return array_statistics([view(data.train.take(part), seed) for part in index.split(1024)])
    total = square = torch.zeros((), dtype=torch.float64)
    pixels = 0
    for part in index.split(1024):
        images = view(data.train.take(part), seed)
        values = images.cpu().double() / (255 if images.dtype == torch.uint8 else 1)
        total = total + values.sum((0, 2, 3))
        square = square + values.square().sum((0, 2, 3))
        pixels += values[:, 0].numel()
    mean = total / pixels
    std = (square / pixels - mean.square()).clamp_min(0).sqrt().clamp_min(1 / 255)
    return mean.float(), std.float()


def _name(transform: Transform) -> str:
    return next(name for name, kind in VIEWS.items() if type(transform) is kind)


def _transform(entry: Any) -> Transform:
    """Return the transform of a name or of {name: settings}."""
    name: Any = entry
    settings: Any = None
    if isinstance(entry, Mapping) and len(entry) == 1:
        name, settings = next(iter(entry.items()))
    if not isinstance(name, str) or not isinstance(settings or {}, Mapping):
        raise ValueError(
            f"the view {entry!r} is not understood: write a name, or {{name: {{...}}}}"
        )
    if name not in VIEWS:
        near = difflib.get_close_matches(name, VIEWS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(VIEWS)}"
        raise ValueError(f"unknown view {name!r}: {hint}")
    try:
        return VIEWS[name](**(settings or {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["view", name, *map(str, first["loc"])])
        known = ", ".join(VIEWS[name].model_fields) or "none"
        hint = f" (settings: {known})" if first["type"] == "extra_forbidden" else ""
        raise ValueError(f"{key}: {first['msg']}{hint}") from error
