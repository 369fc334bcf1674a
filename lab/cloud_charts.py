"""The pictures of the transport playground: pure functions from data to ECharts options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab import palette
from lab.options import TEXT, Option, axis, base, dataset, grid, legend
from lab.palette import LIGHT, Theme
from lab.reading.arrange import Lines

Array = NDArray[Any]
GUIDES = "slope ±1"
DASHES = "path://M0 0h6v3H0zM10 0h6v3h-6z"  # their mark in the legend


def lines_chart(
    source: Array,
    target: Array,
    lines: Lines,
    theme: Theme = LIGHT,
    *,
    reach: float = 3.0,
    net: Array | None = None,
) -> Option:
    """Return two clouds in the plane and the plan's heaviest entries as lines between them.

    The thickness of a line is the share of its source's mass. `net` (k, 2), where given, is a
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
    if net is not None:
        series.append(_net(net))
    clouds = (
        ("source", "circle", theme.lit(palette.SOURCE)),
        ("target", "diamond", theme.lit(palette.TARGET)),
    )
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
            | ({"selectedMode": "single", "select": {"disabled": False}} if net is not None else {})
        )
    clouds_data = [dataset({"x": p[:, 0], "y": p[:, 1]}) for p in (source, target)]
    limits: Option = {"min": -reach, "max": reach, "splitNumber": 6}
    return base(
        theme,
        dataset=clouds_data,
        legend=legend(theme, data=["source", "target"], selectedMode=False),
        grid=grid(34, 14, 32, 28, show=True, borderColor=theme.faint),
        xAxis=axis(theme, **limits),
        yAxis=axis(theme, **limits),
        series=series,
    )


def _net(points: Array) -> Option:
    """Return invisible points that can be clicked: where a new point of a cloud shall lie."""
    return {
        "id": "net",
        "name": "net",
        "type": "scatter",
        "data": [[float(x), float(y)] for x, y in points],
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
    colours = (theme.ink, theme.lit(palette.EXACT), palette.SPARE[0], palette.SPARE[3])
    finite = np.concatenate([np.ravel(values) for values in functions.values()])
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
            (
                ("source", source, theme.lit(palette.SOURCE)),
                ("target", target, theme.lit(palette.TARGET)),
            )
        )
    ]
    names: list[Any] = [*functions, "source", "target"]
    if slopes:
        series.append(_slope_guides(slopes))
        names.append({"name": GUIDES, "icon": DASHES})
    return base(
        theme,
        dataset=dataset({"x": across} | dict(functions)),
        legend=legend(theme, data=names),
        grid=grid(56, 26, 34, 44),
        tooltip={"trigger": "axis", "valueFormatter": "%.3f"},
        xAxis=axis(theme, "x", min=float(across[0]), max=float(across[-1])),
        yAxis=axis(theme, name, nameGap=40, min=low - 3 * room, max=high + room)
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


def _slope_guides(slopes: Sequence[tuple[float, float, float]]) -> Option:
    length = 0.6
    pairs = [
        {"coords": [[x - length, y - slope * length], [x + length, y + slope * length]]}
        for x, y, slope in slopes
    ]
    return {
        "name": GUIDES,
        "type": "lines",
        "coordinateSystem": "cartesian2d",
        "data": pairs,
        "silent": True,
        "symbol": ["none", "none"],
        "itemStyle": {"color": palette.SPARE[0]},
        "lineStyle": {"color": palette.SPARE[0], "type": "dashed", "width": 2.5, "opacity": 0.9},
        "z": 5,
    }


def agreement_chart(pairs: Mapping[str, tuple[Array, Array]], theme: Theme = LIGHT) -> Option:
    """Return potentials of the entropic problem against those of the exact one.

    `pairs` maps "f, source" and "g, target" to (exact, entropic) values, each centred, in units
    of cost. Points on the diagonal agree.
    """
    styles = (("circle", theme.lit(palette.SOURCE)), ("diamond", theme.lit(palette.TARGET)))
    sources, series = [], []
    for place, (name, (exact, entropic)) in enumerate(pairs.items()):
        symbol, colour = styles[place % 2]
        sources.append(dataset({"exact": exact, "entropic": entropic}))
        series.append(
            {
                "name": name,
                "type": "scatter",
                "symbol": symbol,
                "symbolSize": 10,
                "datasetIndex": place,
                "encode": {"x": "exact", "y": "entropic"},
                "itemStyle": {"color": colour, "opacity": 0.8},
                "silent": True,
            }
        )
    values = np.concatenate([np.ravel(v) for pair in pairs.values() for v in pair])
    values = values[np.isfinite(values)]
    reach = 1.08 * float(np.abs(values).max(initial=0.1))
    series.append(
        {
            "type": "lines",
            "coordinateSystem": "cartesian2d",
            "data": [{"coords": [[-reach, -reach], [reach, reach]]}],
            "silent": True,
            "symbol": ["none", "none"],
            "lineStyle": {"color": theme.ink, "type": "dashed", "width": 1.5, "opacity": 0.5},
        }
    )
    limits: Option = {"min": -reach, "max": reach}
    quiet = {"showMinLabel": False, "showMaxLabel": False, "hideOverlap": True}
    return base(
        theme,
        dataset=sources,
        legend=legend(theme, data=list(pairs)),
        grid=grid(56, 26, 34, 44),
        xAxis=axis(theme, "exact potential", axisLabel=quiet, **limits),
        yAxis=axis(theme, "entropic potential", nameGap=38, axisLabel=quiet, **limits),
        series=series,
    )


def progress_chart(
    steps: Sequence[int],
    raw: Sequence[float],
    bound: Sequence[float],
    exact: float,
    theme: Theme = LIGHT,
) -> Option:
    """Return a critic's raw value and certified bound over its steps, under the exact W1."""
    last = max(int(steps[-1]) if len(steps) else 0, 1)
    series = [
        {
            "name": name,
            "type": "line",
            "showSymbol": False,
            "encode": {"x": "step", "y": name},
            "itemStyle": {"color": colour},
            "lineStyle": {"width": 3, "color": colour},
        }
        for name, colour in (
            ("raw value", theme.lit(palette.RAW)),
            ("certified bound", theme.lit(palette.BOUND)),
        )
    ]
    series.append(
        {
            "name": "exact W1",
            "type": "line",
            "showSymbol": False,
            "data": [[0, exact], [last, exact]],
            "itemStyle": {"color": theme.lit(palette.EXACT)},
            "lineStyle": {"width": 3, "type": "dashed", "color": theme.lit(palette.EXACT)},
        }
    )
    return base(
        theme,
        dataset=dataset({"step": steps, "raw value": raw, "certified bound": bound}),
        legend=legend(theme),
        grid=grid(56, 26, 34, 44),
        tooltip={"trigger": "axis", "valueFormatter": "%.3f"},
        xAxis=axis(theme, "steps of the critic", min=0, max=last),
        yAxis=axis(theme, "distance", nameGap=40, min=0),
        series=series,
    )
