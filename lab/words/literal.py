"""Names shown as they are written: of arms, runs, classes, files, and the messages that hold them.

What a page shows is Markdown with formulas, icons and emoji; a title of matplotlib may hold a
formula. A name that somebody chose is plain text, and passes through here first.
"""

from __future__ import annotations

import re

_JOINER = "\u2060"  # word joiner: it has no width, and no line breaks at it
# Streamlit replaces these in the text after Markdown was read, where no backslash helps:
# icons, emoji and links; arrows, dashes and comparisons that stand alone.
_REPLACED = re.compile(
    r"(:(?=\S)|@(?=\w)|\bwww(?=\.)|(?<!\S)[-<>~](?=(?:->|>|-|=)(?!\S)))", re.IGNORECASE
)
_MARKS = re.compile(r"([\\`*\[\]<>#|~$&]|(?<![^\W_])_|_(?![^\W_]))")
_BLOCK = re.compile(r"^([0-9]*)([-+=.)])")  # begins a list, a rule or a heading


def markdown(text: object) -> str:
    r"""Return Markdown by which Streamlit shows `text` as it is written, on one line.

    >>> print(markdown("wcord+kd"), markdown("**a** costs $5"), markdown("1. first"))
    wcord+kd \*\*a\*\* costs \$5 1\. first
    """
    line = _REPLACED.sub(rf"\1{_JOINER}", re.sub(r"\s", " ", str(text)).strip())
    return _BLOCK.sub(r"\1\\\2", _MARKS.sub(r"\\\1", line))


def mathtext(text: object) -> str:
    r"""Return the text by which matplotlib shows `text` as it is written, not as a formula.

    Its legends leave out what begins with an underscore, so a joiner comes before that.

    >>> print(mathtext("$x$"))
    \$x\$
    """
    return re.sub("^_", f"{_JOINER}_", str(text).replace("$", r"\$"))
