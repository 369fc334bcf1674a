"""The pictures of the pages: pure functions from data to ECharts options.

Every function takes arrays and a `Theme` and returns a plain dictionary; tables travel as
`dataset.source`. The same pictures for notebooks and print are in `lab.figures`, what they say
in words in `lab.describe`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab import palette
from lab.arrange import Blocks, Lines, class_blocks, histogram, score_groups, sorted_plan
from lab.layouts import REACH, Frame
from lab.palette import LIGHT, Theme

Array = NDArray[Any]
Option = dict[str, Any]

TEXT = 14  # smallest type on a projected page
SHADES = 255
# A circle with a hole: the empty circle that is built in is white inside, on dark pages too.
RING = "path://M0,-10A10,10,0,1,1,0,10A10,10,0,1,1,0,-10ZM0,-7A7,7,0,1,0,0,7A7,7,0,1,0,0,-7Z"


def _base(theme: Theme, **more: Any) -> Option:
    """Return what all charts share: no entry animation, readable type."""
    return {"animation": False, "textStyle": {"fontSize": TEXT, "color": theme.ink}} | more


def _grid(left: int, right: int, top: int, bottom: int, **more: Any) -> Option:
    """Return the place of the plot in pixels; nothing else shrinks it."""
    edges = {"left": left, "right": right, "top": top, "bottom": bottom}
    return edges | {"containLabel": False, "outerBoundsMode": "none"} | more


def _axis(theme: Theme, name: str = "", **more: Any) -> Option:
    label = {"fontSize": TEXT, "color": theme.ink} | more.pop("axisLabel", {})
    return {
        "type": "value",
        "name": name,
        "nameLocation": "middle",
        "nameGap": 28,
        "nameTextStyle": {"fontSize": TEXT, "color": theme.ink},
        "axisLabel": label,
        "axisLine": {"lineStyle": {"color": theme.faint}},
        "splitLine": {"lineStyle": {"color": theme.faint, "opacity": 0.45}},
    } | more


def _legend(theme: Theme, **more: Any) -> Option:
    return {
        "top": 0,
        "itemGap": 12,
        "itemWidth": 16,
        "textStyle": {"fontSize": TEXT, "color": theme.ink},
    } | more


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
    return _base(
        theme,
        dataset={"source": plan_table(share)},
        grid=_grid(52, 50, 8, 46),
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
        _group(group, colour, bins.means.get(group, float("nan")), theme)
        for group, colour in palette.GROUPS.items()
    ]
    return _base(
        theme,
        dataset={"source": table},
        legend=_legend(theme),
        grid=_grid(52, 14, 34, 46),
        tooltip={"trigger": "axis", "valueFormatter": "%.1f %%"},
        xAxis=_axis(theme, name, scale=True),
        yAxis=_axis(theme, "share of pairs, %", nameGap=36, min=0),
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
    return _base(
        theme,
        animation=moving,
        animationDurationUpdate=350,
        dataset=sources,
        legend=_legend(
            theme,
            data=[
                {"name": "teacher", "icon": RING, "itemStyle": {"color": theme.ink}},
                {"name": "student", "icon": "diamond", "itemStyle": {"color": theme.ink}},
            ],
        ),
        grid=_grid(4, 4, 30, 4, show=True, borderColor=theme.faint),
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
    return _base(
        theme,
        dataset={"source": curves},
        legend=_legend(theme, type="scroll"),
        grid=_grid(56, 14, 34, 44),
        tooltip={"trigger": "axis", "valueFormatter": "%.3g"},
        xAxis=_axis(theme, across, min=0, max="dataMax", axisLabel={"hideOverlap": True})
        | {"splitLine": {"show": False}},
        yAxis=_axis(theme, name, nameGap=40, **limits),
        series=series,
    )


def lines_chart(
    source: Array,
    target: Array,
    lines: Lines,
    theme: Theme = LIGHT,
    *,
    reach: float = 3.0,
    grid: Array | None = None,
) -> Option:
    """Return two clouds in the plane and the plan's heaviest entries as lines between them.

    The thickness of a line is the share of its source's mass. `grid` (k, 2), where given, is a
    net of invisible points that can be clicked to add one there.
    """
    source, target = np.asarray(source), np.asarray(target)
    share = lines.mass * len(source)  # 1 where a source sends all of its mass one way
    # Few widths: each is one series, and a series is dear while a line is cheap.
    level = np.digitize(share, (0.1, 0.3, 0.6))
    series: list[Option] = []
    for step, (width, opacity) in enumerate(((0.8, 0.12), (1.4, 0.28), (2.2, 0.5), (3.0, 0.75))):
        here = level == step
        pairs = [
            {"coords": [source[i].tolist(), target[j].tolist()]}
            for i, j in zip(lines.rows[here], lines.columns[here], strict=True)
        ]
        series.append(
            {
                "id": f"lines-{step}",
                "name": "mass moved",
                "type": "lines",
                "coordinateSystem": "cartesian2d",
                "data": pairs,
                "silent": True,
                "symbol": ["none", "none"],
                "lineStyle": {"color": theme.ink, "width": width, "opacity": opacity},
            }
        )
    if grid is not None:
        series.append(_net(grid))
    clouds = (("source", "circle", palette.SOURCE), ("target", "diamond", palette.TARGET))
    for cloud, (name, symbol, colour) in enumerate(clouds):
        series.append(
            {
                "id": name,
                "name": name,
                "type": "scatter",
                "datasetIndex": cloud,
                "encode": {"x": "x", "y": "y"},
                "symbol": symbol,
                "symbolSize": 13 if cloud else 12,
                "itemStyle": {"color": colour, "borderColor": theme.paper, "borderWidth": 1},
                "z": 4,
            }
            | (
                {"selectedMode": "single", "select": {"disabled": False}}
                if grid is not None
                else {}
            )
        )
    clouds_data = [{"source": pd.DataFrame(p, columns=["x", "y"])} for p in (source, target)]
    limits: Option = {"min": -reach, "max": reach, "splitNumber": 6}
    return _base(
        theme,
        dataset=clouds_data,
        legend=_legend(theme, data=["source", "target"], selectedMode=False),
        grid=_grid(34, 14, 32, 28, show=True, borderColor=theme.faint),
        xAxis=_axis(theme, **limits),
        yAxis=_axis(theme, **limits),
        series=series,
    )


def _net(grid: Array) -> Option:
    """Return invisible points that can be clicked: where a new point of a cloud shall lie."""
    return {
        "id": "net",
        "name": "net",
        "type": "scatter",
        "data": [[float(x), float(y)] for x, y in grid],
        "symbol": "rect",
        "symbolSize": 11,
        "itemStyle": {"color": "rgba(0,0,0,0)"},
        "emphasis": {"itemStyle": {"color": "rgba(128,128,128,0.5)"}},
        "selectedMode": "single",
        "select": {"itemStyle": {"color": "rgba(0,0,0,0)", "borderWidth": 0}},
        "cursor": "crosshair",
        "z": 1,
    }


def potentials_chart(
    across: Array,
    functions: Mapping[str, Array],
    source: Array,
    target: Array,
    theme: Theme = LIGHT,
    *,
    name: str = "potential",
    slopes: Sequence[tuple[float, float, float]] = (),
) -> Option:
    """Return functions on a line over two clouds of numbers, with guides of slope ±1.

    Args:
        across: places (k,) at which the functions are known, ascending.
        functions: values (k,) by name; NaN where unknown.
        source: the source points (n,), drawn as ticks on the floor.
        target: the target points (m,).
        name: title of the vertical axis, with its unit.
        slopes: guides (x, y, slope), dashed, through (x, y).
    """
    table = pd.DataFrame({"x": across} | dict(functions)).astype(np.float32)
    colours = (theme.ink, palette.EXACT, palette.SPARE[0], palette.SPARE[3])
    finite = table.drop(columns="x").to_numpy()
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    room = 0.12 * max(high - low, 1e-6)
    series = [
        {
            "name": function,
            "type": "line",
            "showSymbol": False,
            "connectNulls": True,
            "encode": {"x": "x", "y": function},
            "itemStyle": {"color": colours[place % 4]},
            "lineStyle": {"width": 3, "color": colours[place % 4]},
        }
        for place, function in enumerate(functions)
    ]
    series += [
        _ticks(cloud, points, low - room * (1 + place), colour)
        for place, (cloud, points, colour) in enumerate(
            (("source", source, palette.SOURCE), ("target", target, palette.TARGET))
        )
    ]
    series.append(_slope_guides(slopes, theme))
    return _base(
        theme,
        dataset={"source": table},
        legend=_legend(theme, data=[*functions, "source", "target"]),
        grid=_grid(56, 14, 34, 44),
        tooltip={"trigger": "axis", "valueFormatter": "%.3f"},
        xAxis=_axis(theme, "x", min=float(across[0]), max=float(across[-1])),
        yAxis=_axis(theme, name, nameGap=40, min=low - 3 * room, max=high + room)
        | {"axisLabel": {"showMinLabel": False, "showMaxLabel": False, "fontSize": TEXT}},
        series=series,
    )


def _ticks(cloud: str, points: Array, height: float, colour: str) -> Option:
    places = np.asarray(points, dtype=float).ravel()
    return {
        "name": cloud,
        "type": "scatter",
        "symbol": "circle" if cloud == "source" else "diamond",
        "symbolSize": 10,
        "data": [[float(x), height] for x in places],
        "itemStyle": {"color": colour, "opacity": 0.75},
        "silent": True,
        "tooltip": {"show": False},
    }


def _slope_guides(slopes: Sequence[tuple[float, float, float]], theme: Theme) -> Option:
    length = 0.6
    pairs = [
        {"coords": [[x - length, y - slope * length], [x + length, y + slope * length]]}
        for x, y, slope in slopes
    ]
    return {
        "name": "slope ±1",
        "type": "lines",
        "coordinateSystem": "cartesian2d",
        "data": pairs,
        "silent": True,
        "symbol": ["none", "none"],
        "lineStyle": {"color": palette.TARGET, "type": "dashed", "width": 2.5, "opacity": 0.9},
        "z": 5,
    }
