"""Functions that Sphinx calls: they give equations, figures and headings anchors and links."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util import logging

from . import drawings, formulas, moving
from .plan import KIT, NO_REFERENCES
from .sources import COURSE

GLOSSARY, SOLUTIONS = "00_what_you_need", "11_solutions"
CAPTION = re.compile(r"Figure (\d+\.\d+)\.")
EXERCISE = re.compile(r"\d+\.\d+")
EQUATIONS = re.compile(r"(?<!\w)\((\d{1,2}\.[1-9]\d?)\)")
NAMED = re.compile(
    r"\b([Ff]igure|[Ee]xercise|[Nn]otebook|[Cc]hapter)s?\s+"
    r"\d+(?:\.\d+)?(?:(?:,\s+|\s+and\s+|\s+to\s+|,\s+and\s+|–)\d+(?:\.\d+)?)*"
)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
LEFT_ALONE = (
    nodes.literal,
    nodes.literal_block,
    nodes.reference,
    nodes.title,
    nodes.raw,
    nodes.math,
    nodes.math_block,
)

logger = logging.getLogger(__name__)


def connect(app: Any) -> None:
    """Connect the functions of this module to Sphinx."""
    app.add_config_value("book_notebooks", "", "")
    app.connect("builder-inited", forget)
    app.connect("doctree-read", shape_page, priority=400)  # before the contents are made
    app.connect("doctree-resolved", link_page)
    app.connect("build-finished", add_files)


def jupyter_slug(title: str) -> str:
    """Return the anchor that Jupyter gives to a heading.

    >>> jupyter_slug("Centred kernel alignment (CKA)")
    'Centred-kernel-alignment-(CKA)'
    """
    return title.strip().replace(" ", "-")


def forget(app: Any) -> None:
    """Make the tables that the pages fill: places of numbers, and definitions of words."""
    app.env.places = {}  # (kind, number): (page, anchor)
    app.env.formulas = {}  # number: LaTeX
    app.env.definitions = {}  # anchor in the glossary: text


# -- when a page is read -------------------------------------------------------------------------


def shape_page(app: Any, doctree: Any) -> None:
    """Give headings, equations, figures and exercises their anchors, and note where they are."""
    env, page = app.env, app.env.docname
    chapter = re.match(r"(\d\d)_", page)
    for section in doctree.findall(nodes.section):
        anchor = jupyter_slug(section[0].astext())
        section["ids"] = [anchor, *(other for other in section["ids"] if other != anchor)]
        if page == GLOSSARY:
            definition = next(section.findall(nodes.paragraph), None)
            if definition is not None and definition.parent is section:
                for anchor in section["ids"]:
                    env.definitions[anchor] = formulas.in_words(definition)
    for image in list(doctree.findall(nodes.image)):
        if image["uri"].endswith(".svg"):
            _inline_picture(image, Path(app.config.book_notebooks))
    if not chapter:
        return
    for kind in ("notebook", "chapter"):
        env.places[kind, str(int(chapter[1]))] = page, ""
    for block in doctree.findall(nodes.math_block):
        latex, number = formulas.number_of(block.astext())
        if number:
            _note(env, "equation", number, page, f"eq-{number.replace('.', '-')}", block)
            env.formulas[number] = latex
    for drawing in list(doctree.findall(_is_drawing)):
        _caption(env, page, drawing)
    _anchor_exercises(env, page, doctree)
    moving.embed(doctree, page)
    _add_line_of_downloads(doctree, page)


def _note(env: Any, kind: str, number: str, page: str, anchor: str, node: Any) -> None:
    if (kind, number) in env.places:
        first = env.places[kind, number][0]
        logger.warning(f"{kind} {number} is in {first}, too", location=node)
    env.places[kind, number] = page, anchor


def _is_drawing(node: nodes.Node) -> bool:
    return isinstance(node, nodes.raw) and node.astext().startswith('<div class="drawing')


def _caption(env: Any, page: str, drawing: Any) -> None:
    """Make a drawing and the caption that is displayed after it one figure with an anchor."""
    holder = drawing
    while len(holder.parent) == 1 and not isinstance(holder.parent, nodes.section):
        holder = holder.parent
    after = holder.next_node(descend=False, siblings=True)
    paragraph = next(after.findall(nodes.paragraph), None) if after is not None else None
    if after is None or paragraph is None:
        return
    number = CAPTION.match(paragraph.astext())
    if number is None:
        return
    anchor = f"fig-{number[1].replace('.', '-')}"
    paragraph.parent.remove(paragraph)
    caption = nodes.caption("", "", *paragraph.children)
    figure = nodes.figure("", drawing.deepcopy(), caption, ids=[anchor])
    drawing.replace_self(figure)
    if not after.children:
        after.parent.remove(after)
    _note(env, "figure", number[1], page, anchor, figure)


def _inline_picture(image: Any, notebooks: Path) -> None:
    """Put a picture of the course, such as schematic/all.svg, into the page itself."""
    file = notebooks / image["uri"]
    if not file.is_file():
        logger.warning(f"no file {image['uri']}", location=image)
        return
    words = image.get("alt", "")
    drawing = drawings.picture(file.read_text("utf-8"), file.stem, words)
    figure = nodes.raw("", f'<div class="picture">{drawing}</div>', format="html")
    if isinstance(image.parent, nodes.paragraph) and len(image.parent) == 1:
        image.parent.replace_self(figure)
    else:
        image.replace_self(figure)


def _anchor_exercises(env: Any, page: str, doctree: Any) -> None:
    """Give each paragraph that begins with a bold number, such as **2.1**, an anchor."""
    for paragraph in doctree.findall(nodes.paragraph):
        first = _first_of(paragraph)
        if not isinstance(first, nodes.strong) or not EXERCISE.fullmatch(first.astext()):
            continue
        number = first.astext()
        kind = "solution" if page == SOLUTIONS else "exercise"
        anchor = f"{kind}-{number.replace('.', '-')}"
        if (kind, number) not in env.places:
            paragraph["ids"].append(anchor)
            env.places[kind, number] = page, anchor


def _first_of(paragraph: Any) -> Any:
    """Return the first part of a paragraph with a letter in it."""
    return next((part for part in paragraph.children if part.astext().strip()), None)


def _add_line_of_downloads(doctree: Any, page: str) -> None:
    title = next(doctree.findall(nodes.title))
    link = f'<a href="notebooks/{page}.ipynb" download>Download this notebook</a>'
    line = f'<p class="downloads">{link}</p>'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", line, format="html"))


# -- when all pages have been read ---------------------------------------------------------------


def link_page(app: Any, doctree: Any, page: str) -> None:
    """Make numbers of equations, figures and exercises links, and give words their definitions."""
    previews: dict[str, str] = {}
    for text in list(doctree.findall(nodes.Text)):
        named = isinstance(text.parent.parent, nodes.caption) and CAPTION.match(text)
        if not named and not any(isinstance(parent, LEFT_ALONE) for parent in _parents(text)):
            parts = list(_linked(app, page, text, previews))
            if len(parts) > 1:
                text.parent.replace(text, parts)
    for strong in doctree.findall(nodes.strong):
        _link_exercise_and_solution(app, page, strong)
    for link in doctree.findall(nodes.reference):
        target, _, anchor = link.get("refuri", "").rpartition("#")
        inside = page == GLOSSARY and link.get("refid")
        if (target == f"{GLOSSARY}.html" or inside) and not link.get("reftitle"):
            definition = app.env.definitions.get(inside or anchor)
            if definition:
                link["reftitle"] = definition
    if previews:
        shown = "".join(
            f'<div data-equation="{escape(number)}">{formula}</div>'
            for number, formula in previews.items()
        )
        doctree.append(nodes.raw("", f'<div class="previews" hidden>{shown}</div>', format="html"))


def _parents(node: Any) -> Iterator[Any]:
    while (node := node.parent) is not None:
        yield node


def _linked(
    app: Any, page: str, text: nodes.Text, previews: dict[str, str]
) -> Iterator[nodes.Node]:
    """Yield a text in parts, of which the numbers are links."""
    content, end = text.astext(), 0
    found = [(m.span(1), "equation", m[1]) for m in EQUATIONS.finditer(content)]
    for named in () if _in_sources(text) else NAMED.finditer(content):
        kind, start = named[1].lower(), named.start()
        numbers = list(NUMBER.finditer(named[0]))
        places = [(start + n.start(), start + n.end()) for n in numbers]
        if len(numbers) == 1:
            places = [named.span()]  # the link has the word, too
        found += [(place, kind, n[0]) for place, n in zip(places, numbers, strict=True)]
    for (first, last), kind, number in sorted(found):
        place = app.env.places.get((kind, number))
        if place is None:
            if _should_be_there(kind, number, page):
                logger.warning(
                    f"there is no {kind} {number}; if this number is no reference, write it "
                    "without parentheses or list it in NO_REFERENCES of plan.py",
                    location=text.parent,
                )
            continue
        if first < end or (place[0] == page and not place[1]):
            continue
        yield nodes.Text(content[end:first])
        link = _reference(app, page, place, content[first:last], kind)
        if kind == "equation":
            link["classes"].append("to-equation")
            previews[number] = formulas.mathml(app.env.formulas[number], display=True)
        yield link
        end = last
    yield nodes.Text(content[end:])


def _in_sources(text: nodes.Text) -> bool:
    """Whether a text is in a section "Sources": chapters and figures there are those of books."""
    return any(
        isinstance(parent, nodes.section) and parent[0].astext() == "Sources"
        for parent in _parents(text)
    )


def _should_be_there(kind: str, number: str, page: str) -> bool:
    """Whether a number must belong to something: a decimal under 1 in parentheses need not."""
    if kind == "equation":
        return not number.startswith("0.") and number not in NO_REFERENCES.get(page, set())
    return kind == "figure" and "." in number


def _reference(
    app: Any, page: str, place: tuple[str, str], label: str, kind: str
) -> nodes.reference:
    target, anchor = place
    address = "" if target == page else app.builder.get_relative_uri(page, target)
    address += f"#{anchor}" if anchor else ""
    return nodes.reference("", label, internal=True, refuri=address, classes=[f"to-{kind}"])


def _link_exercise_and_solution(app: Any, page: str, strong: Any) -> None:
    """Link the number of an exercise to its solution, and that of a solution to its exercise."""
    paragraph = strong.parent
    kinds = {anchor.partition("-")[0] for anchor in paragraph.get("ids", [])}
    kind, other = ("exercise", "solution") if "exercise" in kinds else ("solution", "exercise")
    number = strong.astext()
    place = app.env.places.get((other, number))
    if kind not in kinds or _first_of(paragraph) is not strong or place is None:
        return
    link = _reference(app, page, place, number if kind == "solution" else "solution", other)
    if kind == "solution":
        strong.children = []
        strong += link
    else:
        link["classes"].append("aside")
        paragraph += [nodes.Text(" "), link]


# -- at the end ----------------------------------------------------------------------------------


def add_files(app: Any, failure: Exception | None) -> None:
    """Copy what pages link to: the notebooks with their pictures, the lecturer's kit."""
    if failure is not None:
        return
    out = Path(app.outdir)
    moving.write(out)
    shutil.rmtree(out / "notebooks", ignore_errors=True)
    (out / "notebooks").mkdir()
    folder = Path(app.config.book_notebooks)
    for notebook in folder.glob("*.ipynb"):
        shutil.copyfile(notebook, out / "notebooks" / notebook.name)
    if (folder / "schematic").is_dir():
        shutil.copytree(folder / "schematic", out / "notebooks" / "schematic")
    shutil.rmtree(out / "kit", ignore_errors=True)
    for file in KIT:
        source, target = COURSE / file.path, out / "kit" / Path(file.opened)
        if source.is_dir():
            shutil.copytree(source, target.parent)
        elif source.exists():
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
