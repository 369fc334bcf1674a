"""Samples in memory: inputs, labels and extras (depth, boxes), and orders spread over classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """n samples: inputs, labels and extras.

    Attributes:
        images: (n, C, H, W) uint8, or other inputs (n, ...) float32.
        labels: classes (n,) int64 with −1 for none; or regression targets (n, K) float32; or
            several labels a sample, (n, K) uint8 of 0 and 1.
        extras: other arrays of images, by name: "depth" (n, 1, H, W) uint8; "boxes" (n, 4) float32
            in pixels (left, top, right, bottom); "gray" (n,) bool, true for images without colour.
        ids: (n,) int64, number of each sample within its source, test samples after the training
            samples. The noise of a sample depends on it, so that it is the same in every subset.
    """

    images: Tensor
    labels: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    ids: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def __post_init__(self) -> None:
        n = len(self.images)
        fits = self.images.ndim == 4 if self.pictures else self.images.ndim >= 2
        if self.images.dtype not in (torch.uint8, torch.float32) or not fits:
            raise ValueError(
                "images must be uint8 of shape (n, channels, height, width), or arrays float32 of "
                f"shape (n, ...), not {self.images.dtype} of shape {tuple(self.images.shape)}"
            )
        if len(self.ids) == 0 and n:
            object.__setattr__(self, "ids", torch.arange(n))
        for name, values in {"labels": self.labels, "ids": self.ids, **self.extras}.items():
            if len(values) != n:
                raise ValueError(f"{name} holds {len(values)} entries for {n} images")

    @property
    def pictures(self) -> bool:
        """Whether the inputs are pictures of 8 bits."""
        return self.images.dtype == torch.uint8

    @property
    def labelled(self) -> Tensor:
        """Which samples have a label, (n,) bool."""
        if self.labels.ndim == 1:
            return self.labels >= 0
        return torch.ones(len(self), dtype=torch.bool, device=self.labels.device)

    @property
    def labelled_count(self) -> int:
        """Number of samples that have a label."""
        return int(self.labelled.sum())

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
        generator: source of the random numbers, on the CPU.
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


def draw_part(split: Split, size: int, generator: torch.Generator) -> tuple[Split, Split]:
    """Divide samples at random into `size` samples with labels and the rest, in their old order.

    Both keep the share of each class. Samples without a label stay in the rest.
    """
    candidates = split.labelled.nonzero()[:, 0]
    if not len(candidates):
        raise ValueError(
            "no sample has a label, so that no held-out and no test part can be drawn: give these "
            "parts with labels"
        )
    labels = strata(split.labels[candidates])
    chosen = candidates[order(labels, generator, keep_shares=True)[:size]]
    drawn = torch.zeros(len(split), dtype=torch.bool)
    drawn[chosen] = True
    return split.take(drawn), split.take(~drawn)


def strata(labels: Tensor) -> Tensor:
    """Return the classes (n,) over which samples are spread: 0 where labels are no classes."""
    return labels if labels.ndim == 1 else labels.new_zeros(len(labels), dtype=torch.int64)


def labelled_part(labels: Tensor, per_class: int | None, generator: torch.Generator) -> Tensor:
    """Return a bool mask (n,) with exactly `per_class` samples of each class (None: all labelled).

    Raises:
        ValueError: a class has fewer than `per_class` samples with a label.
    """
    if labels.ndim == 2:
        return torch.ones(len(labels), dtype=torch.bool)
    known = labels.cpu() >= 0
    if per_class is None:
        return known
    candidates = known.nonzero()[:, 0]
    sizes = torch.bincount(labels.cpu()[candidates])
    classes = int((sizes > 0).sum())
    fewest = int(sizes[sizes > 0].min()) if classes else 0
    if fewest < per_class:
        labelled = "labelled " if not bool(known.all()) else ""
        raise ValueError(
            f"labels_per_class is {per_class}, but the smallest class has {fewest} "
            f"{labelled}training images: use at most {fewest}"
        )
    mask = torch.zeros(len(labels), dtype=torch.bool)
    chosen = order(labels.cpu()[candidates], generator)[: per_class * classes]
    mask[candidates[chosen]] = True
    return mask


def channel_statistics(images: Tensor, chunk: int = 4096) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C,) of each channel of uint8 images scaled to [0, 1].

    The sums are exact integers. A constant channel gets the deviation 1/255, one gray level.
    Float32 arrays (n, C, ...) are not scaled, and a constant channel gets the deviation 1.
    """
    if images.dtype != torch.uint8:
        return array_statistics(images.split(chunk))
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


def array_statistics(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C,) float32 of each channel of arrays (n, C, ...).

    The deviations are summed in a second pass, so that large means cost no digits. A channel whose
    deviation is below the rounding of float32 counts as constant and gets the deviation 1.
    """
    count = sum(part[:, 0].numel() for part in parts)
    axes = (0, *range(2, parts[0].ndim))
    mean = sum(part.cpu().double().sum(axes) for part in parts) / count
    assert isinstance(mean, Tensor)
    level = mean.reshape(-1, *[1] * (parts[0].ndim - 2))
    square = sum((part.cpu().double() - level).square().sum(axes) for part in parts)
    std = (torch.as_tensor(square) / count).sqrt()
    varies = (std > 1e-7 * mean.abs()) & (std > 1e-30)  # smaller ones have no float32 reciprocal
    return mean.float(), torch.where(varies, std, 1.0).float()
