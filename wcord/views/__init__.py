"""What of a sample a network sees: views and their steps, and how pictures are normalised."""

from wcord.views.steps import VIEWS, Step
from wcord.views.transforms import (
    add_noise,
    chrominance,
    crop,
    downsample,
    edges,
    gaussian,
    luminance,
)
from wcord.views.view import View, statistics

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
