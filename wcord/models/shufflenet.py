"""ShuffleNet V1 (Zhang et al. 2018) and V2 (Ma et al. 2018) for 32 × 32 images.

Both as in the CRD benchmark: a 1 × 1 stem and three stages that halve the feature maps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wcord.models.layers import GlobalMean, conv_norm

STEM = 24


def shuffle(maps: Tensor, groups: int) -> Tensor:
    """Interleave the channels of all groups: channel g·(C/G) + k goes to k·G + g."""
    n, channels, height, width = maps.shape
    grouped = maps.view(n, groups, channels // groups, height, width)
    return grouped.transpose(1, 2).reshape(n, channels, height, width)


class GroupedBlock(nn.Module):
    """V1's bottleneck: grouped 1 × 1, shuffle, depthwise 3 × 3, grouped 1 × 1.

    With stride 2 the pooled input is appended as channels; with stride 1 the input is added.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        added = outputs - inputs if stride == 2 else outputs
        inner = added // 4
        self.groups = 1 if inputs == STEM else groups
        self.first = conv_norm(inputs, inner, 1, groups=self.groups)
        self.second = conv_norm(inner, inner, 3, stride, groups=inner)
        self.third = conv_norm(inner, added, 1, groups=groups, relu=False)
        self.down = nn.AvgPool2d(3, 2, 1) if stride == 2 else None
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        out = self.third(self.second(shuffle(self.first(x), self.groups)))
        out = out + x if self.down is None else torch.cat([out, self.down(x)], 1)
        return self.activation(out)


class SplitBlock(nn.Module):
    """V2's unit: three convolutions change one half of the channels, the other stays."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.body = nn.Sequential(
            conv_norm(half, half, 1),
            conv_norm(half, half, 3, groups=half, relu=False),
            conv_norm(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        kept, changed = x.chunk(2, 1)
        return shuffle(torch.cat([kept, self.body(changed)], 1), 2)


class DownBlock(nn.Module):
    """V2's unit of stride 2: two branches take all channels and give half of the output each."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.left = nn.Sequential(
            conv_norm(inputs, inputs, 3, 2, groups=inputs, relu=False), conv_norm(inputs, half, 1)
        )
        self.right = nn.Sequential(
            conv_norm(inputs, half, 1),
            conv_norm(half, half, 3, 2, groups=half, relu=False),
            conv_norm(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return shuffle(torch.cat([self.left(x), self.right(x)], 1), 2)


class ShuffleNet(nn.Module):
    """Stem, three stages, an optional last 1 × 1 convolution, mean and classifier."""

    def __init__(
        self, channels: int, classes: int, stages: list[nn.Module], width: int, last: int | None
    ) -> None:
        super().__init__()
        self.stem = conv_norm(channels, STEM, 1)
        self.stages = nn.Sequential(*stages)
        self.last = nn.Identity() if last is None else conv_norm(width, last, 1)
        self.deepest = nn.Identity()
        self.pool = GlobalMean()
        self.classifier = nn.Linear(last or width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        maps = self.stages(self.stem(images))
        features = self.pool(self.last(maps))
        self.deepest(maps)  # called last, so that `Network` reads the maps of the last stage
        return self.classifier(features)


def shufflenet_v1(channels: int, classes: int) -> ShuffleNet:
    """Return ShuffleNet V1 with 3 groups, widths 240, 480, 960 and 4, 8, 4 blocks."""
    stages: list[nn.Module] = []
    inputs = STEM
    for width, count in ((240, 4), (480, 8), (960, 4)):
        rest = [GroupedBlock(width, width, 1, 3) for _ in range(count - 1)]
        stages.append(nn.Sequential(GroupedBlock(inputs, width, 2, 3), *rest))
        inputs = width
    return ShuffleNet(channels, classes, stages, inputs, None)


def shufflenet_v2(channels: int, classes: int) -> ShuffleNet:
    """Return ShuffleNet V2 (1×): widths 116, 232, 464, then 1,024; 3, 7, 3 units after halving."""
    stages: list[nn.Module] = []
    inputs = STEM
    for width, count in ((116, 3), (232, 7), (464, 3)):
        rest = [SplitBlock(width) for _ in range(count)]
        stages.append(nn.Sequential(DownBlock(inputs, width), *rest))
        inputs = width
    return ShuffleNet(channels, classes, stages, inputs, 1024)
