"""A run as one file of HTML in a real browser: from disk, without a network, under its policy."""

from __future__ import annotations

import base64
import gzip
import html
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser.shown import until
from made_up_run import write_run
from tables import TARGETS, X, table_settings

import lab
import wcord
from lab.palette import DARK, LIGHT, Theme
from lab.reading.arrange import sorted_plan
from lab.reading.watch import Watch
from lab.viewer import module
from lab.viewer.frames import Part, pack

pytestmark = pytest.mark.browser

DEMO = Path(lab.__file__).parent / "demo" / "digits-compression"
LEFT, BOTTOM, LEGEND, TOP = 40, 38, 46, 4  # CSS pixels around a plan (plan.js)
LISTEN = """window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.refused.push(`${event.violatedDirective}: ${event.blockedURI}`);
});"""
PIXELS = """(canvas) => {
  const { width, height } = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return { width, height, ratio: width / canvas.clientWidth, data: Array.from(data) };
}"""


class Opened:
    """A page that was opened from disk, with the network cut."""

    def __init__(self, page: Any, file: Path) -> None:
        self.page, self.file = page, file
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.add_init_script(LISTEN)
        self.open()

    def open(self, fragment: str = "") -> None:
        self.page.goto("about:blank")
        self.page.goto(f"{self.file.as_uri()}{fragment}")
        self.until_drawn("plan")

    def until_drawn(self, panel: str) -> str:
        """Wait until a panel has its description, and return it."""
        canvas = self.page.locator(f".panel.{panel} .picture canvas")
        return str(until(lambda: canvas.get_attribute("aria-label"), f"{panel} is drawn", 20))

    @property
    def where(self) -> str:
        return str(self.page.locator(".timeline .where").inner_text())

    def at_step(self, step: int) -> None:
        until(lambda: self.where.startswith(f"step {step} "), f"step {step} is shown", 10)
        time.sleep(0.4)  # the view has stopped gliding

    def pixels(self, panel: str) -> tuple[np.ndarray, float]:
        """Return the pixels (h, w, 3) of a panel, and how many there are in a CSS pixel."""
        found = self.page.locator(f".panel.{panel} .picture canvas").evaluate(PIXELS)
        shape = (found["height"], found["width"], 4)
        return np.array(found["data"], np.uint8).reshape(shape)[..., :3], found["ratio"]


@pytest.fixture
def opened(browser: Any, tmp_path: Path, request: Any) -> Iterator[Opened]:
    """The demo's page, 1366 × 768, in the scheme that the test asks for."""
    made = lab.page(DEMO, tmp_path / "run.html")
    scheme = getattr(request, "param", "light")
    context = browser.new_context(
        viewport={"width": 1366, "height": 768}, color_scheme=scheme, offline=True
    )
    context.set_default_timeout(60_000)
    context.route(re.compile("^https?:"), lambda route: route.abort())
    found = Opened(context.new_page(), made.path)
    yield found
    assert found.page.evaluate("window.refused") == []
    assert found.errors == []
    assert all(url.startswith(("file:", "blob:", "data:", "about:")) for url in found.requests)
    context.close()


