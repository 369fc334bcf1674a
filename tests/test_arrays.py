"""A user's arrays: values against numpy, and faulty arrays refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import Normalize, ToTensor

from wcord.data import Data, DataSettings, data_root, first_images, load, load_arrays
from wcord.data.scene_labels import room_labels


def arrays(n: int = 60, classes: int = 3, size: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """Made-up colour images, labels in turn."""
    rng = np.random.default_rng(seed)
    out = {}
    for part in ("train", "test"):
        out[f"images_{part}"] = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
        out[f"labels_{part}"] = np.arange(n) % classes
    return out


def together(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Return all images (n, C, H, W) and labels in their first order."""
    parts = (data.train, data.held_out, data.test)
    place = torch.cat([part.ids for part in parts]).argsort()
    images, labels = (torch.cat([getattr(p, key) for p in parts]) for key in ("images", "labels"))
    return images[place].numpy(), labels[place].numpy()


def test_npz_is_found_in_the_data_folder_and_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_DATA", str(tmp_path))
    values = arrays()
    np.savez(tmp_path / "mine.npz", **values, class_names=np.array(["a", "b", "c"]))
    assert data_root() == tmp_path
    data = load(DataSettings(source="npz:mine.npz"), 0)
    assert data.classes == ("a", "b", "c") and data.shape == (3, 8, 8)
    assert np.array_equal(data.test.images.permute(0, 2, 3, 1), values["images_test"])
    assert np.array_equal(
        data.train.images.permute(0, 2, 3, 1), values["images_train"][data.train.ids]
    )
    direct = load_arrays(values, seed=0)
    assert torch.equal(direct.train.images, data.train.images)


@pytest.mark.parametrize("layout", ["gray", "last", "first", "float"])
def test_layouts_of_arrays(layout: str) -> None:
    values = arrays(size=6)
    images = values["images_train"]
    forms = {
        "gray": images[..., 0],
        "last": images,
        "first": images.transpose(0, 3, 1, 2),
        "float": images / 255,
    }
    short = {"x_train": forms[layout], "y_train": values["labels_train"][:, None]}
    data = load_arrays(short)
    channels = 1 if layout == "gray" else 3
    assert data.shape == (channels, 6, 6)
    assert len(data.test) == 12  # a fifth, as there is no test part
    expected = images.transpose(0, 3, 1, 2)[:, :channels]
    for part in (data.train, data.held_out, data.test):
        assert np.array_equal(part.images, expected[part.ids])


def test_text_labels_become_classes_in_order_of_the_alphabet() -> None:
    values = arrays()
    names = np.array(["dog", "ant", "cat"])
    for part in ("train", "test"):
        values[f"labels_{part}"] = names[values[f"labels_{part}"]]
    data = load_arrays(values)
    assert data.classes == ("ant", "cat", "dog")
    assert [data.classes[c] for c in data.test.labels[:3]] == ["dog", "ant", "cat"]


def test_boxes_of_a_larger_original_are_scaled_and_gray_is_found() -> None:
    values = arrays()
    values["images_train"][::2] = values["images_train"][::2, ..., :1]
    for part in ("train", "test"):
        values[f"boxes_{part}"] = np.tile([2, 4, 15, 16], (60, 1))
        values[f"depth_{part}"] = values[f"images_{part}"][..., 1]
    data = load_arrays(values)
    assert data.train.extras["boxes"][0].tolist() == [1.0, 2.0, 7.5, 8.0]
    assert torch.equal(data.train.extras["depth"], data.train.images[:, 1:2])
    assert torch.equal(data.train.extras["gray"], data.train.ids % 2 == 0)
    colour = load_arrays(values, DataSettings(drop_gray=True))
    assert len(colour.train) + len(colour.held_out) == 30
    half = load_arrays(values, DataSettings(size=4))
    assert half.shape == (3, 4, 4) and half.train.extras["depth"].shape[2:] == (4, 4)
    assert half.train.extras["boxes"][0].tolist() == [0.5, 1.0, 3.75, 4.0]


