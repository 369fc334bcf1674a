"""Samples in memory: images, labels and extras (depth, boxes), and orders spread over classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """n samples: images (n, C, H, W) uint8, labels (n,) int64 and per-sample extras.

    Known extras: "depth" (n, 1, H, W) uint8, "boxes" (n, 4) float32 in pixels of the images (left,
    top, right, bottom), "gray" (n,) bool, true for images without colour. `ids` (n,) int64 number
    the samples within their source, test samples after the training samples, so that the noise of a
    sample is the same in every subset.
    """

    images: Tensor
    labels: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    ids: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                "images must be uint8 of shape (n, channels, height, width), not "
                f"{self.images.dtype} of shape {tuple(self.images.shape)}"
            )
        if len(self.ids) == 0 and n:
            object.__setattr__(self, "ids", torch.arange(n))
        for name, values in {"labels": self.labels, "ids": self.ids, **self.extras}.items():
            if len(values) != n:
                raise ValueError(f"{name} holds {len(values)} entries for {n} images")

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Split:
        """Return the same samples on a device."""
        extras = {name: values.to(device) for name, values in self.extras.items()}
        return Split(self.images.to(device), self.labels.to(device), extras, self.ids.to(device))

    def take(self, index: Tensor) -> Split:
        """Return the samples at `index` (long or bool, on any device)."""
        index = index.to(self.images.device)
        extras = {name: values[index] for name, values in self.extras.items()}
        return Split(self.images[index], self.labels[index], extras, self.ids[index])


def order(labels: Tensor, generator: torch.Generator, *, keep_shares: bool = False) -> Tensor:
    """Return a random order of samples whose every prefix is spread over the classes.

    Each class is shuffled. The r-th sample of a class gets the key r (a prefix has equally many
    samples of each class, until one runs out) or, with `keep_shares`, (r + 1/2)/size of the class
    (a prefix keeps the share of each class). The keys are sorted, ties at random.

    Args:
        labels: (n,) int64.
        generator: of the random numbers, on the CPU.
        keep_shares: whether each prefix keeps the share of each class.

    Returns:
        (n,) int64, a permutation.
    """
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[torch.argsort(labels.cpu()[shuffled], stable=True)]
    sizes = torch.bincount(labels.cpu())
    starts = sizes.cumsum(0) - sizes
    key = torch.empty(len(labels), dtype=torch.float64)
    key[by_class] = (torch.arange(len(labels)) - starts[labels.cpu()[by_class]]).double()
    if keep_shares:
        key = (key + 0.5) / sizes[labels.cpu()]
    return shuffled[torch.argsort(key[shuffled], stable=True)]


def labelled_part(labels: Tensor, per_class: int | None, generator: torch.Generator) -> Tensor:
    """Return a bool mask (n,) with exactly `per_class` samples of each class (None: all).

    Raises:
        ValueError: a class has fewer than `per_class` samples.
    """
    if per_class is None:
        return torch.ones(len(labels), dtype=torch.bool)
    sizes = torch.bincount(labels.cpu())
    classes = int((sizes > 0).sum())
    fewest = int(sizes[sizes > 0].min())
    if fewest < per_class:
        raise ValueError(
            f"labels_per_class is {per_class}, but the smallest class has {fewest} training "
            f"images: use at most {fewest}"
        )
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[order(labels, generator)[: per_class * classes]] = True
    return mask


def channel_statistics(images: Tensor, chunk: int = 4096) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C,) of each channel of uint8 images scaled to [0, 1].

    The sums are exact integers. A constant channel gets the deviation 1/255, one gray level.
    """
    total = torch.zeros(images.shape[1], dtype=torch.int64)
    square = torch.zeros_like(total)
    for part in images.split(chunk):
        values = part.to(torch.int32)
        total += values.sum((0, 2, 3)).cpu()
        square += values.square().sum((0, 2, 3)).cpu()
    count = math.prod(images.shape) // images.shape[1]
    mean = total.double() / count
    std = (square.double() / count - mean.square()).clamp_min(0).sqrt().clamp_min(1.0)
    return (mean / 255).float(), (std / 255).float()
