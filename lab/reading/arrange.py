"""What pictures need before they can be drawn: orders, groups, lines and layouts, as arrays.

Pure functions of numpy arrays, shared by the figures of the notebooks and the charts of the
pages, so that both show the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def class_order(labels: Array) -> Array:
    """Return the order (n,) that sorts samples by class, keeping their order inside a class.

    >>> class_order(np.array([1, 0, 1, 0])).tolist()
    [1, 3, 0, 2]
    """
    return np.argsort(np.asarray(labels), kind="stable")


@dataclass(frozen=True)
class Blocks:
    """Runs of one class in a sorted list: class names, where each starts and ends, its middle."""

    names: list[int]
    starts: list[int]
    ends: list[int]

    @property
    def middles(self) -> list[float]:
        """Return the middle of each block, in units of samples."""
        return [(a + b) / 2 for a, b in zip(self.starts, self.ends, strict=True)]


def class_blocks(labels: Array) -> Blocks:
    """Return the blocks of `labels` once sorted by class.

    >>> class_blocks(np.array([1, 0, 1, 0, 0]))
    Blocks(names=[0, 1], starts=[0, 3], ends=[3, 5])
    """
    names, counts = np.unique(np.asarray(labels), return_counts=True)
    ends = np.cumsum(counts)
    return Blocks([int(c) for c in names], [int(e) for e in ends - counts], [int(e) for e in ends])


def sorted_plan(plan: Array, labels: Array) -> Array:
    """Return the plan (n, n), rows teacher and columns student, with both sides sorted by class.

    Entries are shares of a teacher sample's mass: each row is divided by its sum, so that 1
    means "all of it goes there", whatever the number of samples.
    """
    order = class_order(labels)
    return share_of_rows(np.asarray(plan)[np.ix_(order, order)])


def share_of_rows(plan: Array) -> Array:
    """Return a plan (n, m) with each row divided by its sum; a row without mass stays 0."""
    plan = np.nan_to_num(np.asarray(plan, dtype=np.float64), posinf=0, neginf=0)
    rows = plan.sum(axis=1, keepdims=True)
    return np.divide(plan, rows, out=np.zeros_like(plan), where=rows > 0)


def plan_masses(
    plan: Array, labels: Array, target_labels: Array | None = None
) -> tuple[float, float]:
    """Return the share of mass that stays inside its class, and the share on the diagonal.

    The diagonal pairs a sample with itself; it is `nan` where the plan is not square.
    """
    plan = np.asarray(plan, dtype=np.float64)
    other = np.asarray(labels if target_labels is None else target_labels)
    same = np.asarray(labels)[:, None] == other[None, :]
    total = plan.sum()
    if not total > 0:
        return float("nan"), float("nan")
    square = plan.shape[0] == plan.shape[1]
    return float(plan[same].sum() / total), float(np.trace(plan) / total if square else np.nan)


def entropy(plan: Array) -> float:
    """Return the entropy of a plan in nats, H(P) = −Σ P log P, with 0 log 0 = 0.

    >>> round(entropy(np.full((2, 2), 0.25)), 4)
    1.3863
    """
    mass = np.asarray(plan, dtype=np.float64)
    mass = mass[mass > 0]
    return float(-(mass * np.log(mass)).sum())


def score_groups(scores: Array, labels: Array) -> dict[str, Array]:
    """Split the scores (n, n) of all pairs into congruent, same-class and other-class pairs.

    Congruent pairs are the diagonal: teacher and student saw the same sample.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    same = labels[:, None] == labels[None, :]
    diagonal = np.eye(len(labels), dtype=bool)
    return {
        "congruent": scores[diagonal],
        "same class": scores[same & ~diagonal],
        "other class": scores[~same],
    }


@dataclass(frozen=True)
class Histogram:
    """Bins shared by several groups: edges (b + 1,) and each group's share per bin (b,)."""

    edges: Array
    shares: dict[str, Array]
    means: dict[str, float]

    @property
    def centres(self) -> Array:
        """Return the middle of each bin."""
        return (self.edges[:-1] + self.edges[1:]) / 2


def histogram(
    groups: dict[str, Array], bins: int = 40, span: tuple[float, float] | None = None
) -> Histogram:
    """Return each group's share of its own pairs in common bins; values that are not finite drop.

    Shares, not counts: there are n matching pairs against n(n − 1) others. The bins cover `span`,
    or all values.
    """
    finite = {name: values[np.isfinite(values)] for name, values in groups.items()}
    everything = np.concatenate([*finite.values(), np.empty(0)])
    low, high = (everything.min(), everything.max()) if everything.size else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    low, high = span or (low, high)
    edges = np.linspace(low, high, bins + 1)
    shares = {
        name: np.histogram(values, edges)[0] / max(values.size, 1)
        for name, values in finite.items()
    }
    means = {n: float(v.mean()) if v.size else float("nan") for n, v in finite.items()}
    return Histogram(edges, shares, means)


@dataclass(frozen=True)
class Lines:
    """The heaviest entries of a plan: row and column of each, its mass, and the share covered."""

    rows: Array
    columns: Array
    mass: Array
    covered: float


def heaviest(plan: Array, most: int = 300) -> Lines:
    """Return the at most `most` heaviest entries of a plan, lightest first (so heavy lie on top).

    Entries below a hundredth of the heaviest are left out: their lines would not be seen.
    """
    plan = np.nan_to_num(np.asarray(plan, dtype=np.float64))
    flat = plan.ravel()
    keep = min(most, flat.size)
    chosen = np.argpartition(flat, -keep)[-keep:]
    chosen = chosen[np.argsort(flat[chosen])]
    chosen = chosen[flat[chosen] > 0.01 * flat.max(initial=0.0)]
    rows, columns = np.unravel_index(chosen, plan.shape)
    total = flat.sum()
    covered = float(flat[chosen].sum() / total) if total > 0 else 0.0
    return Lines(rows, columns, flat[chosen], covered)


def spread_evenly(count: int, most: int) -> Array:
    """Return at most `most` of `count` places, evenly spread, the first and the last among them.

    >>> spread_evenly(9, 3).tolist()
    [0, 4, 8]
    """
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def spaced(places: Sequence[float], size: float, most: int) -> list[int]:
    """Return which of ascending places are at least `size / most` apart, counted from the first.

    >>> spaced([0.5, 1.0, 5.0, 9.0], 10, 5)
    [0, 2, 3]
    """
    kept: list[int] = []
    for which, place in enumerate(places):
        if not kept or place - places[kept[-1]] >= size / most:
            kept.append(which)
    return kept
