"""Two arms compared: on the same samples, on the same axes, and by honest intervals.

Pure functions; the compare page arranges what they return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab import heat_maps, palette
from lab.arrange import class_blocks, histogram, score_groups, sorted_plan
from lab.exporting import Export, address
from lab.layouts import Frame, aligned
from lab.options import TEXT, Option, axis, base, grid
from lab.palette import LIGHT, Theme
from lab.reading import Watch
from wcord.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

LEVEL = 0.95
LOW, HIGH = "#0072b2", "#d55e00"  # of the diverging scale
ANSWERING = ("ce", "kd", "dkd", "dist", "wkd_l")  # terms that train logits; others do not answer
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
    """Return the finished runs beside a run that were asked the same, but for the seed."""
    asked = _but_the_seed(run)
    return [
        other
        for path in sorted(run.path.parent.glob("*/summary.json"))
        if (path.parent / "settings.yaml").is_file()
        and _but_the_seed(other := Run(path.parent)) == asked
    ]


def _but_the_seed(run: Run) -> list[str]:
    try:
        text = (run.path / "settings.yaml").read_text("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if not line.startswith("seed:")]


def over_seeds(a: Side, b: Side, metric: str = "test_accuracy") -> pd.DataFrame:
    """Return one row a seed that both sides were finished with, columns "a" and "b".

    For `wcord.comparison.compare`, which pairs them. Of two runs with one seed the later named
    counts: they hold the same numbers.
    """
    columns = {}
    for key, side in (("a", a), ("b", b)):
        columns[key] = {
            summary["seed"]: summary["arms"][side.arm][metric]
            for run in siblings(side.watch.run)
            if (summary := run.summary) and metric in summary.get("arms", {}).get(side.arm, {})
        }
    return pd.DataFrame(columns).astype(float).dropna().rename_axis("seed").sort_index()


def difference(plan_a: Array, plan_b: Array, labels: Array) -> Array:
    """Return what of a teacher sample's mass goes elsewhere: rows of a less rows of b, by class.

    Both plans (n, n) are sorted by class and each row is divided by its sum; entries lie between
    −1 (all of it in b only) and 1.
    """
    return sorted_plan(plan_a, labels) - sorted_plan(plan_b, labels)


def difference_chart(plan_a: Array, plan_b: Array, labels: Array, theme: Theme = LIGHT) -> Option:
    """Return the heat map of a difference of plans on a diverging scale from −1 to 1.

    The scale is of signed square roots, as that of the plans is of square roots: what is faint
    there is faint here.
    """
    apart = difference(plan_a, plan_b, labels)
    shade = np.rint(heat_maps.SHADES * np.sign(apart) * np.sqrt(np.abs(apart)))
    teacher, student = np.nonzero(shade)  # cells of the page's own colour need not be sent
    table = pd.DataFrame(
        {
            "student": student.astype(np.uint16),
            "teacher": teacher.astype(np.uint16),
            "share": apart[teacher, student].astype(np.float32),
            "shade": shade[teacher, student].astype(np.int16),
        }
    )
    option = heat_maps.plan_chart(plan_a, labels, theme)
    scale = option["visualMap"] | {
        "min": -heat_maps.SHADES,
        "text": ["A", "B"],
        "inRange": {"color": [theme.lit(LOW), theme.paper, theme.lit(HIGH)]},
    }
    return option | {"dataset": {"source": table}, "visualMap": scale}


def difference_figure(
    plan_a: Array, plan_b: Array, labels: Array, name_a: str, name_b: str
) -> Figure:
    """Draw a difference of plans for notebooks and print: the twin of `difference_chart`."""
    from matplotlib.colors import FuncNorm, LinearSegmentedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    ramp = LinearSegmentedColormap.from_list("difference", (LOW, LIGHT.paper, HIGH))
    root = FuncNorm(
        (lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * np.square(x)), -1, 1
    )
    shown = axes.imshow(difference(plan_a, plan_b, labels), cmap=ramp, norm=root)
    blocks = class_blocks(labels)
    for cut in blocks.starts[1:]:
        axes.axhline(cut - 0.5, color=LIGHT.ink, lw=0.6, alpha=0.4)
        axes.axvline(cut - 0.5, color=LIGHT.ink, lw=0.6, alpha=0.4)
    middles, classes = [m - 0.5 for m in blocks.middles], [str(name) for name in blocks.names]
    axes.set_xticks(middles, classes)
    axes.set_yticks(middles, classes)
    axes.tick_params(length=0)
    axes.set(xlabel="student samples, by class", ylabel="teacher samples, by class")
    axes.set_title(f"{name_a} less {name_b}", fontsize=11)
    figure.colorbar(
        shown, ax=axes, label="share of a teacher sample's mass", ticks=[-1, -0.25, 0, 0.25, 1]
    )
    return figure


def export(a: Side | tuple[Watch, str], b: Side | tuple[Watch, str], step: int) -> Export:
    """Return the export of the difference of two plans at a step."""
    a, b = Side(*a), Side(*b)
    named = names(a, b)

    def plans() -> tuple[Array, Array, Array]:
        plan_a, plan_b = (side.watch.picture(step, side.arm).plan for side in (a, b))
        return plan_a, plan_b, a.watch.snapshot(step).labels[: len(plan_a)]

    def table() -> pd.DataFrame:
        from lab.exporting import pairs

        plan_a, plan_b, _ = plans()
        rows = pairs(a.watch.snapshot(step), plan_a, "mass_a")
        return rows.assign(mass_b=plan_b.ravel(), difference=(plan_a - plan_b).ravel())

    lines = ["from lab import differences, figures", "from wcord import Run", ""]
    if any(address(side.watch.run.path).startswith("Path(") for side in (a, b)):
        lines[:0] = ["from pathlib import Path", ""]
    for key, side in (("a", a), ("b", b)):
        lines.append(f"{key} = Run({address(side.watch.run.path)}).snapshot({step})")
    lines += [
        f"plan_a, plan_b = a.arm({a.arm!r}).plan, b.arm({b.arm!r}).plan",
        "labels = a.labels[: len(plan_a)]",
        "differences.difference_figure(",
        f"    plan_a, plan_b, labels, {named[0]!r}, {named[1]!r}",
        ")",
    ]
    stem = f"difference-{named[0]}-{named[1]}-step-{step}".replace(" ", "-")
    return Export(
        stem,
        lambda: difference_figure(*plans(), *named),
        table,
        "\n".join(lines),
    )


def shared_scores(scores: Sequence[Array], labels: Array) -> tuple[tuple[float, float], float]:
    """Return the limits of scores and the tallest bar, in per cent, that several pictures share."""
    values = np.concatenate([np.ravel(s)[np.isfinite(np.ravel(s))] for s in scores])
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    tallest = max(
        float(share.max())
        for s in scores
        for share in histogram(score_groups(s, labels)).shares.values()
    )
    room = 0.02 * max(high - low, 1e-6)
    return (low - room, high + room), 100 * tallest


def on_axes(option: Option, across: tuple[float, float], up: float) -> Option:
    """Return a chart of scores with its axes fixed to limits that others have, too."""
    x, y = dict(option["xAxis"]), dict(option["yAxis"])
    bare = {"showMinLabel": False, "showMaxLabel": False}  # the limits are no round numbers
    x |= {"min": round(across[0], 3), "max": round(across[1], 3), "scale": False}
    x["axisLabel"] = x.get("axisLabel", {}) | bare
    y |= {"max": float(np.ceil(up / 5) * 5)}
    return option | {"xAxis": x, "yAxis": y}


def still(option: Option) -> Option:
    """Return a chart without the tools to pick samples, for pages that pick none."""
    return {key: part for key, part in option.items() if key not in ("brush", "toolbox")}


def facing(a: Frame, b: Frame) -> Frame:
    """Return the map b turned onto the map a by their teacher's points, so that they compare."""
    return aligned(b, a)


