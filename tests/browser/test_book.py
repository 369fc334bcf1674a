"""The course's site in a real browser: opened from disk, with the network cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHAPTER = "05_lckt.html"
THEME = "document.documentElement.dataset.theme"


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """Open an empty page; every fault of it, and every request outside of the disk, is an error."""
    context = browser.new_context(color_scheme="light", viewport={"width": 1366, "height": 768})
    context.set_offline(True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    faults: list[str] = []
    inside = ("file:", "data:", "blob:", "about:")
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(inside) else faults.append(r.url))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    yield page
    context.close()
    assert faults == []


def level(page: Any, script: str) -> int:
    """Return the lightness, 0 to 255, of a colour that a script returns."""
    found = re.findall(r"\d+", page.evaluate(script))[:3]
    return sum(map(int, found)) // 3


@pytest.mark.parametrize("width", [1366, 390])
def test_every_page_opens_and_is_not_too_wide(book: Path, tab: Any, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 768})
    for path in sorted(book.glob("*.html")):
        tab.goto(path.as_uri())
        assert tab.locator("h1").first.is_visible()
        wider = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{path.name} is {wider} pixels too wide"


def test_formulas_are_drawn_with_the_font_of_the_site(book: Path, tab: Any) -> None:
    tab.goto((book / "02_transport_and_its_dual.html").as_uri())
    tab.evaluate("document.fonts.ready.then(() => 0)")
    assert tab.evaluate("document.fonts.check('16px \"STIX Two Math\"')")
    number = tab.locator("#eq-2-1 .number").bounding_box()
    formula = tab.locator("#eq-2-1 math").bounding_box()
    assert formula["height"] > 20 and number["x"] > formula["x"] + formula["width"]


def test_the_theme_reaches_drawings_and_moving_figures(book: Path, tab: Any) -> None:
    tab.goto((book / CHAPTER).as_uri())
    frame = tab.locator("figure.moving iframe").first
    frame.scroll_into_view_if_needed()
    tab.wait_for_function("document.querySelector('iframe').dataset.measured === 'yes'")
    inside = frame.element_handle().content_frame()
    inside.wait_for_function(f"{THEME} === 'light'")
    assert abs(frame.bounding_box()["height"] - inside.evaluate("document.body.offsetHeight")) < 8
    ink = "getComputedStyle(document.querySelector('.drawing svg text')).fill"
    assert level(tab, ink) < 80
    tab.locator(".theme-toggle-container button:visible").first.click()  # from automatic on
    while tab.evaluate("document.body.dataset.theme") != "dark":
        tab.locator(".theme-toggle-container button:visible").first.click()
    inside.wait_for_function(f"{THEME} === 'dark'")
    assert level(tab, ink) > 200
    assert level(inside, "getComputedStyle(document.body).backgroundColor") < 60


def test_a_link_to_an_equation_shows_it_and_jumps(book: Path, tab: Any) -> None:
    tab.goto((book / "04_dependence_and_gckt.html").as_uri())
    link = tab.locator("a.to-equation[href^='02_transport']").first
    link.scroll_into_view_if_needed()
    link.hover()
    assert tab.locator(".equation-preview math").is_visible()
    tab.keyboard.press("Escape")
    assert tab.locator(".equation-preview").count() == 0
    anchor = str(link.get_attribute("href")).partition("#")[2]
    link.click()
    tab.wait_for_url(f"**/02_transport_and_its_dual.html#{anchor}")
    tab.wait_for_function(
        f"Math.abs(document.getElementById('{anchor}').getBoundingClientRect().y) < 200"
    )


def test_search_finds_a_word(book: Path, tab: Any) -> None:
    tab.goto((book / "index.html").as_uri())
    search = tab.locator("input[type=search]:visible, input.sidebar-search:visible").first
    search.fill("Sinkhorn")
    search.press("Enter")
    found = tab.locator("ul.search li a")
    found.first.wait_for()
    assert any("03_entropic_transport" in str(a.get_attribute("href")) for a in found.all())
