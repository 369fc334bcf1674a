"""Which rows of the bank are the negatives of which anchor."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wcord.compute.seeds import Integers
from wcord.objectives.dual_forms import Scores
from wcord.objectives.term import Batch

BITS = 40  # of the integers that stand for uniform numbers in [0, 1): exact on every device


class Choice(NamedTuple):
    """Negatives of n anchors among the N rows of a bank.

    columns (k,): the rows that anybody uses, None for all N. rows (n, M): which of those each
    anchor uses, None for all. allowed (n, k): which count, None for all.
    """

    columns: Tensor | None = None
    rows: Tensor | None = None
    allowed: Tensor | None = None

    def scores(self, positive: Tensor, against: Callable[[Tensor | None], Tensor]) -> Scores:
        """Return the scores of this choice.

        Args:
            positive: (n,) congruent scores.
            against: returns (n, k) scores against the given rows of the bank (None: all): one
                product that serves all anchors.
        """
        negative = against(self.columns)
        if self.rows is not None:
            negative = negative.gather(1, self.rows)  # (n, M) scores, never (n, M, dim) features
        return Scores(positive, negative, self.allowed)


class Negatives(nn.Module):
    """The rule by which negatives are chosen; it knows each training sample's group.

    "any": any other sample (the product of the marginals). "other_class": a sample of another
    group. `count` None takes all of them; otherwise that many are drawn with replacement, "any"
    one set for the whole batch (own sample left out), "other_class" a set for each anchor, whose
    M numbers are shared and shifted by an anchor's own offset (each anchor's set is an
    independent uniform sample; two anchors' sets are not independent of each other).

    Args:
        size: number of training samples N.
        groups: number of groups.
        kind: "any" or "other_class".
        count: M, or None for all.
        shared: one set for the whole batch even for "other_class" (own class then left out).
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
        self.register_buffer("start", torch.zeros(groups, dtype=torch.long))  # where each begins
        self.register_buffer("members", torch.zeros(groups, dtype=torch.long))

    def observe(self, index: Tensor, group: Tensor) -> None:
        """Take the groups (n,) of all training samples `index` (n,).

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

    def draw(self, batch: Batch, purpose: str) -> Tensor | None:
        """Return the rows (M,) that the whole batch shares; None for all of them."""
        if self.count is None:
            return None
        return batch.draw(purpose, Integers(len(self.group), self.count))

    def choose(self, batch: Batch, purpose: str) -> Choice:
        """Return the negatives of a batch: a pure function of (seed, purpose, step, groups)."""
        if self.count is None:
            return Choice(allowed=self._allowed(batch.index, None))
        if self.shared:
            columns = self.draw(batch, purpose)
            return Choice(columns, allowed=self._allowed(batch.index, columns))
        drawn = batch.draw(purpose, Integers(1 << BITS, self.count + len(batch.index)))
        return Choice(rows=self._other_class(batch.index, drawn))

    def _allowed(self, index: Tensor, columns: Tensor | None) -> Tensor:
        if self.kind == "other_class":
            group = self.group if columns is None else self.group[columns]
            return self.group[index][:, None] != group  # (n, k)
        if columns is None:
            columns = torch.arange(len(self.group), device=index.device)
        return index[:, None] != columns  # (n, k)

    def _other_class(self, index: Tensor, drawn: Tensor) -> Tensor:
        """Return rows (n, M): samples sorted by group, with the anchor's own block skipped.

        Args:
            index: the anchors (n,).
            drawn: integers (M + n,) below 2^BITS: M that all anchors share, and an offset each.
        """
        uniform, offset = drawn[: -len(index)], drawn[-len(index) :]
        own = self.group[index]  # (n,)
        others = len(self.group) - self.members[own]  # (n,)
        place = ((uniform + offset[:, None]) & ((1 << BITS) - 1)) * others[:, None] >> BITS
        place += self.members[own][:, None] * (place >= self.start[own][:, None])
        return self.order[place]
