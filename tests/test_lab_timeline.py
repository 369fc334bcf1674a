"""The step slider, play and follow: what they show, and that nothing moves them but people."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from made_up_run import write_run
from shown import shown
from streamlit.testing.v1 import AppTest

from lab import timeline


def small_page(paths: list[str]) -> None:
    """A page of nothing but time."""
    from pathlib import Path

    import streamlit as st

    from lab import timeline
    from lab.reading.watch import Watch

    watches = [Watch(Path(path)) for path in paths]

    def pictures() -> None:
        st.text(" ".join(str(timeline.shown(watch, *watches)) for watch in watches))

    timeline.controls(*watches, redraws=("pictures",))
    st.fragment(pictures, key="pictures")()


def opened(*paths: Path, **address: str) -> AppTest:
    app = AppTest.from_function(small_page, args=([str(path) for path in paths],))
    app.query_params.update(address)
    return again(app)


def again(app: AppTest) -> AppTest:
    """Run the whole page (a click redraws parts of it only)."""
    for _ in range(2):
        app.run(timeout=20)
        assert not app.exception, app.exception
    return app


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", epochs=6, upto=3, state="running")


def test_without_an_address_the_newest_is_shown_and_followed(run: Path) -> None:
    app = opened(run)
    assert (app.text[0].value, app.select_slider[0].value) == ("42", timeline.NEWEST)
    write_run(run, epochs=6, upto=4, state="running")
    assert again(app).text[0].value == "56"


def test_the_slider_keeps_its_place_while_training_goes_on(run: Path) -> None:
    app = opened(run)
    app.select_slider[0].set_value("14")
    assert again(app).text[0].value == "14"
    write_run(run, epochs=6, upto=5, state="running")
    assert again(app).text[0].value == "14"
    assert app.select_slider[0].value == "14"
    assert app.select_slider[0].options == ["0", "14", "28", "42", "56", "70", timeline.NEWEST]
    app.button(key="follow").click()
    assert again(app).text[0].value == "70"


@pytest.mark.parametrize(
    ("asked", "shown"),
    [("28", "28"), ("30", "28"), ("99999", "42"), ("-3", "42"), ("x", "42"), ("٣", "42")],
)
def test_an_address_leads_to_the_last_picture_up_to_it(run: Path, asked: str, shown: str) -> None:
    assert opened(run, step=asked).text[0].value == shown


def test_a_picture_that_is_thinned_away_leaves_the_one_before(run: Path) -> None:
    app = opened(run, step="28")
    (run / "snapshots" / "28.safetensors").unlink()
    assert again(app).text[0].value == "14"


def test_two_runs_share_one_time(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    for step in (14, 42):
        (other / "snapshots" / f"{step}.safetensors").unlink()
    app = opened(run, other)
    assert app.text[0].value == "42 28"
    app.select_slider[0].set_value("14")
    assert again(app).text[0].value == "14 0"


def test_playing_goes_through_all_pictures_and_ends_at_the_newest(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(timeline, "FRAME", 2.0)
    app = opened(run)
    shown(app.toggle, "play").set_value(True)
    seen = []
    for _ in range(3):
        seen.append(again(app).text[0].value)
        assert app.select_slider[0].value == seen[-1]  # the thumb moves along
        now[0] += 2.0
    assert seen == ["0", "14", "28"]
    again(app)
    assert shown(app.toggle, "play").value is False
    assert (app.text[0].value, app.select_slider[0].value) == ("42", timeline.NEWEST)


def test_playing_starts_where_the_slider_stands_and_follow_ends_it(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    app = opened(run, step="14")
    shown(app.toggle, "play").set_value(True)
    assert again(app).text[0].value == "14"
    app.select_slider[0].set_value("28")
    assert again(app).text[0].value == "28" and shown(app.toggle, "play").value
    app.button(key="follow").click()
    assert again(app).text[0].value == "42" and not shown(app.toggle, "play").value


def test_a_run_without_pictures_has_no_time_yet(run: Path) -> None:
    shutil.rmtree(run / "snapshots")
    app = opened(run, step="14")
    assert app.text[0].value == "None" and app.select_slider[0].disabled
