"""A teacher's outputs in place of the teacher: equal results, and faulty outputs refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file

import wcord
from wcord.analysis.estimate import estimate
from wcord.analysis.sweep_runs import current_inputs
from wcord.cli import main
from wcord.data import load, load_arrays
from wcord.data.teacher_outputs import teacher_outputs
from wcord.models import build
from wcord.settings.messages import SettingsError
from wcord.training.evaluation import outputs

ARMS = {
    "wcord+kd": {"ce": 1, "gckt": {"weight": 5, "dim": 16}, "lckt": 0.05, "kd": 1},
    "crd": {"ce": 1, "crd": {"dim": 16, "negatives_count": None}, "hint": 1},
}


@pytest.fixture(scope="module")
def settings() -> wcord.Experiment:
    return wcord.load("digits-compression").replace(
        {"epochs": 2, "teacher.epochs": 4, "arms": ARMS, "linear_probe": True}
    )


@pytest.fixture(scope="module")
def run(settings: wcord.Experiment, tmp_path_factory: pytest.TempPathFactory) -> wcord.Run:
    return wcord.distill(settings, tmp_path_factory.mktemp("teacher") / "run", progress=False)


@pytest.fixture(scope="module")
def file(run: wcord.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wcord.save_teacher_outputs(run, tmp_path_factory.mktemp("outputs") / "t.safetensors")


def arrays(n: int = 120, size: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """Three classes of bright squares in noise."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, size, size)).astype(np.uint8)
    labels = np.arange(n) % 3
    for image, label in zip(images, labels, strict=True):
        image[: size // 2, 2 * label : 2 * label + 3] = 220
    return {"images_train": images, "labels_train": labels}


def assert_equal_students(a: wcord.Run, b: wcord.Run) -> None:
    for arm in a.arms:
        other = b.student(arm).state_dict()
        for name, value in a.student(arm).state_dict().items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-6, msg=f"{arm} {name}")
    values = [run.metrics().set_index(["step", "arm", "name"])["value"] for run in (a, b)]
    values[0] = values[0].drop("teacher_loss", level="name", errors="ignore")
    assert values[0].index.equals(values[1].index)
    np.testing.assert_allclose(values[1], values[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", [".npz", ".safetensors", "arrays"])
def test_students_of_cached_outputs_equal_those_of_the_teacher(
    run: wcord.Run, settings: wcord.Experiment, form: str, tmp_path: Path
) -> None:
    given: dict[str, Any] = {}
    if form == "arrays":
        path = wcord.save_teacher_outputs(run, tmp_path / "t.safetensors")
        saved = load_file(path)
        for kind in ("features", "logits"):
            parts = {part: saved[f"{kind}_{part}"] for part in ("train", "test")}
            given[f"teacher_{kind}"] = parts
        experiment = settings
    else:
        path = wcord.save_teacher_outputs(run, tmp_path / f"t{form}")
        experiment = settings.replace({"teacher.outputs": str(path)})
    cached = wcord.distill(experiment, tmp_path / "run", progress=False, **given)
    assert_equal_students(run, cached)
    assert cached.summary is not None and run.summary is not None
    assert cached.summary["teacher"] == run.summary["teacher"]
    assert cached.summary["arms"] == run.summary["arms"]
    assert not (cached.path / "teacher.safetensors").exists()


def test_scaled_features_and_wrong_pairs_are_as_with_the_teacher(
    run: wcord.Run, settings: wcord.Experiment, file: Path, tmp_path: Path
) -> None:
    assert settings.teacher.scale_features
    wrong = settings.replace({"pairing.broken": 0.5, "epochs": 1, "linear_probe": False})
    for within in ("batch", "data"):
        with_teacher = wrong.replace({"pairing.within": within})
        cached = with_teacher.replace({"teacher.outputs": str(file)})
        runs = [
            wcord.distill(e, tmp_path / f"{within}{k}", progress=False)
            for k, e in enumerate((with_teacher, cached))
        ]
        assert_equal_students(*runs)


def test_a_module_of_ones_own_with_arrays_in_one_part(
    settings: wcord.Experiment, tmp_path: Path
) -> None:
    """Rows follow the samples as given, whatever is drawn from them for each seed."""
    data = arrays()
    module = build("digits-teacher", 1, (8, 8), 3, seed=1).eval()
    changes = {"batch": 16, "epochs": 1, "data.labels_per_class": 4, "linear_probe": False}
    experiment = settings.replace({**changes, "teacher.normalise": "none"})
    path = wcord.save_teacher_outputs(module, tmp_path / "t.npz", data, experiment)
    images = torch.from_numpy(data["images_train"])[:, None].float() / 255
    with torch.no_grad(), np.load(path) as saved:
        np.testing.assert_allclose(saved["logits_train"], module(images).numpy(), atol=1e-5)
        features = saved["features_train"]
    for seed in (0, 1):
        seeded = experiment.replace({"seed": seed, "data.train_size": 60})
        with pytest.warns(UserWarning, match="teacher"):
            one = wcord.distill(seeded, tmp_path / f"{seed}", False, teacher=module, data=data)
        logits = np.load(path)["logits_train"]
        with pytest.warns(UserWarning, match="near chance"):
            other = wcord.distill(
                seeded, tmp_path / f"{seed}-cached", False,
                data=data, teacher_features=features, teacher_logits=torch.from_numpy(logits),
            )  # fmt: skip
        assert_equal_students(one, other)
        assert other.data is not None
        assert other.data["own"] == ["data", "teacher_features", "teacher_logits"]
        with pytest.raises(ValueError, match="objects of your own"):
            summary = other.path / "summary.json"
            summary.unlink()
            wcord.resume(other.path, progress=False)


def test_samples_that_a_run_leaves_out_have_rows_too(tmp_path: Path) -> None:
    data = arrays()
    colour = np.repeat(data["images_train"][..., None], 3, axis=3)
    colour[::3, ..., 0] //= 2
    data |= {"images_train": colour, "images_val": colour[:30], "labels_val": np.arange(30) % 3}
    experiment = wcord.load("digits-compression").replace(
        {"batch": 8, "data.train_size": 20, "data.test_size": 4, "data.drop_gray": True}
    )
    module = build("small:4-8-8", 3, (8, 8), 3, seed=1).eval()
    path = wcord.save_teacher_outputs(module, tmp_path / "t.npz", data, experiment)
    samples = load_arrays(data, experiment.data)
    with np.load(path) as saved:
        assert saved["features_train"].shape == (120, 8) and saved["features_val"].shape == (30, 8)
        images = torch.from_numpy(colour).permute(0, 3, 1, 2).float() / 255
        normal = (images - samples.mean[:, None, None]) / samples.std[:, None, None]
        with torch.no_grad():
            np.testing.assert_allclose(saved["logits_train"], module(normal), atol=2e-4)


@pytest.mark.parametrize("kind", ["features", "logits"])
def test_one_of_features_and_logits_is_enough(
    run: wcord.Run, settings: wcord.Experiment, file: Path, kind: str, tmp_path: Path
) -> None:
    saved = load_file(file)
    save_file({k: v for k, v in saved.items() if kind in k}, tmp_path / "o.safetensors")
    arms = {"hint": ARMS["crd"] | {"crd": None}, "kd": {"kd": 1}, "crd": {"crd": {}}}
    arms["hint"] = {"ce": 1, "gckt": 1, "lckt": 1, "hint": 1}
    experiment = settings.replace({"epochs": 1, "teacher.outputs": str(tmp_path / "o.safetensors")})
    allowed = "kd" if kind == "logits" else "hint"
    for arm, terms in arms.items():
        one = experiment.replace({"arms": {arm: terms}})
        if arm == allowed:
            result = wcord.distill(one, tmp_path / arm, progress=False).summary
            assert result is not None
            assert ("test_accuracy" in result["teacher"]) == (kind == "logits")
            assert ("linear_probe_accuracy" in result["teacher"]) == (kind == "features")
        else:
            named = "kd|crd|gckt|lckt|hint"
            with pytest.raises(ValueError, match=rf"({named}).*only|crd needs a class"):
                wcord.distill(one, tmp_path / arm, progress=False)
            assert not (tmp_path / arm).exists()
    if kind == "features":  # all labels are known, so groups are labels
        every = experiment.replace({"data.labels_per_class": None, "arms": {"crd": ARMS["crd"]}})
        assert wcord.distill(every, tmp_path / "all", progress=False).status.state == "finished"


def test_groups_without_logits_are_labels(settings: wcord.Experiment, file: Path) -> None:
    from wcord.training.inputs import network_inputs, read_data
    from wcord.training.task import Task

    experiment = settings.replace({"data.labels_per_class": None})
    data = read_data(experiment)
    saved = load_file(file)
    features = {part: saved[f"features_{part}"] for part in ("train", "test")}
    task = Task(
        experiment, data, *network_inputs(experiment, data), teacher_outputs(features, None, data)
    )
    index = torch.arange(50)
    assert torch.equal(task.batch(index, 0).group, data.train.labels[:50])


def test_unlabelled_samples_need_no_groups_under_terms_without_classes(tmp_path: Path) -> None:
    data = arrays() | {"labels_train": np.where(np.arange(120) % 2, -1, np.arange(120) % 3)}
    experiment = wcord.load("digits-compression").replace(
        {"batch": 8, "epochs": 1, "data.labels_per_class": None}
    )
    features = np.random.default_rng(0).random((120, 5))
    arms = {"free": {"ce": 1, "gckt": 1, "lckt": 1}}
    free = experiment.replace({"arms": arms})
    run = wcord.distill(free, tmp_path / "a", False, data=data, teacher_features=features)
    assert run.status.state == "finished"
    arms = {"a": {"ce": 1, "gckt": {"negatives": "other_class"}}}
    other = experiment.replace({"arms": arms})
    with pytest.raises(SettingsError, match=r"negatives 'other_class' needs a class of every sam"):
        wcord.distill(other, tmp_path / "b", False, data=data, teacher_features=features)


FAULTS: dict[str, tuple[Any, str]] = {
    "rows": (lambda f: f[:-1], "119 rows for 120 samples"),
    "rank 1": (lambda f: f[:, 0], r"shape \(samples, dimensions\), not \(120,\)"),
    "rank 4": (lambda f: f[:, :, None, None], "average over positions"),
    "no columns": (lambda f: f[:, :0], r"not \(120, 0\)"),
    "NaN": (lambda f: np.where(np.arange(120)[:, None] == 7, np.nan, f), "1 rows, first in row 7"),
    "infinite": (lambda f: f / 0, "NaN or infinite"),
    "huge": (lambda f: f * 1e300, "infinite"),
    "constant": (lambda f: np.ones_like(f), "every row of teacher_features is equal"),
    "complex": (lambda f: f * 1j, "numbers, not complex128"),
    "text": (lambda f: f.astype(str), "numbers, not <U"),
    "objects": (lambda f: f.astype(object), "not of objects"),
    "masked": (lambda f: np.ma.masked_less(f, 0.5), "masked"),
    "frame": (lambda f: pd.DataFrame(f).assign(name="a"), "no numbers: name"),
    "meta": (lambda f: torch.empty(f.shape, device="meta"), "no values"),
    "parts": (lambda f: {"train": f[:100], "test": f[100:]}, "has the parts train, test"),
    "unknown part": (lambda f: {"trian": f}, "did you mean train"),
    "one part twice": (lambda f: {"train": f, "training": f}, "are of one part"),
    "by part": (lambda f: {"train": f[:99]}, r"\['train'\] has 99 rows for 120"),
    "nothing": (lambda f: [], "shape"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_faulty_outputs_are_refused_in_one_line(fault: str) -> None:
    spoil, message = FAULTS[fault]
    data = load_arrays(arrays())
    features = np.random.default_rng(0).random((120, 5))
    with pytest.raises(ValueError, match=message) as caught:
        teacher_outputs(spoil(features), None, data)
    assert "\n" not in str(caught.value)


def test_parts_of_other_forms_are_refused() -> None:
    data = arrays()
    data |= {"images_test": data["images_train"][:30], "labels_test": data["labels_train"][:30]}
    features = np.random.default_rng(0).random((150, 5))
    samples = load_arrays(data)
    with pytest.raises(ValueError, match=r"one array of 150 rows; .*by part"):
        teacher_outputs(features, None, samples)
    with pytest.raises(ValueError, match="4, 5 columns"):
        teacher_outputs({"train": features[:120], "test": features[120:, :4]}, None, samples)
    with pytest.raises(ValueError, match="neither"):
        teacher_outputs(None, None, samples)


@pytest.mark.parametrize(
    "kind",
    ["float16", "bfloat16", "int64", "bool", "list", "strided", "graph", "frame", "sparse"],
)
def test_outputs_of_any_kind_are_read(kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 2, (120, 6))
    forms: dict[str, Any] = {
        "float16": torch.from_numpy(values).half(),
        "bfloat16": torch.from_numpy(values).bfloat16(),
        "int64": values,
        "bool": values.astype(bool),
        "list": values.tolist(),
        "strided": np.repeat(values, 2, axis=1)[:, ::2],
        "graph": torch.from_numpy(values).double().requires_grad_() * 1,
        "frame": pd.DataFrame(values),
        "sparse": torch.from_numpy(values).float().to_sparse(),
    }
    data = load_arrays(arrays())
    found = teacher_outputs(forms[kind], None, data)
    for split in (data.train, data.held_out, data.test):
        assert np.array_equal(found.of(split).features, values[split.ids])


CLASHES: dict[str, tuple[dict[str, Any], str]] = {
    "augmentation": ({"data.augment": "crop-flip", "data.padding": 1}, "augment.shared to false"),
    "init": ({"student.init": "teacher", "student.model": "digits-teacher"}, "no network to copy"),
    "maps": ({"arms.at": {"ce": 1, "at": 1}}, "'at': at compares feature maps"),
    "weights": ({"teacher.weights": "a.pt"}, "both set"),
}


@pytest.mark.parametrize("clash", CLASHES)
def test_what_needs_the_teacher_itself_is_refused(
    settings: wcord.Experiment, file: Path, clash: str
) -> None:
    changes, message = CLASHES[clash]
    with pytest.raises(SettingsError, match=message):
        settings.replace({"teacher.outputs": str(file), **changes})
    with pytest.raises(SettingsError, match=message.replace("both set", "is set, but teacher_")):
        wcord.distill(settings.replace(changes), progress=False, teacher_features=np.eye(1797))


def test_only_one_teacher_is_taken(settings: wcord.Experiment, file: Path) -> None:
    module = build("digits-teacher", 1, (8, 8), 10)
    with pytest.raises(SettingsError, match="takes the place of teacher="):
        wcord.distill(settings, progress=False, teacher=module, teacher_logits=np.eye(1797))
    with_file = settings.replace({"teacher.outputs": str(file)})
    with pytest.raises(SettingsError, match="a teacher is given as well"):
        wcord.distill(with_file, progress=False, teacher=module)
    with pytest.raises(SettingsError, match="outputs is set, but teacher_logits"):
        wcord.distill(with_file, progress=False, teacher_logits=np.eye(1797))
    with pytest.raises(SettingsError, match="1797 columns, but its label set has 10 classes"):
        wcord.distill(settings, progress=False, teacher_logits=2 * np.eye(1797))
    with pytest.raises(SettingsError, match=r"teacher_logits are probabilities.*logarithm"):
        softmax = np.random.default_rng(0).dirichlet(np.ones(10), 1797)
        wcord.distill(settings, progress=False, teacher_logits=softmax)


def test_augmentation_of_the_student_alone_is_allowed(
    settings: wcord.Experiment, file: Path, tmp_path: Path
) -> None:
    experiment = settings.replace(
        {"teacher.outputs": str(file), "data.augment": "crop-flip", "data.padding": 1,
         "augment.shared": False, "epochs": 1, "linear_probe": False}
    )  # fmt: skip
    run = wcord.distill(experiment, tmp_path / "run", progress=False)
    assert run.status.state == "finished"


def test_what_the_teacher_saw_need_not_be_in_the_data(tmp_path: Path) -> None:
    """Privileged information: the teacher's view is of no use where its outputs are given."""
    experiment = wcord.load("digits-compression").replace(
        {"teacher.view": ["depth"], "batch": 8, "epochs": 1, "data.labels_per_class": 2}
    )
    features = np.random.default_rng(0).random((120, 5))
    experiment = experiment.replace({"arms": {"hint": {"ce": 1, "hint": 1}}})
    run = wcord.distill(
        experiment, tmp_path / "run", False, data=arrays(), teacher_features=features
    )
    assert run.status.state == "finished"


# ------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("end", [".npz", ".safetensors"])
def test_a_file_belongs_to_its_samples_not_to_their_labels(end: str, tmp_path: Path) -> None:
    module = build("digits-teacher", 1, (8, 8), 3)
    experiment = wcord.load("digits-compression").replace({"batch": 8})
    path = wcord.save_teacher_outputs(module, tmp_path / f"t{end}", arrays(), experiment)
    from wcord.data.teacher_outputs_file import read_teacher_outputs

    relabelled = arrays() | {"labels_train": np.arange(120) % 2}
    assert read_teacher_outputs(str(path), load_arrays(relabelled)).feature_dim == 64
    with pytest.raises(ValueError, match="outputs for other data"):
        read_teacher_outputs(str(path), load_arrays(arrays(seed=1)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither an .npz nor"),
        (b"text that is no archive", "neither an .npz nor"),
        ({"feature_train": np.eye(3)}, "did you mean features_train"),
        ({"other": np.eye(3)}, "known are features"),
        ({"features": np.eye(3), "features_train": np.eye(3)}, "as one array and by part"),
        ({"features": np.array([{}])}, "Python objects"),
        ({}, "neither .*features nor .*logits is given"),
        ({"features": np.eye(3)}, "3 rows for 1797 samples"),
    ],
)
def test_faulty_files_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    experiment = wcord.load("digits-compression").replace({"teacher.outputs": str(path)})
    with pytest.raises(SettingsError, match=message) as caught:
        wcord.distill(experiment, progress=False)
    assert str(caught.value).startswith("teacher.outputs: ") and "\n" not in str(caught.value)


def test_a_file_that_is_absent_or_cut_is_refused(file: Path, tmp_path: Path) -> None:
    experiment = wcord.load("digits-compression")
    with pytest.raises(SettingsError, match="no file or folder"):
        wcord.distill(experiment.replace({"teacher.outputs": "no.npz"}), progress=False)
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-9])
    cut = experiment.replace({"teacher.outputs": str(tmp_path / "cut.safetensors")})
    with pytest.raises(SettingsError, match="cannot be read as a file of teacher outputs"):
        wcord.distill(cut, progress=False)


def test_the_command_line_trains_resumes_and_reports(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = load_file(file)
    path = tmp_path / "features.npz"
    np.savez(path, **{k: v for k, v in saved.items() if "features" in k})  # type: ignore[arg-type]
    words = ["train", "digits-compression", "--run-dir", str(tmp_path / "run")]
    words += ["--teacher.outputs", str(path), "--epochs", "1", "--arms"]
    assert main([*words, "{a: {ce: 1, kd: 1}}"]) == 2
    assert "kd compares logits, but only the teacher's features" in capsys.readouterr().err
    assert main([*words, "{a: {ce: 1, gckt: 1}}"]) == 0
    out = capsys.readouterr().out
    assert "\na " in out and "\nteacher" not in out
    (tmp_path / "run" / "summary.json").unlink()
    np.savez(path, **{k: v + 1 for k, v in saved.items() if "features" in k})
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "these differ: teacher.outputs" in capsys.readouterr().err


def test_a_sweep_knows_the_outputs(settings: wcord.Experiment, file: Path, tmp_path: Path) -> None:
    saved = load_file(file)
    digests = []
    for name, shift in (("a", 0), ("b", 1), ("c", 0)):
        save_file({k: v + shift for k, v in saved.items()}, tmp_path / name)
        experiment = settings.replace({"teacher.outputs": str(tmp_path / name)})
        digests.append(current_inputs(experiment)["teacher.outputs"])
    assert digests[0] == digests[2] != digests[1]
    assert "teacher.outputs" not in current_inputs(settings)
    assert estimate(experiment).teacher_seconds == 0
    assert "outputs" not in settings.plain()["teacher"]


def test_saving_needs_a_teacher_settings_and_a_format(
    run: wcord.Run, settings: wcord.Experiment, file: Path, tmp_path: Path
) -> None:
    module = build("digits-teacher", 1, (8, 8), 10)
    with pytest.raises(ValueError, match=r"must end in \.npz or \.safetensors"):
        wcord.save_teacher_outputs(run, tmp_path / "t.pt")
    with pytest.raises(SettingsError, match="give experiment= with a module"):
        wcord.save_teacher_outputs(module, tmp_path / "t.npz")
    with pytest.raises(SettingsError, match=r"not the data"):
        wcord.save_teacher_outputs(run, tmp_path / "t.npz", arrays(240))
    with pytest.raises(SettingsError, match=r"teacher: .* 10 logits .* 3 classes"):
        wcord.save_teacher_outputs(module, tmp_path / "t.npz", arrays(240), settings)
    cached = wcord.distill(
        settings.replace({"teacher.outputs": str(file), "epochs": 1, "linear_probe": False}),
        tmp_path / "cached", progress=False,
    )  # fmt: skip
    with pytest.raises(SettingsError, match="has no teacher"):
        wcord.save_teacher_outputs(cached, tmp_path / "t.npz")


def test_rows_of_public_sources_are_found_by_their_ids(file: Path) -> None:
    """The digits number their samples as scikit-learn does: one array of all is taken as well."""
    from sklearn.datasets import load_digits

    data = load(wcord.load("digits-compression").data, 0)
    pixels = load_digits().data
    found = teacher_outputs(pixels, None, data)
    for split in (data.train, data.held_out, data.test):
        expected = np.rint(found.of(split).features.numpy() * (255 / 16))
        assert np.array_equal(split.images.flatten(1).numpy(), expected.astype(np.uint8))


def test_outputs_of_a_network_are_those_of_the_task(run: wcord.Run, file: Path) -> None:
    from wcord.data.teacher_outputs_file import read_teacher_outputs
    from wcord.training import teacher as teachers
    from wcord.training.inputs import network_inputs, read_data

    data = read_data(run.settings)
    teacher_input = network_inputs(run.settings, data)[0]
    network, _ = teachers.obtain(
        run.settings, data, teacher_input, run.path / "teacher.safetensors"
    )
    found = read_teacher_outputs(str(file), data).of(data.held_out)
    expected = outputs(network, teacher_input.all_images(data.held_out))
    assert torch.equal(found.features, expected.features)
    assert torch.equal(found.logits, expected.logits)
