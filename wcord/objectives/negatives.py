"""The negatives: the rows of the bank that each anchor is compared with, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wcord.compute.random_draws import Integers
from wcord.objectives.critic_losses import Scores
from wcord.objectives.term import Batch

BITS = 40  # uniform numbers in [0, 1) are integers over 2^40: exact on every device


class NegativeSet(NamedTuple):
    """The negatives of n anchors among the N rows of a bank.

    columns (k,): the rows that are compared with all anchors; None for all N. rows (n, M): the
    rows of each anchor; None if `columns` are its rows. allowed (n, k): which of the columns
    count for an anchor; None for all.
    """

    columns: Tensor | None = None
    rows: Tensor | None = None
    allowed: Tensor | None = None

    def scores(self, positive: Tensor, score: Callable[[Tensor | None], Tensor]) -> Scores:
        """Return the scores of these negatives.

        Args:
            positive: (n,) scores of the positives.
            score: returns (n, k) scores against the given rows of the bank (None: all), in one
                matrix product for all anchors.
        """
        negative = score(self.columns)
        if self.rows is not None:
            negative = negative.gather(1, self.rows)  # (n, M) scores, never (n, M, dim) features
        return Scores(positive, negative, self.allowed)


class NegativeSampler(nn.Module):
    """Draws negatives by the groups of the training samples.

    "any": every other sample (the product of the marginals). "other_class": the samples of other
    groups. With `count` None all of them are used, otherwise `count` of them, with replacement. For
    "any" the whole batch shares one set, in which an anchor's own sample does not count. For
    "other_class" each anchor has its own set: the batch shares M random numbers, and each anchor
    shifts them by a random offset. So the draws within a set are independent and uniform, but
    the sets of two anchors depend on each other.

    Args:
        size: number of training samples N.
        groups: number of groups.
        kind: "any" or "other_class".
        count: M, or None for all.
        shared: use one set for the whole batch with "other_class" too; in it, the samples of an
            anchor's class do not count.
    """

    group: Tensor
    order: Tensor
    start: Tensor
    members: Tensor

    def __init__(
        self, size: int, groups: int, kind: str, count: int | None, shared: bool = False
    ) -> None:
        super().__init__()
        self.kind, self.shared = kind, shared or kind == "any"
        self.count = None if count is None or count >= size - 1 else count
        self.register_buffer("group", torch.zeros(size, dtype=torch.long))
        self.register_buffer("order", torch.arange(size))  # samples sorted by group
        # of each group: position of its first sample in `order`, and number of samples
        self.register_buffer("start", torch.zeros(groups, dtype=torch.long))
        self.register_buffer("members", torch.zeros(groups, dtype=torch.long))

    def resize(self, groups: int) -> None:
        """Make room for another number of groups; they are empty until `set_groups`."""
        if groups != len(self.members):
            self.start, self.members = (self.members.new_zeros(groups) for _ in range(2))

    def set_groups(self, index: Tensor, group: Tensor) -> None:
        """Set the groups (n,) of all training samples `index` (n,).

        Raises:
            ValueError: "other_class" with fewer than two groups.
        """
        self.group.index_copy_(0, index, group)
        self.order.copy_(torch.argsort(self.group, stable=True))
        self.members.copy_(torch.bincount(self.group, minlength=len(self.members)))
        self.start.copy_(self.members.cumsum(0) - self.members)
        if self.kind == "other_class" and int((self.members > 0).sum()) < 2:
            raise ValueError(
                "negatives of other classes need samples of two classes at least: "
                "set negatives to 'any'"
            )

    def draw(self, batch: Batch, purpose: str) -> NegativeSet:
        """Return the negatives of a batch: a pure function of (seed, purpose, step, groups)."""
        if self.shared or self.count is None:
            columns = self.draw_shared_rows(batch, purpose)
            return NegativeSet(columns, allowed=self._allowed(batch.index, columns))
        numbers = batch.draw(purpose, Integers(1 << BITS, self.count + len(batch.index)))
        return NegativeSet(rows=self._rows_of_other_groups(batch.index, numbers))

    def draw_shared_rows(self, batch: Batch, purpose: str) -> Tensor | None:
        """Return the rows (M,) that the whole batch shares; None for all of them."""
        if self.count is None:
            return None
        return batch.draw(purpose, Integers(len(self.group), self.count))

    def _allowed(self, index: Tensor, columns: Tensor | None) -> Tensor:
        if self.kind == "other_class":
            group = self.group if columns is None else self.group[columns]
            return self.group[index][:, None] != group  # (n, k)
        if columns is None:
            columns = torch.arange(len(self.group), device=index.device)
        return index[:, None] != columns  # (n, k)

    def _rows_of_other_groups(self, index: Tensor, numbers: Tensor) -> Tensor:
        """Return rows (n, M), drawn from the samples sorted by group without the anchor's group.

        Args:
            index: the anchors (n,).
            numbers: integers (M + n,) below 2^BITS: M that all anchors share, then an offset for
                each anchor.
        """
        uniform, offset = numbers[: -len(index)], numbers[-len(index) :]
        group = self.group[index]  # (n,)
        others = len(self.group) - self.members[group]  # (n,), samples of other groups
        position = ((uniform + offset[:, None]) & ((1 << BITS) - 1)) * others[:, None] >> BITS
        position += self.members[group][:, None] * (position >= self.start[group][:, None])
        return self.order[position]
