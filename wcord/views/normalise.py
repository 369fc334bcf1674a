"""What a network is fed: pictures in [0, 1], standardised a channel by some mean and deviation."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from torch import Tensor

from wcord.data import Data
from wcord.views.view import View, statistics


def _listed(value: object) -> object:
    return (value,) if isinstance(value, (int, float)) else value


Positive = Annotated[float, Field(gt=0)]


class ChannelStatistics(BaseModel):
    """Mean and standard deviation of each channel of pictures in [0, 1]; one number: of all."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: Annotated[tuple[float, ...], BeforeValidator(_listed), Field(min_length=1)]
    std: Annotated[tuple[Positive, ...], BeforeValidator(_listed), Field(min_length=1)]


Normalisation = Literal["measured", "none"] | ChannelStatistics

IMAGENET = ChannelStatistics(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
# of gray pictures: the means over ImageNet's channels
IMAGENET_GRAY = ChannelStatistics(mean=(0.449,), std=(0.226,))
CENTRED = ChannelStatistics(mean=(0.5,), std=(0.5,))  # pictures in [-1, 1]
GRAY_LEVELS = ChannelStatistics(mean=(0.0,), std=(0.0039216,))  # pictures in 0 ... 255


def mean_and_deviation(
    asked: Normalisation, view: View, data: Data, seed: int
) -> tuple[Tensor, Tensor]:
    """Return the m and s (C,) float32 by which a network's pictures become (x - m) / s.

    Args:
        asked: "measured" (of the view's training pictures), "none" (m = 0, s = 1), or given ones.
        view: what the network sees of a sample; C is its number of channels.
        data: whose training part is measured.
        seed: of what the view draws.

    Raises:
        ValueError: statistics of another number of channels.
    """
    if asked == "measured":
        return statistics(view, data, seed)
    channels = view.shape(*data.shape)[0]
    if asked == "none":
        return torch.zeros(channels), torch.ones(channels)
    given = []
    for name in ("mean", "std"):
        values = torch.tensor(getattr(asked, name))
        if len(values) not in (1, channels):
            raise ValueError(
                f"normalise.{name} holds {len(values)} numbers, but the network sees {channels} "
                "channel(s): give one number, or one a channel"
            )
        given.append(values.expand(channels).clone())
    return given[0], given[1]


def usual(channels: int) -> dict[str, Normalisation]:
    """Return the ways in which networks are usually fed, as written in Python and in YAML."""
    found: dict[str, Normalisation] = {"measured": "measured", "none": "none"}
    imagenet = {3: [IMAGENET], 1: [IMAGENET_GRAY]}.get(channels, [])
    return found | {
        json.dumps({"mean": [*way.mean], "std": [*way.std]}): way
        for way in (CENTRED, GRAY_LEVELS, *imagenet)
    }
