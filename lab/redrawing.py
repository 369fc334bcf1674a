"""Drawing parts of a page anew: only where the whole page stands, else all of it.

A click stops the drawing that is under way. If only some parts were drawn after it, the rest of
the page would stay half drawn, and the parts would have no place to be written to.

A part that stands in a container, the sidebar say, leaves that container open when it is drawn
alone. Streamlit 1.67 may draw the whole page next in the same thread, which would then go into
that container, beside what it has already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import streamlit as st
from streamlit.delta_generator_singletons import context_dg_stack, get_default_dg_stack_value
from streamlit.errors import StreamlitAPIException

STANDS = "the whole page stands"


@contextmanager
def whole_page() -> Iterator[None]:
    """Draw the whole page within this block, from its top, whatever was drawn before."""
    context_dg_stack.set(get_default_dg_stack_value())
    st.session_state[STANDS] = False
    yield
    st.session_state[STANDS] = True


def redraw(scope: str | list[str]) -> None:
    """Draw anew what `st.rerun` calls `scope`; all where it does not stand (a callback).

    A click may be heard when its page has been left: then there is no such part any more.
    """
    if st.session_state.get(STANDS, True):
        with suppress(StreamlitAPIException):
            st.rerun(scope)
    st.rerun()
