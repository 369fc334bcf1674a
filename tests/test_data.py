"""Data sets: division, augmentation and reading, against numpy loops and files made here."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.datasets import load_digits
from torchvision import datasets

from wcord.data import (
    DataSettings,
    Split,
    augment,
    augment_split,
    channel_statistics,
    data_root,
    draws,
    labelled_part,
    load,
    normalise,
    order,
)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- digits and the division -------------------------------------------------------------------


def test_digits_hold_every_image_of_scikit_learn_once() -> None:
    data = load(DataSettings(), 3)
    assert (len(data.train), len(data.held_out), len(data.test)) == (718, 180, 899)
    parts = [data.train, data.held_out, data.test]
    ids = torch.cat([part.ids for part in parts])
    assert ids.sort().values.tolist() == list(range(1797))
    bunch = load_digits()
    for part in parts:
        expected = np.rint(bunch.images[part.ids] * 255 / 16)
        assert np.array_equal(part.images[:, 0].numpy(), expected)
        assert np.array_equal(part.labels.numpy(), bunch.target[part.ids])


def test_only_the_test_part_is_the_same_for_every_seed() -> None:
    one, two = load(DataSettings(labels_per_class=5), 0), load(DataSettings(labels_per_class=5), 1)
    again = load(DataSettings(labels_per_class=5, subset_seed=0), 1)
    assert torch.equal(one.test.ids, two.test.ids)
    assert not torch.equal(one.held_out.ids, two.held_out.ids)
    assert torch.equal(one.train.ids, again.train.ids)
    assert torch.equal(one.labelled, again.labelled)


def test_labelled_and_choices_are_balanced_and_have_the_size_of_the_setting() -> None:
    data = load(DataSettings(labels_per_class=5), 0)
    assert data.train.labels[data.labelled].bincount().tolist() == [5] * 10
    assert data.held_out.labels[data.choices].bincount().tolist() == [5] * 10
    other = load(DataSettings(labels_per_class=10), 0, {"modulo": 5})
    assert (other.train.labels[other.labelled] % 5).bincount().tolist() == [10] * 5
    assert len(load(DataSettings(), 0).choices) == 180  # all that there are


def test_too_many_labels_are_refused_with_the_largest_number() -> None:
    with pytest.raises(ValueError, match=r"smallest class has 6[0-9] training images"):
        load(DataSettings(labels_per_class=1000), 0)


def test_subsets_are_balanced_and_nested_parts_stay_apart() -> None:
    data = load(DataSettings(train_size=100, test_size=50), 0)
    assert data.train.labels.bincount().tolist() == [10] * 10
    assert len(data.test) == 50 and data.test.labels.bincount().min() >= 4
    assert not set(data.train.ids.tolist()) & set(data.held_out.ids.tolist())
    with pytest.raises(ValueError, match="train_size is 5000, but there are only 718"):
        load(DataSettings(train_size=5000), 0)


labels_drawn = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(torch.tensor)


@given(labels_drawn, st.integers(0, 1000), st.booleans())
def test_every_prefix_of_an_order_is_spread_over_the_classes(
    labels: torch.Tensor, seed: int, keep_shares: bool
) -> None:
    place = order(labels, stream(seed), keep_shares=keep_shares)
    assert place.sort().values.tolist() == list(range(len(labels)))
    sizes = np.bincount(labels, minlength=5)
    for m in range(1, len(labels) + 1):
        counts = np.bincount(labels[place[:m]], minlength=5)
        if keep_shares:
            share = sizes / len(labels)
            assert (np.abs(counts - m * share) <= 1.5 + 2.5 * share).all()
        else:  # a class may only lag behind another when it has run out
            assert all(c == s or c >= counts.max() - 1 for c, s in zip(counts, sizes, strict=True))


@given(st.integers(0, 100))
def test_rare_classes_keep_to_the_middle_of_their_shares(seed: int) -> None:
    """One sample among nine comes fifth or sixth, three among nine about 2nd, 6th and 10th."""
    one = order(torch.tensor([0] * 9 + [1]), stream(seed), keep_shares=True)
    assert (one == 9).nonzero().item() in (4, 5)
    three = order(torch.tensor([0] * 9 + [1] * 3), stream(seed), keep_shares=True)
    places = (three >= 9).nonzero().flatten().tolist()
    assert all(abs(p - q) <= 1 for p, q in zip(places, (1, 5, 9), strict=True))


@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 100))
def test_labelled_part_has_exactly_per_class_samples_of_each_class(
    k: int, per: int, seed: int
) -> None:
    labels = torch.arange(k).repeat_interleave(torch.arange(4, 4 + k))
    mask = labelled_part(labels, per, stream(seed))
    assert labels[mask].bincount(minlength=k).tolist() == [per] * k


# --- augmentation ------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.integers(1, 3),
    st.integers(3, 7),
    st.integers(3, 7),
    st.integers(0, 2),
    st.integers(0, 10_000),
    st.sampled_from(["zeros", "reflect"]),
)
def test_augment_equals_a_loop_over_padded_images(
    channels: int, height: int, width: int, padding: int, seed: int, border: str
) -> None:
    images = torch.randint(0, 256, (4, channels, height, width), generator=stream(seed)).byte()
    offsets, flips = draws(seed, 0, 4, padding)
    got = augment(images, offsets, flips, padding, border)
    edge = [(0, 0), (padding, padding), (padding, padding)]
    for i in range(4):
        padded = np.pad(images[i], edge, mode="constant" if border == "zeros" else "reflect")
        y, x = offsets[i].tolist()
        cut = padded[:, y : y + height, x : x + width]
        assert np.array_equal(got[i], cut[:, :, ::-1] if flips[i] else cut)
    assert got.dtype == images.dtype


@given(st.integers(0, 10_000), st.integers(0, 3))
def test_boxes_and_depth_move_with_the_image(seed: int, padding: int) -> None:
    """The oracle: paint the box into the image, move it, and find it again."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 7, (5, 2))
    high = low + rng.integers(1, 4, (5, 2))
    boxes = np.concatenate([low, np.minimum(high, [9, 8])], 1)
    images = torch.zeros(5, 1, 8, 9, dtype=torch.uint8)
    for i, (left, top, right, bottom) in enumerate(boxes):
        images[i, 0, top:bottom, left:right] = 200
    extras = {"boxes": torch.tensor(boxes).float(), "depth": images.clone()}
    split = Split(images, torch.zeros(5, dtype=torch.int64), extras)
    offsets, flips = draws(seed, 1, 5, padding)
    moved = augment_split(split, offsets, flips, padding)
    assert torch.equal(moved.extras["depth"], moved.images)
    for i in range(5):
        rows, columns = np.nonzero(moved.images[i, 0].numpy())
        left, top, right, bottom = moved.extras["boxes"][i].tolist()
        if len(rows) == 0:  # moved out of the image
            assert (right - left) * (bottom - top) == 0
        else:
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert [left, top, right, bottom] == found


