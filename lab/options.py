"""What all ECharts options share: readable type, quiet axes, places in pixels."""

from __future__ import annotations

from typing import Any

from lab.palette import Theme

Option = dict[str, Any]

TEXT = 14  # smallest type on a projected page


def base(theme: Theme, **more: Any) -> Option:
    """Return what all charts share: no entry animation, readable type."""
    return {"animation": False, "textStyle": {"fontSize": TEXT, "color": theme.ink}} | more


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
