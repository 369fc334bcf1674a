"""Training samples without a label: divided, counted, and used by the terms that need none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tables import PARTS, X, Y, table_settings

import wcord
from wcord.data import DataSettings, LabelMap, Split, load_arrays
from wcord.models import Output, build
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, Shapes
from wcord.settings.messages import SettingsError


@pytest.fixture(scope="module")
def table() -> wcord.Experiment:
    return table_settings()


HIDDEN = np.where(np.random.default_rng(1).random(120) < 0.5, -1, Y)


@pytest.mark.parametrize("per_class", [None, 4, 0])
@pytest.mark.parametrize("train_size", [None, 40])
def test_unlabelled_samples_stay_in_the_training_part(
    per_class: int | None, train_size: int | None
) -> None:
    settings = DataSettings(labels_per_class=per_class, train_size=train_size)
    data = load_arrays((X, HIDDEN), settings)
    assert data.classes == ("0", "1", "2")
    for part in PARTS:
        split: Split = getattr(data, part)
        assert np.array_equal(split.labels, HIDDEN[split.ids])
    assert (data.held_out.labels >= 0).all() and (data.test.labels >= 0).all()
    known = data.train.labels >= 0
    assert not known.all() and not data.labelled[~known].any()
    counts = data.train.labels[data.labelled].bincount(minlength=3).tolist()
    assert counts == (
        [per_class] * 3 if per_class is not None else data.train.labels[known].bincount().tolist()
    )
    if train_size is None:
        assert (~known).sum() == (HIDDEN < 0).sum()
        assert len(data.test) == round(0.2 * (HIDDEN >= 0).sum())
        assert data.contents.unlabelled == (HIDDEN < 0).sum()
    assert data.contents.parts["train"] == len(data.train)
    assert "have no label" in data.contents.lines()[0]


def test_labels_per_class_counts_labelled_samples() -> None:
    with pytest.raises(ValueError, match=r"smallest class has .* labelled training images"):
        load_arrays((X, HIDDEN), DataSettings(labels_per_class=30))


def test_the_label_map_keeps_missing_labels() -> None:
    labels = torch.tensor([2, -1, 0, 3])
    mapped = LabelMap.parse({"modulo": 2}, ("a", "b", "c", "d"))(labels)
    assert mapped.tolist() == [0, -1, 0, 1]


MISSING: dict[str, tuple[Any, str]] = {
    "NaN": (np.where(Y == 0, np.nan, Y), "missing values .NaN.: write -1"),
    "None": ([None, 0, 1] * 40, "missing values: write -1"),
    "NA": (pd.Series(Y).astype("Int64").mask(Y == 0), "write -1"),
    "text": (["a", None, "b"] * 40, "missing values: write -1"),
    "two classes": (np.where(Y == 0, -1, 1), "one class only.*number two classes 0 and 1"),
    "other negatives": (Y - 2, "-1, which marks samples without a label, and -2"),
    "all": (np.full(120, -1), "no label .only -1.: give class_names"),
}


@pytest.mark.parametrize("fault", MISSING)
def test_missing_labels_of_other_forms_are_refused(fault: str) -> None:
    labels, message = MISSING[fault]
    with pytest.raises(ValueError, match=message):
        load_arrays((X, labels))


@pytest.mark.parametrize("part", ["val", "test"])
def test_missing_labels_are_refused_where_results_are_measured(part: str) -> None:
    given = {"x_train": X, "y_train": Y, f"x_{part}": X, f"y_{part}": HIDDEN}
    with pytest.raises(ValueError, match=f"labels_{part} holds -1.*leave these samples out"):
        load_arrays(given)


def test_arms_and_teacher_use_the_labels_that_there_are(
    tmp_path: Path, table: wcord.Experiment
) -> None:
    """Other labels of unlabelled samples change nothing; the teacher is trained on the others."""
    images = {"x_train": X, "x_test": X[:30], "y_test": Y[:30], "x_val": X[:30], "y_val": Y[:30]}
    run = wcord.distill(table, tmp_path / "a", False, data=images | {"y_train": HIDDEN})
    known = HIDDEN >= 0
    assert run.summary is not None and run.data is not None
    assert (
        run.summary["samples"]["labelled"] == known.sum()
        and run.data["unlabelled"] == (~known).sum()
    )
    assert all(np.isfinite(v["test_accuracy"]) for v in run.summary["arms"].values())
    with pytest.raises(SettingsError, match=r"only \d+ training samples have a label"):
        wcord.distill(
            table.replace({"batch": 100}), tmp_path / "b", False, data=images | {"y_train": HIDDEN}
        )
    none = images | {"y_train": np.full(120, -1), "class_names": ["a", "b", "c"]}
    with pytest.raises(SettingsError, match="'plain': ce would see no label"):
        wcord.distill(table, tmp_path / "c", False, data=none)
    module = build("mlp:8", 6, (), 3)
    arms = {"a": {"kd": 1, "gckt": 1}}
    with pytest.warns(UserWarning):
        free = wcord.distill(
            table.replace({"arms": arms}), tmp_path / "d", False, data=none, teacher=module
        )
    assert free.status.state == "finished"


def test_cross_entropy_ignores_missing_labels() -> None:
    logits = torch.randn(6, 3)
    label, labelled = torch.tensor([0, -1, 2, 1, -1, 2]), torch.tensor([1, 0, 1, 0, 0, 1]).bool()
    batch = Batch(torch.arange(6), label, labelled, label.clamp_min(0), 0, 0)
    term = TERMS["ce"](TERMS["ce"].Settings(), Shapes(2, 2, 3, 3, True, 6), 0)
    loss = term(batch, Output(logits, logits), Output(logits, logits), {})
    expected = -logits.log_softmax(1)[[0, 2, 5], [0, 2, 2]].mean()
    torch.testing.assert_close(loss, expected)
