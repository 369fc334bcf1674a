"""Results over seeds: means, spreads, and paired differences with honest intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from wcord.runs import Run

LEVEL = 0.95


@dataclass(frozen=True)
class Paired:
    """One arm against another over n paired seeds.

    difference and its standard error, the interval (low, high) at the level that Holm's
    procedure leaves to this comparison, the p value it adjusts, and the correlation of the two.
    """

    difference: float
    error: float
    low: float
    high: float
    p: float
    correlation: float

    @property
    def verdict(self) -> str:
        """Return "better", "worse", or "cannot be told apart"."""
        if np.isnan(self.low) or self.low <= 0 <= self.high:
            return "cannot be told apart"
        return "better" if self.difference > 0 else "worse"


def compare(values: pd.DataFrame, against: str, level: float = LEVEL) -> dict[str, Paired]:
    """Compare every arm with one, paired by seed, corrected for the number of comparisons.

        d_k = a_k − b_k,   t = mean d / (s_d / √n),   interval mean d ± t_{1−α'/2, n−1} s_d / √n

    Holm (1979): the m p values in ascending order; the r-th (r = 1 ... m) is tested, and its
    interval drawn, at α' = α/(m − r + 1). Adjusted p values are made monotone.

    Args:
        values: one row a seed, one column an arm; a row with a gap is left out of its pair.
        against: column that the others are compared with.
        level: confidence of all intervals together.

    Raises:
        ValueError: there is no such arm.
    """
    if against not in values:
        raise ValueError(
            f"no arm {against!r} to compare with; there are {', '.join(map(str, values))}"
        )
    names = [str(arm) for arm in values if arm != against]
    raw = {arm: _paired(values[arm], values[against]) for arm in names}
    ordered = sorted(raw, key=lambda arm: raw[arm][2] if np.isfinite(raw[arm][2]) else 2.0)
    results, largest = {}, 0.0
    for rank, arm in enumerate(ordered):
        mean, error, p, count, correlation = raw[arm]
        tests = len(ordered) - rank
        largest = max(largest, min(1.0, p * tests)) if np.isfinite(p) else float("nan")
        reach = float("nan")
        if count > 1:
            reach = error * stats.t.ppf(1 - (1 - level) / tests / 2, count - 1)
        results[arm] = Paired(mean, error, mean - reach, mean + reach, largest, correlation)
    return {arm: results[arm] for arm in raw}


def _paired(one: pd.Series, other: pd.Series) -> tuple[float, float, float, int, float]:
    both = pd.concat([one, other], axis=1).dropna().to_numpy(dtype=float)
    difference, count = both[:, 0] - both[:, 1], len(both)
    if count < 2:
        mean = float(difference.mean()) if count else float("nan")
        return mean, float("nan"), float("nan"), count, float("nan")
    mean, spread = float(difference.mean()), float(difference.std(ddof=1))
    error = spread / np.sqrt(count)
    if spread == 0:
        return mean, 0.0, 1.0 if mean == 0 else 0.0, count, float("nan")
    p = 2 * float(stats.t.sf(abs(mean) / error, count - 1))
    varied = both.std(axis=0).min() > 0
    correlation = float(np.corrcoef(both.T)[0, 1]) if varied else float("nan")
    return mean, error, p, count, correlation


@dataclass(frozen=True)
class Report:
    """A table of arms over seeds: `frame` as numbers, `to_markdown` and `to_csv` as text."""

    frame: pd.DataFrame
    against: str
    seeds: int
    metric: str

    def to_csv(self) -> str:
        """Return the table as comma-separated values, unrounded."""
        return self.frame.to_csv()

    def to_markdown(self) -> str:
        """Return the table for people, two digits, with its conditions under it."""
        head = f"| arm | {self.metric} | against {self.against} | 95 % interval | r | |"
        lines = [head, "|---|---|---|---|---|---|"]
        for arm, row in self.frame.iterrows():
            one = np.isnan(row["std"])
            spread = "" if one else f" ± {row['std']:.2f}"
            cells = [str(arm), f"{row['mean']:.2f}{spread}"]
            if arm == self.against or np.isnan(row["difference"]):
                cells += ["", "", "", ""]
            elif np.isnan(row["low"]):
                cells += [f"{row['difference']:+.2f}", "", "", "needs two seeds"]
            else:
                cells += [
                    f"{row['difference']:+.2f}",
                    f"{row['low']:+.2f} to {row['high']:+.2f}",
                    f"{row['correlation']:.2f}",
                    str(row["verdict"]),
                ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        if self.seeds < 2:
            lines.append("One seed, last epoch: neither a spread nor an interval is known.")
            return "\n".join(lines)
        lines.append(
            f"Mean ± standard deviation over {self.seeds} seeds, last epoch. Differences are "
            f"paired by seed; the 95 % intervals are corrected for {len(self.frame) - 1} "
            "comparisons (Holm); r is the correlation between the two arms over seeds."
        )
        return "\n".join(lines)


def tabulate(values: pd.DataFrame, against: str | None, metric: str) -> Report:
    """Return the report of a table with one row a seed and one column an arm."""
    against = against or str(values.columns[0])
    paired = compare(values, against)
    rows = {}
    for arm in values:
        of = paired.get(str(arm))
        nan = float("nan")
        rows[arm] = {
            "mean": values[arm].mean(),
            "std": values[arm].std(ddof=1),
            "n": int(values[arm].notna().sum()),
            "difference": of.difference if of else nan,
            "error": of.error if of else nan,
            "low": of.low if of else nan,
            "high": of.high if of else nan,
            "p": of.p if of else nan,
            "correlation": of.correlation if of else nan,
            "verdict": of.verdict if of else "",
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")
    return Report(frame, against, len(values), metric.replace("_", " "))


def results(runs: Sequence[Run], metric: str = "test_accuracy") -> pd.DataFrame:
    """Return one row a run (indexed by its seed) and one column an arm, from the summaries.

    Raises:
        ValueError: a run has no summary, two runs have one seed, or nobody measured `metric`.
    """
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
