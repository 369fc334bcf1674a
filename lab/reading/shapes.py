"""Shapes of point clouds to play with: pure functions of a number of points and a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = Callable[[int, np.random.Generator], Array]

SIDE = 3.0  # the picture shows −3 to 3


def _blobs(centres: list[tuple[float, float]], spread: float) -> Shape:
    def draw(count: int, rng: np.random.Generator) -> Array:
        chosen = np.array(centres)[np.arange(count) % len(centres)]
        return chosen + spread * rng.normal(size=(count, 2))

    return draw


def _ring(radius: float) -> Shape:
    def draw(count: int, rng: np.random.Generator) -> Array:
        angle = 2 * np.pi * (np.arange(count) + rng.random()) / count
        return radius * np.stack([np.cos(angle), np.sin(angle)], 1)

    return draw


def _bar(count: int, rng: np.random.Generator) -> Array:
    height = np.linspace(-1.5, 1.5, count)
    return np.stack([0.05 * rng.normal(size=count), height], 1)


def _square(count: int, rng: np.random.Generator) -> Array:
    return rng.uniform(-1.1, 1.1, size=(count, 2))


def _spiral(count: int, rng: np.random.Generator) -> Array:
    turn = np.linspace(0.15, 1, count) ** 0.6
    angle = 3.6 * np.pi * turn + rng.random()
    return 1.7 * turn[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


SHAPES: dict[str, Shape] = {
    "one blob": _blobs([(0.0, 0.0)], 0.4),
    "two blobs": _blobs([(-0.9, 0.0), (0.9, 0.0)], 0.22),
    "four blobs": _blobs([(-0.9, -0.9), (-0.9, 0.9), (0.9, -0.9), (0.9, 0.9)], 0.18),
    "ring": _ring(0.8),
    "larger ring": _ring(1.7),
    "bar": _bar,
    "square": _square,
    "spiral": _spiral,
}


def shape(name: str, count: int, seed: int) -> Array:
    """Return the points (count, 2) of a shape around the origin.

    Raises:
        ValueError: unknown name, or fewer than one point.
    """
    if name not in SHAPES:
        raise ValueError(f"unknown shape {name!r}; known are {', '.join(SHAPES)}")
    if count < 1:
        raise ValueError(f"a cloud needs at least 1 point, not {count}")
    return SHAPES[name](count, np.random.default_rng([seed, count]))
