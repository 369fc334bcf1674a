"""Layers and initialisation that several families of networks share."""

from __future__ import annotations

import math

from torch import Tensor, nn


def conv_norm(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Return convolution (no bias, "same" padding), batch norm and, with `relu`, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class GlobalMean(nn.Module):
    """Average over all positions: (n, C, H, W) -> (n, C), for images of any size.

    A plain mean, because adaptive pooling has no deterministic backward pass on CUDA.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the mean of every channel."""
        return maps.mean((2, 3))


def initialise_fan_out(network: nn.Module, linear: float | None = None) -> None:
    """Draw weights of convolutions from N(0, 2/(k²·outputs)), as is usual for CIFAR networks.

    Args:
        network: its layers are initialised in place.
        linear: standard deviation of linear weights, with zero bias; None does not change linear
            layers.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fan = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
            nn.init.normal_(layer.weight, 0, math.sqrt(2 / fan))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear) and linear is not None:
            nn.init.normal_(layer.weight, 0, linear)
            nn.init.zeros_(layer.bias)
