"""The course's site: it builds without a warning, references lead somewhere, nothing is fetched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from site_pages import Page, broken_links, not_local, page_named, pages_of, text_of

from lab.course.notebook_files import notebooks
from lab.course.notebook_setup import Caption, Picture

pytest.importorskip("myst_nb")

from course.book import drawings, formulas, hooks, moving, plan, sources

ROOT = Path(__file__).parent.parent
NOTEBOOKS = notebooks()
EQUATION = re.compile(r"\\tag\{([\d.]+)\}")
NO_PROSE = re.compile(r"```.*?```|\$\$.*?\$\$|`[^`\n]*`|\$[^$\n]*\$", re.DOTALL)
FIGURE = re.compile(r"\*\*Figure ([\d.]+)\.\*\*")


def build(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "course.book.build", *options, str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture(scope="module")
def pages(book: Path) -> dict[Path, Page]:
    return pages_of(book)


def stored(kind: str) -> dict[str, list[str]]:
    """Return the texts of all notebooks by file: of Markdown cells, or of Markdown outputs."""
    found: dict[str, list[str]] = {}
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        texts = found.setdefault(path.stem, [])
        for cell in cells:
            if kind == "cells" and cell["cell_type"] == "markdown":
                texts.append("".join(cell["source"]))
            for output in cell.get("outputs", []) if kind == "outputs" else ():
                texts.append("".join(output.get("data", {}).get("text/markdown", "")))
    return found


# ------------------------------------------------------------------------- the site, slow


@pytest.mark.slow
def test_every_chapter_is_in_the_contents_with_its_file(pages: dict[Path, Page]) -> None:
    front = page_named(pages, "html/index.html")
    for path in NOTEBOOKS:
        assert f"{path.stem}.html" in front.links
        assert f"notebooks/{path.name}" in page_named(pages, f"html/{path.stem}.html").links
        assert plan.SENTENCES[path.stem].split(",")[0] in text_of(pages, "html/index.html")


@pytest.mark.slow
def test_links_lead_to_pages_and_places_that_exist(pages: dict[Path, Page]) -> None:
    assert broken_links(pages) == []


@pytest.mark.slow
def test_every_page_loads_local_files_only(book: Path, pages: dict[Path, Page]) -> None:
    assert list(not_local(book, pages)) == []
    for path, page in pages.items():
        assert "https://cdn" not in path.read_text("utf-8")
        assert page.loads or {"moving", "kit"} & set(path.parts)


@pytest.mark.slow
def test_no_two_places_of_a_page_have_one_name(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        if path.stem in plan.SENTENCES:
            twice = {name for name in page.ids if page.ids.count(name) > 1}
            assert not twice, f"{path.name}: {twice}"


@pytest.mark.slow
def test_equations_and_figures_have_anchors_and_references_are_links(
    pages: dict[Path, Page],
) -> None:
    numbers: set[str] = set()
    for stem, texts in stored("cells").items():
        page = page_named(pages, f"html/{stem}.html")
        for number in EQUATION.findall("\n".join(texts)):
            assert f"eq-{number.replace('.', '-')}" in page.places
            numbers.add(number)
    for stem, texts in stored("outputs").items():
        page = page_named(pages, f"html/{stem}.html")
        for number in FIGURE.findall("\n".join(texts)):
            assert f"fig-{number.replace('.', '-')}" in page.places
    assert len(numbers) > 30
    for stem, texts in stored("cells").items():
        links = page_named(pages, f"html/{stem}.html").links
        prose = "\n".join(NO_PROSE.sub("", text) for text in texts)
        for number in set(re.findall(r"(?<!\w)\((\d+\.\d+)\)", prose)) & numbers:
            place = f"#eq-{number.replace('.', '-')}"
            assert any(link.endswith(place) for link in links), f"{stem}: ({number})"


@pytest.mark.slow
def test_every_formula_is_mathml(pages: dict[Path, Page]) -> None:
    for path in NOTEBOOKS:
        page = (next(p for p in pages if p.match(f"html/{path.stem}.html"))).read_text("utf-8")
        article = page[page.index("<article") : page.index("</article>")]
        visible = re.sub(r"<pre.*?</pre>|<svg.*?</svg>|<code.*?</code>", "", article, flags=re.S)
        assert not re.search(r"\\[a-zA-Z]{2,}", visible), path.name
        assert "$" not in re.sub(r"<[^>]*>", "", visible), path.name


@pytest.mark.slow
def test_every_moving_figure_is_embedded_once(pages: dict[Path, Page]) -> None:
    figures = moving.moving_figures.FIGURES
    embedded = [load for page in pages.values() for load in page.loads if "/moving/" in load]
    assert sorted(embedded) == sorted(f"_static/moving/{name}.html" for name in figures)
    for (chapter, _), names in plan.MOVING.items():
        page = page_named(pages, f"html/{chapter}.html")
        assert {f"moving-{name}" for name in names} <= page.places


@pytest.mark.slow
def test_words_of_the_glossary_have_their_definition(book: Path) -> None:
    glossary = (book / "00_what_you_need.html").read_text("utf-8")
    assert 'id="Centred-kernel-alignment-(CKA)"' in glossary
    chapter = (book / "05_lckt.html").read_text("utf-8")
    links = re.findall(r'<a [^>]*href="00_what_you_need.html#[^"]*"[^>]*>', chapter)
    assert links and sum('title="' in link for link in links) >= len(links) / 2


# ------------------------------------------------------------------------- what stops a build


def notebook(folder: Path, name: str, *cells: Any) -> None:
    """Write a notebook of Markdown texts and code cells into a folder."""
    listed = [
        cell
        if isinstance(cell, dict)
        else {"cell_type": "markdown", "metadata": {}, "source": cell, "id": f"c{place}"}
        for place, cell in enumerate(cells)
    ]
    content = {
        "cells": listed,
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / f"{name}.ipynb").write_text(json.dumps(content), "utf-8")


def shown(*displayed: Any) -> dict[str, Any]:
    """Return a code cell that has displayed these."""
    outputs = [
        {"output_type": "display_data", "data": one._repr_mimebundle_(), "metadata": {}}
        for one in displayed
    ]
    return {
        "cell_type": "code",
        "id": "shown",
        "metadata": {},
        "execution_count": 1,
        "source": "begin()\nshow()",
        "outputs": outputs,
    }


def drawn() -> Figure:
    figure = Figure(figsize=(3, 2))
    axes = figure.add_subplot()
    axes.imshow(np.eye(2), cmap="Blues")
    axes.text(0, 0, "dark on a light pixel")
    axes.set_xlabel("ink", color="#1f2430")
    axes.plot([0, 1], [0, 1], color="#0072b2")
    return figure


@pytest.mark.slow
def test_a_small_course(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    notebook(
        folder,
        "00_what_you_need",
        "# 0. Words\n\n**How long:** an hour.",
        "## A\n\n### B\n\n#### Held-out part\n\nA part.",
    )
    notebook(
        folder,
        "04_dependence_and_gckt",
        "# 4. A\n\n[held out](00_what_you_need.ipynb#Held-out-part), [t](../results/tasks.md)\n\n"
        "$$ x \\tag{4.1} $$\n\nBy (4.1) and figure 4.1, but not (0.85). In exercises 4.1 and 4.2.",
        shown(Picture(drawn(), "a line"), Caption("4.1", "A line, by (4.1).")),
        "**4.1** (quick) How much is $x$?\n\n**4.2** Why?",
    )
    notebook(folder, "11_solutions", "# 11. S", "**4.1** Two, by (4.1).\n\nNotebook 4 has more.")
    out = tmp_path / "out"
    done = build(out, "--notebooks", str(folder))
    assert done.returncode == 0, done.stderr
    pages = pages_of(out / "html")
    assert broken_links(pages) == []
    chapter = (out / "html" / "04_dependence_and_gckt.html").read_text("utf-8")
    links = page_named(pages, "04_dependence_and_gckt.html").links
    assert links.count("#eq-4-1") == 3  # its own number, the text, the caption
    assert {"#fig-4-1", "#exercise-4-1", "#exercise-4-2"} <= {*links}
    assert "11_solutions.html#solution-4-1" in links
    assert re.search(
        r'<figure[^>]* id="fig-4-1">.{,60}<div class="drawing"><svg', chapter, re.DOTALL
    )
    assert re.search(r"<figcaption>.*Figure 4\.1\..*A line, by ", chapter, re.DOTALL)
    assert 'title="A part."' in chapter and "<code" in chapter and "results/tasks.md" in chapter
    assert "hide-input" in chapter  # the set-up cell is folded
    solutions = page_named(pages, "11_solutions.html").links
    assert {
        f"04_dependence_and_gckt.html{place}" for place in ("", "#exercise-4-1", "#eq-4-1")
    } <= {*solutions}
    assert 'data-equation="4.1"' in (out / "html" / "11_solutions.html").read_text("utf-8")


@pytest.mark.slow
def test_what_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    faults = {
        "By (4.7).": "there is no equation 4.7",
        "See figure 4.7.": "there is no figure 4.7",
        "$$ \\nocommand{x} $$": "no MathML for",
        "$$ x \\tag{4.1} $$\n\n$$ y \\tag{4.1} $$": "equation 4.1 is in",
        "[x](05_lckt.ipynb)": "05_lckt.ipynb",
        "![x](schematic/none.svg)": "no file schematic/none.svg",
    }
    notebook(tmp_path, "04_dependence_and_gckt", "# 4. A", *faults)
    done = build(tmp_path / "out", "--notebooks", str(tmp_path))
    assert done.returncode != 0
    assert [reason for reason in faults.values() if reason not in done.stderr] == []


def test_a_chapter_needs_a_title_and_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    notebook(tmp_path, "04_dependence_and_gckt", "no title")
    with pytest.raises(ValueError, match="does not begin with a title"):
        sources.write(tmp_path / "out", tmp_path)
    (tmp_path / "04_dependence_and_gckt.ipynb").rename(tmp_path / "04_other.ipynb")
    notebook(tmp_path, "04_other", "# 4. A")
    with pytest.raises(ValueError, match="SENTENCES"):
        sources.write(tmp_path / "out", tmp_path)


# ------------------------------------------------------------------------- the parts, fast


def test_drawings_follow_the_theme_and_have_ids_of_their_own() -> None:
    text = drawings.themed(Picture(drawn(), "").content, "04-1", 'a "line"')
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == 'a "line"' and "width" not in root.attrib
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids and all(str(name).startswith("04-1-") for name in ids)
    for target in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text):
        assert "".join(target) in ids
    words = {str(e.text): e.get("style", "") for e in root.iter(f"{drawings.SVG}text")}
    assert "--figure-ink" in words["ink"]
    assert "--figure-ink" not in words["dark on a light pixel"]
    assert "var(--on-page-0072b2)" in text and "#1f2430" not in text and "<style" not in text
    assert "fill: #ffffff" not in text and "\n\n" not in text


def test_formulas_become_mathml() -> None:
    for latex in (
        r"P\mathbf 1 = a,\quad \tfrac12 \bigl\langle f, g\bigr\rangle",
        r"\underset{P\in\Pi(a, b)}{\mathrm{min}}\ \sum_{\substack{i\\ j\ne i}} P_{ij}",
        r"\begin{cases} 0 & \text{if } x<0\\ \lVert x\rVert & \text{else}\end{cases}",
        r"\arg\min_P \operatorname{tr}(\tilde W^\top \hat x)",
    ):
        tree = ElementTree.fromstring(
            formulas.mathml(latex, display=True).replace("&ApplyFunction;", "")
        )
        assert tree.tag == "math" and "\\" not in "".join(tree.itertext())
    assert formulas.number_of(r"x \tag{2.10}") == ("x ", "2.10")
    with pytest.raises(ValueError, match="no MathML for"):
        formulas.mathml(r"\frac{", display=True)


def test_long_formulas_in_a_line_may_break_after_relations() -> None:
    def parts(latex: str) -> list[str]:
        broken = formulas.breakable(formulas.mathml(latex, display=False))
        return ["".join(ElementTree.fromstring(p).itertext()) for p in broken.split("<wbr>")]

    assert parts(r"|a| \le b + 2 c = (c = d + e)") == ["|a|≤", "b+2c=", "(c=d+e)"]
    assert parts("I = 0") == ["I=0"]
    assert parts(r"= a + b + c + d + e + f + g + h") == ["=a+b+c+d+e+f+g+h"]


def test_anchors_are_those_of_jupyter() -> None:
    assert hooks.jupyter_slug("The price of ε: bias") == "The-price-of-ε:-bias"
