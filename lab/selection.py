"""Which samples are selected: the same in every picture, and part of the address.

A sample is known by its place in the snapshots of its run, the same at every step. The address
names them (`?samples=3,17`); clicks and brushes in a picture only change it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab import address
from lab.echoes import moved
from lab.reading.arrange import class_order, spread_evenly
from lab.redrawing import redraw

Array = NDArray[Any]
Event = dict[str, Any]

KEY = "samples"
MOST = 100  # samples that are selected at once; of more, an even choice
CHARTS = ("plan", "scores", "map")
SIDES = ("teacher", "student")  # series of the map


def chosen(count: int) -> tuple[int, ...]:
    """Return the samples that the address names, of `count` there are; nonsense is passed over."""
    said = re.findall(r"(?<![^,])[0-9]{1,9}(?![^,])", address.read(KEY))
    return tuple(dict.fromkeys(int(part) for part in said if int(part) < count))[:MOST]


def choose(samples: Sequence[int]) -> None:
    """Select samples; none clears the selection."""
    kept = [int(samples[place]) for place in spread_evenly(len(samples), MOST)]
    address.write(KEY, ",".join(map(str, kept)))


def in_map(event: Event) -> list[int]:
    """Return the samples of points that were clicked or brushed, on either side."""
    groups = [g["data_indices"] for g in event["selected"] if g["series_id"] in SIDES]
    return sorted({place for group in groups for place in group})


def in_plan(event: Event, labels: Array) -> list[int]:
    """Return the samples of rows that were clicked; rows are sorted by class."""
    order = class_order(labels)
    return [int(order[row]) for group in event["selected"] for row in group["data_indices"]]


def in_scores(event: Event, scores: Array) -> list[int]:
    """Return the samples whose own score was clicked or lies in the range brushed."""
    own = np.diag(scores)
    ranges = [area["coord_range"] for area in event["areas"] if area["brush_type"] == "lineX"]
    if ranges:
        inside = [(own >= low) & (own <= high) for low, high in ranges]
        return [int(sample) for sample in np.flatnonzero(np.any(inside, axis=0))]
    groups = [g["data_indices"] for g in event["selected"] if g["series_id"] == "samples"]
    return sorted({sample for group in groups for sample in group})


def key(chart: str) -> str:
    """Return the key of a chart: a new one once what was picked in it no longer holds."""
    return f"{chart}-{st.session_state.get(f'{chart}-renewed', 0)}"


def renew(charts: Sequence[str]) -> None:
    """Forget what was picked in charts, where anything was."""
    for chart in charts:
        held = st.session_state.get(key(chart)) or {"selection": {"selected": [], "areas": []}}
        if held["selection"]["selected"] or held["selection"]["areas"]:
            st.session_state[f"{chart}-renewed"] = st.session_state.get(f"{chart}-renewed", 0) + 1


def taken(chart: str, read: Callable[[Event], Sequence[int]], scope: str | list[str]) -> None:
    """Take over what was picked in a chart, and redraw (a callback)."""
    choose(read(st.session_state[key(chart)]["selection"]))
    renew([other for other in CHARTS if other != chart])
    redraw(scope)


def controls(count: int, scope: str | list[str]) -> None:
    """Show the selection in words, and as a number for those who use the keyboard."""
    samples = chosen(count)

    def take(number: int | None) -> None:
        choose([] if number is None else [number])
        renew(CHARTS)
        redraw(scope)

    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.number_input(
            "Sample",
            min_value=0,
            max_value=count - 1,
            value=None,
            step=1,
            placeholder=f"Sample, 0 to {count - 1}",
            label_visibility="collapsed",
            width=230,
            **moved("sample", samples[0] if samples else None, taken=take),
        )
        if samples:
            more = len(samples) - 1
            others = f" and {more} other{'s' * (more > 1)}" if more else ""
            st.markdown(f"Sample **{samples[0]}**{others} selected", width="content")
            st.button("Clear", key="clear", icon=":material/close:", on_click=take, args=(None,))
        else:
            st.caption(
                "Click a row of the plan, a tick under the scores or a point of the map, or draw a "
                "region with the brush: the same samples light up everywhere.",
                width="stretch",
            )
