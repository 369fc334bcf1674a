"""Scenes in the session and in the address: a page keeps one, the address leads back to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from ..viewer.scene import Scene, from_address, to_address

PARTS = ("step", "samples", "present", "loss", "measure")


def value_of(name: str) -> str:
    """Return the value of a name in the address, "" where it has none."""
    return st.query_params.get(name, "")


def scene_of(page: str, first: Callable[[], Scene]) -> Scene:
    """Return the scene that a page keeps: at first as the page makes it, changed by the address.

    The address counts when it is another than the one that the page has written: a link was
    followed.
    """
    given = st.query_params.to_dict()
    kept: dict[str, Any] = st.session_state.setdefault(f"scene of {page}", {})
    if not kept or {key: given.get(key, "") for key in PARTS} != kept["address"]:
        kept["scene"] = (kept.get("scene") or first()) | from_address(given)
        kept["address"] = {key: given.get(key, "") for key in PARTS}
    return kept["scene"]


def run_before(page: str) -> str:
    """Return the run that a page has shown in this session, "" where it has shown none."""
    kept = st.session_state.get(f"scene of {page}") or {}
    return str(kept["scene"]["sides"][0][0]) if kept.get("scene") else ""


def keep(scene: Scene, change: Mapping[str, Any]) -> bool:
    """Keep a scene that the view reports, and write it into the address (a callback).

    A report of a view that has not yet taken the last change by the page is out of date: nothing is
    kept then, and False is returned.
    """
    if change.get("moves", 0) != scene.get("moves", 0):
        return False
    scene |= {
        key: change[key] for key in ("sides", "step", "selected", "present", "loss", "measure")
    }
    write(scene)
    return True


def write(scene: Scene) -> None:
    """Write a scene that a page keeps into the address."""
    parts = to_address(scene)
    for key in PARTS:
        if value := parts.get(key, ""):
            st.query_params[key] = value
        else:
            st.query_params.pop(key, None)
    for kept in st.session_state:
        if str(kept).startswith("scene of ") and st.session_state[kept].get("scene") is scene:
            st.session_state[kept]["address"] = {key: parts.get(key, "") for key in PARTS}
