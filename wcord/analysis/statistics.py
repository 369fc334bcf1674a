"""Paired comparisons over seeds: intervals and verdicts, corrected for multiple tests."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Key = TypeVar("Key", bound=Hashable)
LEVEL = 0.95
UNDECIDED = "cannot be told apart"
ROUNDING = 2 * float(np.finfo(np.float32).eps)  # relative spread that rounding alone can cause


@dataclass(frozen=True)
class Paired:
    """One arm compared with a reference arm, over the seeds that both have.

    Attributes:
        pairs: the number of these seeds.
        difference, error: the mean difference and its standard error.
        low, high: the simultaneous interval.
        p: the p value after Holm's correction.
        correlation: of the two arms over seeds.
        verdict: "better" (the difference is above 0), "worse", "cannot be told apart", or the
            reason why there is none.

    Unknown numbers are nan.
    """

    pairs: int = 0
    difference: float = np.nan
    error: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    correlation: float = np.nan
    verdict: str = "no seed in common"


def compare(
    values: pd.DataFrame, against: Hashable, level: float = LEVEL
) -> dict[Hashable, Paired]:
    """Compare every arm with a reference arm, paired by seed: m verdicts and m intervals.

        d = a − b,   t = mean d / (s_d / √n),   p of Student's t with n − 1 degrees of freedom
        verdict    better or worse where Holm's adjusted p ≤ α = 1 − level, see `holm`
        interval   mean d ± t_{1 − α/(2m), n − 1} s_d / √n

    The probability that any arm equal to the reference is called better or worse is at most α
    (Holm, 1979). The m intervals together contain all true differences with probability `level`
    (Bonferroni). Both hold for any correlation between the arms, if the differences over seeds
    are normal. Holm's procedure has more power than these intervals: an arm may be better
    although its interval contains 0.

    The m comparisons are those with at least two paired seeds. A comparison without spread beyond
    rounding has neither p nor interval, but it counts in m, because m must not depend on outcomes.

    Args:
        values: one row per seed, one column per arm; comparisons leave out seeds without a value.
        against: column of the reference arm, given by its label or by the text of its label.
        level: confidence of all intervals together, between 0 and 1.

    Returns:
        The comparisons by column label, in the order of the columns.

    Raises:
        ValueError: there is no such arm, the table is empty, a name occurs twice, or a value is
            infinite or not a number.

    >>> b = compare(pd.DataFrame({"a": [1, 2, 3], "b": [5, 6, 9]}), "a")["b"]
    >>> f"{b.difference:.2f} {b.low:.2f} {b.high:.2f} {b.p:.3f} {b.verdict}"
    '4.67 1.80 7.54 0.020 better'
    """
    if not 0 < level < 1:
        raise ValueError(f"the level must be between 0 and 1, not {level}")
    numbers = values_by_name(values)
    reference = reference_name(numbers, against)
    pairs = {
        arm: _pairs(column, numbers[reference])
        for arm, column in numbers.items()
        if arm != reference
    }
    family = [arm for arm, pair in pairs.items() if len(pair) > 1]
    alpha = (1 - level) / max(len(family), 1)
    compared = {arm: _paired_t(pair, alpha) for arm, pair in pairs.items()}
    for arm in compared:
        if np.isnan(numbers[arm]).all():
            compared[arm] = Paired(verdict="no data")
    return compared | judged({arm: compared[arm] for arm in family}, level)


def judged(family: Mapping[Key, Paired], level: float = LEVEL) -> dict[Key, Paired]:
    """Return a family of comparisons with p values and verdicts after Holm's correction.

    A comparison without a p value keeps its verdict and counts in the correction.

    Args:
        family: comparisons with the p values of single tests.
        level: a comparison is better or worse where Holm's adjusted p ≤ 1 − level.
    """
    adjusted = holm([1.0 if np.isnan(single.p) else single.p for single in family.values()])
    found = {}
    for (key, single), p in zip(family.items(), adjusted.tolist(), strict=True):
        verdict = single.verdict
        if not np.isnan(single.p):
            better = "better" if single.difference > 0 else "worse"
            verdict = better if p <= 1 - level else UNDECIDED
            single = replace(single, p=p)
        found[key] = replace(single, verdict=verdict)
    return found


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Return Holm's adjusted p values.

        p̃_(r) = max_{i ≤ r} min(1, (m − i + 1) p_(i)),   p_(1) ≤ … ≤ p_(m)

    Rejecting where p̃ ≤ α is the same as testing p_(1) at α/m, p_(2) at α/(m − 1) and so on, until
    the first test that does not reject.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979).

    Args:
        p: (m,) p values of single tests, in any order.

    >>> holm([0.04, 0.03]).tolist()
    [0.06, 0.06]
    """
    single = np.asarray(p, dtype=float)
    order = np.argsort(single)
    scaled = np.minimum(1, single[order] * np.arange(len(single), 0, -1))
    adjusted = np.empty_like(single)
    adjusted[order] = np.maximum.accumulate(scaled)
    return adjusted


