"""Tables in Markdown, with names escaped so that they are shown literally."""

from __future__ import annotations

import re
from collections.abc import Iterable

MARKS = re.compile(r"[\\`*|<\[$~]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")


def literal(text: object) -> str:
    """Return a text escaped for one cell of a Markdown table.

    >>> print(literal("a|b *c* gckt.negatives_count"))
    a\\|b \\*c\\* gckt.negatives_count
    """
    return MARKS.sub(r"\\\g<0>", " ".join(str(text).split()))


def row(cells: Iterable[object]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(map(str, cells))} |"
