"""Choices that are part of the page's address, and yet keep still while a page ticks.

A page opened with `?step=149` begins there. From then on the session remembers, and the address
only mirrors it: what ticks may carry an address that is a moment old.
"""

from __future__ import annotations

import streamlit as st


def read(name: str) -> str:
    """Return a choice: what the session remembers, at first what the address says; else ""."""
    return str(st.session_state.setdefault(_key(name), st.query_params.get(name, "")))


def write(name: str, value: str) -> None:
    """Remember a choice and put it into the address; "" takes it out."""
    st.session_state[_key(name)] = value
    show(name)


def show(name: str) -> None:
    """Bring the address up to what is remembered; another page may have left it without."""
    if value := read(name):
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)


def forget(*names: str) -> None:
    """Let choices be read from the address again."""
    for name in names:
        st.session_state.pop(_key(name), None)


def _key(name: str) -> str:
    return f"address of {name}"
