"""Paired comparisons over seeds: intervals, and verdicts corrected for their number."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
ROUNDING = 2 * float(np.finfo(np.float32).eps)  # a spread over the largest value that is only noise


@dataclass(frozen=True)
class Paired:
    """One arm against another, over the seeds (pairs) that both have.

    The mean difference and its standard error, the simultaneous interval (low, high), the p value
    after Holm's correction, the correlation of the two arms over seeds, and the verdict: "better"
    (the difference is above 0), "worse", "cannot be told apart", or why there is none. What is not
    known is nan.
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
    """Compare every arm with one, paired by seed: a verdict and an interval for each of m arms.

        d = a − b,   t = mean d / (s_d / √n),   p of Student's t with n − 1 degrees of freedom
        verdict    better or worse where Holm's adjusted p ≤ α = 1 − level, see `holm`
        interval   mean d ± t_{1 − α/(2m), n − 1} s_d / √n

    That any of the arms that equal the reference is called better or worse has a probability of at
    most α (Holm, 1979). The m intervals hold all true differences together at `level`
    (Bonferroni). Both are so however the arms are correlated, where differences over seeds are
    normal. Holm's procedure has more power than these intervals: an arm may be better although
    its interval holds 0.

    The m comparisons are those with two paired seeds or more. One without spread beyond rounding
    has neither p nor interval, but it counts in m: whether a comparison counts must not depend on
    its outcome.

    Args:
        values: one row a seed, one column an arm; a row with a gap is left out of its pair.
        against: the column that the others are compared with, by its label or its text.
        level: confidence of all intervals together, between 0 and 1.

    Returns:
        By column label, in the order of the columns.

    Raises:
        ValueError: there is no such arm, the table is empty, a name stands twice, or a value is
            infinite or no number.

    >>> found = compare(pd.DataFrame({"a": [1, 2, 3], "b": [5, 6, 9]}), "a")["b"]
    >>> f"{found.difference:.2f} {found.low:.2f} {found.high:.2f} {found.p:.3f} {found.verdict}"
    '4.67 1.80 7.54 0.020 better'
    """
    if not 0 < level < 1:
        raise ValueError(f"the level must be between 0 and 1, not {level}")
    numbers = values_by_name(values)
    reference = reference_name(numbers, against)
    pairs = {arm: _pairs(of, numbers[reference]) for arm, of in numbers.items() if arm != reference}
    family = [arm for arm, both in pairs.items() if len(both) > 1]
    share = (1 - level) / max(len(family), 1)
    found = {arm: _paired_t(both, share) for arm, both in pairs.items()}
    for arm in found:
        if np.isnan(numbers[arm]).all():
            found[arm] = Paired(verdict="no data")
    adjusted = holm([1.0 if np.isnan(found[arm].p) else found[arm].p for arm in family])
    for arm, p in zip(family, adjusted.tolist(), strict=True):
        if not np.isnan(found[arm].p):
            found[arm] = replace(found[arm], p=p)
        if found[arm].p <= 1 - level:
            verdict = "better" if found[arm].difference > 0 else "worse"
            found[arm] = replace(found[arm], verdict=verdict)
    return found


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Return Holm's adjusted p values.

        p̃_(r) = max_{i ≤ r} min(1, (m − i + 1) p_(i)),   p_(1) ≤ … ≤ p_(m)

    To reject where p̃ ≤ α is to test p_(1) at α/m, p_(2) at α/(m − 1) and so on, and to stop at
    the first that fails. Source: S. Holm, Scandinavian Journal of Statistics 6 (1979).

    Args:
        p: (m,) p values of single tests, in any order.

    >>> holm([0.04, 0.03]).tolist()
    [0.06, 0.06]
    """
    single = np.asarray(p, dtype=float)
    order = np.argsort(single)
    steps = np.minimum(1, single[order] * np.arange(len(single), 0, -1))
    adjusted = np.empty_like(single)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def _paired_t(both: NDArray[np.float64], share: float) -> Paired:
    """Return the paired t-test of (n, 2) values, with its own p and the interval at 1 − share."""
    n = len(both)
    if n == 0:
        return Paired()
    differences = both[:, 0] - both[:, 1]
    mean = float(differences.mean())
    if n == 1:
        return Paired(n, mean, verdict="one seed, cannot be judged")
    rounding = ROUNDING * np.abs(both).max()
    varied = both.std(axis=0, ddof=1).min() > rounding
    r = float(np.corrcoef(both[:, 0], both[:, 1])[0, 1]) if varied else np.nan
    spread = float(differences.std(ddof=1))
    if spread <= rounding:
        return Paired(n, mean, 0.0, correlation=r, verdict="no spread, cannot be judged")
    error = spread / n**0.5
    reach = error * float(stats.t.ppf(1 - share / 2, n - 1))
    p = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    return Paired(n, mean, error, mean - reach, mean + reach, p, r, "cannot be told apart")


def _pairs(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the seeds that both arms have, (n, 2)."""
    both = np.column_stack([one, other])
    return both[~np.isnan(both).any(axis=1)]


def values_by_name(values: pd.DataFrame) -> dict[Hashable, NDArray[np.float64]]:
    """Return the values of every arm as floats, or raise what is wrong with the table."""
    if not isinstance(values, pd.DataFrame) or isinstance(values.columns, pd.MultiIndex):
        raise ValueError("a table is needed: a DataFrame with one row a seed and one column an arm")
    if values.columns.empty or values.index.empty:
        raise ValueError("there is nothing to compare: the table has no arm or no seed")
    for labels, kind in ((values.columns, "arm"), (values.index, "seed")):
        if labels.has_duplicates:
            twice = labels[labels.duplicated()][0]
            raise ValueError(f"the {kind} {twice} stands twice in the table: leave one out")
    numbers: dict[Hashable, NDArray[np.float64]] = {}
    for arm, of in values.items():
        try:
            numbers[arm] = of.to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            raise ValueError(f"arm {arm!r} has a value that is no number") from None
        infinite = np.isinf(numbers[arm])
        if infinite.any():
            seed = values.index[infinite][0]
            raise ValueError(f"arm {arm!r} is infinite at seed {seed}: leave that value out (nan)")
    return numbers


def reference_name(arms: Iterable[Hashable], against: Hashable) -> Hashable:
    """Return the arm that is `against`, or else reads like it."""
    arms = list(arms)
    same = [arm for arm in arms if arm == against] or [a for a in arms if str(a) == str(against)]
    if not same:
        known = ", ".join(map(str, arms))
        raise ValueError(f"no arm {against!r} to compare with; there are {known}")
    return same[0]
