"""Folders of images: pixels against numpy; files passed over, refused or remarked on."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn
from PIL import Image, ImageSequence

from wcord.data import Data, DataSettings, load
from wcord.data.raw import part_of

LEVELS = drawn(np.uint8, (2, 5, 7))  # gray levels of two images


def read(folder: Path, size: tuple[int, int] = (5, 7), **more: object) -> Data:
    return load(DataSettings.model_validate({"source": f"folder:{folder}", "size": size} | more), 0)


def read_images(folder: Path, size: tuple[int, int] = (5, 7)) -> np.ndarray:
    """Return all images of a folder in the order of their files, (n, H, W, 3)."""
    data = read(folder, size)
    parts = (data.train, data.held_out, data.test)
    place = torch.cat([part.ids for part in parts]).argsort()
    return torch.cat([part.images for part in parts])[place].permute(0, 2, 3, 1).numpy()


def write(folder: Path, classes: dict[str, int], size: tuple[int, int] = (9, 7)) -> Path:
    """Write images whose red is the class and whose green is the number."""
    for number, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            colour = (40 * number + 20, 10 * i, 200)
            Image.new("RGB", size, colour).save(folder / name / f"{i:02d}.png")
    return folder


# --- gray levels -------------------------------------------------------------------------------


def composited(p: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return (p * (alpha / 255) + 255 - alpha)[..., None]


def luminance(p: np.ndarray) -> np.ndarray:
    """Gray levels in sRGB of the lightness L* = 100 p / 255 (CIE 15 and IEC 61966-2-1)."""
    f = (p * (100 / 255) + 16) / 116
    y = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return (255 * np.where(y > 0.0031308, 1.055 * y ** (1 / 2.4) - 0.055, 12.92 * y))[..., None]


def from_ycbcr(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Colours of Y = p, Cb = q, Cr = 128 (ITU-T T.871)."""
    blue = q.astype(float) - 128
    return np.stack([p, p - 0.344136 * blue, p + 1.772 * blue], -1).clip(0, 255)