def test_draws_depend_on_seed_and_epoch_alone_and_are_uniform() -> None:
    offsets, flips = draws(7, 2, 9000, 4)
    again = draws(7, 2, 9000, 4)
    assert torch.equal(offsets, again[0]) and torch.equal(flips, again[1])
    assert not torch.equal(offsets, draws(7, 3, 9000, 4)[0])
    counts = offsets.flatten().bincount(minlength=9)
    assert len(counts) == 9
    assert (counts - 2000).abs().max() < 6 * 2000**0.5
    assert abs(int(flips.sum()) - 4500) < 300


@given(st.integers(0, 1000), st.sampled_from([1, 3]))
def test_normalise_and_statistics_equal_numpy(seed: int, channels: int) -> None:
    images = torch.randint(0, 256, (7, channels, 5, 4), generator=stream(seed)).byte()
    mean, std = channel_statistics(images, chunk=3)
    scaled = images.numpy().astype(np.float64) / 255
    assert np.allclose(mean, scaled.mean((0, 2, 3)), atol=1e-6)
    assert np.allclose(std, scaled.std((0, 2, 3)), atol=1e-6)
    expected = (scaled - mean.numpy()[:, None, None]) / std.numpy()[:, None, None]
    assert np.allclose(normalise(images, mean, std), expected, atol=1e-5)
    assert np.allclose(normalise(images.float() / 255, mean, std), expected, atol=1e-5)
    assert normalise(images, mean, std, torch.bfloat16).dtype == torch.bfloat16


def test_padding_as_wide_as_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="padding is 8, but images are 8 pixels wide"):
        load(DataSettings(augment="crop-flip", padding=8), 0)


# --- CIFAR, in the format on disk --------------------------------------------------------------


