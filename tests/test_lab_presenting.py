"""Lecture mode: one panel, its equation, its time, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock
from made_up_run import write_run
from shown import shown
from test_lab_pages import charts, control, folder, page, rerun

from lab import presenting, timeline
from lab.pictures import PANELS

__all__ = ["folder"]  # a fixture


@pytest.mark.parametrize("name", [*PANELS, "objective"])
def test_every_panel_can_be_presented_alone(folder: Path, name: str) -> None:
    write_run(folder / "made-up")
    app = page(present=name, step="14")
    assert set(charts(app)) == ({name} if name != "objective" else set())
    assert len(app.get("latex")) == 1
    assert not any(button.key == "start" for button in app.button)
    assert shown(app.select_slider, "slider").value == "14"


def test_type_is_larger_than_on_the_page(folder: Path) -> None:
    write_run(folder / "made-up")
    sizes = [
        charts(page(**address))["plan"]["xAxis"][0]["axisLabel"]["fontSize"]
        for address in ({}, {"present": "plan"})
    ]
    assert sizes[1] == presenting.SCALE * sizes[0]


def test_nonsense_is_the_page_as_ever(folder: Path) -> None:
    write_run(folder / "made-up")
    assert set(charts(page(present="../plan"))) == set(PANELS)


def test_keys_go_through_time_and_back_leads_home(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page(present="map")
    assert app.button(key="earlier").proto.shortcut == "left"
    assert app.button(key="later").proto.shortcut == "right"
    seen = []
    for key in ("earlier", "earlier", "later", "earlier", "earlier", "earlier", "later", "later"):
        app.button(key=key).click()
        rerun(app)
        rerun(app)  # a click redraws parts of the page only
        seen.append(shown(app.select_slider, "slider").value)
    assert seen == ["28", "14", "28", "14", "0", "0", "14", "28"]
    app.button(key="later").click()
    rerun(app)
    rerun(app)
    assert shown(app.select_slider, "slider").value == timeline.NEWEST
    app.button(key="back").click()
    rerun(app)
    assert set(charts(app)) == set(PANELS) and "present" not in app.query_params


def test_the_present_button_leads_there_and_another_panel_can_be_chosen(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page()
    app.button(key="present-scores").click()
    rerun(app)
    assert set(charts(app)) == {"scores"}
    shown(app.selectbox, "presented").set_value("losses")
    rerun(app)
    assert set(charts(app)) == {"losses"}


def test_a_picture_is_hidden_until_it_is_revealed(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page(present="plan")
    app.button(key="hide").click()
    rerun(app)
    assert not charts(app) and not app.get("latex") and not app.metric
    assert app.header[0].value == "What do you expect to see?"
    assert app.button(key="hide").label == "Reveal"
    app.button(key="hide").click()
    rerun(app)
    assert set(charts(app)) == {"plan"}


def test_the_pace_is_set_in_epochs_a_second(folder: Path) -> None:
    path = write_run(folder / "going", epochs=4, upto=2, state="running")
    with FileLock(path / "lock"):
        app = page(present="plan")
        slider = app.select_slider(key="pace-going")
        assert "2 epochs a second" in slider.options
        slider.set_value(0.5)
        rerun(app)
        assert control(path)["delay"] == pytest.approx(0.5 / 14)
