"""A data set after its division into a training, a held-out and a test part."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from wcord.data.colours import Colours
from wcord.data.dataset_contents import Contents
from wcord.data.raw import Given
from wcord.data.split import Split


@dataclass(frozen=True)
class Data:
    """The samples of a task: `train` to train, `held_out` to choose settings, `test` to report.

    Attributes:
        name: name of the data set.
        classes: K names, of classes, regression targets or labels.
        train: the training part.
        held_out: the held-out part.
        test: the test part.
        labelled: (n_train,) bool, the training samples whose labels a term may use.
        choices: (m,) int64, the samples of `held_out` on which settings are chosen. They are
            class-balanced and not more than the labelled samples; all, if no label is used.
        mean: (C,) float32, of the training images in [0, 1], or of arrays as they are.
        std: (C,) float32, standard deviation, likewise.
        fingerprints: digests and sizes of the parts by name; equal for equal data.
        contents: number of samples by class and part, and the files that were not read.
        given: the order in which the samples were given, before the division.
        targets: kind of the labels, "classes", "regression" or "multilabel".
        colours: the groups of samples that pictures colour.
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
    given: Given = field(default_factory=Given)
    targets: str = "classes"
    colours: Colours = field(default_factory=lambda: Colours(()))

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of one image, or the shape of one array."""
        return tuple(self.train.images.shape[1:])

    @property
    def pictures(self) -> bool:
        """Whether the inputs are pictures of 8 bits."""
        return self.train.pictures

    def to(self, device: torch.device | str) -> Data:
        """Return the same data on a device."""
        moved = {
            name: getattr(self, name).to(device)
            for name in ("train", "held_out", "test", "labelled", "choices", "mean", "std")
        }
        return replace(self, **moved)
