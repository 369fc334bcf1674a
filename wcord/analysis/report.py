"""Results over seeds: means, spreads, and paired differences with verdicts and intervals."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from wcord.markdown import literal, row
from wcord.runs import Run

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
    numbers = _numbers(values)
    reference = _label(numbers, against)
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


def _numbers(values: pd.DataFrame) -> dict[Hashable, NDArray[np.float64]]:
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


def _label(arms: Iterable[Hashable], against: Hashable) -> Hashable:
    """Return the arm that is `against`, or else reads like it."""
    arms = list(arms)
    same = [arm for arm in arms if arm == against] or [a for a in arms if str(a) == str(against)]
    if not same:
        known = ", ".join(map(str, arms))
        raise ValueError(f"no arm {against!r} to compare with; there are {known}")
    return same[0]


@dataclass(frozen=True)
class Report:
    """A table of arms over seeds: `frame` as numbers, `to_markdown` and `to_csv` as text.

    `frame` has one row an arm: mean and std over its n seeds, and `Paired` against the arm
    `against` over the `pairs` seeds that both have (p is Holm's, low and high are Bonferroni's).
    """

    frame: pd.DataFrame
    against: Hashable
    seeds: int
    metric: str

    def to_csv(self) -> str:
        """Return the table as comma-separated values, unrounded."""
        return self.frame.to_csv()

    def to_markdown(self) -> str:
        """Return the table for people, two digits, with its conditions under it."""
        against = f"against {literal(self.against)}"
        titles = ["arm", literal(self.metric), against, "95 % interval", "r", "verdict"]
        lines = [row(titles), "|---" * len(titles) + "|"]
        for arm, of in self.frame.iterrows():
            difference, interval, verdict = self.comparison(arm)
            r = "" if np.isnan(of["correlation"]) else f"{of['correlation']:.2f}"
            cells = [literal(arm), self.mean(arm), difference, interval, r, verdict]
            lines.append(row(cells))
        under = f"Mean ± standard deviation over {self.seeds} seeds, last epoch. {self.conditions}"
        if self.seeds < 2:
            under = "One seed, last epoch: neither a spread nor an interval is known."
        elif self.conditions:
            under += " r is the correlation between the two arms over seeds."
        return "\n".join([*lines, "", under.strip()])

    def mean(self, arm: Any) -> str:
        """Return mean ± standard deviation; the number of seeds where some are missing."""
        of = self.frame.loc[arm]
        if not of["n"]:
            return "–"
        spread = "" if np.isnan(of["std"]) else f" ± {of['std']:.2f}"
        return f"{of['mean']:.2f}{spread}" + self._missing(of["n"])

    def comparison(self, arm: Any) -> tuple[str, str, str]:
        """Return the difference, its interval and the verdict; "" where there is none."""
        of, difference, interval = self.frame.loc[arm], "", ""
        if arm != self.against and of["pairs"]:
            difference = f"{of['difference']:+.2f}" + self._missing(of["pairs"])
        if not np.isnan(of["low"]):
            interval = f"{of['low']:+.2f} to {of['high']:+.2f}"
        return difference, interval, of["verdict"]

    def _missing(self, n: int) -> str:
        return f" (n = {n})" if n < self.seeds else ""

    @property
    def conditions(self) -> str:
        """What the verdicts and intervals of the table are, in one line; "" without any."""
        tested = int((self.frame["pairs"].drop(self.against) > 1).sum())
        if self.frame["p"].isna().all():
            return ""
        if tested == 1:
            return "The verdict and the 95 % interval are of one t-test, paired by seed."
        return (
            "Differences are paired by seed. Verdicts: t-tests at 5 %, corrected for "
            f"{tested} comparisons (Holm). Intervals: 95 % for all {tested} differences together "
            "(Bonferroni), so one may hold 0 although the verdict is better or worse."
        )


def tabulate(values: pd.DataFrame, against: Hashable | None, metric: str) -> Report:
    """Return the report of a table with one row a seed and one column an arm.

    Args:
        values: as `compare` takes them.
        against: arm that the others are compared with; the first where None.
        metric: what the values are, for the head of the table.

    Raises:
        ValueError: as `compare` says.
    """
    table = pd.DataFrame(_numbers(values))
    reference = table.columns[0] if against is None else _label(table.columns, against)
    paired = compare(table, reference) | {reference: Paired(verdict="")}
    rows = [
        {"mean": of.mean(), "std": of.std(ddof=1), "n": int(of.count())} | asdict(paired[arm])
        for arm, of in table.items()
    ]
    frame = pd.DataFrame(rows, index=table.columns.rename("arm"))
    return Report(frame, reference, len(table), metric.replace("_", " "))


# settings that runs of one experiment may have of their own
FREE = {"name", "title", "description", "seed", "schema_version", "device", "threads", "speed"}
FREE |= {"probe", "linear_probe"}


def _of_one_experiment(runs: Sequence[Run]) -> None:
    """Refuse runs of other data than the first one's, and warn of other settings."""
    first = runs[0]
    for run in runs[1:]:
        marks = [(r.data or {}).get("fingerprint") for r in (first, run)]
        if None not in marks and marks[0] != marks[1]:
            raise ValueError(f"{first.name} and {run.name} were made from different data")
        one, two = first.plain_settings, run.plain_settings
        names = one["arms"].keys() & two["arms"].keys()
        for asked in (one, two):  # a run may have arms of its own
            asked["arms"] = {arm: asked["arms"][arm] for arm in names}
        other = [key for key in one.keys() & two.keys() - FREE if one[key] != two[key]]
        if other:
            warnings.warn(
                f"{first.name} and {run.name} have different settings: {', '.join(sorted(other))}",
                stacklevel=3,
            )


def results(runs: Sequence[Run], metric: str = "test_accuracy") -> pd.DataFrame:
    """Return one row a run (indexed by its seed) and one column an arm, from the summaries.

    Raises:
        ValueError: a run has no summary, two runs have one seed or different data, or nobody
            measured `metric`.

    Warns of runs that have different settings beside the seed.
    """
    if not runs:
        raise ValueError("there are no runs to report on")
    _of_one_experiment(runs)
    rows = {}
    for run in runs:
        summary = run.summary
        if summary is None:
            raise ValueError(f"{run.name} has no results yet: {run.status.sentence}")
        if summary["seed"] in rows:
            raise ValueError(
                f"two runs have the seed {summary['seed']}: give one run a seed, of one experiment"
            )
        rows[summary["seed"]] = {
            arm: row.get(metric) for arm, row in summary["arms"].items() if not row["frozen"]
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("seed").astype(float)
    table = table.dropna(axis=1, how="all")
    if table.empty:
        raise ValueError(f"no arm of these runs has {metric!r}")
    return table


def report(
    runs: Sequence[Run], against: str | None = None, metric: str = "test_accuracy"
) -> Report:
    """Return the comparison of the arms of finished runs (`wcord report`).

    Args:
        runs: one a seed.
        against: arm that the others are compared with; "crd" where there is one, else the first.
        metric: in the summaries: test_accuracy, held_out_accuracy, linear_probe_accuracy.

    Raises:
        ValueError: as `results` and `compare` say.
    """
    values = results(runs, metric)
    if against is None:
        against = "crd" if "crd" in values else str(values.columns[0])
    return tabulate(values, against, metric)
