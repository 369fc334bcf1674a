"""The other pages in a real browser: several people, runs, compare and export, the tour."""

from __future__ import annotations

import csv
import io
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from browser.test_journey import address, picture_pixels, until
from made_up_run import write_run
from PIL import Image

import wcord
from lab import palette
from lab.course.tour_stops import STOPS, experiment, run_name
from lab.reading.watch import Watch
from wcord.runs import Run

pytestmark = pytest.mark.browser

BROAD = {"width": 1600, "height": 1100}


@pytest.fixture
def people(browser: Any) -> Iterator[list[Any]]:
    """Three people: three browsers that share nothing but the server."""
    contexts = [browser.new_context(viewport=BROAD) for _ in range(3)]
    for context in contexts:
        context.set_default_timeout(120_000)
    yield [context.new_page() for context in contexts]
    for context in contexts:
        context.close()


def at_rest(page: Any) -> None:
    """Wait until the page is drawn."""
    page.locator(
        "[data-testid=stMainBlockContainer] [data-testid=stElementContainer]"
    ).first.wait_for()
    until(
        lambda: not page.locator("[data-stale=true],[data-testid=stSpinner]").count(),
        "the page is drawn",
        seconds=40,
    )


def chosen(page: Any, key: str) -> str:
    """Return what a select box shows."""
    return str(page.locator(f"[class*=st-key-{key}-] input").input_value())


def test_three_people_steer_three_runs_and_nothing_leaks(people: list[Any], served: Any) -> None:
    runs = [Run(write_run(served.runs / f"person-{n}", state="paused")) for n in range(3)]
    arms = ("plain", "wcord", "wcord+kd")
    from filelock import FileLock

    locks = [FileLock(run.path / "lock") for run in runs]
    for lock in locks:
        lock.acquire()
    try:
        for person, run, arm in zip(people, runs, arms, strict=True):
            person.goto(f"{served.url}/?run={run.name}&arm={arm.replace('+', '%2B')}")
        for person in people:
            person.get_by_role("button", name="10 steps").wait_for()
        # the second resumes, the third stops, the first does nothing
        people[1].get_by_role("button", name="Resume").click()
        people[2].get_by_role("button", name="Stop").click()
        until(lambda: runs[1].control["pause_at"] is None, "the second run is resumed")
        until(lambda: runs[2].control["stop"], "the third run is stopped")
        assert [run.control["stop"] for run in runs] == [False, False, True]
        people[0].locator(".st-key-arm").get_by_text("crd", exact=True).click()
        until(lambda: "arm=crd" in address(people[0]), "the first chose another arm")
        people[0].reload()
        people[0].get_by_role("button", name="10 steps").wait_for()
        shown = [
            person.locator(".st-key-arm [aria-checked=true]").inner_text().strip()
            for person in people
        ]
        assert shown == ["crd", "wcord", "wcord+kd"]
        # each on another page: notes and searches are one's own, too
        people[0].goto(f"{served.url}/runs?run=person-0&search=person-0")
        people[1].goto(f"{served.url}/runs?run=person-1")
        for person in people[:2]:
            at_rest(person)
        searches = [person.get_by_label("Search", exact=True) for person in people[:2]]
        until(lambda: searches[0].input_value() == "person-0", "the search of the link is shown")
        assert searches[1].input_value() == ""
        people[1].get_by_role("textbox", name="Notes").fill("mine")
        people[1].get_by_role("textbox", name="Notes").blur()
        until(lambda: runs[1].notes == "mine", "the note is kept")
        assert [run.notes for run in runs] == ["", "mine", ""]
    finally:
        for lock in locks:
            lock.release()
        for run in runs:
            (run.path / "control.json").unlink()


def test_delete_asks_and_then_deletes_this_run(page: Any, served: Any) -> None:
    for name in ("kept", "doomed"):
        write_run(served.runs / name, epochs=1)
    page.goto(f"{served.url}/runs?run=doomed")
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete doomed").click()
    until(lambda: not (served.runs / "doomed").exists(), "the run is deleted")
    assert (served.runs / "kept").exists()
    until(lambda: "run=" not in address(page), "the address forgets it")


