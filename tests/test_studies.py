"""Tests of results/: every table equals its values, and its settings still run."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

import pandas as pd
import pytest
import torch

import wcord
from studies import measure
from studies.__main__ import main
from studies.report import by_arm, chosen, report
from studies.study import Study, declared
from wcord.runs.writer import FileWriter, create
from wcord.training.prepare import Overrides, prepare
from wcord.training.probe import gradient_norms

RESULTS = Path(__file__).parents[1] / "results"
STUDIES = declared()


@pytest.mark.parametrize("name", STUDIES)
def test_settings_of_a_study_are_settings_of_its_presets(name: str) -> None:
    study = STUDIES[name]
    for preset in study.presets:
        assert preset in wcord.presets()
        cells = study.cells(preset)
        assert [cell.experiment.seed for cell in cells] == study.seeds
        if study.against is not None:
            assert study.against in cells[0].variants


@pytest.mark.parametrize("name", STUDIES)
def test_a_table_is_its_values_over_the_declared_seeds_and_arms(name: str) -> None:
    study, table = STUDIES[name], pd.read_csv(RESULTS / f"{name}.csv")
    for preset in study.presets:
        values = table[table["preset"] == preset]
        arms = set(study.cells(preset)[0].variants)
        if study.measure == "gradients":
            arms = {f"{arm}, epoch {epoch}" for arm in arms for epoch in study.epochs}
        assert {*zip(values["seed"], values["arm"], strict=True)} == {
            (seed, arm) for seed in study.seeds for arm in arms
        }
    assert set(table["preset"]) == set(study.presets)
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert text == report(name, study, table)


@pytest.mark.parametrize("name", [n for n, s in STUDIES.items() if s.measure == "results"])
def test_means_in_the_text_are_means_of_the_values(name: str) -> None:
    """By plain arithmetic, not by the code that wrote the text."""
    study, table = STUDIES[name], pd.read_csv(RESULTS / f"{name}.csv")
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    sections = text.split("\n## ")[1:] if len(study.presets) > 1 else [text]
    for preset, section in zip(study.presets, sections, strict=True):
        values = table[table["preset"] == preset]
        for arm, of in values.groupby("arm"):
            numbers = [float(v) for v in of[study.metrics[0]]]
            mean = sum(numbers) / len(numbers)
            spread = (sum((v - mean) ** 2 for v in numbers) / (len(numbers) - 1)) ** 0.5
            found = re.search(rf"^\| {re.escape(str(arm))} \| (\S+) ± (\S+) \|", section, re.M)
            assert found, arm
            assert float(found[1]) == pytest.approx(mean, abs=0.00501)
            assert float(found[2]) == pytest.approx(spread, abs=0.00501)


NUMBER = re.compile(r"[+−]\d+\.\d+|\d+\.\d+ ± \d+\.\d+")


@pytest.mark.parametrize("name", STUDIES)
def test_the_index_says_of_a_study_what_its_table_says(name: str) -> None:
    index = (RESULTS / "README.md").read_text(encoding="utf-8")
    link = f"]({name}.md)"
    assert index.count(link) == 1
    said = index.split(link)[1].split("\n## ")[0]
    table = (RESULTS / f"{name}.md").read_text(encoding="utf-8").replace("-", "−")
    missing = [number for number in NUMBER.findall(said) if number not in table]
    assert not missing


def test_the_tables_arms_have_the_weights_that_were_chosen() -> None:
    study, table = STUDIES["weights"], pd.read_csv(RESULTS / "weights.csv")
    kept = chosen(study, table)
    variants = study.cells("digits-compression")[0].variants
    for preset in study.presets:
        arms = STUDIES["tasks"].experiment(preset).arms
        for trial, (arm, weights) in variants.items():
            if kept[arm] == trial and arm in arms:
                said = {key: arms[arm][key.split(".")[-2]].weight for key in weights}
                assert said == weights, f"{preset}: {arm}"


def test_the_first_study_of_weights_sees_no_test_sample_and_no_seed_of_another() -> None:
    study = STUDIES["weights"]
    assert study.metrics == ["held_out_accuracy"]
    assert "test_accuracy" not in pd.read_csv(RESULTS / "weights.csv")
    others = [set(s.seeds) for n, s in STUDIES.items() if n != "weights"]
    assert all(not set(study.seeds) & seeds for seeds in others)
    counts = pd.Series([arm for arm, _ in study.cells("digits-half")[0].variants.values()])
    assert counts.value_counts().nunique() == 1  # as many trials for every arm


SMALL = Study(
    title="Small",
    question="Which?",
    presets={"digits-other-task": {"epochs": 2, "teacher.epochs": 2}},
    seeds=[0, 1],
    change={
        "probe.every": 2,
        "arms": {"plain": {"ce": 1}, "kd": {"ce": 1, "kd": 1}, "lckt": {"ce": 1, "lckt": 0.05}},
    },
    over={"arms.lckt.lckt.weight": [0.05, 1], "arms.kd.kd.weight": [1, 2]},
    metrics=["test_accuracy", "same_class_mass"],
    against="plain",
)


def test_a_study_runs_resumes_and_tells_what_its_runs_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    table = measure.measured(SMALL)
    arms = ["plain", "lckt lckt.weight=0.05", "lckt lckt.weight=1"]  # kd is not defined here
    assert list(by_arm(table, "test_accuracy")) == arms
    for cell in SMALL.cells("digits-other-task"):
        run = wcord.Run(tmp_path / "studies" / "digits-other-task" / cell.name)
        assert run.summary is not None
        last = run.snapshot(run.steps[-1])
        for _, row in table[table["seed"] == cell.experiment.seed].iterrows():
            assert row["test_accuracy"] == run.summary["arms"][row["arm"]]["test_accuracy"]
            assert row["same_class_mass"] == last.values(row["arm"])["same_class_mass"]

    def refuse(*_: object) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr("wcord.analysis.sweep_runs.distill", refuse)
    pd.testing.assert_frame_equal(measure.measured(SMALL), table)
    text = report("small", SMALL, table)
    assert "`python -m studies small`" in text
    assert len(re.findall(r"\d ± \d", text)) == 6


def test_the_same_numbers_while_gradients_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    asked = {"measure": "gradients", "epochs": [0, 2], "metrics": ["ce", "lckt", "kd", "total"]}
    table = measure.measured(SMALL.model_copy(update=asked))
    assert set(table["arm"]) == {
        f"{arm}, epoch {e}"
        for arm in ("plain", "lckt lckt.weight=0.05", "lckt lckt.weight=1")
        for e in (0, 2)
    }
    wide = table[table["seed"] == 0].set_index("arm")
    assert wide.loc["plain, epoch 0", "ce"] == pytest.approx(wide.loc["plain, epoch 0", "total"])
    assert wide["kd"].isna().all()
    weak, strong = (wide.loc[f"lckt lckt.weight={w}, epoch 0", "lckt"] for w in (0.05, 1))
    assert strong == pytest.approx(20 * weak)  # both at the same first batch
    assert (wide["ce"] > 0).all()


def test_gradient_norms_are_those_of_the_closed_form_and_change_nothing(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    asked = short.replace({"arms": {"hint": {"ce": 1, "hint": 3, "lckt": 0}}})
    writer = FileWriter(create(tmp_path / "run", asked.yaml()))
    prepared = prepare(asked, writer, torch.device("cpu"), Overrides(), False)
    (arm,), given = prepared.arms, prepared.task.at(0)
    before = {key: value.clone() for key, value in arm.state().items()}
    norms = gradient_norms(arm, given)
    writer.close()
    assert all(torch.equal(value, before[key]) for key, value in arm.state().items())
    hint = arm.objective.terms["hint"]
    features = deepcopy(arm.student).train()(given.images).features
    residual = hint.regress(features) - given.teacher.features / hint.scale
    gradient = 3 * 2 / residual.numel() * residual @ hint.regress.weight
    assert norms["hint"] == pytest.approx(gradient.norm().item(), rel=1e-5)
    assert norms["lckt"] == 0
    assert norms["total"] <= norms["ce"] + norms["hint"]


def test_unknown_studies_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weigths"]) == 2
    assert "did you mean 'weights'?" in capsys.readouterr().err
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in STUDIES)
