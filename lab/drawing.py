"""The two clouds of the playground: chosen, moved, clicked into the picture or typed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from lab.reading.shapes import SHAPES, SIDE, clickable, moved, shape

Array = NDArray[Any]

CLOUDS = ("source", "target")
DRAWN = "drawn"
MOST = 128  # points of a cloud
FIRST = {"source": "one blob", "target": "ring"}
MOVES = {  # label, smallest, largest, neutral, at first for the target
    "right": ("right", -2.5, 2.5, 0.0, 0.8),
    "up": ("up", -2.5, 2.5, 0.0, 0.4),
    "size": ("size", 0.2, 2.0, 1.0, 1.0),
    "turn": ("turn, °", -180.0, 180.0, 0.0, 0.0),
}
NET = clickable()


def cloud_controls(cloud: str, *, flat: bool) -> None:
    """Show the choices of one cloud: its shape, and how it is moved, scaled and turned."""
    st.selectbox(
        f"{cloud.capitalize()}",
        [*SHAPES, DRAWN],
        index=list(SHAPES).index(FIRST[cloud]),
        key=f"{cloud}-shape",
        bind="query-params",
    )
    with st.expander(f"Move the {cloud}", expanded=cloud == "target"):
        for move, (label, low, high, neutral, at_first) in MOVES.items():
            st.slider(
                label,
                low,
                high,
                at_first if cloud == "target" else neutral,
                step=5.0 if move == "turn" else 0.05,
                key=f"{cloud}-{move}",
                disabled=flat and move == "up",
                bind="query-params",
            )


def points_of(cloud: str, count: int, seed: int, *, flat: bool) -> Array:
    """Return the points (n, 2) of a cloud as its controls have it.

    On a line all lie at height 0, from left to right, so that a plan reads as a band.
    """
    chosen = st.session_state[f"{cloud}-shape"]
    stored = st.session_state.get(f"{cloud}-points")
    if chosen == DRAWN and stored is not None:
        base = np.array(stored, dtype=float)
    else:
        base = shape(FIRST[cloud] if chosen == DRAWN else chosen, count, seed + (cloud == "target"))
    points = moved(base, *(float(st.session_state[f"{cloud}-{move}"]) for move in MOVES))
    if flat:
        points[:, 1] = 0.0
        points = points[np.argsort(points[:, 0], kind="stable")]
    return points


def keep(cloud: str, points: Array) -> None:
    """Take points (n, 2) as what was drawn: they stay, and the cloud is no longer moved.

    Called from callbacks only, where choices may still be changed.
    """
    points = np.asarray(points, dtype=float)
    points = points[np.isfinite(points).all(axis=1)][:MOST]
    if not len(points):
        st.session_state["trouble"] = f"the {cloud} needs at least one point"
        return
    st.session_state[f"{cloud}-points"] = points.round(3).tolist()
    st.session_state[f"{cloud}-shape"] = DRAWN
    for move, (_, _, _, neutral, _) in MOVES.items():
        st.session_state[f"{cloud}-{move}"] = neutral
    st.session_state["edits"] = edits() + 1


def edits() -> int:
    """Return how often something was drawn: part of the keys of what shows the points."""
    return int(st.session_state.get("edits", 0))


def clicked(selected: list[dict[str, Any]], clouds: dict[str, Array], adding: str) -> None:
    """Add a point where the picture was clicked, or remove the point that was clicked.

    Args:
        selected: the chart's selection; series "net" is the empty plane.
        clouds: the points shown, by cloud.
        adding: the cloud that a click on the empty plane adds to.
    """
    for group in selected:
        for index in group["data_indices"]:
            name = group["series_id"]
            if name == "net" and adding in clouds:
                keep(adding, np.concatenate([clouds[adding], NET[index : index + 1]]))
            elif name in clouds and index < len(clouds[name]):
                keep(name, np.delete(clouds[name], index, axis=0))


def table(cloud: str, points: Array, *, flat: bool) -> None:
    """Show the points of a cloud as a table that can be edited."""
    key = f"table-{cloud}-{edits()}"
    shown = pd.DataFrame(points, columns=["x", "y"]).round(3)
    edited = st.data_editor(
        shown[["x"]] if flat else shown,
        key=key,
        num_rows="dynamic",
        hide_index=True,
        height=260,
        column_config={
            axis: st.column_config.NumberColumn(min_value=-SIDE, max_value=SIDE, format="%.2f")
            for axis in ("x", "y")
        },
        alt=f"Coordinates of the {cloud}'s points",
    )
    st.button(
        f"Take the {cloud} from this table",
        key=f"take-{cloud}",
        on_click=lambda: keep(cloud, from_table(edited)),
    )


def from_table(edited: pd.DataFrame) -> Array:
    """Return the points (n, 2) of an edited table; rows left empty are dropped."""
    both = edited.reindex(columns=["x", "y"])
    if "y" not in edited:
        both["y"] = 0.0
    return both.dropna().to_numpy(dtype=float)
