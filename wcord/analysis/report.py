"""Report the results over seeds: means, spreads, paired differences, intervals, verdicts."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from wcord.analysis.markdown import literal, row
from wcord.analysis.result_metric import result_metric
from wcord.analysis.statistics import Paired, compare, reference_name, values_by_name
from wcord.runs import Run

ONE_SEED = (
    "One seed, last epoch. The spread over seeds is unknown, so a difference may be chance: give "
    "one run of each of several seeds."
)


@dataclass(frozen=True)
class Report:
    """A table of arms over seeds: `frame` as numbers, `to_markdown` and `to_csv` as text.

    Attributes:
        frame: one row per arm: mean and std over its n seeds, and the attributes of `Paired` for
            the comparison with the arm `against`.
        against: the arm that the others are compared with.
        seeds: the number of seeds in the table.
        metric: the name of the values.
    """

    frame: pd.DataFrame
    against: Hashable
    seeds: int
    metric: str

    def to_csv(self) -> str:
        """Return the table as comma-separated values, unrounded."""
        return self.frame.to_csv()

    def record(self) -> dict[str, Any]:
        """Return the report as plain data; unknown numbers are nan."""
        arms = [{"arm": str(arm), **values} for arm, values in self.frame.to_dict("index").items()]
        if self.seeds < 2:
            arms = [row | {"verdict": None} for row in arms]
        return {
            "metric": self.metric,
            "against": str(self.against),
            "seeds": self.seeds,
            "conditions": self.conditions,
            "arms": arms,
        }

    def to_markdown(self) -> str:
        """Return the table in Markdown, with two digits and the conditions below it.

        The table of one seed has the values and their differences only.
        """
        against = f"against {literal(self.against)}"
        if self.seeds < 2:
            titles = ["arm", literal(self.metric), against]
            lines = [row(titles), "|---" * len(titles) + "|"]
            for arm in self.frame.index:
                lines.append(row([literal(arm), self.mean(arm), self.comparison(arm)[0]]))
            return "\n".join([*lines, "", ONE_SEED])
        titles = ["arm", literal(self.metric), against, "95 % interval", "r", "verdict"]
        lines = [row(titles), "|---" * len(titles) + "|"]
        for arm, correlation in self.frame["correlation"].items():
            difference, interval, verdict = self.comparison(arm)
            r = "" if np.isnan(correlation) else f"{correlation:.2f}"
            cells = [literal(arm), self.mean(arm), difference, interval, r, verdict]
            lines.append(row(cells))
        note = f"Mean ± standard deviation over {self.seeds} seeds, last epoch. {self.conditions}"
        if self.conditions:
            note += " r is the correlation between the two arms over seeds."
        return "\n".join([*lines, "", note.strip()])

    def mean(self, arm: Any) -> str:
        """Return mean ± standard deviation as text, and the number of seeds if some are missing."""
        values = self.frame.loc[arm]
        if not values["n"]:
            return "–"
        spread = "" if np.isnan(values["std"]) else f" ± {values['std']:.2f}"
        return f"{values['mean']:.2f}{spread}" + self._missing(values["n"])

    def comparison(self, arm: Any) -> tuple[str, str, str]:
        """Return the difference, its interval and the verdict as text; "" where there is none."""
        values, difference, interval = self.frame.loc[arm], "", ""
        if arm != self.against and values["pairs"]:
            difference = f"{values['difference']:+.2f}" + self._missing(values["pairs"])
        if not np.isnan(values["low"]):
            interval = f"{values['low']:+.2f} to {values['high']:+.2f}"
        return difference, interval, values["verdict"]

    def _missing(self, n: int) -> str:
        return f" (n = {n})" if n < self.seeds else ""

    @property
    def conditions(self) -> str:
        """How verdicts and intervals were computed, in one line; "" if there are none."""
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
    """Return the report of a table with one row per seed and one column per arm.

    Args:
        values: as in `wcord.analysis.statistics.compare`.
        against: arm that the others are compared with; None: the first arm.
        metric: the name of the values, for the head of the table.

    Raises:
        ValueError: as in `compare`.
    """
    table = pd.DataFrame(values_by_name(values))
    reference = table.columns[0] if against is None else reference_name(table.columns, against)
    paired = compare(table, reference) | {reference: Paired(verdict="")}
    rows = [
        {"mean": column.mean(), "std": column.std(ddof=1), "n": int(column.count())}
        | asdict(paired[arm])
        for arm, column in table.items()
    ]
    frame = pd.DataFrame(rows, index=table.columns.rename("arm"))
    return Report(frame, reference, len(table), metric.replace("_", " "))


# settings in which the runs of one experiment may differ
MAY_DIFFER = {"name", "title", "description", "seed", "schema_version", "device", "threads"}
MAY_DIFFER |= {"speed", "probe", "linear_probe"}


def _check_same_experiment(runs: Sequence[Run]) -> None:
    """Refuse runs whose data differ from those of the first run, and warn of other settings."""
    first = runs[0]
    for run in runs[1:]:
        fingerprints = [(r.data or {}).get("fingerprint") for r in (first, run)]
        if None not in fingerprints and fingerprints[0] != fingerprints[1]:
            raise ValueError(f"{first.name} and {run.name} were made from different data")
        different = _different_settings(first.plain_settings, run.plain_settings)
        if different:
            warnings.warn(
                f"{first.name} and {run.name} have different settings: {', '.join(different)}",
                stacklevel=3,
            )


def _different_settings(first: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of settings that differ; only arms that both runs have are compared."""
    common_arms = first["arms"].keys() & other["arms"].keys()
    for settings in (first, other):
        settings["arms"] = {arm: settings["arms"][arm] for arm in common_arms}
    names = first.keys() & other.keys() - MAY_DIFFER
    return sorted(name for name in names if first[name] != other[name])


