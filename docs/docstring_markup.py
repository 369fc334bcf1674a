"""Docstrings as reStructuredText: equations, lists and prose, before napoleon reads the sections.

A docstring is plain text with the sections of Google's style. Here equations and aligned columns
become blocks of code, and the characters of prose that would be markup are escaped.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

LITERAL = ("", ".. code-block:: text", "")
COLUMNS = re.compile(r"\S {3,}\S")
SECTIONS = ("Args", "Returns", "Raises", "Yields", "Attributes", "Class attributes", "Example")
ENTRY = re.compile(r" {4}(\S.*?): (.*)")  # of a list: "name: text"
GROUP = re.compile(r" {4}(\w+(?:, \w+)+)((?: \([^)]*\))?:.*)")  # "a, b (type): text"
EMPHASIS = r"(?<![\w*])\*\w(?:[^*`]*\w)?\*(?![\w*])"


def prepare_docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Make equations and aligned columns of a docstring literal, and escape its prose for reST.

    A block that is indented after an empty line is an equation; so is a paragraph whose lines have
    columns. Sections such as Args stay for napoleon.
    """
    lines[:] = without_links(prepared(lines), arguments_of(obj))
    if what in ("property", "attribute"):  # napoleon reads a colon in their first line as a type
        lines[:0] = ["..", ""]


def prepared(lines: list[str]) -> Iterator[str]:
    """Return a docstring as reStructuredText with sections for napoleon."""
    literal = False  # whether the last block was; an indented block after it is a part of it
    for block, before in _blocks(lines):
        if not block[0]:
            yield ""
            continue
        continued = literal and block[0].startswith(" ")
        literal = continued or _is_code(block, before)
        if literal:
            extra = "" if block[0].startswith(" ") else "    "
            yield from () if continued else LITERAL
            yield from (extra + line.replace("`", "") for line in block)
        elif _is_doctest(block):
            yield from block
        elif block[0].startswith(" ") or block[0].removesuffix(":") in SECTIONS:
            yield from map(escaped, _section(block))
        else:
            yield from _with_lists(block)


def _blocks(lines: list[str]) -> Iterator[tuple[list[str], str]]:
    """Return paragraphs with the last line before each; an indented one may hold empty lines."""
    block: list[str] = []
    before = ""
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
            continue
        if block:
            yield block, before
            before, block = block[-1], []
        yield [""], before


def _is_code(block: list[str], before: str) -> bool:
    if _is_doctest(block):
        return False
    if block[0].startswith("    "):
        return bool(before) and not before.startswith(" ")
    return sum(bool(COLUMNS.search(line)) for line in block) > 1


def _is_doctest(block: list[str]) -> bool:
    return block[0].lstrip().startswith(">>>")


def _section(block: list[str]) -> Iterator[str]:
    """Return a section without what napoleon misreads.

    In "Returns" it takes the words before a colon for a type, and in "Attributes" the first of
    several names.
    """
    if block[0] == "Returns:" and len(block) > 1:
        yield f":returns: {block[1].strip()}"
        yield from block[2:]
    elif block[0] in ("Attributes:", "Class attributes:"):
        yield block[0]
        for first, *rest in _entries(block[1:]):
            group = GROUP.fullmatch(first)
            names = [f"    {name}{group[2]}" for name in group[1].split(", ")] if group else [first]
            for line in names:
                yield line
                yield from rest
    else:
        yield from block


def _entries(lines: Iterable[str]) -> Iterator[list[str]]:
    """Return the entries of a list: each begins with a line that is not indented further."""
    entry: list[str] = []
    for line in lines:
        if entry and not line.startswith("     "):
            yield entry
            entry = []
        entry.append(line)
    if entry:
        yield entry


def _with_lists(block: list[str]) -> Iterator[str]:
    """Return a paragraph; lines indented below "Names:" are a list of names, or prose."""
    start = next((i for i, line in enumerate(block) if i and line.startswith("    ")), len(block))
    if start == len(block) or not block[start - 1].endswith(":"):
        yield from map(escaped, block)
        return
    end = next((i for i in range(start, len(block)) if not block[i].startswith(" ")), len(block))
    yield from map(escaped, block[:start])
    entries = list(_entries(block[start:end]))
    if all(ENTRY.fullmatch(entry[0]) for entry in entries):
        yield ""
        for first, *rest in entries:
            name, _, text = first.strip().partition(": ")
            yield f"- **{escaped(name)}**: {escaped(text)}"
            yield from (f"  {escaped(line.strip())}" for line in rest)
    else:  # with the line before, a definition
        yield from () if start == 1 else ("",)
        yield from map(escaped, block[start:end])
    if end < len(block):
        yield ""
        yield from _with_lists(block[end:])


def arguments_of(obj: Any) -> set[str]:
    """Return the names of the arguments of a function or class."""
    try:
        return set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        return set()


def without_links(lines: Iterable[str], names: set[str]) -> Iterator[str]:
    """Return lines in which these names are code without a link, as those of arguments are.

    >>> list(without_links(["`data` of `load`"], {"data"}))
    ['``data`` of `load`']
    """
    for line in lines:
        yield re.sub(r"`(\w+)`", lambda m: f"`{m[0]}`" if m[1] in names else m[0], line)


def escaped(line: str) -> str:
    r"""Return a line of prose with the characters escaped that reST would read as markup.

    >>> print(escaped("||t - s|| of `a * b`, x* and W_, *not* 2 * y"))
    \|\|t - s\|\| of `a * b`, x\* and W\_, *not* 2 \* y
    """
    pieces = re.split(rf"(`[^`]*`|{EMPHASIS})", line)
    for index in range(0, len(pieces), 2):
        pieces[index] = re.sub(r"[*|\\]|(?<=\w)_(?!\w)", r"\\\g<0>", pieces[index])
    return "".join(pieces)
