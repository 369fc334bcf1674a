"""What the classes of a run are called: the one place that turns a class number into its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width

import numpy as np
from numpy.typing import NDArray

from wcord.runs import Run

from ..reading.arrange import Blocks, class_blocks, spaced
from .literal import mathtext

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[Any]

ROOM = 9  # columns of a name on an axis
FEW = 12  # classes that are all named along an axis
MOST = 8  # class names along an axis where there are more
FLAT = 3  # columns of a name up to which the names on a horizontal axis do not touch


def columns(text: str) -> int:
    """Return how many columns a text takes: East Asian letters take two, accents none.

    >>> columns("cat"), columns("猫"), columns("e\u0301")
    (3, 2, 1)
    """
    return sum((1 + (east_asian_width(c) in "WF")) * (not combining(c)) for c in text)


def cut(text: str, room: int) -> str:
    """Return a text in at most `room` columns, with an ellipsis where its end is left out.

    >>> cut("tabby cat", 9), cut("tabby cat", 7)
    ('tabby cat', 'tabby…')
    """
    if columns(text) <= room:
        return text
    ends = accumulate(columns(letter) for letter in text)
    kept = sum(end < room for end in ends)
    return f"{text[:kept].rstrip()}…"


@dataclass(frozen=True)
class ClassNames:
    """The names of a label set in the order of its class numbers.

    A class that has no name goes by its number.
    """

    known: tuple[str, ...] = ()

    def __call__(self, label: int) -> str:
        """Return the name of a class, on one line."""
        named = " ".join(self.known[label].split()) if 0 <= label < len(self.known) else ""
        return named or str(label)

    def short(self, label: int, room: int = ROOM) -> str:
        """Return the name of a class in at most `room` columns, unlike that of any other class.

        It is cut at its end; where two names would be the same, at its beginning; else it is the
        number.

        >>> names = ClassNames(("tabby cat", "number 1", "number 2"))
        >>> [names.short(label, 6) for label in range(4)]
        ['tabby…', '…ber 1', '…ber 2', '3']
        """
        if not 0 <= label < len(self.known):
            return str(label)
        if room not in self._short:
            self._short[room] = _shortened(self, room)
        return self._short[room][label]

    @cached_property
    def _short(self) -> dict[int, list[str]]:
        """All shortened names by their room: looked up without a look at every name."""
        return {}

    def longest(self, labels: Iterable[int]) -> int:
        """Return the columns that the longest of the shortened names of some classes takes."""
        return max((columns(self.short(label)) for label in labels), default=0)


def _shortened(names: ClassNames, room: int) -> list[str]:
    whole = [names(label) for label in range(len(names.known))]
    ways = [[cut(name, room) for name in whole], [cut(name[::-1], room)[::-1] for name in whole]]
    counts = [Counter(way) for way in ways]
    return [
        next((name for name, of in zip(cuts, counts, strict=True) if of[name] == 1), str(label))
        for label, cuts in enumerate(zip(*ways, strict=True))
    ]


NUMBERS = ClassNames()


def named(blocks: Blocks) -> list[int]:
    """Return which blocks an axis has room to name: all where there are few."""
    few = len(blocks.names) <= FEW
    return spaced(blocks.middles, blocks.ends[-1], 2 * FEW if few else MOST)


def names_of(run: Run, side: str = "student") -> ClassNames:
    """Return the class names that a run keeps for the label set of "student" or "teacher"."""
    labels = (run.data or {}).get("labels")
    names = labels.get(side) if isinstance(labels, dict) else None
    return ClassNames(tuple(map(str, names))) if isinstance(names, list) else NUMBERS


def name_ticks(axes: Axes, labels: Array, names: ClassNames) -> None:
    """Write class names along both sides of a plan (n, n) that is sorted by class.

    Args:
        axes: as `lab.figures.plan` draws on them.
        labels: classes (n,) of the samples.
        names: of the classes.
    """
    blocks = class_blocks(labels)
    shown = named(blocks)
    places = [blocks.middles[place] - 0.5 for place in shown]
    words = [mathtext(names.short(blocks.names[place])) for place in shown]
    upright = names.longest(blocks.names) > FLAT
    axes.set_xticks(places, words, rotation=90 if upright else 0)
    axes.set_yticks(places, words)


def name_points(axes: Axes, names: ClassNames) -> None:
    """Write class names in place of the numbers on a map, as `lab.figures.joint_map` draws it.

    Of many classes, names are small, and one that would lie over another is left out.
    """
    wide, high = 0.2 * abs(np.diff(axes.get_xlim())[0]), 0.035 * abs(np.diff(axes.get_ylim())[0])
    kept: list[tuple[float, float]] = []
    for text in axes.texts:
        text.set_text(mathtext(names.short(int(text.get_text()))))
        x, y = text.xy  # type: ignore[attr-defined]
        if len(axes.texts) > FEW:
            text.set_fontsize(8)
            text.set_visible(all(abs(x - u) > wide or abs(y - v) > high for u, v in kept))
        if text.get_visible():
            kept.append((x, y))