def write_cifar(root: Path, kind: type, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Write small batches in the format of the original archive.

    Only the checksums that torchvision compares with are replaced.
    """
    rng = np.random.default_rng(0)
    fine = kind.meta["key"] == "fine_label_names"
    classes = 100 if fine else 10
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    known: dict[str, list[np.ndarray]] = {"train": [], "test": [], "y_train": [], "y_test": []}

    def store(name: str, content: dict[str, object]) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    lists: dict[str, list[list[str]]] = {"train": [], "test": []}
    for part, original in (("train", kind.train_list), ("test", kind.test_list)):
        for name, _ in original:
            pixels = rng.integers(0, 256, (4 * classes, 3072), dtype=np.uint8)
            labels = list(np.arange(4 * classes) % classes)
            key = "fine_labels" if fine else "labels"
            lists[part].append(store(name, {"data": pixels, key: [int(c) for c in labels]}))
            known[part].append(pixels.reshape(-1, 3, 32, 32))
            known[f"y_{part}"].append(np.array(labels))
    names = [f"class {c}" for c in range(classes)]
    meta = store(kind.meta["filename"], {kind.meta["key"]: names})
    monkeypatch.setattr(kind, "train_list", lists["train"])
    monkeypatch.setattr(kind, "test_list", lists["test"])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": meta[1]})
    monkeypatch.setenv("WCORD_DATA", str(root))
    return {name: np.concatenate(values) for name, values in known.items()}


@pytest.mark.parametrize("source", ["cifar10", "cifar100"])
def test_cifar_is_read_from_its_own_format(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[source]
    known = write_cifar(tmp_path, kind, monkeypatch)
    data = load(DataSettings(source=source), 0)
    assert len(data.classes) == (10 if source == "cifar10" else 100)
    assert len(data.train) + len(data.held_out) == len(known["train"])
    for part, name in ((data.train, "train"), (data.held_out, "train"), (data.test, "test")):
        ids = part.ids - (len(known["train"]) if name == "test" else 0)
        assert np.array_equal(part.images, known[name][ids])
        assert np.array_equal(part.labels, known[f"y_{name}"][ids])


def test_the_message_on_missing_or_damaged_cifar_names_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"set data.download to true, or point \$WCORD_DATA"):
        load(DataSettings(source="cifar100"), 0)
    write_cifar(tmp_path, datasets.CIFAR10, monkeypatch)
    file = tmp_path / datasets.CIFAR10.base_folder / "data_batch_2"
    content = bytearray(file.read_bytes())
    content[500] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="cifar10 cannot be read"):
        load(DataSettings(source="cifar10"), 0)


# --- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"source": "cifar"}, "did you mean cifar10?"),
        ({"source": "npz"}, "write npz:PATH"),
        ({"source": "digits:x"}, "takes no path"),
        ({"held_out": 0.9}, "less than or equal to 0.5"),
        ({"labels_per_class": -1}, "greater than or equal to 0"),
        ({"augment": "mixup"}, "'none' or 'crop-flip'"),
        ({"labels": 3}, "Extra inputs"),
    ],
)
def test_settings_refuse_nonsense(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("?", r"\?")):
        DataSettings.model_validate(setting)


def test_a_split_refuses_what_does_not_fit() -> None:
    images = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="labels holds 2 entries for 3 images"):
        Split(images, torch.zeros(2))
    with pytest.raises(ValueError, match="images must be uint8"):
        Split(images.double(), torch.zeros(3))


@pytest.mark.parametrize(
    ("name", "shape", "extra"),
    [
        ("cifar10.npz", (3, 32, 32), None),
        ("tinyimagenet100.npz", (3, 32, 32), "boxes"),
        ("nyudv2.npz", (3, 120, 160), "depth"),
    ],
)
def test_real_images_if_they_are_there(
    name: str, shape: tuple[int, int, int], extra: str | None
) -> None:
    if not (data_root() / name).exists():
        pytest.skip(f"$WCORD_DATA holds no {name}: a user's own file")
    data = load(DataSettings(source=f"npz:{name}", train_size=200, test_size=100), 0)
    assert data.shape == shape and len(data.train) == 200 and len(data.test) == 100
    if extra == "boxes":
        left, top, right, bottom = data.train.extras["boxes"].T
        assert (left <= right).all() and (top <= bottom).all() and right.max() <= 32
    if extra == "depth":
        assert data.train.extras["depth"].shape == (200, 1, 120, 160)
