"""Checks the index of every step: the number of each sample in the training set."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wcord.losses.misuse import LossWarning, integers


class IndexCheck:
    """Checks the index of every step: a sample's number in the training set.

    An index within the batch (0 ... n - 1 in every step) would train without an error, with a
    falling loss, and teach nothing. It is recognised at the end of the first epoch, which is when a
    sample comes again, by the samples that were not seen.

    Args:
        name: of the loss, for messages.
        samples: number N of training samples; None if the loss has no bank and needs no index.
    """

    def __init__(self, name: str, samples: int | None) -> None:
        self.name, self.samples = name, samples
        self._seen = np.zeros(samples or 0, dtype=bool)
        self._largest = 0  # samples of a batch
        self._ended = samples is None  # nothing is counted any more

    def check(self, index: Any, count: int) -> Tensor:
        """Return a copy of the index (n,) of a batch of `count` samples, on the CPU.

        Raises:
            ValueError: no index, another shape, an index out of range or twice.
        """
        if self.samples is None:
            return torch.arange(count, device="cpu")
        if index is None:
            raise ValueError(
                f"{self.name} keeps features of every training sample, so it needs "
                "index=, the number of each sample in the data set: wcord.Indexed(dataset) gives it"
            )
        index = integers(index, f"{self.name}: index")
        if len(index) != count:
            raise ValueError(f"{self.name}: the index has {len(index)} entries for {count} samples")
        least, most = int(index.min()), int(index.max())
        if least < 0 or most >= self.samples:
            raise ValueError(
                f"{self.name}: the index {least if least < 0 else most} is not in 0 ... "
                f"{self.samples - 1}: samples is the length of the data set"
            )
        self.check_once(index, "use a sampler without replacement")
        return index

    def check_once(self, index: Tensor, advice: str) -> None:
        """Raise a ValueError if a sample is twice in an index (n,) on the CPU."""
        ordered = index.sort().values
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(twice):
            raise ValueError(
                f"{self.name}: the sample {int(twice[0])} is twice in the batch: {advice}"
            )

    def count(self, index: Tensor) -> None:
        """Note the samples (n,) of a training step until one comes again.

        Warns then, if more samples were left out than `drop_last` leaves out.
        """
        if self._ended:
            return
        self._largest = max(self._largest, len(index))
        rows = index.numpy()
        if not self._seen[rows].any():
            self._seen[rows] = True
            return
        self._ended = True
        unseen = int((~self._seen).sum())
        if unseen >= self._largest:
            warnings.warn(
                f"{self.name}: a sample came again before {unseen} of {self.samples} samples were "
                "seen once. Is the index the number of each sample in the data set (not in the "
                "batch)? Is the loss called once for each batch (further calls and validation in "
                "loss.eval(), one loss for each student)? Does the loader give all samples? Rows "
                "of the bank that are never seen stay those of prime",
                LossWarning,
                stacklevel=6,  # the caller's step
            )

    def end(self) -> None:
        """Count no more: training goes on from somewhere inside an epoch."""
        self._ended = True
