"""The slides in a real browser: from disk, without a network, each of them whole on its screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sphinx_revealjs")

from course.slides import build, sources

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 1280, 720
CUT = """() => {
  const { left, right, bottom } = document.querySelector(".reveal").getBoundingClientRect();
  const parts = Reveal.getCurrentSlide().querySelectorAll("p, li, table, .equation, .moving, svg");
  return [...parts]
    .filter((part) => !part.closest("aside, svg svg"))
    .map((part) => [part.getBoundingClientRect(), part])
    .filter(([box]) => box.left < left - 1 || box.right > right + 1 || box.bottom > bottom + 1)
    .map(([, part]) => part.textContent.slice(0, 40) || part.className);
}"""


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    assert build.main([str(folder)]) == 0
    return folder / "html" / "index.html"


@pytest.fixture
def shown(browser: Any, slides: Path) -> Iterator[tuple[Any, list[str]]]:
    """Open the slides, and note errors and requests that leave the disk."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda line: trouble.append(line.text) if line.type == "error" else None)
    inside = ("file:", "data:", "blob:", "about:")
    page.on("request", lambda r: None if r.url.startswith(inside) else trouble.append(r.url))
    page.goto(slides.as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    yield page, trouble
    page.close()


def test_every_slide_is_whole_and_figures_move(shown: tuple[Any, list[str]]) -> None:
    page, trouble = shown
    count = page.evaluate("Reveal.getTotalSlides()")
    assert count == len(sources.slides())
    moving = 0
    for place in range(count):
        page.evaluate(f"Reveal.slide({place})")
        frame = page.query_selector("section.present iframe")
        if frame:
            moving += 1
            canvas = frame.content_frame().wait_for_selector("canvas", timeout=60_000)
            assert canvas.bounding_box()["width"] > 60
        assert page.evaluate(CUT) == [], page.evaluate("Reveal.getCurrentSlide().innerText")[:60]
    assert moving >= 8 and trouble == []
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getIndices().h") == 1
