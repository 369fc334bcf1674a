"""The exercises of chapter 7."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats

from wcord.analysis.statistics import compare, holm

from .checking import Exercise, draws, far, normal, own, tensor, uniform

ARMS = ["reference", "A", "B", "C"]


def _interval(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    for seeds, comparisons in ((5, 1), (10, 4), (3, 7)):
        shared = normal(seeds, draw=draw)
        a, b = (80 + shared + normal(seeds, draw=draw) for _ in range(2))
        low, high = (
            float(end) for end in function(a.numpy().copy(), b.numpy().copy(), comparisons)
        )
        test = stats.ttest_rel(a.numpy(), b.numpy())
        expected = test.confidence_interval(1 - 0.05 / comparisons)
        if low > high:
            return "the lower end comes first"
        middle = (low + high) / 2
        if not abs(middle - float((a - b).mean())) < 1e-6:
            return "the middle of the interval should be the mean difference of the seeds"
        if not abs(high - expected.high) < 1e-6:
            width = "wide" if high - low > expected.high - expected.low else "narrow"
            return f"for {seeds} seeds and {comparisons} comparisons the interval is too {width}"
    return ""


def _corrected(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    for count in (1, 2, 5, 8):
        p = (uniform(count, draw=draw) ** 3).tolist()
        answer = tensor(function(list(p)))
        expected = torch.from_numpy(holm(p))
        if answer.shape != expected.shape:
            return f"{count} p values should give {count} corrected ones"
        if answer.max() > 1:
            return "a corrected p value exceeds 1"
        if far(answer.sort().values, expected.sort().values):
            return f"for {count} p values the corrected ones are not Holm's"
        if far(answer, expected):
            return "the corrected p values are right, but not in the order of the given ones"
    return ""


def _misleading_table(answer: Any) -> str:
    rows = tensor(answer)
    if rows.shape != (6, 4):
        return "six rows of four numbers are asked for"
    if not (rows.isfinite().all() and rows.min() >= 0 and rows.max() <= 100):
        return "accuracies are between 0 and 100"
    values: NDArray[np.float64] = rows.numpy()
    found = compare(pd.DataFrame(values, columns=ARMS), "reference")
    a, b = found["A"], found["B"]
    if a.verdict != "better":
        return "A should be better than the reference"
    if not a.low < 0 < a.high:
        return "the interval of A should contain 0"
    if not values[:, 2].mean() > values[:, 1].mean():
        return "the mean of B should be larger than that of A"
    if b.verdict != "cannot be told apart":
        return "B should be an arm that cannot be told apart from the reference"
    return ""


EXERCISES = (
    Exercise(
        "7.1",
        "quick",
        _interval,
        (
            "Begin with the differences within each seed, and take their mean and their "
            "standard deviation.",
            "Use (7.2), with the standard deviation that divides by the number of seeds less one.",
            "The share 0.05 is divided among the comparisons and then between the two ends; the "
            "quantile is that of as many degrees of freedom as there are seeds, less one.",
        ),
    ),
    Exercise(
        "7.2",
        "derive",
        _corrected,
        (
            "When does the smallest p value pass at the level α? Solve this for α.",
            "The second smallest passes only if the smallest has passed as well: two conditions "
            "on α.",
            "So multiply the sorted p values by the number of remaining comparisons, and let no "
            "value be below one that stands before it.",
        ),
    ),
    Exercise(
        "7.3",
        "explore",
        _misleading_table,
        (
            "A can be better with an interval that contains 0 only if another comparison passes "
            "Holm's first step.",
            "Give C a difference that is large and nearly the same at every seed.",
            "The single p value of A has to lie between 0.05/3 and 0.05/2: scale its differences "
            "up and down around their mean until it does.",
            "B may have a large mean that comes from one or two seeds only.",
        ),
    ),
)
