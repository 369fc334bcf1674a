"""The whole page is drawn from its top, whatever part was drawn before it."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def script() -> None:
    import streamlit as st

    from lab.redrawing import whole_page

    st.sidebar.__enter__()  # as a part in the sidebar leaves it to what its thread draws next
    st.caption("astray")
    with whole_page():
        st.caption("page")
        st.sidebar.caption("beside it")


def test_a_page_goes_to_its_own_place_after_a_part_in_the_sidebar() -> None:
    app = AppTest.from_function(script).run()
    assert not app.exception
    assert [caption.value for caption in app.main.caption] == ["page"]
    assert [caption.value for caption in app.sidebar.caption] == ["astray", "beside it"]
