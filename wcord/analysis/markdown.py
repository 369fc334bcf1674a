"""Tables in Markdown whose names are shown as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable

MARKS = re.compile(r"[\\`*|<\[$~]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")


def literal(text: object) -> str:
    """Return a text that Markdown shows as it is, in one cell of a table.

    >>> print(literal("a|b *c* gckt.negatives_count"))
    a\\|b \\*c\\* gckt.negatives_count
    """
    return MARKS.sub(r"\\\g<0>", " ".join(str(text).split()))


def row(cells: Iterable[object]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(map(str, cells))} |"
