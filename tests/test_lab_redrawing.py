"""The whole page is drawn from its top; parts are drawn alone only where they stand."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def after_a_part_in_the_sidebar() -> None:
    import streamlit as st

    from lab.redrawing import whole_page

    st.sidebar.__enter__()  # as a part in the sidebar leaves it to what its thread draws next
    st.caption("astray")
    with whole_page():
        st.caption("page")
        st.sidebar.caption("beside it")


def test_a_page_goes_to_its_own_place_after_a_part_in_the_sidebar() -> None:
    app = AppTest.from_function(after_a_part_in_the_sidebar).run()
    assert not app.exception
    assert [caption.value for caption in app.main.caption] == ["page"]
    assert [caption.value for caption in app.sidebar.caption] == ["astray", "beside it"]


def after_its_page_was_left() -> None:
    import streamlit as st

    from lab.redrawing import redraw, whole_page

    with whole_page():
        st.button("Go", key="go", on_click=redraw, args=(["pictures"],))
        st.caption("page")


def test_a_click_heard_after_its_page_was_left_draws_the_page() -> None:
    app = AppTest.from_function(after_its_page_was_left).run()
    app.button(key="go").click().run()
    assert not app.exception
    assert [caption.value for caption in app.main.caption] == ["page"]
