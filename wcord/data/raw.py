"""A source as read, before the division for a run, and the names of its parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from wcord.compute.seeds import generator
from wcord.data.dataset_contents import Notes
from wcord.data.fingerprint import digest
from wcord.data.split import Split, draw_part

# spellings of the parts of a data set in names of folders and arrays
SPELLINGS = {
    "train": {"train", "training"},
    "held_out": {
        *("val", "valid", "validation", "validate", "dev", "development"),
        *("eval", "evaluation", "heldout", "holdout"),
    },
    "test": {"test", "testing", "tests"},
}


@dataclass(frozen=True)
class Given:
    """The samples of a data set in the order in which they were given, before any division.

    Args:
        ids: for each part that was given ("train", "test", "held_out"), the ids (n,) of its samples
            (see `Split.ids`).
        in_one: whether the ids number all samples of one given array, 0 ... n − 1.
        digest: of the samples without their labels; "" where the fingerprints of the data tell it.
    """

    ids: Mapping[str, Tensor] = field(default_factory=dict)
    in_one: bool = False
    digest: str = ""


class Raw(NamedTuple):
    """The samples of a source as read.

    Attributes:
        classes: K names, of classes, regression targets or labels.
        train: the training part.
        test: the test part.
        held_out: the held-out part; None: a part of `train` is held out later.
        passed_over: (file, reason) of each file or array that was not read.
        remarks: (subject, statement) on samples that were read.
        given: the order in which the samples were given; None if it is that of the parts.
        targets: kind of the labels, as in `Data`.
    """

    classes: tuple[str, ...]
    train: Split
    test: Split
    held_out: Split | None = None
    passed_over: Notes = ()
    remarks: Notes = ()
    given: Given | None = None
    targets: str = "classes"

    @staticmethod
    def of(
        classes: tuple[str, ...],
        parts: dict[str, Split],
        passed_over: Notes = (),
        remarks: Notes = (),
        targets: str = "classes",
    ) -> Raw:
        """Number the samples of all parts, and draw a test part if there is none.

        Args:
            classes: K names.
            parts: "train", perhaps "test" and "held_out". Without "test", a fifth of each class
                of the training part is the test part, the same for every seed. Samples without a
                label stay in the training part.
            passed_over: (file, reason) of each file or array that was not read.
            remarks: (subject, statement) on samples that were read.
            targets: kind of the labels.
        """
        train, test, held_out = (parts.get(part) for part in ("train", "test", "held_out"))
        assert train is not None
        count = len(train) + (len(test) if test is not None else 0)
        if held_out is not None:
            held_out = _numbered(held_out, count)
        if test is not None:
            test = _numbered(test, len(train))
        as_given = {"train": train, "test": test, "held_out": held_out}
        splits = {part: split for part, split in as_given.items() if split is not None}
        given = Given({part: split.ids for part, split in splits.items()}, in_one=len(splits) == 1)
        if test is None:  # the part that is drawn depends on labels, the digest does not
            digests = " ".join(digest(split.images) for split in splits.values())
            given = replace(given, digest=digests)
            size = max(1, round(0.2 * train.labelled_count))
            test, train = draw_part(train, size, generator(0, "test-part"))
        return Raw(classes, train, test, held_out, passed_over, remarks, given, targets)


def part_of(name: str) -> str | None:
    """Return the part that the name of a folder or array stands for, None for other names.

    >>> [part_of(n) for n in ("Train", "test_set", "val2017", "valid", "held-out", "cats")]
    ['train', 'test', 'held_out', 'held_out', 'held_out', None]
    """
    word = re.sub(r"[^a-z]", "", name.lower())
    word = re.sub(r"(set|data|split|images|pictures)$", "", word)
    return next((part for part, spellings in SPELLINGS.items() if word in spellings), None)


def _numbered(split: Split, start: int) -> Split:
    ids = torch.arange(len(split)) + start
    return Split(split.images, split.labels, split.extras, ids)
