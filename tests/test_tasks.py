"""The four tasks as presets: what is seen by whom, whose labels, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import wcord
from wcord.cli import main
from wcord.data import Data, DataSettings, LabelMap, data_root, load, load_arrays
from wcord.models import Network, build, parameter_count
from wcord.objectives import TERMS, Objective
from wcord.objectives.negatives import NegativeSampler
from wcord.objectives.term import Batch, Shapes
from wcord.settings.experiment import Experiment
from wcord.training import teacher as teachers
from wcord.training.evaluation import outputs
from wcord.training.inputs import NetworkInput
from wcord.training.linear_probe import read_probe_data
from wcord.training.prepare import build_arms
from wcord.training.task import Task
from wcord.views import View

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# what is known of each source without reading it: shape of its images and its classes
KNOWN: dict[str, tuple[tuple[int, int, int], tuple[str, ...]]] = {
    "digits": ((1, 8, 8), tuple(map(str, range(10)))),
    "cifar100": ((3, 32, 32), tuple(map(str, range(100)))),
    "stl10": ((3, 96, 96), tuple(map(str, range(10)))),
    "medmnist:octmnist_64": ((1, 64, 64), tuple(map(str, range(4)))),
    "npz:cifar10.npz": ((3, 32, 32), CIFAR),
    "npz:tinyimagenet100.npz": ((3, 32, 32), tuple(map(str, range(100)))),
    "npz:nyudv2.npz": ((3, 120, 160), tuple(map(str, range(12)))),
}
# parameters for CIFAR-100 as the published benchmark's networks have them
PUBLISHED = {
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn-16-2": 703_284,
    "wrn-40-1": 569_780,
    "wrn-40-2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "resnet50": 23_705_252,
    "mobilenetv2": 812_836,
    "shufflenetv1": 949_258,
    "shufflenetv2": 1_355_528,
}
PAIRS = [
    "wrn-40-2-wrn-16-2",
    "wrn-40-2-wrn-40-1",
    "resnet56-resnet20",
    "resnet110-resnet20",
    "resnet110-resnet32",
    "resnet32x4-resnet8x4",
    "vgg13-vgg8",
    "vgg13-mobilenetv2",
    "resnet50-mobilenetv2",
    "resnet50-vgg8",
    "resnet32x4-shufflenetv1",
    "resnet32x4-shufflenetv2",
    "wrn-40-2-shufflenetv1",
]
REAL = [p for p in wcord.presets() if wcord.load(p).data.source.startswith("npz:")]
SMALL = [p for p in REAL if not p.endswith("-full") and "resnet" not in p]
seeds = st.integers(0, 2**31 - 1)


# --- presets -----------------------------------------------------------------------------------


@cache
def network(model: str, shape: tuple[int, int, int], classes: int) -> Network:
    return Network(build(model, shape[0], shape[1:], classes), shape)


def networks(experiment: Experiment) -> tuple[Network, Network]:
    """Teacher and student of a preset, built from what is known of its data."""
    shape, classes = KNOWN[experiment.data.source]
    if experiment.data.shape:
        shape = (shape[0], *experiment.data.shape)
    built = [
        network(
            side.model,
            View.parse(side.view).shape(*shape),
            LabelMap.parse(side.labels, classes).classes,
        )
        for side in (experiment.teacher, experiment.student)
    ]
    return built[0], built[1]


@pytest.mark.parametrize("name", wcord.presets())
def test_networks_and_objectives_of_every_preset_can_be_built(name: str) -> None:
    experiment = wcord.load(name)
    teacher, student = networks(experiment)
    shapes = Shapes(
        teacher.feature_dim, student.feature_dim, teacher.classes, student.classes,
        experiment.same_labels, 256, teacher.map_shapes, student.map_shapes,
    )  # fmt: skip
    for terms in experiment.arms.values():
        Objective(terms, shapes, 0)
    assert parameter_count(teacher) >= parameter_count(student)


@pytest.mark.parametrize("pair", PAIRS)
def test_pairs_of_the_reference_tables_follow_the_standard_recipe(pair: str) -> None:
    experiment = wcord.load(f"cifar100-{pair}")
    assert pair == f"{experiment.teacher.model}-{experiment.student.model}"
    for side, net in zip(
        (experiment.teacher, experiment.student), networks(experiment), strict=True
    ):
        assert parameter_count(net) == PUBLISHED[side.model]
    slow = experiment.student.model.startswith(("mobile", "shuffle"))
    assert experiment.optimizer.lr == (0.01 if slow else 0.05)
    assert experiment.teacher.optimizer.lr == 0.05
    for optimizer in (experiment.optimizer, experiment.teacher.optimizer):
        assert (optimizer.name, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.9, 5e-4)
        assert (optimizer.schedule, optimizer.milestones) == ("multistep", (150, 180, 210))
    assert (experiment.epochs, experiment.teacher.epochs, experiment.batch) == (240, 240, 64)
    assert experiment.data.augment == "crop-flip" and experiment.data.padding == 4
    kd = experiment.arms["kd"]
    assert kd["ce"].weight == 0.1 and kd["kd"].weight == 0.9
    assert kd["kd"].temperature == 4  # type: ignore[attr-defined]
    assert "extends" not in experiment.description


def test_each_task_is_there_on_the_digits_and_on_real_images() -> None:
    assert {p for p in wcord.presets() if p.startswith("cifar100-")} == {
        f"cifar100-{pair}" for pair in PAIRS
    }
    without_full = {"cifar10-compression", "cifar10-wrong-pairs", "cifar10-wrong-pairs-control"}
    assert without_full < set(SMALL) and len(SMALL) == 10
    for small in set(SMALL) - without_full:
        full, here = wcord.load(f"{small}-full"), wcord.load(small)
        assert (full.teacher.view, full.student.view) == (here.teacher.view, here.student.view)
        assert (full.teacher.labels, full.student.labels) == (
            here.teacher.labels,
            here.student.labels,
        )
        assert full.data.train_size is None and full.epochs > here.epochs


def test_no_preset_claims_to_be_what_it_is_not() -> None:
    for name in REAL:
        experiment = wcord.load(name)
        assert "CIFAR-100" not in experiment.title
        text = experiment.description
        assert f"Data: {experiment.data.source.removeprefix('npz:')}" in text or " data as in" in (
            text.lower()
        )
        assert "/" not in experiment.data.source  # looked up in the folder of data sets


# --- made-up files in the form of the real ones ------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small random files with the names and arrays that the presets ask for."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)

    def images(n: int, height: int, width: int) -> np.ndarray:
        return draw.integers(0, 256, (n, height, width, 3), dtype=np.uint8)

    def save(name: str, n: int, size: tuple[int, int], classes: tuple[str, ...]) -> None:
        arrays: dict[str, Any] = {"class_names": np.array(classes)}
        for part, count in (("train", n), ("test", n // 2)):
            arrays[f"images_{part}"] = images(count, *size)
            arrays[f"labels_{part}"] = np.arange(count) % len(classes)
            corner = draw.integers(0, 10, (count, 2))
            arrays[f"boxes_{part}"] = np.concatenate([corner, corner + 20], 1)
        np.savez(folder / name, **arrays)

    save("cifar10.npz", 400, (32, 32), CIFAR)
    save("tinyimagenet100.npz", 900, (32, 32), KNOWN["npz:tinyimagenet100.npz"][1])
    rooms: dict[str, Any] = {"class_names": np.array(["wall", *map(str, range(12))])}
    for part, count in (("train", 400), ("test", 120)):
        rooms[f"images_{part}"] = images(count, 120, 160)
        rooms[f"depth_{part}"] = images(count, 120, 160)[..., 0]
        segments = np.zeros((count, 120, 160), np.uint8)
        segments[:, :40] = 1 + (np.arange(count) % 12)[:, None, None]
        rooms[f"segments_{part}"] = segments
    np.savez(folder / "nyudv2.npz", **rooms)
    return folder


SHORT = {
    "cifar10.npz": {"data.train_size": 200, "data.test_size": 50, "data.labels_per_class": 5},
    "tinyimagenet100.npz": {"data.train_size": 400, "data.labels_per_class": 2},
    "nyudv2.npz": {"data.labels_per_class": 3},
}


@pytest.mark.parametrize("name", SMALL)
def test_small_presets_run_on_files_of_the_same_form(
    name: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_DATA", str(files))
    experiment = wcord.load(name)
    few = SHORT[experiment.data.source.removeprefix("npz:")] | {
        "epochs": 1, "teacher.epochs": 1, "probe.batch": 16, "probe.features": 16, "threads": 1,
    }  # fmt: skip
    if experiment.data.labels_per_class == 0:
        few |= {"data.labels_per_class": 0, "linear_probe.train_size": 300}
    kept = {"arms": {a: t for a, t in experiment.plain()["arms"].items() if a in ("kd", "wcord")}}
    run = wcord.distill(experiment.replace(few | kept), tmp_path / "run", progress=False)
    assert run.status.state == "finished", run.status["error"]
    assert run.summary is not None
    assert ("kd" in run.summary["arms"]) == experiment.same_labels


@pytest.mark.parametrize("source", ["cifar10.npz", "tinyimagenet100.npz", "nyudv2.npz"])
def test_the_real_files_have_what_the_presets_look_at(source: str) -> None:
    if not (data_root() / source).exists():
        pytest.skip(f"{source} is not in the folder of data sets (WCORD_DATA)")
    for name in (p for p in REAL if wcord.load(p).data.source == f"npz:{source}"):
        experiment = wcord.load(name)
        data = load(experiment.data, 0, experiment.student.labels)
        assert data.classes == KNOWN[experiment.data.source][1] or "cifar" not in source
        for side in (experiment.teacher, experiment.student):
            assert NetworkInput(side, data, 0).labels.classes > 1


# --- unlike label sets -------------------------------------------------------------------------

LOGITS = [name for name, term in TERMS.items() if term.needs_logits]


@given(
    st.sampled_from(LOGITS),
    st.sampled_from([{"modulo": 5}, {"groups": [[0, 1], [2]]}, [0, 1, 1], {"modulo": 2}]),
    st.booleans(),
)
@settings(max_examples=30)
def test_terms_on_logits_are_refused_when_label_sets_differ(
    term: str, labels: Any, of_teacher: bool
) -> None:
    side = "teacher" if of_teacher else "student"
    arms = {"fine": {"ce": 1, "hint": 1, "gckt": 1, "lckt": 1}, "bad": {"ce": 1, term: 1}}
    changes = {f"{side}.labels": labels, "arms": arms}
    with pytest.raises(ValueError, match=f"arm 'bad': {term} compares logits") as caught:
        wcord.load("digits-compression").replace(changes)
    assert "\n" not in str(caught.value) and "gckt" in str(caught.value)
    wcord.load("digits-compression").replace(changes | {"arms.bad": None})


class Telling(nn.Module):
    """A teacher whose predictions are known: it answers by the brightest of its pixels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Flatten()
        self.last = nn.Linear(64, classes, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.eye(64)[:classes])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.body(images))


