"""Residual networks for 32 × 32 images: He et al. 2016, in the widths of the CRD benchmark."""

from __future__ import annotations

from torch import Tensor, nn

from wcord.models.layers import GlobalMean, conv_norm, initialise_fan_out


class BasicBlock(nn.Module):
    """relu(x + conv(relu(conv(x)))), with batch norm after every convolution."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm(inputs, width, 3, stride), conv_norm(width, width, 3, relu=False)
        )
        self.shortcut = _shortcut(inputs, width, stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return self.activation(self.body(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    """relu(x + conv1×1(conv3×3(conv1×1(x)))), with an output four times as wide as its middle."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm(inputs, width, 1),
            conv_norm(width, width, 3, stride),
            conv_norm(width, 4 * width, 1, relu=False),
        )
        self.shortcut = _shortcut(inputs, 4 * width, stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return self.activation(self.body(x) + self.shortcut(x))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return conv_norm(inputs, outputs, 1, stride, relu=False)


class ResNet(nn.Module):
    """A 3 × 3 stem, stages of residual blocks that halve the feature maps, mean and classifier.

    Args:
        channels, classes: number of channels of the images, number of logits.
        block: BasicBlock or Bottleneck.
        blocks: number of blocks of each stage.
        stem: width of the stem.
        widths: width of each stage (times the block's expansion).
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: tuple[int, ...],
        stem: int,
        widths: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.stem = conv_norm(channels, stem)
        stages: list[nn.Module] = []
        inputs = stem
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            stage: list[nn.Module] = []
            for position in range(count):
                stage.append(block(inputs, width, 2 if number and position == 0 else 1))
                inputs = width * block.expansion
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = GlobalMean()
        self.classifier = nn.Linear(inputs, classes)
        initialise_fan_out(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        return self.classifier(self.pool(self.stages(self.stem(images))))


def cifar_resnet(depth: int, channels: int, classes: int, wide: bool = False) -> ResNet:
    """Return the CIFAR ResNet of depth 6n + 2; `wide` is the "x4" form of the CRD benchmark.

    Widths 16, 16, 32, 64 (stem and three stages), or 32, 64, 128, 256.
    """
    count, rest = divmod(depth - 2, 6)
    if rest or count < 1:
        raise ValueError(f"a CIFAR ResNet has a depth of 6n + 2, not {depth}")
    stem, *widths = (32, 64, 128, 256) if wide else (16, 16, 32, 64)
    return ResNet(channels, classes, BasicBlock, (count,) * 3, stem, tuple(widths))


def resnet50(channels: int, classes: int) -> ResNet:
    """Return ResNet-50 with a 3 × 3 stem of stride 1, for 32 × 32 images."""
    return ResNet(channels, classes, Bottleneck, (3, 4, 6, 3), 64, (64, 128, 256, 512))
