"""Fast memory formats for a device, and copies to the device that do not block the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def channels_last(images: Tensor) -> Tensor:
    """Return images; on CUDA with channels last in memory, which makes convolutions faster."""
    if images.device.type == "cuda" and images.dim() == 4:
        return images.contiguous(memory_format=torch.channels_last)
    return images


def to_device(network: Module, device: torch.device) -> Module:
    """Move a network to a device; on CUDA its weights have channels last in memory."""
    if device.type == "cuda":
        return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)


def send(values: Tensor, device: torch.device) -> Tensor:
    """Return a copy of a CPU tensor on a device; the host does not wait for the copy."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def copy_into(targets: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Copy values into targets and return the targets; without targets return the values.

    The targets keep their addresses, as a replayed CUDA graph needs.
    """
    for target, value in zip(targets, values, strict=bool(targets)):
        target.copy_(value)
    return tuple(targets) or tuple(values)
