"""The form that starts a run: what was chosen is what is launched, what is wrong is one line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from app_pages import in_address, rerun
from made_up_run import write_run
from streamlit.testing.v1 import AppTest

import wcord
import wcord.training.launch
from lab.control import run_time, start_form, warm_up

PRESET = "digits-compression"


def script() -> None:
    from lab.control import page_parts, start_form

    page_parts.begin()
    start_form.form()


def opened() -> AppTest:
    """Open the form, without any exception."""
    app = AppTest.from_function(script, default_timeout=60)
    rerun(app)
    return app


@pytest.fixture
def started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[wcord.Experiment]:
    """The experiments that are launched; none is trained."""
    experiments: list[wcord.Experiment] = []

    def launch(experiment: wcord.Experiment, path: Path | None = None) -> wcord.Run:
        experiments.append(experiment)
        return wcord.Run(write_run(folder / "started", upto=0, state="running"))

    monkeypatch.setattr(wcord.training.launch, "launch", launch)
    return experiments


def test_start_launches_what_was_chosen(started: list[wcord.Experiment]) -> None:
    app = opened()
    assert any("440 steps" in caption.value for caption in app.caption)
    app.number_input(key=f"weight-{PRESET}-λ1 · GCKT").set_value(2.5)
    app.number_input(key=f"epochs-{PRESET}").set_value(7)
    app.number_input(key=f"seed-{PRESET}").set_value(3)
    app.get_by_key(f"arms-{PRESET}").set_value(["plain", "wcord"])
    rerun(app)
    app.button(key="start").click()
    rerun(app)
    (experiment,) = started
    assert list(experiment.arms) == ["plain", "wcord"]
    assert (experiment.epochs, experiment.seed) == (7, 3)
    assert experiment.arms["wcord"]["gckt"].weight == 2.5
    assert experiment.probe.every == 1 and experiment.probe.losses >= 4  # it is slowed to be seen
    assert in_address(app, "run") == "started"
    assert app.session_state["pace_due"] == ("started", 1.0)


def test_at_full_speed_the_presets_probes_are_kept(
    started: list[wcord.Experiment], folder: Path
) -> None:
    app = opened()
    app.select_slider(key=f"start-pace-{PRESET}").set_value(0.0)
    rerun(app)
    app.button(key="start").click()
    rerun(app)
    assert started == [wcord.load(PRESET)]
    assert "pace_due" not in app.session_state
    assert json.loads((folder / "started" / "control.json").read_text())["delay"] == 0


def test_nonsense_is_the_validators_line_and_cannot_be_started(folder: Path) -> None:
    app = opened()
    app.number_input(key=f"weight-{PRESET}-λ2 · LCKT").set_value(-1.0)
    rerun(app)
    with pytest.raises(ValueError) as refused:
        wcord.load(PRESET).replace({"arms.wcord.lckt.weight": -1.0})
    assert app.error[0].value == str(refused.value)
    assert app.button(key="start").disabled and not app.code
    app.number_input(key=f"weight-{PRESET}-λ2 · LCKT").set_value(0.05)
    app.get_by_key(f"arms-{PRESET}").set_value([])
    rerun(app)
    assert [error.value for error in app.error] == ["choose at least one arm"]


def test_what_fails_when_starting_is_one_line_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(experiment: wcord.Experiment, path: Path | None = None) -> wcord.Run:
        raise ValueError("cannot make a run: no space left\nand more")

    monkeypatch.setattr(wcord.training.launch, "launch", refuse)
    app = opened()
    app.button(key="start").click()
    rerun(app)
    assert [error.value for error in app.error] == ["cannot make a run: no space left"]
    rerun(app)
    assert not app.error


def test_every_preset_can_be_chosen_and_said_as_a_command(folder: Path) -> None:
    app = opened()
    for name in wcord.presets():
        app.selectbox(key="preset").set_value(name)
        rerun(app)
        assert not app.error and not app.button(key="start").disabled, name
        assert app.code[0].value.startswith(f"wcord train {name}"), name


def test_while_the_time_is_not_known_it_is_said_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_time.Stopwatch, "ask", lambda *_: None)
    app = opened()
    assert any("Timing a few steps" in caption.value for caption in app.caption)
    assert not app.button(key="start").disabled


def test_weights_and_seeds_are_not_timed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    monkeypatch.setattr(run_time.Stopwatch, "ask", lambda _, settings: asked.add(settings))
    experiment = wcord.load(PRESET)
    changes: list[dict[str, Any]] = [{}, {"seed": 7}, {"arms.wcord.gckt.weight": 0.1}]
    for change in changes:
        assert start_form.cost(experiment.replace(change), 0.0) is None
    assert len(asked) == 1
    start_form.cost(experiment.replace({"epochs": 2}), 0.0)
    assert len(asked) == 2


def test_what_is_timed_ahead_is_what_the_form_asks_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(run_time.Stopwatch, "ask", lambda _, settings: asked.append(settings))
    monkeypatch.setattr(warm_up, "HEAD_START", 0.0)
    monkeypatch.setattr(warm_up, "gc", SimpleNamespace(collect=list, freeze=list))
    warm_up._load_and_freeze(warm_up._load_start_form)
    assert len(asked) == 1
    opened()
    assert set(asked) == {asked[0]}


def test_weights_are_grouped_where_arms_share_them_and_controls_stay_zero() -> None:
    experiment = wcord.load(PRESET)
    groups = start_form.weight_groups(experiment)
    assert groups["λ1 · GCKT"] == [("wcord", "gckt"), ("wcord+kd", "gckt")]
    for members in groups.values():
        weights = {experiment.arms[arm][term].weight for arm, term in members}
        assert len(weights) == 1 and 0 not in weights
    split = experiment.replace({"arms.wcord+kd.gckt.weight": 1.0})
    assert {"λ1 · GCKT in wcord", "λ1 · GCKT in wcord+kd"} <= set(start_form.weight_groups(split))
    assert start_form.changed(experiment, list(experiment.arms), {}, {}) == experiment
