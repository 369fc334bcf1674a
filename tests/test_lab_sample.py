"""One sample: what the networks see of it, who is near it, its rows and its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_run import write_run

import wcord
from lab import sample_charts
from lab.palette import LIGHT
from lab.reading import sample_images
from lab.reading.watch import Watch
from lab.sample import nearest
from wcord.training.evaluation import neighbours

rng = np.random.default_rng(0)


def test_pictures_are_those_of_the_samples_that_were_probed(finished: wcord.Run) -> None:
    from sklearn.datasets import load_digits

    snapshot = finished.snapshot()
    seen = sample_images.read(finished, snapshot)
    digits = load_digits()
    known = {np.rint(i * (255 / 16)).astype(np.uint8).tobytes(): t
             for i, t in zip(digits.images, digits.target, strict=True)}  # fmt: skip
    assert len(seen.teacher) == len(seen.student) == len(snapshot.labels)
    for picture, label in zip(seen.teacher, snapshot.labels, strict=True):
        assert min(picture.shape[:2]) >= sample_images.SIDE
        times = picture.shape[0] // 8
        small = picture[::times, ::times]
        assert (small[..., 0] == small[..., 1]).all()
        assert known[small[..., 0].tobytes()] == label


def test_views_are_applied_to_each_side(short: wcord.Experiment, tmp_path: Path) -> None:
    experiment = wcord.load("digits-privileged").replace({"epochs": 1, "teacher.epochs": 1})
    experiment = experiment.replace({f"arms.{arm}": None for arm in list(experiment.arms)[1:]})
    run = wcord.distill(experiment, tmp_path / "run", progress=False)
    seen = sample_images.read(run, run.snapshot())
    assert not np.array_equal(seen.teacher[:, :112, :112], seen.student[:, :112, :112])


def test_what_was_given_in_memory_is_not_passed_off_as_the_settings_data(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    images = rng.integers(0, 255, (300, 1, 8, 8), dtype=np.uint8)
    labels = rng.integers(0, 10, 300)
    own = {"images_train": images, "labels_train": labels}
    own |= {"images_test": images, "labels_test": labels}
    few = short.replace({"epochs": 1, "teacher.epochs": 1, "arms": {"plain": {"ce": {}}}})
    run = wcord.distill(few, tmp_path / "run", progress=False, data=own)
    with pytest.raises(ValueError, match="given in memory"):
        sample_images.read(run, run.snapshot())


def test_absent_data_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WCORD_DATA", str(tmp_path / "nothing"))
    path = write_run(tmp_path / "run")
    cifar = wcord.load("digits-compression").replace({"data.source": "cifar10"})
    (path / "settings.yaml").write_text(cifar.yaml())
    run = wcord.Run(path)
    with pytest.raises(ValueError, match="cifar10 cannot be read") as refused:
        sample_images.read(run, run.snapshot())
    assert len(str(refused.value).splitlines()) == 1


def test_colour_without_lightness_is_shown_at_one_lightness() -> None:
    none = np.full((1, 2, 8, 8), 128 / 255)
    gray = sample_images.for_people(none)[0, 0, 0]
    assert np.ptp(gray.astype(int)) <= 1 and gray[0] == pytest.approx(158, abs=1)  # L* = 65
    red = none.copy()
    red[:, 0] += 40 / 255
    r, g, b = sample_images.for_people(red)[0, 0, 0].astype(int)
    assert r > 158 > g and abs(b - 158) < 25


def test_neighbours_are_those_of_the_metric() -> None:
    import torch
    from torch.nn import functional as F

    features = rng.normal(size=(40, 6)).astype(np.float32)
    near = neighbours(F.normalize(torch.from_numpy(features)), 10)
    for sample in range(40):
        assert set(nearest(features, sample, 10)) == set(np.flatnonzero(near[sample].numpy()))
    assert len(nearest(features[:3], 0, 10)) == 2


def test_rows_stand_in_class_order_and_each_bar_has_one_colour() -> None:
    labels = np.array([1, 0, 1, 0, 2])
    share, scores = rng.random(5), rng.normal(size=5)
    option = sample_charts.rows_chart(share, scores, labels, 2)
    table = option["dataset"]["source"].to_pandas()
    order = np.argsort(labels, kind="stable")
    for part, row in (("mass", share), ("score", scores)):
        columns = table[[f"{part}, other", f"{part}, class", f"{part}, own"]]
        assert (columns.notna().sum(axis=1) == 1).all()
        np.testing.assert_allclose(columns.sum(axis=1), row[order], rtol=1e-6)
    own = table["mass, own"].dropna()
    assert own.index.tolist() == [order.tolist().index(2)]
    assert table["mass, class"].notna().sum() == 1  # sample 0 shares the class
    colours = {s["itemStyle"]["color"] for s in option["series"]}
    assert LIGHT.ink in colours and len(colours) == 3


def test_answers_of_a_sample_are_read_once_from_every_picture(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", epochs=4, upto=2, samples=30, batch=16)
    watch = Watch(path)
    epochs, answers = watch.predictions("crd")
    assert epochs == [0, 1, 2] and answers.shape == (3, 30)
    expected = [wcord.Run(path).snapshot(s).arm("crd").prediction for s in watch.run.steps]
    np.testing.assert_array_equal(answers, expected)
    write_run(path, epochs=4, upto=4, samples=30, batch=16)
    (path / "snapshots" / "14.safetensors").unlink()  # thinned
    (path / "snapshots" / "28.safetensors").write_bytes(b"was read before, is damaged now")
    (path / "snapshots" / "42.safetensors").write_bytes(b"half")
    assert watch.predictions("crd")[0] == [0, 2, 4]
    assert watch.predictions("no such arm") == ([], pytest.approx(np.empty((0, 0))))


def test_the_answer_chart_shows_right_and_wrong_apart() -> None:
    option = sample_charts.prediction_chart([0.0, 1.0], np.array([3, 7]), 7, range(10), at=1.0)
    wrong, right = option["series"][0]["data"]
    assert wrong["value"] == [0.0, 3] and right["value"] == [1.0, 7]
    assert wrong["symbol"] != right["symbol"]
    marks = option["series"][0]["markLine"]["data"]
    assert [next(iter(mark)) for mark in marks] == ["yAxis", "xAxis"]
