"""MobileNetV2 for 32 × 32 images: Sandler et al. 2018, in the form of the CRD benchmark."""

from __future__ import annotations

from torch import Tensor, nn

from wcord.models.layers import GlobalMean, conv_norm, initialise_fan_out

# expansion, width, blocks, stride of the first block
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """1 × 1 to `expansion` times the width, depthwise 3 × 3, 1 × 1 back without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            conv_norm(inputs, inner, 1),
            conv_norm(inner, inner, 3, stride, groups=inner),
            conv_norm(inner, outputs, 1, relu=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return x + self.body(x) if self.residual else self.body(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 whose widths are multiplied by `width`; the last stays 1,280.

    As in the benchmark, and unlike the original: plain ReLU, a stage of stride 1 instead of 2
    (the last feature maps of a 32 × 32 image are 2 × 2), no dropout.
    """

    def __init__(self, width: float, channels: int, classes: int) -> None:
        super().__init__()
        inputs = int(32 * width)
        self.stem = conv_norm(channels, inputs, 3, 2)
        stages: list[nn.Module] = []
        for expansion, full, count, stride in STAGES:
            outputs = int(full * width)
            stage: list[nn.Module] = []
            for block in range(count):
                stage.append(InvertedResidual(inputs, outputs, 1 if block else stride, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.last = conv_norm(inputs, 1280, 1)
        self.deepest = nn.Identity()
        self.pool = GlobalMean()
        self.classifier = nn.Linear(1280, classes)
        initialise_fan_out(self, linear=0.01)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        maps = self.stages(self.stem(images))
        features = self.pool(self.last(maps))
        self.deepest(maps)  # called last, so that `Network` reads the maps of the last stage
        return self.classifier(features)
