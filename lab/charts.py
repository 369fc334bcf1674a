"""The pictures of the pages: pure functions from data to ECharts options.

Every function takes arrays and a `Theme` and returns a plain dictionary; tables travel as
`dataset.source`. The same pictures for notebooks and print are in `lab.figures`, what they say
in words in `lab.words.descriptions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab import palette
from lab.options import CLICKABLE, TEXT, Option, axis, base, brushes, dataset, grid, legend
from lab.palette import LIGHT, Theme
from lab.reading.arrange import histogram, score_groups
from lab.reading.layouts import REACH, Frame
from lab.words.class_names import NUMBERS, ClassNames

Array = NDArray[Any]

MANY = 12  # classes above which their names on the map are small
PALE = 0.4  # opacity of a teacher's circle, under its student's diamond
# A circle with a hole: the empty circle that is built in is white inside, on dark pages too.
RING = "path://M0,-10A10,10,0,1,1,0,10A10,10,0,1,1,0,-10ZM0,-7A7,7,0,1,0,0,7A7,7,0,1,0,0,-7Z"


def scores_chart(
    scores: Array,
    labels: Array,
    theme: Theme = LIGHT,
    *,
    name: str = "critic's score g(teacher, student)",
    selected: Sequence[int] = (),
) -> Option:
    """Return the critic's scores (n, n) as three histograms: congruent, same and other class.

    `name` is the title of the horizontal axis. Heights are shares of each group's own pairs; a
    dashed line marks each group's mean. Below, every sample's own (congruent) score is a tick that
    can be clicked (series "samples") or brushed; `selected` samples are marked.
    """
    bins = histogram(score_groups(scores, labels))
    width = float(bins.edges[1] - bins.edges[0])
    ends = np.array([bins.edges[0] - width / 2]), np.array([bins.edges[-1] + width / 2])
    zero = np.zeros(1)  # lines end on the floor, so that each area is closed
    columns = {"score": np.concatenate([ends[0], bins.centres, ends[1]])}
    for group, share in bins.shares.items():
        columns[group] = np.concatenate([zero, 100 * share, zero])
    series = [
        _group(group, theme.lit(colour), bins.means.get(group, float("nan")), theme)
        for group, colour in palette.GROUPS.items()
    ]
    own = np.nan_to_num(np.diag(scores)).astype(np.float32)
    lit = [float(own[sample]) for sample in selected if sample < len(own)]
    return base(
        theme,
        dataset=[
            dataset({group: column.astype(np.float32) for group, column in columns.items()}),
            dataset({"score": own, "own": own * 0}),
        ],
        legend=legend(theme, type="scroll", data=list(palette.GROUPS)),
        grid=grid(52, 14, 34, 60),
        tooltip={"trigger": "axis", "valueFormatter": "%.1f %%"},
        xAxis=axis(theme, name, scale=True, axisLabel={"margin": 16}) | {"nameGap": 38},
        yAxis=axis(theme, "share of pairs, %", nameGap=36, min=0),
        series=[*series, *_ticks(lit, theme)],
        **brushes("lineX", theme),
    )


def _ticks(lit: Sequence[float], theme: Theme) -> list[Option]:
    """Return the samples' own scores as ticks under the floor, and arrows at those selected."""
    ticks: Option = {
        "id": "samples",
        "name": "own score",
        "type": "scatter",
        "datasetIndex": 1,
        "encode": {"x": "score", "y": "own", "tooltip": []},
        "symbol": "rect",
        "symbolSize": [4, 12],
        "symbolOffset": [0, 7],
        "clip": False,
        "itemStyle": {"color": theme.lit(palette.GROUPS["congruent"]), "opacity": 0.45},
        "emphasis": {"itemStyle": {"color": theme.ink, "opacity": 1}},
        "tooltip": {"show": False},
    } | CLICKABLE
    arrows: Option = {
        "name": "selected",
        "type": "scatter",
        "data": [[score, 0] for score in lit],
        "symbol": "triangle",
        "symbolRotate": 180,
        "symbolSize": 13,
        "symbolOffset": [0, -8],
        "silent": True,
        "itemStyle": {"color": theme.ink},
        "tooltip": {"show": False},
        "z": 6,
    }
    return [ticks, arrows] if lit else [ticks]


