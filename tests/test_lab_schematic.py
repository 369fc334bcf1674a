"""The schematic of the method: its files are those of the code, and every part is lit somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.course.notebook_files import FOLDER, SCHEMATICS, notebooks
from lab.figures.schematic import HEIGHT, LIT, PARTS, TERMS, WIDTH, schematic, write
from wcord.objectives import TERMS as OBJECTIVES

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("lit", LIT)
def test_the_files_are_what_the_code_draws(lit: str) -> None:
    assert (FOLDER / SCHEMATICS / f"{lit}.svg").read_text("utf-8") == schematic(lit)


@pytest.mark.parametrize("lit", LIT)
def test_it_is_whole_and_has_words(lit: str) -> None:
    root = ElementTree.fromstring(schematic(lit))
    title = root.find(f"{SVG}title")
    assert title is not None and title.text == root.get("aria-label")
    groups = [group.get("class") for group in root.findall(f"{SVG}g")]
    assert groups == ["lit" if part in LIT[lit] else "faint" for part in PARTS]
    for text in root.iter(f"{SVG}text"):
        words = "".join(text.itertext()).replace("\u200b", "")
        half = 3.4 * len(words) * (1 if text.get("text-anchor") == "middle" else 0)
        x, y = float(text.get("x", 0)), float(text.get("y", 0))
        assert half - 3 <= x <= WIDTH + 3 - half and 8 < y < HEIGHT, words


def test_every_part_is_lit_in_a_picture_of_its_own() -> None:
    assert set().union(*(parts for name, parts in LIT.items() if name != "all")) == set(PARTS)
    assert {term.lower() for term in TERMS} <= set(OBJECTIVES)


def test_every_chapter_begins_with_one_of_them() -> None:
    for path in notebooks():
        named = re.findall(rf"\]\({SCHEMATICS}/(\w+)\.svg\)", path.read_text("utf-8"))
        assert len(named) >= 1 or path.stem.endswith("solutions"), path.name
        assert set(named) <= set(LIT)


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="no part 'critics'"):
        schematic("critics")


def test_it_is_written_anywhere(tmp_path: Path) -> None:
    files = write(tmp_path / "new" / "folder")
    assert [file.stem for file in files] == list(LIT) and all(file.exists() for file in files)
