"""STL-10 and MedMNIST, read from small files in their own formats; no test needs a network."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout
from medmnist import INFO
from pydantic import ValidationError
from torchvision import datasets
from torchvision.datasets import stl10 as torchvision_stl10
from torchvision.datasets import utils as torchvision_utils

import wcord
from wcord.data import Data, DataSettings, load

STL10_CLASSES = (
    "airplane",
    "bird",
    "car",
    "cat",
    "deer",
    "dog",
    "horse",
    "monkey",
    "ship",
    "truck",
)
FLAT = [flag for flag in INFO if not flag.endswith("3d") and flag != "chestmnist"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data sets, which does not exist yet."""
    monkeypatch.setenv("WCORD_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def read(source: str, **settings: Any) -> Data:
    return load(DataSettings(source=source, **settings), 0)


def refusal(source: str, **settings: Any) -> str:
    """Return the message with which a source is refused: one line."""
    with pytest.raises(ValueError, match=r".") as caught:
        read(source, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def is_locked(file: Path) -> bool:
    try:
        FileLock(file, timeout=0).acquire()
    except Timeout:
        return True
    return False


# --- MedMNIST ------------------------------------------------------------------------------------


def write_medmnist(
    root: Path, name: str, counts: tuple[int, int, int] = (80, 20, 40), **changes: Any
) -> dict[str, np.ndarray]:
    """Write a file in the format of MedMNIST: names, types and shapes of its arrays."""
    flag, _, size = name.partition("_")
    side = int(size or 28)
    colours = (3,) if INFO[flag]["n_channels"] == 3 else ()
    draw = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, n in zip(("train", "val", "test"), counts, strict=True):
        shape = (n, side, side, *colours)
        arrays[f"{part}_images"] = draw.integers(0, 256, shape, dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % len(INFO[flag]["label"]))[:, None].astype("u1")
    arrays = {key: value for key, value in (arrays | changes).items() if value is not None}
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / f"{name}.npz", **arrays)
    return arrays


@pytest.mark.parametrize("name", ["octmnist", "octmnist_64", "pathmnist", "retinamnist_128"])
def test_medmnist_is_read_from_its_own_format(name: str, root: Path) -> None:
    known = write_medmnist(root, name)
    data = read(f"medmnist:{name}")
    assert data.classes == tuple(INFO[name.partition("_")[0]]["label"].values())
    start = 0  # samples are numbered in this order, whichever part holds them
    for part, split in (("train", data.train), ("test", data.test), ("val", data.held_out)):
        images = known[f"{part}_images"]
        wanted = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        assert np.array_equal(split.images, wanted)
        assert split.labels.tolist() == known[f"{part}_labels"][:, 0].tolist()
        assert split.ids.tolist() == list(range(start, start + len(images)))
        start += len(images)


@pytest.mark.parametrize("flag", FLAT)
def test_every_flat_set_of_one_label_is_known_in_every_size(flag: str, root: Path) -> None:
    for name in (flag, f"{flag}_64", f"{flag}_128", f"{flag}_224"):
        assert refusal(f"medmnist:{name}") == (
            f"{name} cannot be read from {root}: set data.download to true, or point $WCORD_DATA "
            f"at the folder that holds {name}.npz (there is no such file)"
        )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("octmnst", "did you mean octmnist?"),
        ("OctMNIST", "use one of pathmnist, dermamnist, octmnist, "),
        ("chestmnist", "is no 2-D data set of one label an image: use one of pathmnist"),
        ("organmnist3d_64", "is no 2-D data set of one label an image: use one of pathmnist"),
        ("octmnist_32", "use one of octmnist, octmnist_64, octmnist_128, octmnist_224"),
        ("octmnist_28", "use one of octmnist, octmnist_64, octmnist_128, octmnist_224"),
        ("octmnist.npz", "did you mean octmnist?"),
    ],
)
def test_sets_that_do_not_exist_or_do_not_fit_are_refused(name: str, message: str) -> None:
    assert message in refusal(f"medmnist:{name}")


def test_a_source_without_the_name_of_a_set_is_refused_by_the_settings() -> None:
    with pytest.raises(ValidationError, match="needs a name: write medmnist:NAME"):
        DataSettings(source="medmnist")
    with pytest.raises(ValidationError, match=r"did you mean medmnist\?"):
        DataSettings(source="octmnist")


def test_without_the_package_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "medmnist", None)
    assert refusal("medmnist:octmnist") == (
        "medmnist:octmnist needs medmnist, which is not installed: pip install 'wcord[medmnist]'"
    )


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


@pytest.mark.parametrize("damage", [cut, flip, lambda _: b"", lambda _: b"no archive"])
def test_a_damaged_file_of_medmnist_is_refused(
    damage: Callable[[bytes], bytes], root: Path
) -> None:
    write_medmnist(root, "octmnist")
    file = root / "octmnist.npz"
    file.write_bytes(damage(file.read_bytes()))
    assert refusal("medmnist:octmnist").startswith(f"octmnist cannot be read from {root}: set")


