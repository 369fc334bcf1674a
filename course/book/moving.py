"""Figures that move: files of HTML of their own, which chapters show in frames."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util import logging

from lab.course import moving_figures

from .plan import MOVING

PLACE = "_static/moving"

logger = logging.getLogger(__name__)


def write(site: Path) -> None:
    """Write the files into the folder of the site."""
    moving_figures.write(site / PLACE)


def embed(doctree: Any, page: str) -> None:
    """Put the moving figures of a chapter at the end of the own text of their sections.

    Args:
        doctree: of the page.
        page: its name; a section that `MOVING` names and the page lacks is a warning.
    """
    sections = {section[0].astext(): section for section in doctree.findall(nodes.section)}
    for (chapter, heading), names in MOVING.items():
        if chapter != page:
            continue
        if heading not in sections:
            logger.warning(f"no heading {heading!r}, where {', '.join(names)} moves", location=page)
            continue
        section = sections[heading]
        subsections = (i for i, part in enumerate(section) if isinstance(part, nodes.section))
        end = next(subsections, len(section))
        for name in reversed(names):
            section.insert(end, nodes.raw("", frame(name), format="html"))


def frame(name: str) -> str:
    """Return the frame of a moving figure with its caption, as HTML."""
    figure = moving_figures.FIGURES[name]
    address, title = f"{PLACE}/{name}.html", escape(figure.title)
    return (
        f'<figure class="moving" id="moving-{name}">'
        f'<iframe loading="lazy" title="{title}" src="{address}"></iframe>'
        f"<figcaption><strong>{title}.</strong> {escape(figure.words)} "
        f'<a href="{address}">Open it alone</a></figcaption></figure>'
    )
