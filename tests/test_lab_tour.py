"""The guided tour: its stops against the presets and a real run, its pictures, its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs
from made_up_run import write_run
from streamlit.testing.v1 import AppTest

import wcord
import wcord.training.launch
from lab import joined, palette
from lab.course import notebook_section, tour_stops
from lab.course.tour_stops import PHASES, STOPS, Stop
from lab.pictures import NAMES
from lab.reading.layouts import Frame
from wcord.runs import Run

APP = str(Path(__file__).parents[1] / "app.py")


def write_tour_run(folder: Path, stop: Stop, **more: Any) -> Path:
    """Write a made-up run that has the arms of a stop's preset."""
    experiment = wcord.load(stop.preset)
    arms = {
        arm: {term: settings.model_dump() for term, settings in terms.items()}
        for arm, terms in experiment.arms.items()
    }
    broken = experiment.pairing.broken
    return write_run(folder / tour_stops.run_name(stop), arms=arms, broken=broken, **more)


# ------------------------------------------------------------------------------------ the stops


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
def test_a_stop_names_what_there_is(stop: Stop) -> None:
    arms = wcord.load(stop.preset).arms
    assert set(stop.watched) <= set(stop.cured) <= set(arms)
    assert stop.watched[0] == stop.cured[0] and len(stop.cured) > len(stop.watched)
    assert 0 <= stop.right < len(stop.answers) == len(set(stop.answers))
    assert set(stop.curves) <= set(NAMES)
    assert len(notebook_section.markdown_of(stop.section)) > 100
    assert all(line == "$$" for line in stop.explanation.splitlines() if "$$" in line)
    assert tour_stops.experiment(stop).replace(
        {"probe": wcord.load(stop.preset).probe}
    ) == wcord.load(stop.preset)


@given(hs.integers(0, len(STOPS) - 1), hs.integers(0, 3), hs.integers(-24, 24))
def test_back_undoes_next_inside_of_the_tour(stop: int, phase: int, step: int) -> None:
    there = tour_stops.place(stop, phase, step)
    assert 0 <= there[0] < len(STOPS) and 0 <= there[1] < len(PHASES)
    if (there not in ((0, 0), (len(STOPS) - 1, len(PHASES) - 1))) or step == 0:
        assert tour_stops.place(*there, -step) == (stop, phase)


def test_the_answers_are_what_the_runs_do(tmp_path: Path) -> None:
    """A third of the way is enough for all three failures to show in a real run."""
    short = {"epochs": 9, "linear_probe": False, "teacher.epochs": 8}
    seen = {}
    for stop in STOPS[:3]:
        experiment = tour_stops.experiment(stop)
        arms = {arm: experiment.arms[arm] for arm in stop.cured}
        experiment = experiment.replace({**short, "arms": arms})
        run = wcord.distill(experiment, tmp_path / stop.key, progress=False)
        seen[stop.key] = [{arm: run.snapshot(s).values(arm) for arm in arms} for s in run.steps]
    first, last = seen["unpaired"][0], seen["unpaired"][-1]
    assert last["unpaired"]["plan_cost"] < 0.5 * first["unpaired"]["plan_cost"]
    assert last["unpaired"]["same_class_mass"] < 0.3 < 0.6 < last["cured"]["same_class_mass"]
    last = seen["collapse"][-1]
    assert last["collapse"]["plan_cost"] < 0.05
    assert last["collapse"]["same_class_mass"] == pytest.approx(0.1, abs=0.03)
    assert last["teacher fixed"]["plan_cost"] > 0.1
    last = seen["shrunk"][-1]
    assert last["shrunk"]["variance_ratio"] < 0.6 < 0.85 < last["debiased"]["variance_ratio"]
    assert last["shrunk"]["same_class_mass"] > 0.6


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
def test_what_to_look_for_holds_the_live_values(stop: Stop) -> None:
    now = {"plan_cost": 0.125, "same_class_mass": 0.37, "variance_ratio": 0.47}
    first = {"plan_cost": 0.9, "variance_ratio": 1.0, "true_partner_mass": 0.01}
    said = stop.look(first, now | {"true_partner_mass": 0.2})
    assert "37 %" in said and "nan" not in said
    assert stop.look({}, {})  # not measured: said so, no exception


def test_joined_lines_carry_the_plans_mass_in_the_teachers_colour() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 1, 1])
    plan = np.eye(4)[[0, 2, 1, 3]] / 4
    frame = Frame(rng.normal(size=(6, 2)), 4 * rng.normal(size=(6, 2)))  # of more samples
    option = joined.joined_chart(frame, plan, labels, palette.DARK)
    lines = option["series"][-1]["data"]
    sides = [table["source"].to_pandas()[["x", "y"]].to_numpy() for table in option["dataset"]]
    for side, points, sign in zip(sides, frame, (-1, 1), strict=True):
        np.testing.assert_allclose(side - side.mean(0), points[:4] - points[:4].mean(0))
        assert (sign * side[:, 0] > 0).all()  # teacher left, student right
    assert np.abs(np.concatenate(sides)[:, 1]).max() < option["yAxis"]["max"]
    assert np.abs(np.concatenate(sides)[:, 0]).max() < option["xAxis"]["max"]
    assert len(lines) == 4
    for line in lines:
        start, end = np.array(line["coords"])
        source = np.abs(sides[0] - start).sum(1).argmin()
        target = np.abs(sides[1] - end).sum(1).argmin()
        assert plan[source, target] > 0
        style = line["lineStyle"]
        assert style["color"] == palette.class_colour(int(labels[source]))
        assert (style["type"] == "solid") == (labels[source] == labels[target])
    assert len(option["dataset"][0]["source"]) == 4


