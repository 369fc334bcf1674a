"""The other pages in a real browser: runs, compare and export, the laboratory, the tour."""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from browser.shown import (
    DEMO_NAME,
    address,
    assert_shows,
    canvas,
    panel,
    pixels,
    press,
    ready,
    step_shown,
    until,
)
from made_up_run import write_run
from PIL import Image

from lab.course.tour_stops import STOPS
from lab.reading.watch import Watch
from wcord.runs import Run

pytestmark = pytest.mark.browser


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


def test_a_link_leads_to_a_run_and_a_search(page: Any, served: Any) -> None:
    runs = [Run(write_run(served.runs / f"noted-{n}")) for n in range(2)]
    page.goto(f"{served.url}/runs?run=noted-0&search=noted-0")
    at_rest(page)
    search = page.get_by_label("Search", exact=True)
    until(lambda: search.input_value() == "noted-0", "the search of the link is shown")
    page.get_by_role("textbox", name="Notes").fill("mine")
    page.get_by_role("textbox", name="Notes").blur()
    until(lambda: runs[0].notes == "mine", "the note is kept")
    assert runs[1].notes == ""
    search.fill("noted-1")
    until(lambda: "search=noted-1" in address(page), "the search is in the address")


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
    run = Run(write_run(served.runs / "compared", seed=3))
    page.goto(f"{served.url}/compare?a=compared&arm_a=crd&b=compared&arm_b=wcord%2Bkd&step=28")
    ready(page, "plan@1")
    assert_shows(page, run, 28, "crd", "plan@0")
    assert_shows(page, run, 28, "wcord+kd", "plan@1")
    page.locator(".note-line").get_by_text("are right on the same of 60").wait_for()

    # the picture says what the plans say: orange where a has more, blue where b has
    until(lambda: colours_of(page), "the difference is drawn")
    orange, blue = colours_of(page)
    snapshot = Watch(run.path).snapshot(28)
    apart = snapshot.arm("crd").plan - snapshot.arm("wcord+kd").plan
    assert abs(orange / (orange + blue) - (apart > 0).mean()) < 0.15

    # both maps turn onto one another: teacher's points lie in the same places
    spots = [canvas(page, f"map@{k}").evaluate("c => [...c.memory.points.teacher]") for k in (0, 1)]
    width = canvas(page, "map@0").evaluate("c => c.clientWidth")
    assert np.abs(np.subtract(*spots)).mean() < 0.1 * width

    # take it away, and open what was taken
    panel(page, "difference").get_by_role("button", name="Take this picture away").click()
    taken = {}
    for label, ending in (("PNG", "png"), ("SVG", "svg"), ("Data, CSV", "csv")):
        with page.expect_download() as download:
            press(page, label)
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
    page.get_by_label("Arm of A", exact=True).select_option("plain")
    until(lambda: "arm_a=plain" in address(page), "the address names the arm")
    assert_shows(page, run, 28, "plain", "plan@0")
    page.reload()
    ready(page, "plan@0")
    until(lambda: page.get_by_label("Arm of A", exact=True).input_value() == "plain", "found again")
    assert step_shown(page) == 28
    assert strangers == []


def colours_of(page: Any) -> tuple[int, int]:
    """Return how many pixels of the difference are orange, and how many blue; () while none."""
    square = canvas(page, "difference").evaluate("c => c.memory.square")
    if not square:
        return ()  # type: ignore[return-value]
    seen = pixels(page, "difference")
    scale = seen.shape[1] / canvas(page, "difference").evaluate("c => c.clientWidth")
    x, y, side = (int(square[key] * scale) for key in ("x", "y", "side"))
    inside = seen[y : y + side, x : x + side]
    red, blue = inside[..., 0], inside[..., 2]
    counts = int((red - blue > 25).sum()), int((blue - red > 25).sum())
    return counts if min(counts) > 0 else ()  # type: ignore[return-value]


def test_runs_of_other_samples_are_not_paired(page: Any, served: Any) -> None:
    write_run(served.runs / "few", samples=40)
    write_run(served.runs / "many", samples=60)
    page.goto(f"{served.url}/compare?a=few&arm_a=crd&b=many&arm_b=crd")
    page.locator(".alert").get_by_text("nothing can be paired").wait_for()
    ready(page, "plan@0")  # each plan is still shown


def test_the_tour_shows_its_recordings_at_once(
    page: Any, served: Any, strangers: list[str]
) -> None:
    page.goto(f"{served.url}/tour")
    page.get_by_text("Predict · 1 of 4").wait_for()
    page.get_by_role("button", name="it rises towards 1").click()
    page.get_by_text("radio_button_checked").wait_for()
    page.get_by_role("button", name="Watch", exact=True).click()
    until(lambda: "phase=watch" in address(page), "the address names the phase")
    ready(page, "plan@0")
    page.locator(".note-line").get_by_text("Look now.").wait_for()
    last = step_shown(page)
    page.keyboard.press("Home")
    until(lambda: step_shown(page) == 0, "time moves")
    page.keyboard.press("End")
    until(lambda: step_shown(page) == last, "and back")
    page.get_by_role("button", name="Explain", exact=True).click()
    page.get_by_text("You predicted “it rises towards 1”").wait_for()
    page.get_by_role("button", name="Cure", exact=True).click()
    ready(page, "plan@1")
    assert strangers == []


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
def test_every_stop_has_a_recording(page: Any, served: Any, stop: Any) -> None:
    page.goto(f"{served.url}/tour?stop={stop.key}&phase=cure")
    for side in range(len(stop.cured)):
        ready(page, f"{stop.pictures[0]}@{side}")
    for metric in stop.curves:
        words = panel(page, f"curve:{metric}").locator(".hint")
        until(lambda words=words: "stands at" in words.inner_text(), f"{metric} is drawn")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_narrow_window(browser: Any, served: Any, scheme: str) -> None:
    write_run(served.runs / "narrow")
    page = browser.new_page(viewport={"width": 600, "height": 900}, color_scheme=scheme)
    for path in ("runs?run=narrow", "compare?a=narrow", "laboratory?run=narrow", "tour"):
        page.goto(f"{served.url}/{path}")
        at_rest(page)
        width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        assert width <= 600, path
    page.close()


@pytest.mark.skipif("WCORD_SCREENSHOT" not in os.environ, reason="no picture was asked for")
def test_photographs(page: Any, served: Any) -> None:
    """Take the README's pictures of two pages, beside that of the live page."""
    folder = Path(os.environ["WCORD_SCREENSHOT"]).parent
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(f"{served.url}/compare?a={DEMO_NAME}&arm_a=wcord&b={DEMO_NAME}&arm_b=plain")
    ready(page, "plan@1")
    take(page, folder / "compare.png")
    page.set_viewport_size({"width": 1366, "height": 1000})
    page.goto(f"{served.url}/tour?stop={STOPS[-1].key}&phase=cure")
    ready(page, "plan@2")
    take(page, folder / "tour.png")


def take(page: Any, path: Path) -> None:
    """Write what is on the page, once all of it is drawn."""
    time.sleep(2)
    content = page.screenshot(scale="css")
    Image.open(io.BytesIO(content)).convert("RGB").save(path, optimize=True)
