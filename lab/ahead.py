"""What a browser can load while the server still imports: both take a second, at the first visit.

with ahead.of_the_page():
    page.run()
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

UNSEEN = "<style>.st-key-ahead {display: none}</style>"


@contextmanager
def of_the_page() -> Iterator[None]:
    """Let the browser load its code for charts while the page within this block is drawn.

    It does so for the first chart it is sent, here an unseen one. Other kinds of elements, sent
    along, gave nothing more: serving their code holds up the imports.
    """
    place = st.empty()
    if "pandas" not in sys.modules:  # the first visit
        with place.container(key="ahead"):
            st.html(UNSEEN)
            st.echarts_chart({})
    yield
    place.empty()
