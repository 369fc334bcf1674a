"""Equations and figures of the notebooks, by their numbers, for slides and cheat sheet."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from lab.course import notebook_files
from wcord.runs.storage import read_json

EQUATION = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
TAG = re.compile(r"\\tag\{([\d.]+)\}")
CAPTION = re.compile(r"\*\*Figure ([\d.]+)\.\*\* (.*)", re.DOTALL)


class Figure(NamedTuple):
    """A figure as it is stored: SVG, and the words of its caption."""

    drawing: str
    words: str


@cache
def equations() -> dict[str, str]:
    r"""Return LaTeX by number, such as "2.4", with its `\tag`.

    Raises:
        ValueError: two equations have one number.
    """
    found: dict[str, str] = {}
    for cell in _cells("markdown"):
        for latex in EQUATION.findall(_joined(cell["source"])):
            for number in TAG.findall(latex):
                if number in found:
                    raise ValueError(f"two equations have the number {number}")
                found[number] = latex.strip()
    return found


@cache
def figures() -> dict[str, Figure]:
    """Return figures by number, such as "2.3"."""
    found: dict[str, Figure] = {}
    for cell in _cells("code"):
        drawing = ""
        for output in cell["outputs"]:
            data = output.get("data", {})
            drawing = _joined(data.get("image/svg+xml", drawing))
            caption = CAPTION.match(_joined(data.get("text/markdown", "")))
            if caption:
                found[caption[1]] = Figure(drawing, caption[2].strip())
    return found


def equation(number: str) -> str:
    """Return the LaTeX of an equation.

    Raises:
        ValueError: no notebook has it.
    """
    if number not in equations():
        raise ValueError(f"no notebook has an equation ({number})")
    return equations()[number]


def figure(number: str) -> Figure:
    """Return a figure.

    Raises:
        ValueError: no notebook has it.
    """
    if number not in figures():
        raise ValueError(f"no notebook has a figure {number}")
    return figures()[number]


def _joined(text: str | list[str]) -> str:
    return "".join(text)


def _cells(kind: str) -> list[dict[str, Any]]:
    return [
        cell
        for path in notebook_files.notebooks()
        for cell in (read_json(path, {}) or {}).get("cells", [])
        if cell["cell_type"] == kind
    ]
