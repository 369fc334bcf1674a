"""The pictures of the pages: pure functions from data to ECharts options.

Every function takes arrays and a `Theme` and returns a plain dictionary; tables travel as
`dataset.source`. The same pictures for notebooks and print are in `lab.figures`, what they say
in words in `lab.describe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab import palette
from lab.arrange import Blocks, class_blocks, histogram, score_groups, sorted_plan
from lab.layouts import REACH, Frame
from lab.options import TEXT, Option, axis, base, grid, legend
from lab.palette import LIGHT, Theme

Array = NDArray[Any]

SHADES = 255
# A circle with a hole: the empty circle that is built in is white inside, on dark pages too.
RING = "path://M0,-10A10,10,0,1,1,0,10A10,10,0,1,1,0,-10ZM0,-7A7,7,0,1,0,0,7A7,7,0,1,0,0,-7Z"


def _hidden_axes(size_x: float, size_y: float) -> tuple[Option, Option]:
    """Return a pair of invisible number axes that count samples, for lines between cells."""
    plain = {"type": "value", "show": False, "min": 0}
    return plain | {"max": size_x}, plain | {"max": size_y, "inverse": True}


def _boundaries(blocks: Blocks, theme: Theme, *, series: str) -> Option:
    """Return a series that draws the lines between classes on the second pair of axes."""
    cuts = blocks.starts[1:]
    lines = [{"xAxis": cut} for cut in cuts] + [{"yAxis": cut} for cut in cuts]
    return {
        "name": series,
        "type": "scatter",
        "data": [],
        "xAxisIndex": 1,
        "yAxisIndex": 1,
        "silent": True,
        "markLine": {
            "silent": True,
            "symbol": "none",
            "label": {"show": False},
            "lineStyle": {"color": theme.ink, "opacity": 0.35, "width": 1, "type": "solid"},
            "data": lines,
        },
    }


def _sample_axis(
    theme: Theme, name: str, blocks: Blocks, size: int, *, classes: bool, **more: Any
) -> Option:
    """Return a category axis with one place a sample and a class number in each block's middle."""
    names = [""] * size
    for label, middle in zip(blocks.names, blocks.middles, strict=True):
        names[min(int(middle), size - 1)] = str(label) if classes else ""
    return {
        "type": "category",
        "data": names,
        "name": name,
        "nameLocation": "middle",
        "nameTextStyle": {"fontSize": TEXT, "color": theme.ink},
        "axisLabel": {"interval": 0, "fontSize": TEXT, "color": theme.ink, "margin": 6},
        "axisTick": {"show": False},
        "axisLine": {"lineStyle": {"color": theme.faint}},
    } | more


def plan_table(share: Array) -> pd.DataFrame:
    """Return the cells of a plan as a table: student, teacher, share, shade (n·m rows).

    `shade` is 255 √share, the place on the colour ramp: the root lets a confused plan, whose
    shares are 1/n, be seen beside a sharp one on the same fixed scale.
    """
    n, m = share.shape
    small = np.uint8 if max(n, m) <= 256 else np.uint16
    clean = np.nan_to_num(share)
    return pd.DataFrame(
        {
            "student": np.tile(np.arange(m, dtype=small), n),
            "teacher": np.repeat(np.arange(n, dtype=small), m),
            "share": clean.astype(np.float32).ravel(),
            "shade": np.rint(SHADES * np.sqrt(clean.clip(0, 1))).astype(np.uint8).ravel(),
        }
    )


def plan_chart(
    plan: Array,
    labels: Array,
    theme: Theme = LIGHT,
    *,
    rows: str = "teacher samples, by class",
    columns: str = "student samples, by class",
) -> Option:
    """Return the heat map of a square plan (n, n) with both sides sorted by class.

    Colour is the share of a teacher sample's mass, from 0 to 1, on a square-root scale that is
    the same for every arm and step.
    """
    blocks = class_blocks(labels)
    return _heat_map(sorted_plan(plan, labels), blocks, blocks, theme, rows, columns, classes=True)


def cloud_plan_chart(plan: Array, theme: Theme = LIGHT) -> Option:
    """Return the heat map of a plan (n, m) between two clouds, in the order given."""
    plan = np.asarray(plan, dtype=np.float64)
    mass = plan.sum(axis=1, keepdims=True)
    share = np.divide(plan, mass, out=np.zeros_like(plan), where=mass > 0)
    one_row, one_column = Blocks([0], [0], [len(plan)]), Blocks([0], [0], [plan.shape[1]])
    return _heat_map(
        share, one_row, one_column, theme, "source points", "target points", classes=False
    )


def _heat_map(
    share: Array,
    rows: Blocks,
    columns: Blocks,
    theme: Theme,
    row_name: str,
    column_name: str,
    *,
    classes: bool,
) -> Option:
    n, m = share.shape
    hidden_x, hidden_y = _hidden_axes(m, n)
    across = _sample_axis(theme, column_name, columns, m, classes=classes, nameGap=26)
    down = _sample_axis(theme, row_name, rows, n, classes=classes, nameGap=28, inverse=True)
    scale = {
        "type": "continuous",
        "min": 0,
        "max": SHADES,
        "dimension": "shade",
        "seriesIndex": 0,
        "calculable": False,
        "inRange": {"color": list(theme.ramp)},
        "orient": "vertical",
        "right": 0,
        "top": "middle",
        "itemHeight": 180,
        "itemWidth": 14,
        "text": ["all", "none"],
        "textStyle": {"fontSize": TEXT, "color": theme.ink},
    }
    return base(
        theme,
        dataset={"source": plan_table(share)},
        grid=grid(52, 50, 8, 46),
        tooltip={"valueFormatter": "%.3f", "textStyle": {"fontSize": TEXT}},
        xAxis=[across, hidden_x],
        yAxis=[down, hidden_y],
        visualMap=scale,
        series=[
            {
                "name": "share of mass",
                "type": "heatmap",
                "progressive": 0,  # by default some frames miss rows
                "encode": {
                    "x": "student",
                    "y": "teacher",
                    "value": "shade",
                    "tooltip": ["teacher", "student", "share"],
                },
                "itemStyle": {"borderWidth": 0},
                "emphasis": {"itemStyle": {"borderColor": theme.ink, "borderWidth": 1}},
            },
            _boundaries(rows, theme, series="classes"),
        ],
    )