BROKEN = {
    "no images": (lambda a: a.pop("images_train"), "no array images_train"),
    "spelling": (lambda a: a.update(train_images=a.pop("images_train")), "only: .*train_images"),
    "no labels": (lambda a: a.pop("labels_train"), "no array labels_train"),
    "no test labels": (lambda a: a.pop("labels_test"), "no labels_test"),
    "short": (lambda a: a.update(labels_train=a["labels_train"][:-1]), "59 labels for 60 images"),
    "negative": (lambda a: a.update(images_train=a["images_train"].astype(int) - 9), "from -9 to"),
    "32 bits": (lambda a: a.update(images_train=np.full((60, 8, 8), 70000)), "70000, whose black"),
    "complex": (lambda a: a.update(images_train=a["images_train"] * 1j), "not complex128"),
    "text": (lambda a: a.update(images_train=np.full((60, 8, 8), "a")), "must be numbers, not <U1"),
    "range": (lambda a: a.update(images_train=a["images_train"] * 1.0), r"\[0, 1\].* 0 to 255: sc"),
    "NaN": (lambda a: a.update(images_test=a["images_test"] * np.nan), "images_test holds NaN"),
    "channels": (lambda a: a.update(images_train=a["images_train"][..., :2]), "C = 1 or 3"),
    "RGBA": (lambda a: a.update(images_train=np.zeros((60, 8, 8, 4))), "composite RGBA"),
    "unclear": (lambda a: a.update(images_train=a["images_train"][:, :3]), "first or last"),
    "rows": (lambda a: a.update(images_train=a["images_train"].reshape(60, -1)), r"\(60, 192\)"),
    "ragged": (lambda a: a.update(images_train=[np.zeros((8, 8)), np.zeros((7, 8))]),
               r"different shapes, such as \(7, 8\) and \(8, 8\)"),
    "objects": (lambda a: a.update(images_train=np.full((2, 2), object())), "not of objects"),
    "sizes": (lambda a: a.update(images_test=a["images_test"][:, :6]), "differ in size"),
    "float labels": (lambda a: a.update(labels_train=np.ones(60) / 2), "labels of one kind"),
    "infinite": (lambda a: a.update(labels_train=np.full(60, np.inf)), "inf, which is no class"),
    "huge": (lambda a: a.update(labels_train=np.full(60, 1e20)), "1e.20, which is no class"),
    "few": (lambda a: [a.pop(k) for k in [*a] if "test" in k] and a.update(
        {k: v[:2] for k, v in a.items()}), "2 images: too few for"),
    "one-hot": (lambda a: a.update(labels_train=np.eye(60)), r"take argmax\(1\)"),
    "missing": (lambda a: a.update(labels_train=np.full(60, np.nan)), "missing values"),
    "missing text": (lambda a: a.update(labels_train=["a", None]), "labels_train has missing"),
    "mixed": (lambda a: a.update(labels_train=["a", 1]), "of one kind, not int, str"),
    "kinds": (lambda a: a.update(labels_test=["a"] * 60), "labels_test and labels_train are not"),
    "bytes": (lambda a: a.update(labels_train=[b"\xff"] * 60), "no UTF-8"),
    "unseen": (lambda a: a.update(labels_test=a["labels_test"] + 1), "class 3 that labels_train l"),
    "twice": (lambda a: a.update(class_names=["a", "b", "a"]), "class_names holds 'a' twice"),
    "no name": (lambda a: a.update(class_names=["a", "b"], labels_train=["a", "c"] * 30,
                                   labels_test=["a"] * 60), "has 'c', which is none of the cl"),
    "two names": (lambda a: a.update(class_names=list("abc"), classes=list("abd")), "different cl"),
    "two parts": (lambda a: a.update(x_val=[], images_valid=[]), "are of one part"),
    "x and images": (lambda a: a.update(x_train=[]), "holds images_train twice"),
    "no val labels": (lambda a: a.update(images_val=a["images_test"]), "no labels_val"),
    "names": (lambda a: a.update(class_names=np.array(["a", "b"])), r"must lie in 0 \.\.\. 1"),
    "one class": (lambda a: a.update(labels_train=np.zeros(60, int), labels_test=np.zeros(60, int)),
                  "at least two classes"),
    "boxes": (lambda a: a.update(boxes_train=np.zeros((60, 3))), r"boxes_train must be of shape"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_faulty_arrays_are_named_in_one_line(fault: str) -> None:
    spoil, message = BROKEN[fault]
    values = arrays()
    spoil(values)
    with pytest.raises(ValueError, match=message) as caught:
        load_arrays(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", ["absent", "text", "truncated", "pickle", "single"])
def test_faulty_files_are_named_in_one_line(tmp_path: Path, fault: str) -> None:
    file = tmp_path / "mine.npz"
    if fault == "text":
        file.write_text("not an archive")
    elif fault == "truncated":
        np.savez(file, **arrays())
        file.write_bytes(file.read_bytes()[:-100])
    elif fault == "pickle":
        np.savez(file, images_train=np.array([{}], dtype=object))
    elif fault == "single":
        np.save(tmp_path / "mine.npy", np.zeros(3))
        (tmp_path / "mine.npy").rename(file)
    with pytest.raises(ValueError, match=r"mine\.npz") as caught:
        load(DataSettings(source=f"npz:{file}"), 0)
    assert "\n" not in str(caught.value)


def test_room_labels_equal_a_loop() -> None:
    rng = np.random.default_rng(0)
    names = ["wall", "bed", "sofa", "floor", "lamp"]
    segments = {"train": rng.choice(5, (90, 4, 4), p=[0.4, 0.2, 0.2, 0.15, 0.05]).astype(np.uint8)}
    segments["train"][0] = 0  # nothing but a wall
    labels, classes, keep = room_labels(segments, names, fewest=20)
    assert classes == ("bed", "sofa")
    for image, label, kept in zip(segments["train"], labels["train"], keep["train"], strict=True):
        bed, sofa = (image == 1).sum(), (image == 2).sum()
        assert kept == (bed + sofa > 0)
        if kept:
            assert label == (0 if bed >= sofa else 1)
    assert not keep["train"][0]


# --- forms of images and labels ----------------------------------------------------------------


@given(st.sampled_from([np.uint8, np.uint16, np.int16, np.int64]), st.integers(0, 100))
def test_integers_of_every_depth_keep_their_levels(kind: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    most = rng.choice([255, 1000, 4000, 32_000]) if kind != np.uint8 else 255
    images = rng.integers(0, most + 1, (20, 4, 5)).astype(kind)
    images[0, 0, 0] = most
    found, _ = together(load_arrays({"images_train": images, "labels_train": np.arange(20) % 2}))
    bits = int(most).bit_length()
    white = 2.0 ** max(8, bits + bits % 2) - 1
    assert np.abs(found[:, 0] - images * (255 / white)).max() <= 0.501


def test_bool_images_are_black_and_white() -> None:
    images = np.random.default_rng(0).random((20, 4, 5)) > 0.5
    found, _ = together(load_arrays((images, np.arange(20) % 2)))
    assert np.array_equal(found[:, 0], 255 * images)


LABELS = {
    "text": list("bca") * 20,
    "pandas column": pd.Series(list("bca") * 20),
    "pandas categories": pd.Series(list("bca") * 20, dtype="category"),
    "objects": np.array(list("bca") * 20, dtype=object),
    "bytes": np.array([b"b", b"c", b"a"] * 20),
    "column of a frame": pd.DataFrame({"y": list("bca") * 20}),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, "abc"),
        (["c", "a", "b"], "cab"),
        ([b"c", b"a", b"b", b"d"], "cabd"),
        (np.array(["c", "a", "b"]), "cab"),
    ],
)
def test_text_labels_are_placed_by_the_class_names(kind: str, names: Any, expected: str) -> None:
    values = {"x_train": arrays()["images_train"], "y_train": LABELS[kind]}
    data = load_arrays(values if names is None else values | {"class_names": names})
    assert data.classes == tuple(expected)
    assert [data.classes[label] for label in together(data)[1]] == list("bca") * 20
    if len(expected) == 4:
        assert ("class d", "no training images") in data.contents.remarks


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([True, False], ("False", "True")),
        ([3.0, 7.0], ("3", "7")),
        (torch.tensor([5, 2]), ("2", "5")),
        (pd.Series([4, 1], dtype="Int64"), ("1", "4")),
    ],
)
def test_numbers_as_labels(labels: Any, classes: tuple[str, ...]) -> None:
    many = pd.concat([labels] * 30) if isinstance(labels, pd.Series) else None
    if many is None:
        many = labels.repeat(30) if isinstance(labels, torch.Tensor) else labels * 30
    data = load_arrays((arrays()["images_train"], many))
    assert data.classes == classes
    assert [data.classes[label] for label in together(data)[1][:2]] == [
        str(int(n)) if not isinstance(n, bool) else str(n) for n in list(many)[:2]
    ]


