"""The cheat sheet: two pages with the formulas of the notebooks under their numbers, as PDF.

`cheat_sheet.typ` has the words. Each `eq("2.4")` in it is the notebooks' own formula, drawn as SVG.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from lab.figures.schematic import schematic
from lab.palette import LIGHT

from . import notebook_parts

SIZE = 12.5  # of a formula's letters, in pixels
SOURCE = Path(__file__).parent / "cheat_sheet.typ"
PLAIN = {  # what ziamath draws without its style, as the letter itself
    r"\\mathbb ?\{?E\}?": "𝔼",
    r"\\mathbf ?\{?1\}?": "𝟏",
    r"\\[bB]igg?[lrm]?(?=\\)": "",
}
APART = re.compile(
    r"\\qquad|\\\\(?=\s)|(?<=r\])\s*(?=-)|\\ \\ (?=\(\+)"
)  # a wide formula is broken here
USED = re.compile(r'#eq\("([\d.]+)"')


def pdf() -> bytes:
    """Return the cheat sheet as PDF.

    Raises:
        ValueError: a formula has a number that no notebook has, or cannot be drawn.
    """
    import typst

    numbers = sorted(set(USED.findall(SOURCE.read_text("utf-8"))))
    drawings = {number: pieces(notebook_parts.equation(number)) for number in numbers}
    drawings["schematic"] = [schematic("all", LIGHT)]
    inputs = {"drawings": json.dumps(drawings)}
    return bytes(typst.compile(str(SOURCE), format="pdf", sys_inputs=inputs))


def pieces(latex: str) -> list[str]:
    """Return a formula as drawings, one for each part that wide spaces set apart."""
    return [drawing(piece) for piece in APART.split(_flat(latex)) if piece.strip()]


def _flat(latex: str) -> str:
    """Return LaTeX without the frame of an aligned formula."""
    return re.sub(r"\\(?:begin|end)\{(?:aligned|split)\}|&", "", latex)


def drawing(latex: str) -> str:
    """Return a formula as SVG.

    Args:
        latex: with or without its number.

    Raises:
        ValueError: it cannot be drawn.
    """
    import ziamath

    shown = notebook_parts.TAG.sub("", latex).strip()
    for pattern, letter in PLAIN.items():
        shown = re.sub(pattern, letter, shown)
    try:
        return str(ziamath.Latex(shown, size=SIZE, inline=False).svg())
    except Exception as error:
        raise ValueError(f"the formula {shown!r} cannot be drawn: {error}") from error
