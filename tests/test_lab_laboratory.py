"""The laboratory: a changed arm is paired with the old one, and the page that turns the knobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from app_pages import Canvas, in_address, open_page, rerun
from made_up_run import write_run
from streamlit.testing.v1 import AppTest

import wcord
import wcord.training.launch
from lab.control import arm_variants
from lab.control.arm_variants import KNOBS
from wcord.objectives import TERMS
from wcord.runs import Run


@pytest.fixture
def experiment() -> wcord.Experiment:
    return wcord.load("digits-compression")


@pytest.fixture
def real(folder: Path, experiment: wcord.Experiment) -> Path:
    """A folder with a made-up run that has real settings."""
    path = write_run(folder / "made-up")
    (path / "settings.yaml").write_text(experiment.replace({"arms.kd": None}).yaml())
    return folder


# ---------------------------------------------------------------------------------- pure parts


def test_knobs_stand_where_the_arm_has_them(experiment: wcord.Experiment) -> None:
    stood = arm_variants.settings_of(experiment, "wcord")
    assert stood["gckt.weight"] == 5 and stood["lckt.weight"] == 0.05
    assert stood["lckt.epsilon"] == experiment.arms["wcord"]["lckt"].epsilon  # type: ignore[attr-defined]
    plain = arm_variants.settings_of(experiment, "plain")
    assert plain["gckt.weight"] == plain["lckt.weight"] == 0
    assert set(stood) == {knob.key for knob in KNOBS}
    with pytest.raises(ValueError, match="no arm 'none'"):
        arm_variants.settings_of(experiment, "none")


def test_every_choice_of_a_knob_is_one_that_the_term_takes(experiment: wcord.Experiment) -> None:
    for knob in KNOBS:
        assert knob.setting in TERMS[knob.term].Settings.model_fields
        if knob.kind == "choice":
            assert len(arm_variants.options(knob)) > 1
            for value in arm_variants.options(knob):
                TERMS[knob.term].Settings.model_validate({knob.setting: value})


def test_nothing_but_what_was_turned_is_changed(experiment: wcord.Experiment) -> None:
    stood = arm_variants.settings_of(experiment, "wcord")
    new = arm_variants.variant(experiment, "wcord", stood | {"gckt.weight": 1.0})
    (name,) = new.arms
    assert name == "wcord gckt.weight=1"
    expected = experiment.replace({"arms.wcord.gckt.weight": 1.0}).arms["wcord"]
    assert new.arms[name] == expected
    assert new.replace({"arms": experiment.arms}) == experiment


def test_a_term_that_the_arm_lacks_comes_with_its_weight_only(experiment: wcord.Experiment) -> None:
    stood = arm_variants.settings_of(experiment, "plain")
    new = arm_variants.variant(
        experiment, "plain", stood | {"lckt.weight": 0.5, "gckt.form": "nce"}
    )
    (terms,) = new.arms.values()
    assert list(terms) == ["ce", "lckt"] and terms["lckt"].weight == 0.5
    for turned in (stood, stood | {"gckt.form": "nce"}):  # form of a term of weight 0
        with pytest.raises(ValueError, match="change a weight"):
            arm_variants.variant(experiment, "plain", turned)


def test_what_the_validator_refuses_is_one_line(experiment: wcord.Experiment) -> None:
    stood = arm_variants.settings_of(experiment, "wcord")
    with pytest.raises(ValueError) as refused:
        arm_variants.variant(experiment, "wcord", stood | {"lckt.epsilon": -1.0})
    assert "epsilon" in str(refused.value) and "\n" not in str(refused.value)


def test_names_are_names_of_arms(experiment: wcord.Experiment) -> None:
    everything = {knob.key: knob.setting for knob in KNOBS}
    name = arm_variants.name_of("wcord", everything)
    assert len(name) <= 64
    assert name in experiment.replace({"arms": {name: {"ce": 1}}}).arms


def test_the_new_arm_is_paired_step_by_step(
    tmp_path: Path, short: wcord.Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name and alone, an unchanged arm gives the very numbers; a changed one not."""
    arms: Any = {key: short.arms[key] for key in ("plain", "wcord")}
    short = short.replace({"epochs": 1, "probe.losses": 20, "arms": arms})
    old = wcord.distill(short, tmp_path / "old", progress=False)
    stood = arm_variants.settings_of(short, "wcord")
    changed = arm_variants.variant(short, "wcord", stood | {"gckt.weight": 1.0})
    (name,) = changed.arms
    same = changed.replace({"arms": {name: short.arms["wcord"]}})
    twin = wcord.distill(same, tmp_path / "twin", progress=False)
    new = wcord.distill(changed, tmp_path / "new", progress=False)

    def values(run: Run, arm: str) -> list[tuple[int, str, float]]:
        metrics = run.metrics()
        of = metrics[metrics["arm"] == arm].sort_values(["step", "name"])
        return list(zip(of["step"], of["name"], of["value"], strict=True))

    assert values(twin, name) == values(old, "wcord")
    first = dict.fromkeys(("ce", "lckt"))
    for metric in first:  # one batch, one student: the first losses are equal, later ones differ
        before, after = (
            [v for s, n, v in values(run, arm) if n == metric]
            for run, arm in ((old, "wcord"), (new, name))
        )
        assert before[0] == after[0] and before[-1] != after[-1]


