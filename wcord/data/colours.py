"""Classes for pictures and for spreading samples, where labels are no classes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

BINS = 5  # ranges of a regression target that pictures colour


@dataclass(frozen=True)
class Colours:
    """Groups by which pictures colour samples, and by which masses of a plan are measured.

    Classes are their own groups. Regression targets: ranges of the first target that hold equally
    many training samples. Several labels a sample: the label that is rarest in the training part,
    among those of the sample; a last group has samples without any label.

    Args:
        names: of the groups.
        edges: (groups − 1,) between the ranges, for regression.
        rarest_first: (K,) the labels in order of their number of training samples.
    """

    names: tuple[str, ...]
    edges: Tensor | None = None
    rarest_first: Tensor | None = None

    @staticmethod
    def of(labels: Tensor, names: tuple[str, ...], targets: str) -> Colours:
        """Return the groups for the labels (n,) or (n, K) of a training part.

        Args:
            labels: of the training part.
            names: of the classes, targets or labels.
            targets: the kind of the labels.
        """
        if targets == "regression":
            shares = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1]
            edges = torch.quantile(labels[:, 0].double(), shares).float().unique()
            texts = [f"{edge:.3g}" for edge in edges.tolist()]
            middle = [f"{a} to {b}" for a, b in pairwise(texts)]
            return Colours((f"below {texts[0]}", *middle, f"from {texts[-1]}"), edges)
        if targets == "multilabel":
            order = labels.sum(0).argsort(stable=True)
            return Colours((*names, "no label"), rarest_first=order)
        return Colours(names)

    def of_labels(self, labels: Tensor) -> Tensor:
        """Return the group (n,) int64 of each sample."""
        if self.edges is not None:
            values = labels[:, 0].contiguous()
            return torch.bucketize(values, self.edges.to(labels), right=True)
        if self.rarest_first is not None:
            order = self.rarest_first.to(labels.device)
            has = labels[:, order] > 0  # (n, K)
            first = order[has.to(torch.uint8).argmax(1)]
            return torch.where(has.any(1), first, len(order))
        return labels

    def of_outputs(self, outputs: Tensor) -> Tensor:
        """Return the group (n,) of a network's outputs (n, K); above 0 a label is present."""
        if self.edges is None and self.rarest_first is None:
            return outputs.argmax(1)
        return self.of_labels(outputs)
