"""Moving figures in a real browser: from disk, without a network, alone and in a frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ot
import pytest
from browser.shown import number, until

from lab.course import moving_figures
from lab.course.moving_figures import ENTROPY, FIGURES, POINTS
from lab.course.tour_stops import STOPS
from lab.palette import DARK, LIGHT
from lab.reading.clouds import cost_matrix
from lab.viewer import module
from lab.words.playground import CONSTRAINT_NAMES

pytestmark = pytest.mark.browser

RECORDINGS = ["run", *(stop.key for stop in STOPS)]
LISTEN = """window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.refused.push(`${event.violatedDirective}: ${event.blockedURI}`);
});"""
FRAME = """<!doctype html><body style="margin: 0"><iframe src="{file}"></iframe><script>
  const frame = document.querySelector("iframe");
  frame.style.cssText = "border: 0; width: {width}px; height: 200px";
  window.heights = [];
  window.addEventListener("message", ({{ data, source }}) => {{
    if (source !== frame.contentWindow || data.kind !== "height") return;
    heights.push(data.height);
    frame.style.height = `${{data.height}}px`;
  }});
  window.say = (message) => frame.contentWindow.postMessage(message, "*");
</script>"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file of every figure by its name."""
    return {file.stem: file for file in moving_figures.write(tmp_path_factory.mktemp("figures"))}


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    """Open a figure, with the network cut; at the end nothing was requested or refused."""
    context = browser.new_context(viewport={"width": 780, "height": 900}, offline=True)
    context.set_default_timeout(60_000)
    requests: list[str] = []
    errors: list[str] = []

    def open_it(name: str, scheme: str = "light") -> Any:
        page = context.new_page()
        page.emulate_media(color_scheme=scheme)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.add_init_script(LISTEN)
        page.goto(files[name].as_uri())
        drawn(page)
        return page

    yield open_it
    assert errors == []
    assert all(page.evaluate("window.refused") == [] for page in context.pages)
    assert all(url.startswith(("file:", "blob:", "data:")) for url in requests)
    context.close()


def drawn(page: Any) -> None:
    """Wait until every picture has its description."""
    canvases = page.locator(".picture canvas:visible")
    until(
        lambda: (
            canvases.count()
            and canvases.evaluate_all("all => all.every(c => c.getAttribute('aria-label'))")
        ),
        "all pictures are drawn",
        20,
    )


def picture(page: Any, panel: str) -> str:
    """Return the picture of the first panel of a name, as text."""
    canvas = page.locator(f".{panel} .picture canvas").first
    return str(canvas.evaluate("c => c.toDataURL()"))


def changed(page: Any, panel: str, before: str) -> str:
    """Wait until a picture is another one, and return it."""
    until(lambda: picture(page, panel) != before, f"{panel} changes", 10)
    return picture(page, panel)


def value(page: Any, name: str) -> float:
    return number(page.locator(f"[data-number={name}]").inner_text().replace("+", ""))


def has_numbers(page: Any) -> None:
    """Wait until every number of a row is one."""
    cells = page.locator("[data-number]")
    until(lambda: not set("…–") & set("".join(cells.all_inner_texts())), "all numbers are there")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_opens_from_disk_and_fits(
    opened: Callable[..., Any], name: str, tmp_path: Path
) -> None:
    page = opened(name)
    assert page.locator("h1").inner_text() == FIGURES[name].title
    assert page.locator("[role=alert]").all_inner_texts() in ([""], ["", ""], [])
    has_numbers(page)
    for element in page.locator(
        "button:visible, select:visible, input:visible, canvas:visible"
    ).all():
        named = element.get_attribute("aria-label") or element.get_attribute("title")
        assert named or element.inner_text().strip(), element.evaluate("e => e.outerHTML")
    for width in (380, 700, 1000):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


@pytest.mark.parametrize("name", RECORDINGS)
def test_time_moves_the_pictures(opened: Callable[..., Any], name: str) -> None:
    page = opened(name)
    panel = "map" if name == "shrunk" else "lines" if name == "same-cost" else "plan"
    last, where = picture(page, panel), page.locator(".timeline .where")
    page.keyboard.press("Home")
    until(lambda: where.inner_text().startswith("step 0 "), "the first step", 10)
    first = changed(page, panel, last)
    slider = page.locator(".timeline canvas")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] - 8)
    until(lambda: not where.inner_text().startswith("step 0 "), "a step in the middle", 10)
    changed(page, panel, first)
    if name != "run":
        assert page.locator(".note-line").inner_text().startswith("Look now. ")
    assert page.locator(".picture canvas").count() == len(page.locator(".panel:visible").all())


