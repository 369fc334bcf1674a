"""`wcord show`, and the listing of settings that it prints: complete, described, true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

import wcord
from wcord.cli import main
from wcord.data import DataSettings
from wcord.objectives import TERMS
from wcord.objectives.term import TermSettings
from wcord.settings.experiment import Experiment
from wcord.settings.listing import (
    Setting,
    allowed_text,
    changed_only,
    settings_of,
    settings_of_model,
)
from wcord.views import VIEWS
from wcord.views.normalise import ChannelStatistics


def inner_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in model.model_fields.values():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from inner_models(info.annotation)


MODELS = list(
    dict.fromkeys(
        [
            *inner_models(Experiment),
            *(term.Settings for term in TERMS.values()),
            *VIEWS.values(),
            ChannelStatistics,
        ]
    )
)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_of_every_model_has_a_description(model: type[BaseModel]) -> None:
    for name, info in model.model_fields.items():
        table = isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        text = (info.annotation.__doc__ if table else info.description) or ""
        assert len(text) > 8, f"{model.__name__}.{name} has no description"
        assert table or not text.endswith("."), f"{model.__name__}.{name}: a phrase, no sentence"


def test_there_are_many_models() -> None:
    assert len(MODELS) > 30 and DataSettings in MODELS


@pytest.mark.parametrize("name", ["digits-compression", "digits-privileged", "nyu-rgb-depth"])
def test_the_listing_has_every_setting_with_its_value(name: str) -> None:
    """The keys and values are those of the complete settings; the listed defaults are true."""
    experiment = wcord.load(name)
    leaves = {s.path: s.value for s in settings_of(experiment) if not s.table}
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    assert tree == experiment.model_dump(mode="json")
    bare = Experiment.model_validate({"arms": {"a": {"ce": {}}}}).model_dump(mode="json")
    for setting in settings_of():
        if not setting.table:
            node = bare
            for part in setting.path:
                node = node[part]
            assert setting.value == setting.default == node, setting.key


def test_changed_settings_are_those_that_a_bare_experiment_lacks() -> None:
    experiment = wcord.load("digits-half").replace({"arms.kd.kd.temperature": 4, "epochs": 40})
    changed = {s.key for s in settings_of(experiment) if s.changed}
    assert "arms.kd.kd.temperature" not in changed and "epochs" not in changed
    assert {"teacher.view", "student.view", "data.labels_per_class"} <= changed
    kept = changed_only(settings_of(experiment))
    assert {s.key for s in kept if not s.table} == changed
    assert [s.key for s in kept if s.table][:2] == ["data", "teacher"]


class Odd(TermSettings):
    """Settings with every kind of range."""

    a: int = Field(2, gt=1, lt=9, multiple_of=2, description="first")
    b: float | None = Field(None, ge=0, le=1, description="second")
    c: Literal["x", "y"] = Field("x", description="third")
    d: float = Field(0.5, gt=0, le=0.5, description="fourth")
    e: list[str] = Field([], description="fifth")
    f: bool = Field(False, description="sixth")
    g: int = Field(description="seventh")


def test_ranges_are_those_that_the_model_accepts() -> None:
    listed = {s.key: s for s in settings_of_model(Odd)}
    assert listed["a"].allowed == "integer, a multiple of 2, above 1, below 9"
    assert listed["b"].allowed == "number, 0 to 1; or null"
    assert listed["c"].allowed == "x, y" and listed["c"].choices == ["x", "y"]
    assert listed["d"].allowed == "number, above 0, at most 0.5"
    assert listed["e"].allowed == "a list (text)"
    assert listed["f"].choices == [True, False]
    assert listed["g"].required and not listed["a"].required
    for key, wrong in {"a": 3, "b": 1.5, "c": "z", "d": 0, "e": 5, "f": "perhaps"}.items():
        with pytest.raises(ValidationError):
            Odd.model_validate({"g": 1, key: wrong})


def test_choices_are_accepted_and_other_values_refused() -> None:
    experiment = wcord.load("digits-compression")
    listed = [s for s in settings_of() if s.choices and s.choices != [True, False]]
    assert len(listed) > 8
    for setting in listed:
        for choice in setting.choices or ():
            if (setting.key, choice) != ("student.init", "teacher"):
                assert experiment.replace({setting.key: choice})
        with pytest.raises(ValueError, match=setting.path[-1]):
            experiment.replace({setting.key: "none of these"})


def test_the_schema_of_a_table_is_named() -> None:
    found = {s.key: s.allowed for s in settings_of()}
    assert found["student.normalise"] == "measured, none; or a table of mean and std"
    assert found["data.size"] == "integer, 4 to 1024; or a list of 2 values; or null"
    assert allowed_text({}, {}) == ""


@pytest.mark.parametrize(
    ("term", "setting", "text"),
    [
        ("gckt", "weight", "5 suits form wasserstein; 0.8 suits form nce or infonce"),
        ("kd", "weight", "0.9 suits standardise false; 9 suits standardise true"),
    ],
)
def test_weights_that_depend_on_another_setting_are_listed(
    term: str, setting: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {s.key: s for s in settings_of_model(TERMS[term].Settings)}
    found = listed[setting]
    assert found.suited_text == text
    for other, values in found.suited.items():
        choices = [str(choice).lower() for choice in listed[other].choices or ()]
        assert sorted(values) == sorted(choices)
        assert values[str(listed[other].default).lower()] == found.default
    assert main(["show", term]) == 0
    assert text in " ".join(capsys.readouterr().out.split())


def test_show_prints_a_tree_and_marks_what_was_changed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["show", "digits-half", "--epochs", "3", "--arms.wcord.lckt.epsilon", "0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert any(line.startswith("* epochs = 3  ") for line in lines)
    assert any(line.startswith("*       epsilon = 0.1  ") for line in lines)
    assert any(line.startswith("  batch = 64  ") for line in lines)
    assert any(line.startswith("*   view = [left]  ") for line in lines)
    assert main(["show", "digits-half", "--changed"]) == 0
    kept = capsys.readouterr().out
    assert "batch = 64" not in kept and "* title = " in kept and "  teacher  " in kept


def test_show_as_json_is_what_replace_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "digits-privileged", "--seed", "7", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert len({record["key"] for record in records}) == len(records) > 100
    experiment = wcord.load("digits-privileged").replace({"seed": 7})
    bare = Experiment.model_validate({"arms": {arm: {"ce": 1} for arm in experiment.arms}})
    again = bare.replace({record["key"]: record["value"] for record in records})
    for arm in experiment.arms:
        assert again.arms[arm] == experiment.arms[arm] | {
            k: v for k, v in again.arms[arm].items() if k not in experiment.arms[arm]
        }
    assert again.replace({"arms": experiment.arms}) == experiment


def test_show_reads_files_runs_and_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    experiment = wcord.load("digits-half").replace({"epochs": 17})
    (tmp_path / "mine.yaml").write_text(experiment.yaml())
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "settings.yaml").write_text(experiment.yaml())
    for name in (str(tmp_path / "mine.yaml"), str(tmp_path / "run-1"), "run-1"):
        assert main(["show", name]) == 0
        assert "* epochs = 17 " in capsys.readouterr().out
    assert main(["show"]) == 0
    assert "  epochs = 40 " in capsys.readouterr().out
    for term in TERMS:
        assert main(["show", term]) == 0
        printed = capsys.readouterr().out
        assert f"{term}: " in printed and "  weight = " in printed


def test_the_text_of_suited_values() -> None:
    assert Setting(("a",), "").suited_text == ""
