"""Two arms paired: the same samples, the same seeds, and what follows for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wcord.runs import Run, list_runs

from .watch import Watch

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

LEVEL = 0.95
ANSWERING = (
    "ce",
    "mse",
    "bce",
    "kd",
    "dkd",
    "dist",
    "wkd_l",
)  # terms that train logits; others do not answer
SAMPLING = ("source", "train_size", "held_out", "drop_gray")  # what decides who is held out


class Side(NamedTuple):
    """One side of a comparison: a run and one of its arms."""

    watch: Watch
    arm: str

    @property
    def name(self) -> str:
        """How the side is called beside another one."""
        return f"{self.arm} of {self.watch.run.name}"

    @property
    def answers(self) -> bool:
        """Whether any of the arm's terms trains the student to answer, not its features only."""
        return not set(ANSWERING).isdisjoint(self.watch.terms(self.arm))


def names(a: Side, b: Side) -> tuple[str, str]:
    """Return short names that tell two sides apart: the arms, else with their runs."""
    return (a.name, b.name) if a.arm == b.arm else (a.arm, b.arm)


def common_steps(a: Side, b: Side) -> list[int]:
    """Return the steps at which both sides have a picture, ascending."""
    return sorted(set(a.watch.run.steps) & set(b.watch.run.steps))


def check_pairing(a: Side, b: Side, step: int) -> None:
    """Refuse two sides that were not looked at on the same samples.

    Raises:
        ValueError: which difference it is, in one line.
    """
    if a.watch is b.watch:
        return
    one, other = (_sampling(side.watch.settings) for side in (a, b))
    for key in one:
        if one[key] != other[key]:
            raise ValueError(
                f"not the same samples, so nothing can be paired: {key} is {one[key]} in "
                f"{a.watch.run.name} and {other[key]} in {b.watch.run.name}"
            )
    first, second = a.watch.snapshot(step), b.watch.snapshot(step)
    if not np.array_equal(first.index, second.index):
        raise ValueError(
            "not the same samples, so nothing can be paired: the runs were looked at on "
            f"{len(first.index)} and {len(second.index)} samples (probe.features)"
        )
    if not np.array_equal(first.labels, second.labels):
        raise ValueError(
            "the same samples have other labels in the two runs: nothing can be paired"
        )
    if len(a.watch.picture(step, a.arm).plan) != len(b.watch.picture(step, b.arm).plan):
        raise ValueError("the plans are of batches of unlike size (probe.batch): choose other runs")


def _sampling(settings: dict[str, Any]) -> dict[str, Any]:
    data = settings.get("data") or {}
    chosen = {f"data.{key}": data.get(key) for key in SAMPLING}
    own = data.get("subset_seed")
    return chosen | {"seed": settings.get("seed") if own is None else own}


@dataclass(frozen=True)
class PairedAccuracy:
    """Two students on the same samples, in per cent of them.

    difference a − b with its interval (low, high); p of the exact McNemar test; how many samples
    both get right, only a, only b, neither.
    """

    difference: float
    low: float
    high: float
    p: float
    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def verdict(self) -> str:
        """Return "better", "worse" or "cannot be told apart", of a against b."""
        if self.low <= 0 <= self.high:
            return "cannot be told apart"
        return "better" if self.difference > 0 else "worse"


def paired_accuracy(right_a: Array, right_b: Array, level: float = LEVEL) -> PairedAccuracy:
    """Compare two students sample by sample.

        difference = (n_a − n_b)/n,   n_a | n_a + n_b ~ Binomial(n_a + n_b, θ)
        interval   = (n_a + n_b)/n · (2 θ − 1) at the Clopper-Pearson limits of θ

    n_a and n_b are the samples that only a or only b gets right. The interval is exact given how
    many samples the students disagree on, and excludes 0 exactly where McNemar's exact test
    rejects at 1 − level. It speaks of these two trained students, not of other seeds.

    Args:
        right_a: (n,) bool, whether a is right on each sample.
        right_b: the same of b.
        level: confidence of the interval.

    Raises:
        ValueError: no samples, or not the same number.
    """
    from scipy.stats import binomtest

    right_a, right_b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if right_a.shape != right_b.shape or right_a.ndim != 1 or not right_a.size:
        raise ValueError(f"answers of shape {right_a.shape} and {right_b.shape} cannot be paired")
    n = right_a.size
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    apart = only_a + only_b
    low = high = p = 0.0
    if apart:
        test = binomtest(only_a, apart)
        limits = test.proportion_ci(level, method="exact")
        low, high = (100 * apart / n * (2 * share - 1) for share in (limits.low, limits.high))
        p = float(test.pvalue)
    return PairedAccuracy(
        100 * (only_a - only_b) / n,
        low,
        high,
        p if apart else 1.0,
        int((right_a & right_b).sum()),
        only_a,
        only_b,
        int((~right_a & ~right_b).sum()),
    )


def accuracy_of(a: Side, b: Side, step: int) -> PairedAccuracy:
    """Return the paired accuracies of two sides on the held-out samples of a step."""
    labels = a.watch.snapshot(step).labels
    return paired_accuracy(
        *(side.watch.picture(step, side.arm).prediction == labels for side in (a, b))
    )


def siblings(run: Run) -> list[Run]:
    """Return the finished runs beside a run of the same settings, but for the seed."""
    settings = _but_the_seed(run)
    return [
        other
        for other in sorted(list_runs(run.path.parent), key=lambda other: other.name)
        if (other.path / "summary.json").exists() and _but_the_seed(other) == settings
    ]


def _but_the_seed(run: Run) -> list[str]:
    try:
        text = (run.path / "settings.yaml").read_text("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if not line.startswith("seed:")]


def over_seeds(a: Side, b: Side, metric: str = "test_accuracy") -> pd.DataFrame:
    """Return one row a seed that both sides were finished with, columns "a" and "b".

    For `wcord.analysis.statistics.compare`, which pairs them. Of two runs with one seed the
    later named counts: they hold the same numbers.
    """
    import pandas as pd

    columns = {}
    for key, side in (("a", a), ("b", b)):
        columns[key] = {
            summary["seed"]: summary["arms"][side.arm][metric]
            for run in siblings(side.watch.run)
            if (summary := run.summary) and metric in summary.get("arms", {}).get(side.arm, {})
        }
    return pd.DataFrame(columns).astype(float).dropna().rename_axis("seed").sort_index()


def equal_cost_steps(run: Run, arms: Sequence[str], reference: str) -> dict[str, int]:
    """Return the steps at which arms first come down to the lowest cost of a reference arm."""
    costs = {arm: {s: run.snapshot(s).values(arm)["plan_cost"] for s in run.steps} for arm in arms}
    reached = min(costs[reference].values())
    return {
        arm: next((step for step, value in of.items() if value <= reached * 1.0001), run.steps[-1])
        for arm, of in costs.items()
    }
