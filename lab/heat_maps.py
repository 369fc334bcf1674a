"""Heat maps of the pages: plans sorted by class, plans between clouds, a critic's landscape.

Pure functions from data to ECharts options. A heat map must set `progressive` to 0: by default
some frames miss rows. Cells cost the browser most of a tick, so those that would be painted in
the page's own colour are not sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab import palette
from lab.options import TEXT, Option, axis, base, dataset, grid, legend
from lab.palette import LIGHT, Theme
from lab.reading.arrange import Blocks, class_blocks, class_order, sorted_plan
from lab.words.class_names import FLAT, NUMBERS, ClassNames, named

Array = NDArray[Any]

SHADES = 255


def _hidden_axes(size_x: float, size_y: float) -> tuple[Option, Option]:
    """Return a pair of invisible number axes that count samples, for lines between cells."""
    plain = {"type": "value", "show": False, "min": 0}
    return plain | {"max": size_x}, plain | {"max": size_y, "inverse": True}


def _boundaries(blocks: Blocks, theme: Theme) -> Option:
    """Return a series that draws the lines between classes on the second pair of axes."""
    cuts = blocks.starts[1:]
    faint = min(0.35, 5 / len(blocks.names))  # many lines would hide what lies between them
    lines = [{"xAxis": cut} for cut in cuts] + [{"yAxis": cut} for cut in cuts]
    return _on_hidden_axes("classes") | {
        "data": [],
        "markLine": {
            "silent": True,
            "symbol": "none",
            "label": {"show": False},
            "lineStyle": {"color": theme.ink, "opacity": faint, "width": 1, "type": "solid"},
            "data": lines,
        },
    }


def _on_hidden_axes(name: str) -> Option:
    return {"name": name, "type": "scatter", "xAxisIndex": 1, "yAxisIndex": 1, "silent": True}


def _lit(places: Sequence[int], size: int, theme: Theme) -> list[Option]:
    """Return what lights up rows and columns of a plan: the other rows dim, arrows point."""
    edges = [0, *(edge for place in sorted(places) for edge in (place, place + 1)), size]
    gaps = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
    arrows = [{"value": [0, r + 0.5], "symbolRotate": -90, "symbolOffset": [-7, 0]} for r in places]
    arrows += [{"value": [r + 0.5, size], "symbolOffset": [0, 7]} for r in places]
    dimmed = {
        "silent": True,
        "z": 4,
        "itemStyle": {"color": theme.paper, "opacity": 0.65},
        "data": [[{"yAxis": a}, {"yAxis": b}] for a, b in gaps],
    }
    pointing: Option = {
        "data": arrows,
        "symbol": "triangle",
        "symbolSize": 10,
        "clip": False,
        "itemStyle": {"color": theme.ink, "opacity": 1},
        "markArea": dimmed,
        "z": 4,
    }
    return [_on_hidden_axes("selected") | pointing] if places else []


def _rows(size: int, theme: Theme) -> Option:
    """Return one invisible bar a row, to be pointed at and clicked: far cheaper than live cells."""
    return {
        "id": "rows",
        "name": "row",
        "type": "bar",
        "data": [size] * size,
        "xAxisIndex": 1,
        "yAxisIndex": 0,
        "barWidth": "100%",
        "selectedMode": "single",
        "itemStyle": {"color": "rgba(0,0,0,0)"},
        "emphasis": {"itemStyle": {"borderColor": theme.ink, "borderWidth": 1}},
        "select": {"itemStyle": {"color": "rgba(0,0,0,0)", "borderWidth": 0}},
        "z": 3,
    }


def class_words(blocks: Blocks, names: ClassNames) -> list[str]:
    """Return a text for each of the sorted samples: class names in the middle of their blocks.

    As many as an axis has room for; all others are empty.
    """
    words = [""] * blocks.ends[-1]
    for place in named(blocks):
        middle = min(int(blocks.middles[place]), len(words) - 1)
        words[middle] = names.short(blocks.names[place])
    return words


def word_width(blocks: Blocks, names: ClassNames) -> int:
    """Return the pixels that the longest class name takes beyond those of a number."""
    return max(names.longest(blocks.names) - 2, 0) * 7


def _sample_axis(
    theme: Theme, name: str, words: list[str], *, rotate: int = 0, **more: Any
) -> Option:
    """Return a category axis with one place a sample, some of which have words."""
    return {
        "type": "category",
        "data": words,
        "name": name,
        "nameLocation": "middle",
        "nameTextStyle": {"fontSize": TEXT, "color": theme.ink},
        "axisLabel": {
            "interval": 0,
            "fontSize": TEXT,
            "color": theme.ink,
            "margin": 6,
            "rotate": rotate,
        },
        "axisTick": {"show": False},
        "axisLine": {"lineStyle": {"color": theme.faint}},
    } | more


def plan_cells(share: Array) -> dict[str, Array]:
    """Return the cells of a plan that are seen, as columns: student, teacher, share, shade.

    `shade` is 255 √share, rounded, the place on the colour ramp: the root lets a confused plan,
    whose shares are 1/n, be seen beside a sharp one on the same fixed scale. Shade 0 is the page's
    own colour, so cells of that shade are left out (a plan of nothing keeps its first). Shares of
    a difference of plans, in [−1, 1], keep their sign.
    """
    small = np.uint8 if max(share.shape) <= 256 else np.uint16
    clean = np.nan_to_num(share).clip(-1, 1)
    shade = np.rint(SHADES * np.sign(clean) * np.sqrt(np.abs(clean))).astype(np.int16)
    teacher, student = np.nonzero(shade) if shade.any() else (np.zeros(1, int), np.zeros(1, int))
    return {
        "student": student.astype(small),
        "teacher": teacher.astype(small),
        "share": clean[teacher, student].astype(np.float32),
        "shade": shade[teacher, student],
    }


def plan_chart(
    plan: Array,
    labels: Array,
    theme: Theme = LIGHT,
    *,
    rows: str = "teacher samples, by class",
    columns: str = "student samples, by class",
    selected: Sequence[int] = (),
    names: ClassNames = NUMBERS,
) -> Option:
    """Return the heat map of a square plan (n, n) with both sides sorted by class.

    Colour is the share of a teacher sample's mass, from 0 to 1, on a square-root scale that is
    the same for every arm and step. Rows can be clicked (series "rows", in sorted order).
    `selected` are samples, counted before sorting, whose rows light up; `names` name the classes.
    """
    blocks, n = class_blocks(labels), len(labels)
    option = _heat_map(sorted_plan(plan, labels), blocks, theme, rows, columns, names)
    option["series"][0] |= {"silent": True, "emphasis": {"disabled": True}}
    option["tooltip"] = {"show": False}
    places = np.argsort(class_order(labels))
    inside = [int(places[sample]) for sample in selected if sample < n]
    option["series"] += [_rows(n, theme), *_lit(inside, n, theme)]
    return option


def cloud_plan_chart(plan: Array, theme: Theme = LIGHT) -> Option:
    """Return the heat map of a plan (n, m) between two clouds, in the order given."""
    plan = np.asarray(plan, dtype=np.float64)
    mass = plan.sum(axis=1, keepdims=True)
    share = np.divide(plan, mass, out=np.zeros_like(plan), where=mass > 0)
    return _heat_map(share, None, theme, "source points", "target points", NUMBERS)


def _heat_map(
    share: Array,
    blocks: Blocks | None,
    theme: Theme,
    row_name: str,
    column_name: str,
    names: ClassNames,
) -> Option:
    """Return a heat map (n, m), of a square with its classes along both sides where it has any."""
    n, m = share.shape
    hidden_x, hidden_y = _hidden_axes(m, n)
    rows, columns = (class_words(blocks, names),) * 2 if blocks else ([""] * n, [""] * m)
    wide = word_width(blocks, names) if blocks else 0
    high = wide if blocks and names.longest(blocks.names) > FLAT else 0
    across = _sample_axis(theme, column_name, columns, rotate=90 if high else 0, nameGap=26 + high)
    down = _sample_axis(theme, row_name, rows, nameGap=28 + wide, inverse=True)
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
        dataset=dataset(plan_cells(share)),
        grid=grid(52 + wide, 50, 8, 46 + high),
        tooltip={"valueFormatter": "%.3f", "textStyle": {"fontSize": TEXT}},
        xAxis=[across, hidden_x],
        yAxis=[down, hidden_y],
        visualMap=scale,
        series=[
            {
                "name": "share of mass",
                "type": "heatmap",
                "progressive": 0,
                "encode": {
                    "x": "student",
                    "y": "teacher",
                    "value": "shade",
                    "tooltip": ["teacher", "student", "share"],
                },
                "itemStyle": {"borderWidth": 0},
                "emphasis": {"itemStyle": {"borderColor": theme.ink, "borderWidth": 1}},
            },
            *([_boundaries(blocks, theme)] if blocks else []),
        ],
    )


def field_chart(
    field: Array, source: Array, target: Array, theme: Theme = LIGHT, *, reach: float = 3.0
) -> Option:
    """Return a critic's landscape g (k, k) over the plane, rows from the lowest y, with the clouds.

    Light and dark follow the page's ramp, from the smallest value to the largest.
    """
    k = len(field)
    columns, rows = np.meshgrid(np.arange(k, dtype=np.uint8), np.arange(k, dtype=np.uint8))
    finite = np.nan_to_num(np.asarray(field, dtype=np.float32))
    cells: Option = {
        "type": "category",
        "data": [str(place) for place in range(k)],
        "show": False,
    }
    clouds = [
        {
            "name": name,
            "type": "scatter",
            "xAxisIndex": 1,
            "yAxisIndex": 1,
            "symbol": symbol,
            "symbolSize": 11,
            "data": [[float(x), float(y)] for x, y in points],
            "itemStyle": {"color": colour, "borderColor": theme.paper, "borderWidth": 1},
            "silent": True,
        }
        for name, symbol, colour, points in (
            ("source", "circle", theme.lit(palette.SOURCE), source),
            ("target", "diamond", theme.lit(palette.TARGET), target),
        )
    ]
    plane = axis(theme, min=-reach, max=reach, splitLine={"show": False})
    return base(
        theme,
        dataset=dataset({"x": columns.ravel(), "y": rows.ravel(), "g": finite.ravel()}),
        legend=legend(theme, data=["source", "target"]),
        grid=grid(34, 62, 32, 28),
        xAxis=[cells, plane | {"position": "bottom"}],
        yAxis=[cells, plane | {"position": "left"}],
        visualMap={
            "min": float(finite.min()),
            "max": float(max(finite.max(), finite.min() + 1e-6)),
            "dimension": "g",
            "seriesIndex": 0,
            "calculable": False,
            "precision": 2,
            "inRange": {"color": list(theme.ramp[1:6])},
            "right": 0,
            "top": "middle",
            "itemHeight": 160,
            "itemWidth": 14,
            "text": [f"{finite.max():.2f}", f"{finite.min():.2f}"],
            "textStyle": {"fontSize": TEXT, "color": theme.ink},
        },
        series=[
            {
                "name": "critic g",
                "type": "heatmap",
                "progressive": 0,
                "encode": {"x": "x", "y": "y", "value": "g"},
                "silent": True,
            },
            *clouds,
        ],
    )