def made_up(n: int = 120, seed: int = 0) -> Data:
    draw = np.random.default_rng(seed)
    arrays = {
        "images_train": draw.integers(0, 256, (n, 8, 8), dtype=np.uint8),
        "labels_train": np.arange(n) % 10,
    }
    return load_arrays(arrays, DataSettings(labels_per_class=4), seed, {"modulo": 5})


def task_of(experiment: Experiment, data: Data, classes: int) -> Task:
    sights = [NetworkInput(side, data, 0) for side in (experiment.teacher, experiment.student)]
    return Task(experiment, data, sights[0], sights[1], Network(Telling(classes), (1, 8, 8)))


@given(seeds)
@settings(max_examples=10)
def test_negatives_of_other_classes_go_by_the_teacher_where_label_sets_differ(seed: int) -> None:
    """With unlike label sets by the teacher's classes, with one set by the label where known."""
    data = made_up(seed=seed)
    other = wcord.load("digits-other-task").replace({"batch": 16})
    task = task_of(other, data, 10)
    pixels = (data.train.images.float().flatten(1) / 255 - data.mean) / data.std
    predicted = pixels[:, :10].argmax(1)
    index = torch.arange(len(data.train))
    assert torch.equal(task.groups(index, index), predicted)
    assert torch.equal(task.labels, data.train.labels % 5)

    same = other.replace({"teacher.labels": {"modulo": 5}})
    expected = [
        int(data.train.labels[i]) % 5 if data.labelled[i] else int(pixels[i, :5].argmax())
        for i in range(len(data.train))
    ]
    assert task_of(same, data, 5).groups(index, index).tolist() == expected

    rule = NegativeSampler(len(data.train), 10, "other_class", 64)
    rule.set_groups(index, predicted)
    batch = Batch(index, task.labels, data.labelled, predicted, 0, seed)
    rows = rule.draw(batch, "test").rows
    assert rows is not None and (predicted[rows] != predicted[:, None]).all()


