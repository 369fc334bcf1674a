"""Teacher and student samples joined by their plan, in the colours of the true classes.

The page's half of "same cost, different student"; its printed twin is `lab.figures.same_cost`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab import palette
from lab.charts import RING, class_colours
from lab.options import Option, base, dataset, grid, legend
from lab.palette import LIGHT, Theme
from lab.reading.arrange import heaviest
from lab.reading.layouts import Frame

Array = NDArray[Any]

MOST = 220  # lines


def joined_chart(frame: Frame, plan: Array, labels: Array, theme: Theme = LIGHT) -> Option:
    """Return teacher points left, student points right, and the plan's heaviest entries as lines.

    Args:
        frame: places (m, 2) of both sides; the first n of them are the plan's samples.
        plan: masses (n, n).
        labels: true classes (n,); a line has its teacher sample's colour, and is dashed where it
            ends in another class.
        theme: of the page.
    """
    n = len(plan)
    points = [np.nan_to_num(side[:n]) for side in frame]
    # Each side stands in the middle of its half; both keep one scale, so that spread compares.
    points = [side - (side.min(axis=0) + side.max(axis=0)) / 2 for side in points]
    across, up = 1.08 * np.maximum(np.abs(np.concatenate(points)).max(axis=0), 1e-6)
    sides = [points[0] - [across, 0.0], points[1] + np.array([across, 0.0])]
    lines = heaviest(plan, MOST)
    data = []
    for i, j, mass in zip(lines.rows, lines.columns, lines.mass, strict=True):
        data.append(
            {
                "coords": [sides[0][i].tolist(), sides[1][j].tolist()],
                "lineStyle": {
                    "color": palette.class_colour(int(labels[i])),
                    "type": "solid" if labels[i] == labels[j] else "dashed",
                    "width": 0.8 + 2.2 * min(float(mass) * n, 1.0),
                    "opacity": 0.25 + 0.6 * min(float(mass) * n, 1.0),
                },
            }
        )
    clouds = [
        {
            "name": name,
            "type": "scatter",
            "datasetIndex": place,
            "encode": {"x": "x", "y": "y"},
            "symbol": RING if name == "teacher" else "diamond",
            "symbolSize": 9,
            "silent": True,
            "z": 4,
        }
        for place, name in enumerate(("teacher", "student"))
    ]
    plain = {"type": "value", "show": False}
    return base(
        theme,
        dataset=[dataset({"x": side[:, 0], "y": side[:, 1], "class": labels}) for side in sides],
        legend=legend(
            theme,
            data=[
                {"name": "teacher", "icon": RING, "itemStyle": {"color": theme.ink}},
                {"name": "student", "icon": "diamond", "itemStyle": {"color": theme.ink}},
            ],
            selectedMode=False,
        ),
        grid=grid(4, 4, 30, 4, show=True, borderColor=theme.faint),
        xAxis=plain | {"min": -2 * float(across), "max": 2 * float(across)},
        yAxis=plain | {"min": -float(up), "max": float(up)},
        visualMap=class_colours(labels),
        series=[
            *clouds,
            {
                "name": "mass moved",
                "type": "lines",
                "coordinateSystem": "cartesian2d",
                "data": data,
                "silent": True,
                "symbol": ["none", "none"],
            },
        ],
    )
