"""The pictures of results/: accuracy and paired differences against the share of wrong pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from lab.palette import ARMS, LIGHT, arm_colours
from studies.report import by_arm, differences
from wcord.analysis.statistics import LEVEL

TITLES = {
    "digits-compression": "Digits, compression",
    "digits-half": "Digits, left half → right half",
    "digits-privileged": "Digits, 8×8 → noisy 4×4",
    "digits-other-task": "Digits, ten digits → digit mod 5",
    "cifar10-wrong-pairs": "CIFAR-10, 10 labels a class",
}
SHOWN = {
    "plain": "plain student",
    "kd": "KD",
    "crd published": "CRD, published weight 0.8",
    "crd": "CRD, weight chosen with wrong pairs",
    "gckt": "GCKT",
    "identity": "GCKT + LCKT, plan identity",
    "sinkhorn": "GCKT + LCKT, plan sinkhorn",
}
PAIRS = {
    ("sinkhorn", "identity"): "sinkhorn − identity",
    ("sinkhorn", "gckt"): "sinkhorn − GCKT",
    ("sinkhorn", "crd published"): "sinkhorn − CRD, published weight",
    ("sinkhorn", "crd"): "sinkhorn − CRD, chosen weight",
}
COLOURS = arm_colours(list(SHOWN)) | {"crd": ARMS["crd"], "crd published": ARMS["crd"]}
DASHED = ("plain", "crd")
PICTURES = {
    "pairing.png": ("digits-compression", "cifar10-wrong-pairs"),
    "pairing-tasks.png": (
        "digits-compression",
        "digits-half",
        "digits-privileged",
        "digits-other-task",
    ),
}
SOURCES = ("pairing-shares", "pairing-images")  # the studies whose tables are drawn


def draw_pictures(folder: Path) -> list[Path]:
    """Draw every picture whose tables are in a folder, and return the files."""
    tables = [pd.read_csv(path) for name in SOURCES if (path := folder / f"{name}.csv").exists()]
    if not tables:
        return []
    values = pd.concat(tables, ignore_index=True)
    drawn = []
    for file, presets in PICTURES.items():
        if set(presets) <= set(values["preset"]):
            panels = {preset: values[values["preset"] == preset] for preset in presets}
            shares(panels).savefig(folder / file, dpi=110)
            drawn.append(folder / file)
    return drawn


def shares(panels: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw a column of two panels for each preset, over the share of wrong pairs in a batch.

    Above: the mean test accuracy of each arm in `SHOWN` and its 95 % interval, Student's t over
    seeds. Below: the differences `PAIRS`, paired by seed, with the same interval.

    Args:
        panels: preset -> rows with the columns run ("pairing.broken=SHARE"), seed, arm and
            test_accuracy.
    """
    figure = Figure(figsize=(3.4 * len(panels) + 3.8, 6.6), layout="constrained")
    rows = figure.subplots(2, len(panels), squeeze=False, sharex=True, height_ratios=(3, 2))
    for above, below, (preset, values) in zip(*rows, panels.items(), strict=True):
        above.set_title(TITLES[preset], fontsize=11)
        below.set_xlabel("share of wrong pairs in a batch")
        by_share = {
            float(run.removeprefix("pairing.broken=")): of_run
            for run, of_run in values.groupby("run", sort=False)
        }
        _accuracies(above, by_share)
        _differences(below, by_share)
    rows[0][0].set_ylabel("test accuracy, %")
    rows[1][0].set_ylabel("difference, points")
    for axes in rows.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    for first, last in rows[:, [0, -1]]:  # not every arm is in every panel
        handles, labels = first.get_legend_handles_labels()
        last.legend(
            handles,
            labels,
            frameon=False,
            fontsize=9,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
        )
    return figure


def _accuracies(axes: Axes, by_share: Mapping[float, pd.DataFrame]) -> None:
    wide = {share: by_arm(values, "test_accuracy") for share, values in by_share.items()}
    known = next(iter(wide.values()))
    for arm in (arm for arm in SHOWN if arm in known):
        means = [values[arm].mean() for values in wide.values()]
        half = [half_width(values[arm]) for values in wide.values()]
        axes.errorbar(
            list(wide),
            means,
            half,
            label=SHOWN[arm],
            color=COLOURS[arm],
            lw=2.4 if arm in ("crd published", "sinkhorn") else 1.5,
            ls="--" if arm in DASHED else "-",
            marker="o",
            ms=4,
            capsize=2.5,
            elinewidth=1,
        )


def _differences(axes: Axes, by_share: Mapping[float, pd.DataFrame]) -> None:
    arms = set(next(iter(by_share.values()))["arm"])
    pairs = [pair for pair in PAIRS if arms.issuperset(pair)]
    compared = {
        share: differences(values, pairs, "test_accuracy") for share, values in by_share.items()
    }
    axes.axhline(0, color=LIGHT.ink, lw=0.8)
    for place, pair in enumerate(pairs):
        found = [of_pairs[pair] for of_pairs in compared.values()]
        axes.errorbar(
            [share + 0.008 * (place - (len(pairs) - 1) / 2) for share in compared],
            [paired.difference for paired in found],
            [(paired.high - paired.low) / 2 for paired in found],
            label=PAIRS[pair],
            color=COLOURS[pair[1]],
            ls="--" if pair[1] in DASHED else "-",
            lw=1.5,
            marker="o",
            ms=4,
            capsize=2.5,
            elinewidth=1,
        )


def half_width(values: pd.Series) -> float:
    """Return half the width of the 95 % interval of a mean, t_{0.975, n−1} s / √n."""
    factor = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
    return float(factor * values.std(ddof=1) / len(values) ** 0.5)
