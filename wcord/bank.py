"""The bank: past embeddings of all training samples, for positives and negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FeatureBank(nn.Module):
    """One embedding of every training sample, between a step and an epoch old.

        b[i] <- m b[i] + (1 - m) z_i,   then scaled to unit length if `normalise`

    Take positives from the bank too: with fresh positives, a critic could recognise the negatives
    by their age. Fill the bank with real embeddings before the first step, and write to it only
    after the optimizer's step (autograd needs the old values in backward).

    Args:
        size: number of training samples N.
        dim: length of an embedding.
        momentum: m in [0, 1), weight of the old embedding in a write.
        normalise: keep rows at unit length, for critics that normalise after projecting.

    Raises:
        ValueError: a size or dim below 1, a momentum outside [0, 1).

    Source: Wu et al. (2018), "Unsupervised feature learning via non-parametric instance
    discrimination" (the bank); Tian, Krishnan and Isola (2020), code, for the momentum.
    """

    embeddings: Tensor

    def __init__(self, size: int, dim: int, momentum: float = 0.5, normalise: bool = False) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise ValueError(f"a bank needs a size and a dim of at least 1, not {size} and {dim}")
        if not 0 <= momentum < 1:
            raise ValueError(f"bank momentum must be in [0, 1), not {momentum}")
        self.momentum, self.normalise = float(momentum), normalise
        self.register_buffer("embeddings", torch.zeros(size, dim))

    def __len__(self) -> int:
        return self.embeddings.shape[0]

    def rows(self, index: Tensor | None = None) -> Tensor:
        """Return a copy (n, dim) of the rows of samples `index` (n,); None: all, uncopied."""
        return self.embeddings if index is None else self.embeddings.index_select(0, index)

    def mean_of_others(self, index: Tensor, drawn: Tensor | None = None) -> Tensor:
        """Return, for each sample of `index`, the mean of the rows of the other samples.

        Args:
            index: samples (n,).
            drawn: rows (M,) to average instead of all rows; a row may occur several times.

        Returns:
            means (n, dim); 0 for a sample without other rows.
        """
        if drawn is None:
            return (self.embeddings.sum(0) - self.rows(index)) / max(len(self) - 1, 1)
        repeats = (drawn == index[:, None]).sum(1, keepdim=True)  # (n, 1), draws of its own row
        others = self.rows(drawn).sum(0) - repeats * self.rows(index)
        return others / (len(drawn) - repeats).clamp_min(1)

    @torch.no_grad()
    def fill(self, index: Tensor, embeddings: Tensor) -> None:
        """Replace the rows of samples `index` (n,) by embeddings (n, dim)."""
        self.embeddings.index_copy_(0, index, self._scaled(embeddings))

    @torch.no_grad()
    def write(self, index: Tensor, embeddings: Tensor) -> None:
        """Mix embeddings (n, dim) into the rows of samples `index` (n,), which must all differ.

        An embedding with NaN or infinity (a step that overflowed) changes nothing.
        """
        old = self.rows(index)
        mixed = self._scaled(torch.lerp(embeddings.to(old.dtype), old, self.momentum))
        finite = mixed.isfinite().all(1, keepdim=True)
        self.embeddings.index_copy_(0, index, torch.where(finite, mixed, old))

    def _scaled(self, embeddings: Tensor) -> Tensor:
        embeddings = embeddings.detach().to(self.embeddings.dtype)
        return F.normalize(embeddings, dim=-1) if self.normalise else embeddings
