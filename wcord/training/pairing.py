"""Which sample's teacher output each training sample gets: its own, or that of another."""

from __future__ import annotations

import torch
from torch import Tensor

from wcord.compute.random_draws import WrongPairs
from wcord.compute.seeds import generator
from wcord.objectives.term import Batch
from wcord.settings.messages import SettingsError
from wcord.settings.sections import PairingSettings


class Pairing:
    """The sample that the teacher sees where the student sees sample i (`PairingSettings`).

    Within "data", the teacher sees sample `partner[i]` in the whole run. Within "batch",
    `partner[i]` is i, and `rows` gives a permutation of the teacher's rows for every step.

    Args:
        settings: share of wrong pairs, and where the partners come from.
        samples: number of training samples N.
        seed: the run's seed.
        device: of the samples.

    Raises:
        SettingsError: the share of wrong pairs within the data rounds to no sample.

    Attributes:
        in_batch, in_data: whether there are wrong pairs within the batch, or within the data.
        partner: (N,) int64, on the device.
    """

    def __init__(
        self, settings: PairingSettings, samples: int, seed: int, device: torch.device
    ) -> None:
        self.settings, self.samples, self.seed, self.device = settings, samples, seed, device
        self.in_batch, self.in_data = settings.in_batch, settings.in_data
        if self.in_data and not round(settings.broken * samples):
            raise SettingsError(
                f"pairing.broken: {settings.broken:g} of {samples} samples rounds to no sample: "
                "use a larger share"
            )
        self.partner = torch.arange(samples, device=device)
        if self.in_data:
            self.partner = self._partners_of_all_samples("pairing-data")

    def rows(self, batch: Batch) -> Tensor | None:
        """Return rows (n,): row i gets the teacher's output of rows[i]. None: every row its own."""
        if not self.in_batch:
            return None
        return batch.draw("pairing", WrongPairs(len(batch.index), self.settings.broken))

    def in_first_pass(self) -> Tensor:
        """Return the partners (N,) for the first filling of the banks.

        Within "batch", wrong partners then come from all samples, because there is no batch yet.
        """
        return self._partners_of_all_samples("pairing-bank") if self.in_batch else self.partner

    def _partners_of_all_samples(self, purpose: str) -> Tensor:
        wrong_pairs = WrongPairs(self.samples, self.settings.broken)
        return wrong_pairs(generator(self.seed, purpose)).to(self.device)