def test_a_teachers_accuracy_is_told_in_its_own_label_set(tmp_path: Path) -> None:
    sides = {"teacher.labels": {"groups": {"low": [0, 1, 2, 3, 4], "high": [5, 6, 7, 8, 9]}}}
    experiment = wcord.load("digits-other-task").replace(
        {"epochs": 1, "teacher.epochs": 3, "arms": {"wcord": {"ce": 1, "gckt": 5}}, **sides}
    )
    run = wcord.distill(experiment, tmp_path / "run", progress=False)
    data = load(experiment.data, 0, {"modulo": 5})
    net = build("digits-teacher", 1, (8, 8), 2)
    net.load_state_dict(load_file(run.path / "teacher.safetensors"))
    with torch.no_grad():
        logits = net.eval()((data.test.images.float() / 255 - data.mean) / data.std)
    right = [int(row.argmax()) == int(y >= 5) for row, y in zip(logits, data.test.labels)]  # noqa: B905
    assert run.summary is not None
    assert run.summary["teacher"]["test_accuracy"] == pytest.approx(100 * np.mean(right))
    assert run.summary["teacher"]["test_accuracy"] > 80


# --- what is refused ---------------------------------------------------------------------------

AT_ONCE: list[tuple[dict[str, Any], str]] = [
    ({"student.view": ["luminanc"]}, "did you mean luminance?"),
    ({"student.view": [{"downsample": {"factr": 2}}]}, "settings: factor, resize"),
    ({"teacher.view": ["left", "depth"]}, "put it first"),
    ({"student.model": "resnet9"}, "unknown model 'resnet9'"),
    ({"data.labels_per_class": 0}, "arm 'plain': ce would see no label"),
    ({"linear_probe": ["same", "npz"]}, "write npz:PATH"),
    ({"linear_probe": {"source": []}}, "did you mean 'sources'?"),
]
BEFORE_TRAINING: list[tuple[dict[str, Any], str]] = [
    ({"student.view": ["chrominance"]}, "needs colour, but digits is gray"),
    ({"student.view": ["depth"]}, "needs depth, which digits does not have"),
    ({"teacher.view": ["crop"]}, "needs boxes, which digits does not have"),
    ({"student.view": [{"downsample": {"factor": 3}}]}, "cannot divide 8×8 pixels by 3"),
    ({"data.source": "npz:gray.npz", "student.view": ["chrominance"]}, "set data.drop_gray"),
    ({"teacher.labels": {"groups": [[0, 1, 2], [3, 4, 5]]}}, "does not cover the class '6'"),
    ({"teacher.labels": {"groups": [[0, 1], [1, 2]]}}, "names the class 1 twice"),
    ({"student.labels": {"modulo": 11}}, "from 2 to 10"),
    ({"student.labels": [0, 1, 2]}, "labels lists 3 classes, but the data set has 10"),
    ({"student.labels": [0, 2] * 5}, "every number from 0 to 2"),
    ({"linear_probe": ["npz:absent.npz"]}, "linear_probe.sources: there is no file"),
    ({"linear_probe": ["npz:gray.npz"]}, "has images of 3 channels, the run of 1"),
]


