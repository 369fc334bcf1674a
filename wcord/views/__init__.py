"""Views: which part of a sample a network sees, and how its images are normalised."""

from wcord.views.functional import (
    add_noise,
    chrominance,
    crop,
    downsample,
    edges,
    gaussian,
    luminance,
    resize,
)
from wcord.views.transforms import VIEWS, Transform
from wcord.views.view import View, statistics

__all__ = [
    "VIEWS",
    "Transform",
    "View",
    "add_noise",
    "chrominance",
    "crop",
    "downsample",
    "edges",
    "gaussian",
    "luminance",
    "resize",
    "statistics",
]
