"""A data set after its division: what is trained on, held out, and only reported."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from wcord.data.contents import Contents
from wcord.data.split import Split


@dataclass(frozen=True)
class Data:
    """A task's samples: what is trained on, what choices are made on, what is only reported.

    `labelled` (n_train,) bool tells whose labels cross-entropy may see; `choices` are places
    in `held_out`: a class-balanced part no larger than the labelled one (all of it where no label
    is seen), on which accuracy is measured for every choice. `mean` and `std` (C,) float32 are of
    the training images in [0, 1]. `fingerprints` tell the data set from any other (see
    `wcord.data.fingerprint`); `found` counts its classes and names what was passed over.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    held_out: Split
    test: Split
    labelled: Tensor
    choices: Tensor
    mean: Tensor
    std: Tensor
    fingerprints: dict[str, str] = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def to(self, device: torch.device | str) -> Data:
        """Return the same data on a device."""
        moved = {
            name: getattr(self, name).to(device)
            for name in ("train", "held_out", "test", "labelled", "choices", "mean", "std")
        }
        return replace(self, **moved)
