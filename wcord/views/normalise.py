"""Normalisation of the images of a network: mean and standard deviation of each channel."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from wcord.data import Data
from wcord.frozen import Frozen
from wcord.views.view import View, statistics


def _listed(value: object) -> object:
    return (value,) if isinstance(value, (int, float)) else value


Positive = Annotated[float, Field(gt=0)]


class ChannelStatistics(Frozen):
    """Mean and standard deviation of images in [0, 1], one number per channel or one for all.

    Of arrays that are no pictures they are those of the arrays, for each channel (axis 1).
    """

    mean: Annotated[tuple[float, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="mean of each channel of images in [0, 1], or one number for all"
    )
    std: Annotated[tuple[Positive, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="standard deviation of each channel, or one number for all"
    )


Normalisation = Literal["measured", "none"] | ChannelStatistics

IMAGENET = ChannelStatistics(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
# for gray images: the means over ImageNet's channels
IMAGENET_GRAY = ChannelStatistics(mean=(0.449,), std=(0.226,))
CENTRED = ChannelStatistics(mean=(0.5,), std=(0.5,))  # images in [-1, 1]
GRAY_LEVELS = ChannelStatistics(mean=(0.0,), std=(0.0039216,))  # images in 0 ... 255


def mean_and_deviation(
    setting: Normalisation, view: View, data: Data, seed: int
) -> tuple[Tensor, Tensor]:
    """Return m and s (C,) float32; the normalised images of a network are (x - m) / s.

    Args:
        setting: "measured" (m and s of the training images in this view), "none" (m = 0, s = 1), or
            the numbers.
        view: of the network; C is its number of channels.
        data: its training part is measured.
        seed: of the random draws of the view.

    Raises:
        ValueError: the setting is for another number of channels.
    """
    if setting == "measured":
        return statistics(view, data, seed)
    channels = view.shape(*data.shape)[0]
    if setting == "none":
        return torch.zeros(channels), torch.ones(channels)
    both = []
    for name in ("mean", "std"):
        values = torch.tensor(getattr(setting, name))
        if len(values) not in (1, channels):
            raise ValueError(
                f"normalise.{name} holds {len(values)} numbers, but the network sees {channels} "
                "channel(s): give one number, or one per channel"
            )
        both.append(values.expand(channels).clone())
    return both[0], both[1]


def common_normalisations(channels: int) -> dict[str, Normalisation]:
    """Return the common normalisations of images, by their text in Python and YAML."""
    named: dict[str, Normalisation] = {"measured": "measured", "none": "none"}
    imagenet = {3: [IMAGENET], 1: [IMAGENET_GRAY]}.get(channels, [])
    return named | {
        json.dumps({"mean": [*statistics.mean], "std": [*statistics.std]}): statistics
        for statistics in (CENTRED, GRAY_LEVELS, *imagenet)
    }