def test_a_file_with_other_arrays_is_refused(root: Path) -> None:
    write_medmnist(root, "octmnist", val_images=None)
    assert "val_images" in refusal("medmnist:octmnist")
    write_medmnist(root, "octmnist", test_labels=np.full((40, 1), 4, np.uint8))
    assert "labels_test must lie in 0 ... 3" in refusal("medmnist:octmnist")
    write_medmnist(root, "octmnist", train_labels=np.zeros((80, 14), np.uint8))
    assert "labels_train must be one integer" in refusal("medmnist:octmnist")
    with (root / "octmnist.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "octmnist cannot be read" in refusal("medmnist:octmnist")


def test_medmnist_has_a_held_out_part(root: Path) -> None:
    write_medmnist(root, "octmnist")
    assert "has a held-out part" in refusal("medmnist:octmnist", held_out=0.2)


def test_medmnist_is_downloaded_on_request_alone_and_by_one_process_at_a_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(url: str, root: Path, filename: str, md5: str) -> None:
        assert is_locked(root / ".octmnist_64.lock")
        asked.append((url, filename, md5))
        if not (root / filename).exists():
            write_medmnist(root, "octmnist_64")

    monkeypatch.setattr(torchvision_utils, "download_url", download)
    refusal("medmnist:octmnist_64")
    assert not asked and not root.exists()
    assert len(read("medmnist:octmnist_64", download=True).train) == 80
    info = INFO["octmnist"]
    assert set(asked) == {(info["url_64"], "octmnist_64.npz", info["MD5_64"])}
    assert not is_locked(root / ".octmnist_64.lock")


def test_a_download_that_fails_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision_utils, "download_url", fail)
    assert "octmnist cannot be read" in refusal("medmnist:octmnist", download=True)
    monkeypatch.setattr(torchvision_stl10, "download_and_extract_archive", fail)
    assert "no network" in refusal("stl10", download=True)


# --- STL-10 --------------------------------------------------------------------------------------


def write_stl10(
    root: Path, monkeypatch: pytest.MonkeyPatch, counts: tuple[int, int] = (40, 30)
) -> dict[str, np.ndarray]:
    """Write the labelled files of STL-10 in their binary format.

    Only the checksums that torchvision compares with are replaced. The file without labels is
    missing.
    """
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    (folder / "class_names.txt").write_text("\n".join(STL10_CLASSES))
    draw = np.random.default_rng(0)
    known = {}

    def store(name: str, values: np.ndarray) -> list[str]:
        (folder / name).write_bytes(values.tobytes())
        return [name, hashlib.md5(values.tobytes()).hexdigest()]

    for part, n in zip(("train", "test"), counts, strict=True):
        images = draw.integers(0, 256, (n, 3, 96, 96), dtype=np.uint8)
        known[part], known[f"{part}_labels"] = images, np.arange(n) % 10
        files = [
            store(f"{part}_X.bin", images.swapaxes(2, 3)),  # column by column
            store(f"{part}_y.bin", np.uint8(known[f"{part}_labels"] + 1)),  # 1 ... 10
        ]
        unlabelled = [f for f in getattr(datasets.STL10, f"{part}_list") if "unlabeled" in f[0]]
        monkeypatch.setattr(datasets.STL10, f"{part}_list", files + unlabelled)
    return known


def test_stl10_is_read_from_its_own_format(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = write_stl10(root, monkeypatch)
    data = read("stl10")
    assert data.classes == STL10_CLASSES and data.shape == (3, 96, 96)
    assert len(data.train) + len(data.held_out) == len(known["train"])
    for split, part in ((data.train, "train"), (data.held_out, "train"), (data.test, "test")):
        ids = split.ids - (len(known["train"]) if part == "test" else 0)
        assert np.array_equal(split.images, known[part][ids])
        assert np.array_equal(split.labels, known[f"{part}_labels"][ids])
        assert split.labels.dtype == torch.int64


def test_missing_or_damaged_files_of_stl10_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = "set data.download to true, or point $WCORD_DATA at the folder that holds stl10_binary"
    assert f"stl10 cannot be read from {root}: {advice}" in refusal("stl10")
    assert not root.exists()
    write_stl10(root, monkeypatch)
    names = root / "stl10_binary" / "class_names.txt"
    names.rename(names.with_suffix(".away"))
    assert "class_names.txt" in refusal("stl10")
    names.with_suffix(".away").rename(names)
    file = root / "stl10_binary" / "train_X.bin"
    file.write_bytes(flip(file.read_bytes()))
    assert advice in refusal("stl10")


def test_stl10_is_downloaded_on_request_by_one_process_at_a_time(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stl10(tmp_path / "web", monkeypatch)
    asked = []

    def download(url: str, folder: Path, filename: str, md5: str) -> None:
        assert is_locked(root / ".stl10.lock")
        asked.append(filename)
        shutil.copytree(tmp_path / "web", root, dirs_exist_ok=True)

    monkeypatch.setattr(torchvision_stl10, "download_and_extract_archive", download)
    assert len(read("stl10", download=True).test) == 30
    assert asked == ["stl10_binary.tar.gz"]


# --- presets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["octmnist-privileged", "stl10-luminance-chrominance"])
def test_presets_run_on_files_of_the_same_form(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_medmnist(root, "octmnist_64", (120, 60, 40))
    write_stl10(root, monkeypatch, (200, 60))
    experiment = wcord.load(name)
    assert "unconfirmed" in experiment.title and "unconfirmed" in experiment.description
    few = {
        "data.train_size": 100, "data.test_size": 40, "data.labels_per_class": 5, "epochs": 1,
        "teacher.epochs": 1, "probe.batch": 16, "probe.features": 16, "threads": 1,
    }  # fmt: skip
    kept = {"arms": {a: t for a, t in experiment.plain()["arms"].items() if a in ("kd", "wcord")}}
    run = wcord.distill(experiment.replace(few | kept), tmp_path / "run", progress=False)
    assert run.status.state == "finished", run.status["error"]
    assert run.summary is not None and set(run.summary["arms"]) == {"kd", "wcord"}
