"""Regression targets and several labels a sample: terms, measures, results and pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from app_pages import Canvas, open_page
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, r2_score
from tables import SEVERAL, TARGETS, WITHOUT_CLASSES, X, Y, in_order, table_settings
from torch import nn

import wcord
from lab.control import data_card
from lab.reading import sample_images
from lab.reading.watch import Watch
from lab.viewer import run_sheet
from wcord.analysis.report import report
from wcord.analysis.sweep import by_seed
from wcord.cli import main
from wcord.data import DataSettings, load_arrays
from wcord.data.colours import Colours
from wcord.models import Output
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, Shapes
from wcord.settings.messages import SettingsError
from wcord.training.inputs import NetworkInput
from wcord.training.measures import average_precision, r_squared

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def table() -> wcord.Experiment:
    return table_settings()


# ---------------------------------------------------- regression and several labels a sample

FOUR = tuple(f"label {k}" for k in range(4))
KINDS: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "one number": (TARGETS[:, 0], "regression", ("target",)),
    "a column": (TARGETS[:, :1].astype("f4"), "regression", ("target",)),
    "two numbers": (TARGETS, "regression", ("target 0", "target 1")),
    "integers": (SEVERAL, "multilabel", FOUR),
    "bool": (SEVERAL.astype(bool), "multilabel", FOUR),
    "tensors": (torch.tensor(SEVERAL, dtype=torch.uint8), "multilabel", FOUR),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_labels(name: str) -> None:
    labels, targets, names = KINDS[name]
    data = load_arrays((X, labels))
    assert data.targets == targets and data.classes == names and bool(data.labelled.all())
    values = np.asarray(labels).reshape(120, len(names))
    np.testing.assert_allclose(in_order(data, "labels"), values, rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3)[Y], r"take argmax\(1\) of one-hot labels .or set data.targets to 'multilabel'"),
        (np.eye(3, dtype=int)[Y], r"take argmax\(1\)"),
        (SEVERAL * 1.0, "set data.targets to 'multilabel' or 'regression'"),
        (SEVERAL * 3, "several labels a sample are 0 and 1, regression targets are floating point"),
        (np.arange(120) * 1.0, "120 different whole numbers.*set data.targets"),
        (np.where(Y == 0, np.inf, TARGETS[:, 0]), "NaN or infinite"),
        (np.where(Y == 0, np.nan, TARGETS[:, 0]), "leave out samples without a target"),
        (np.full(120, 0.5), "every target of labels_train is equal"),
        (TARGETS * 1e300, "too large for float32"),
        (np.zeros((120, 2, 2)), "one integer or text a sample"),
        (TARGETS * 1j, "one integer or text a sample, not complex128"),
    ],
)
def test_labels_that_may_mean_something_else_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_arrays((X, labels))


def test_the_setting_decides_where_values_do_not() -> None:
    whole = load_arrays((X, np.arange(120) * 1.0), DataSettings(targets="regression"))
    assert whole.targets == "regression"
    one_hot = load_arrays((X, np.eye(3)[Y]), DataSettings(targets="multilabel"))
    assert one_hot.targets == "multilabel" and one_hot.train.labels.shape[1] == 3
    assert load_arrays((X, Y * 1.0), DataSettings(targets="classes")).targets == "classes"
    for targets, labels in (
        ("classes", TARGETS),
        ("multilabel", TARGETS),
        ("regression", ["a"] * 120),
    ):
        with pytest.raises(ValueError, match="labels_train must"):
            load_arrays((X, labels), DataSettings(targets=targets))  # type: ignore[arg-type]
    both = {"x_train": X, "y_train": TARGETS, "x_test": X, "y_test": Y}
    with pytest.raises(ValueError, match="all parts need labels of one kind"):
        load_arrays(both)
    with pytest.raises(ValueError, match=r"labels_per_class is 5.*no classes: set it to null"):
        load_arrays((X, TARGETS), DataSettings(labels_per_class=5))


@given(st.integers(0, 1000))
def test_measures_equal_those_of_scikit_learn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    outputs, targets = draw.normal(size=(2, 40, 3))
    labels = (draw.random((40, 3)) < 0.3).astype(int)
    tensors = [torch.tensor(values) for values in (outputs, targets, labels)]
    assert r_squared(tensors[0], tensors[1]) == pytest.approx(r2_score(targets, outputs))
    if labels.any(0).all():
        expected = 100 * average_precision_score(labels, outputs)
        assert average_precision(tensors[0].float(), tensors[2]) == pytest.approx(
            expected, abs=1e-4
        )


def test_measures_without_a_meaning_are_nan() -> None:
    outputs, zeros = torch.randn(5, 2), torch.zeros(5, 2)
    assert np.isnan(r_squared(outputs, zeros)) and np.isnan(average_precision(outputs, zeros))
    assert np.isnan(average_precision(outputs * torch.inf, torch.ones(5, 2)))


@pytest.mark.parametrize(("name", "targets"), [("mse", "regression"), ("bce", "multilabel")])
def test_supervised_terms_equal_their_formulas(name: str, targets: str) -> None:
    draw = torch.Generator().manual_seed(0)
    s = torch.randn(6, 4, generator=draw, dtype=torch.float64, requires_grad=True)
    y = torch.randn(6, 4, generator=draw, dtype=torch.float64)
    labelled = torch.tensor([True, False, True, True, False, True])
    if name == "bce":
        y = (y > 0).to(torch.uint8)
    shapes = Shapes(2, 2, 4, 4, True, 6, targets=targets)
    term = TERMS[name](TERMS[name].Settings(), shapes, 0)
    batch = Batch(torch.arange(6), y, labelled, torch.zeros(6).long(), 0, 0)
    loss = term(batch, Output(s, s), Output(s, s), {})
    total = 0.0
    for i in np.flatnonzero(labelled):
        for k in range(4):
            score, label = float(s[i, k].detach()), float(y[i, k])
            p = 1 / (1 + np.exp(-score))
            total += (
                (score - label) ** 2
                if name == "mse"
                else -label * np.log(p) - (1 - label) * np.log(1 - p)
            )
    assert float(loss.detach()) == pytest.approx(total / (4 * 4))
    (gradient,) = torch.autograd.grad(loss, s)
    assert not gradient[~labelled].any() and gradient[labelled].all()
    nothing = term(
        Batch(batch.index, y, ~labelled & labelled, batch.group, 0, 0),
        Output(s, s),
        Output(s, s),
        {},
    )
    assert float(nothing.detach()) == 0


@pytest.mark.parametrize("targets", WITHOUT_CLASSES)
def test_terms_that_need_classes_are_refused_before_any_training(
    table: wcord.Experiment, targets: str
) -> None:
    labels, term = WITHOUT_CLASSES[targets]
    other = "bce" if term == "mse" else "mse"
    arms: dict[str, Any] = {name: {name: {}} for name, t in TERMS.items() if t.needs_classes}
    assert {"ce", "kd", "dkd", "dist", "crd", "wkd_l"} == set(arms)
    arms |= {"gckt": {"gckt": {"negatives": "other_class"}}, other: {other: 1}}
    for name, terms in arms.items():
        advice = f"use {term}" if name in ("ce", other) else "use a term on features"
        with pytest.raises(SettingsError, match=rf"arm 'a': {name}.* needs .*: {advice}"):
            wcord.distill(table.replace({"arms": {"a": terms}}), progress=False, data=(X, labels))
    with pytest.raises(SettingsError, match=f"{term} needs .* one class a sample: use ce"):
        wcord.distill(table.replace({"arms": {"a": {term: 1}}}), progress=False, data=(X, Y))
    arms = {"a": {term: 1}}
    with pytest.raises(SettingsError, match="linear_probe predicts classes"):
        wcord.distill(
            table.replace({"arms": arms, "linear_probe": True}), progress=False, data=(X, labels)
        )
    mapped = {"teacher.labels": {"modulo": 2}, "student.labels": {"modulo": 2}, "arms": arms}
    with pytest.raises(ValueError, match="labels maps classes"):
        wcord.distill(table.replace(mapped), progress=False, data=(X, labels))


@pytest.fixture(scope="module")
def run_of(
    table: wcord.Experiment, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, wcord.Run]:
    """A finished run of each kind of labels that are no classes, from an .npz file."""
    folder, runs = tmp_path_factory.mktemp("kinds"), {}
    for targets, (labels, term) in WITHOUT_CLASSES.items():
        np.savez(folder / f"{targets}.npz", x_train=X, y_train=labels)
        arms = {"plain": {term: 1}, "wcord": {term: 1, "gckt": 1, "lckt": 0.1, "hint": 1, "sp": 1}}
        changes = {"arms": arms, "data.source": f"npz:{folder / targets}.npz", "epochs": 3}
        runs[targets] = wcord.distill(table.replace(changes), folder / targets, progress=False)
    return runs


@pytest.mark.parametrize("targets", WITHOUT_CLASSES)
def test_results_have_the_name_of_their_measure(
    run_of: dict[str, wcord.Run], targets: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, name = run_of[targets], {"regression": "r2", "multilabel": "average_precision"}[targets]
    assert run.summary is not None and run.status.state == "finished"
    result = run.summary["arms"]["wcord"]
    assert {f"test_{name}", f"held_out_{name}"} < set(result) and "test_accuracy" not in result
    assert {f"test_{name}", f"held_out_{name}"} == set(run.summary["teacher"])
    data = load_arrays((X, WITHOUT_CLASSES[targets][0]), run.settings.data)
    student = NetworkInput(run.settings.student, data, run.settings.seed)
    with torch.no_grad():
        outputs = run.student("wcord").eval()(student.images_of(data.test))
    measure = {"regression": r_squared, "multilabel": average_precision}[targets]
    assert result[f"test_{name}"] == pytest.approx(measure(outputs, data.test.labels), abs=1e-3)
    names = set(run.metrics()["name"])
    assert {f"test_{name}", f"held_out_{name}", f"probe_{name}", "teacher_loss"} <= names
    table = report([run])
    assert table.metric == f"test_{name}".replace("_", " ")
    assert main(["report", str(run.path)]) == 0 and table.metric in capsys.readouterr().out
    (run.path / "summary.json").rename(run.path / "summary.old")
    assert main(["resume", str(run.path)]) == 0
    assert {"r2": "R²", "average_precision": "average precision"}[name] in capsys.readouterr().out
    before = json.loads((run.path / "summary.old").read_text())
    assert run.summary["arms"] == before["arms"]


def test_a_sweep_of_regression_is_compared_by_its_measure(
    run_of: dict[str, wcord.Run], tmp_path: Path
) -> None:
    swept = wcord.sweep(run_of["regression"].settings, {}, seeds=2, folder=tmp_path, progress=False)
    assert list(by_seed(swept, {}).columns) == ["plain", "wcord"]
    with pytest.raises(SettingsError, match=r"no run has 'test_accuracy'; there are test_r2"):
        by_seed(swept, {}, "test_accuracy")


def test_colours_of_regression_are_fifths_of_the_first_target() -> None:
    values = torch.tensor(rng.normal(size=(500, 2)), dtype=torch.float32)
    colours = Colours.of(values, ("a", "b"), "regression")
    groups = colours.of_labels(values)
    assert len(colours.names) == 5 and groups.bincount().tolist() == [100] * 5
    order = values[:, 0].argsort()
    assert (groups[order].diff() >= 0).all()
    assert (
        Colours.of(torch.zeros(9, 1), ("a",), "regression")
        .of_labels(torch.zeros(9, 1))
        .unique()
        .numel()
        == 1
    )


def test_colours_of_several_labels_are_the_rarest() -> None:
    labels = torch.tensor(
        [[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 0]], dtype=torch.uint8
    )
    colours = Colours.of(labels, ("a", "b", "c"), "multilabel")
    assert colours.names == ("a", "b", "c", "no label")
    assert colours.of_labels(labels).tolist() == [1, 0, 2, 3, 1]
    assert colours.of_outputs(labels * 2.0 - 1).tolist() == [1, 0, 2, 3, 1]


def test_a_teacher_no_better_than_the_mean_is_warned_of(
    tmp_path: Path, table: wcord.Experiment
) -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(module[2].bias, 50.0)
    settings = table.replace({"arms": {"a": {"mse": 1}}})
    with pytest.warns(UserWarning, match="no better than the mean of the targets"):
        wcord.distill(settings, tmp_path / "run", False, data=(X, TARGETS), teacher=module)
    with pytest.warns(UserWarning, match="order 1 trains best"):  # one that is trained here
        wcord.distill(settings, tmp_path / "far", False, data=(X, 1000 + TARGETS))
    about = dict(load_arrays((X, 100 * TARGETS)).contents.remarks)
    assert "targets of order 1 train better" in about["target 0"]


def test_pictures_may_have_regression_targets(tmp_path: Path, table: wcord.Experiment) -> None:
    images = rng.integers(0, 256, (120, 8, 8)).astype(np.uint8)
    settings = table.replace({"arms": {"a": {"mse": 1, "gckt": 1}}, "student.model": "small:4-8-8"})
    run = wcord.distill(settings, tmp_path / "run", False, data=(images, TARGETS))
    assert run.status.state == "finished" and (run.path / "pictures.png").exists()


def test_regression_with_cached_outputs(tmp_path: Path, table: wcord.Experiment) -> None:
    settings = table.replace({"arms": {"a": {"mse": 1, "gckt": 1}}})
    run = wcord.distill(
        settings, tmp_path / "run", False,
        data=(X, TARGETS), teacher_features=X[:, :4], teacher_logits=TARGETS,
    )  # fmt: skip
    assert run.summary is not None and run.summary["teacher"]["test_r2"] == pytest.approx(1)


# ---------------------------------------------------------------------------------------- the pages


@pytest.fixture
def shown(run_of: dict[str, wcord.Run], folder: Path) -> Path:
    """The folder of runs that the pages show, with a run of each kind."""
    for name, run in run_of.items():
        (folder / name).symlink_to(run.path)
    return folder


@pytest.mark.parametrize("targets", WITHOUT_CLASSES)
def test_a_run_on_a_table_opens_on_the_live_page(shown: Path, canvas: Canvas, targets: str) -> None:
    app = open_page("live", run=targets)
    assert not app.error and not app.exception
    (status,), (about,) = canvas.last("status"), canvas.last("run")
    name = {"regression": "test_r2", "multilabel": "test_average_precision"}[targets]
    assert status.about["result"] == name and name in about.about["definitions"]
    assert name in {part.about["name"] for part in canvas.last("curve")}
    assert len(canvas.last("frame")) == 1 and about.about["classes"]
    canvas.say(app, "data")
    assert not app.error and app.dataframe and not app.get("image")
    assert "arrays of 6" in "\n".join(text.value for text in app.markdown)


def test_samples_that_are_no_pictures_are_absent_with_a_reason(
    run_of: dict[str, wcord.Run],
) -> None:
    run = run_of["regression"]
    with pytest.raises(ValueError, match="arrays of 6, which have no pictures"):
        sample_images.read(run, run.snapshot())
    found, picture = data_card.read(run.settings)
    assert picture is None and found["shape"] == [6]
    data_card.check(found)


def test_the_sheet_of_an_exported_page_names_the_measure(run_of: dict[str, wcord.Run]) -> None:
    run = run_of["regression"]
    watch = Watch(run.path)
    assert watch.result == "test_r2"
    about = {
        "run": {"arms": [{"name": arm} for arm in run.arms], "run": "r"},
        "status": {"steps": run.steps, "sentence": ""}, "recording": {"left_out": []},
    }  # fmt: skip
    text = run_sheet.html_of(run, about)
    assert "test R²" in text and "test accuracy" not in text
