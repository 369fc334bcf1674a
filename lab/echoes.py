"""Widgets that the page itself moves, safe from echoes.

    st.select_slider("Step", steps, **moved("step", "149", taken=ask))

With every tick of a part of the page the browser sends what each widget held when it last heard
of it. Where the page has meanwhile moved one, that reads as if somebody had moved it back. So a
widget that is moved becomes a new one, and what is still said of the old one changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st


def moved(name: str, value: Any, taken: Callable[[Any], object]) -> dict[str, Any]:
    """Return the key and the callback of a widget that shall hold `value`.

    Args:
        name: of the widget; its key is a new one whenever it held another value than this.
        value: what it shall hold.
        taken: is given what somebody chooses in it (a callback).
    """
    count = f"{name} moved"
    key = f"{name}-{st.session_state.setdefault(count, 0)}"
    if key in st.session_state and st.session_state[key] != value:
        st.session_state[count] += 1
        key = f"{name}-{st.session_state[count]}"
    st.session_state.setdefault(key, value)

    def heard() -> None:
        if key == f"{name}-{st.session_state[count]}":
            taken(st.session_state[key])

    return {"key": key, "on_change": heard}
