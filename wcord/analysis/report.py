"""Results over seeds: means, spreads, and paired differences with verdicts and intervals."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from wcord.analysis.markdown import literal, row
from wcord.analysis.statistics import Paired, compare, reference_name, values_by_name
from wcord.runs import Run


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
    table = pd.DataFrame(values_by_name(values))
    reference = table.columns[0] if against is None else reference_name(table.columns, against)
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
