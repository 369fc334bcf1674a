"""The dashboard: its pages, in the order of the menu."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import streamlit as st

from .control import page_parts

ICON = Path(__file__).with_name("icon.svg")
PAGES = (
    ("live", "Live", "monitoring"),
    ("compare", "Compare", "compare"),
    ("laboratory", "Laboratory", "science"),
    ("playground", "Playground", "scatter_plot"),
    ("tour", "Tour", "school"),
    ("runs", "Runs", "list"),
)


def show() -> None:
    """Show the page that the address names; without a name, the first one."""
    st.set_page_config(page_title="WCoRD lab", page_icon=str(ICON), layout="wide")
    pages = {
        name: st.Page(
            _page(name),
            title=title,
            icon=f":material/{icon}:",
            url_path=name,
            default=name == PAGES[0][0],
        )
        for name, title, icon in PAGES
    }
    st.session_state[page_parts.PAGES] = pages
    st.navigation(list(pages.values()), position="top").run()


def _page(name: str) -> Callable[[], None]:
    """Return the function that draws a page; its module is imported when it is shown first."""

    def draw() -> None:
        import_module(f".pages.{name}", __package__).page()

    return draw