def test_dragging_a_point_changes_plan_and_cost(opened: Callable[..., Any]) -> None:
    page = opened("clouds")
    has_numbers(page)
    for board in ("critic", "potentials"):
        assert page.locator(f".board.{board}").count() == 0
    plan, exact, cost = picture(page, "plan"), value(page, "exact"), value(page, "value")
    assert 0 < exact < cost
    canvas = page.locator(".board.clouds canvas")
    canvas.focus()
    page.keyboard.press("Home")  # the source point that lies furthest left
    said = page.locator(".unseen")
    until(lambda: "source point" in said.inner_text(), "the point is named", 10)
    found = re.search(r"at \(([^,]+), ([^)]+)\)", said.inner_text())
    assert found
    x, y = (number(text) for text in found.groups())
    box = canvas.bounding_box()
    # as cloud_pictures.js: 28 pixels at the left, 22 below, 8 and 6 at the other sides
    side = min(box["width"] - 36, box["height"] - 28)
    left = box["x"] + 28 + (box["width"] - 36 - side) / 2
    top = box["y"] + 6 + (box["height"] - 28 - side) / 2
    place = left + (x + 3) * side / 6, top + (3 - y) * side / 6
    page.mouse.move(*place)
    page.mouse.down()
    page.mouse.move(place[0] - 20, place[1] + 40, steps=5)
    changed(page, "plan", plan)
    until(lambda: value(page, "value") > cost + 0.05, "the cost rises", 10)
    assert value(page, "exact") > exact + 0.05  # while the button is down
    page.mouse.up()
    page.get_by_role("button", name="Undo (Ctrl+Z)").click()
    until(lambda: abs(value(page, "value") - cost) < 2e-4, "the cost is as before", 10)


def test_the_number_of_points_and_the_shapes_are_in_the_file(opened: Callable[..., Any]) -> None:
    page = opened("clouds")
    has_numbers(page)
    slider = page.get_by_label("Points in each cloud that is a shape")
    slider.focus()
    page.keyboard.press("End")
    said = page.locator(".board.clouds canvas")
    until(lambda: f"{POINTS[-1]} source points" in said.get_attribute("aria-label"), "64 points")
    page.get_by_label("Shape of the target").select_option("spiral")
    page.get_by_role("button", name="line", exact=True).click()
    until(lambda: "on a line" in said.get_attribute("aria-label"), "the line")
    has_numbers(page)
    assert page.locator(".alert").all_inner_texts() == ["", ""]


def test_epsilon_and_iterations_change_the_plan(opened: Callable[..., Any]) -> None:
    page = opened("entropy")
    has_numbers(page)
    source, target = (np.array(ENTROPY[side]["points"]) for side in ("source", "target"))
    cost = cost_matrix(source[:, :1], target[:, :1], "squared distance")
    uniform = [np.full(len(x), 1 / len(x)) for x in (source, target)]
    assert value(page, "exact") == pytest.approx(ot.emd2(*uniform, cost), abs=1e-4)
    before, bias, error = picture(page, "plan"), value(page, "bias"), value(page, "error")
    page.get_by_label("ε, strength of the entropy").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    blurred = changed(page, "plan", before)
    until(lambda: value(page, "bias") > 2 * bias, "the bias grows", 10)
    until(lambda: value(page, "error") < error, "the error falls", 10)
    page.get_by_label("ε, strength of the entropy").focus()
    page.keyboard.press("Home")
    changed(page, "plan", blurred)
    page.get_by_label("Iterations", exact=True).focus()
    page.keyboard.press("Home")
    until(lambda: value(page, "error") > 0.5, "one iteration is too few", 10)
    assert page.locator("select:visible").count() == 0  # two sliders are in front


def test_the_critic_is_moved_through_its_steps(opened: Callable[..., Any]) -> None:
    page = opened("critic")
    steps = page.get_by_label("Step of the critic")
    seen = set()
    for clouds in ("a shift on a line", "a ring in a larger ring"):
        page.get_by_role("button", name=clouds).click()
        for constraint in CONSTRAINT_NAMES:
            page.get_by_label("What keeps the slope at most 1").select_option(constraint)
            page.wait_for_timeout(150)
            seen.add(picture(page, "critic"))
            assert value(page, "bound") <= value(page, "distance") + 1e-3
    assert len(seen) == 2 * len(CONSTRAINT_NAMES)
    last = picture(page, "progress")
    steps.focus()
    page.keyboard.press("Home")
    first = changed(page, "progress", last)
    assert "step 0 of 2000" in page.locator(".board.progress h3").inner_text()
    page.get_by_role("button", name="Play", exact=True).click()
    changed(page, "progress", first)
    page.get_by_role("button", name="Stop playing").click()
    page.get_by_role("button", name="Play", exact=True).wait_for()
    assert "φ" in page.locator(".board.critic math").text_content()


