"""The live page in a real browser: start, watch, scrub, pause, step, resume, stop, come back.

With WCORD_SCREENSHOT=PATH a second run is photographed for the README.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from browser.server import serving
from browser.shown import (
    DEMO,
    DEMO_NAME,
    address,
    assert_shows,
    canvas,
    equation_values,
    panel,
    pixels,
    press,
    ready,
    shades,
    state,
    step_of,
    step_shown,
    until,
)
from filelock import FileLock
from made_up_run import NASTY_ARM, NASTY_ARMS, NASTY_CLASSES, write_run
from PIL import Image

import wcord
from lab import palette
from lab.reading.arrange import class_order, sorted_plan
from lab.reading.watch import Watch
from lab.viewer import module
from lab.viewer.feed import Feed, Opened
from lab.viewer.frames import Part
from lab.viewer.scene import scene
from lab.words.class_names import ClassNames
from wcord.runs import Run

pytestmark = pytest.mark.browser

COUNT_BLANKS = """names => {
    window.looks = window.blanks = 0;
    const hosts = [...document.querySelectorAll("*")];
    const root = hosts.find(e => e.shadowRoot?.querySelector(".view")).shadowRoot;
    setInterval(() => {
        window.looks += 1;
        for (const name of names) {
            const canvas = root.querySelector(`[data-panel=${name}] canvas`);
            if (!canvas || !canvas.width) window.blanks += 1;
        }
    }, 20);
}"""
PANELS = ("plan", "scores", "map", "accuracy", "losses", "measures")


def test_a_newcomer_sees_the_recording_play_and_trains_it(
    page: Any, tmp_path: Path, strangers: list[str]
) -> None:
    with serving(tmp_path / "runs", tmp_path / "log") as server:
        page.goto(server.url)
        ready(page)
        page.get_by_text("A small student network learns").wait_for()
        first = step_shown(page)
        until(lambda: step_shown(page) > first, "it plays by itself", seconds=10)
        until(lambda: step_shown(page) == Run(DEMO).steps[-1], "to its end", seconds=20)
        press(page, "Train this now")
        until(lambda: "run=digits-compression" in address(page), "the address names a new run")
        name = re.search(r"run=([^&]+)", address(page))
        assert name is not None
        run = Run(tmp_path / "runs" / name[1])
        until(lambda: step_of(page) > 0, "it trains", seconds=90)
        assert page.get_by_text("A small student network").count() == 0
        assert page.get_by_role("button", name="Train this now").count() == 0
        press(page, "Stop")
        until(lambda: state(page).startswith("stopped at step"), "the run has stopped", seconds=30)
        run.wait(timeout=60)
        assert "Traceback" not in server.log.read_text()
    assert strangers == []


def test_the_whole_journey(page: Any, served: Any, strangers: list[str]) -> None:
    experiment = wcord.load("digits-compression").replace({"epochs": 200, "probe.every": 1.0})
    run = wcord.launch(experiment, served.runs / "journey")
    run.pace(0.02)
    page.goto(f"{served.url}/?run=journey")

    # every panel is there, and moves
    until(lambda: step_of(page) > 0, "training", seconds=90)
    ready(page)
    assert run.status["error"] is None
    before = {name: pixels(page, name) for name in PANELS}
    page.evaluate(COUNT_BLANKS, PANELS)
    waiting = set(PANELS)

    def all_moved() -> bool:
        for name in sorted(waiting):
            now = pixels(page, name)
            if now.shape != before[name].shape or (now != before[name]).any():
                waiting.discard(name)
        return not waiting

    until(all_moved, f"these panels move: {waiting}", seconds=45)
    assert page.evaluate("window.looks") > 20
    assert page.evaluate("window.blanks") == 0  # no panel ever vanishes between two ticks

    # back in time while training goes on: the view stays where it is
    until(lambda: len(run.steps) > 6, "some steps", seconds=60)
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    time.sleep(0.5)  # the last key has been drawn
    back = step_shown(page)
    assert back in run.steps
    until(lambda: f"step={back}" in address(page), "the address names the step", seconds=15)
    assert_shows(page, run, back, "wcord")
    taken = len(run.steps)
    until(lambda: len(run.steps) > taken + 3, "training goes on", seconds=30)
    assert step_shown(page) == back
    assert_shows(page, run, back, "wcord")
    page.keyboard.press("End")
    until(lambda: "step=" not in address(page), "the page follows again", seconds=15)

    # pause, then exactly one step, ten, an epoch
    press(page, "Pause")
    until(lambda: state(page).startswith("paused"), "the run is paused", seconds=15)
    place = step_of(page)
    time.sleep(1.2)
    assert step_of(page) == place == run.status["step"]
    for name, count in (("1 step", 1), ("10 steps", 10), ("1 epoch", 11)):
        press(page, name)
        place += count
        until(lambda place=place: step_of(page) == place, f"{name} more", seconds=15)
        until(lambda: state(page).startswith("paused"), "paused again", seconds=15)
        assert step_of(page) == place == run.status["step"]
    until(lambda: place in run.steps, "a snapshot of this very step")
    until(lambda: step_shown(page) == place, "it is shown")
    assert_shows(page, run, place, "wcord")

    # the equation's numbers are the metrics
    values = run.snapshot(place).values("wcord")
    for name in ("plan", "scores", "map"):
        for key, shown in equation_values(page, name).items():
            if key in values:
                assert shown == pytest.approx(values[key], rel=0.06, abs=6e-4), key

    # another arm, in every panel and in the address
    page.get_by_role("radio", name="crd", exact=True).click()
    until(lambda: "arm=crd" in address(page), "the address names the arm")
    assert_shows(page, run, place, "crd")

    # resume; the run goes on without a page; the page finds it again
    press(page, "Resume")
    until(lambda: step_of(page) > place, "it goes on", seconds=15)
    left = address(page)
    page.goto("about:blank")
    left_at = run.status["step"]
    until(lambda: run.status["step"] > left_at + 5, "training goes on alone", seconds=20)
    page.goto(left)
    until(lambda: page.locator(".toolbar").count() and step_of(page) > left_at, "the same run")
    assert page.locator("[role=radio][aria-checked=true]").inner_text() == "crd"

    page.goto(served.url)  # without any address: the newest run
    until(lambda: page.locator(".toolbar").count() and step_of(page) > 0, "the newest run is found")
    press(page, "Stop")
    until(lambda: state(page).startswith("stopped at step"), "the run has stopped", seconds=20)
    assert run.wait(timeout=60)["state"] == "stopped"
    assert page.get_by_role("button", name="Resume").is_enabled()
    assert strangers == []
    assert "Traceback" not in served.log.read_text()
    page.goto("about:blank")
    run.delete()  # its worker of maps ends


def test_what_is_selected_in_one_panel_is_selected_in_all(page: Any, served: Any) -> None:
    step, arm = 248, "wcord"
    page.goto(f"{served.url}/?run={DEMO_NAME}&step={step}&arm={arm}")
    ready(page)
    snapshot = Run(DEMO).snapshot(step)
    plan = snapshot.arm(arm).plan
    n, order = len(plan), class_order(snapshot.labels[: len(plan)])
    expected = np.sqrt(sorted_plan(plan, snapshot.labels[:n]).clip(0, 1))

    # a row of the plan
    row = 30
    sample = int(order[row])
    box, square = (
        canvas(page, "plan").bounding_box(),
        canvas(page, "plan").evaluate("c => c.memory.square"),
    )
    page.mouse.click(
        box["x"] + square["x"] + 0.3 * square["side"],
        box["y"] + square["y"] + (row + 0.5) * square["cell"],
    )
    card = panel(page, "card")
    card.get_by_text(f"Sample {sample} · class {snapshot.labels[sample]}").wait_for()
    until(lambda: f"samples={sample}" in address(page), "the address names the sample")

    def row_is_lit(row: int) -> bool:
        read = shades(page)
        others = np.delete(np.arange(n), row)
        own = np.abs(read[row] - expected[row]) < 0.08
        dimmed = read[others] < expected[others] - 0.1
        return bool(own.mean() > 0.9 and dimmed[expected[others] > 0.3].mean() > 0.9)

    until(lambda: row_is_lit(row), "its row stands out in the plan")
    # in the map a ring of ink lies round its point
    x, y = canvas(page, "map").evaluate(
        f"c => [c.memory.points.student[{2 * sample}], c.memory.points.student[{2 * sample + 1}]]"
    )
    scale = pixels(page, "map").shape[1] / canvas(page, "map").evaluate("c => c.clientWidth")
    spot = pixels(page, "map")[
        int((y - 12) * scale) : int((y + 12) * scale), int((x - 12) * scale) : int((x + 12) * scale)
    ]
    ink = np.array([int(palette.LIGHT.ink[k : k + 2], 16) for k in (1, 3, 5)])
    assert (np.abs(spot - ink).max(-1) < 40).sum() > 20

    # the same view in another visit
    found = address(page)
    page.goto("about:blank")
    page.goto(found)
    card.get_by_text(f"Sample {sample} · class {snapshot.labels[sample]}").wait_for(timeout=60_000)
    until(lambda: row_is_lit(row), "the row is lit again")
    assert step_shown(page) == step

    # a box in the map takes over, and a range under the scores
    box = canvas(page, "map").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] - 5, steps=4)
    page.mouse.up()
    until(lambda: "more selected" in card.inner_text(), "the box selects samples")
    box = canvas(page, "scores").bounding_box()
    axes = canvas(page, "scores").evaluate(
        "({memory: {axes: a}}) =>"
        " ({left: a.left, right: a.right, bottom: a.bottom, span: a.spans.x})"
    )
    page.mouse.move(box["x"] + axes["left"] + 2, box["y"] + axes["bottom"] - 20)
    page.mouse.down()
    end = axes["left"] + 0.95 * (axes["right"] - axes["left"])
    page.mouse.move(box["x"] + end, box["y"] + axes["bottom"] - 10, steps=4)
    page.mouse.up()
    low, high = axes["span"]
    limit = low + 0.95 * (high - low)
    own = np.diag(snapshot.arm(arm).scores)
    wanted = [int(k) for k in np.flatnonzero(own <= limit + 0.02 * (high - low))]

    def selected() -> list[int]:
        found = re.search(r"samples=([0-9%C,]+)", address(page))
        return [int(k) for k in re.split("%2C|,", found[1])] if found else []

    until(lambda: selected() and set(selected()) <= set(wanted), "the range selects samples")
    page.keyboard.press("Escape")
    until(lambda: "samples=" not in address(page), "nothing is selected any more")


def test_lecture_keys_are_all_counted(page: Any, served: Any) -> None:
    page.goto(f"{served.url}/?run={DEMO_NAME}&step=248&present=plan")
    ready(page)
    assert not panel(page, "scores").is_visible()
    steps = Run(DEMO).steps
    place = steps.index(248)
    page.locator(".timeline canvas").focus()  # a key is taken once, by the slider or by the page
    for key, count in (("ArrowLeft", place), ("ArrowRight", place)):
        for _ in range(count):
            page.keyboard.press(key)
        wanted = steps[0] if key == "ArrowLeft" else steps[place]
        until(lambda wanted=wanted: step_shown(page) == wanted, f"{count} times {key}", 1)
    page.mouse.move(*middle_of(page, ".timeline canvas"))
    page.keyboard.press("ArrowRight")
    until(lambda: step_shown(page) == steps[place + 1], "with the pointer on the slider", 1)
    page.keyboard.press("h")
    canvas(page, "plan").wait_for(state="hidden")
    page.keyboard.press("h")
    canvas(page, "plan").wait_for(state="visible")
    page.keyboard.press("2")
    panel(page, "scores").wait_for(state="visible")
    until(lambda: "present=scores" in address(page), "the address names the panel")
    page.keyboard.press("Escape")
    panel(page, "map").wait_for(state="visible")
    until(lambda: "present=" not in address(page), "the address forgets it")
    # the pointer on the slider
    box = page.locator(".timeline canvas").bounding_box()
    page.mouse.click(box["x"] + 10, box["y"] + box["height"] - 8)
    until(lambda: step_shown(page) == steps[0], "a click leads to the first step", 1)
    page.keyboard.press("End")
    until(lambda: step_shown(page) == steps[-1], "End leads to the newest", 1)


def middle_of(page: Any, selector: str) -> tuple[float, float]:
    """Return the middle of an element on the screen."""
    box = page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_run_outlives_the_server_and_the_page_finds_both_again(page: Any, tmp_path: Path) -> None:
    runs, log = tmp_path / "runs", tmp_path / "server.log"
    few = {"epochs": 500, "teacher.epochs": 2, "arms": {"plain": {"ce": {}}}}
    run = wcord.launch(wcord.load("digits-compression").replace(few), runs / "going")
    run.pace(0.02)
    try:
        with serving(runs, log) as server:
            page.goto(f"{server.url}/?run=going")
            until(lambda: page.locator(".toolbar").count() and step_of(page) > 5, "training", 90)
        left_at, port = run.status["step"], int(server.url.rsplit(":", 1)[1])
        until(lambda: run.status["step"] > left_at + 20, "training goes on without a server")
        with serving(runs, log, port):
            until(lambda: step_of(page) > left_at + 20, "the open page is back by itself")
    finally:
        run.stop()
    assert run.wait(timeout=60)["state"] == "stopped"
    run.delete()  # its worker of maps ends


def test_what_is_damaged_is_one_line_and_the_rest_goes_on(page: Any, served: Any) -> None:
    path = write_run(served.runs / "damaged", epochs=4, samples=60)
    steps = Run(path).steps
    (path / "snapshots" / f"{steps[-1]}.safetensors").write_bytes(b"half")
    page.goto(f"{served.url}/?run=damaged")
    panel(page, "plan").get_by_text(f"Step {steps[-1]} cannot be read").wait_for()
    ready(page, "accuracy")  # the curves do not need it
    page.keyboard.press("ArrowLeft")
    until(lambda: step_shown(page) == steps[-2], "the step before is sound")
    assert_shows(page, Run(path), steps[-2], "wcord")
    shutil.rmtree(path)
    page.locator(".alert").get_by_text("damaged").wait_for()
    assert "Traceback" not in served.log.read_text()


@pytest.fixture
def people(browser: Any) -> Iterator[list[Any]]:
    """Three people: three browsers that share nothing but the server."""
    contexts = [browser.new_context(viewport={"width": 1400, "height": 900}) for _ in range(3)]
    for context in contexts:
        context.set_default_timeout(120_000)
    yield [context.new_page() for context in contexts]
    for context in contexts:
        context.close()


def test_three_people_steer_three_runs_and_nothing_leaks(people: list[Any], served: Any) -> None:
    runs = [Run(write_run(served.runs / f"person-{n}", state="paused")) for n in range(3)]
    arms = ("plain", "wcord", "wcord+kd")
    locks = [FileLock(run.path / "lock") for run in runs]
    for lock in locks:
        lock.acquire()
    try:
        for person, run, arm in zip(people, runs, arms, strict=True):
            person.goto(f"{served.url}/?run={run.name}&arm={quote(arm)}")
        for person in people:
            person.get_by_role("button", name="10 steps").wait_for()
        # the second resumes, the third stops, the first does nothing
        press(people[1], "Resume")
        press(people[2], "Stop")
        until(lambda: runs[1].control["pause_at"] is None, "the second run is resumed")
        until(lambda: runs[2].control["stop"], "the third run is stopped")
        assert [run.control["stop"] for run in runs] == [False, False, True]
        people[0].get_by_role("radio", name="crd", exact=True).click()
        until(lambda: "arm=crd" in address(people[0]), "the first chose another arm")
        people[0].reload()
        people[0].get_by_role("button", name="10 steps").wait_for()
        chosen = [p.locator("[role=radio][aria-checked=true]").inner_text() for p in people]
        assert chosen == ["crd", "wcord", "wcord+kd"]
        # a second tab of the first run sees what the first tab does
        people[1].goto(f"{served.url}/?run=person-0")
        people[1].get_by_role("button", name="10 steps").wait_for()
        press(people[0], "Resume")
        until(lambda: runs[0].control["pause_at"] is None, "the first run is resumed")
    finally:
        for lock in locks:
            lock.release()
        for run in runs:
            (run.path / "control.json").unlink()


def test_names_are_shown_as_they_are(page: Any, served: Any) -> None:
    name = "nasty.run_-_x--y"
    write_run(served.runs / name, arms=NASTY_ARMS, classes=NASTY_CLASSES)
    page.add_init_script(
        "window.drawn = new Set(); const fill = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {"
        "window.drawn.add(text); return fill.call(this, text, ...rest); };"
    )
    page.goto(f"{served.url}/?run={quote(name)}&samples=2&arm={quote(NASTY_ARM)}")
    ready(page)
    radios = page.locator(".chips [role=radio]")
    assert radios.all_inner_texts() == list(NASTY_ARMS)
    assert NASTY_ARM in panel(page, "plan").locator("h3").inner_text()
    names = ClassNames(NASTY_CLASSES)
    wanted = {names.short(label) for label in range(len(NASTY_CLASSES))} | {NASTY_ARM}
    until(lambda: wanted <= set(page.evaluate("[...window.drawn]")), "names stand on the canvases")
    said = panel(page, "card").locator(".sentence").inner_text()
    assert f"class {names(2)} · {NASTY_ARM} answers" in said
    assert not page.locator(".view b b, .view h3 del, .view .sentence b").count()
    radios.nth(1).click()
    until(lambda: quote("_hidden_") in address(page), "the address names the arm")
    page.reload()
    ready(page)
    assert page.locator("[role=radio][aria-checked=true]").inner_text() == "_hidden_"
    # what the run found in its data
    press(page, "Data")
    dialog = page.get_by_role("dialog")
    dialog.locator("[data-testid=stDataFrame]").wait_for()
    until(
        lambda: set(NASTY_CLASSES) <= set(page.evaluate("[...window.drawn]")), "the table has them"
    )
    text = dialog.inner_text().replace("\u2060", "")
    assert "folder:/my_data_/x_y_ · 8 classes" in text


def test_everything_has_a_name_for_those_who_do_not_see_it(page: Any, served: Any) -> None:
    page.goto(f"{served.url}/?run={DEMO_NAME}&step=248&samples=3")
    ready(page)
    time.sleep(1)
    client = page.context.new_cdp_session(page)
    client.send("Accessibility.enable")
    nodes = [n for n in client.send("Accessibility.getFullAXTree")["nodes"] if not n.get("ignored")]
    named = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if "role" in n]
    roles = {role for role, _ in named}
    assert {"slider", "toolbar", "radiogroup", "radio", "button", "image", "group"} <= roles
    for role, name in named:
        if role in ("button", "radio", "slider", "combobox", "image", "toolbar"):
            assert name.strip(), role
    words = [name for role, name in named if role == "image"]
    assert any("of the mass stays in its class" in text for text in words)
    assert any("Histograms of" in text and "matching pairs" in text for text in words)
    assert any("Test accuracy" in text or "test accuracy" in text for text in words)
    slider = next(n for n in nodes if n.get("role", {}).get("value") == "slider")
    assert slider["name"]["value"] == "Step shown"
    # not from the tree: Chromium 156 gives an empty valuetext there
    text = page.get_by_role("slider", name="Step shown").get_attribute("aria-valuetext")
    assert "step 248" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("width", "height"), [(1280, 720), (1366, 768), (1920, 1080), (800, 900), (400, 800)]
)
def test_the_first_screen_is_the_picture(
    browser: Any, served: Any, width: int, height: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(f"{served.url}/?run={DEMO_NAME}&step=248")
    ready(page)
    time.sleep(0.5)
    wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert wide <= width
    theme = palette.DARK if scheme == "dark" else palette.LIGHT
    paper = page.locator(".view").evaluate("v => v.style.getPropertyValue('--paper')")
    assert paper == theme.paper
    for name in ("plan", "scores", "map") if width > 900 else ("plan",):
        box = panel(page, name).bounding_box()
        assert box["y"] + box["height"] <= height if width > 900 else box["y"] < 0.6 * height, name
    timeline = page.locator(".timeline").bounding_box()
    assert timeline["y"] + timeline["height"] < height
    page.close()


@pytest.mark.skipif("WCORD_SCREENSHOT" not in os.environ, reason="no picture was asked for")
def test_photograph(page: Any, served: Any) -> None:
    """Take the README's picture in mid training, once UMAP has arrived."""
    path = Path(os.environ["WCORD_SCREENSHOT"])
    page.set_viewport_size({"width": 1366, "height": 768})
    experiment = wcord.load("digits-compression").replace({"probe.every": 1.0, "probe.losses": 4})
    run = wcord.launch(experiment, served.runs / "digits-compression")
    run.pace(0.05)
    page.goto(f"{served.url}/?run=digits-compression")
    until(lambda: page.locator(".toolbar").count() and step_of(page) > 160, "some epochs", 180)
    press(page, "Pause")
    until(lambda: state(page).startswith("paused"), "the run is paused", seconds=15)
    until(lambda: "UMAP" in panel(page, "map").locator("h3").inner_text(), "UMAP is there", 180)
    time.sleep(20)
    content = page.screenshot(scale="css")
    Image.open(io.BytesIO(content)).convert("RGB").save(path, optimize=True)
    press(page, "Stop")
    until(lambda: state(page).startswith("stopped at step"), "the run has stopped", seconds=20)


def test_a_view_that_is_taken_away_while_it_loads_leaves_one_in_its_place(page: Any) -> None:
    setup = Part(
        "setup",
        {"can": {}, "scene": scene([(DEMO_NAME, "wcord")]), "playground": False},
        {"script": np.frombuffer(module.script().encode(), np.uint8)},
    )
    feed = Feed(lambda _: Opened(Watch(DEMO), False))
    content = base64.b64encode(feed.packet([(DEMO_NAME, "wcord")], None, [setup])).decode()
    page.goto("about:blank")
    count = page.evaluate(
        """async ([loader, content]) => {
          const url = URL.createObjectURL(new Blob([loader], { type: "text/javascript" }));
          const { default: show } = await import(url);
          const data = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
          const given = { data, parentElement: document.body, setTriggerValue() {} };
          show(given)();
          show(given);
          await new Promise(done => setTimeout(done, 2000));
          return document.querySelectorAll(".view").length;
        }""",
        [(module.FOLDER / "streamlit.js").read_text("utf-8"), content],
    )
    assert count == 1
