"""Settings: which are accepted, which are refused, and the messages."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

import wcord
from wcord.settings.experiment import parse
from wcord.settings.messages import SettingsError
from wcord.views.normalise import IMAGENET
from wcord.views.transforms import Identity


@pytest.mark.parametrize("name", wcord.presets())
def test_presets_are_complete_and_read_back(name: str) -> None:
    experiment = wcord.load(name)
    assert experiment.name == name
    assert experiment.title and experiment.description
    assert parse(yaml.safe_load(experiment.yaml())) == experiment


def test_the_first_preset_is_the_one_to_begin_with() -> None:
    assert wcord.presets()[0] == "digits-compression"
    arms = wcord.load("digits-compression").arms
    assert list(arms) == ["plain", "kd", "crd", "wcord", "wcord+kd"]


def test_replace_changes_one_setting_and_leaves_the_original() -> None:
    first = wcord.load("digits-compression")
    second = first.replace({"epochs": 3, "arms.wcord.gckt.weight": 1.5})
    assert (second.epochs, second.arms["wcord"]["gckt"].weight) == (3, 1.5)
    assert (first.epochs, first.arms["wcord"]["gckt"].weight) == (40, 5.0)
    assert second.arms["wcord"]["gckt"].dim == first.arms["wcord"]["gckt"].dim  # type: ignore[attr-defined]


def test_settings_do_not_change_in_place() -> None:
    experiment = wcord.load("digits-half")
    tables = (
        (experiment, "epochs"),
        (experiment.optimizer, "lr"),
        (experiment.data, "source"),
        (Identity(), "name"),
        (experiment.arms["wcord"]["gckt"], "weight"),
        (IMAGENET, "mean"),
    )
    for table, name in tables:
        with pytest.raises(ValueError, match=rf"in place \({name}\): experiment.replace"):
            setattr(table, name, 3)


def test_names_of_arms_may_have_dots() -> None:
    first = wcord.load("digits-compression").replace(
        {"arms": {"λ 0.5": {"ce": 1}, "λ 0": {"ce": 1}}}
    )
    assert first.replace({"arms.λ 0.5.ce.weight": 3}).arms["λ 0.5"]["ce"].weight == 3
    assert first.replace({"arms.λ 0.5.kd": 2}).arms["λ 0.5"]["kd"].weight == 2
    assert list(first.replace({"arms.λ 0.5": None}).arms) == ["λ 0"]


def test_a_table_replaces_the_whole_table_and_none_removes() -> None:
    first = wcord.load("digits-compression")
    assert list(first.replace({"arms": {"mine": {"ce": 1, "gckt": 2}}}).arms) == ["mine"]
    assert "kd" not in first.replace({"arms.kd": None}).arms
    assert list(first.replace({"arms.wcord.lckt": None}).arms["wcord"]) == ["ce", "gckt"]
    added = first.replace({"arms.new": {"ce": 1}, "arms.new.lckt.epsilon": 0.1})
    assert added.arms["new"]["lckt"].epsilon == 0.1  # type: ignore[attr-defined]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"epoch": 3}, "unknown setting 'epoch'; did you mean 'epochs'?"),
    ({"teacher.epoch": 3}, "did you mean 'epochs'?"),
    ({"teacher.epochs.more": 3}, "unknown setting 'teacher.epochs.more'"),
    ({"arms.wcord.gckt.wieght": 1}, "did you mean 'weight'?"),
    ({"arms.wcord.gkct": 1}, "did you mean 'gckt'?"),
    ({"arms.wcrd.gckt.weight": 1}, "did you mean"),
    ({"arms.wcord.gckt.weight": -1}, "arms.wcord.gckt.weight"),
    ({"arms.wcord.gckt.temperature": 0}, "arms.wcord.gckt.temperature"),
    ({"arms.wcord.lckt.epsilon": 0}, "arms.wcord.lckt.epsilon"),
    ({"arms.wcord.gckt.weight": float("nan")}, "arms.wcord.gckt.weight"),
    ({"arms": {}}, "arms"),
    ({"arms": {"a/b": {"ce": 1}}}, "arm name 'a/b'"),
    ({"arms": {"a": {}}}, "arm 'a' is a table of terms"),
    ({"arms": {"a": "ce"}}, "arm 'a' is a table of terms"),
    ({"epochs": 0}, "epochs"),
    ({"epochs": "many"}, "epochs"),
    ({"optimizer.lr": -1}, "optimizer.lr"),
    ({"name": "../outside"}, "cannot name a run"),
    ({"name": "a/b"}, "cannot name a run"),
    ({"schema_version": 99}, "newer than"),
    ({"data.source": "digit"}, "digits"),
    ({"student.labels": {"modulo": 5}}, "arm 'kd': kd compares logits"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_wrong_settings_are_refused_in_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        wcord.load("digits-compression").replace(changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_presets_name_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'digits-compression'"):
        wcord.load("digits-compresion")


@pytest.mark.parametrize("text", ["a: [", "just words", "\x00", "extends: nothing"])
def test_broken_files_are_refused_in_one_line(tmp_path: Any, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        wcord.load(path)
    assert "\n" not in str(caught.value)


def test_a_file_may_extend_a_preset(tmp_path: Any) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: digits-compression\nname: mine\narms.wcord.gckt.form: infonce\n")
    mine = wcord.load(path)
    assert mine.name == "mine"
    assert mine.arms["wcord"]["gckt"].form == "infonce"  # type: ignore[attr-defined]


@pytest.mark.parametrize("changes", ["epochs=3", {3: 4}, None])
def test_changes_are_a_table(changes: object) -> None:
    with pytest.raises(SettingsError, match="changes are a table"):
        wcord.load("digits-compression").replace(changes)  # type: ignore[arg-type]
