"""A source as read: its parts, before the run's own division."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch

from wcord.compute.seeds import generator
from wcord.data.contents import Notes
from wcord.data.split import Split, order

# names of the parts of a data set, as folders and arrays spell them
SPELLINGS = {
    "train": {"train", "training"},
    "held_out": {
        *("val", "valid", "validation", "validate", "dev", "development"),
        *("eval", "evaluation", "heldout", "holdout"),
    },
    "test": {"test", "testing", "tests"},
}


class Raw(NamedTuple):
    """Samples as read: the training part has not been divided yet.

    `held_out` is the source's own held-out part, None where it is to be drawn from `train`.
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
        """Number the samples through, and draw a test part where there is none.

        Args:
            classes: K names.
            parts: "train", perhaps "test" and "held_out". Without a test part, a fifth of each
                class of the training part becomes it, whatever the seed.
            passed_over: see `Contents`.
            remarks: see `Contents`.
        """
        train, test, held_out = (parts.get(part) for part in ("train", "test", "held_out"))
        assert train is not None
        numbered = len(train) + (len(test) if test is not None else 0)
        if held_out is not None:
            held_out = _numbered(held_out, numbered)
        if test is not None:
            test = _numbered(test, len(train))
        else:
            place = order(train.labels, generator(0, "test-part"), keep_shares=True)
            count = max(1, round(0.2 * len(train)))
            test = train.take(place[:count].sort().values)
            train = train.take(place[count:].sort().values)
        return Raw(classes, train, test, held_out, passed_over, remarks)


def part_of(name: str) -> str | None:
    """Return which part a folder's or an array's name is for, None where it names no part.

    >>> [part_of(n) for n in ("Train", "test_set", "val2017", "valid", "held-out", "cats")]
    ['train', 'test', 'held_out', 'held_out', 'held_out', None]
    """
    word = re.sub(r"[^a-z]", "", name.lower())
    word = re.sub(r"(set|data|split|images|pictures)$", "", word)
    return next((part for part, spelled in SPELLINGS.items() if word in spelled), None)


def _numbered(split: Split, start: int) -> Split:
    ids = torch.arange(len(split)) + start
    return Split(split.images, split.labels, split.extras, ids)
