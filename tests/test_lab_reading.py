"""Reading a run piece by piece: the same as reading it whole, whatever the writer does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_run import ARMS, line_of, write_run

from lab.reading.watch import MOST_POINTS, Metrics, Watch
from lab.words.vocabulary import MEASURES
from wcord.runs import Run, Status


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", epochs=4)


def wide(run: Run, name: str) -> pd.DataFrame:
    """Return one metric from the whole table, the slow way."""
    frame = run.metrics()
    frame = frame[frame["name"] == name]
    return frame.pivot_table(index="step", columns="arm", values="value", aggfunc="last")


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12))
@settings(max_examples=12)
def test_pieces_add_up_to_the_whole(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    path = write_run(tmp_path_factory.mktemp("run"), epochs=3)
    content = (path / "metrics.jsonl").read_bytes()
    growing = path / "growing.jsonl"
    metrics, sofar = Metrics(growing), 0
    for cut in [*cuts, len(content)]:  # lines are torn anywhere
        sofar = min(sofar + cut, len(content))
        growing.write_bytes(content[:sofar])
        metrics.poll()
    expected = wide(Run(path), "total")
    read = metrics.curves("total", list(ARMS))
    for arm in ARMS:
        np.testing.assert_allclose(read[arm], expected[arm], rtol=1e-14)
    assert read["epoch"].tolist() == [0, 1, 2, 3]


def test_a_resumed_run_that_was_cut_back_is_read_anew(made_up: Path) -> None:
    path = made_up / "metrics.jsonl"
    metrics = Metrics(path)
    before = metrics.poll()
    kept = path.read_text().splitlines(keepends=True)[:20]
    longer = [line_of(99, 9.0, "plain", "total", -1.0)] * 400
    path.write_text("".join(kept + longer))  # longer than before, so size tells nothing
    assert metrics.poll() > before
    assert metrics.value_at("plain", "total", 10**9) == -1.0
    assert sum(len(s.steps) for s in metrics.series.values()) == 420


def test_damaged_lines_cost_only_themselves(made_up: Path) -> None:
    path = made_up / "metrics.jsonl"
    with open(path, "a") as file:
        file.write('{"step": 1}\nnot json\n[]\n' + line_of(70, 5.0, "crd", "total", None))
    metrics = Metrics(path)
    metrics.poll()
    assert np.isnan(metrics.value_at("crd", "total", 10**9))
    assert np.isnan(metrics.value_at("crd", "no such name", 10**9))
    assert Metrics(made_up / "absent.jsonl").poll() == 1


def test_long_curves_are_thinned_with_their_ends_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(line_of(s, s / 10, "kd", "ce", float(s)) for s in range(5000)))
    metrics = Metrics(path)
    metrics.poll()
    table = metrics.curves("ce", ["kd"])
    assert len(table) <= MOST_POINTS
    assert table["kd"].iloc[[0, -1]].tolist() == [0, 4999]


def test_watch_gives_what_the_run_gives(made_up: Path) -> None:
    watch, run = Watch(made_up), Run(made_up)
    step = run.steps[-1]
    np.testing.assert_array_equal(
        watch.picture(step, "wcord").plan, run.snapshot(step).arm("wcord").plan
    )
    assert watch.picture(step, "wcord") is watch.picture(step, "wcord")  # read once
    for other in run.steps:
        watch.snapshot(other)
    assert len(watch._snapshots) <= 4
    _, table = watch.curves("same_class_mass")
    assert list(table.columns) == ["epoch", *ARMS]
    assert watch.terms("wcord")["gckt"]["weight"] == 5.0
    assert watch.epochs == 4 and watch.measured(["cka", "true_partner_mass"]) == ["cka"]
    told = watch.values_at("crd", 29)
    assert told["total"] == watch.metrics.value_at("crd", "total", 28)
    assert {"crd", "same_class_mass", "test_accuracy"} <= set(told) and "gckt" not in told
    assert watch.kept("key", object) is watch.kept("key", object)
    assert watch.kept_words("key", "made".upper) == watch.kept_words("key", "other".upper) == "MADE"


def test_map_is_pca_until_a_frame_was_drawn_and_then_the_newest_one(made_up: Path) -> None:
    from lab.reading.layouts import Frame
    from lab.reading.map_worker import write_frame

    watch = Watch(made_up)
    first = watch.layout(28, "wcord+kd")
    assert first.method == "PCA" and first.frame.teacher.shape == (60, 2)
    frame = Frame(np.zeros((60, 2)), np.ones((60, 2)))
    for step in (14, 56):
        write_frame(made_up, "wcord+kd", step, frame)
    later = watch.layout(28, "wcord+kd")
    assert (later.method, later.step) == ("UMAP", 14)
    np.testing.assert_array_equal(later.frame.student, frame.student)
    assert watch.layout(28, "plain").method == "PCA"


def test_what_is_missing_or_damaged_is_one_line(made_up: Path, tmp_path: Path) -> None:
    watch = Watch(made_up)
    with pytest.raises(ValueError, match="step 7 is gone"):
        watch.snapshot(7)
    (made_up / "snapshots" / "0.safetensors").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"snapshot 0\.safetensors cannot be read"):
        watch.snapshot(0)
    with pytest.raises(ValueError, match="no run at"):
        Watch(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "settings",
    [
        "a: [",
        "just words",
        "arms: {a: {ce: 1}}\nepochs: 3",  # terms that are not written out
        "arms: {a: [ce]}\nepochs: 3",
        "arms: {a: {ce: {weight: much}}}\nepochs: 3",
        'arms: {"\\ud800": {ce: {weight: 1}}}\nepochs: 3',
        "arms: {a: {ce: {weight: 1}}}\nepochs: many",
        "arms: {a: {ce: {weight: 1}}}",
    ],
)
def test_settings_that_cannot_be_shown_are_refused_at_once(made_up: Path, settings: str) -> None:
    (made_up / "settings.yaml").write_text(settings)
    with pytest.raises(ValueError, match="settings of run cannot be read") as refused:
        Watch(made_up)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("pairing", "shown"),
    [
        ({"broken": 0.75}, True),
        ({"broken": 0.75, "within": "data"}, False),
        ({"broken": 0}, False),
        (None, False),
    ],
)
def test_masses_of_partners_are_measured_where_pairs_are_wrong_within_the_batch(
    made_up: Path, pairing: dict[str, Any] | None, shown: bool
) -> None:
    settings = yaml.safe_load((made_up / "settings.yaml").read_text())
    settings["pairing"] = pairing
    if pairing is None:  # as of before there was such a setting
        del settings["pairing"]
    (made_up / "settings.yaml").write_text(yaml.safe_dump(settings))
    measured = Watch(made_up).measured(MEASURES)
    assert {"cka", "plan_cost"} <= set(measured) <= set(MEASURES)
    assert ("true_partner_mass" in measured) == ("wrong_partner_mass" in measured) == shown


def test_speed_is_that_of_the_last_looks(made_up: Path) -> None:
    watch = Watch(made_up)
    assert watch.speed(Status(heartbeat=100.0, epoch=1.0)) is None
    assert watch.speed(Status(heartbeat=104.0, epoch=3.0)) == pytest.approx(0.5)
    assert watch.speed(Status(heartbeat=104.0, epoch=3.0)) == pytest.approx(0.5)
    for k in range(20):
        watch.speed(Status(heartbeat=105.0 + k, epoch=4.0 + 2 * k))
    assert watch.speed(Status(heartbeat=125.0, epoch=44.0)) == pytest.approx(2)