# ------------------------------------------------------------------------------------ the page


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    return tmp_path


def page(**address: str) -> AppTest:
    """Open the tour, without any exception."""
    app = AppTest.from_file(APP, default_timeout=60).run()
    for name, value in address.items():
        app.query_params[name] = value
    app.switch_page("lab/pages/tour.py").run()
    assert not app.exception, app.exception
    return app


def rerun(app: AppTest) -> None:
    app.run()
    assert not app.exception, app.exception


def text(app: AppTest) -> str:
    return " ".join(element.value for element in app.markdown)


def place_of(app: AppTest) -> tuple[str, str]:
    """Return the stop and the phase whose signposts have a frame."""
    here = [
        str(button.key)
        for button in app.button
        if str(button.key).startswith(("stop-", "phase-")) and button.proto.type == "secondary"
    ]
    stop, phase = here
    return stop.removeprefix("stop-"), phase.removeprefix("phase-")


def test_next_and_back_go_through_every_phase_and_the_address_follows(folder: Path) -> None:
    for stop in {stop.preset: stop for stop in STOPS}.values():
        write_tour_run(folder, stop)
    app = page()
    seen = [place_of(app)]
    while not app.button(key="next").disabled:
        app.button(key="next").click()
        rerun(app)
        assert not app.error
        seen.append(place_of(app))
    assert len(seen) == len(set(seen)) == len(STOPS) * len(PHASES)
    assert app.query_params["stop"] in ("wrong-pairs", ["wrong-pairs"])
    again = page(stop="wrong-pairs", phase="cure")
    assert place_of(again) == seen[-1]
    again.button(key="back").click()
    rerun(again)
    assert place_of(again) == seen[-2]


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
def test_every_phase_shows_its_panels(folder: Path, stop: Stop) -> None:
    write_tour_run(folder, stop)
    counts = (0, 4, 4, len(stop.cured) + 2)  # two pictures, two curves; then a picture an arm
    for phase, count in zip(PHASES, counts, strict=True):
        app = page(stop=stop.key, phase=phase.lower())
        charts = app.get("echarts_chart")
        assert len(charts) == count and all(chart.proto.alt for chart in charts)
        assert ("**Look now.**" in text(app)) == (phase != "Predict")
        assert (stop.explanation.strip()[:40] in text(app)) == (phase in ("Explain", "Cure"))
        assert (stop.cure in text(app)) == (phase == "Cure")


def test_nothing_is_told_before_it_is_asked(folder: Path) -> None:
    write_tour_run(folder, STOPS[0])
    app = page(phase="watch")
    app.button(key="guess-unpaired-0").click()
    rerun(app)
    assert "what happens" not in text(app)
    app.button(key="next").click()
    rerun(app)
    assert "You predicted “it rises towards 1”; what happens: **it stays near chance.**" in text(
        app
    )


def test_the_stop_can_be_chosen_and_begins_with_its_question(folder: Path) -> None:
    app = page(stop="unpaired", phase="watch")
    app.button(key="stop-shrunk").click()
    rerun(app)
    assert place_of(app) == ("shrunk", "predict")
    app.button(key="phase-watch").click()
    rerun(app)
    assert app.query_params["phase"] in ("watch", ["watch"])


def test_a_stops_run_is_started_once_and_used_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def launch(experiment: wcord.Experiment, path: Path) -> Run:
        started.append((experiment, path))
        return Run(write_tour_run(folder, STOPS[0], upto=1, state="running"))

    monkeypatch.setattr(wcord.training.launch, "launch", launch)
    app = page(phase="watch")
    assert not app.get("echarts_chart")
    app.button(key="start-stop").click()
    rerun(app)
    assert started == [(tour_stops.experiment(STOPS[0]), folder / "tour-digits-unpaired")]
    assert len(app.get("echarts_chart")) == 4
    again = page(stop="same-cost", phase="watch")
    assert not [button for button in again.button if button.key == "start-stop"]
    assert len(again.get("echarts_chart")) == 4


def test_a_run_that_was_interrupted_is_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tour_run(folder, STOPS[0], upto=1, state="running")
    asked: list[str] = []
    monkeypatch.setattr(wcord.training.launch, "relaunch", lambda run: asked.append(run.name))
    app = page(phase="watch")
    app.button(key="resume-stop").click()
    rerun(app)
    assert asked == ["tour-digits-unpaired"]


def test_a_broken_run_and_a_nonsense_address_are_one_line(folder: Path) -> None:
    path = write_tour_run(folder, STOPS[0])
    (path / "snapshots" / "42.safetensors").write_bytes(b"half")
    (error,) = page(phase="watch").error
    assert "cannot be read" in error.value
    (path / "settings.yaml").write_text("arms: [")
    (error,) = page(phase="watch").error
    assert "page of runs" in error.value and "\n" not in error.value
    assert place_of(page(stop="../x", phase="\0")) == ("unpaired", "predict")


def test_failing_to_start_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(experiment: wcord.Experiment, path: Path) -> Run:
        raise ValueError("no space left\nand more")

    monkeypatch.setattr(wcord.training.launch, "launch", refuse)
    app = page(phase="watch")
    app.button(key="start-stop").click()
    rerun(app)
    assert [error.value for error in app.error] == ["no space left"]


def test_the_notebooks_section_opens(folder: Path) -> None:
    write_tour_run(folder, STOPS[1])
    app = page(stop="collapse", phase="explain")
    app.button(key="why").click()
    rerun(app)
    assert "A loss curve that falls to nothing" in text(app)