# ------------------------------------------------------------------------------------ the page


def control(app: AppTest, key: str) -> Any:
    return app.get_by_key(key)


def key(setting: str) -> str:
    return f"{setting}-made-up-wcord"


def test_nothing_can_be_started_before_something_is_turned(real: Path) -> None:
    app = open_page("laboratory")
    assert [box.value for box in app.selectbox][:2] == ["made-up", "wcord"]
    assert app.info[0].value.startswith("Change a weight")
    assert app.button(key="begin").disabled and not app.error


VALUES: dict[str, Any] = {
    "gckt.weight": 1.0,
    "lckt.weight": 0.5,
    "lckt.epsilon": 0.2,
    "lckt.plan": "identity",
    "gckt.form": "nce",
    "gckt.critic": "joint",
    "gckt.temperature": 0.5,
    "gckt.negatives": "other_class",
}


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.key)
def test_every_knob_makes_an_arm(real: Path, knob: arm_variants.Knob) -> None:
    app = open_page("laboratory")
    control(app, key(knob.key)).set_value(VALUES[knob.key])
    rerun(app)
    assert not app.error and not app.info
    name = arm_variants.name_of("wcord", {knob.key: VALUES[knob.key]})
    assert any(f"New arm: **{name}**" in text.value for text in app.markdown)


def test_an_arm_is_started_and_compared(
    real: Path, monkeypatch: pytest.MonkeyPatch, canvas: Canvas
) -> None:
    started: list[wcord.Experiment] = []

    def launch(experiment: wcord.Experiment) -> Run:
        started.append(experiment)
        run = Run(write_run(real / "started", upto=0, state="running"))
        (run.path / "settings.yaml").write_text(experiment.yaml())
        return run

    monkeypatch.setattr(wcord.training.launch, "launch", launch)
    app = open_page("laboratory", run="made-up")
    control(app, key("lckt.plan")).set_value("identity")
    rerun(app)
    app.button(key="begin").click()
    rerun(app)
    (experiment,) = started
    assert list(experiment.arms) == ["wcord lckt.plan=identity"]
    assert "made-up, arm wcord" in Run(real / "started").notes
    said = json.loads((real / "started" / "control.json").read_text())
    assert said["delay"] == pytest.approx(1.0 / (42 // 40))  # a second an epoch
    arm = "wcord lckt.plan=identity"
    assert canvas.scene["sides"] == [["made-up", "wcord"], ["started", arm]]  # the compare page


def test_choices_go_into_the_address(real: Path) -> None:
    app = open_page("laboratory")
    app.selectbox[1].set_value("plain")
    rerun(app)
    assert in_address(app, "arm") == "plain"
    assert control(app, "gckt.weight-made-up-plain").value == 0
    assert control(app, "gckt.form-made-up-plain").disabled


@pytest.mark.parametrize("name", ["../made-up", "absent", "a/b"])
def test_an_address_that_is_no_run_is_one_line(real: Path, name: str) -> None:
    (error,) = open_page("laboratory", run=name).error
    assert "\n" not in error.value


def test_settings_that_cannot_be_run_are_one_line(real: Path) -> None:
    write_run(real / "other", epochs=1)
    path = real / "other" / "settings.yaml"
    path.write_text(path.read_text().replace("epochs: 1", "epochs: -1"))
    (error,) = open_page("laboratory", run="other").error
    assert "epochs" in error.value and "\n" not in error.value
