"""What the two networks see of the samples: the very pictures, their views, or one line why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_run import write_run

import wcord
from lab.reading import sample_images
from lab.reading.watch import Watch

rng = np.random.default_rng(0)


def test_pictures_are_those_of_the_samples_that_were_probed(finished: wcord.Run) -> None:
    from sklearn.datasets import load_digits

    snapshot = finished.snapshot()
    seen = sample_images.read(finished, snapshot)
    digits = load_digits()
    known = {
        np.rint(image * (255 / 16)).astype(np.uint8).tobytes(): label
        for image, label in zip(digits.images, digits.target, strict=True)
    }
    assert seen.teacher.shape == seen.student.shape == (len(snapshot.labels), 8, 8, 3)
    for picture, label in zip(seen.teacher, snapshot.labels, strict=True):
        assert (picture == picture[..., :1]).all()
        assert known[picture[..., 0].tobytes()] == label
    watch = Watch(finished.path)
    assert watch.sample_images() is watch.sample_images()  # read once


def test_views_are_applied_to_each_side(tmp_path: Path) -> None:
    experiment = wcord.load("digits-privileged").replace({"epochs": 1, "teacher.epochs": 1})
    experiment = experiment.replace({f"arms.{arm}": None for arm in list(experiment.arms)[1:]})
    run = wcord.distill(experiment, tmp_path / "run", progress=False)
    seen = sample_images.read(run, run.snapshot())
    assert seen.teacher.shape != seen.student.shape or (seen.teacher != seen.student).any()


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


def test_absent_data_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WCORD_DATA", str(tmp_path / "nothing"))
    path = write_run(tmp_path / "run")
    cifar = wcord.load("digits-compression").replace({"data.source": "cifar10"})
    (path / "settings.yaml").write_text(cifar.yaml())
    run = wcord.Run(path)
    with pytest.raises(ValueError, match="cifar10 cannot be read") as refused:
        sample_images.read(run, run.snapshot())
    assert len(str(refused.value).splitlines()) == 1


def test_gray_and_other_numbers_of_channels_are_shown_as_rgb() -> None:
    gray = rng.integers(0, 256, (2, 1, 4, 4), dtype=np.uint8)
    shown = sample_images.for_people(gray)
    np.testing.assert_array_equal(shown, gray.transpose(0, 2, 3, 1).repeat(3, axis=3))
    five = rng.random((2, 5, 4, 4))
    assert sample_images.for_people(five).shape == (2, 4, 4, 3)
    assert not sample_images.for_people(np.full((1, 3, 2, 2), np.nan)).any()


def test_colour_without_lightness_is_shown_at_one_lightness() -> None:
    none = np.full((1, 2, 8, 8), 128 / 255)
    gray = sample_images.for_people(none)[0, 0, 0]
    assert np.ptp(gray.astype(int)) <= 1 and gray[0] == pytest.approx(158, abs=1)  # L* = 65
    red = none.copy()
    red[:, 0] += 40 / 255
    r, g, b = sample_images.for_people(red)[0, 0, 0].astype(int)
    assert r > 158 > g and abs(b - 158) < 25