def _paired_t(pair: NDArray[np.float64], alpha: float) -> Paired:
    """Return the paired t-test of (n, 2) values, with the interval at confidence 1 − alpha."""
    n = len(pair)
    if n == 0:
        return Paired()
    arm, reference = pair.T
    difference = float((arm - reference).mean())
    if n == 1:
        return Paired(n, difference, verdict="one seed, cannot be judged")
    rounding = ROUNDING * np.abs(pair).max()
    both_vary = pair.std(axis=0, ddof=1).min() > rounding
    r = float(np.corrcoef(arm, reference)[0, 1]) if both_vary else np.nan
    if (arm - reference).std(ddof=1) <= rounding:
        return Paired(n, difference, 0.0, correlation=r, verdict="no spread, cannot be judged")
    test = stats.ttest_rel(arm, reference)
    low, high = map(float, test.confidence_interval(1 - alpha))
    error = float(stats.sem(arm - reference))
    return Paired(n, difference, error, low, high, float(test.pvalue), r, UNDECIDED)


def _pairs(arm: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of both arms, (n, 2), at the seeds that have both."""
    pair = np.column_stack([arm, reference])
    return pair[~np.isnan(pair).any(axis=1)]


def values_by_name(values: pd.DataFrame) -> dict[Hashable, NDArray[np.float64]]:
    """Return the values of every arm as floats.

    Raises:
        ValueError: as in `compare`.
    """
    if not isinstance(values, pd.DataFrame) or isinstance(values.columns, pd.MultiIndex):
        raise ValueError(
            "a table is needed: a DataFrame with one row per seed and one column per arm"
        )
    if values.columns.empty or values.index.empty:
        raise ValueError("there is nothing to compare: the table has no arm or no seed")
    for labels, kind in ((values.columns, "arm"), (values.index, "seed")):
        if labels.has_duplicates:
            duplicate = labels[labels.duplicated()][0]
            raise ValueError(f"the {kind} {duplicate} is in the table twice: leave one out")
    numbers: dict[Hashable, NDArray[np.float64]] = {}
    for arm, column in values.items():
        try:
            numbers[arm] = column.to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            raise ValueError(f"arm {arm!r} has a value that is not a number") from None
        infinite = np.isinf(numbers[arm])
        if infinite.any():
            seed = values.index[infinite][0]
            raise ValueError(f"arm {arm!r} is infinite at seed {seed}: leave that value out (nan)")
    return numbers


def reference_name(arms: Iterable[Hashable], against: Hashable) -> Hashable:
    """Return the arm that equals `against`, else the arm with the same text.

    Raises:
        ValueError: there is none.
    """
    arms = list(arms)
    matches = [arm for arm in arms if arm == against] or [a for a in arms if str(a) == str(against)]
    if not matches:
        known = ", ".join(map(str, arms))
        raise ValueError(f"no arm {against!r} to compare with; there are {known}")
    return matches[0]
