"""Formulas as MathML, which browsers draw by themselves, and the font that they are drawn with."""

from __future__ import annotations

import re
import shutil
from functools import cache
from html import unescape
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging

FONT = "STIXTwoMath-Regular.ttf"  # of the package ziamath
MACROS = {"substack": r"\begin{matrix}#1\end{matrix}", "dotsc": r"\ldots", "dotsb": r"\cdots"}
OPENING, CLOSING = ({*"([{⟨⌊⌈"}, {*")]}⟩⌋⌉"})
LONG = 16  # letters of a formula that may be broken
RELATIONS = {*"=≤≥<>≈≔→⇒⇔∈∼≠"}
NAMED = re.compile(r"&(?!(?:lt|gt|amp|quot);)\w+;")  # letters that XML has no names for
MARKUP = re.compile(r"<[^>]*>|&ApplyFunction;")
TAG = re.compile(r"\\tag\{([^}]*)\}")

logger = logging.getLogger(__name__)


def connect(app: Any) -> None:
    """Register the renderer, and the font among the files of the site."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.connect("build-finished", _copy_font)


@cache
def _converter() -> LatexToMathML:
    return LatexToMathML(macros=MACROS, fancy_error=False)


def mathml(latex: str, *, display: bool) -> str:
    """Return a formula as MathML.

    Args:
        latex: without dollar signs and without a number.
        display: on a line of its own.

    Raises:
        ValueError: it has a command that is not known, or does not end.
    """
    try:
        return _converter().convert_with_local_state(latex.strip(), displaystyle=display)
    except LatexError as error:
        reason = f"no MathML for {latex.strip()!r}: {' '.join(str(error).split())}"
        raise ValueError(reason) from error


def breakable(formula: str) -> str:
    """Return MathML as several formulas, between which a line of text may end: after = or ≤.

    Browsers do not break a formula, so that a long one would leave a narrow page. Only relations
    outside of brackets and bars count; short formulas stay whole.
    """
    root = ElementTree.fromstring(NAMED.sub(lambda name: unescape(name[0]), formula))
    if len("".join(root.itertext())) < LONG:
        return formula
    parts, open_brackets, bars = [ElementTree.Element("math")], 0, {"|": 0, "‖": 0}
    for child in root:
        parts[-1].append(child)
        sign = (child.text or "") if child.tag == "mo" else ""
        open_brackets += (sign in OPENING) - (sign in CLOSING)
        if sign in bars:
            bars[sign] += 1
        closed = open_brackets == 0 and all(count % 2 == 0 for count in bars.values())
        if sign in RELATIONS and closed and len(parts[-1]) > 1:
            child.set("form", "infix")  # keep the space on both sides at the end, too
            parts.append(ElementTree.Element("math"))
    texts = [ElementTree.tostring(part, encoding="unicode") for part in parts if len(part)]
    return "<wbr>".join(texts)


def in_words(node: nodes.Node) -> str:
    """Return the text of a node in one line, with formulas as letters in place of LaTeX."""
    words = []
    for part in node.findall():
        if isinstance(part, nodes.math):
            words.append(unescape(MARKUP.sub("", mathml(part.astext(), display=False))))
        elif isinstance(part, nodes.Text) and not isinstance(part.parent, nodes.math):
            words.append(part.astext())
    return " ".join("".join(words).split())


def number_of(latex: str) -> tuple[str, str]:
    r"""Return a formula without its number, and the number: that of `\tag{2.4}`, else nothing."""
    tag = TAG.search(latex)
    return TAG.sub("", latex), tag[1] if tag else ""


def _formula(node: nodes.Element, latex: str, *, display: bool) -> str:
    try:
        return mathml(latex, display=display)
    except ValueError as error:
        logger.warning(str(error), location=node)
        return ""


def _inline(writer: Any, node: nodes.math) -> None:
    formula = _formula(node, node.astext(), display=False)
    writer.body.append(breakable(formula) if formula else "")
    raise nodes.SkipNode


def _display(writer: Any, node: nodes.math_block) -> None:
    latex, number = number_of(node.astext())
    formula = _formula(node, latex, display=True)
    if number:
        place = f"eq-{number.replace('.', '-')}"
        link = f'<a class="number" href="#{place}" title="Link to this equation">({number})</a>'
        formula = f'<div class="formula">{formula}</div>{link}'
        writer.body.append(f'<div class="equation" id="{place}">{formula}</div>\n')
    else:
        formula = f'<div class="formula">{formula}</div>'
        writer.body.append(f'<div class="equation">{formula}</div>\n')
    raise nodes.SkipNode


def _copy_font(app: Any, failure: Exception | None) -> None:
    if failure is None:
        with as_file(files("ziamath.fonts") / FONT) as font:
            shutil.copyfile(font, Path(app.outdir) / "_static" / FONT)
