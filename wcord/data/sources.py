"""The sources of data sets: one function and one line in `SOURCES` for each."""

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
from wcord.errors import first_line


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading.

    `shape` (height, width) is the size of images that are resized on reading; `download` allows
    torchvision to download CIFAR.
    """

    shape: tuple[int, int] | None = None
    download: bool = False


def digits(name: str, options: ReadOptions) -> Raw:
    """Read scikit-learn's 1,797 handwritten digits, 8 × 8 gray: 898 to train, 899 to test.

    Gray levels 0 ... 16 are scaled to 0 ... 255. The division is the same for every seed.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8))[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    # every prefix of `order` keeps the shares of the classes, and so do both halves
    index = order(labels, generator(0, "digits-test"), keep_shares=True)
    test, train = index[:899].sort().values, index[899:].sort().values
    classes = tuple(str(digit) for digit in range(10))
    samples = Split(images, labels)
    return Raw(classes, samples.take(train), samples.take(test))


def cifar(name: str, options: ReadOptions) -> Raw:
    """Read CIFAR-10 or CIFAR-100 (Krizhevsky 2009) through torchvision."""
    from filelock import FileLock
    from torchvision import datasets

    dataset = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    root = data_root()
    advice = "set data.download to true, or point $WCORD_DATA at the folder that holds it"
    try:
        if options.download:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / f".{name}.lock"):
                parts = [dataset(root, train=train, download=True) for train in (True, False)]
        else:
            parts = [dataset(root, train=train) for train in (True, False)]
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        reason = first_line(error)
        raise ValueError(f"{name} cannot be read from {root}: {advice} ({reason})") from error
    train, test = (
        Split(
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),
            torch.tensor(part.targets, dtype=torch.int64),
        )
        for part in parts
    )
    return Raw.of(tuple(parts[0].classes), {"train": train, "test": test})


def npz(path: str, options: ReadOptions) -> Raw:
    """Read named arrays from an .npz file; see `from_arrays` for the names."""
    file = locate(path)
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array, not named ones")
        with archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = first_line(error)
        if "pickle" in reason:  # numpy treats every unknown file as a pickle
            reason = "it is no such file, or holds Python objects"
        raise ValueError(f"{file} cannot be read as an .npz file of plain arrays: {reason}") from (
            error
        )
    return from_arrays(arrays, name=str(file))


def folder(path: str, options: ReadOptions) -> Raw:
    """Read images in class folders (see `read_folder`), resized to 32 × 32 by default."""
    height, width = options.shape or (32, 32)
    return read_folder(locate(path), height, width)


class Source(NamedTuple):
    """A source of data: how it is read, whether it needs a path, the default of `held_out`.

    `read(argument, options)` gets the path, or the name of the source if it needs no path.
    """

    read: Callable[[str, ReadOptions], Raw]
    needs_path: bool = False
    held_out: float = 0.1


SOURCES: dict[str, Source] = {
    "digits": Source(digits, held_out=0.2),
    "cifar10": Source(cifar),
    "cifar100": Source(cifar),
    "npz": Source(npz, needs_path=True),
    "folder": Source(folder, needs_path=True),
}


def check_source(source: str) -> tuple[Source, str]:
    """Return the entry of `SOURCES` and its argument (the path, or the name itself).

    Raises:
        ValueError: there is no such source, or its path is missing or not allowed.
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