def from_cmyk(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Colours of cyan = p, black = q, without magenta and yellow."""
    light = 255.0 - q
    return np.stack([light * (1 - p / 255), light, light], -1)


def merged(mode: str, *bands: np.ndarray) -> Image.Image:
    return Image.merge(mode, [Image.fromarray(np.ascontiguousarray(band)) for band in bands])


def palette(p: np.ndarray, mode: str = "P") -> Image.Image:
    """An image of indices 255 - p, whose palette is 255 - index."""
    image = Image.fromarray(255 - p)
    image.putpalette([255 - i for i in range(256) for _ in "RGB"])
    return image.convert(mode) if mode != "P" else image


def with_alpha(image: Image.Image, alpha: np.ndarray) -> Image.Image:
    image.putalpha(Image.fromarray(alpha))
    return image


# mode: (suffix, image of p and q, expected (H, W, 1 or 3), tolerance)
Kind = tuple[str, Callable[..., Image.Image], Callable[..., np.ndarray], float]
MODES: dict[str, Kind] = {
    "1": ("png", lambda p, q: Image.fromarray(p > 99), lambda p, q: 255 * (p > 99)[..., None], 0),
    "L": ("png", lambda p, q: Image.fromarray(p), lambda p, q: p[..., None], 0),
    "LA": ("png", lambda p, q: merged("LA", p, q), composited, 1),
    "P": ("png", lambda p, q: palette(p), lambda p, q: p[..., None], 0),
    "PA": ("tif", lambda p, q: with_alpha(palette(p, "PA"), q), composited, 1),
    "RGB": ("png", lambda p, q: merged("RGB", p, q, p), lambda p, q: np.stack([p, q, p], -1), 0),
    "RGBA": ("png", lambda p, q: merged("RGBA", p, p, p, q), composited, 1),
    "CMYK": ("tif", lambda p, q: merged("CMYK", p, 0 * p, 0 * p, q), from_cmyk, 1),
    "YCbCr": ("tif", lambda p, q: merged("YCbCr", p, q, 0 * p + 128), from_ycbcr, 2),
    "LAB": ("tif", lambda p, q: merged("LAB", p, 0 * p + 128, 0 * p + 128),
            lambda p, q: luminance(p), 4),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=15, deadline=None)
@given(LEVELS, LEVELS)
def test_images_of_8_bits_keep_their_levels(
    mode: str, tmp_path_factory: pytest.TempPathFactory, p: np.ndarray, q: np.ndarray
) -> None:
    if mode == "YCbCr":  # an older Pillow cannot read the YCbCr TIFF that it writes
        pytest.importorskip("PIL", "13")
    ending, make, expected, tolerance = MODES[mode]
    folder = tmp_path_factory.mktemp("images")
    for name, one, other in zip("ab", p, q, strict=True):
        (folder / name).mkdir()
        for i in range(2):
            image = make(one, other)
            image.save(folder / name / f"{i}.{ending}")
            with Image.open(folder / name / f"{i}.{ending}") as written:
                assert written.mode == mode
    found = read_images(folder).astype(float)
    for k in range(2):
        assert np.abs(found[2 * k : 2 * k + 2] - expected(p[k], q[k])).max() <= tolerance


DEEP: dict[str, tuple[str, Callable[[np.ndarray, Path], object]]] = {
    "I;16 png": ("png", lambda v, f: Image.fromarray(v).save(f)),
    "I;16 tiff": ("tif", lambda v, f: Image.fromarray(v).save(f)),
    "I;16B tiff": ("tif", lambda v, f: Image.frombytes(
        "I;16B", v.shape[::-1], v.astype(">u2").tobytes()).save(f)),
    "I tiff": ("tif", lambda v, f: Image.fromarray(v.astype(np.int32)).save(f)),
    "pgm": ("pgm", lambda v, f: f.write_bytes(b"P5\n7 5\n65535\n" + v.astype(">u2").tobytes())),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEEP)
@settings(max_examples=15, deadline=None)
@given(drawn(np.uint16, (4, 5, 7)), st.sampled_from([1, 16, 64, 257]))
def test_deeper_images_are_scaled_by_the_depth_of_the_whole_folder(
    kind: str, tmp_path_factory: pytest.TempPathFactory, levels: np.ndarray, step: int
) -> None:
    ending, save = DEEP[kind]
    levels = levels // 257 * step
    folder = tmp_path_factory.mktemp("images")
    for i in range(4):
        (folder / "ab"[i // 2]).mkdir(exist_ok=True)
        save(levels[i].astype(np.uint16), folder / "ab"[i // 2] / f"{i}.{ending}")
    bits = int(levels.max()).bit_length()
    white = {8: 255, 10: 1023, 12: 4095, 14: 16383, 16: 65535}[max(8, bits + bits % 2)]
    assert np.abs(read_images(folder)[..., 0] - levels * 255.0 / white).max() <= 0.501


@settings(max_examples=15, deadline=None)
@given(drawn(np.float32, (4, 5, 7), elements=st.floats(0, 1, width=32)))
def test_floating_point_in_0_to_1_becomes_0_to_255(
    tmp_path_factory: pytest.TempPathFactory, levels: np.ndarray
) -> None:
    folder = tmp_path_factory.mktemp("images")
    for i in range(4):
        (folder / "ab"[i // 2]).mkdir(exist_ok=True)
        Image.fromarray(levels[i]).save(folder / "ab"[i // 2] / f"{i}.tif")
    assert np.abs(read_images(folder) - 255 * levels[..., None].astype(float)).max() <= 0.501


def test_deep_images_are_resized_without_clipping(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 40 * 40).reshape(40, 40).astype(np.uint16)
    for name, image in (("a", ramp), ("b", (ramp // 257).astype(np.uint8))):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    found = read_images(tmp_path, (8, 8)).astype(int)
    assert np.abs(found[0] - found[2]).max() <= 1 and found[0].max() > 230


REFUSED = {
    "above 1": (np.full((5, 7), 200, np.float32), r"from 200 to 200: scale it"),
    "below 0": (np.full((5, 7), -0.5, np.float32), r"must lie in \[0, 1\]"),
    "NaN": (np.full((5, 7), np.nan, np.float32), "NaN"),
    "negative": (np.full((5, 7), -3, np.int32), "integers from -3 to -3"),
    "32 bits": (np.full((5, 7), 70_000, np.int32), "integers from 70000 to 70000"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_levels_whose_white_is_unknown_are_refused_with_the_file(
    fault: str, tmp_path: Path
) -> None:
    levels, message = REFUSED[fault]
    write(tmp_path, {"a": 3, "b": 3})
    Image.fromarray(levels).save(tmp_path / "b" / "odd.tif")
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path)
    assert "odd.tif" in str(caught.value) and "\n" not in str(caught.value)


def write_48_bit_png(levels: np.ndarray, file: Path) -> None:
    """Write (H, W, 3) uint16 as a PNG of 16 bits a colour, which Pillow cannot."""
    height, width, _ = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    content = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks.items()
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_colours_of_16_bits_are_read_where_their_upper_8_bits_hold_them(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (4, 5, 7, 3)).astype(np.uint16)
    for scale in (1, 16):  # 16 bits; 12 bits, of which Pillow keeps 4
        folder = tmp_path / str(scale)
        for i in range(4):
            (folder / "ab"[i // 2]).mkdir(parents=True, exist_ok=True)
            write_48_bit_png(levels[i] // scale, folder / "ab"[i // 2] / f"{i}.png")
    assert np.abs(read_images(tmp_path / "1") - levels / 257).max() <= 1
    with pytest.raises(ValueError, match=r"\.png has 16 bits a colour.*convert the folder"):
        read(tmp_path / "16")


def test_tiff_with_white_at_0_is_inverted_at_16_bits_too(tmp_path: Path) -> None:
    p = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1800
    for i, name in enumerate("aabb"):
        (tmp_path / name).mkdir(exist_ok=True)
        file = tmp_path / name / f"{i}.tif"
        Image.fromarray(p).save(file)
        entry = struct.pack("<HHIH", 262, 3, 1, 1)  # photometric interpretation: black is 0
        content = file.read_bytes()
        assert content.count(entry) == 1
        file.write_bytes(content.replace(entry, struct.pack("<HHIH", 262, 3, 1, 0)))
    assert np.abs(read_images(tmp_path)[0, ..., 0] - (65535 - p.astype(float)) / 257).max() <= 0.501


# orientation: how the stored image is turned to be upright (EXIF 2.32, tag 274)
SEEN: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("deep", [False, True])
def test_images_are_turned_by_their_exif_orientation(
    ending: str, deep: bool, tmp_path: Path
) -> None:
    p = np.random.default_rng(0).integers(0, 256, (6, 6)).astype(np.uint8)
    p[0, 0] = 255
    for number in SEEN:
        name = tmp_path / "ab"[number > 4]
        name.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[274] = number
        stored = p.astype(np.uint16) * 257 if deep else p
        Image.fromarray(stored).save(name / f"{number}.{ending}", exif=exif)
    for found, seen in zip(read_images(tmp_path, (6, 6)), SEEN.values(), strict=True):
        assert np.array_equal(found[..., 0], seen(p))


def test_an_image_with_damaged_exif_data_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"a": 3, "b": 3})
    Image.new("RGB", (7, 5), (1, 2, 3)).save(tmp_path / "b" / "c.png", exif=b"Exif\0\0nonsense")
    assert len(read_images(tmp_path)) == 7


# --- files that are passed over ----------------------------------------------------------------


def test_the_content_of_a_file_decides_and_not_its_ending(tmp_path: Path) -> None:
    write(tmp_path, {"a": 4, "b": 4})
    for file, ending in zip(sorted((tmp_path / "a").iterdir()), (".jfif", "", ".heic", ".txt"),
                            strict=True):  # fmt: skip
        file.rename(file.with_suffix(ending))
    data = read(tmp_path)
    assert data.contents.passed_over == () and sum(data.contents.parts.values()) == 8


def odd_files(folder: Path) -> dict[str, str]:
    """Write files that are no images or hidden; return the reason to pass over each."""
    one = folder / "a" / "00.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "a" / "cut.jpg")
    content = (folder / "a" / "cut.jpg").read_bytes()
    (folder / "a" / "cut.jpg").write_bytes(content[: len(content) // 2])
    (folder / "a" / "empty.png").touch()
    (folder / "a" / "notes.txt").write_text("not an image")
    (folder / "a" / "loop.png").symlink_to("loop.png")
    (folder / "a" / "within").symlink_to(".")
    os.mkfifo(folder / "a" / "pipe.png")
    Image.new("RGB", (200, 200)).save(folder / "a" / "vast.png")
    for name in (".ipynb_checkpoints", "__MACOSX"):
        (folder / "a" / name).mkdir()
        (folder / "a" / name / "00-checkpoint.png").write_bytes(one.read_bytes())
    (folder / "a" / ".hidden.png").write_bytes(one.read_bytes())
    (folder / "b" / "Thumbs.db").write_bytes(b"\0" * 30)
    (folder / ".git").mkdir()
    (folder / "labels.csv").write_text("a,b")
    hidden = dict.fromkeys(
        ["a/.ipynb_checkpoints", "a/__MACOSX", "a/.hidden.png", "b/Thumbs.db", ".git"], "hidden"
    )
    return hidden | {
        "a/cut.jpg": "damaged",
        "a/empty.png": "empty file",
        "a/notes.txt": "not an image",
        "a/loop.png": "not a regular file",
        "a/pipe.png": "not a regular file",
        "a/within": "a link to a folder that holds it",
        "a/vast.png": "more than 10000 pixels",
        "labels.csv": "outside every class folder",
    }


@pytest.mark.parametrize("limit", [10_000, 30_000])  # Pillow warns up to twice its limit
def test_files_passed_over_are_named_with_the_reason(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    write(tmp_path, {"a": 6, "b": 6})
    expected = odd_files(tmp_path)
    found = read(tmp_path).contents
    assert sum(found.parts.values()) == 12
    assert {file for file, _ in found.passed_over} == set(expected)
    for file, why in found.passed_over:
        assert why.replace(str(limit), "10000").startswith(expected[file]), (file, why)
    text = "\n".join(found.lines())
    assert "a (6), b (6)" in text and "5 (hidden): .git, " in text and "and 1 more" in text
    plain = found.plain()
    assert {"file": "labels.csv", "why": "outside every class folder"} in plain["passed_over"]


def test_a_file_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a": 3, "b": 3})
    opened = Image.open

    def refused(path: Path, **more: object) -> Image.Image:
        if path.name == "01.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, **more)

    monkeypatch.setattr(Image, "open", refused)
    assert read(tmp_path).contents.passed_over == (
        ("a/01.png", "cannot be opened: permission denied"),
        ("b/01.png", "cannot be opened: permission denied"),
    )


@pytest.mark.parametrize("ending", ["gif", "tif", "png"])
def test_of_several_pages_the_first_is_read_and_remarked_on(ending: str, tmp_path: Path) -> None:
    write(tmp_path, {"a": 2, "b": 2})
    first, *others = (Image.new("RGB", (7, 5), (n, n, n)) for n in (250, 100, 20))
    file = tmp_path / "a" / f"zz.{ending}"
    first.save(file, save_all=True, append_images=others)
    with Image.open(file) as written:
        assert len(list(ImageSequence.Iterator(written))) == 3
    assert (read_images(tmp_path)[2] == 250).all()
    assert (f"a/zz.{ending}", "the first page is read: of 3") in read(tmp_path).contents.remarks


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "it holds no files"),
        (
            {"x.txt": b"words", "y.csv": b"a,b"},
            r"2 × not an image that Pillow can read \(d/x\.txt\)",
        ),
        ({".hidden.png": b""}, r"1 × hidden \(d/\.hidden\.png\)"),
    ],
)
def test_a_class_of_which_nothing_can_be_read_is_refused(
    files: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    write(tmp_path, {"a": 3, "b": 3, "d": 0})
    for name, content in files.items():
        (tmp_path / "d" / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"d is a class without an image.*{message}"):
        read(tmp_path)


# --- layouts -----------------------------------------------------------------------------------


def test_folder_of_classes_is_divided_and_resized(tmp_path: Path) -> None:
    write(tmp_path, {"cat": 10, "dog": 10})
    data = read(tmp_path, (4, 6))
    assert data.classes == ("cat", "dog") and data.shape == (3, 4, 6)
    assert (len(data.test), len(data.train) + len(data.held_out)) == (4, 16)
    red = data.train.images[:, 0, 0, 0]
    assert torch.equal(red == 60, data.train.labels == 1)


@pytest.mark.parametrize(
    ("train", "test"), [("train", "test"), ("Train", "TEST"), ("training_set", "test-images"),
                        ("Training", "testing"), ("train2017", "test2017")]
)  # fmt: skip
def test_train_and_test_are_kept_in_any_spelling(train: str, test: str, tmp_path: Path) -> None:
    write(tmp_path / train, {"cat": 8, "dog": 8, "ant": 2})
    write(tmp_path / test, {"cat": 3, "dog": 2})
    found = read(tmp_path).contents
    assert found.counts["test"] == (0, 3, 2) and found.classes == ("ant", "cat", "dog")
    assert ("class ant", "no test images") in found.remarks
    assert sum(found.counts["train"]) + sum(found.counts["held_out"]) == 18


@pytest.mark.parametrize("name", ["val", "Valid", "VALIDATION", "dev", "val_set", "held-out"])
@pytest.mark.parametrize("with_test", [False, True])
def test_validation_folders_are_the_held_out_part(
    name: str, with_test: bool, tmp_path: Path
) -> None:
    write(tmp_path / "train", {"cat": 10, "dog": 10})
    write(tmp_path / name, {"cat": 3, "dog": 4})
    if with_test:
        write(tmp_path / "test", {"cat": 5, "dog": 6})
    for seed in (0, 1):
        data = load(DataSettings(source=f"folder:{tmp_path}", labels_per_class=2), seed)
        assert data.contents.counts["held_out"] == (3, 4)
        assert data.contents.parts["test"] == (11 if with_test else 4)
        assert data.contents.parts["train"] == (20 if with_test else 16)
        assert torch.equal(data.held_out.labels, torch.tensor([0] * 3 + [1] * 4))
        assert len(data.choices) == 4
        parts = (data.train, data.held_out, data.test)
        ids = torch.cat([part.ids for part in parts])
        assert len(ids.unique()) == len(ids)
    with pytest.raises(
        ValueError, match=r"held_out is 0\.2, but .* has a held-out part: leave held_out out"
    ):
        read(tmp_path, held_out=0.2)


def test_a_train_folder_by_itself_is_divided(tmp_path: Path) -> None:
    write(tmp_path / "train", {"cat": 10, "dog": 10})
    assert sum(read(tmp_path).contents.parts.values()) == 20


def test_folders_beside_the_parts_are_passed_over(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path / part, {"cat": 4, "dog": 4})
    (tmp_path / "annotations").mkdir()
    expected = (("annotations/", "beside the parts of the data set"),)
    assert read(tmp_path).contents.passed_over == expected


def test_a_class_named_train_among_others_is_a_class(tmp_path: Path) -> None:
    write(tmp_path, {"bus": 4, "train": 4, "tram": 4})
    data = read(tmp_path)
    assert data.classes == ("bus", "train", "tram")


UNCLEAR: dict[str, tuple[list[str], str]] = {
    "test and val": (["test/a", "test/b", "val/a", "val/b"], "none of them is train"),
    "parts without classes": (["train", "test"], "holds no class folders"),
    "train, class": (["train/a", "train/b", "cats"], "cats is no name of a part"),
    "train, class, direct": (["train", "cats"], "train holds no class folders"),
    "classes, test direct": (["cats", "dogs", "test"], "test holds no class folders"),
    "twice": (["train/a", "train/b", "val/a", "valid/a"], "val and valid are names of one part"),
    "folds": (["1/a", "1/b", "2/a", "2/b"], "either may be the classes"),
    "classes, then parts": (["a/train", "a/test", "b/train", "b/test"], "holds the parts"),
    "within": (["pets/train/a", "pets/train/b", "pets/test/a"], "pets would be a class"),
    "doubled": (["part_1/part_1/a", "part_1/part_1/b", "b/a"], "a folder of its own name"),
    "one class": (["cat"], "only the class 'cat'"),
    "wrapped": (["pets/cat", "pets/dog"], "only the class 'pets' .if its folders are the classes"),
    "no class": ([], "no class folders"),
    "strange": (["train/a", "train/b", "test/c"], "the class 'c' that train lacks"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_a_layout_that_is_not_clear_is_refused(case: str, tmp_path: Path) -> None:
    folders, message = UNCLEAR[case]
    write(tmp_path, dict.fromkeys(folders, 3))
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_folders_within_a_class_belong_to_it_and_are_remarked_on(tmp_path: Path) -> None:
    write(tmp_path, {"cat/monday": 3, "cat/friday": 2, "dog": 4})
    found = read(tmp_path).contents
    assert np.add.reduce(list(found.counts.values())).tolist() == [5, 4]
    assert ("folder cat", "the folders in it count as this class: friday, monday") in found.remarks


def test_names_that_are_no_part() -> None:
    for name in ("cats", "1", "dataset", "trainer", "contest", "invalid", "devil", ""):
        assert part_of(name) is None