def scores_chart(
    scores: Array,
    labels: Array,
    theme: Theme = LIGHT,
    *,
    name: str = "critic's score g(teacher, student)",
) -> Option:
    """Return the critic's scores (n, n) as three histograms: congruent, same and other class.

    `name` is the title of the horizontal axis. Heights are shares of each group's own pairs; a
    dashed line marks each group's mean.
    """
    bins = histogram(score_groups(scores, labels))
    width = float(bins.edges[1] - bins.edges[0])
    ends = np.array([bins.edges[0] - width / 2]), np.array([bins.edges[-1] + width / 2])
    zero = np.zeros(1)  # lines end on the floor, so that each area is closed
    columns = {"score": np.concatenate([ends[0], bins.centres, ends[1]])}
    for group, share in bins.shares.items():
        columns[group] = np.concatenate([zero, 100 * share, zero])
    table = pd.DataFrame(columns, dtype=np.float32)
    series = [
        _group(group, theme.lit(colour), bins.means.get(group, float("nan")), theme)
        for group, colour in palette.GROUPS.items()
    ]
    return base(
        theme,
        dataset={"source": table},
        legend=legend(theme, type="scroll"),
        grid=grid(52, 14, 34, 46),
        tooltip={"trigger": "axis", "valueFormatter": "%.1f %%"},
        xAxis=axis(theme, name, scale=True),
        yAxis=axis(theme, "share of pairs, %", nameGap=36, min=0),
        series=series,
    )


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
) -> Option:
    """Return the joint map: teacher circles, student diamonds, coloured and numbered by class.

    Axes are fixed and have no unit: only closeness means something. `moving` lets points glide
    from frame to frame.
    """
    labels = np.asarray(labels)
    sources, series = [], []
    for name, side in frame._asdict().items():
        points = np.nan_to_num(side).clip(-REACH, REACH).astype(np.float32)  # strays on the rim
        table = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "class": labels})
        sources.append({"source": table.astype({"class": np.int16})})
        series.append(_points(name, len(sources) - 1))
    series[0]["markPoint"] = _class_numbers(frame.teacher, labels, theme)
    names = np.unique(labels)
    colours = {
        "type": "piecewise",
        "show": False,
        "dimension": "class",
        "categories": [str(name) for name in names],
        "inRange": {"color": [palette.class_colour(int(name)) for name in names]},
    }
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
                {"name": "teacher", "icon": RING, "itemStyle": {"color": theme.ink}},
                {"name": "student", "icon": "diamond", "itemStyle": {"color": theme.ink}},
            ],
        ),
        grid=grid(4, 4, 30, 4, show=True, borderColor=theme.faint),
        tooltip={"show": False},
        xAxis=plain,
        yAxis=plain,
        visualMap=colours,
        series=series,
    )


def _points(name: str, dataset: int) -> Option:
    return {
        "id": name,
        "name": name,
        "type": "scatter",
        "symbol": RING if name == "teacher" else "diamond",
        "symbolSize": 8,
        "datasetIndex": dataset,
        "encode": {"x": "x", "y": "y"},
        "itemStyle": {"opacity": 0.85},
        "silent": True,
        "z": 2 + dataset,
    }


def _class_numbers(points: Array, labels: Array, theme: Theme) -> Option:
    """Return marks that name each class above the middle of its points, not over them."""
    middles = {int(c): np.median(np.nan_to_num(points[labels == c]), axis=0) for c in set(labels)}
    return {
        "silent": True,
        "symbol": "circle",
        "symbolSize": 20,
        "symbolOffset": [0, -13],
        "itemStyle": {"color": "transparent"},
        "label": {
            "formatter": "{b}",
            "fontSize": 17,
            "fontWeight": "bold",
            "color": theme.ink,
            "textBorderColor": theme.paper,
            "textBorderWidth": 4,
        },
        "data": [{"name": str(c), "coord": [float(x), float(y)]} for c, (x, y) in middles.items()],
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
) -> Option:
    """Return curves over time, one column an arm, in the arms' colours.

    Args:
        curves: a column named by `across` and one a curve; gaps (NaN) are bridged.
        colours: a colour for each curve.
        across: the column on the horizontal axis, and its title.
        name: title of the vertical axis, with its unit.
        percent: fix the vertical axis to 0-100.
        bold: the curve to draw thicker (the arm chosen on the page).
    """
    series = [
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
    limits: Option = {"min": 0, "max": 100} if percent else {"scale": True}
    return base(
        theme,
        dataset={"source": curves},
        legend=legend(theme, type="scroll"),
        grid=grid(56, 14, 34, 44),
        tooltip={"trigger": "axis", "valueFormatter": "%.3g"},
        xAxis=axis(theme, across, min=0, max="dataMax", axisLabel={"hideOverlap": True})
        | {"splitLine": {"show": False}},
        yAxis=axis(theme, name, nameGap=40, **limits),
        series=series,
    )
