"""The whole journey in a real browser: start, watch, scrub, pause, step, resume, stop, come back.

With WCORD_SCREENSHOT=PATH a second run is photographed for the README.
"""

from __future__ import annotations

import base64
import io
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser.server import serving
from PIL import Image

import lab
import wcord
from lab import palette
from lab.reading import map_worker
from lab.reading.arrange import class_order, sorted_plan
from lab.reading.layouts import REACH
from wcord.runs import Run

pytestmark = pytest.mark.browser

PATIENCE = 3  # a test waits that much longer than a calm machine needs
PANELS = ("plan", "scores", "map", "accuracy", "losses", "measures")
COUNT_BLANKS = """keys => {
    window.looks = window.blanks = 0;
    setInterval(() => {
        window.looks += 1;
        window.blanks += keys.filter(k => !document.querySelector(`.st-key-${k} canvas`)).length;
    }, 20);
}"""
EDGES = {"left": 52, "right": 50, "top": 8, "bottom": 46}  # of the heat map, in CSS pixels
MAP_EDGES = {"left": 4, "right": 4, "top": 30, "bottom": 26}
DEMO = Path(lab.__file__).parent / "demo" / "digits-compression"


def until(said: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + PATIENCE * seconds
    while time.monotonic() < end:
        if found := said():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE * seconds:g} s: {what}")


def address(page: Any) -> str:
    """Return the address as the browser shows it now."""
    return str(page.evaluate("location.href"))


def sentence(page: Any) -> str:
    """Return the line over the progress bar."""
    bar = page.locator("[data-testid=stProgress]")
    return bar.inner_text() if bar.count() else ""


def slider(page: Any) -> Any:
    """Return the thumb of the step slider."""
    return page.locator(".st-key-step input[type=range]")


def shown_step(page: Any) -> int | None:
    """Return the step that the address asks for, None where the page follows."""
    found = re.search(r"[?&]step=(\d+)", address(page))
    return int(found[1]) if found else None


def still(page: Any) -> None:
    """Wait until the page has drawn all that it was asked to."""
    time.sleep(0.3)
    page.locator("[data-test-script-state=notRunning]").wait_for()


def step_of(page: Any) -> int:
    """Return the step that the page says the run is at."""
    found = re.search(r"step (\d+)", sentence(page))
    return int(found[1]) if found else -1


def picture_pixels(page: Any, key: str) -> np.ndarray:
    """Return the pixels (h, w, 3) that a chart's canvases hold, one over the other, on white."""
    canvases = page.locator(f".st-key-{key} canvas")
    canvases.first.wait_for()
    layers = canvases.evaluate_all("all => all.map(canvas => canvas.toDataURL('image/png'))")
    drawn = [
        Image.open(io.BytesIO(base64.b64decode(layer.split(",")[1]))).convert("RGBA")
        for layer in layers
    ]
    whole = Image.new("RGBA", drawn[0].size, palette.LIGHT.paper)
    for layer in drawn:
        whole = Image.alpha_composite(whole, layer)
    return np.asarray(whole.convert("RGB"), dtype=float)


def shades(pixels: np.ndarray, n: int, scale: int) -> np.ndarray:
    """Read a heat map (n, n) of shades in [0, 1] off its pixels: the ramp, turned around."""
    height, width = pixels.shape[:2]
    left, right = EDGES["left"] * scale, width - EDGES["right"] * scale
    top, bottom = EDGES["top"] * scale, height - EDGES["bottom"] * scale
    across = left + (np.arange(n) + 0.5) * (right - left) / n
    down = top + (np.arange(n) + 0.5) * (bottom - top) / n
    stops = [[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in palette.LIGHT.ramp]
    places = np.linspace(0, 1, 256)
    ramp = np.stack(
        [np.interp(places, np.linspace(0, 1, len(stops)), [s[k] for s in stops]) for k in range(3)],
        axis=1,
    )
    # A line between classes may lie on a cell's middle; it is not on the ramp, a neighbour is.
    best, found = np.full((n, n), np.inf), np.zeros((n, n))
    for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)):
        seen = pixels[np.ix_(down.astype(int) + dy, across.astype(int) + dx)]  # (n, n, 3)
        distance = ((seen[:, :, None, :] - ramp) ** 2).sum(-1)
        near = distance.min(-1) + (30.0 if dx or dy else 0.0)
        found = np.where(near < best, places[distance.argmin(-1)], found)
        best = np.minimum(near, best)
    return found


