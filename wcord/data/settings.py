"""What may be asked of a data set; everything is checked before anything is read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from wcord.data.sources import check_source

Side = Annotated[int, Field(ge=4, le=1024)]


class DataSettings(BaseModel):
    """Which samples a run sees, and how they are divided. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str = Field(
        default="digits", description="digits, cifar10, cifar100, npz:PATH or folder:PATH"
    )
    labels_per_class: int | None = Field(
        default=None,
        ge=0,
        description="labels a class (of the student's) that training sees; 0: none (null: all)",
    )
    train_size: int | None = Field(
        default=None, ge=2, description="class-balanced part of the training images that is used"
    )
    test_size: int | None = Field(
        default=None,
        ge=2,
        description="part of the test images that is used, the same for every seed",
    )
    held_out: float | None = Field(
        default=None,
        gt=0,
        le=0.5,
        description="share of the training images kept for choices (0.2 for digits, else 0.1); "
        "not where the data have a held-out part (val) of their own",
    )
    size: Side | tuple[Side, Side] | None = Field(
        default=None,
        description="resize to this many pixels (height, width); folders: 32 where not given",
    )
    augment: Literal["none", "crop-flip"] = "none"
    padding: int = Field(
        default=4, ge=0, le=64, description="pixels by which crop-flip moves an image"
    )
    border: Literal["zeros", "reflect"] = "zeros"
    drop_gray: bool = Field(default=False, description="leave out pictures without colour")
    subset_seed: int | None = Field(
        default=None,
        ge=0,
        description="seed of the held-out, training and labelled parts (null: run's)",
    )
    download: bool = Field(default=False, description="let torchvision download CIFAR")

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        check_source(source)
        return source

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width to resize to, or None."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size