def colours(shades: np.ndarray, theme: Theme) -> np.ndarray:
    """Return what colours (…, 3) shades from 0 to 255 have on the ramp of a theme."""
    stops = np.array([[int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in theme.ramp])
    places = np.linspace(0, 255, len(stops))
    return np.stack([np.interp(shades, places, stops[:, c]) for c in range(3)], axis=-1)


def compare_plan(opened: Opened, step: int, arm: str, theme: Theme = LIGHT) -> None:
    """Compare every cell of the plan as it is drawn with the stored snapshot."""
    watch = Watch(DEMO)
    plan = watch.picture(step, arm).plan
    shares = sorted_plan(plan, watch.snapshot(step).labels[: len(plan)])
    pixels, ratio = opened.pixels("plan")
    height, width = (side / ratio for side in pixels.shape[:2])
    side = min(width - LEFT - LEGEND, height - BOTTOM - TOP)
    x = LEFT + max(0, (width - LEFT - LEGEND - side) / 2)
    middles = (np.arange(len(plan)) + 0.5) * side / len(plan)
    rows = np.floor((TOP + middles) * ratio).astype(int)
    columns = np.floor((x + middles) * ratio).astype(int)
    shown = pixels[np.ix_(rows, columns)].astype(float)
    expected = colours(np.rint(255 * np.sqrt(shares)), theme)
    assert np.abs(shown - expected).max() <= 3


@pytest.mark.parametrize("opened", ["light", "dark"], indirect=True)
def test_the_plan_is_that_of_the_snapshot(opened: Opened, request: Any) -> None:
    theme = DARK if request.node.callspec.params["opened"] == "dark" else LIGHT
    opened.at_step(440)
    compare_plan(opened, 440, "wcord", theme)
    opened.page.keyboard.press("Home")
    opened.at_step(0)
    compare_plan(opened, 0, "wcord", theme)


def test_time_moves_by_keys_and_arms_by_a_click(opened: Opened) -> None:
    steps = Watch(DEMO).run.steps
    for key, step in (
        ("ArrowLeft", steps[-2]),
        ("ArrowLeft", steps[-3]),
        ("ArrowRight", steps[-2]),
    ):
        opened.page.keyboard.press(key)
        opened.at_step(step)
    opened.page.get_by_role("radio", name="plain").click()
    until(lambda: "plain" in opened.page.locator(".panel.plan h3").inner_text(), "arm plain")
    opened.at_step(steps[-2])
    compare_plan(opened, steps[-2], "plain")
    opened.page.keyboard.press("Home")
    opened.page.locator(".timeline select").select_option("8")
    opened.page.locator("body").click(position={"x": 3, "y": 3})
    opened.page.keyboard.press(" ")
    opened.at_step(steps[-1])  # it has played to the end


def test_a_sample_is_selected_and_seen(opened: Opened) -> None:
    canvas = opened.page.locator(".panel.plan .picture canvas")
    box = canvas.bounding_box()
    canvas.hover(position={"x": box["width"] / 2, "y": box["height"] / 3})
    tip = opened.page.locator(".tip.open")
    tip.wait_for()
    assert re.search(r"teacher sample \d+ .* → student sample \d+", tip.inner_text())
    until(lambda: tip.locator("canvas").count() == 2, "the images of both samples", 10)
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 3})
    card = opened.page.locator(".panel.card .sentence")
    until(lambda: card.inner_text().startswith("Sample "), "the card of the sample", 10)
    sample = int(re.findall(r"Sample (\d+)", card.inner_text())[0])
    until(lambda: f"samples={sample}" in opened.page.evaluate("location.hash"), "its address", 10)
    opened.page.keyboard.press("Escape")
    opened.page.locator(".panel.card").wait_for(state="hidden")


def test_an_address_leads_back(opened: Opened) -> None:
    opened.page.keyboard.press("Home")
    opened.page.get_by_role("radio", name="crd").click()
    until(lambda: "arm=crd&step=0" in opened.page.evaluate("location.hash"), "its address", 10)
    fragment = opened.page.evaluate("location.hash")
    opened.open(fragment)
    opened.at_step(0)
    assert "crd" in opened.page.locator(".panel.plan h3").inner_text()
    opened.open("#arm=nonsense&step=x&samples=1;2")
    opened.at_step(440)


def test_settings_are_saved_and_pictures_taken_away(opened: Opened, tmp_path: Path) -> None:
    with opened.page.expect_download() as download:
        opened.page.get_by_role("link", name="Save them to a file").click()
    download.value.save_as(tmp_path / "settings.yaml")
    import wcord

    assert wcord.load(tmp_path / "settings.yaml") == wcord.load(DEMO / "settings.yaml")
    opened.page.locator(".panel.plan").get_by_role("button", name="Take this picture away").click()
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Data, CSV").click()
    assert download.value.suggested_filename.endswith(".csv")


@pytest.mark.parametrize("width", [1366, 800, 400])
def test_it_fits_the_window(opened: Opened, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 768})
    time.sleep(0.5)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1366:  # the first screen is the picture
        for panel in ("plan", "scores", "map"):
            box = opened.page.locator(f".panel.{panel}").bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= 768


