"""Pairs of point clouds to compare critics on: shifts, rings, modes, and equal distributions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wcord.compute.seeds import generator
from wcord.transport.validation import require_count


def _shift(count: int, draw: torch.Generator, dim: int) -> tuple[Tensor, Tensor]:
    offset = torch.eye(dim)[0] * 2
    return _normal(count, dim, draw), _normal(count, dim, draw) + offset


def _rings(count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    def ring(radius: float) -> Tensor:
        angle = 2 * torch.pi * torch.rand(count, generator=draw)
        return radius * torch.stack((angle.cos(), angle.sin()), 1) + 0.1 * _normal(count, 2, draw)

    return ring(1.0), ring(2.0)


def _modes(count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    def column(abscissa: float, heights: tuple[float, ...]) -> Tensor:
        centres = torch.tensor([[abscissa, height] for height in heights])
        chosen = centres[torch.arange(count) % len(heights)]  # modes of equal weight
        return chosen + 0.1 * _normal(count, 2, draw)

    return column(-1.0, (-1.4, -0.6, 0.6, 1.4)), column(1.0, (-1.0, 1.0))


def _normal(count: int, dim: int, draw: torch.Generator) -> Tensor:
    return torch.randn(count, dim, generator=draw)


CLOUDS: dict[str, Callable[[int, torch.Generator], tuple[Tensor, Tensor]]] = {
    "1-D shift": lambda count, draw: _shift(count, draw, 1),
    "2-D shift": lambda count, draw: _shift(count, draw, 2),
    "ring → larger ring": _rings,
    "4 modes → 2": _modes,
    "16-D, same distribution": lambda count, draw: (
        _normal(count, 16, draw),
        _normal(count, 16, draw),
    ),
}


def clouds(name: str, count: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return two example clouds (count, d) to compare critics on.

    Args:
        name: one of `CLOUDS`.
        count: points in each cloud.
        seed: seed of the points.

    Raises:
        ValueError: an unknown name, fewer than one point.
    """
    if name not in CLOUDS:
        raise ValueError(f"clouds must be one of {', '.join(CLOUDS)}; not {name!r}")
    require_count("count", count)
    return CLOUDS[name](count, generator(seed, "clouds"))
