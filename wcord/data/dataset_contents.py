"""The contents of a data set: samples of each class and part, and files that were not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from wcord.data.split import Split

Notes = tuple[tuple[str, str], ...]  # (subject, statement)
PARTS = {"train": "to train on", "held_out": "held out", "test": "to test"}
CLASSES_NAMED, FILES_NAMED = 10, 4  # at most, in a line for a terminal


@dataclass(frozen=True)
class Contents:
    """The samples of a data set by class and part, after the division.

    Args:
        name: of the data set, such as folder:pets.
        classes: K names.
        counts: for each of "train", "held_out" and "test", the number of samples of each class (K).
        passed_over: (file, reason) of each file or array not read; paths are relative to the
            folder.
        remarks: (subject, statement) on samples that were read, such as images of one colour.
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
        """Count the samples of every class; remark on missing classes and on odd images."""
        counts = {
            part: tuple(split.labels.cpu().bincount(minlength=len(classes)).tolist())
            for part, split in parts.items()
        }
        for part, statement in (("train", "no training images"), ("test", "no test images")):
            missing = [c for c, n in zip(classes, counts[part], strict=True) if not n]
            remarks += tuple((f"class {c}", statement) for c in missing)
        if uniform := sum(_count_uniform(split) for split in parts.values()):
            remarks += ((f"{uniform} images", "of one colour, so that they show nothing"),)
        brightest = max(int(split.images.max()) for split in parts.values())
        if brightest < 64:
            remarks += ((f"gray levels of all images end at {brightest} of 255", "nearly black"),)
        return Contents(name, classes, counts, passed_over, remarks)

    @property
    def parts(self) -> dict[str, int]:
        """Number of samples of each part."""
        return {part: sum(counts) for part, counts in self.counts.items()}

    def lines(self) -> list[str]:
        """Return a few lines of plain text for a terminal."""
        totals = [sum(numbers) for numbers in zip(*self.counts.values(), strict=True)]
        division = ", ".join(f"{n} {PARTS[part]}" for part, n in self.parts.items())
        classes = [f"{c} ({n})" for c, n in zip(self.classes, totals, strict=True)]
        return [
            f"{self.name}: {sum(totals)} images of {len(classes)} classes; {division}",
            f"classes: {_first(classes, CLASSES_NAMED)}",
            *(
                f"passed over: {len(files)} ({reason}): {_first(files, FILES_NAMED)}"
                for reason, files in _grouped(self.passed_over).items()
            ),
            *(
                f"note: {_first(subjects, FILES_NAMED)}: {statement}"
                for statement, subjects in _grouped(self.remarks).items()
            ),
        ]

    def plain(self) -> dict[str, Any]:
        """Return the contents as plain values, for JSON."""
        return {
            "name": self.name,
            "parts": self.parts,
            "classes": [
                {"name": c} | {part: counts[i] for part, counts in self.counts.items()}
                for i, c in enumerate(self.classes)
            ],
            "passed_over": [{"file": file, "why": reason} for file, reason in self.passed_over],
            "remarks": [{"about": subject, "remark": remark} for subject, remark in self.remarks],
        }


def _count_uniform(split: Split) -> int:
    """Return the number of images whose pixels all have the same colour."""
    pixels = split.images.flatten(2)  # (n, C, H W)
    return int((pixels.amin(2) == pixels.amax(2)).all(1).sum())


def first_images(split: Split, classes: int, limit: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return the first images of each class, the same number of each.

    Args:
        split: the samples.
        classes: K, the number of classes.
        limit: largest number of images; if K > `limit`, one image of each of the first classes.

    Returns:
        images (k, H, W, C) uint8 and labels (k,) int64, sorted by class; k ≤ `limit`.
    """
    labels = split.labels.cpu()
    per_class = max(1, limit // classes)
    index = torch.cat([(labels == c).nonzero()[:per_class, 0] for c in range(min(classes, limit))])
    images = split.images[index.to(split.images.device)].permute(0, 2, 3, 1)
    return images.cpu().contiguous().numpy(), labels[index].numpy()


def _first(names: Sequence[str], limit: int) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def _grouped(notes: Notes) -> dict[str, list[str]]:
    """Group the subjects by statement, without the details after its colon."""
    groups: dict[str, list[str]] = {}
    for subject, statement in notes:
        groups.setdefault(statement.partition(":")[0], []).append(subject)
    return groups
