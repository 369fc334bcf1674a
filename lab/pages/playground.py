"""The transport playground: two clouds, a plan between them, a critic; no training of networks.

The clouds are drawn by hand, or are the batch of a run: `?run=NAME&arm=ARM&step=STEP`.
"""

from __future__ import annotations

import streamlit as st

from ..control import playground_state
from ..control.page_parts import begin
from ..viewer import in_streamlit

KEY = "playground-view"


def page() -> None:
    """Draw the page: the view, and its answers."""
    begin()
    view()


@st.fragment
def view() -> None:
    """Show the view, and answer its questions."""
    kept = playground_state.kept()
    first = not in_streamlit.feed_of(KEY).number
    parts = playground_state.first_parts(kept) if first else playground_state.answers(kept)
    in_streamlit.show(
        KEY,
        playground_state.for_the_view(kept),
        {"ask": True},
        lambda message: playground_state.take_message(kept, message),
        parts,
    )
