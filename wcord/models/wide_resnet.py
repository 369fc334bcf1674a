"""Wide residual networks for 32 × 32 images: Zagoruyko and Komodakis 2016."""

from __future__ import annotations

from torch import Tensor, nn

from wcord.models.layers import GlobalMean, initialise_fan_out


class WideBlock(nn.Module):
    """x + conv(relu(bn(conv(relu(bn(x)))))): norm and activation before each convolution.

    Where the width changes, the shortcut is a 1 × 1 convolution of the input after norm and ReLU.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        )
        self.shortcut = (
            None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        active = self.before(x)
        return self.body(active) + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """WRN-depth-factor: three stages of (depth − 4)/6 blocks, 16, 32 and 64 times `factor` wide."""

    def __init__(self, depth: int, factor: int, channels: int, classes: int) -> None:
        super().__init__()
        count, rest = divmod(depth - 4, 6)
        if rest or count < 1:
            raise ValueError(f"a Wide ResNet has a depth of 6n + 4, not {depth}")
        self.stem = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        stages: list[nn.Module] = []
        inputs = 16
        for number, width in enumerate((16 * factor, 32 * factor, 64 * factor)):
            stage: list[nn.Module] = []
            for position in range(count):
                stage.append(WideBlock(inputs, width, 2 if number and position == 0 else 1))
                inputs = width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.after = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.deepest = nn.Identity()
        self.pool = GlobalMean()
        self.classifier = nn.Linear(inputs, classes)
        initialise_fan_out(self)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        maps = self.stages(self.stem(images))
        features = self.pool(self.after(maps))
        self.deepest(maps)  # called last, so that `Network` reads the maps before norm and ReLU
        return self.classifier(features)
