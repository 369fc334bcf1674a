"""Answers to the exercises of chapter 7."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import stats

from wcord.analysis.statistics import holm


def by_quantile(a: Any, b: Any, comparisons: int) -> tuple[float, float]:
    delta = np.asarray(a) - np.asarray(b)
    quantile = stats.t.ppf(1 - 0.025 / comparisons, len(delta) - 1)
    half = quantile * delta.std(ddof=1) / np.sqrt(len(delta))
    return delta.mean() - half, delta.mean() + half


def by_scipy(a: Any, b: Any, comparisons: int) -> Any:
    return stats.ttest_rel(a, b).confidence_interval(1 - 0.05 / comparisons)


def interval(
    alpha: float = 0.05, ddof: int = 1, lost: int = 1, root: bool = True, normal: bool = False
) -> Any:
    """Return an interval with one mistake."""

    def function(a: Any, b: Any, comparisons: int) -> tuple[float, float]:
        delta = a - b
        level = 1 - alpha / 2 / comparisons
        quantile = stats.norm.ppf(level) if normal else stats.t.ppf(level, len(a) - lost)
        half = quantile * delta.std(ddof=ddof) / (np.sqrt(len(a)) if root else 1)
        return delta.mean() - half, delta.mean() + half

    return function


def unpaired(a: Any, b: Any, comparisons: int) -> Any:
    return stats.ttest_ind(a, b).confidence_interval(1 - 0.05 / comparisons)


def sorted_loop(p: Any) -> list[float]:
    found, highest = [0.0] * len(p), 0.0
    for place, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        highest = max(highest, min(1.0, (len(p) - place) * p[k]))
        found[k] = highest
    return found


def by_arrays(p: Any) -> Any:
    values = np.array(p)
    order = values.argsort()
    scaled = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1)
    found = np.empty_like(values)
    found[order] = scaled
    return torch.from_numpy(found)


def without_the_maximum(p: Any) -> Any:
    values = np.array(p)
    ranks = values.argsort().argsort()
    return (values * (len(values) - ranks)).clip(max=1)


def benjamini_hochberg(p: Any) -> Any:
    return stats.false_discovery_control(p)


def hochberg(p: Any) -> Any:
    values = np.array(p)
    order = values.argsort()[::-1]
    found = np.empty_like(values)
    found[order] = np.minimum.accumulate(values[order] * np.arange(1, len(values) + 1)).clip(max=1)
    return found


def table(a: Any, b: Any, c: Any, reference: Any = (80, 81, 82, 83, 84, 85)) -> Any:
    return np.column_stack([reference, *(np.asarray(reference) + d for d in (a, b, c))])


# the single p value of A is 0.020, between 0.05/3 and 0.05/2
A = 1 + 0.87 * np.array([1.0, -1.0, 0.5, -0.5, 0.7, -0.7])
B = np.array([12.0, 0.0, 0.0, 0.0, 0.0, 0.0])
C = np.array([3.0, 3.1, 2.9, 3.0, 3.1, 2.9])

RIGHT: dict[str, list[Any]] = {
    "7.1": [by_quantile, by_scipy, lambda a, b, comparisons: by_quantile(a, b, comparisons)],
    "7.2": [sorted_loop, by_arrays],
    "7.3": [
        table(A, B, C),
        torch.from_numpy(table(A, B, -C)).tolist(),
        table(A, B, C, reference=(50, 50, 50, 50, 50, 50)),
    ],
}

WRONG: dict[str, list[Any]] = {
    "7.1": [
        interval(ddof=0),
        interval(lost=0),
        interval(root=False),
        interval(normal=True),
        interval(alpha=0.1),
        unpaired,
        lambda a, b, comparisons: by_quantile(b, a, comparisons),
        lambda a, b, comparisons: by_quantile(a, b, 1),
        lambda a, b, comparisons: by_quantile(a, b, comparisons + 1),
        lambda a, b, comparisons: by_quantile(a, b, comparisons)[::-1],
        lambda a, b, comparisons: (0.0, (a - b).mean()),
        lambda a, b, comparisons: (a - b).mean(),
        (-1.0, 1.0),
    ],
    "7.2": [
        holm,
        lambda p: holm(p).tolist(),
        without_the_maximum,
        benjamini_hochberg,
        hochberg,
        lambda p: p,
        lambda p: [min(1, len(p) * value) for value in p],
        lambda p: [len(p) * value for value in p],
        lambda p: sorted(sorted_loop(p)),
        lambda p: [value <= 0.05 for value in sorted_loop(p)],
        lambda p: sorted_loop(p)[:-1],
        lambda p: [1 - (1 - value) ** len(p) for value in p],
        0.05,
    ],
    "7.3": [
        table(A, B, 0 * C),  # A does not pass Holm's first step
        table(C, B, C),  # the interval of A is above 0
        table(A, C, C),  # B is better
        table(A, 0 * B, C),  # B is below A
        table(A, A / 2, C),
        table(0 * A, B, C),
        table(-A, B, C),
        table(A, B, C).T,
        table(A, B, C)[:5],
        table(A, B, C, reference=(90, 91, 92, 93, 94, 95)),  # above 100
        table(A, B * np.nan, C),
        table(A, B, C)[:, [0, 2, 1, 3]],
        table(A, B, C)[:, [1, 0, 2, 3]],
        table(3 * (A - 1) + 1, B, C),
    ],
}
