"""Why a picture is as it is: the section of a notebook that derives it, read on the page.

The page needs no Jupyter for it: prose and formulas are shown, cells of code are left to the
notebook.
"""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from wcord.runs.storage import read_json

from ..words import literal
from ..words.panels import Section
from .notebook_files import FOLDER


def markdown_of(section: Section, folder: Path = FOLDER) -> str:
    """Return a section's text, from its heading to the next of the same or a higher level.

    Raises:
        ValueError: there is no such notebook or no such section.
    """
    notebook = read_json(folder / section.notebook, {}) or {}
    lines: list[str] = []
    level, fenced = 0, False
    for cell in notebook.get("cells", []):
        if cell["cell_type"] != "markdown":
            continue
        for line in [*"".join(cell["source"]).splitlines(), ""]:
            fenced ^= line.startswith("```")
            heading = None if fenced else re.match(r"(#+) +(.*)", line)
            if heading and level and len(heading[1]) <= level:
                return _displayed(lines)
            if heading and not level and heading[2].strip() == section.heading:
                level = len(heading[1])
            elif level:
                lines.append(line)
    if not level:
        raise ValueError(
            f"notebooks/{section.notebook} with its section “{section.heading}” is not here"
        )
    return _displayed(lines)


def _displayed(lines: list[str]) -> str:
    """Return lines as a page of Streamlit shows them.

    Each display formula stands on lines of its own. A link to another file, such as a word of the
    glossary, is its words alone: the page has no such address.
    """
    text = re.sub(r"(?ms)^\$\$(.+?)\$\$$", r"$$\n\1\n$$", "\n".join(lines))
    return re.sub(
        r"(?<!!)\[([^\]]*)\]\((?!https?:)[^()\s]*(?:\([^()]*\)[^()\s]*)*\)", r"\1", text
    ).strip()


def show(section: Section) -> None:
    """Open a section over the page."""

    @st.dialog(section.heading, width="large")
    def opened() -> None:
        try:
            st.markdown(markdown_of(section))
        except ValueError as error:
            st.warning(literal.markdown(error))
            return
        st.caption(
            f"From `notebooks/{section.notebook}`, section “{section.heading}”, which goes on "
            "with cells to run and change: `wcord notebooks DIR` copies it."
        )

    opened()