def colours(a: Side, b: Side) -> tuple[str, str]:
    """Return the colours of the two sides' curves: the arms' own, told apart where equal."""
    of_a, of_b = (palette.arm_colours(side.watch.arms)[side.arm] for side in (a, b))
    return of_a, of_b if of_b != of_a else next(c for c in palette.SPARE if c != of_a)


def answers_chart(paired: PairedAccuracy, name_a: str, name_b: str, theme: Theme = LIGHT) -> Option:
    """Return four bars: samples that both students get right, only a, only b, neither."""
    counts = {
        "both": (paired.both, palette.EXACT),
        f"only {name_a}": (paired.only_a, HIGH),
        f"only {name_b}": (paired.only_b, LOW),
        "neither": (paired.neither, palette.RAW),
    }
    across = axis(theme, "held-out samples", min=0, minInterval=1)
    down = axis(theme, type="category", inverse=True, data=list(counts)) | {
        "axisLabel": {"fontSize": TEXT, "color": theme.ink, "width": 120, "overflow": "break"},
        "axisTick": {"show": False},
    }
    return base(
        theme,
        grid=grid(140, 40, 8, 44),
        xAxis=across,
        yAxis=down,
        series=[
            {
                "name": "samples",
                "type": "bar",
                "barWidth": "60%",
                "label": {"show": True, "position": "right", "fontSize": TEXT, "color": theme.ink},
                "data": [
                    {"value": count, "itemStyle": {"color": theme.lit(colour)}}
                    for count, colour in counts.values()
                ],
            }
        ],
    )