def assert_shows(page: Any, run: Run, step: int, arm: str) -> None:
    """Compare the heat map's pixels with the stored plan, cell by cell."""
    snapshot = run.snapshot(step)
    plan = snapshot.arm(arm).plan
    expected = np.sqrt(sorted_plan(plan, snapshot.labels[: len(plan)]).clip(0, 1))

    def agrees() -> bool:
        read = shades(picture_pixels(page, "plan"), len(plan), scale=2)
        close = np.abs(read - expected) < 0.06
        # no row and no column may be missing
        return bool(min(close.mean(0).min(), close.mean(1).min()) > 0.95)

    until(agrees, f"the heat map shows the plan of step {step}", seconds=10)


def start(page: Any, served: Any, epochs: int | None = None) -> Run:
    """Start a run by clicking, and return it."""
    page.goto(served.url)
    page.get_by_role("button", name="Start").wait_for()
    if epochs is not None:
        page.get_by_label("Epochs").fill(str(epochs))
        page.get_by_label("Epochs").press("Enter")
        page.get_by_text(re.compile(rf"for {11 * epochs} steps")).wait_for()
    page.get_by_role("button", name="Start").click()
    until(lambda: "run=" in address(page), "the address names the run")
    return Run(served.runs / re.search(r"run=([^&]+)", address(page))[1])


def test_the_whole_journey(page: Any, served: Any, strangers: list[str], browser: Any) -> None:
    run = start(page, served, epochs=200)  # longer than the journey on a slow machine

    # every panel is there, and moves
    until(lambda: step_of(page) > 0, "training", seconds=90)
    for key in PANELS:
        page.locator(f".st-key-{key} canvas").first.wait_for()
    time.sleep(2)
    assert run.status["error"] is None
    before = {key: picture_pixels(page, key) for key in PANELS}
    page.evaluate(COUNT_BLANKS, PANELS)
    equation = page.locator(".katex").first.inner_text()
    waiting = set(PANELS)

    def all_moved() -> bool:
        for key in sorted(waiting):
            now = picture_pixels(page, key)
            if now.shape != before[key].shape or (now != before[key]).any():
                waiting.discard(key)
        return not waiting

    until(all_moved, f"these panels move: {waiting}", seconds=45)
    until(lambda: page.evaluate("window.looks") > 20, "the charts were looked at", seconds=15)
    assert page.evaluate("window.blanks") == 0  # no chart ever vanishes between two ticks
    assert page.locator(".katex").first.inner_text() != equation

    # back in time while training goes on: the slider stays, and so do the pictures
    slider(page).focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    until(lambda: shown_step(page) is not None, "the address names the step", seconds=15)
    time.sleep(1)
    back = shown_step(page)
    assert_shows(page, run, back, "wcord")
    taken = len(run.steps)
    until(lambda: len(run.steps) > taken + 3, "training goes on", seconds=30)
    time.sleep(1.5)
    assert shown_step(page) == back and slider(page).get_attribute("value") is not None
    assert str(back) in page.locator(".st-key-step").inner_text().split()
    assert_shows(page, run, back, "wcord")
    page.get_by_role("button", name="Follow").click()
    until(lambda: shown_step(page) is None, "the page follows again", seconds=15)

    # pause, then exactly one step, ten, an epoch
    page.get_by_role("button", name="Pause").click()
    until(lambda: sentence(page).startswith("paused"), "the run is paused", seconds=15)
    place = step_of(page)
    time.sleep(1.2)
    assert step_of(page) == place == run.status["step"]
    for name, count in (("1 step", 1), ("10 steps", 10), ("1 epoch", 11)):
        page.get_by_role("button", name=name, exact=True).click()
        place += count
        until(lambda place=place: step_of(page) == place, f"{name} more", seconds=15)
        until(lambda: sentence(page).startswith("paused"), "paused again", seconds=15)
        time.sleep(0.8)
        assert step_of(page) == place == run.status["step"]
    until(lambda: place in run.steps, "a picture of this very step")
    assert_shows(page, run, place, "wcord")

    # another arm, in every panel and in the address
    page.locator(".st-key-arm").get_by_text("crd", exact=True).click()
    until(lambda: "arm=crd" in address(page), "the address names the arm")
    assert_shows(page, run, place, "crd")

    # resume; the run goes on without a page; the page finds it again
    page.get_by_role("button", name="Resume").click()
    until(lambda: step_of(page) > place, "it goes on", seconds=15)
    left = address(page)
    page.goto("about:blank")
    left_at = run.status["step"]
    until(lambda: run.status["step"] > left_at + 5, "training goes on alone", seconds=20)
    page.goto(left)
    until(lambda: step_of(page) > left_at, "the page is back at the same run")
    assert page.locator(".st-key-arm [aria-checked=true]").inner_text().strip() == "crd"

    page.goto(served.url)  # without any address: the newest run
    until(lambda: step_of(page) > 0, "the newest run is found")
    page.get_by_role("button", name="Stop").click()
    until(lambda: sentence(page).startswith("stopped at step"), "the run has stopped", seconds=20)
    assert run.wait(timeout=60)["state"] == "stopped"
    assert page.get_by_role("button", name="Resume").is_enabled()
    assert strangers == []
    assert "Traceback" not in served.log.read_text()
    page.goto("about:blank")
    run.delete()  # its worker of maps ends


