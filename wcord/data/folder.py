"""A folder of pictures: one subfolder a class, with or without a division into parts."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wcord.data.folder_layout import files_below, folders, hidden, layout
from wcord.data.image_files import NotRead, decode, scaling, to_8_bit, white
from wcord.data.raw import Raw
from wcord.data.split import Split


def read_folder(folder: Path, height: int, width: int) -> Raw:
    """Read `folder`/CLASS/*, or `folder`/train/CLASS/* with test/CLASS/*, val/CLASS/* or both.

    Parts are recognised in any case and spelling; val, valid, validation and dev are the held-out
    part. Every file is opened, whatever its ending; hidden files, and what Pillow cannot read, are
    passed over with the reason. Pictures are turned as their EXIF data say, composited on white
    where they are transparent, converted to RGB and resized (bilinear, antialiased) to
    height × width. Floating-point gray levels lie in [0, 1]; integers of more than 8 bits are
    scaled by one factor for the whole folder (see `white`). Of several pages the first is read.

    Raises:
        ValueError: the layout is not clear, one class only, classes that differ, a class of which
            nothing can be read, or gray levels whose white is unknown (names the file).
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: data.source folder:PATH needs one")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, which name no file
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return _Reader(folder, height, width).read()
        except OSError as error:  # a folder; files that cannot be opened are passed over
            raise ValueError(f"{error.filename} cannot be opened: {error.strerror}") from error


class _Reader:
    """Reads the parts of a folder in turn, and keeps what it finds on the way."""

    def __init__(self, folder: Path, height: int, width: int) -> None:
        self.folder, self.shape = folder, (height, width)
        found = layout(folder)
        self.parts = found.parts
        self.passed_over, self.remarks = list(found.passed_over), list(found.remarks)
        self.deep: list[tuple[np.ndarray, np.ndarray]] = []  # where to write, gray levels
        self.highest = 0  # of these levels
        self.cut: tuple[int, str] = (0, "")  # the highest of 16-bit colours, and its file

    def read(self) -> Raw:
        """Return the parts of the folder."""
        self._pass_over_files_outside()
        names = {part: [p.name for p in folders(path)] for part, path in self.parts.items()}
        classes = names["train"]
        if len(classes) < 2:
            found = f"only the class {classes[0]!r}" if classes else "no class folders"
            if classes and len(folders(self.parts["train"] / classes[0])) > 1:
                found += " (if its folders are the classes, point data.source at it)"
            raise ValueError(
                f"{self.parts['train']} holds {found}: an image folder needs one subfolder for "
                "each of two or more classes"
            )
        for part, path in self.parts.items():
            if strange := set(names[part]) - set(classes):
                raise ValueError(f"{path} holds the class {min(strange)!r} that train lacks")
        arrays = {part: self._part(part, classes) for part in self.parts}
        self._scale_deep()
        parts = {
            part: Split(
                torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)
            )
            for part, (images, labels) in arrays.items()
        }
        known = tuple(_text(name) for name in classes)
        return Raw.of(known, parts, tuple(self.passed_over), tuple(self.remarks))

    def _name(self, path: Path) -> str:
        return _text(str(path.relative_to(self.folder)))

    def _pass_over_files_outside(self) -> None:
        for place in sorted({self.folder, *self.parts.values()}):
            for path in sorted(place.iterdir()):
                if hidden(path):
                    self.passed_over.append((self._name(path), "hidden"))
                elif not path.is_dir():
                    self.passed_over.append((self._name(path), "outside every class folder"))

    def _part(self, part: str, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, H, W, 3) uint8 and labels (n,) int64 of a part."""
        path = self.parts[part]
        there = [name for name in classes if (path / name).exists()]
        files = {name: list(files_below(path / name)) for name in there}
        images = np.empty((sum(map(len, files.values())), *self.shape, 3), np.uint8)
        labels: list[int] = []
        for name in there:
            before, passed_over = len(labels), len(self.passed_over)
            for file, why in files[name]:
                why = why or self._picture(file, images[len(labels)])
                if why:
                    self.passed_over.append((self._name(file), why))
                else:
                    labels.append(classes.index(name))
            if len(labels) == before:
                raise ValueError(
                    f"{path / name} is a class without a picture that can be read: it holds "
                    f"{_reasons(self.passed_over[passed_over:])}; put pictures there (PNG or JPEG "
                    "for instance), or remove the folder"
                )
        return images[: len(labels)], np.array(labels, np.int64)

    def _picture(self, file: Path, place: np.ndarray) -> str:
        """Write a picture to its place (H, W, 3), and return why not, "" where it was written."""
        try:
            pixels, highest, pages = decode(file, *self.shape)
        except NotRead as error:
            return str(error)
        if pages > 1:
            self.remarks.append((self._name(file), f"the first page is read: of {pages}"))
        if pixels.dtype == np.float32:
            self.deep.append((place, pixels))
            self.highest = max(self.highest, highest)
            return ""
        self.cut = max(self.cut, (highest, str(file)))
        place[:] = pixels if pixels.ndim == 3 else pixels[..., None]
        return ""

    def _scale_deep(self) -> None:
        """Scale integers of more than 8 bits, now that the highest of all is known."""
        top = white(self.highest)
        for place, levels in self.deep:
            place[:] = to_8_bit(levels, top)[..., None]
        if self.deep:
            what = f"{len(self.deep)} pictures of more than 8 bits"
            self.remarks.append((what, scaling(self.highest)))
        highest, file = self.cut
        if highest and white(highest) < 65535:
            raise ValueError(
                f"{file} has 16 bits a colour, but its levels end at {highest} of 65535 and no "
                "picture's are higher, so that most would be lost: convert the folder to 8 bits"
            )


def _text(name: str) -> str:
    """Return a file's name with ? for what is no UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _reasons(passed_over: list[tuple[str, str]]) -> str:
    """Return how many files were passed over for which reason, with an example of each."""
    if not passed_over:
        return "no files"
    counts = Counter(why.partition(":")[0] for _, why in passed_over)
    examples = {why.partition(":")[0]: file for file, why in reversed(passed_over)}
    return ", ".join(f"{n} × {why} ({examples[why]})" for why, n in counts.items())
