"""The samples of each training step and their augmentation, a pure function of seed and epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from wcord.compute.memory_format import copy_into, send
from wcord.compute.seeds import generator
from wcord.data.augment import augment_split, draws
from wcord.data.settings import DataSettings
from wcord.data.split import Split

CROPS = "augment"  # purpose of the crops and flips that all networks share


class Sampler:
    """The order of the samples in every epoch, and their crops and flips.

    An incomplete last batch is dropped. The random numbers of every epoch are copied to the same
    device memory, because a replayed CUDA graph reads fixed addresses.

    Args:
        seed: seed of all draws.
        purpose: "order" or "teacher-order", a part of the seed of the order.
        samples: N, the size of the training part.
        batch: number of samples per step.
        settings: augmentation, padding and border.
        device: device of the images.
        crops: purposes of crops and flips; each has its own draws.
    """

    def __init__(
        self,
        seed: int,
        purpose: str,
        samples: int,
        batch: int,
        settings: DataSettings,
        device: torch.device,
        crops: tuple[str, ...] = (CROPS,),
    ) -> None:
        self.seed, self.purpose, self.samples, self.batch = seed, purpose, samples, batch
        self.settings, self.device = settings, device
        self.steps = samples // batch  # per epoch
        self.unaugmented = settings.augment == "none"
        self._epoch = -1
        self._order = torch.empty(0)  # (N,), on the CPU
        # of each purpose: offsets (N, 2) and flips (N,), on the device
        self._moves: dict[str, tuple[Tensor, ...]] = dict.fromkeys(crops, ())

    def rows(self, step: int) -> Tensor:
        """Return the samples of a step, (batch,) int64 on the CPU, from the order of its epoch."""
        epoch, index = divmod(step, self.steps)
        if epoch != self._epoch:
            self._draw(epoch)
        return self._order[index * self.batch : (index + 1) * self.batch]

    def augmented(self, split: Split, index: Tensor, crops: str = CROPS) -> Split:
        """Return samples with the crops and flips of this epoch.

        Args:
            split: n samples of the training part.
            index: their indices in the training part, (n,) on the device.
            crops: purpose of the crops and flips.
        """
        if self.unaugmented:
            return split
        offsets, flips = (moves[index] for moves in self._moves[crops])
        return augment_split(split, offsets, flips, self.settings.padding, self.settings.border)

    def _draw(self, epoch: int) -> None:
        self._epoch = epoch
        rng = generator(self.seed, self.purpose, epoch)
        self._order = torch.randperm(self.samples, generator=rng)
        if not self.unaugmented:
            for crops, old in self._moves.items():
                moves = draws(self.seed, epoch, self.samples, self.settings.padding, crops)
                self._moves[crops] = copy_into(old, [send(m, self.device) for m in moves])
