"""Answers to the exercises of chapter 1."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2])
SAME = (LABELS[:, None] == LABELS).double()
EYE = torch.eye(12, dtype=torch.float64)


def by_counts(labels: Tensor) -> float:
    return sum(count**2 for count in Counter(labels.tolist()).values()) / len(labels) ** 2


def shares_of(labels: Tensor) -> Tensor:
    return labels.bincount().double() / len(labels)


def deviation(only_first: int, only_second: int, images: int) -> float:
    mean = (only_first - only_second) / images
    square = (only_first + only_second) / images
    return 100 * math.sqrt((square - mean**2) / images)


def from_numbers(only_first: int, only_second: int, images: int) -> float:
    rest = [0.0] * (images - only_first - only_second)
    each = [1.0] * only_first + [-1.0] * only_second + rest
    return 100 * float(np.std(each)) / images**0.5


def in_classes(share_of_diagonal: float = 0.0) -> Tensor:
    plan = SAME - EYE
    plan = plan / plan.sum(1, keepdim=True) / 12
    return (1 - share_of_diagonal) * plan + share_of_diagonal * EYE / 12


def across(diagonal: float = 0.3, shift: int = 5) -> Tensor:
    return diagonal * EYE / 12 + (1 - diagonal) * EYE.roll(shift, 1) / 12


def both_ways() -> Tensor:
    shifted = (EYE.roll(5, 1) + EYE.roll(-5, 1)) / 24
    return 0.3 * EYE / 12 + 0.7 * shifted


RIGHT: dict[str, list[Any]] = {
    "1.1": [
        by_counts,
        lambda labels: shares_of(labels).square().sum(),
        lambda labels: (labels[:, None] == labels).double().mean(),
    ],
    "1.2": [deviation, from_numbers],
    "1.3": [
        (in_classes(), across()),
        (in_classes().tolist(), both_ways().numpy()),
    ],
}
WRONG: dict[str, list[Any]] = {
    "1.1": [
        lambda labels: 1 / len(set(labels.tolist())),  # equally large classes
        lambda labels: 0.1,
        lambda labels: 1 / len(labels),  # the diagonal
        lambda labels: 1 / (int(labels.max()) + 1),
        lambda labels: shares_of(labels).square(),
        lambda labels: shares_of(labels).max(),
        lambda labels: shares_of(labels).mean(),
        lambda labels: shares_of(labels).square().sum().sqrt(),
        lambda labels: (by_counts(labels) * len(labels) - 1) / (len(labels) - 1),  # no diagonal
        lambda labels: 100 * by_counts(labels),
        lambda labels: math.nan,
        0.1,
    ],
    "1.2": [
        lambda b, c, n: deviation(b, c, n) / 100,  # not in points
        lambda b, c, n: deviation(b, c, n) ** 2,
        lambda b, c, n: 100 * math.sqrt((b + c) / n / n),  # the mean is not 0
        lambda b, c, n: 100 * math.sqrt((b + c) / n - ((b - c) / n) ** 2),  # of one image
        lambda b, c, n: deviation(b, c, n) * math.sqrt(n / (n - 1)),
        lambda b, c, n: 100 * (b - c) / n,
        lambda b, c, n: 100 * math.sqrt(b / n * (1 - b / n) / n + c / n * (1 - c / n) / n),
        lambda b, c, n: 100 * math.sqrt(0.25 / n),
        lambda b, c, n: 100 * abs(b - c) / math.sqrt(b + c) / n,
        lambda b, c, n: 2 * deviation(b, c, n),
        lambda b, c, n: math.nan,
        1.33,
    ],
    "1.3": [
        (in_classes(), in_classes()),
        (across(), in_classes()),  # in the wrong order
        (in_classes(0.3), across()),
        (in_classes(), across(0.31)),
        (in_classes(), across(0.3, shift=1)),  # stays in the class
        (in_classes(), 0.3 * EYE / 12),  # rows sum to too little
        (SAME / SAME.sum(1, keepdim=True) / 12, across()),  # the diagonal is in it
        (12 * in_classes(), 12 * across()),
        (EYE[[1, 2, 0, 4, 5, 6, 3, 8, 9, 10, 11, 7]] / 12, across()),  # large entries
        ((SAME - EYE) / (SAME - EYE).sum(), across()),  # rows of large classes weigh more
        (in_classes() + EYE - EYE.roll(1, 0), across()),
        (in_classes()[:6, :6], across()[:6, :6]),
        (torch.full((12, 12), math.nan), across()),
    ],
}
