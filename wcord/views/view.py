"""What of a sample a network sees: small named functions from a batch to pictures.

A view is a list of steps in the settings, applied from left to right: ["luminance"], or
[{"downsample": {"factor": 2}}, {"noise": {"sigma": 0.5}}]. Steps work on pictures in [0, 1] and
may look at what else is known of a sample (depth, boxes). A new view is one function, one class
of settings and one line in `VIEWS`.
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
from wcord.views.steps import VIEWS, Identity, Step
from wcord.views.transforms import (
    add_noise,
    chrominance,
    crop,
    downsample,
    edges,
    gaussian,
    luminance,
)

__all__ = [
    "VIEWS",
    "Step",
    "View",
    "add_noise",
    "chrominance",
    "crop",
    "downsample",
    "edges",
    "gaussian",
    "luminance",
    "statistics",
]

SEEN = 10_000  # training samples that mean and deviation of a view are taken from


@dataclass(frozen=True)
class View:
    """Steps, applied from left to right: view(split, seed) -> pictures (n, C, H, W).

    >>> View.parse(["luminance", {"downsample": {"factor": 4}}]).shape(3, 32, 32)
    (1, 8, 8)
    """

    steps: tuple[Step, ...]

    @staticmethod
    def parse(settings: Sequence[str | Mapping[str, Any]]) -> View:
        """Read a list of steps: a bare name, or one name with its settings.

        Raises:
            ValueError: an unknown view (the nearest is named), an unknown or wrong setting, or
                an order that means nothing.
        """
        if isinstance(settings, str | Mapping):
            settings = [settings]
        steps = tuple(_step(entry) for entry in settings)
        names = [_name(step) for step in steps]
        for place, step in enumerate(steps):
            before = [name for name in names[:place] if name != "identity"]
            if step.first and before:
                raise ValueError(
                    f"the view {names[place]} does not look at what {before[-1]} made: put it first"
                )
            if step.needs == "boxes" and any(s.moves for s in steps[:place]):
                raise ValueError(
                    f"the view {names[place]} needs boxes that fit the picture: put it before "
                    "steps that cut or shrink it"
                )
        return View(steps)

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """Return the shape of what the view makes of pictures of a shape.

        Raises:
            ValueError: a step cannot take what it would be given.
        """
        for step in self.steps:
            channels, height, width = step.shape(channels, height, width)
        if height < 1 or width < 1:
            raise ValueError("the view leaves no pixels")
        return channels, height, width

    def check(self, data: Data) -> None:
        """Refuse a data set that lacks what the view needs, before anything trains.

        Raises:
            ValueError: no boxes, no depth, gray pictures where colour is needed, or a size that
                a step cannot divide.
        """
        parts = (data.train, data.held_out, data.test)
        for step in self.steps:
            name = _name(step)
            if step.needs in ("boxes", "depth"):
                if any(step.needs not in part.extras for part in parts):
                    raise ValueError(
                        f"the view {name} needs {step.needs}, which {data.name} does not have"
                    )
            elif step.needs == "colour":
                if data.shape[0] != 3:
                    raise ValueError(f"the view {name} needs colour, but {data.name} is gray")
                gray = sum(int(p.extras["gray"].sum()) for p in parts if "gray" in p.extras)
                if gray:
                    raise ValueError(
                        f"the view {name} needs colour, but {gray} pictures of {data.name} are "
                        "gray: set data.drop_gray to true"
                    )
        self.shape(*data.shape)

    def __call__(self, split: Split, seed: int) -> Tensor:
        """Return what the view makes of samples.

        Args:
            split: n samples, augmented or not.
            seed: keys what a step draws; a sample's draws do not depend on its batch.

        Returns:
            (n, C, H, W): uint8 as stored where nothing is changed, else float32, about [0, 1].
        """
        if all(isinstance(step, Identity) for step in self.steps):
            return split.images
        images = split.images.float() / 255
        for step in self.steps:
            images = step(images, split, seed)
        return images


def statistics(view: View, data: Data, seed: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C,) float32 of each channel of the view.

    Of the training part only, not augmented, at most 10,000 samples evenly spread over it. A
    constant channel gets the deviation 1/255.
    """
    count = min(SEEN, len(data.train))
    index = torch.linspace(0, len(data.train) - 1, count, dtype=torch.float64).long()
    index = index.to(data.train.images.device)
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


def _name(step: Step) -> str:
    return next(name for name, kind in VIEWS.items() if type(step) is kind)


def _step(entry: Any) -> Step:
    """Return one step from a name or from one name with its settings."""
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
        fault = error.errors()[0]
        place = ".".join(["view", name, *map(str, fault["loc"])])
        known = ", ".join(VIEWS[name].model_fields) or "none"
        hint = f" (settings: {known})" if fault["type"] == "extra_forbidden" else ""
        raise ValueError(f"{place}: {fault['msg']}{hint}") from error
