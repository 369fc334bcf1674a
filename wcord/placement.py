"""Where tensors lie: the layout that a device is fastest with, and copies that nobody waits for."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Layers = TypeVar("Layers", bound=nn.Module)


def shaped(images: Tensor) -> Tensor:
    """Return images in the layout in which convolutions are fastest: channels last on CUDA."""
    if images.device.type == "cuda" and images.dim() == 4:
        return images.contiguous(memory_format=torch.channels_last)
    return images


def placed(network: Layers, device: torch.device) -> Layers:
    """Move a network to a device, its weights in the layout of `shaped`."""
    if device.type == "cuda":
        return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Move what was drawn on the CPU to a device without making the host wait for it."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
