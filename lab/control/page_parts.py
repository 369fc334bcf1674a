"""What every page shares: its margins, what went wrong, titles."""

from __future__ import annotations

import streamlit as st
from streamlit.navigation.page import Page

from ..words import literal

PAGES = "pages"  # where the session keeps the pages, by their names

# The theme has no setting for the margins beside the page, which pictures need more; a narrow
# window has none to spare. Streamlit fades what it draws again for longer than a moment; a view is
# whole all the time.
WIDE = """<style>
[data-testid=stMainBlockContainer] {padding: 4.1rem 1.4rem 1rem}
@media (max-width: 640px) {[data-testid=stMainBlockContainer] {padding: 4.1rem .6rem 1rem}}
[data-stale=true]:has(.stBidiComponent) {opacity: 1 !important}
</style>"""


def page_named(name: str) -> Page:
    """Return a page of the dashboard, for a link or a switch to it."""
    return st.session_state[PAGES][name]


def error(problem: object) -> None:
    """Show what went wrong; names in it are text."""
    st.error(literal.markdown(problem))


def begin() -> None:
    """Begin a page: its margins, and what went wrong when it was drawn last."""
    st.html(WIDE)
    if trouble := st.session_state.pop("trouble", None):
        error(trouble)


def redraw_needed() -> bool:
    """Return whether the whole page must be drawn: a dialog or an error message waits."""
    return "opened" in st.session_state or "trouble" in st.session_state


def title(name: str, note: str, what: str) -> None:
    """Show a name, a short note, and what it is behind a question mark; all are text."""
    name, note, what = map(literal.markdown, (name, note, what))
    st.markdown(f"**{name}** · {note}" if note else f"**{name}**", help=what)