def _group(name: str, colour: str, mean: float, theme: Theme) -> Option:
    series: Option = {
        "name": name,
        "type": "line",
        "step": "middle",
        "showSymbol": False,
        "encode": {"x": "score", "y": name},
        "itemStyle": {"color": colour},
        "lineStyle": {"color": colour, "width": 2},
        "areaStyle": {"color": colour, "opacity": 0.22},
    }
    if np.isfinite(mean):
        series["markLine"] = {
            "silent": True,
            "symbol": "none",
            "label": {"show": False},
            "lineStyle": {"color": colour, "type": "dashed", "width": 2},
            "data": [{"xAxis": float(mean)}],
        }
    return series


def map_chart(
    frame: Frame,
    labels: Array,
    theme: Theme = LIGHT,
    *,
    moving: bool = False,
    selected: Sequence[int] = (),
    names: ClassNames = NUMBERS,
) -> Option:
    """Return the joint map: teacher circles, student diamonds, in colours and names of classes.

    Axes are fixed and have no unit: only closeness means something. `moving` lets points glide
    from frame to frame. Points can be clicked and brushed (series "teacher" and "student", in the
    samples' order); of `selected` samples both sides are ringed and joined.
    """
    labels = np.asarray(labels)
    sources, series = [], []
    for name, side in frame._asdict().items():
        points = np.nan_to_num(side).clip(-REACH, REACH).astype(np.float32)  # strays on the rim
        classes = labels.astype(np.int16)
        sources.append(dataset({"x": points[:, 0], "y": points[:, 1], "class": classes}))
        series.append(_points(name, len(sources) - 1))
    series += [_class_names(frame.teacher, labels, theme, names), *_rings(frame, selected, theme)]
    plain = {"type": "value", "min": -REACH, "max": REACH, "show": False}
    return base(
        theme,
        animation=moving,
        animationDurationUpdate=350,
        animationThreshold=600,  # more points than this jump: gliding is dear in the browser
        dataset=sources,
        legend=legend(
            theme,
            data=[
                {
                    "name": "teacher",
                    "icon": "circle",
                    "itemStyle": {"color": theme.ink, "opacity": PALE},
                },
                {"name": "student", "icon": "diamond", "itemStyle": {"color": theme.ink}},
            ],
        ),
        grid=grid(4, 4, 30, 26, show=True, borderColor=theme.faint),
        tooltip={"show": False},
        xAxis=plain,
        yAxis=plain,
        visualMap=class_colours(labels),
        series=series,
        **brushes("rect", theme),
    )


def _rings(frame: Frame, selected: Sequence[int], theme: Theme) -> list[Option]:
    """Return rings round both sides of selected samples, and lines from side to side."""
    sides = [np.nan_to_num(side[list(selected)]).clip(-REACH, REACH).tolist() for side in frame]
    if not selected:
        return []
    rings: Option = {
        "name": "selected",
        "type": "scatter",
        "data": [*sides[0], *sides[1]],
        "symbol": RING,
        "symbolSize": 19 if len(selected) <= 12 else 12,
        "silent": True,
        "itemStyle": {"color": theme.ink},
        "z": 6,
    }
    pairs: Option = {
        "name": "selected",
        "type": "lines",
        "coordinateSystem": "cartesian2d",
        "data": [{"coords": list(pair)} for pair in zip(*sides, strict=True)],
        "symbol": ["none", "none"],
        "silent": True,
        "lineStyle": {"color": theme.ink, "width": 1.5, "opacity": 0.8},
        "z": 5,
    }
    return [pairs, rings]


