"""Arrays of any shape and number of channels: values, networks, names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from tables import X, Y, in_order, table_settings
from torch import nn

import wcord
from wcord.cli import main
from wcord.data import DataSettings, load, load_arrays, standardise
from wcord.models import Network, build
from wcord.models.feature_layers import find_feature_layers
from wcord.settings.messages import SettingsError
from wcord.training.inputs import NetworkInput
from wcord.views import View

ARRAYS = DataSettings(kind="arrays")
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def table() -> wcord.Experiment:
    return table_settings()


# ----------------------------------------------------------------------------- arrays of any shape

SHAPES = {
    "table": ((6,), "auto"),
    "series": ((3, 7), "arrays"),
    "channels": ((5, 6, 6), "auto"),
    "volume": ((2, 3, 4, 5), "auto"),
    "picture taken as an array": ((3, 4, 4), "arrays"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4"])
def test_arrays_are_taken_as_they_are(name: str, dtype: str) -> None:
    shape, kind = SHAPES[name]
    values = (10 * rng.normal(size=(60, *shape))).astype(dtype)
    data = load_arrays((values, Y[:60]), DataSettings(kind=kind))  # type: ignore[arg-type]
    assert data.shape == shape and not data.pictures
    assert np.array_equal(in_order(data), values.astype("f4"))
    assert np.array_equal(in_order(data, "labels"), Y[:60])


@given(st.integers(0, 1000), st.sampled_from([(5,), (3, 4), (2, 3, 4), (2, 2, 3, 3)]))
def test_measured_normalisation_is_a_standard_scaler(seed: int, shape: tuple[int, ...]) -> None:
    """Of each channel of the training part; a constant channel becomes 0."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(80, *shape)) * 10.0 ** draw.integers(
        -1, 4, (1, shape[0], *[1] * (len(shape) - 1))
    )
    values += 100 * draw.normal(size=values.shape[1:2]).reshape(1, -1, *[1] * (len(shape) - 1))
    values[:, 0] = 7.5
    data = load_arrays((values.astype("f4"), np.arange(80) % 2), ARRAYS)
    settings = wcord.load("digits-compression").student
    found = NetworkInput(settings, data, 0).images_of(data.test).numpy()
    flat = [
        np.moveaxis(s.images.double().numpy(), 1, -1).reshape(-1, shape[0])
        for s in (data.train, data.test)
    ]
    expected = StandardScaler().fit(flat[0]).transform(flat[1])
    got = np.moveaxis(found, 1, -1).reshape(-1, shape[0])
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=2e-3)
    assert (found[:, 0] == 0).all()
    plain = settings.model_copy(update={"normalise": "none"})
    assert torch.equal(NetworkInput(plain, data, 0).images_of(data.test), data.test.images)


def test_large_means_keep_their_digits() -> None:
    values = torch.tensor([[1e6 + k] for k in range(8)])
    mean, std = values.mean(0), values.std(0, correction=0)
    expected = (np.arange(8) - 3.5) / np.arange(8).std()
    np.testing.assert_allclose(standardise(values, mean, std)[:, 0], expected, atol=1e-5)


@pytest.mark.slow
def test_arrays_train_as_the_same_pictures(tmp_path: Path, table: wcord.Experiment) -> None:
    """The digits with one channel, as pictures of 8 bits and as float32: equal up to rounding."""
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:400, None]
    results = []
    for kind, values in (("pictures", images), ("arrays", (images / 255).astype("f4"))):
        settings = table.replace({"data.kind": kind, "teacher.epochs": 4})
        run = wcord.distill(settings, tmp_path / kind, False, data=(values, digits.target[:400]))
        results.append(run)
    one, other = (run.student("all").state_dict() for run in results)
    for key, value in one.items():
        torch.testing.assert_close(other[key], value, rtol=0, atol=2e-3)


PICTURES_ONLY: dict[str, tuple[dict[str, Any], str]] = {
    "augment": ({"augment": "crop-flip"}, "data.augment is 'crop-flip', which is for pictures"),
    "drop_gray": ({"drop_gray": True}, "data.drop_gray is True, .*set it to false"),
    "size": ({"size": 8}, "data.size is 8, .*arrays of 6: set it to null"),
}


@pytest.mark.parametrize("name", PICTURES_ONLY)
def test_settings_of_pictures_are_refused_for_arrays(name: str) -> None:
    changes, message = PICTURES_ONLY[name]
    with pytest.raises(ValueError, match=message):
        load_arrays((X, Y), DataSettings(**changes))


