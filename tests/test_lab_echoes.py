"""A widget that the page moves stays where it was moved to, whatever the browser still says."""

from __future__ import annotations

import pytest
from shown import shown
from streamlit.testing.v1 import AppTest


def script(*, safe: bool) -> None:
    import streamlit as st

    from lab.echoes import moved

    value = st.session_state.setdefault("value", 1)

    def take(chosen: int) -> None:
        st.session_state["value"] = chosen

    if safe:
        st.number_input("Field", step=1, **moved("field", value, taken=take))
    else:
        st.session_state["field-0"] = value
        heard = lambda: take(st.session_state["field-0"])  # noqa: E731
        st.number_input("Field", step=1, key="field-0", on_change=heard)
    st.button("Five", key="five", on_click=lambda: st.session_state.update(value=5))


@pytest.mark.parametrize(("safe", "after"), [(True, 5), (False, 1)])
def test_an_echo_moves_nothing_back(safe: bool, after: int) -> None:
    app = AppTest.from_function(script, kwargs={"safe": safe}).run()
    before = app._tree.get_widget_states()
    app.button(key="five").click().run()
    assert shown(app.number_input, "field").value == 5
    echo = app._run(widget_state=before)
    assert not echo.exception
    assert echo.session_state["value"] == shown(echo.number_input, "field").value == after


def test_a_choice_is_taken_and_the_widget_stays_the_same() -> None:
    app = AppTest.from_function(script, kwargs={"safe": True}).run()
    field = shown(app.number_input, "field")
    app = field.set_value(7).run()
    assert app.session_state["value"] == shown(app.number_input, "field").value == 7
    assert shown(app.number_input, "field").key == field.key