class Images(Dataset[Any]):
    """Gray or colour images with labels; `classes` as torchvision's data sets have."""

    classes = ("zebra", "ant", "cow")

    def __init__(self, images: list[Any]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Any, int]:
        return self.images[place], place % 3


def forms(images: np.ndarray) -> dict[str, Any]:
    """The same 60 colour images, with labels in turn, in every form that is accepted."""
    labels = np.arange(60) % 3
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    return {
        "pair": (images, labels),
        "list of arrays": (list(images), labels.tolist()),
        "on a graph": (tensor.clone().requires_grad_(), torch.tensor(labels)),
        "list of tensors on a graph": ([t.requires_grad_() for t in tensor.clone()], labels),
        "bfloat16": (tensor.bfloat16().float().bfloat16(), labels),
        "tensors": TensorDataset(tensor, torch.tensor(labels)),
        "images": Images([Image.fromarray(p) for p in images]),
        "tensors of a data set": Images(list(tensor)),
        "subset": Subset(Images([Image.fromarray(p) for p in images]), range(60)),
        "by part": {"train": (images, labels)},
        "capitals": {"X_train": images, "Y_train": labels},
    }


@pytest.mark.parametrize("form", forms(arrays()["images_train"]))
def test_pairs_and_data_sets_are_taken(form: str) -> None:
    images = arrays()["images_train"]
    data = load_arrays(forms(images)[form])
    found, labels = together(data)
    rounding = 1 if form == "bfloat16" else 0
    assert np.abs(found.transpose(0, 2, 3, 1).astype(int) - images).max() <= rounding
    assert np.array_equal(labels, np.arange(60) % 3)
    named = form in ("images", "tensors of a data set", "subset")
    assert data.classes == (Images.classes if named else ("0", "1", "2"))


