"""What all ECharts options share: data, readable type, quiet axes, places in pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lab.palette import Theme

Option = dict[str, Any]

TEXT = 14  # smallest type on a projected page


def base(theme: Theme, **more: Any) -> Option:
    """Return what all charts share: no entry animation, readable type."""
    return {"animation": False, "textStyle": {"fontSize": TEXT, "color": theme.ink}} | more


def dataset(columns: Mapping[str, Any] | pd.DataFrame) -> Option:
    """Return columns (k,) by name as a chart's data set; NaN is a gap.

    As an Arrow table: Streamlit sends it as it is, and takes 1 ms to make one of a data frame.
    """
    arrays = {
        name: pa.array(np.asarray(column), from_pandas=True) for name, column in columns.items()
    }
    return {"source": pa.table(arrays)}


def grid(left: int, right: int, top: int, bottom: int, **more: Any) -> Option:
    """Return the place of the plot in pixels; nothing else shrinks it."""
    edges = {"left": left, "right": right, "top": top, "bottom": bottom}
    return edges | {"containLabel": False, "outerBoundsMode": "none"} | more


def axis(theme: Theme, name: str = "", **more: Any) -> Option:
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


def legend(theme: Theme, **more: Any) -> Option:
    return {
        "top": 0,
        "itemGap": 12,
        "itemWidth": 16,
        "textStyle": {"fontSize": TEXT, "color": theme.ink},
    } | more


# What is selected is drawn by series of its own, the same in every picture of a page.
CLICKABLE: Option = {"selectedMode": "single", "select": {"disabled": True}, "cursor": "pointer"}


def brushes(kind: str, theme: Theme) -> Option:
    """Return the parts of an option that let people draw a region: "rect" or "lineX"."""
    words = {"rect": "Draw a box round points", "lineX": "Draw a range", "clear": "Clear"}
    tools = {"type": [kind, "clear"], "title": words, "iconStyle": {"borderColor": theme.ink}}
    axes: Option = {"xAxisIndex": 0} | ({"yAxisIndex": 0} if kind == "rect" else {})
    looks: Option = {"outOfBrush": {}, "brushMode": "single", "transformable": False}
    return {
        "brush": axes | looks,
        "toolbox": {
            "left": 0,
            "bottom": 0,
            "padding": 2,
            "itemSize": 16,
            "feature": {"brush": tools},
        },
    }


_SIZES = {
    "fontSize", "symbolSize", "width", "itemWidth", "itemHeight", "itemSize", "itemGap", "nameGap",
    "margin", "left", "right", "top", "bottom", "borderWidth", "textBorderWidth", "symbolOffset",
}  # fmt: skip


def enlarged(option: Option, scale: float) -> Option:
    """Return an option with type, lines, symbols and margins `scale` times as large."""

    def grown(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {inner: grown(inner, part) for inner, part in value.items()}
        if isinstance(value, list):
            return [grown(key if key in _SIZES else "", part) for part in value]
        is_size = key in _SIZES and isinstance(value, (int, float)) and not isinstance(value, bool)
        return value * scale if is_size else value

    return {key: grown(key, part) for key, part in option.items()}