@pytest.mark.parametrize(
    "view", ["luminance", "downsample", "left", "edges", "depth", "crop", "chrominance", "resize"]
)
def test_views_of_pictures_are_refused_for_arrays(view: str) -> None:
    data = load_arrays((X, Y))
    with pytest.raises(ValueError, match=rf"the view {view} is for pictures.*use identity, noise"):
        View.parse([view]).check(data)


def test_noise_is_added_to_arrays_of_any_shape() -> None:
    data = load_arrays((rng.normal(size=(400, 3, 50)), np.arange(400) % 2), ARRAYS)
    view = View.parse([{"noise": {"sigma": 0.5}}])
    view.check(data)
    assert view.shape(*data.shape) == (3, 50)
    noise = (view(data.train, 1) - data.train.images).double()
    assert abs(noise.mean()) < 0.01 and noise.std() == pytest.approx(0.5, rel=0.02)
    few = torch.tensor([5, 2])
    torch.testing.assert_close(view(data.train.take(few), 1), view(data.train, 1)[few])


@pytest.mark.parametrize("extra", ["boxes", "depth", "gray", "segments"])
def test_extras_of_pictures_are_refused_for_arrays(extra: str) -> None:
    given = {"x_train": X, "y_train": Y, f"{extra}_train": np.zeros(120)}
    with pytest.raises(ValueError, match=f"{extra}_train belongs to pictures"):
        load_arrays(given)


