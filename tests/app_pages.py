"""Pages of the app under test: opened by Streamlit's tester, with a stand-in for the view."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import RerunData
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from lab.viewer.frames import Part, unpack

ROOT = Path(__file__).parents[1]
APP = str(ROOT / "app.py")
SPEAK = "speak"  # key of the button by which the stand-in speaks


class Canvas:
    """Stands in for the view in a browser: keeps what it is sent, says what it is told to say.

    It speaks by a button, so that a page hears it as it hears the view: first the callback runs,
    then only the fragment that the view stands in.
    """

    def __init__(self) -> None:
        self.packets: list[list[Part]] = []
        self.messages: list[dict[str, Any]] = []
        self.number = 0
        self.fragment: str | None = None

    def __call__(self, *, key: str, data: bytes, on_message_change: Callable[[], None]) -> None:
        """Take a packet, as the component does."""
        self.packets.append(unpack(data)[1])
        self.fragment = ThreadState.get().fragment_id
        st.button("Speak", key=SPEAK, on_click=self._speak, args=(key, on_message_change))

    def _speak(self, key: str, heard: Callable[[], None]) -> None:
        self.number += 1
        said = {"number": self.number, "messages": self.messages}
        self.messages = []
        st.session_state[key] = SimpleNamespace(message=said)
        heard()

    def last(self, kind: str) -> list[Part]:
        """Return the parts of one kind in the last packet."""
        return [part for part in self.packets[-1] if part.kind == kind] if self.packets else []

    def all(self, kind: str) -> list[Part]:
        """Return the parts of one kind in all packets."""
        return [part for packet in self.packets for part in packet if part.kind == kind]

    @property
    def scene(self) -> dict[str, Any]:
        """The scene that the page shows."""
        return dict(self.last("setup")[0].about["scene"])

    def say(self, app: AppTest, kind: str, **message: Any) -> None:
        """Say something to the page."""
        self.messages.append({"kind": kind, **message})
        app.button(key=SPEAK).click()
        with pytest.MonkeyPatch.context() as patch:
            of_fragment = partial(RerunData, fragment_id=self.fragment)
            patch.setattr("streamlit.testing.v1.local_script_runner.RerunData", of_fragment)
            rerun(app)


def open_page(name: str, **address: str) -> AppTest:
    """Open a page with an address, without any exception."""
    app = AppTest.from_file(APP, default_timeout=60)
    for key, value in address.items():
        app.query_params[key] = value
    app._page_hash = calc_hash(name)  # of a page that is a function, as Streamlit makes it
    rerun(app)
    return app


def rerun(app: AppTest) -> None:
    """Run a page again, without any exception."""
    app.run()
    assert not app.exception, app.exception


def text(app: AppTest) -> str:
    """Return all that a page says in Markdown."""
    return " ".join(element.value for element in app.markdown)


def in_address(app: AppTest, name: str) -> str:
    """Return what the address says of a name, "" where it says nothing."""
    value: Any = app.query_params.get(name, "")
    return str(value[-1] if isinstance(value, list) else value)


def one_error(app: AppTest, *words: str) -> None:
    """Check that a page says what is wrong once, in one line that has all these words."""
    (error,) = app.error
    assert len(error.value.splitlines()) == 1
    assert all(word in error.value for word in words), error.value