def test_a_run_that_goes_on_without_data_at_hand(browser: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", epochs=4, upto=2, state="running")
    made = lab.page(run, tmp_path / "run.html")
    page = browser.new_page(offline=True)
    found = Opened(page, made.path)
    assert "recorded at step 28 of 56" in page.locator(".toolbar .state").inner_text()
    found.page.keyboard.press("ArrowLeft")
    found.at_step(14)
    canvas = page.locator(".panel.plan .picture canvas")
    canvas.click(position={"x": 150, "y": 100})
    until(
        lambda: "was not at hand" in page.locator(".panel.card").inner_text(),
        "why there are no images",
        10,
    )
    assert found.errors == [] and page.evaluate("window.refused") == []
    page.close()


DAMAGED = "This file is damaged or incomplete: get it again, or make it again with wcord page."
RECORDING = re.compile(r'(id="recording" type="[^"]*">)([^<]*)')
SCENE = re.compile(r'data-scene="[^"]*"')


def recorded(text: str, change: Callable[[bytes], bytes]) -> str:
    """Return a page with other frames in its recording, which is whole all the same."""

    def put(found: re.Match[str]) -> str:
        content = gzip.compress(change(gzip.decompress(base64.b64decode(found[2]))))
        return f"{found[1]}{base64.b64encode(content).decode()}"

    return RECORDING.sub(put, text)


def coded(text: str, change: Callable[[str], str]) -> str:
    """Return a page whose recording is written in other letters."""
    return RECORDING.sub(lambda found: found[1] + change(found[2]), text)


def with_scene(text: str, scene: str) -> str:
    return SCENE.sub(f'data-scene="{html.escape(scene)}"', text)


BROKEN: dict[str, Callable[[str], str]] = {
    "a hole": lambda text: coded(text, lambda c: c[:2000] + c[6000:]),
    "cut": lambda text: coded(text, lambda c: c[:4000]),
    "a strange letter": lambda text: coded(text, lambda c: f"{c[:2000]}!{c[2001:]}"),
    "another letter": lambda text: coded(
        text, lambda c: f"{c[:2000]}{'AB'[c[2000] == 'A']}{c[2001:]}"
    ),
    "empty": lambda text: coded(text, lambda c: ""),
    "no recording": lambda text: text.replace('id="recording"', 'id="record"'),
    "no view": lambda text: text.replace('id="view"', 'id="views"'),
    "no frames": lambda text: recorded(text, lambda c: b"PNG!" + c[4:]),
    "no bytes": lambda text: recorded(text, lambda c: b""),
    "a short head": lambda text: recorded(text, lambda c: c[:9]),
    "no JSON": lambda text: recorded(text, lambda c: c[:12] + b"x" + c[13:]),
    "arrays outside": lambda text: recorded(text, lambda c: c[: len(c) // 2]),
    "no samples": lambda text: recorded(
        text, lambda c: c.replace(b'"kind": "samples"', b'"kind": "sampler"')
    ),
    "no number": lambda text: recorded(text, lambda c: c.replace(b'"number": 1', b'"number": 7')),
    "null": lambda text: recorded(text, lambda c: c[:8] + (4).to_bytes(4, "little") + b"null"),
    "an empty scene": lambda text: with_scene(text, "{}"),
    "no scene": lambda text: SCENE.sub("", text),
    "half a scene": lambda text: with_scene(text, '{"sides": [["a'),
    "another run": lambda text: with_scene(text, '{"sides": [["x", "y"]], "panels": ["plan"]}'),
    "odd sides": lambda text: with_scene(text, '{"sides": [[1]], "panels": ["plan"]}'),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page as text."""
    folder = tmp_path_factory.mktemp("whole")
    run = write_run(folder / "run", epochs=2)
    return lab.page(run, folder / "run.html").path.read_text()


def read(browser: Any, file: Path, text: str, words: str) -> None:
    """Open a page, and wait until its view says these words alone."""
    file.write_text(text)
    page = browser.new_page(offline=True)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    alert = page.locator("[role=alert]")
    until(lambda: alert.all_inner_texts() == [words], f"it says {words!r}", 10)
    time.sleep(0.2)
    assert alert.all_inner_texts() == [words] and errors == []
    page.close()


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_page_says_so(browser: Any, tmp_path: Path, whole: str, kind: str) -> None:
    broken = BROKEN[kind](whole)
    assert broken != whole
    read(browser, tmp_path / "broken.html", broken, DAMAGED)


def test_a_page_of_another_version_is_refused_by_name(
    browser: Any, tmp_path: Path, whole: str
) -> None:
    text = recorded(whole, lambda content: content[:4] + b"\x09\x00" + content[6:12] + b"new")
    words = (
        "The recording has version 9, its view reads version 1: make the file again with "
        "wcord page."
    )
    read(browser, tmp_path / "other.html", text, words)


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_page_that_was_cut_says_what_it_may_lack(
    browser: Any, tmp_path: Path, whole: str, share: float
) -> None:
    (tmp_path / "cut.html").write_text(whole[: int(share * len(whole))])
    page = browser.new_page(offline=True)
    page.goto((tmp_path / "cut.html").as_uri())
    words = page.locator("#view").inner_text()
    assert words == "The pictures need JavaScript, or the file is incomplete."
    page.close()


# What a kernel sends to a cell of a notebook, without a notebook.
CELL = """async ([code, packet]) => {
  const file = new Blob([code], { type: "text/javascript" });
  const { default: { render } } = await import(URL.createObjectURL(file));
  const el = document.body.appendChild(document.createElement("div"));
  let take = null;
  const on = (_, taken) => { take = taken; };
  const model = { get: () => "", send: () => {}, on, off: () => {} };
  render({ model, el });
  take({}, packet === null ? [] : [new DataView(new Uint8Array(packet).buffer)]);
  return el.shadowRoot.querySelector("p").textContent;
}"""
WAITING = "Waiting for the kernel. Where nothing comes, run the cell again."
LOST = "A packet was damaged on its way: run the cell again."
PACKET = pack([Part("note", {"text": ""}, {"x": np.zeros(3, "u1")})], feed="a", number=1)


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (PACKET, WAITING),
        (None, LOST),
        (b"", LOST),
        (b"WCRD", LOST),
        (bytes(range(200)), LOST),
        (PACKET[:40], LOST),
        (PACKET[:-8], LOST),
        (
            PACKET[:4] + b"\x09" + PACKET[5:],
            "The view reads frames of version 1, the kernel sends version 9: restart the kernel, "
            "and load the page again.",
        ),
    ],
)
def test_a_cell_says_what_is_wrong_with_its_first_packet(
    browser: Any, packet: bytes | None, words: str
) -> None:
    page = browser.new_page(offline=True)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    sent = None if packet is None else list(packet)
    assert page.evaluate(CELL, [module.script("notebook"), sent]) == words
    assert errors == []
    page.close()


UNPACKED = """async ([code, content]) => {
  const file = new Blob([code], { type: "text/javascript" });
  const { unpack } = await import(URL.createObjectURL(file));
  try {
    return String(unpack(new Uint8Array(content)).parts.length);
  } catch (error) {
    return error.message;
  }
}"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PACKET, "1"),
        (PACKET[:12] + b"x" + PACKET[13:], "damaged frames: load the page again"),
        (PACKET[:-8], "damaged frames: load the page again"),
        (b"", "damaged frames: load the page again"),
        (
            PACKET[:4] + b"\x09" + PACKET[5:],
            "frames of version 9: this view reads version 1; load the page again",
        ),
    ],
)
def test_bytes_are_refused_in_fixed_words(browser: Any, content: bytes, words: str) -> None:
    page = browser.new_page(offline=True)
    code = f"{module.script('notebook')}\nexport {{ unpack }};"
    assert page.evaluate(UNPACKED, [code, list(content)]) == words
    page.close()


def test_a_run_on_a_table_with_regression_targets(browser: Any, tmp_path: Path) -> None:
    """The curve of results is R², and samples that are no pictures are absent with a reason."""
    arms = {"plain": {"mse": 1}, "wcord": {"mse": 1, "gckt": 1}}
    settings = table_settings().replace({"arms": arms, "epochs": 2})
    np.savez(tmp_path / "table.npz", x_train=X, y_train=TARGETS)
    settings = settings.replace({"data.source": f"npz:{tmp_path / 'table.npz'}"})
    run = wcord.distill(settings, tmp_path / "run", progress=False)
    page = browser.new_page(offline=True)
    found = Opened(page, lab.page(run.path, tmp_path / "run.html").path)
    assert found.until_drawn("accuracy").startswith("test R², latest: ")
    assert "Test R²" in page.locator(".panel.accuracy").inner_text()
    page.locator(".panel.plan .picture canvas").click(position={"x": 150, "y": 100})
    until(
        lambda: "have no pictures" in page.locator(".panel.card").inner_text(),
        "why there are no images",
        10,
    )
    assert found.errors == [] and page.evaluate("window.refused") == []
    page.close()