def _results_of(run: Run) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the seed of a finished run, and the results of each arm that did not freeze.

    Raises:
        ValueError: the run has no results, or they are damaged.
    """
    summary, status = run.summary, run.status
    if summary is None and status.state != "finished":
        raise ValueError(f"{run.name} has no results yet: {status.sentence}")
    try:
        arms = {arm: dict(row) for arm, row in summary["arms"].items() if not row["frozen"]}  # type: ignore[index]
        return int(summary["seed"]), arms  # type: ignore[index]
    except (LookupError, TypeError, ValueError, AttributeError):
        raise _damaged(run) from None


def _damaged(run: Run) -> ValueError:
    return ValueError(
        f"{run.name}: summary.json is missing or damaged; remove it, and wcord resume {run.path} "
        "writes it again"
    )


def results(runs: Sequence[Run], metric: str | None = None) -> pd.DataFrame:
    """Return one row per run (indexed by its seed) and one column per arm, from the summaries.

    `metric`, the name of the columns' axis, is by default that of the test part (see
    `result_metric`).

    Warns of runs whose settings differ in more than the seed.

    Raises:
        ValueError: a run has no summary, two runs have the same seed or different data, or no arm
            has `metric`.
    """
    if not runs:
        raise ValueError("there are no runs to report on")
    _check_same_experiment(runs)
    found = [_results_of(run) for run in runs]
    names = [name for _, arms in found for row in arms.values() for name in row]
    metric = result_metric(names, metric)
    rows: dict[int, dict[str, float | None]] = {}
    for run, (seed, arms) in zip(runs, found, strict=True):
        if seed in rows:
            raise ValueError(f"two runs have the seed {seed}: give one run of each seed")
        values = {arm: row.get(metric) for arm, row in arms.items()}
        try:
            rows[seed] = {arm: None if v is None else float(v) for arm, v in values.items()}
        except (TypeError, ValueError):
            raise _damaged(run) from None
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("seed").astype(float)
    table = table.dropna(axis=1, how="all").rename_axis(columns=metric)
    if table.empty:
        raise ValueError(f"no arm of these runs has {metric!r}")
    return table


def report(runs: Sequence[Run], against: str | None = None, metric: str | None = None) -> Report:
    """Return the comparison of the arms of finished runs (`wcord report`).

    Args:
        runs: one run of each seed.
        against: arm that the others are compared with; None: "crd", or the first arm
            if there is no "crd".
        metric: test_accuracy, held_out_accuracy, linear_probe_accuracy or another value of the
            summaries; None: test_accuracy, or test_r2 or test_average_precision where labels are no
            classes.

    Raises:
        ValueError: as in `results` and `compare`.
    """
    values = results(runs, metric)
    if against is None:
        against = "crd" if "crd" in values else str(values.columns[0])
    return tabulate(values, against, str(values.columns.name))
