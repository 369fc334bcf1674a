"""The transforms that views are made of: settings, requirements, and their registry `VIEWS`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from wcord.compute.seeds import seed_of
from wcord.data import Split
from wcord.data.settings import Side
from wcord.frozen import Frozen
from wcord.views.functional import (
    add_noise,
    chrominance,
    crop,
    downsample,
    edges,
    luminance,
    resize,
)


class Transform(Frozen):
    """One transform of a view, with its settings as fields.

    Class attributes:
        needs: "colour", or the extra ("boxes", "depth") that samples must have; None for neither.
        first: whether it replaces the image, so that no other transform may precede it.
        moves: whether boxes do not fit the image after it.
        any_shape: whether it takes arrays of any shape.
    """

    needs: ClassVar[str | None] = None
    first: ClassVar[bool] = False
    moves: ClassVar[bool] = False
    any_shape: ClassVar[bool] = False

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """Return the shape of the output; ValueError if the input shape does not fit."""
        return channels, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        """Transform images (n, C, H, W) in [0, 1] of `split` to (n, C', H', W')."""
        return images


class Identity(Transform):
    """The image without a change."""

    any_shape = True


class Luminance(Transform):
    """Lightness only (`luminance`)."""

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        if channels not in (1, 3):
            raise ValueError(f"the view luminance takes 1 or 3 channels, not {channels}")
        return 1, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return luminance(images)


class Chrominance(Transform):
    """Colour without lightness (`chrominance`)."""

    needs = "colour"

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        if channels != 3:
            raise ValueError(f"the view chrominance takes 3 channels, not {channels}")
        return 2, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return chrominance(images)


class Downsample(Transform):
    """Fewer pixels (`downsample`)."""

    moves = True
    factor: int = Field(
        default=2, ge=2, description="height and width are divided by it; it must divide both"
    )
    resize: bool = Field(
        default=False, description="whether the image is then enlarged to its size again"
    )

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


class Resize(Transform):
    """Another number of pixels (`resize`)."""

    moves = True
    size: Side | tuple[Side, Side] = Field(
        default=28, description="pixels of a side, or of height and width"
    )

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the output."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        return channels, *self.sides

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return resize(images, *self.sides)


class Noise(Transform):
    """Gaussian noise, the same for a sample in every batch and epoch (`add_noise`)."""

    any_shape = True
    sigma: float = Field(
        default=0.5, ge=0, description="standard deviation of the noise; images lie in [0, 1]"
    )

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return add_noise(images, split.ids, self.sigma, seed_of(seed, "noise"))


class Crop(Transform):
    """The box of the object, stretched to the size of the image (`crop`)."""

    needs = "boxes"
    moves = True

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return crop(images, split.extras["boxes"])


class Depth(Transform):
    """The depth map instead of the image."""

    needs = "depth"
    first = True

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        return 1, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return split.extras["depth"].float() / 255


class Edges(Transform):
    """Outlines (`edges`)."""

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        return 1, height, width

    def __call__(self, images: Tensor, split: Split, seed: int) -> Tensor:
        return edges(images)


class _Half(Transform):
    """One half of the image; the middle row or column of an odd size belongs to neither half."""

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


VIEWS: dict[str, type[Transform]] = {
    "identity": Identity,
    "luminance": Luminance,
    "chrominance": Chrominance,
    "downsample": Downsample,
    "resize": Resize,
    "noise": Noise,
    "crop": Crop,
    "depth": Depth,
    "edges": Edges,
    "left": Left,
    "right": Right,
    "top": Top,
    "bottom": Bottom,
}
