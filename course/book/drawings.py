"""Drawings inside a page: their colours follow the page's theme, their ids are their own.

matplotlib draws with dark ink on white. Here ink, faint lines, paper and the colours that are too
dark for a dark page become variables of the style sheet (`_static/book.css`).
"""

from __future__ import annotations

import re
from html import escape
from xml.etree import ElementTree

from lab.palette import LIGHT, ON_DARK

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
INK = "var(--figure-ink)"
VARIABLES = (
    {
        LIGHT.ink: INK,
        "#000000": INK,
        LIGHT.faint: "var(--figure-faint)",
        "#b0b0b0": "var(--figure-faint)",  # matplotlib's grid
        "#cccccc": "var(--figure-faint)",  # and the edge of its legends
        LIGHT.paper: "var(--figure-paper)",
    }
    | {colour: f"var(--on-page-{colour[1:]})" for colour in ON_DARK}
)
COLOUR = re.compile(r"#[0-9a-f]{6}\b", re.IGNORECASE)
USE = re.compile(r'url\(#([^)]+)\)|href="#([^"]+)"')
CORNER = re.compile(r"[ML] ([-\d.]+) ([-\d.]+)")

ElementTree.register_namespace("", SVG[1:-1])
ElementTree.register_namespace("xlink", XLINK[1:-1])


def themed(drawing: str, prefix: str, words: str) -> str:
    """Return a drawing of matplotlib as inline SVG that follows the theme of the page.

    Args:
        drawing: SVG.
        prefix: for its ids, so that they differ from those of other drawings of the page.
        words: what is to be seen, for those who do not see it.
    """
    root = ElementTree.fromstring(drawing)
    kept = {text for axes in root.iter(f"{SVG}g") for text in _texts_on_pixels(axes)}
    backgrounds = {path for group in root.iter(f"{SVG}g") for path in _backgrounds(group)}
    for element in root.iter():
        if element in backgrounds:
            element.set("style", "fill: none")
        elif element not in kept:
            _follow_theme(element)
    for style in list(root.iter(f"{SVG}defs")):
        for rules in style.findall(f"{SVG}style"):
            style.remove(rules)  # they would hold for the whole page
    root.set("role", "img")
    root.set("aria-label", words)
    _fit(root)
    return own_ids(ElementTree.tostring(root, encoding="unicode"), prefix)


def own_ids(drawing: str, prefix: str) -> str:
    """Return SVG without blank lines, whose ids begin with a prefix; ids of no use are left out."""
    used = {name for pair in USE.findall(drawing) for name in pair}

    def renamed(found: re.Match[str]) -> str:
        return f' id="{prefix}-{found[1]}"' if found[1] in used else ""

    drawing = re.sub(r'\sid="([^"]+)"', renamed, drawing)
    drawing = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', drawing)
    drawing = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", drawing)
    return re.sub(r"\n\s*\n", "\n", drawing).strip()


def _follow_theme(element: ElementTree.Element) -> None:
    style = element.get("style", "")
    if element.tag == f"{SVG}text" and "fill:" not in style:
        style = f"{style}; fill: {INK}".lstrip("; ")  # black is not written
    if element.tag == f"{SVG}text" and "fill: #ffffff" in style:
        return  # white letters stand on a colour
    if style:
        element.set("style", COLOUR.sub(lambda c: VARIABLES.get(c[0].lower(), c[0]), style))


def _backgrounds(group: ElementTree.Element) -> list[ElementTree.Element]:
    """Return the white area of a whole figure, or of its axes."""
    first = next(iter(group), None)
    whole = group.get("id", "").startswith(("figure_", "axes_"))
    if not whole or first is None or not first.get("id", "").startswith("patch_"):
        return []
    return [path for path in first if "fill: #ffffff" in path.get("style", "")]


def _texts_on_pixels(axes: ElementTree.Element) -> list[ElementTree.Element]:
    """Return the texts that stand on a picture of its own colours, and stay as they are."""
    if not axes.get("id", "").startswith("axes_") or not len(axes):
        return []
    if not any(
        part.tag == f"{SVG}image" or part.get("id", "").startswith(("image", "QuadMesh"))
        for part in axes.iter()
    ):
        return []
    outline = axes[0].find(f"{SVG}path")
    corners = CORNER.findall(outline.get("d", "")) if outline is not None else []
    if not corners:
        return []
    xs, ys = zip(*((float(x), float(y)) for x, y in corners), strict=True)
    texts = []
    for group in axes:
        if group.get("id", "").startswith("text_"):
            for text in group.iter(f"{SVG}text"):
                x, y = _place(text)
                if min(xs) <= x <= max(xs) and min(ys) <= y <= max(ys):
                    texts.append(text)
    return texts


def _place(text: ElementTree.Element) -> tuple[float, float]:
    moved = re.search(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", text.get("transform", ""))
    if moved:
        return float(moved[1]), float(moved[2])
    return float(text.get("x", "nan")), float(text.get("y", "nan"))


def _fit(root: ElementTree.Element) -> None:
    """Let the page choose the height; the width is at most that of the drawing."""
    width = root.attrib.pop("width", "")
    root.attrib.pop("height", None)
    points = re.fullmatch(r"([\d.]+)pt", width)
    pixels = float(points[1]) * 4 / 3 if points else float(width or 600)
    root.set("style", f"--natural-width: {pixels:.0f}px")


def picture(drawing: str, prefix: str, words: str) -> str:
    """Return an SVG file of the course, which has variables of its own, as part of a page."""
    drawing = re.sub(r'aria-label="[^"]*"', f'aria-label="{escape(words)}"', drawing, count=1)
    drawing = re.sub(r"<title>.*?</title>", "", drawing, flags=re.DOTALL)
    return own_ids(drawing, prefix)
