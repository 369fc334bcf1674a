"""The steps of a view: the settings of each, what it needs of a data set, and its registry."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from wcord.compute.seeds import seed_of
from wcord.data import Split
from wcord.views.transforms import add_noise, chrominance, crop, downsample, edges, luminance


class Step(BaseModel):
    """One step of a view and its settings.

    `needs` names what a sample must bring, `first` a step that does not look at the picture,
    `moves` one after which boxes no longer fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    needs: ClassVar[str | None] = None
    first: ClassVar[bool] = False
    moves: ClassVar[bool] = False

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """Return what becomes of a shape; ValueError where the step cannot take it."""
        return channels, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        """Return the pictures (n, C', H', W') that this step makes of (n, C, H, W)."""
        return images


class Identity(Step):
    """The picture as it is."""


class Luminance(Step):
    """Lightness only (`luminance`)."""

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        if channels not in (1, 3):
            raise ValueError(f"the view luminance takes 1 or 3 channels, not {channels}")
        return 1, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return luminance(images)


class Chrominance(Step):
    """Colour without lightness (`chrominance`)."""

    needs = "colour"

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        if channels != 3:
            raise ValueError(f"the view chrominance takes 3 channels, not {channels}")
        return 2, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return chrominance(images)


class Downsample(Step):
    """Fewer pixels (`downsample`)."""

    moves = True
    factor: int = Field(default=2, ge=2)
    resize: bool = False

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"the view downsample cannot divide {height}×{width} pixels by {self.factor}: use "
                "a factor that divides both"
            )
        divisor = 1 if self.resize else self.factor
        return channels, height // divisor, width // divisor

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return downsample(images, self.factor, self.resize)


class Noise(Step):
    """Gaussian noise that belongs to the sample (`add_noise`)."""

    sigma: float = Field(default=0.5, ge=0)

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return add_noise(images, split.ids, self.sigma, seed_of(seed, "noise"))


class Crop(Step):
    """The object's box, stretched to the size of the picture (`crop`)."""

    needs = "boxes"
    moves = True

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return crop(images, split.extras["boxes"])


class Depth(Step):
    """Distance instead of the picture."""

    needs = "depth"
    first = True

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        return 1, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return split.extras["depth"].float() / 255


class Edges(Step):
    """Outlines (`edges`)."""

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        return 1, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return edges(images)


class _Half(Step):
    """One half of the picture; a middle line belongs to neither."""

    moves = True
    axis: ClassVar[int]
    end: ClassVar[bool]

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        return (channels, height // 2, width) if self.axis == 2 else (channels, height, width // 2)

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        size = images.shape[self.axis]
        return images.narrow(self.axis, size - size // 2 if self.end else 0, size // 2)


class Left(_Half):
    """The left half."""

    axis, end = 3, False


class Right(_Half):
    """The right half."""

    axis, end = 3, True


class Top(_Half):
    """The upper half."""

    axis, end = 2, False


class Bottom(_Half):
    """The lower half."""

    axis, end = 2, True


VIEWS: dict[str, type[Step]] = {
    "identity": Identity,
    "luminance": Luminance,
    "chrominance": Chrominance,
    "downsample": Downsample,
    "noise": Noise,
    "crop": Crop,
    "depth": Depth,
    "edges": Edges,
    "left": Left,
    "right": Right,
    "top": Top,
    "bottom": Bottom,
}
