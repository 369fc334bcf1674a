"""Two arms in pictures: on the same axes, and what one plan has more of than the other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab import heat_maps, palette
from lab.control.exporting import Export, address, pairs
from lab.options import TEXT, Option, axis, base, dataset, grid
from lab.palette import LIGHT, Theme
from lab.reading.arrange import class_blocks, histogram, score_groups, sorted_plan
from lab.reading.layouts import Frame, aligned
from lab.reading.pairing import PairedAccuracy, Side, names
from lab.reading.watch import Watch
from lab.words.class_names import NUMBERS, ClassNames, cut, name_ticks
from lab.words.literal import mathtext

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

LONGEST = 40  # columns of a side's name at its bar
LOW, HIGH = "#0072b2", "#d55e00"  # of the diverging scale


def difference(plan_a: Array, plan_b: Array, labels: Array) -> Array:
    """Return what of a teacher sample's mass goes elsewhere: rows of a less rows of b, by class.

    Both plans (n, n) are sorted by class and each row is divided by its sum; entries lie between
    −1 (all of it in b only) and 1.
    """
    return sorted_plan(plan_a, labels) - sorted_plan(plan_b, labels)


def difference_chart(
    plan_a: Array,
    plan_b: Array,
    labels: Array,
    theme: Theme = LIGHT,
    names: ClassNames = NUMBERS,
) -> Option:
    """Return the heat map of a difference of plans on a diverging scale from −1 to 1.

    The scale is of signed square roots, as that of the plans is of square roots: what is faint
    there is faint here.
    """
    apart = difference(plan_a, plan_b, labels)
    shade = np.rint(heat_maps.SHADES * np.sign(apart) * np.sqrt(np.abs(apart)))
    teacher, student = np.nonzero(shade)  # cells of the page's own colour need not be sent
    cells = {
        "student": student.astype(np.uint16),
        "teacher": teacher.astype(np.uint16),
        "share": apart[teacher, student].astype(np.float32),
        "shade": shade[teacher, student].astype(np.int16),
    }
    option = heat_maps.plan_chart(plan_a, labels, theme, names=names)
    scale = option["visualMap"] | {
        "min": -heat_maps.SHADES,
        "text": ["A", "B"],
        "inRange": {"color": [theme.lit(LOW), theme.paper, theme.lit(HIGH)]},
    }
    return option | {"dataset": dataset(cells), "visualMap": scale}


def difference_figure(
    plan_a: Array,
    plan_b: Array,
    labels: Array,
    name_a: str,
    name_b: str,
    names: ClassNames = NUMBERS,
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
    faint = min(0.4, 5 / len(blocks.names))  # many lines would hide what lies between them
    for start in blocks.starts[1:]:
        axes.axhline(start - 0.5, color=LIGHT.ink, lw=0.6, alpha=faint)
        axes.axvline(start - 0.5, color=LIGHT.ink, lw=0.6, alpha=faint)
    name_ticks(axes, labels, names)
    axes.tick_params(length=0)
    axes.set(xlabel="student samples, by class", ylabel="teacher samples, by class")
    axes.set_title(mathtext(f"{name_a} less {name_b}"), fontsize=11)
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

    def draw() -> Figure:
        return difference_figure(*plans(), *named, a.watch.class_names)

    def table() -> pd.DataFrame:
        plan_a, plan_b, _ = plans()
        rows = pairs(a.watch.snapshot(step), plan_a, "mass_a")
        return rows.assign(mass_b=plan_b.ravel(), difference=(plan_a - plan_b).ravel())

    lines = ["from lab import differences, figures", "from lab.words.class_names import names_of"]
    lines += ["from wcord import Run", ""]
    if any(address(side.watch.run.path).startswith("Path(") for side in (a, b)):
        lines[:0] = ["from pathlib import Path", ""]
    for key, side in (("a", a), ("b", b)):
        lines.append(f"run_{key} = Run({address(side.watch.run.path)})")
        lines.append(f"{key} = run_{key}.snapshot({step})")
    lines += [
        f"plan_a, plan_b = a.arm({a.arm!r}).plan, b.arm({b.arm!r}).plan",
        "labels = a.labels[: len(plan_a)]",
        "differences.difference_figure(",
        f"    plan_a, plan_b, labels, {named[0]!r}, {named[1]!r}, names_of(run_a)",
        ")",
    ]
    stem = f"difference-{named[0]}-{named[1]}-step-{step}".replace(" ", "-")
    return Export(
        stem,
        draw,
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
    between = 5 if up <= 30 else 10 if up <= 60 else 20  # per cent from label to label
    y |= {"max": float(np.ceil(up / between) * between), "interval": between}
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
        f"only {cut(name_a, LONGEST)}": (paired.only_a, HIGH),
        f"only {cut(name_b, LONGEST)}": (paired.only_b, LOW),
        "neither": (paired.neither, palette.RAW),
    }
    across = axis(theme, "held-out samples", min=0, minInterval=1)
    down = axis(theme, type="category", inverse=True, data=list(counts)) | {
        "axisLabel": {"fontSize": TEXT, "color": theme.ink, "width": 120, "overflow": "break"}
        | {"lineHeight": 17},
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
