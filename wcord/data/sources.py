"""The sources of data sets: one function and one line in `SOURCES` for each."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from wcord.compute.seeds import generator
from wcord.data.arrays import from_arrays
from wcord.data.folder import read_folder
from wcord.data.paths import data_root, locate
from wcord.data.raw import Raw
from wcord.data.split import Split, order
from wcord.errors import first_line

# errors of missing and damaged files, as numpy, zipfile, torchvision and medmnist raise them
UNREADABLE = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading.

    `shape` (height, width) is the size of images that are resized on reading; `download` allows
    the packages of public data sets to download them; `kind` and `targets` are those of
    `from_arrays`.
    """

    shape: tuple[int, int] | None = None
    download: bool = False
    kind: str = "auto"
    targets: str = "auto"


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


@contextmanager
def _public_files(name: str, file: str, options: ReadOptions) -> Iterator[Path]:
    """Yield the folder of data sets, locked if a download is allowed; turn read errors into a line.

    Args:
        name: of the data set.
        file: the file or folder that holds it, for the message.
        options: whether a download is allowed.

    Raises:
        ValueError: the files are missing or damaged; one line says what to do.
    """
    from filelock import FileLock

    root = data_root()
    advice = f"set data.download to true, or point $WCORD_DATA at the folder that holds {file}"
    try:
        if options.download:
            root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock") if options.download else nullcontext():
            yield root
    except UNREADABLE as error:
        reason = first_line(error)
        raise ValueError(f"{name} cannot be read from {root}: {advice} ({reason})") from error


def cifar(name: str, options: ReadOptions) -> Raw:
    """Read CIFAR-10 or CIFAR-100 (Krizhevsky 2009) through torchvision."""
    from torchvision import datasets

    dataset = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    with _public_files(name, dataset.base_folder, options) as root:
        parts = [dataset(root, train=train, download=options.download) for train in (True, False)]
    train, test = (
        Split(
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),
            torch.tensor(part.targets, dtype=torch.int64),
        )
        for part in parts
    )
    return Raw.of(tuple(parts[0].classes), {"train": train, "test": test})


def stl10(name: str, options: ReadOptions) -> Raw:
    """Read STL-10 (Coates, Ng and Lee 2011) through torchvision: 5,000 to train, 8,000 to test.

    Its 100,000 images without labels are part of the download, but they are not used: the file
    unlabeled_X.bin may be deleted.
    """
    from torchvision import datasets

    class Labelled(datasets.STL10):
        train_list = datasets.STL10.train_list[:2]  # the files that must be there

    parts = {}
    with _public_files(name, Labelled.base_folder, options) as root:
        for part in ("train", "test"):
            files = Labelled(root, part, download=options.download)
            images, labels = torch.from_numpy(files.data), torch.from_numpy(files.labels)
            parts[part] = Split(images.contiguous(), labels.long())
        classes = (root / Labelled.base_folder / Labelled.class_names_file).read_text().split()
    return Raw.of(tuple(classes), parts)


def medmnist(name: str, options: ReadOptions) -> Raw:
    """Read a 2-D data set of MedMNIST with one label an image, through its package.

    MedMNIST: Yang et al. 2023; the validation images are the held-out part. `name` is that of the
    file without .npz: octmnist for images of 28 × 28 pixels; octmnist_64, octmnist_128 and
    octmnist_224 for larger ones.
    """
    dataset, size, classes = _medmnist_set(name)
    arrays: dict[str, Any] = {"classes": classes}
    with _public_files(name, f"{name}.npz", options) as root:
        if not options.download and not (root / f"{name}.npz").exists():
            raise FileNotFoundError("there is no such file")
        for part in ("train", "val", "test"):
            files = dataset(part, root=root, size=size, download=options.download)
            arrays |= {f"images_{part}": files.imgs, f"labels_{part}": files.labels}
    return from_arrays(arrays, f"medmnist:{name}", kind="pictures", targets="classes")


def _medmnist_set(name: str) -> tuple[Callable[..., Any], int, list[str]]:
    """Return the class of a data set in the package, the size of its images and its class names.

    Raises:
        ValueError: the package is not installed, or there is no such data set or size.
    """
    try:
        from medmnist import INFO, dataset
    except ImportError:
        raise ValueError(
            f"medmnist:{name} needs medmnist, which is not installed: pip install 'wcord[medmnist]'"
        ) from None
    flag = name.partition("_")[0]
    known = [
        key
        for key, info in INFO.items()
        if not key.endswith("3d") and not info["task"].startswith("multi-label")
    ]
    if flag not in known:
        near = [] if flag in INFO else difflib.get_close_matches(flag, known, 1, 0.7)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
        raise ValueError(f"medmnist:{name} is no 2-D data set of one label an image: {hint}")
    kind = getattr(dataset, INFO[flag]["python_class"])
    files = {flag if side == 28 else f"{flag}_{side}": side for side in kind.available_sizes}
    if name not in files:
        raise ValueError(f"medmnist:{name} has no such size: use one of {', '.join(files)}")
    return kind, files[name], list(INFO[flag]["label"].values())


def npz(path: str, options: ReadOptions) -> Raw:
    """Read named arrays from an .npz file; see `from_arrays` for the names."""
    file = locate(path)
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array, not named ones")
        with archive:
            arrays = {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        reason = first_line(error)
        if "pickle" in reason:  # numpy treats every unknown file as a pickle
            reason = "it is no such file, or holds Python objects"
        raise ValueError(f"{file} cannot be read as an .npz file of plain arrays: {reason}") from (
            error
        )
    return from_arrays(arrays, str(file), options.kind, options.targets)


def folder(path: str, options: ReadOptions) -> Raw:
    """Read images in class folders (see `read_folder`), resized to 32 × 32 by default."""
    height, width = options.shape or (32, 32)
    return read_folder(locate(path), height, width)


class Source(NamedTuple):
    """A source of data: how it is read, what follows its name, the default of `held_out`.

    `read(argument, options)` gets what follows "name:" (a PATH, or the NAME of a data set), or the
    name of the source if nothing follows it.
    """

    read: Callable[[str, ReadOptions], Raw]
    argument: str = ""
    held_out: float = 0.1


SOURCES: dict[str, Source] = {
    "digits": Source(digits, held_out=0.2),
    "cifar10": Source(cifar),
    "cifar100": Source(cifar),
    "stl10": Source(stl10),
    "medmnist": Source(medmnist, "NAME"),
    "npz": Source(npz, "PATH"),
    "folder": Source(folder, "PATH"),
}


def check_source(source: str) -> tuple[Source, str]:
    """Return the entry of `SOURCES` and its argument (see `Source`).

    Raises:
        ValueError: there is no such source, or its argument is missing or not allowed.
    """
    name, colon, argument = source.partition(":")
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(SOURCES)}"
        if source.endswith(".npz"):
            hint = f"write npz:{source}"
        elif Path(source).expanduser().is_dir():
            hint = f"write folder:{source}"
        raise ValueError(f"unknown data source {source!r}: {hint}")
    entry = SOURCES[name]
    if entry.argument and not argument:
        raise ValueError(
            f"data source {name!r} needs a {entry.argument.lower()}: write {name}:{entry.argument}"
        )
    if not entry.argument and colon:
        raise ValueError(f"data source {name!r} takes no path: write {name}")
    return entry, argument or name