def class_colours(labels: Array) -> Option:
    """Return what gives the points of the first two series, teacher and student, their colours."""
    names = np.unique(labels)
    return {
        "type": "piecewise",
        "show": False,
        "dimension": "class",
        "seriesIndex": [0, 1],
        "categories": [str(name) for name in names],
        "inRange": {"color": [palette.class_colour(int(name)) for name in names]},
    }


def _points(name: str, dataset: int) -> Option:
    return {
        "id": name,
        "name": name,
        "type": "scatter",
        "symbol": "circle" if name == "teacher" else "diamond",
        "symbolSize": 9,
        "datasetIndex": dataset,
        "encode": {"x": "x", "y": "y"},
        # Pale, not hollow: through a hole a click would go astray.
        "itemStyle": {"opacity": PALE if name == "teacher" else 0.9},
        "z": 2 + dataset,
    } | CLICKABLE


def _class_names(points: Array, labels: Array, theme: Theme, names: ClassNames) -> Option:
    """Return a series that names each class above the middle of its points, not over them.

    Of many classes, names that would lie over others are left out.
    """
    classes = [int(c) for c in np.unique(labels)]
    middles = [np.median(np.nan_to_num(points[labels == c]), axis=0) for c in classes]
    few = len(classes) <= MANY
    return {
        "name": "classes",
        "type": "scatter",
        "silent": True,
        "symbol": "circle",
        "symbolSize": 1,
        "itemStyle": {"color": "transparent"},
        "label": {
            "show": True,
            "formatter": "{@[2]}",
            "position": "top",
            "fontSize": 17 if few else TEXT,
            "fontWeight": "bold",
            "color": theme.ink,
            "textBorderColor": theme.paper,
            "textBorderWidth": 4,
        },
        "labelLayout": {"hideOverlap": not few},
        "tooltip": {"show": False},
        "data": [
            [float(x), float(y), names.short(c)] for c, (x, y) in zip(classes, middles, strict=True)
        ],
        "z": 7,
    }


def curves_chart(
    curves: pd.DataFrame,
    colours: Mapping[str, str],
    theme: Theme = LIGHT,
    *,
    across: str = "epoch",
    name: str = "",
    percent: bool = False,
    bold: str | None = None,
    last: float | None = None,
    at: float | None = None,
) -> Option:
    """Return curves over time, one column an arm, in the arms' colours.

    Args:
        curves: a column named by `across` and one a curve; gaps (NaN) are bridged.
        colours: a colour for each curve.
        across: the column on the horizontal axis, and its title.
        name: title of the vertical axis, with its unit.
        percent: fix the vertical axis to 0-100.
        bold: the curve to draw thicker (the arm chosen on the page).
        last: where the horizontal axis ends, so that a run fills it; else with the data.
        at: the time that the other pictures show, marked by a line.
    """
    series: list[Option] = [
        {
            "name": arm,
            "type": "line",
            "showSymbol": False,
            "connectNulls": True,
            "encode": {"x": across, "y": arm},
            "itemStyle": {"color": colour},
            "lineStyle": {"color": colour, "width": 4 if arm == bold else 2},
            "z": 3 if arm == bold else 2,
        }
        for arm, colour in colours.items()
        if arm in curves
    ]
    if at is not None and series:
        series[0]["markLine"] = {
            "silent": True,
            "symbol": "none",
            "label": {"show": False},
            "lineStyle": {"color": theme.ink, "type": "solid", "width": 1.5},
            "data": [{"xAxis": at}],
        }
    limits: Option = {"min": 0, "max": 100} if percent else {"scale": True}
    return base(
        theme,
        dataset=dataset(curves),
        legend=legend(theme, type="scroll"),
        grid=grid(56, 14, 34, 44),
        tooltip={"trigger": "axis", "valueFormatter": "%.3g"},
        xAxis=axis(theme, across, min=0, max=last or "dataMax", axisLabel={"hideOverlap": True})
        | {"splitLine": {"show": False}},
        yAxis=axis(theme, name, nameGap=40, **limits),
        series=series,
    )
