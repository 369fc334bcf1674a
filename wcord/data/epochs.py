"""Which samples a training step takes and how they are moved: a pure function of seed and epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from wcord.compute.memory_format import copy_into, send
from wcord.compute.seeds import generator
from wcord.data.augment import augment_split, draws
from wcord.data.settings import DataSettings
from wcord.data.split import Split


class Epochs:
    """The order of the samples in every epoch, and their crops and flips.

    A last batch that is not full is dropped. What an epoch draws lies at the same place on the
    device as what the last one drew, as a replayed step wants it.

    Args:
        seed: keys all draws.
        purpose: keys the order, "order" or "teacher-order".
        samples: N, of the training part.
        batch: samples a step.
        settings: whether and how they are moved.
        device: where they are moved.
    """

    def __init__(
        self,
        seed: int,
        purpose: str,
        samples: int,
        batch: int,
        settings: DataSettings,
        device: torch.device,
    ) -> None:
        self.seed, self.purpose, self.samples, self.batch = seed, purpose, samples, batch
        self.settings, self.device = settings, device
        self.steps = samples // batch  # of an epoch
        self.still = settings.augment == "none"
        self._epoch = -1
        self._order = torch.empty(0)  # (N,), on the CPU
        self._moves: tuple[Tensor, ...] = ()  # offsets (N, 2) and flips (N,), on the device

    def rows(self, step: int) -> Tensor:
        """Return the samples of a step, (batch,) int64 on the CPU; begins its epoch."""
        epoch, place = divmod(step, self.steps)
        if epoch != self._epoch:
            self._begin(epoch)
        return self._order[place * self.batch : (place + 1) * self.batch]

    def moved(self, split: Split, index: Tensor) -> Split:
        """Return samples as this epoch moves them.

        Args:
            split: the samples.
            index: their places in the training part, (n,) on the device.
        """
        if self.still:
            return split
        offsets, flips = (moves[index] for moves in self._moves)
        return augment_split(split, offsets, flips, self.settings.padding, self.settings.border)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        order = generator(self.seed, self.purpose, epoch)
        self._order = torch.randperm(self.samples, generator=order)
        if not self.still:
            moves = draws(self.seed, epoch, self.samples, self.settings.padding)
            self._moves = copy_into(self._moves, [send(m, self.device) for m in moves])
