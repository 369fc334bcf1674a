"""VGG with batch norm and one linear layer, for 32 × 32 images: Simonyan and Zisserman 2015."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from wcord.models.layers import GlobalMean, initialise_fan_out

WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Five stages of `repeat` 3 × 3 convolutions, pooled in between, then mean and classifier.

    A pooling layer precedes each of the stages 2 to 5 as long as the feature maps are larger than
    4 × 4: three layers for 32 × 32 images and four for 64 × 64, as in the CRD benchmark.

    Args:
        repeat: convolutions per stage; 1 is VGG-8, 2 is VGG-13 (fully connected layers counted).
    """

    def __init__(self, repeat: int, channels: int, size: tuple[int, int], classes: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        side = min(size)
        for number, (inputs, outputs) in enumerate(pairwise((channels, *WIDTHS))):
            if number and side > 4:
                stages.append(nn.MaxPool2d(2))
                side //= 2
            stage: list[nn.Module] = []
            for position in range(repeat):
                stage += [
                    nn.Conv2d(outputs if position else inputs, outputs, 3, padding=1),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                ]
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = GlobalMean()
        self.classifier = nn.Linear(WIDTHS[-1], classes)
        initialise_fan_out(self, linear=0.01)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        return self.classifier(self.pool(self.stages(images)))
