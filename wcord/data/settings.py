"""Settings of a data set, checked before anything is read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from wcord.data.sources import check_source
from wcord.frozen import Frozen

Side = Annotated[int, Field(ge=4, le=1024)]


class DataSettings(Frozen):
    """The samples of a run and their division. Unknown keys are refused."""

    source: str = Field(
        default="digits",
        description="digits, cifar10, cifar100, stl10, medmnist:NAME (a 2-D set of one label an "
        "image, with its size as in the name of its file: octmnist, octmnist_64, octmnist_128, "
        "octmnist_224), npz:PATH or folder:PATH",
    )
    kind: Literal["auto", "pictures", "arrays"] = Field(
        default="auto",
        description="what arrays are: pictures of 8 bits, or arrays that are taken as they are; "
        "auto: arrays with the shape of pictures are pictures",
    )
    targets: Literal["auto", "classes", "regression", "multilabel"] = Field(
        default="auto",
        description="what labels of arrays are: one class a sample, numbers, or several labels a "
        "sample (0 and 1); auto: text and integers are classes, floating point are numbers",
    )
    labels_per_class: int | None = Field(
        default=None,
        ge=0,
        description="labels of each of the student's classes used in training; 0: none, null: all",
    )
    train_size: int | None = Field(
        default=None, ge=2, description="number of training images used, class-balanced"
    )
    test_size: int | None = Field(
        default=None,
        ge=2,
        description="number of test images used, the same for every seed",
    )
    held_out: float | None = Field(
        default=None,
        gt=0,
        le=0.5,
        description="share of the training images held out for choices (0.2 for digits, else 0.1); "
        "not allowed if the data have a held-out part (val)",
    )
    size: Side | tuple[Side, Side] | None = Field(
        default=None,
        description="resize to these pixels (height, width); null: 32 for folders, else as read",
    )
    augment: Literal["none", "crop-flip"] = Field(
        default="none", description="random shift and horizontal flip of every training image"
    )
    padding: int = Field(
        default=4, ge=0, le=64, description="largest shift of an image by crop-flip, in pixels"
    )
    border: Literal["zeros", "reflect"] = Field(
        default="zeros", description="what crop-flip shifts into an image: zeros or a reflection"
    )
    drop_gray: bool = Field(default=False, description="leave out images without colour")
    subset_seed: int | None = Field(
        default=None,
        ge=0,
        description="seed of the held-out, training and labelled parts; null: that of the run",
    )
    download: bool = Field(
        default=False,
        description="whether CIFAR, STL-10 and MedMNIST may be downloaded into $WCORD_DATA",
    )

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        check_source(source)
        return source

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width to resize to, or None."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size