@pytest.mark.parametrize("name", ["unpaired", "clouds", "entropy", "critic"])
def test_in_a_frame_it_follows_the_page_around_it(
    browser: Any, files: dict[str, Path], name: str, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": 800, "height": 700}, color_scheme="light")
    host = tmp_path / "host.html"
    host.write_text(FRAME.format(file=files[name].as_uri(), width=780))
    page.goto(host.as_uri())
    frame = until(
        lambda: next((f for f in page.frames if f.url.endswith(f"{name}.html")), None), ""
    )
    drawn(frame)

    def fits() -> bool:
        inner = frame.evaluate("[innerHeight, document.body.getBoundingClientRect().height]")
        return abs(inner[0] - inner[1]) <= 1

    until(fits, "the frame is as high as the figure", 10)
    page.wait_for_timeout(500)
    assert len(page.evaluate("heights")) < 10 and fits()  # it has come to rest
    assert not frame.locator("h1").is_visible()  # the page around it has a caption
    assert frame.get_by_role("button", name="Whole screen").count() == 0
    panel = "critic" if name == "critic" else "plan"
    for theme, other in ((DARK, "light"), (LIGHT, "dark"), (DARK, "light")):
        before = picture(frame, panel)
        page.emulate_media(color_scheme=other)  # the page's own theme comes first
        page.evaluate(f"say({{ kind: 'theme', theme: '{theme.name}' }})")
        paper = tuple(int(theme.paper[k : k + 2], 16) for k in (1, 3, 5))
        until(
            lambda paper=paper: (
                frame.evaluate("getComputedStyle(document.body).backgroundColor") == f"rgb{paper}"
            ),
            "the paper's colour",
            10,
        )
        changed(frame, panel, before)
    for nonsense in ("null", "'dark'", "{ kind: 'theme', theme: 'pink' }", "{ theme: 'light' }"):
        page.evaluate(f"say({nonsense})")
    page.wait_for_timeout(100)
    assert frame.evaluate("document.documentElement.dataset.theme") == "dark"
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_alone_it_follows_the_system(opened: Callable[..., Any], scheme: str) -> None:
    page = opened("clouds", scheme)
    theme = DARK if scheme == "dark" else LIGHT
    paper = tuple(int(theme.paper[k : k + 2], 16) for k in (1, 3, 5))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == f"rgb{paper}"


def test_a_damaged_figure_says_so(browser: Any, files: dict[str, Path], tmp_path: Path) -> None:
    text = files["critic"].read_text("utf-8")
    broken = re.sub(r'(id="recording" type="[^"]*">.{2000})', r"\1AAAA", text)
    (tmp_path / "broken.html").write_text(broken)
    page = browser.new_page(offline=True)
    page.goto((tmp_path / "broken.html").as_uri())
    words = page.locator("[role=alert]")
    until(lambda: words.count(), "it says so", 10)
    assert words.inner_text() == "This file is damaged or incomplete: get it again."
    page.close()


# ------------------------------------------------------------------------- exact transport


@pytest.fixture(scope="module")
def functions(browser: Any) -> Iterator[Any]:
    """An empty page with the view's functions in `window.lab`."""
    page = browser.new_page()
    page.set_content("<!doctype html><title>functions</title>")
    script = module.script().replace(
        "export { mount, mountPlayground };", "window.lab = { exactTransport };"
    )
    page.add_script_tag(content=script, type="module")
    page.wait_for_function("window.lab")
    yield page
    page.close()


SOLVE = """([cost, n, m]) => {
  const begun = performance.now();
  const { value, plan, f, g } = lab.exactTransport(Float64Array.from(cost), n, m);
  return { value, plan: [...plan], f: [...f], g: [...g], spent: performance.now() - begun };
}"""


@pytest.mark.parametrize("seed", range(40))
def test_the_exact_plan_of_the_browser_is_optimal(functions: Any, seed: int) -> None:
    """Against POT, with marginals, dual feasibility and complementary slackness."""
    rng = np.random.default_rng(seed)
    n, m = (int(k) for k in rng.integers(1, 65, size=2))
    if seed % 3 == 0:
        m = n
    kinds = (
        lambda: cost_matrix(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)), "squared distance"),
        lambda: cost_matrix(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)), "1 − cosine"),
        lambda: rng.integers(0, 4, size=(n, m)).astype(float),  # many equal costs
        lambda: rng.normal(size=(n, m)),  # negative ones
    )
    cost = kinds[seed % 4]()
    found = functions.evaluate(SOLVE, [cost.ravel().tolist(), n, m])
    plan = np.reshape(found["plan"], (n, m))
    f, g = np.array(found["f"]), np.array(found["g"])
    uniform = np.full(n, 1 / n), np.full(m, 1 / m)
    assert found["value"] == pytest.approx(ot.emd2(*uniform, cost), abs=1e-9)
    np.testing.assert_allclose(plan.sum(1), uniform[0], atol=1e-12)
    np.testing.assert_allclose(plan.sum(0), uniform[1], atol=1e-12)
    assert plan.min() >= 0 and abs(f.mean()) < 1e-9
    slack = cost - f[:, None] - g[None]
    assert slack.min() > -1e-9 and np.abs(slack[plan > 0]).max() < 1e-9
    assert f.mean() + g.mean() == pytest.approx(found["value"], abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(64, 64), (63, 64), (64, 61), (1, 64)])
def test_it_is_quick_enough_to_follow_a_hand(functions: Any, n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    cost = cost_matrix(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 1, "squared distance")
    given = [cost.ravel().tolist(), n, m]
    functions.evaluate(SOLVE, given)
    spent = min(functions.evaluate(SOLVE, given)["spent"] for _ in range(3))
    assert spent < 150
