"""Normalisation of images: by measured statistics, by given ones, or none."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

import wcord
from wcord.data import load_arrays
from wcord.settings.sections import NetworkSettings
from wcord.training.inputs import NetworkInput
from wcord.training.teacher_checks import TeacherWarning

NUMBER = st.floats(-2, 2)
POSITIVE = st.floats(0.05, 3)


@settings(max_examples=20, deadline=None)
@given(st.data(), st.sampled_from([1, 3]))
def test_images_are_normalised_as_the_setting_says(draw: Any, channels: int) -> None:
    images = np.random.default_rng(channels).integers(0, 256, (24, 5, 4, channels), dtype=np.uint8)
    data = load_arrays({"images_train": images, "labels_train": np.arange(24) % 2})
    listed = st.lists(NUMBER, min_size=channels, max_size=channels)
    spread = st.lists(POSITIVE, min_size=channels, max_size=channels)
    mean = draw.draw(st.one_of(NUMBER, listed))
    std = draw.draw(st.one_of(POSITIVE, spread))

    def normalised(normalise: Any) -> torch.Tensor:
        settings = NetworkSettings(model="resnet8", normalise=normalise)
        return NetworkInput(settings, data, 0).images_of(data.train)

    pixels = data.train.images.double() / 255
    shift, scale = (torch.tensor(v, dtype=torch.float64).reshape(-1, 1, 1) for v in (mean, std))
    ours = normalised({"mean": mean, "std": std}).double()
    torch.testing.assert_close(ours, (pixels - shift) / scale, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(normalised("none").double(), pixels, rtol=0, atol=1e-6)
    measured = normalised("measured")
    assert measured.mean((0, 2, 3)).abs().max() < 1e-4
    assert (measured.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_each_network_has_its_own() -> None:
    experiment = wcord.load("digits-compression").replace({"teacher.normalise": "none"})
    assert experiment.student.normalise == "measured"
    again = wcord.settings.experiment.parse(experiment.plain())
    assert again == experiment and again.teacher.normalise == "none"


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, ...]:
    digits = load_digits()
    images = (digits.images * 255 / 16).round().astype(np.uint8)
    labels = digits.target
    return train_test_split(images, labels, test_size=0.5, random_state=0, stratify=labels)


PARTS = ("images_train", "images_test", "labels_train", "labels_test")
WAYS: dict[str, tuple[float, float, Any]] = {
    "[0, 1]": (0, 1, "none"),
    "[-1, 1]": (0.5, 0.5, {"mean": 0.5, "std": 0.5}),
    "of other statistics": (0.449, 0.226, {"mean": [0.449], "std": [0.226]}),
    "0 ... 255": (0, 1 / 255, {"mean": 0, "std": 1 / 255}),
}


@pytest.fixture(scope="module", params=WAYS)
def trained(request: pytest.FixtureRequest, digits: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
    """Return a classifier trained on images of one scale, its accuracy, and the setting."""
    images, test, labels, test_labels = digits
    shift, scale, setting = WAYS[request.param]

    def scaled(images: np.ndarray) -> torch.Tensor:
        return (torch.tensor(images)[:, None].float() / 255 - shift) / scale

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
        )  # fmt: skip
        optimizer = torch.optim.Adam(module.parameters(), 3e-3)
        for _ in range(15):
            for part in torch.randperm(len(images)).split(64):
                loss = F.cross_entropy(module(scaled(images[part])), torch.tensor(labels)[part])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    right = module.eval()(scaled(test)).argmax(1) == torch.tensor(test_labels)
    return module, 100 * right.double().mean().item(), setting


def test_a_teacher_with_the_normalisation_of_its_training_has_its_accuracy(
    trained: tuple[Any, ...], digits: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    module, own, setting = trained
    data = dict(zip(PARTS, digits, strict=True))
    experiment = wcord.load("digits-compression").replace(
        {"epochs": 1, "arms": {"kd": {"ce": 1, "kd": 1}}, "teacher.normalise": setting}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", TeacherWarning)
        run = wcord.distill(experiment, tmp_path / "a", False, teacher=module, data=data)
    assert run.summary is not None
    assert run.summary["teacher"]["test_accuracy"] == pytest.approx(own, abs=1e-9)


def test_a_teacher_with_another_normalisation_is_warned_of(
    trained: tuple[Any, ...], digits: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    """Where it loses much accuracy, the warning names the right normalisation or one as good."""
    module, own, setting = trained
    data = dict(zip(PARTS, digits, strict=True))
    wrong = "none" if setting != "none" else {"mean": 0, "std": 1 / 255}
    experiment = wcord.load("digits-compression").replace(
        {"epochs": 1, "arms": {"kd": {"ce": 1, "kd": 1}}, "teacher.normalise": wrong}
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = wcord.distill(experiment, tmp_path / "b", False, teacher=module, data=data)
    assert run.summary is not None
    lines = [str(w.message) for w in caught if issubclass(w.category, TeacherWarning)]
    assert all("\n" not in line for line in lines)
    if run.summary["teacher"]["test_accuracy"] > own - 10:
        return
    named = re.search(r"([\d.]+) % with teacher\.normalise set to (.*): set that", lines[-1])
    assert named is not None
    better = experiment.replace({"teacher.normalise": yaml.safe_load(named[2])})
    again = wcord.distill(better, tmp_path / "c", False, teacher=module, data=data)
    assert again.summary is not None
    assert again.summary["teacher"]["test_accuracy"] > own - 3


@pytest.mark.parametrize("held_out", [0.05, 0.5])
def test_a_perfect_teacher_of_unequal_classes_is_not_near_chance(
    held_out: float, tmp_path: Path
) -> None:
    labels = np.array([0] * 110 + [1] * 10)
    images = np.where(labels[:, None, None], 255, 0).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    images[:, 0, 0] = 128  # so that no image has one colour only
    perfect = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False), nn.Linear(2, 2))
    with torch.no_grad():
        perfect[1].weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 64))
        perfect[2].weight.copy_(torch.eye(2))
    experiment = wcord.load("digits-compression").replace(
        {"epochs": 1, "batch": 16, "data.labels_per_class": None, "data.held_out": held_out,
         "arms": {"kd": {"ce": 1, "kd": 1}}}
    )  # fmt: skip
    data = {"images_train": images, "labels_train": labels}
    with warnings.catch_warnings():
        warnings.simplefilter("error", TeacherWarning)
        wcord.distill(experiment, tmp_path / "a", False, teacher=perfect, data=data)


def test_a_teacher_near_chance_is_warned_of(digits: tuple[np.ndarray, ...], tmp_path: Path) -> None:
    images, _, labels, _ = digits
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untrained = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    with torch.no_grad():
        untrained[3].weight.zero_()
    experiment = wcord.load("digits-compression").replace(
        {"epochs": 1, "arms": {"kd": {"ce": 1, "kd": 1}}}
    )
    data = {"images_train": images, "labels_train": labels}
    with pytest.warns(UserWarning, match=r"near chance: .* of the \d+ held-out samples"):
        run = wcord.distill(experiment, tmp_path / "a", False, teacher=untrained, data=data)
    assert run.data is not None  # and in the run directory, for the page
    assert any("near chance" in entry["remark"] for entry in run.data["remarks"])
