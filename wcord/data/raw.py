"""A source as read, before the division for a run, and the names of its parts."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch

from wcord.compute.seeds import generator
from wcord.data.dataset_contents import Notes
from wcord.data.split import Split, order

# spellings of the parts of a data set in names of folders and arrays
SPELLINGS = {
    "train": {"train", "training"},
    "held_out": {
        *("val", "valid", "validation", "validate", "dev", "development"),
        *("eval", "evaluation", "heldout", "holdout"),
    },
    "test": {"test", "testing", "tests"},
}


class Raw(NamedTuple):
    """The samples of a source as read.

    `held_out` is the held-out part of the source. If it is None, a part of `train` is held out
    later.
    """

    classes: tuple[str, ...]
    train: Split
    test: Split
    held_out: Split | None = None
    passed_over: Notes = ()
    remarks: Notes = ()

    @staticmethod
    def of(
        classes: tuple[str, ...],
        parts: dict[str, Split],
        passed_over: Notes = (),
        remarks: Notes = (),
    ) -> Raw:
        """Number the samples of all parts, and draw a test part if there is none.

        Args:
            classes: K names.
            parts: "train", perhaps "test" and "held_out". Without "test", a fifth of each class
                of the training part is the test part, the same for every seed.
            passed_over, remarks: see `Contents`.
        """
        train, test, held_out = (parts.get(part) for part in ("train", "test", "held_out"))
        assert train is not None
        count = len(train) + (len(test) if test is not None else 0)
        if held_out is not None:
            held_out = _numbered(held_out, count)
        if test is not None:
            test = _numbered(test, len(train))
        else:
            index = order(train.labels, generator(0, "test-part"), keep_shares=True)
            size = max(1, round(0.2 * len(train)))
            test = train.take(index[:size].sort().values)
            train = train.take(index[size:].sort().values)
        return Raw(classes, train, test, held_out, passed_over, remarks)


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
