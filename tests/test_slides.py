"""Slides, script and cheat sheet: made of the notebooks' parts, whole, without a network."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("sphinx_revealjs")

from site_pages import Page

from course import cheat_sheet, notebook_parts
from course.slides import build, sources
from lab.course.notebook_files import notebooks

COURSE = Path(cheat_sheet.__file__).parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build all; a warning is an error."""
    folder = tmp_path_factory.mktemp("slides")
    assert build.main([str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def page(built: Path) -> Page:
    return Page(built / "html" / "index.html")


def test_every_slide_is_there_with_notes(page: Page) -> None:
    text = " ".join("".join(page.text).split())
    slides = sources.slides()
    assert len(slides) > 25 and sum(slide.minutes for slide in slides) == 90
    for slide in slides:
        assert slide.title.replace("'", "’") in text or slide.title in text, slide.title
        assert len(slide.notes) > 40


def test_slides_load_local_files_only(built: Path, page: Page) -> None:
    assert len(page.loads) > 3
    source = (built / "html" / "index.html").read_text("utf-8")
    frames = re.findall(r'data-src="([^"]+)"', source)
    assert len(frames) >= 8
    for load in [*page.loads, *frames]:
        parts = urlsplit(load)
        assert not parts.scheme and not parts.netloc, load
        assert (built / "html" / unquote(parts.path)).exists(), load
    for style in (built / "html" / "_static").glob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text("utf-8")), style


def test_every_part_of_a_slide_was_put_in(built: Path) -> None:
    parts = sources.PART.findall(sources.text())
    source = (built / "html" / "index.html").read_text("utf-8")
    kinds = [kind for kind, _ in parts]
    assert source.count('class="equation"') == kinds.count("equation") > 20
    assert source.count('class="drawing"') == kinds.count("figure") > 8
    assert source.count('class="wcord-schematic"') == kinds.count("schematic") > 2
    assert not sources.PART.search(source)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("% equation 99.1", "no notebook has an equation"),
        ("% figure 99.1", "no notebook has a figure"),
        ("% moving nothing", "no moving figure 'nothing'"),
        ("% schematic none", "no schematic 'none'"),
        ("% picture 1.1", "no part 'picture'"),
    ],
)
def test_a_part_that_does_not_exist_stops_the_build(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        sources.PART.sub(sources._part, line)


def test_the_script_counts_minutes(built: Path) -> None:
    lines = (built / "script.md").read_text("utf-8").splitlines()
    minutes = [int(found[1]) for line in lines if (found := re.match(r"\| (\d+) \|", line))]
    assert minutes == sorted(minutes) and minutes[0] == 0 and minutes[-1] == 90


def test_the_cheat_sheet_has_two_pages(built: Path) -> None:
    content = (built / "cheat-sheet.pdf").read_bytes()
    assert content.startswith(b"%PDF-") and 50_000 < len(content) < 1_000_000
    assert re.findall(rb"/Type\s*/Pages[^>]*?/Count\s+(\d+)|/Count\s+(\d+)", content)
    counts = [int(a or b) for a, b in re.findall(rb"/Count\s+(\d+)()", content)]
    assert 2 in counts and max(counts) == 2


def test_the_formulas_of_the_cheat_sheet_are_those_of_the_notebooks() -> None:
    equations = notebook_parts.equations()
    assert len(equations) > 60
    used = set(cheat_sheet.USED.findall(cheat_sheet.SOURCE.read_text("utf-8")))
    assert len(used) > 25 and used <= set(equations)
    for number in used:
        for piece in cheat_sheet.pieces(equations[number]):
            assert piece.startswith("<svg") and "\\" not in piece, number


def test_figures_are_numbered_in_every_chapter() -> None:
    chapters = {number.partition(".")[0] for number in notebook_parts.figures()}
    assert {int(chapter) for chapter in chapters} >= set(range(9))
    assert len(notebooks()) == 12


def test_concept_questions_have_one_right_answer_and_reasons() -> None:
    text = (COURSE / "concept_questions.md").read_text("utf-8")
    questions = re.split(r"\n\*\*(\d+)\. ", text)
    numbers, bodies = questions[1::2], questions[2::2]
    assert [int(number) for number in numbers] == list(range(1, 21))
    for number, body in zip(numbers, bodies, strict=True):
        answers = re.findall(r"^- (.*(?:\n(?!\n|- ).*)*)", body, re.MULTILINE)
        right = [answer for answer in answers if answer.startswith("**(")]
        wrong = [answer for answer in answers if not answer.startswith("**(")]
        assert len(right) == 1 and len(wrong) == 2, number
        assert re.search(r"Chapters? \d+", body), number
    notes = " ".join(slide.notes for slide in sources.slides())
    asked = {
        int(n)
        for words in re.findall(r"[Qq]uestions? ([\d, and]+)", notes)
        for n in re.findall(r"\d+", words)
    }
    assert asked <= set(range(1, 21)) and len(asked) > 12