def base(changes: dict[str, Any]) -> Experiment:
    arms = {"arms": {"plain": {"ce": 1}, "wcord": {"ce": 1, "gckt": 5, "lckt": 0.05}}}
    return wcord.load("digits-compression").replace(arms | changes)


@pytest.mark.parametrize(("changes", "words"), AT_ONCE)
def test_settings_of_a_task_are_refused_at_once(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        base(changes)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("changes", "words"), BEFORE_TRAINING)
def test_what_a_data_set_lacks_is_said_before_anything_trains(
    changes: dict[str, Any],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
    images[7] = images[7, ..., :1]  # a picture without colour among others
    np.savez(tmp_path / "gray.npz", images_train=images, labels_train=np.arange(200) % 10)
    monkeypatch.setenv("WCORD_DATA", str(tmp_path))
    monkeypatch.setattr(teachers, "train", lambda *_: pytest.fail("a teacher was trained"))
    experiment = base(changes)
    tries = (wcord.estimate, lambda e: wcord.distill(e, tmp_path / "run", progress=False))
    for attempt in tries:
        with pytest.raises(ValueError) as caught:
            attempt(experiment)
        assert words in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "mine.yaml").write_text(experiment.yaml())
    assert main(["train", str(tmp_path / "mine.yaml"), "--run-dir", str(tmp_path / "two")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "two").exists()


STEPS = st.one_of(
    st.sampled_from(["identity", "luminance", "edges", "left", "bottom", "depth", "chrominance"]),
    st.builds(lambda f: {"downsample": {"factor": f}}, st.integers(2, 5)),
    st.builds(lambda s: {"noise": {"sigma": s}}, st.floats(0, 2)),
)
LABELS = st.one_of(
    st.none(),
    st.builds(lambda m: {"modulo": m}, st.integers(0, 12)),
    st.lists(st.integers(0, 4), min_size=8, max_size=11),
    st.builds(lambda cut: {"groups": [list(range(cut)), list(range(cut, 10))]}, st.integers(0, 10)),
)


@cache
def digits() -> Data:
    return load(DataSettings(), 0)


@given(st.lists(STEPS, min_size=1, max_size=3), LABELS, seeds)
@settings(max_examples=60)
def test_any_view_and_label_map_work_or_are_refused_in_one_line(
    view: list[Any], labels: Any, seed: int
) -> None:
    data = digits()
    try:
        experiment = base({"student.view": view, "student.labels": labels})
        sight = NetworkInput(experiment.student, data, seed)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    few = data.test.take(torch.arange(5))
    seen = sight.images_of(few)
    assert tuple(seen.shape[1:]) == sight.shape == View.parse(view).shape(1, 8, 8)
    assert seen.isfinite().all()
    mapped = sight.labels(data.train.labels)
    assert set(mapped.tolist()) == set(range(sight.labels.classes))


# --- representations: no labels, linear probes -------------------------------------------------


def logistic(x: np.ndarray, y: np.ndarray, test: np.ndarray, strength: float) -> np.ndarray:
    """Predictions of multinomial logistic regression, minimised here by L-BFGS in float64."""
    mean, std = x.mean(0), x.std(0)
    std[std == 0] = 1
    a, b = (torch.from_numpy((z - mean) / std).double() for z in (x, test))
    classes, target = int(y.max()) + 1, torch.from_numpy(y)
    weight = torch.zeros(a.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=2000, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        value = F.cross_entropy(a @ weight + bias, target, reduction="sum") * strength
        value = value + weight.square().sum() / 2
        value.backward()
        return value

    solver.step(loss)  # type: ignore[arg-type]
    return (b @ weight + bias).argmax(1).detach().numpy()


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> tuple[wcord.Run, Path]:
    """Students without labels, probed on the digits and on a file of mirrored, larger digits."""
    folder = tmp_path_factory.mktemp("probed")
    data = digits()
    images = data.train.images[:, 0].flip(2).repeat_interleave(2, 1).repeat_interleave(2, 2)
    labels = (data.train.labels % 3).numpy()
    np.savez(folder / "mirror.npz", images_train=images.numpy(), labels_train=labels)
    arms = {"untrained": {"lckt": 0}, "gckt": {"gckt": {"weight": 5, "dim": 64}}}
    changes = {"epochs": 3, "teacher.epochs": 5, "arms": arms}
    asked = {"sources": ["same", f"npz:{folder / 'mirror.npz'}"], "train_size": 400}
    asked["strength"] = 0.1
    experiment = wcord.load("digits-no-labels").replace(changes | {"linear_probe": asked})
    return wcord.distill(experiment, folder / "run", progress=False), folder


def test_probes_are_logistic_regression_on_frozen_features(probed: tuple[wcord.Run, Path]) -> None:
    run, folder = probed
    experiment, source = run.settings, f"npz:{folder / 'mirror.npz'}"
    data = load(experiment.data, 0)
    mirror = load(DataSettings(source=source, size=8), 0)
    assert mirror.shape == (1, 8, 8)
    sights = [NetworkInput(side, data, 0) for side in (experiment.teacher, experiment.student)]
    chosen = read_probe_data(experiment, data, sights)
    teacher = build("digits-teacher", 1, (8, 8), 10)
    teacher.load_state_dict(load_file(run.path / "teacher.safetensors"))
    assert run.summary is not None
    rows = {"teacher": (teacher, run.summary["teacher"])}
    rows |= {arm: (run.student(arm), run.summary["arms"][arm]) for arm in run.arms}
    for net, row in rows.values():
        net = Network(net, (1, 8, 8))
        for of, name in ((data, ""), (mirror, f"_on_{source}")):
            asked = next(p for p in chosen if p.name == f"linear_probe_accuracy{name}")
            fitted = asked.train.ids
            assert len(fitted) == 400 and set(fitted.tolist()) <= set(of.train.ids.tolist())
            assert torch.bincount(asked.train_labels).float().std() < 12  # spread over classes
            place = torch.isin(of.train.ids, fitted)
            x, test = (
                outputs(net, (part.images.float() / 255 - data.mean) / data.std).features.numpy()
                for part in (of.train.take(place), of.test)
            )
            y = of.train.labels[place].numpy()
            guessed = logistic(x, y, test, 0.1)
            expected = 100 * np.mean(guessed == of.test.labels.numpy())
            # the solvers agree but for samples on the border
            assert row[f"linear_probe_accuracy{name}"] == pytest.approx(expected, abs=0.6)
    chance = run.summary["arms"]["gckt"]["test_accuracy"]
    assert chance < 40 < run.summary["arms"]["gckt"]["linear_probe_accuracy"]


def test_a_probe_changes_nothing_else(probed: tuple[wcord.Run, Path], tmp_path: Path) -> None:
    run, _ = probed
    plain = wcord.distill(
        run.settings.replace({"linear_probe": False}), tmp_path / "run", progress=False
    )
    assert plain.summary is not None and run.summary is not None
    for arm, row in plain.summary["arms"].items():
        assert "linear_probe_accuracy" not in row
        assert row == {k: v for k, v in run.summary["arms"][arm].items() if "linear" not in k}
    table = wcord.sweep(run.settings, {}, seeds=[0], folder=tmp_path / "sweep", progress=False)
    assert {c for c in table.columns if "linear" in c} == {
        k for k in run.summary["teacher"] if "linear" in k
    }


def test_students_without_labels_learn_the_same_whatever_the_labels_say() -> None:
    terms = {"gckt": {"weight": 5, "dim": 8}, "crd": {"dim": 8}, "lckt": 1, "kd": 1, "hint": 1}
    experiment = wcord.load("digits-no-labels").replace(
        {"batch": 16, "arms": {"mine": terms, "untrained": {"lckt": 0}}}
    )
    weights: list[list[dict[str, torch.Tensor]]] = []
    for turn in range(2):
        data = made_up()
        data = replace(data, labelled=torch.zeros(len(data.train), dtype=torch.bool))
        spun = replace(data.train, labels=(data.train.labels + turn) % 10)
        task = task_of(experiment, replace(data, train=spun), 10)
        student = network("digits-student", (1, 8, 8), 10)
        arms = build_arms(experiment, task, student, torch.device("cpu"))
        for step in range(4):
            given_ = task.at(step)
            for arm in arms:
                arm.step(given_.batch, given_.teacher, given_.images, 1e-2, "float32")
        weights.append([dict(arm.student.named_parameters()) for arm in arms])
        first = dict(student.named_parameters())
        assert all(torch.equal(first[k], v) for k, v in weights[-1][1].items())  # never trained
        assert any(not torch.equal(first[k], v) for k, v in weights[-1][0].items())
    for one, two in zip(*weights, strict=True):
        assert all(torch.equal(one[k], two[k]) for k in one)
