"""What was found in a data set: its classes with their numbers, and what was passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from wcord.data.split import Split

Notes = tuple[tuple[str, str], ...]  # (what it is about, a statement on it)
PARTS = {"train": "to train on", "held_out": "held out", "test": "to test"}
CLASSES_NAMED, FILES_NAMED = 10, 4  # in a line for a terminal


@dataclass(frozen=True)
class Contents:
    """The samples of a data set by class and part, after the division.

    Args:
        name: of the data set, such as folder:pets.
        classes: K names.
        counts: for each of "train", "held_out" and "test", the samples of every class (K).
        passed_over: (file, why) of all that was not read; paths are relative to the folder.
        remarks: (what, statement) on samples that were read, such as the first page of several.
    """

    name: str = ""
    classes: tuple[str, ...] = ()
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    passed_over: Notes = ()
    remarks: Notes = ()

    @staticmethod
    def of(
        name: str,
        classes: tuple[str, ...],
        parts: Mapping[str, Split],
        passed_over: Notes,
        remarks: Notes,
    ) -> Contents:
        """Count the samples of every class, and remark on classes that a part lacks."""
        counts = {
            part: tuple(split.labels.cpu().bincount(minlength=len(classes)).tolist())
            for part, split in parts.items()
        }
        for part, statement in (("train", "no training pictures"), ("test", "no test pictures")):
            lacking = [c for c, n in zip(classes, counts[part], strict=True) if not n]
            remarks += tuple((f"class {c}", statement) for c in lacking)
        plain = sum(_of_one_colour(split) for split in parts.values())
        if plain:
            remarks += ((f"{plain} pictures", "of one colour, so that nothing is seen on them"),)
        brightest = max(int(split.images.max()) for split in parts.values())
        if brightest < 64:
            remarks += ((f"gray levels of all pictures end at {brightest} of 255", "nearly black"),)
        return Contents(name, classes, counts, passed_over, remarks)

    @property
    def parts(self) -> dict[str, int]:
        """Samples in each part."""
        return {part: sum(counts) for part, counts in self.counts.items()}

    def lines(self) -> list[str]:
        """Return a few lines of plain text for a terminal."""
        totals = [sum(numbers) for numbers in zip(*self.counts.values(), strict=True)]
        division = ", ".join(f"{n} {PARTS[part]}" for part, n in self.parts.items())
        classes = [f"{c} ({n})" for c, n in zip(self.classes, totals, strict=True)]
        return [
            f"{self.name}: {sum(totals)} pictures of {len(classes)} classes; {division}",
            f"classes: {_first(classes, CLASSES_NAMED)}",
            *(
                f"passed over: {len(files)} ({why}): {_first(files, FILES_NAMED)}"
                for why, files in _grouped(self.passed_over).items()
            ),
            *(
                f"note: {_first(what, FILES_NAMED)}: {statement}"
                for statement, what in _grouped(self.remarks).items()
            ),
        ]

    def plain(self) -> dict[str, Any]:
        """Return the record as plain values, for JSON."""
        return {
            "name": self.name,
            "parts": self.parts,
            "classes": [
                {"name": c} | {part: counts[i] for part, counts in self.counts.items()}
                for i, c in enumerate(self.classes)
            ],
            "passed_over": [{"file": file, "why": why} for file, why in self.passed_over],
            "remarks": [{"about": what, "remark": remark} for what, remark in self.remarks],
        }


def _of_one_colour(split: Split) -> int:
    """Return how many pictures have the same colour at every place."""
    places = split.images.flatten(2)  # (n, C, H W)
    return int((places.amin(2) == places.amax(2)).all(1).sum())


def first_pictures(split: Split, classes: int, many: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return the first pictures of each class, as many of every class as fit.

    Args:
        split: the samples, a training part for instance.
        classes: their number, K.
        many: pictures at most; with K > `many`, one of each of the first classes.

    Returns:
        images (k, H, W, C) uint8 and labels (k,) int64, sorted by class; k ≤ `many`.
    """
    labels = split.labels.cpu()
    each = max(1, many // classes)
    place = torch.cat([(labels == c).nonzero()[:each, 0] for c in range(min(classes, many))])
    images = split.images[place.to(split.images.device)].permute(0, 2, 3, 1)
    return images.cpu().contiguous().numpy(), labels[place].numpy()


def _first(names: Sequence[str], many: int) -> str:
    more = len(names) - many
    return ", ".join(names[:many]) + (f" and {more} more" if more > 0 else "")


def _grouped(notes: Notes) -> dict[str, list[str]]:
    """Return what each statement is about; details after its colon do not count."""
    groups: dict[str, list[str]] = {}
    for what, statement in notes:
        groups.setdefault(statement.partition(":")[0], []).append(what)
    return groups
