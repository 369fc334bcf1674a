"""A folder of pictures: one subfolder a class, with or without a division into train and test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from wcord.data.split import Split

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


def read_folder(
    folder: Path, height: int, width: int
) -> tuple[tuple[str, ...], Split, Split | None]:
    """Read `folder`/train/CLASS/*.png and `folder`/test/CLASS/*.png, or `folder`/CLASS/*.png.

    Pictures are converted to RGB and resized (bilinear, antialiased) to height × width.

    Returns:
        class names, the training part, and the test part (None where the folder has none;
        "val" or "valid" are not taken for it).

    Raises:
        ValueError: no pictures, one class only, classes that differ, or a picture that cannot
            be read, which is named.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: data.source folder:PATH needs one")
    divided = (folder / "train").is_dir() and (folder / "test").is_dir()
    train_files = _listing(folder / "train" if divided else folder)
    classes = tuple(train_files)
    if len(classes) < 2:
        found = f"only the class {classes[0]!r}" if classes else "no class folders with pictures"
        raise ValueError(
            f"{folder} holds {found}: an image folder needs one subfolder for each of two or "
            "more classes"
        )
    test = None
    if divided:
        test_files = _listing(folder / "test")
        strange = set(test_files) - set(classes)
        if strange or not test_files:
            what = f"the class {min(strange)!r} that train lacks" if strange else "no pictures"
            raise ValueError(f"{folder / 'test'} holds {what}")
        test = _read(test_files, classes, height, width)
    return classes, _read(train_files, classes, height, width), test


def _listing(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of every class that has any, both sorted by name."""
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = {
        c.name: sorted(f for f in c.rglob("*") if f.suffix.lower() in ENDINGS) for c in classes
    }
    return {name: found for name, found in files.items() if found}


def _read(files: dict[str, list[Path]], classes: tuple[str, ...], height: int, width: int) -> Split:
    from PIL import Image, UnidentifiedImageError

    count = sum(map(len, files.values()))
    images = np.empty((count, height, width, 3), np.uint8)
    labels = np.empty(count, np.int64)
    place = 0
    for name, paths in files.items():
        for path in paths:
            try:
                with Image.open(path) as picture:
                    resized = picture.convert("RGB").resize(
                        (width, height), Image.Resampling.BILINEAR
                    )
            except (OSError, ValueError, UnidentifiedImageError, SyntaxError) as error:
                raise ValueError(f"{path} cannot be read as a picture: remove or replace it") from (
                    error
                )
            images[place], labels[place] = np.asarray(resized), classes.index(name)
            place += 1
    return Split(
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)
    )
