"""Tests of results/: every table follows from its values, and its settings still run."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import wcord
from studies import measure
from studies.__main__ import main
from studies.report import by_arm, chosen_trials, report
from studies.study import Study, load_studies
from wcord.runs.writer import FileWriter, create
from wcord.training.prepare import Overrides, prepare
from wcord.training.probe import gradient_norms

RESULTS = Path(__file__).parents[1] / "results"
STUDIES = load_studies()


@pytest.mark.parametrize("name", STUDIES)
def test_settings_of_a_study_are_valid_in_its_presets(name: str) -> None:
    study = STUDIES[name]
    for preset in study.presets:
        assert preset in wcord.presets()
        cells = study.cells(preset)
        assert [cell.experiment.seed for cell in cells] == study.seeds
        if study.against is not None:
            assert study.against in cells[0].variants


@pytest.mark.parametrize("name", STUDIES)
def test_a_table_has_every_seed_and_arm_and_gives_the_text(name: str) -> None:
    study, table = STUDIES[name], pd.read_csv(RESULTS / f"{name}.csv")
    for preset in study.presets:
        values = table[table["preset"] == preset]
        arms = set(study.cells(preset)[0][1].variants)
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
    """By plain arithmetic, without the code that wrote the text."""
    study, table = STUDIES[name], pd.read_csv(RESULTS / f"{name}.csv")
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    sections = text.split("\n## ")[1:] if len(study.presets) > 1 else [text]
    for preset, section in zip(study.presets, sections, strict=True):
        values = table[table["preset"] == preset]
        for arm, rows in values.groupby("arm"):
            numbers = [float(v) for v in rows[study.metrics[0]]]
            mean = sum(numbers) / len(numbers)
            spread = (sum((v - mean) ** 2 for v in numbers) / (len(numbers) - 1)) ** 0.5
            match = re.search(rf"^\| {re.escape(str(arm))} \| (\S+) ± (\S+) \|", section, re.M)
            assert match, arm
            assert float(match[1]) == pytest.approx(mean, abs=0.00501)
            assert float(match[2]) == pytest.approx(spread, abs=0.00501)


NUMBER = re.compile(r"[+−]\d+\.\d+|\d+\.\d+ ± \d+\.\d+")


@pytest.mark.parametrize("name", STUDIES)
def test_figures_of_the_index_are_figures_of_the_tables(name: str) -> None:
    index = (RESULTS / "README.md").read_text(encoding="utf-8")
    link = f"]({name}.md)"
    assert index.count(link) == 1
    section = " ".join(index.split(link)[1].split("\n## ")[0].split())
    table = (RESULTS / f"{name}.md").read_text(encoding="utf-8").replace("-", "−")
    missing = [number for number in NUMBER.findall(section) if number not in table]
    assert not missing


def test_arms_of_the_tasks_have_the_chosen_weights() -> None:
    study, table = STUDIES["weights"], pd.read_csv(RESULTS / "weights.csv")
    chosen = chosen_trials(study, table)
    variants = study.cells("digits-compression")[0][1].variants
    for preset in study.presets:
        arms = STUDIES["tasks"].experiment(preset).arms
        for trial, (arm, weights) in variants.items():
            if chosen[arm] == trial and arm in arms:
                actual = {key: arms[arm][key.split(".")[-2]].weight for key in weights}
                assert actual == weights, f"{preset}: {arm}"


def test_weights_are_chosen_without_test_samples_and_on_other_seeds() -> None:
    study = STUDIES["weights"]
    assert study.metrics == ["held_out_accuracy"]
    assert "test_accuracy" not in pd.read_csv(RESULTS / "weights.csv")
    others = [set(s.seeds) for n, s in STUDIES.items() if n != "weights"]
    assert all(not set(study.seeds) & seeds for seeds in others)
    counts = pd.Series([arm for arm, _ in study.cells("digits-half")[0][1].variants.values()])
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


def test_a_study_reports_the_values_of_its_runs_and_reuses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    table = measure.run_study(SMALL)
    arms = ["plain", "lckt lckt.weight=0.05", "lckt lckt.weight=1"]  # kd is not defined here
    assert list(by_arm(table, "test_accuracy")) == arms
    for _, cell in SMALL.cells("digits-other-task"):
        run = wcord.Run(tmp_path / "studies" / "digits-other-task" / cell.name)
        assert run.summary is not None
        last = run.snapshot(run.steps[-1])
        for _, row in table[table["seed"] == cell.experiment.seed].iterrows():
            assert row["test_accuracy"] == run.summary["arms"][row["arm"]]["test_accuracy"]
            assert row["same_class_mass"] == last.values(row["arm"])["same_class_mass"]

    def refuse(*_: object) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr("wcord.analysis.sweep_runs.distill", refuse)
    pd.testing.assert_frame_equal(measure.run_study(SMALL), table)
    text = report("small", SMALL, table)
    assert "`python -m studies small`" in text
    assert len(re.findall(r"\d ± \d", text)) == 6


def test_gradient_norms_of_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    changes = {"measure": "gradients", "epochs": [0, 2], "metrics": ["ce", "lckt", "kd", "total"]}
    table = measure.run_study(SMALL.model_copy(update=changes))
    assert set(table["arm"]) == {
        f"{arm}, epoch {e}"
        for arm in ("plain", "lckt lckt.weight=0.05", "lckt lckt.weight=1")
        for e in (0, 2)
    }
    wide = table[table["seed"] == 0].set_index("arm")
    assert wide.loc["plain, epoch 0", "ce"] == pytest.approx(wide.loc["plain, epoch 0", "total"])
    assert wide["kd"].isna().all()
    weak, strong = (wide["lckt"][f"lckt lckt.weight={w}, epoch 0"] for w in (0.05, 1))
    assert strong == pytest.approx(20 * weak)  # at the same first batch
    assert (wide["ce"] > 0).all()


def test_gradient_norms_are_those_of_the_closed_form_and_change_nothing(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    settings = short.replace({"arms": {"hint": {"ce": 1, "hint": 3, "lckt": 0}}})
    writer = FileWriter(create(tmp_path / "run", settings.yaml()))
    prepared = prepare(settings, writer, torch.device("cpu"), Overrides(), False)
    (arm,), inputs = prepared.arms, prepared.task.at(0)
    before = {key: value.clone() for key, value in arm.state().items()}
    norms = gradient_norms(arm, inputs)
    writer.close()
    assert all(torch.equal(value, before[key]) for key, value in arm.state().items())
    hint: Any = arm.objective.terms["hint"]
    features = deepcopy(arm.student).train()(inputs.images).features
    residual = hint.regress(features) - inputs.teacher.features / hint.scale
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
