"""Small convolutional networks for images of a few pixels, such as the 8 × 8 digits."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class SmallNet(nn.Module):
    """3 × 3 convolutions with batch norm, ReLU and max pooling, then one hidden layer.

    Feature maps are halved between convolutions (if a side has at least 4 pixels) and pooled to
    about 2 × 2 at the end, so images of any size fit. For 8 × 8 gray digits, widths (32, 64) and 64
    features make 36,010 parameters, widths (4, 8) and 16 features 1,046.

    Args:
        channels, size: of the images; size is (height, width) in pixels.
        classes: number of logits.
        widths: channels of each convolution.
        features: width of the penultimate layer.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        classes: int,
        widths: tuple[int, ...] = (32, 64),
        features: int = 64,
    ) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise((channels, *widths))):
            stages.append(
                nn.Sequential(
                    nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                )
            )
            last = number == len(widths) - 1
            step = tuple(max(1, side // 2) if last else 1 + (side >= 4) for side in size)
            size = (size[0] // step[0], size[1] // step[1])
            stages.append(nn.MaxPool2d(step))
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Linear(widths[-1] * size[0] * size[1], features)
        self.activation = nn.ReLU()
        self.classifier = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        hidden = self.hidden(self.stages(images).flatten(1))
        return self.classifier(self.activation(hidden))
