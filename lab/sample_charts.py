"""The charts of one sample: its row of the plan, its row of scores, its prediction over time.

Pure functions from data to ECharts options.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab import palette
from lab.charts import RING
from lab.heat_maps import class_words, word_width
from lab.options import TEXT, Option, axis, base, dataset, grid
from lab.palette import LIGHT, Theme
from lab.reading.arrange import class_blocks, class_order
from lab.words.class_names import FLAT, NUMBERS, ClassNames

Array = NDArray[Any]


def rows_chart(
    share: Array,
    scores: Array,
    labels: Array,
    sample: int,
    theme: Theme = LIGHT,
    *,
    name: str = "critic's score",
    names: ClassNames = NUMBERS,
) -> Option:
    """Return where a teacher sample's mass goes, over how it scores with each student sample.

    Args:
        share: its row of the plan (n,), in shares of its mass.
        scores: its row of scores (n,).
        labels: classes (n,) of the batch; both rows are sorted by class.
        sample: its own place, drawn in ink; the other students of its class are in its colour.
        theme: of the page.
        name: title of the lower axis.
        names: of the classes.
    """
    order, blocks, n = class_order(labels), class_blocks(labels), len(labels)
    kind = np.where(labels == labels[sample], "class", "other")
    kind[sample] = "own"
    columns = {"place": np.arange(n, dtype=np.uint16)}
    looks = {"other": theme.faint, "class": palette.class_colour(int(labels[sample]))}
    looks |= {"own": theme.ink}
    series: list[Option] = []
    for part, row in (("mass", share), ("score", scores)):
        for group, colour in looks.items():
            column = f"{part}, {group}"
            chosen = np.where(kind[order] == group, np.nan_to_num(row[order]), np.nan)
            columns[column] = chosen.astype(np.float32)
            series.append(_bars(column, colour, below=part == "score"))
    upright = names.longest(blocks.names) > FLAT
    high = word_width(blocks, names) if upright else 0
    quiet = {"axisTick": {"show": False}, "axisLine": {"lineStyle": {"color": theme.faint}}}
    across = {"type": "category", "data": class_words(blocks, names), **quiet}
    words = {"interval": 0, "fontSize": TEXT, "color": theme.ink}
    words |= {"rotate": 90} if upright else {"verticalAlign": "top"}
    bars = 96 - high // 2  # pixels high
    return base(
        theme,
        dataset=dataset(columns),
        grid=[grid(58, 8, 12, 0, height=bars), grid(58, 8, 44 + bars, 0, height=bars)],
        xAxis=[
            across | {"gridIndex": 0, "axisLabel": {"show": False}},
            across | {"gridIndex": 1, "axisLabel": words}
            | {"name": "student samples, by class", "nameLocation": "middle", "nameGap": 28 + high}
            | {"nameTextStyle": {"fontSize": TEXT, "color": theme.ink}},
        ],
        yAxis=[
            axis(theme, "mass", nameGap=40, min=0, splitNumber=2, gridIndex=0),
            axis(theme, name, nameGap=40, splitNumber=2, gridIndex=1),
        ],
        series=series,
    )  # fmt: skip


def _bars(column: str, colour: str, *, below: bool) -> Option:
    return {
        "name": column,
        "type": "bar",
        "stack": "score" if below else "mass",
        "encode": {"x": "place", "y": column},
        "xAxisIndex": int(below),
        "yAxisIndex": int(below),
        "barMinWidth": 1.5,
        "barCategoryGap": "12%",
        "itemStyle": {"color": colour},
        "silent": True,
    }


def prediction_chart(
    epochs: Sequence[float],
    answers: Array,
    true: int,
    classes: Sequence[int],
    theme: Theme = LIGHT,
    *,
    last: float | None = None,
    at: float | None = None,
    names: ClassNames = NUMBERS,
) -> Option:
    """Return the class that the student answers for one sample, over the epochs.

    Args:
        epochs: of the pictures (k,).
        answers: predicted classes (k,).
        true: its own class, a dashed line.
        classes: all classes, ascending: the vertical axis.
        theme: of the page.
        last: where the horizontal axis ends.
        at: the time shown, marked by a line.
        names: of the classes.
    """
    right = np.asarray(answers) == true
    low, high = min(classes, default=0), max(classes, default=1)
    points = [
        {"value": [float(e), int(a) - low], "symbol": "circle" if ok else RING}
        for e, a, ok in zip(epochs, answers, right, strict=True)
    ]
    marks: list[Option] = [{"yAxis": true - low, "lineStyle": {"type": "dashed"}}]
    if at is not None:
        marks.append({"xAxis": at, "lineStyle": {"type": "solid"}})
    colour = palette.class_colour(true)
    wide = max(names.longest(classes) - 2, 0) * 7
    return base(
        theme,
        grid=grid(52 + wide, 12, 12, 48),
        xAxis=axis(theme, "epoch", min=0, max=last or "dataMax", axisLabel={"hideOverlap": True}),
        yAxis=axis(
            theme, "class answered", type="category", nameGap=28 + wide,
            data=[names.short(label) for label in range(low, high + 1)],
            axisLabel={"interval": max((high - low) // 9, 1) - 1}, splitLine={"show": True},
        ),
        series=[
            {
                "name": "answer",
                "type": "line",
                "step": "end",
                "data": points,
                "symbolSize": 8,
                "lineStyle": {"color": colour, "width": 2},
                "itemStyle": {"color": colour, "borderWidth": 2},
                "silent": True,
                "markLine": {
                    "silent": True,
                    "symbol": "none",
                    "label": {"show": False},
                    "lineStyle": {"color": theme.ink, "width": 1.5},
                    "data": marks,
                },
            }
        ],
    )  # fmt: skip
