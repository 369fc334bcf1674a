"""Read a folder of images: one subfolder for each class, with or without a division into parts."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wcord.data.folder_layout import files_below, find_parts, folders, hidden
from wcord.data.image_files import UnreadableImage, decode, scaling, to_8_bit, white_level
from wcord.data.raw import Raw
from wcord.data.split import Split


def read_folder(folder: Path, height: int, width: int) -> Raw:
    """Read `folder`/CLASS/*, or `folder`/train/CLASS/* with test/CLASS/*, val/CLASS/* or both.

    Names of parts may have any case and spelling; val, valid, validation and dev are the held-out
    part. Every file is opened, whatever its suffix; hidden files and files that Pillow cannot read
    are passed over, and the reason is noted. Images are turned upright (EXIF), composited on white
    if they are transparent, converted to RGB and resized (bilinear, antialiased) to height × width.
    Floating-point gray levels lie in [0, 1]; integers of more than 8 bits are scaled by one factor
    for the whole folder. Of a file with several pages, the first is read.

    Raises:
        ValueError: the folders are ambiguous, there is one class only, a part has a class that
            train lacks, a class has no readable image, or the gray level of white is unknown.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: data.source folder:PATH needs one")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings do not name the file
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return _Reader(folder, height, width).read()
        except OSError as error:  # from a folder: files that cannot be opened are passed over
            raise ValueError(f"{error.filename} cannot be opened: {error.strerror}") from error


class _Reader:
    """Reads the parts of a folder in turn, and collects remarks on the files."""

    def __init__(self, folder: Path, height: int, width: int) -> None:
        self.folder, self.shape = folder, (height, width)
        layout = find_parts(folder)
        self.parts = layout.parts
        self.passed_over, self.remarks = list(layout.passed_over), list(layout.remarks)
        # images of more than 8 bits: target array, gray levels
        self.deep: list[tuple[np.ndarray, np.ndarray]] = []
        self.highest = 0  # of the levels in `deep`
        self.cut: tuple[int, str] = (0, "")  # highest level of 16-bit colours, and its file

    def read(self) -> Raw:
        """Return the parts of the folder."""
        self._pass_over_other_files()
        names = {part: [p.name for p in folders(path)] for part, path in self.parts.items()}
        classes = names["train"]
        if len(classes) < 2:
            content = f"only the class {classes[0]!r}" if classes else "no class folders"
            if classes and len(folders(self.parts["train"] / classes[0])) > 1:
                content += " (if its folders are the classes, point data.source at it)"
            raise ValueError(
                f"{self.parts['train']} holds {content}: an image folder needs one subfolder for "
                "each of two or more classes"
            )
        for part, path in self.parts.items():
            if unknown := set(names[part]) - set(classes):
                raise ValueError(f"{path} holds the class {min(unknown)!r} that train lacks")
        arrays = {part: self._part(part, classes) for part in self.parts}
        self._scale_deep()
        parts = {
            part: Split(
                torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)
            )
            for part, (images, labels) in arrays.items()
        }
        class_names = tuple(_text(name) for name in classes)
        return Raw.of(class_names, parts, tuple(self.passed_over), tuple(self.remarks))

    def _name(self, path: Path) -> str:
        return _text(str(path.relative_to(self.folder)))

    def _pass_over_other_files(self) -> None:
        for folder in sorted({self.folder, *self.parts.values()}):
            for path in sorted(folder.iterdir()):
                if hidden(path):
                    self.passed_over.append((self._name(path), "hidden"))
                elif not path.is_dir():
                    self.passed_over.append((self._name(path), "outside every class folder"))

    def _part(self, part: str, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return images (n, H, W, 3) uint8 and labels (n,) int64 of a part."""
        path = self.parts[part]
        present = [name for name in classes if (path / name).exists()]
        files = {name: list(files_below(path / name)) for name in present}
        images = np.empty((sum(map(len, files.values())), *self.shape, 3), np.uint8)
        labels: list[int] = []
        for name in present:
            read_before, passed_before = len(labels), len(self.passed_over)
            for file, reason in files[name]:
                reason = reason or self._read_image(file, images[len(labels)])
                if reason:
                    self.passed_over.append((self._name(file), reason))
                else:
                    labels.append(classes.index(name))
            if len(labels) == read_before:
                raise ValueError(
                    f"{path / name} is a class without an image that can be read: it holds "
                    f"{_reasons(self.passed_over[passed_before:])}; put images there (PNG or JPEG "
                    "for instance), or remove the folder"
                )
        return images[: len(labels)], np.array(labels, np.int64)

    def _read_image(self, file: Path, target: np.ndarray) -> str:
        """Write an image to `target` (H, W, 3); return the reason if it cannot be read, else ""."""
        try:
            pixels, highest, pages = decode(file, *self.shape)
        except UnreadableImage as error:
            return str(error)
        if pages > 1:
            self.remarks.append((self._name(file), f"the first page is read: of {pages}"))
        if pixels.dtype == np.float32:
            self.deep.append((target, pixels))
            self.highest = max(self.highest, highest)
            return ""
        self.cut = max(self.cut, (highest, str(file)))
        target[:] = pixels if pixels.ndim == 3 else pixels[..., None]
        return ""

    def _scale_deep(self) -> None:
        """Scale integers of more than 8 bits; the highest level of all files is known by now."""
        white = white_level(self.highest)
        for target, levels in self.deep:
            target[:] = to_8_bit(levels, white)[..., None]
        if self.deep:
            images = f"{len(self.deep)} images of more than 8 bits"
            self.remarks.append((images, scaling(self.highest)))
        highest, file = self.cut
        if highest and white_level(highest) < 65535:
            raise ValueError(
                f"{file} has 16 bits a colour, but the highest level of the folder is {highest} of "
                "65535, so that most levels would be lost: convert the folder to 8 bits"
            )


def _text(name: str) -> str:
    """Return the name of a file, with ? for bytes that are not UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _reasons(passed_over: list[tuple[str, str]]) -> str:
    """Return the number of files for each reason, with an example."""
    if not passed_over:
        return "no files"
    counts = Counter(reason.partition(":")[0] for _, reason in passed_over)
    examples = {reason.partition(":")[0]: file for file, reason in reversed(passed_over)}
    return ", ".join(f"{n} × {reason} ({examples[reason]})" for reason, n in counts.items())
