"""The contents of a data set: samples of each class and part, and files that were not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from wcord.data.colours import Colours
from wcord.data.split import Split

Notes = tuple[tuple[str, str], ...]  # (subject, statement)
PARTS = {"train": "to train on", "held_out": "held out", "test": "to test"}
GROUPS = {
    "classes": "classes",
    "regression": "ranges of the target",
    "multilabel": "groups (the rarest label of a sample)",
}
CLASSES_NAMED, FILES_NAMED = 10, 4  # at most, in a line for a terminal


@dataclass(frozen=True)
class Contents:
    """The samples of a data set by class and part, after the division.

    Args:
        name: name of the data set, such as folder:pets.
        classes: K names.
        counts: for each of "train", "held_out" and "test", the number of samples of each class (K).
        unlabelled: number of training samples without a label.
        shape: shape of an array, for data that are not pictures; () for pictures.
        targets: kind of the labels; where these are no classes, `classes` are groups of samples.
        passed_over: (file, reason) of each file or array not read; paths are relative to the
            folder.
        remarks: (subject, statement) on samples that were read, such as images of one colour.
    """

    name: str = ""
    classes: tuple[str, ...] = ()
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    passed_over: Notes = ()
    remarks: Notes = ()
    unlabelled: int = 0
    shape: tuple[int, ...] = ()
    targets: str = "classes"

    @staticmethod
    def of(
        name: str,
        colours: Colours,
        parts: Mapping[str, Split],
        passed_over: Notes,
        remarks: Notes,
        targets: str = "classes",
    ) -> Contents:
        """Count the samples of every class; remark on missing classes and on odd images.

        Where labels are no classes, the samples of every group of `colours` are counted.
        """
        classes = colours.names
        if targets == "regression":
            remarks += _remarks_on_targets(parts["train"].labels)
        counts = {
            part: tuple(
                colours.of_labels(split.labels[split.labelled].cpu())
                .bincount(minlength=len(classes))
                .tolist()
            )
            for part, split in parts.items()
        }
        unlabelled = len(parts["train"]) - parts["train"].labelled_count
        if not parts["train"].pictures:
            remarks += _remarks_on_arrays(parts["train"])
            shape = tuple(parts["train"].images.shape[1:])
            return Contents(name, classes, counts, passed_over, remarks, unlabelled, shape, targets)
        for part, statement in (("train", "no training images"), ("test", "no test images")):
            missing = [c for c, n in zip(classes, counts[part], strict=True) if not n]
            remarks += tuple((f"class {c}", statement) for c in missing)
        if uniform := sum(_count_uniform(split) for split in parts.values()):
            remarks += ((f"{uniform} images", "of one colour, so that they show nothing"),)
        brightest = max(int(split.images.max()) for split in parts.values())
        if brightest < 64:
            remarks += ((f"gray levels of all images end at {brightest} of 255", "nearly black"),)
        return Contents(name, classes, counts, passed_over, remarks, unlabelled, targets=targets)

    @property
    def parts(self) -> dict[str, int]:
        """Number of samples of each part."""
        parts = {part: sum(counts) for part, counts in self.counts.items()}
        return parts | {"train": parts.get("train", 0) + self.unlabelled} if parts else {}

    def lines(self) -> list[str]:
        """Return a few lines of plain text for a terminal."""
        totals = [sum(numbers) for numbers in zip(*self.counts.values(), strict=True)]
        division = ", ".join(f"{n} {PARTS[part]}" for part, n in self.parts.items())
        if self.unlabelled:
            division += f"; {self.unlabelled} to train on have no label (-1)"
        kind = f"arrays ({'×'.join(map(str, self.shape))})" if self.shape else "images"
        groups = GROUPS[self.targets]
        classes = [f"{c} ({n})" for c, n in zip(self.classes, totals, strict=True)]
        count = sum(self.parts.values())
        return [
            f"{self.name}: {count} {kind} of {len(classes)} {groups}; {division}",
            f"{groups}: {_first(classes, CLASSES_NAMED)}",
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
            **({"unlabelled": self.unlabelled} if self.unlabelled else {}),
            **({"targets": self.targets} if self.targets != "classes" else {}),
            **({"shape": list(self.shape)} if self.shape else {}),
            "passed_over": [{"file": file, "why": reason} for file, reason in self.passed_over],
            "remarks": [{"about": subject, "remark": remark} for subject, remark in self.remarks],
        }


def _remarks_on_targets(targets: torch.Tensor) -> Notes:
    """Return a remark on regression targets that are far from order 1."""
    mean, std = targets.double().mean(0), targets.double().std(0, correction=0)
    far = ((mean.abs() > 10) | (std > 10) | (std < 0.1)).nonzero()[:, 0].tolist()
    return tuple(
        (
            f"target {k}",
            f"mean {mean[k]:.3g} and deviation {std[k]:.3g}; targets of order 1 train "
            "better: subtract the mean and divide by the deviation",
        )
        for k in far
    )


def _remarks_on_arrays(train: Split) -> Notes:
    """Return a remark on channels that are constant in the training part."""
    lowest, highest = (function(train.images, 0) for function in (torch.amin, torch.amax))
    if lowest.ndim > 1:
        lowest, highest = lowest.flatten(1).amin(1), highest.flatten(1).amax(1)
    constant = int((lowest == highest).sum())
    if not constant:
        return ()
    subject = f"{constant} of {len(lowest)} columns (axis 1)"
    return ((subject, "constant in the training part, so that they say nothing"),)


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