def test_two_arms_are_compared_exported_and_found_again(
    page: Any, served: Any, tmp_path: Path, strangers: list[str]
) -> None:
    run = write_run(served.runs / "compared", seed=3)
    page.goto(f"{served.url}/compare?a=compared&arm_a=crd&arm_b=wcord%2Bkd&step=28")
    page.locator(".st-key-difference canvas").first.wait_for()
    at_rest(page)
    assert (chosen(page, "arm_a"), chosen(page, "arm_b")) == ("crd", "wcord+kd")

    # the picture says what the plans say: orange where a has more, blue where b has
    until(lambda: colours_of(page), "the difference is drawn")
    orange, blue = colours_of(page)
    snapshot = Watch(run).snapshot(28)
    apart = snapshot.arm("crd").plan - snapshot.arm("wcord+kd").plan
    assert abs(orange / (orange + blue) - (apart > 0).mean()) < 0.15

    # take it away, and open what was taken
    page.get_by_role("button", name="Export").click()
    taken = {}
    for label, ending in (("PNG", "png"), ("SVG", "svg"), ("Data, CSV", "csv")):
        with page.expect_download() as download:
            page.get_by_role("button", name=label, exact=True).click()
        taken[ending] = tmp_path / download.value.suggested_filename
        download.value.save_as(taken[ending])
        assert taken[ending].suffix == f".{ending}"
    assert min(Image.open(taken["png"]).size) > 500
    assert ElementTree.parse(taken["svg"]).getroot().tag.endswith("svg")
    with open(taken["csv"]) as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose(
        [float(row["difference"]) for row in rows], apart.ravel(), rtol=1e-5, atol=1e-9
    )
    page.keyboard.press("Escape")

    # another arm, then come back by the address
    page.locator("[class*=st-key-arm_a-] button").click()
    page.get_by_role("option", name="plain", exact=True).click()
    until(lambda: "arm_a=plain" in address(page), "the address names the arm")
    page.reload()
    at_rest(page)
    until(lambda: chosen(page, "arm_a") == "plain", "the same view again")
    assert re.search(r"step=28", address(page))
    assert strangers == []


def colours_of(page: Any) -> tuple[int, int] | None:
    """Return how many pixels of the difference are orange, and how many blue."""
    pixels = picture_pixels(page, "difference")[
        :, : int(0.8 * picture_pixels(page, "difference").shape[1])
    ]
    red, blue = pixels[..., 0], pixels[..., 2]
    counts = int((red - blue > 25).sum()), int((blue - red > 25).sum())
    return counts if min(counts) > 0 else None


def test_the_tour_goes_by_arrow_keys(page: Any, served: Any) -> None:
    page.goto(f"{served.url}/tour")
    page.get_by_text("Predict.").wait_for()
    page.get_by_text("it rises towards 1").click()
    page.get_by_text("radio_button_checked").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Start the run").wait_for()
    assert "phase=watch" in address(page)
    page.keyboard.press("ArrowRight")
    page.get_by_text(re.compile("You predicted “it rises towards 1”")).wait_for()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("radio_button_checked").wait_for()
    assert "phase=watch" in address(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_narrow_window(browser: Any, served: Any, scheme: str) -> None:
    write_run(served.runs / "narrow")
    page = browser.new_page(viewport={"width": 600, "height": 900}, color_scheme=scheme)
    theme = palette.DARK if scheme == "dark" else palette.LIGHT
    paper = "rgb({}, {}, {})".format(*(int(theme.paper[k : k + 2], 16) for k in (1, 3, 5)))
    for path in ("runs?run=narrow", "compare?a=narrow", "tour"):
        page.goto(f"{served.url}/{path}")
        at_rest(page)
        until(
            lambda: (
                page.evaluate(
                    "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
                )
                == paper
            ),
            f"{path} is {scheme}",
        )
        width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        assert width <= 600, path
    page.close()


@pytest.mark.skipif("WCORD_SCREENSHOT" not in os.environ, reason="no picture was asked for")
def test_photographs(page: Any, served: Any) -> None:
    """Take the README's pictures of two pages, beside that of the live page."""
    folder = Path(os.environ["WCORD_SCREENSHOT"]).parent
    demo = "a=demo%3A+digits-compression&b=demo%3A+digits-compression"
    page.set_viewport_size({"width": 1600, "height": 1400})
    page.goto(f"{served.url}/compare?{demo}&arm_a=wcord&arm_b=plain")
    page.locator(".st-key-difference canvas").first.wait_for()
    take(page, folder / "compare.png")
    last = STOPS[-1]
    wcord.distill(experiment(last), served.runs / run_name(last), progress=False)
    page.goto(f"{served.url}/tour?stop={last.key}&phase=cure")
    page.locator("canvas").nth(3).wait_for()
    take(page, folder / "tour.png")


def take(page: Any, path: Path) -> None:
    """Write what is on the page, once all of it is drawn."""
    at_rest(page)
    time.sleep(2)
    content = page.screenshot(scale="css")
    Image.open(io.BytesIO(content)).convert("RGB").save(path, optimize=True)