def test_images_of_a_data_set_keep_their_levels_and_transparency_becomes_white() -> None:
    p = np.random.default_rng(0).integers(0, 256, (60, 8, 8)).astype(np.uint8)
    gray = load_arrays(Images([Image.fromarray(one) for one in p]))
    assert np.array_equal(together(gray)[0][:, 0], p) and gray.shape == (1, 8, 8)
    deep = load_arrays(Images([Image.fromarray(one.astype(np.uint16) * 257) for one in p]))
    assert np.array_equal(together(deep)[0][:, 0], p)
    clear = np.stack([p, p, p, 0 * p], -1)
    white = load_arrays(Images([Image.fromarray(one) for one in clear]))
    assert (together(white)[0] == 255).all()


def test_an_image_folder_of_torchvision_gives_its_classes(tmp_path: Path) -> None:
    for number, name in enumerate(("dog", "ant")):
        (tmp_path / name).mkdir()
        for i in range(6):
            Image.new("RGB", (8, 8), (100 * number, i, 9)).save(tmp_path / name / f"{i}.png")
    data = load_arrays({"train": ImageFolder(tmp_path), "test": ImageFolder(tmp_path, ToTensor())})
    assert data.classes == ("ant", "dog") and len(data.test) == 12
    assert torch.equal(data.test.images[:, 0, 0, 0] == 100, data.test.labels == 0)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_validation_arrays_are_the_held_out_part(name: str) -> None:
    values, other = arrays(), arrays(n=12, seed=1)
    values |= {f"x_{name}": other["images_train"], f"y_{name}": other["labels_train"]}
    data = load_arrays(values)
    assert (len(data.train), len(data.held_out), len(data.test)) == (60, 12, 60)
    assert np.array_equal(data.held_out.images.permute(0, 2, 3, 1), other["images_train"])
    with pytest.raises(ValueError, match="has a held-out part: leave held_out out"):
        load_arrays(values, DataSettings(held_out=0.1))


