"""Where images come from: one function a source, one line each in `SOURCES`."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from wcord.compute.seeds import generator
from wcord.data.arrays import from_arrays
from wcord.data.folder import read_folder
from wcord.data.paths import data_root, locate
from wcord.data.raw import Raw
from wcord.data.split import Split, order


@dataclass(frozen=True)
class Reading:
    """How a source is read: resized to `shape` (height, width) where it has none of its own.

    `download` allows torchvision to download CIFAR.
    """

    shape: tuple[int, int] | None = None
    download: bool = False


def digits(name: str, reading: Reading) -> Raw:
    """Scikit-learn's 1,797 handwritten digits, 8 × 8 gray, split once for all into 898 and 899.

    Gray levels 0 ... 16 are spread over 0 ... 255.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8))[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    place = order(labels, generator(0, "digits-test"), keep_shares=True)
    # classes take turns in `order`, so both halves have every class's share
    test, train = place[:899].sort().values, place[899:].sort().values
    classes = tuple(str(digit) for digit in range(10))
    everything = Split(images, labels)
    return Raw(classes, everything.take(train), everything.take(test))


def _cifar(which: str, reading: Reading) -> Raw:
    """Read CIFAR-10 or CIFAR-100 (Krizhevsky 2009) through torchvision."""
    from filelock import FileLock
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[which]
    root = data_root()
    advice = "set data.download to true, or point $WCORD_DATA at the folder that holds it"
    try:
        if reading.download:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / f".{which}.lock"):
                parts = [kind(root, train=train, download=True) for train in (True, False)]
        else:
            parts = [kind(root, train=train) for train in (True, False)]
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{which} cannot be read from {root}: {advice} ({reason})") from error
    train, test = (
        Split(
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),
            torch.tensor(part.targets, dtype=torch.int64),
        )
        for part in parts
    )
    return Raw.of(tuple(parts[0].classes), {"train": train, "test": test})


def read_npz(path: str, reading: Reading) -> Raw:
    """Read a user's arrays from an .npz file; see `from_arrays` for the names of the arrays."""
    file = locate(path)
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array, not named ones")
        with archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "pickle" in reason:  # what numpy takes every unknown file for
            reason = "it is no such file, or holds Python objects"
        raise ValueError(f"{file} cannot be read as an .npz file of plain arrays: {reason}") from (
            error
        )
    return from_arrays(arrays, name=str(file))


def _folder(path: str, reading: Reading) -> Raw:
    height, width = reading.shape or (32, 32)
    return read_folder(locate(path), height, width)


class Source(NamedTuple):
    """How a source is read, whether it needs a path, and what it holds out by default."""

    read: Callable[[str, Reading], Raw]
    needs_path: bool = False
    held_out: float = 0.1


SOURCES: dict[str, Source] = {
    "digits": Source(digits, held_out=0.2),
    "cifar10": Source(_cifar),
    "cifar100": Source(_cifar),
    "npz": Source(read_npz, needs_path=True),
    "folder": Source(_folder, needs_path=True),
}


def check_source(source: str) -> tuple[Source, str]:
    """Return the entry of `SOURCES` and its argument (the path, or the name itself).

    Raises:
        ValueError: no such source, or a path is missing or out of place.
    """
    name, colon, path = source.partition(":")
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(SOURCES)}"
        if source.endswith(".npz"):
            hint = f"write npz:{source}"
        elif Path(source).expanduser().is_dir():
            hint = f"write folder:{source}"
        raise ValueError(f"unknown data source {source!r}: {hint}")
    entry = SOURCES[name]
    if entry.needs_path and not path:
        raise ValueError(f"data source {name!r} needs a path: write {name}:PATH")
    if not entry.needs_path and colon:
        raise ValueError(f"data source {name!r} takes no path: write {name}")
    return entry, path or name
