"""What Sphinx reads: prepared copies of the notebooks, the front page, the moving figures.

A copy differs from its notebook in what a page cannot show as Jupyter does: figures are inline
HTML, links to files outside of the notebooks are their names, the set-up cell is folded.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from . import drawings
from .plan import KIT, SENTENCES

HERE = Path(__file__).resolve().parent
COURSE = HERE.parent
COURSE_PAGES = {"README.md": "lecturers.md", "concept_questions.md": "concept_questions.md"}
LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
PICTURE = ("schematic/all.svg", "Schematic of WCoRD, whose parts the chapters explain")
LECTURERS = """## For lecturers

- [What there is](lecturers.md), how long it takes, and how to build it.
- [Concept questions](concept_questions.md): twenty for a show of hands, with the misunderstanding
  behind each wrong answer.
"""
STYLE = re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL)
SETUP = re.compile(r"^begin\(", re.MULTILINE)


class Chapter(NamedTuple):
    """What the front page says of a notebook.

    Attributes:
        name: of its file, without the ending.
        title: its first heading, with the number.
        time: how long it takes, in the notebook's own words.
    """

    name: str
    title: str
    time: str


def write(folder: Path, notebooks: Path, *, lecturers: bool = True) -> None:
    """Write the sources of all pages.

    Args:
        folder: an empty one.
        notebooks: the folder of the notebooks.
        lecturers: with the pages for lecturers, which refer to the course's own notebooks.

    Raises:
        ValueError: a notebook lacks its title or a sentence for the front page; in one line.
    """
    chapters = []
    for path in sorted(notebooks.glob("[0-9]*.ipynb")):
        notebook = json.loads(path.read_text("utf-8"))
        chapters.append(chapter_of(path.stem, notebook))
        prepare(notebook, path.stem)
        (folder / path.name).write_text(json.dumps(notebook), "utf-8")
    parts = {
        "picture": f"![{PICTURE[1]}]({PICTURE[0]})\n" if (notebooks / PICTURE[0]).is_file() else "",
        "chapters": chapter_list(chapters),
        "contents": contents(chapters, lecturers=lecturers),
        "kit": LECTURERS + kit_list() if lecturers else "",
    }
    for page in ("index.md", "install.md"):
        text = (HERE / page).read_text("utf-8")
        for name, part in parts.items():
            text = text.replace(f"% {name}\n", part)
        (folder / page).write_text(text, "utf-8")
    for source, page in COURSE_PAGES.items() if lecturers else ():
        text = LINK.sub(_named_in_course, (COURSE / source).read_text("utf-8"))
        (folder / page).write_text(text, "utf-8")


# -- the front page ----------------------------------------------------------------------------


def chapter_of(name: str, notebook: Any) -> Chapter:
    """Return what the front page says of a notebook.

    Raises:
        ValueError: it has no title, or `SENTENCES` says nothing of it.
    """
    text = "".join(notebook["cells"][0]["source"]) if notebook["cells"] else ""
    title = re.match(r"# (.+)", text)
    if not title:
        raise ValueError(f"notebooks/{name}.ipynb does not begin with a title, # N. Title")
    if name not in SENTENCES:
        raise ValueError(f"SENTENCES in plan.py says nothing of {name}.ipynb")
    time = re.search(r"\*\*How long:\*\*\s*(.+)", text)
    return Chapter(name, title[1].strip(), time[1].strip() if time else "")


def chapter_list(chapters: list[Chapter]) -> str:
    """Return the chapters with a sentence and the time of each, as a table in Markdown."""
    lines = ["| chapter | what it is about | how long |", "|---|---|---|"]
    for chapter in chapters:
        link = f"[{chapter.title}]({chapter.name}.ipynb)"
        time = chapter.time.replace("|", "\\|")
        lines.append(f"| {link} | {SENTENCES[chapter.name]} | {time} |")
    return "\n".join(lines) + "\n"


def contents(chapters: list[Chapter], *, lecturers: bool) -> str:
    """Return the table of contents that the sidebar shows."""
    groups = {"": ["install"], "Chapters": [chapter.name for chapter in chapters]}
    if lecturers:
        groups["Teaching"] = [page.removesuffix(".md") for page in COURSE_PAGES.values()]
    lines = []
    for caption, names in groups.items():
        title = [f":caption: {caption}"] if caption else []
        lines += ["```{toctree}", *title, ":hidden:", "", *names, "```", ""]
    return "\n".join(lines)


def kit_list() -> str:
    """Return the lecturer's files that are built already, each as a link with a sentence."""
    return "".join(
        f'- <a href="kit/{file.opened}">{file.title}</a>: {file.sentence}\n'
        for file in KIT
        if (COURSE / file.path).exists()
    )


# -- notebooks ---------------------------------------------------------------------------------


def prepare(notebook: Any, name: str) -> None:
    """Make a notebook fit to be a page, in place.

    Args:
        notebook: as JSON.
        name: of its file, without the ending; it makes the ids of its figures its own.
    """
    shown = 0
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            pieces = FENCE.split(source)  # code blocks are at the odd places
            pieces[::2] = [LINK.sub(_named, piece) for piece in pieces[::2]]
            cell["source"] = "".join(pieces)
            continue
        if cell["cell_type"] != "code":
            continue
        if SETUP.search(source):
            cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), "hide-input"]
        for output in cell["outputs"]:
            if "data" in output:
                shown += 1
                output["data"] = page_data(output, f"{name[:2]}-{shown}")
                output["metadata"] = {}


def _named(link: re.Match[str]) -> str:
    """Return a link of a notebook to another file of the repository as the file's name."""
    return _name(link[1], link[2].removeprefix("../")) if link[2].startswith("../") else link[0]


def _named_in_course(link: re.Match[str]) -> str:
    """Return a link of a page of `course` as the file's name, where that file is no page."""
    target = link[2]
    if ":" in target or target.startswith("#") or target in COURSE_PAGES.values():
        return link[0]
    return _name(link[1], os.path.normpath(f"course/{target}"))


def _name(label: str, target: str) -> str:
    target = target.partition("#")[0]
    if label.strip("`") in (target, Path(target).name, Path(target).stem) or target.endswith(label):
        return f"`{target}`"
    return f"{label} (`{target}`)"


def page_data(output: Any, prefix: str) -> dict[str, str]:
    """Return the one form of an output that a page shows.

    Args:
        output: of a code cell, with the forms that Jupyter may choose from.
        prefix: which no other output of the course has.
    """
    data = {kind: "".join(content) for kind, content in output["data"].items()}
    if "image/svg+xml" in data:
        drawing = drawings.themed(data["image/svg+xml"], prefix, data.get("text/plain", ""))
        return {"text/html": f'<div class="drawing">{drawing}</div>'}
    if "text/html" in data:
        table = STYLE.sub("", data["text/html"])
        return {"text/html": f'<div class="table-wrapper">{table}</div>'}
    return data
