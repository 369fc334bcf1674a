"""Where tensors lie: the layout that a device is fastest with, and copies that nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Layers = TypeVar("Layers", bound=nn.Module)


def channels_last(images: Tensor) -> Tensor:
    """Return images in the layout in which convolutions are fastest: channels last on CUDA."""
    if images.device.type == "cuda" and images.dim() == 4:
        return images.contiguous(memory_format=torch.channels_last)
    return images


def to_device(network: Layers, device: torch.device) -> Layers:
    """Move a network to a device, its weights in the layout of `shaped`."""
    if device.type == "cuda":
        return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)


def send(values: Tensor, device: torch.device) -> Tensor:
    """Move what was drawn on the CPU to a device without making the host wait for it."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def copy_into(places: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Copy values to the places that hold the last ones, and return these; at first the values.

    A replayed CUDA graph reads the same memory every time.
    """
    for place, value in zip(places, values, strict=bool(places)):
        place.copy_(value)
    return tuple(places) or tuple(values)
