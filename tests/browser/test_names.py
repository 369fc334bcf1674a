"""Names full of marks in a real browser: what a reader sees is what somebody wrote."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from browser.test_journey import until
from made_up_run import NASTY_ARM, NASTY_ARMS, NASTY_CLASSES, write_run

from lab.words.class_names import ClassNames

pytestmark = pytest.mark.browser

RUN = "nasty.run_-_x--y"
INTERPRETED = ".katex, em, strong strong, a[href='u'], h1, del, b, img, [data-testid=stIconEmoji]"
LISTEN = """window.drawn = new Set();
const draw = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.drawn.add(text);
    return draw.call(this, text, ...rest);
};"""


@pytest.fixture
def nasty(served: Any, page: Any) -> str:
    """A run with such names, a page that notes what is drawn; return the address."""
    write_run(served.runs / RUN, arms=NASTY_ARMS, classes=NASTY_CLASSES)
    page.add_init_script(LISTEN)
    return str(served.url)


def seen(locator: Any) -> str:
    """Return the text that an element shows."""
    return str(locator.inner_text()).replace("\u2060", "")


def drawn(page: Any) -> set[str]:
    """Return every text that the charts have drawn."""
    return set(page.evaluate("[...window.drawn]"))


def test_the_live_page_shows_names_as_they_are(nasty: str, page: Any) -> None:
    page.goto(f"{nasty}/?run={quote(RUN)}&samples=2")
    arms = page.locator(".st-key-arm [role=radio]")
    arms.first.wait_for()
    assert [seen(arm).strip() for arm in arms.all()] == list(NASTY_ARMS)
    title = page.locator("[data-testid=stMarkdown]", has_text="Transport plan").first
    title.wait_for()
    assert f"Transport plan · {NASTY_ARM}" in seen(title).replace("\n", " ")
    assert not title.locator(INTERPRETED).count()
    names = ClassNames(NASTY_CLASSES)
    wanted = {names.short(label) for label in range(len(NASTY_CLASSES))}
    until(lambda: wanted <= drawn(page), "class names stand on the axes")
    until(lambda: NASTY_ARM in drawn(page), "the arm stands in the legend of the curves")
    card = page.locator("[data-testid=stMarkdown]", has_text="Sample 2 · class").first
    assert f"class {names.short(2, 24)} · {NASTY_ARM} answers" in seen(card)
    assert not card.locator(INTERPRETED).count()


def test_another_arm_is_chosen_and_found_again_by_its_address(nasty: str, page: Any) -> None:
    page.goto(f"{nasty}/?run={quote(RUN)}&arm={quote('_hidden_')}")
    chosen = page.locator(".st-key-arm [aria-checked=true]")
    chosen.wait_for()
    until(lambda: seen(chosen).strip() == "_hidden_", "the address names the arm")
    page.locator(".st-key-arm [role=radio]").nth(2).click()
    until(lambda: seen(chosen).strip() == list(NASTY_ARMS)[2], "another arm is chosen")
    page.reload()
    chosen.wait_for()
    until(lambda: seen(chosen).strip() == list(NASTY_ARMS)[2], "the arm is in the address")


def test_compare_shows_names_as_they_are(nasty: str, page: Any) -> None:
    page.goto(f"{nasty}/compare?a={quote(RUN)}&b={quote(RUN)}&arm_a={quote(NASTY_ARM)}")
    verdict = page.locator("[data-testid=stMarkdown]", has_text="held-out samples").first
    verdict.wait_for()
    assert seen(verdict).startswith(f"{NASTY_ARM} and _hidden_ are right on the same")
    assert not verdict.locator(INTERPRETED).count()
    until(lambda: {NASTY_ARM, "_hidden_"} <= drawn(page), "both arms stand in the legend")


def test_what_was_found_in_the_data_is_opened(nasty: str, page: Any) -> None:
    page.goto(f"{nasty}/?run={quote(RUN)}")
    page.locator("[data-testid=stSidebar] .st-key-data button").first.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("[data-testid=stDataFrame]").wait_for()
    until(lambda: set(NASTY_CLASSES) <= drawn(page), "the table names the classes")
    said = seen(dialog)
    assert "folder:/my_data_/x_y_ · 8 classes" in said
    assert "no picture that $Pillow$ reads (5): *c*/0.heic, *c*/1.heic" in said
    assert dialog.locator("img").count() == 1
