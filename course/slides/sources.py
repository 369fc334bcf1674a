"""What Sphinx reads for the slides: their text, with equations and figures of the notebooks.

A line such as `% equation 2.4`, `% figure 5.1`, `% moving same-cost` or `% schematic dual` stands
for that part of the course. The same text gives the lecturer's script.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import NamedTuple

from course import notebook_parts
from course.book import drawings
from lab.course import moving_figures
from lab.figures.schematic import WORDS, schematic

HERE = Path(__file__).parent
PART = re.compile(r"^% (\w+) (\S+)$", re.MULTILINE)
NOTES = re.compile(r":::\{revealjs-notes\}\nminutes: (\d+)\n\n(.*?)\n:::", re.DOTALL)
MINUTES = 90  # of the lecture


class Slide(NamedTuple):
    """A slide for the script: its title, its minutes, and what to do while it is shown."""

    title: str
    minutes: int
    notes: str


def text() -> str:
    """Return the slides as they are written."""
    return (HERE / "index.md").read_text("utf-8")


def write(folder: Path) -> None:
    """Write the source that Sphinx reads.

    Raises:
        ValueError: a part that a slide names does not exist, or a slide has no notes; in one line.
    """
    slides()
    (folder / "index.md").write_text(PART.sub(_part, _without_minutes(text())), "utf-8")


def slides() -> list[Slide]:
    """Return every slide with its notes.

    Raises:
        ValueError: a slide has no notes with minutes, or the minutes are not those of the lecture.
    """
    found = []
    for block in re.split(r"^##? ", text(), flags=re.MULTILINE)[1:]:
        title = block.partition("\n")[0].strip()
        notes = NOTES.findall(block)
        if len(notes) != 1:
            raise ValueError(
                f"the slide {title!r} needs one block of notes that begins with minutes"
            )
        found.append(Slide(title, int(notes[0][0]), " ".join(notes[0][1].split())))
    if sum(slide.minutes for slide in found) != MINUTES:
        total = sum(slide.minutes for slide in found)
        raise ValueError(f"the slides take {total} minutes, and the lecture {MINUTES}")
    return found


def script() -> str:
    """Return the lecturer's script in Markdown: minute, slide, what to say and to ask."""
    lines = ["| from minute | slide | what to say, to ask, to show |", "|---|---|---|"]
    minute = 0
    for place, slide in enumerate(slides(), 1):
        notes = slide.notes.replace("|", r"\|")
        lines.append(f"| {minute} | {place}. {slide.title} ({slide.minutes} min) | {notes} |")
        minute += slide.minutes
    return "\n".join([*lines, f"| {minute} | *questions* | |", ""])


def _without_minutes(source: str) -> str:
    return NOTES.sub(
        lambda notes: notes[0].replace(f"minutes: {notes[1]}", f"*{notes[1]} min*"), source
    )


def _part(line: re.Match[str]) -> str:
    kind, name = line.groups()
    if kind not in PARTS:
        raise ValueError(f"no part {kind!r}; there are {', '.join(PARTS)}")
    return PARTS[kind](name)


def _equation(number: str) -> str:
    return f"$$\n{notebook_parts.equation(number)}\n$$"


def _figure(number: str) -> str:
    drawing = drawings.own_ids(notebook_parts.figure(number).drawing, f"fig-{number}")
    return f'```{{raw}} html\n<div class="drawing">{drawing}</div>\n```'


def _moving(name: str) -> str:
    if name not in moving_figures.FIGURES:
        known = ", ".join(moving_figures.FIGURES)
        raise ValueError(f"no moving figure {name!r}; there are {known}")
    title = escape(moving_figures.FIGURES[name].title)
    frame = f'<iframe data-src="_static/moving/{name}.html" title="{title}"></iframe>'
    return f'```{{raw}} html\n<div class="moving">{frame}</div>\n```'


def _schematic(name: str) -> str:
    if name not in WORDS:
        raise ValueError(f"no schematic {name!r}; there are {', '.join(WORDS)}")
    return f"```{{raw}} html\n{schematic(name)}```"


PARTS: dict[str, Callable[[str], str]] = {
    "equation": _equation,
    "figure": _figure,
    "moving": _moving,
    "schematic": _schematic,
}