@pytest.mark.parametrize("source", ["digits", "folder:x"])
def test_kinds_of_public_sources_are_fixed(source: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    with pytest.raises(ValueError, match="is for npz:PATH and arrays"):
        load(DataSettings(source=source, kind="arrays"), 0)


UNCLEAR: dict[str, tuple[Any, str]] = {
    "normalised": (rng.normal(size=(60, 3, 8, 8)), r"set data\.kind to 'arrays'"),
    "series": (rng.normal(size=(60, 6, 50)), r"\[0, 1\].*set data\.kind to 'arrays'"),
    "channels last": (rng.random((60, 8, 8, 2)), r"C = 1 or 3.*set data\.kind to 'arrays'"),
    "RGBA": (rng.random((60, 4, 8, 8)), r"composite RGBA.*set data\.kind"),
    "one number": (rng.random(60), r"give \(n, 1\)"),
    "no columns": (np.zeros((60, 0)), r"not \(60, 0\)"),
    "huge": (np.full((60, 3), 1e300), "too large for float32"),
    "NaN": (np.where(X[:60] > 1, np.nan, X[:60]), "NaN or infinite values"),
    "infinite": (X[:60] / 0, "NaN or infinite values"),
    "complex": (X[:60] * 1j, "not complex128"),
    "times": (1.7e9 + 100 * rng.random((60, 3)), "float32 cannot tell them apart"),
    "large integers": (2**24 + np.arange(120).reshape(60, 2), "float32 cannot tell them apart"),
    "dates": (np.arange(120).reshape(60, 2).astype("M8[s]"), "must be numbers"),
    "masked": (np.ma.masked_greater(X[:60], 1), "masked entries"),
    "text column": (pd.DataFrame(X[:60]).assign(town="Rome"), "no numbers: town"),
    "missing in a frame": (pd.DataFrame(X[:60]).convert_dtypes().mask(X[:60] > 1), "NaN"),
    "quantised": (torch.zeros(60, 3, device="meta"), "no values"),
}  # fmt: skip


@pytest.mark.parametrize("fault", UNCLEAR)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arrays_that_may_mean_something_else_are_refused_in_one_line(fault: str) -> None:
    values, message = UNCLEAR[fault]
    with pytest.raises(ValueError, match=message) as caught:
        load_arrays((values, Y[:60]))
    assert "\n" not in str(caught.value)


def test_large_integers_that_float32_tells_apart_are_kept() -> None:
    values = rng.integers(0, 2**40, (60, 3))
    data = load_arrays((values, Y[:60]))
    np.testing.assert_allclose(in_order(data), values, rtol=1e-6)


def test_parts_must_have_one_shape() -> None:
    both = {"x_train": X, "y_train": Y, "y_test": Y}
    with pytest.raises(ValueError, match="differ in size or channels: 6 and 5"):
        load_arrays(both | {"x_test": X[:, :5]})
    with pytest.raises(ValueError, match=r"\(120, 6\) and images_test is of shape \(120, 2, 3\)"):
        load_arrays(both | {"x_test": X.reshape(120, 2, 3)})
    mixed = load_arrays(both | {"x_test": (10 * X).astype(int), "x_train": X.astype("f4")})
    assert mixed.test.images.dtype == torch.float32


def test_a_constant_column_is_remarked_on() -> None:
    values = X.copy()
    values[:, 2] = 3
    about = "1 of 6 columns (axis 1)"
    assert about in dict(load_arrays((values, Y)).contents.remarks)
    assert load_arrays((values, Y)).contents.lines()[0].startswith("arrays: 120 arrays (6) of 3")


# --------------------------------------------------------------------------------------- networks


class Series(nn.Module):
    """A convolution over time whose last layer is a convolution too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(3, 8, 3), nn.ReLU())
        self.head = nn.Conv1d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x)).mean(2)


def test_features_of_modules_for_series_tables_and_volumes() -> None:
    series = Series()
    network, x = Network(series, (3, 20)), torch.randn(5, 3, 20)
    output = network(x)
    torch.testing.assert_close(output.features, series.body(x).mean(2))
    torch.testing.assert_close(series.head(output.features[..., None])[..., 0], output.logits)
    volumes = nn.Sequential(
        nn.Conv3d(2, 6, 3), nn.ReLU(), nn.Conv3d(6, 4, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten()
    )
    y = torch.randn(5, 2, 4, 4, 4)
    features = Network(volumes)(y).features
    torch.testing.assert_close(features, volumes[:2](y).mean((2, 3, 4)))
    perceptron = build("mlp:7-5", 6, (), 3, seed=1)
    found = find_feature_layers(perceptron, (6,))
    assert (found.classifier, found.feature_dim, found.classes, found.stages) == (
        "classifier",
        5,
        3,
        {},
    )
    transformer = nn.Sequential(nn.Linear(3, 8), nn.Flatten(), nn.Linear(40, 4))
    assert Network(transformer, (5, 3)).feature_dim == 40


def test_models_for_pictures_are_refused_for_other_inputs(table: wcord.Experiment) -> None:
    message = r"resnet8 is for pictures.*inputs of 6: use one of mlp, mlp-small, or give modules"
    for side in ("teacher", "student"):
        with pytest.raises(ValueError, match=message):
            wcord.distill(table.replace({f"{side}.model": "resnet8"}), progress=False, data=(X, Y))
    with pytest.raises(ValueError, match="write mlp:256-64"):
        build("mlp:a", 6, (), 3)
    assert build("mlp-small", 3, (4, 5), 2)(torch.zeros(2, 3, 4, 5)).shape == (2, 2)


def test_a_module_that_does_not_fit_is_named_with_the_shape(table: wcord.Experiment) -> None:
    with pytest.raises(SettingsError, match="student: Linear cannot take inputs of 6 "):
        wcord.distill(table, progress=False, data=(X, Y), student=nn.Linear(5, 3))
    with pytest.raises(ValueError, match=r"at compares feature maps.*offers none"):
        wcord.distill(
            table.replace({"arms": {"maps": {"ce": 1, "at": 1}}}), progress=False, data=(X, Y)
        )


def test_a_table_trains_from_the_command_line(
    tmp_path: Path, table: wcord.Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "table.npz", x_train=X, y_train=Y)
    settings = tmp_path / "table.yaml"
    settings.write_text(yaml.safe_dump(table.plain()))
    words = ["train", str(settings), "--data.source", f"npz:{tmp_path / 'table.npz'}", "--run-dir"]
    assert main([*words, str(tmp_path / "run")]) == 0
    assert "arrays (6) of 3 classes" in capsys.readouterr().err
    run = wcord.Run(tmp_path / "run")
    assert run.student("plain")(torch.zeros(2, 6)).shape == (2, 3)
    assert not (run.path / "pictures.png").exists()
    assert run.data is not None and run.data["shape"] == [6]
    (run.path / "summary.json").unlink()
    assert main(["resume", str(run.path)]) == 0


# ------------------------------------------------------------------------------- names of arrays

MISSPELT = {
    "image_train": "images_train", "label_train": "labels_train", "lables_test": "labels_test",
    "images_tarin": "images_train", "class_name": "class_names", "labels_extra": "labels_",
    "x": "x_train", "labels": "labels_train", "depth_maps": "depth_train", "X_trian": "x_train",
    "input_train": "inputs_train",
}  # fmt: skip


@pytest.mark.parametrize("key", MISSPELT)
def test_misspelt_names_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=rf"{key}.*{MISSPELT[key]}") as caught:
        load_arrays({"images_train": X, "labels_train": Y, key: Y})
    assert "\n" not in str(caught.value)


def test_unrelated_names_are_passed_over() -> None:
    names = ("weights", "ids_train", "feature_names", "mean", "description")
    data = load_arrays({"inputs_train": X, "y_train": Y} | dict.fromkeys(names, np.zeros(3)))
    assert data.contents.passed_over == tuple((name, "an unknown name") for name in names)