REFUSED = {
    "several pairs": (((np.zeros(3), [0]), (np.zeros(3), [0])), "give several parts by name"),
    "several data sets": ((Images([]), Images([])), "give several parts by name"),
    "loader": (DataLoader(Images([1])), r"give its \.dataset"),
    "frame": (pd.DataFrame({"a": [1]}), "not DataFrame"),
    "text": ("npz:mine.npz", "not str"),
    "data set as images": ({"images_train": Images([]), "labels_train": []}, 'as {"train": '),
    "no pairs": (TensorDataset(torch.zeros(3)), r"every sample must be a pair"),
    "other classes": ({"train": Images([np.zeros((8, 8))] * 6), "class_names": list("abc"),
                       "test": Images([np.zeros((8, 8))] * 6)}, "name different classes"),
    "normalised": (Images([Normalize(0.5, 0.5)(torch.zeros(1, 8, 8))] * 6),
                   "from -1 to -1: .*leave out any normalisation"),
    "sizes": (Images([Image.new("L", (8, 8)), Image.new("L", (9, 8))]), "different shapes"),
    "depths": (Images([Image.new("L", (8, 8)), Image.new("F", (8, 8))]), "of 8 bits and of more"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_other_objects_are_refused_with_what_to_give(fault: str) -> None:
    values, message = REFUSED[fault]
    with pytest.raises(ValueError, match=message) as caught:
        load_arrays(values)
    assert "\n" not in str(caught.value)


# --- the record --------------------------------------------------------------------------------


def test_the_record_counts_every_class_of_every_part() -> None:
    data = load_arrays(arrays(n=50, classes=5) | {"class_names": list("abcde"), "weights": [1]})
    plain = data.contents.plain()
    parts = {"train": data.train, "held_out": data.held_out, "test": data.test}
    for place, entry in enumerate(plain["classes"]):
        assert entry["name"] == "abcde"[place]
        for part, split in parts.items():
            assert entry[part] == int((split.labels == place).sum())
    assert plain["parts"] == {part: len(split) for part, split in parts.items()}
    assert plain["passed_over"] == [{"file": "weights", "why": "an unknown name"}]
    assert plain["name"] == data.name


def test_labels_without_images_are_passed_over() -> None:
    values = arrays()
    values.pop("images_test")
    expected = (("labels_test", "no images of this part"),)
    assert load_arrays(values).contents.passed_over == expected


def test_the_lines_name_few_of_many_classes() -> None:
    data = load_arrays(arrays(n=400, classes=100))
    text = data.contents.lines()
    assert text[0].startswith("arrays: 800 images of 100 classes; ")
    assert text[1].startswith("classes: 0 (8), 1 (8), ") and text[1].endswith(" and 90 more")
    assert len(text) == 2 and max(map(len, text)) < 120


def test_images_that_are_nearly_black_are_remarked_on() -> None:
    values = arrays()
    values = {key: v // 32 if "images" in key else v for key, v in values.items()}
    about = ("gray levels of all images end at 7 of 255", "nearly black")
    assert about in load_arrays(values).contents.remarks


def test_images_of_one_colour_are_remarked_on() -> None:
    values = arrays()
    values["images_train"][:7] = 255
    about = ("7 images", "of one colour, so that they show nothing")
    assert about in load_arrays(values).contents.remarks
    assert not any("colour" in remark for _, remark in load_arrays(arrays()).contents.remarks)


@pytest.mark.parametrize(("classes", "each"), [(3, 5), (10, 1), (20, 1)])
def test_first_images_are_the_first_of_each_class(classes: int, each: int) -> None:
    split = load_arrays(arrays(n=400, classes=classes)).train
    images, labels = first_images(split, classes)
    shown = min(classes, 16)
    assert labels.tolist() == np.repeat(np.arange(shown), each).tolist()
    for place, label in enumerate(labels):
        nth = np.flatnonzero(split.labels.numpy() == label)[place % each]
        assert np.array_equal(images[place], split.images[nth].permute(1, 2, 0))
