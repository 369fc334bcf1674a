"""Find out whether the folders in an image folder are parts or classes; refuse ambiguous cases."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wcord.data.dataset_contents import Notes
from wcord.data.raw import part_of

SYSTEM = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}
EXPECTED = (
    "expected are class folders (CLASS/*.png), or train/CLASS/*.png with test/CLASS/*.png, "
    "val/CLASS/*.png or both"
)


class PartFolders(NamedTuple):
    """The folder of each part: "train", perhaps "held_out" and "test". Each holds class folders."""

    parts: dict[str, Path]
    passed_over: Notes = ()
    remarks: Notes = ()


def hidden(path: Path) -> bool:
    """Return whether a path is hidden or made by the operating system: .DS_Store, __MACOSX ..."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM


def folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, without hidden ones, sorted by name."""
    return sorted(p for p in folder.iterdir() if not hidden(p) and os.path.isdir(p))


def files_below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, str]]:
    """Yield each file below a folder, sorted, with the reason to pass over it, or "".

    Args:
        folder: to search; links to folders are followed.
        above: its parent folders in the search, resolved.
    """
    above |= {folder.resolve()}
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield folder, f"cannot be opened: {(error.strerror or 'unknown').lower()}"
        return
    for entry in entries:
        if hidden(entry):
            yield entry, "hidden"
        elif not os.path.isdir(entry):
            yield entry, ""
        elif entry.resolve() in above:
            yield entry, "a link to a folder that holds it"
        else:
            yield from files_below(entry, above)


def find_parts(folder: Path) -> PartFolders:
    """Return the parts in a folder; a folder of class folders is itself the training part.

    Parts are named train, test, val (valid, validation, dev ...), in any case and spelling (see
    `part_of`).

    Raises:
        ValueError: the folders may be parts or classes; the message lists them and the layout.
    """
    inside = folders(folder)
    named = {path: part for path in inside if (part := part_of(path.name)) is not None}
    below = [path for part in named for path in folders(part)]
    others = [path for path in inside if path not in named]
    # a folder "train" with images beside two or more others is a class: bus, train, tram
    train_is_a_class = (
        len(inside) > 2 and [p.name.lower() for p in named] == ["train"] and not below
    )
    if not named or train_is_a_class:
        return PartFolders({"train": folder}, remarks=_nested_folders(folder))
    start = f"{folder} holds {_listed(inside)}: "
    parts: dict[str, Path] = {}
    for path, part in named.items():
        if part in parts:
            raise ValueError(
                f"{start}{parts[part].name} and {path.name} are names of one part; {EXPECTED}"
            )
        if not folders(path):
            raise ValueError(f"{start}{path.name} holds no class folders; {EXPECTED}")
        parts[part] = path
    if "train" not in parts:
        raise ValueError(f"{start}none of them is train; {EXPECTED}")
    if len(parts) == 1 and others:
        raise ValueError(f"{start}{others[0].name} is no name of a part; {EXPECTED}")
    beside = tuple((f"{path.name}/", "beside the parts of the data set") for path in others)
    remarks = [remark for path in parts.values() for remark in _nested_folders(path)]
    return PartFolders(parts, beside, tuple(remarks))


def _nested_folders(folder: Path) -> Notes:
    """Remark on class folders that hold folders, whose images belong to the class too.

    Raises:
        ValueError: class folders hold parts, or folders of the same names, which may be the
            classes themselves.
    """
    inside = {path: folders(path) for path in folders(folder)}
    for path, below in inside.items():
        if len({part_of(p.name) for p in below} - {None}) > 1:
            raise ValueError(
                f"{path} would be a class, but holds the parts {_listed(below)}; {EXPECTED}, in "
                "the folder that data.source gives"
            )
    for path, below in inside.items():
        if [p.name for p in below] == [path.name] and not _holds_files(path):
            raise ValueError(
                f"{path} holds nothing but a folder of its own name; {EXPECTED}: move the content "
                "of that folder one folder up"
            )
    deeper = [p.name for path, below in inside.items() if not _holds_files(path) for p in below]
    repeated = sorted(name for name, count in Counter(deeper).items() if count > 1)
    if len(repeated) > 1:
        raise ValueError(
            f"{folder} holds {_listed(list(inside))}, with the folders {_listed(repeated)} in more "
            f"than one of them, so that either may be the classes; {EXPECTED}"
        )
    return tuple(
        (f"folder {path.name}", f"the folders in it count as this class: {_listed(below)}")
        for path, below in inside.items()
        if below
    )


def _holds_files(folder: Path) -> bool:
    return any(not hidden(p) and not os.path.isdir(p) for p in folder.iterdir())


def _listed(paths: list[Path] | list[str]) -> str:
    names = [p if isinstance(p, str) else p.name for p in paths]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