def on_canvas(
    page: Any, key: str, edges: dict[str, int], x: float, y: float
) -> tuple[float, float]:
    """Return where a place (x, y), as shares of a plot from its upper left corner, is on screen."""
    box = page.locator(f".st-key-{key} canvas").first.bounding_box()
    width = box["width"] - edges["left"] - edges["right"]
    height = box["height"] - edges["top"] - edges["bottom"]
    return box["x"] + edges["left"] + x * width, box["y"] + edges["top"] + y * height


def test_a_click_in_the_map_lights_up_its_row_and_the_address_finds_it_again(
    page: Any, served: Any
) -> None:
    step, arm = 248, "wcord"
    link = f"{served.url}/?run=demo%3A+digits-compression&step={step}&arm={arm}"
    page.goto(link)
    page.locator(".st-key-map canvas").first.wait_for(timeout=90_000)
    page.get_by_role("button", name="Start").wait_for()  # all of the page is there

    # the sample that stands most alone on the map, so that the click can mean no other
    snapshot, frame = Run(DEMO).snapshot(step), map_worker.read_frame(DEMO, arm, step)
    picture = snapshot.arm(arm)
    n = len(picture.plan)
    points = np.concatenate(frame)
    apart = np.linalg.norm(points[:n, None] - points[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    sample = int(apart.min(1).argmax())
    x, y = (frame.teacher[sample] / REACH + 1) / 2
    page.mouse.click(*on_canvas(page, "map", MAP_EDGES, float(x), 1 - float(y)))
    until(lambda: f"samples={sample}" in address(page), "the address names the sample", seconds=20)
    page.get_by_text(f"Sample {sample} · class {snapshot.labels[sample]}").wait_for()

    def row_is_lit() -> bool:
        labels = snapshot.labels[:n]
        expected = np.sqrt(sorted_plan(picture.plan, labels).clip(0, 1))
        row = int(np.flatnonzero(class_order(labels) == sample)[0])
        read = shades(picture_pixels(page, "plan"), n, scale=2)
        others = np.delete(np.arange(n), row)
        own = np.abs(read[row] - expected[row]) < 0.08
        dimmed = read[others] < expected[others] - 0.1
        return bool(own.mean() > 0.9 and dimmed[expected[others] > 0.3].mean() > 0.9)

    until(row_is_lit, "its row stands out in the plan", seconds=15)

    # the same view in another visit
    found = address(page)
    page.goto("about:blank")
    page.goto(found)
    page.get_by_text(f"Sample {sample} · class {snapshot.labels[sample]}").wait_for(timeout=60_000)
    until(row_is_lit, "the row is lit again", seconds=15)
    assert str(step) in page.locator(".st-key-step").inner_text().split()

    # a row of the plan takes over from the map
    row = 30
    other = int(class_order(snapshot.labels[:n])[row])
    page.mouse.click(*on_canvas(page, "plan", EDGES, 0.3, (row + 0.5) / n))
    until(lambda: f"samples={other}" in address(page), "the row's sample is selected", seconds=20)


def test_the_arrow_keys_go_through_time_in_a_lecture(page: Any, served: Any) -> None:
    page.goto(f"{served.url}/?run=demo%3A+digits-compression&step=248&present=plan")
    page.locator(".st-key-plan canvas").first.wait_for(timeout=90_000)
    assert page.locator(".st-key-scores").count() == 0
    still(page)
    steps = Run(DEMO).steps
    place = steps.index(248)
    for key, by in (("ArrowLeft", -1), ("ArrowLeft", -1), ("ArrowRight", 1)):
        page.keyboard.press(key)
        place += by
        wanted = steps[place]
        until(lambda wanted=wanted: shown_step(page) == wanted, f"{key} leads to {wanted}")
        still(page)  # two strokes within one redraw count as one
    slider(page).focus()  # a key is taken once, by the slider or by the page
    page.keyboard.press("ArrowLeft")
    until(lambda: shown_step(page) == steps[place - 1], "the slider answers", seconds=15)
    time.sleep(1)
    assert shown_step(page) == steps[place - 1]
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("h")
    page.get_by_text("What do you expect to see?").wait_for()
    assert page.locator(".st-key-plan canvas").count() == 0
    still(page)
    page.keyboard.press("h")
    page.locator(".st-key-plan canvas").first.wait_for()
    still(page)
    page.keyboard.press("Escape")
    page.locator(".st-key-scores canvas").first.wait_for()


def test_a_run_outlives_the_server_and_the_page_finds_both_again(page: Any, tmp_path: Path) -> None:
    runs, log = tmp_path / "runs", tmp_path / "server.log"
    few = {"epochs": 500, "teacher.epochs": 2, "arms": {"plain": {"ce": {}}}}
    experiment = wcord.load("digits-compression").replace(few)
    run = wcord.launch(experiment, runs / "going")
    run.pace(0.02)
    try:
        with serving(runs, log) as server:
            page.goto(f"{server.url}/?run=going")
            until(lambda: step_of(page) > 5, "training", seconds=90)
        left_at, port = run.status["step"], int(server.url.rsplit(":", 1)[1])
        until(lambda: run.status["step"] > left_at + 20, "training goes on without a server")
        with serving(runs, log, port):
            until(lambda: step_of(page) > left_at + 20, "the open page is back by itself")
    finally:
        run.stop()
    assert run.wait(timeout=60)["state"] == "stopped"
    run.delete()  # its worker of maps ends


@pytest.mark.skipif("WCORD_SCREENSHOT" not in os.environ, reason="no picture was asked for")
def test_photograph(page: Any, served: Any) -> None:
    """Take the README's picture in mid training, once UMAP has arrived."""
    path = Path(os.environ["WCORD_SCREENSHOT"])
    page.set_viewport_size({"width": 1600, "height": 1400})
    run = start(page, served)
    until(lambda: step_of(page) > 120, "some epochs have passed", seconds=180)
    page.get_by_role("button", name="Pause").click()
    until(lambda: sentence(page).startswith("paused"), "the run is paused", seconds=15)
    newest = f"UMAP of step {run.steps[-1]}"
    until(lambda: page.get_by_text(newest).count(), "UMAP is compiled", seconds=180)
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(5, 5)
    time.sleep(3)
    until(lambda: not page.locator("[data-stale=true]").count(), "all is drawn", seconds=20)
    content = page.screenshot(scale="css")
    Image.open(io.BytesIO(content)).convert("RGB").save(path, optimize=True)
    page.get_by_role("button", name="Stop").click()
    until(lambda: sentence(page).startswith("stopped at step"), "the run has stopped", seconds=20)


def test_the_playground_answers_to_clicks_and_keys(
    page: Any, served: Any, strangers: list[str]
) -> None:
    page.goto(f"{served.url}/playground")
    numbers = page.locator("[data-testid=stMetricValue]")
    numbers.first.wait_for(timeout=90_000)
    cost = numbers.first.inner_text()
    plane = page.locator("[class*=st-key-clouds-] canvas").first.bounding_box()
    page.mouse.click(plane["x"] + 0.3 * plane["width"], plane["y"] + 0.3 * plane["height"])
    until(lambda: numbers.first.inner_text() != cost, "a click adds a point", seconds=15)
    until(lambda: "source-shape=drawn" in address(page), "the address says so")
    cost = numbers.first.inner_text()
    page.get_by_role("slider", name="ε, strength of the entropy").focus()
    page.keyboard.press("ArrowRight")
    until(lambda: numbers.first.inner_text() != cost, "the slider moves by keys", seconds=15)
    page.get_by_text("Learn", exact=True).click()
    page.get_by_text(re.compile(r"step [1-9]\d* of 2000")).wait_for()
    assert strangers == []
    assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_follow_the_browsers_colours(browser: Any, served: Any, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    page.goto(f"{served.url}/playground")
    page.locator("[class*=st-key-cloud-plan] canvas").first.wait_for(timeout=90_000)
    theme = palette.DARK if scheme == "dark" else palette.LIGHT

    def fits() -> bool:
        corner = picture_pixels(page, "cloud-plan")
        paper = np.array([int(theme.paper[k : k + 2], 16) for k in (1, 3, 5)])
        back = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))[500, 1396]
        return bool(np.abs(back - paper).max() < 8 and corner.size)

    until(fits, f"the page is {scheme}", seconds=15)
    page.close()
