"""Checks that the samples of a step are those of `prime` with the same index."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn import functional as F

from wcord.losses.misuse import LossWarning

ENOUGH = 256  # samples after which the check is over


class BankCheck:
    """Checks that the teacher's embeddings resemble the bank's rows of the same index.

    With another order or another part of the data than in `prime` (an unseeded `random_split`, a
    data set that shuffles itself, an index within the batch), every row belongs to a wrong sample,
    and training goes on without an error. The resemblance of a batch is

        r = mean over i of cos(z_i - mean z, b_i - mean b)

    which is 1 for the same images, less for augmented ones, and about 0 for rows of other samples,
    within a spread of s / sqrt(n), where s is that of the cosines of different samples.

    Args:
        name: of the loss, for messages.
        samples: number N of training samples; 0 without a bank. At most half of them
            are checked: in a second epoch the rows are those that the first has written.
    """

    def __init__(self, name: str, samples: int) -> None:
        self.name, self.enough = name, min(ENOUGH, samples // 2)
        self.restart()

    def restart(self) -> None:
        """Begin again: the bank was filled or loaded."""
        self.passed = not self.enough  # nothing is checked any more
        self._count, self._own, self._different = 0, 0.0, 0.0

    @torch.no_grad()
    def check(self, embeddings: Tensor, rows: Tensor) -> None:
        """Add the embeddings (n, d) of a step and the bank's rows of the same index.

        Warns once enough samples were seen, if they do not resemble their rows.
        """
        count = len(rows)
        one, other = (
            F.normalize(x - x.mean(0), dim=-1) for x in (embeddings.float(), rows.float())
        )
        cosines = one @ other.T
        own, total = cosines.diagonal().sum(), cosines.square().sum()
        different = total - cosines.diagonal().square().sum()
        self._count += count
        self._own += float(own)
        self._different += float(different) / max(count - 1, 1)  # count times the mean square
        if self._count < self.enough:
            return
        self.passed = True
        spread = self._different**0.5 / self._count  # of the mean of unrelated cosines
        if self._own / self._count < 3 * spread < 0.5:  # few samples decide nothing
            warnings.warn(
                f"{self.name}: the teacher features of the first {self._count} samples do not "
                "resemble those that the bank has for the same index, so its rows belong to other "
                "samples: give the index in the data set of prime, in the same order (a seed for "
                "random_split, no data set that shuffles itself)",
                LossWarning,
                stacklevel=7,  # the caller's step
            )
