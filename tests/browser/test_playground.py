"""The playground in a real browser: its Sinkhorn against wcord, points by hand and by key."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlparse

import numpy as np
import ot
import pytest
import torch

import lab
from lab import palette
from lab.reading import shapes
from lab.reading.clouds import COSTS, cost_matrix, solve
from lab.reading.run_batch import batch_of
from lab.reading.watch import Watch
from lab.viewer import cloud_scene, module
from wcord.transport import sinkhorn

pytestmark = pytest.mark.browser

DEMO = Path(lab.__file__).parent / "demo" / "digits-compression"
EDGES = {"left": 40, "right": 50, "top": 6, "bottom": 26}  # of the heat map, in CSS pixels


def until(said: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + 3 * seconds
    while time.monotonic() < end:
        if found := said():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {3 * seconds:g} s: {what}")


# ------------------------------------------------------------------------------ pure functions


@pytest.fixture(scope="module")
def functions(browser: Any) -> Iterator[Any]:
    """An empty page with the view's functions in `window.lab`."""
    page = browser.new_page()
    page.set_content("<!doctype html><title>functions</title>")
    names = "costOf, sinkhorn, Sinkhorn, movedPoints, heaviestEntries, Clouds, figureOf"
    script = module.script().replace(
        "export { mount, mountPlayground };", f"window.lab = {{ {names} }};"
    )
    page.add_script_tag(content=script, type="module")
    page.wait_for_function("window.lab")
    yield page
    page.close()


SOLVE = """([x, y, d, name, epsilon, iterations, slices]) => {
    const [n, m] = [x.length / d, y.length / d];
    const cost = lab.costOf(name, Float64Array.from(x), Float64Array.from(y), d);
    let found = lab.sinkhorn(cost, n, m, epsilon, iterations);
    if (slices) {
        const problem = new lab.Sinkhorn(cost, n, m, epsilon);
        while (!problem.run(iterations, 0));
        found = problem.result();
    }
    const plain = Object.entries(found).map(([k, v]) => [k, v.length === undefined ? v : [...v]]);
    return { ...Object.fromEntries(plain), cost: [...cost] };
}"""


@pytest.mark.parametrize("seed", range(12))
def test_sinkhorn_in_the_browser_is_wcords(functions: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, cost = int(rng.integers(1, 4)), list(COSTS)[seed % 3]
    n, m = (int(k) for k in rng.integers(1, 65, size=2))
    x, y = rng.normal(size=(n, d)), 2 * rng.normal(size=(m, d)) + rng.normal(size=d)
    epsilon = float(rng.choice([0.005, 0.02, 0.1, 1.0, 5.0]))
    iterations = int(rng.choice([1, 2, 3, 50, 1000]))
    given = [x.ravel().tolist(), y.ravel().tolist(), d, cost, epsilon, iterations, seed % 2]
    found = functions.evaluate(SOLVE, given)
    matrix = cost_matrix(x, y, cost)
    expected = sinkhorn(torch.from_numpy(matrix), epsilon, iterations=iterations)
    np.testing.assert_allclose(np.reshape(found["cost"], (n, m)), matrix, atol=1e-12)
    np.testing.assert_allclose(np.reshape(found["plan"], (n, m)), expected.plan, atol=1e-9)
    for name, potential in zip("fg", expected.potentials, strict=True):
        np.testing.assert_allclose(found[name], potential, atol=1e-9)
    assert found["value"] == pytest.approx(float(expected.value), abs=1e-9)
    assert found["objective"] == pytest.approx(float(expected.objective), abs=1e-9)
    assert found["error"] == pytest.approx(float(expected.marginal_error), abs=1e-9)
    assert found["iterations"] == iterations
    plan = expected.plan.numpy()
    entropy = -float((plan * np.log(np.where(plan > 0, plan, 1))).sum())
    assert found["entropy"] == pytest.approx(entropy, abs=1e-9)


def test_moving_a_cloud_is_a_similarity(functions: Any) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(6, 2))
    for right, up, size, turn in rng.uniform(-2, 2, size=(8, 4)) * [1, 1, 1, 90]:
        moves = {"right": right, "up": up, "size": size, "turn": turn}
        there = functions.evaluate(
            "([points, moves]) => lab.movedPoints(points, moves)", [points.tolist(), moves]
        )
        z, w = points @ [1, 1j], np.array(there) @ [1, 1j]  # scale, turn, shift
        np.testing.assert_allclose(w, size * z * np.exp(1j * np.deg2rad(turn)) + right + 1j * up)


def test_the_heaviest_entries_cover_what_they_hold(functions: Any) -> None:
    plan = np.random.default_rng(0).random((20, 30)) ** 8
    plan /= plan.sum()
    found = functions.evaluate(
        "([plan, n, m]) => lab.heaviestEntries({ plan, n, m })", [plan.ravel().tolist(), 20, 30]
    )
    entries = sorted((int(i), int(j)) for i, j, _ in found["entries"])
    heavy = np.sort(plan[plan > 0.01 * plan.max()])[-300:]
    assert entries == sorted(zip(*np.nonzero(plan >= heavy[0]), strict=True))
    assert found["covered"] == pytest.approx(heavy.sum())
    assert [share for *_, share in found["entries"]] == pytest.approx((20 * heavy).tolist())


def test_clouds_keep_one_point_and_take_no_more_than_the_most(functions: Any) -> None:
    said = functions.evaluate("""() => {
        const spec = { points: [[0, 0]] };
        const clouds = new lab.Clouds({ source: spec, target: spec, points: 5, seed: 0 });
        const added = Array.from({ length: 70 }, (_, i) => clouds.add("source", [i, 1.23456]));
        const { points } = clouds.scene.source;
        return [points.length, added.at(-1), clouds.remove("target", 0), points[1]];
    }""")
    assert said == [cloud_scene.MOST, -1, False, [0, 1.235]]


def test_numbers_are_written_for_people(functions: Any) -> None:
    cases = {"4f": (-0.00001, "0.0000"), "+4f": (0.5, "+0.5000"), "1e": (0.0234, "0.023")}
    for form, (value, text) in cases.items():
        given = [value, form]
        assert functions.evaluate("([value, form]) => lab.figureOf(value, form)", given) == text
    assert functions.evaluate("lab.figureOf(null, '4f')") == "…"
    assert functions.evaluate("lab.figureOf(NaN, '4f')") == "–"


# -------------------------------------------------------------------------------------- the page


def number(page: Any, name: str) -> float | None:
    """Return a number that is shown, None while it is waited for."""
    text = page.locator(f"[data-number={name}]").inner_text().replace("−", "-")
    if text in ("…", "–"):
        return None
    mantissa, _, power = text.partition("·10")
    raised = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(mantissa) * 10.0 ** int(raised or 0)


def settled(page: Any) -> dict[str, float]:
    """Wait for all numbers of the plan, and return them."""
    names = ("value", "exact", "bias", "error", "objective")
    until(lambda: None not in [number(page, name) for name in names], "all numbers are here")
    return {name: number(page, name) or 0.0 for name in names}


def address(page: Any) -> dict[str, str]:
    """Return the parts of the address."""
    query = urlparse(str(page.evaluate("location.href"))).query
    return {key: values[-1] for key, values in parse_qs(query).items()}


def clouds_of(scene: cloud_scene.Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (n, 2) that a scene stands for."""
    found = []
    for more, cloud in enumerate(cloud_scene.CLOUDS):
        spec = scene[cloud]
        if "points" in spec:
            found.append(np.array(spec["points"]))
            continue
        angle = np.deg2rad(spec["turn"])
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points = shapes.shape(spec["shape"], scene["points"], scene["seed"] + more)
        found.append(spec["size"] * points @ turn + [spec["right"], spec["up"]])
    return found[0], found[1]


def check(page: Any) -> cloud_scene.Scene:
    """Wait until all numbers are wcord's at the scene of the address; return that scene."""

    def agreed() -> cloud_scene.Scene | None:
        scene = cloud_scene.from_address(address(page))
        clouds = [points[:, : 1 if scene["space"] == "line" else 2] for points in clouds_of(scene)]
        matrix = cost_matrix(*clouds, scene["cost"])
        wanted = solve(matrix, scene["solver"], scene["epsilon"], scene["iterations"])
        exact = ot.emd2([], [], matrix)
        shown = settled(page)
        expected = {
            "value": wanted.value,
            "objective": wanted.objective,
            "exact": exact,
            "bias": wanted.value - exact,
        }
        error = wanted.marginal_error
        agrees = abs(shown["error"] - error) <= 0.06 * error + 1e-12 and all(
            abs(shown[name] - number) < 1.1e-4 for name, number in expected.items()
        )
        return scene if agrees else None

    found: cloud_scene.Scene = until(agreed, "the numbers are wcord's", seconds=10)
    return found


def plane(page: Any) -> Callable[[float, float], tuple[float, float]]:
    """Return where a point of the plane lies on the screen (its picture shows −3 to 3)."""
    canvas = page.locator(".board.clouds canvas")
    canvas.wait_for(timeout=90_000)
    box = canvas.bounding_box()
    width, height = box["width"] - 36, box["height"] - 28
    side = min(width, height)
    left, top = 28 + (width - side) / 2, 6 + (height - side) / 2
    unit = side / 6
    return lambda x, y: (box["x"] + left + (x + 3) * unit, box["y"] + top + (3 - y) * unit)


def pixels(page: Any, board: str) -> np.ndarray:
    """Return the pixels (h, w, 3) of a board's canvas, in CSS pixels."""
    size, data = page.locator(f".board.{board} canvas").evaluate("""canvas => {
        const copy = document.createElement("canvas");
        [copy.width, copy.height] = [canvas.clientWidth, canvas.clientHeight];
        const context = copy.getContext("2d");
        context.imageSmoothingEnabled = false;
        context.drawImage(canvas, 0, 0, copy.width, copy.height);
        const image = context.getImageData(0, 0, copy.width, copy.height);
        return [[copy.height, copy.width], [...image.data]];
    }""")
    return np.array(data, dtype=int).reshape(*size, 4)[..., :3]


def test_a_dragged_point_changes_the_plan_at_once(
    page: Any, served: Any, strangers: list[str]
) -> None:
    page.goto(f"{served.url}/playground?points=9&epsilon=0.5")
    at = plane(page)
    settled(page)
    first = check(page)
    source, _ = clouds_of(first)
    before = number(page, "value")
    page.mouse.move(*at(*source[4]))
    page.mouse.down()
    page.mouse.move(*at(source[4][0] - 0.5, -1.0), steps=3)
    page.mouse.move(*at(-2.0, -2.0), steps=3)
    until(lambda: number(page, "value") != before, "the value follows the hand", seconds=5)
    assert number(page, "exact") is None  # never a number of other points
    page.mouse.up()
    until(lambda: "source" in address(page), "the address holds the points")
    scene = check(page)
    moved = np.array(scene["source"]["points"])
    np.testing.assert_allclose(moved[4], [-2, -2], atol=0.03)
    np.testing.assert_allclose(np.delete(moved, 4, 0), np.delete(source, 4, 0), atol=6e-4)

    # the picture of the plan is the plan
    plan = solve(cost_matrix(*clouds_of(scene), scene["cost"]), "sinkhorn", 0.5, 100).plan
    shares = plan / plan.sum(1, keepdims=True)
    picture = pixels(page, "plan")
    height, width = picture.shape[:2]
    side = min(width - EDGES["left"] - EDGES["right"], height - EDGES["top"] - EDGES["bottom"])
    x = EDGES["left"] + (width - EDGES["left"] - EDGES["right"] - side) / 2
    y = EDGES["top"] + (height - EDGES["top"] - EDGES["bottom"] - side) / 2
    middles = ((np.arange(9) + 0.5) * side / 9).astype(int)
    ramp = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in palette.LIGHT.ramp])
    places = np.sqrt(shares) * (len(ramp) - 1)
    for row, down in enumerate(middles):
        for column, across in enumerate(middles):
            place = places[row, column]
            expected = [np.interp(place, np.arange(len(ramp)), ramp[:, c]) for c in range(3)]
            np.testing.assert_allclose(picture[int(y) + down, int(x) + across], expected, atol=4)
    assert strangers == []
    assert "Traceback" not in served.log.read_text()


def test_five_quick_clicks_give_five_points_which_can_be_undone(page: Any, served: Any) -> None:
    page.goto(f"{served.url}/playground?points=8")
    at = plane(page)
    settled(page)
    places = [(-2.5, -2.5), (-1.5, -2.5), (-0.5, -2.5), (-2.5, -1.5), (-2.5, 2.0)]
    for place in places:
        page.mouse.click(*at(*place))
    until(lambda: "source" in address(page), "the address holds the points")
    scene = check(page)
    np.testing.assert_allclose(scene["source"]["points"][8:], places, atol=0.02)
    assert len(scene["source"]["points"]) == 13
    page.mouse.click(*at(*places[0]))  # on a point: it goes
    until(lambda: len(check(page)["source"]["points"]) == 12, "a click on a point removes it")
    for _ in range(3):
        page.keyboard.press("Control+z")
    until(lambda: len(check(page)["source"]["points"]) == 11, "three steps back")
    page.keyboard.press("Control+Shift+z")
    until(lambda: len(check(page)["source"]["points"]) == 12, "one step on")
    page.get_by_role("button", name="Undo").click()
    until(lambda: len(check(page)["source"]["points"]) == 11, "the button goes back, too")
    for _ in range(5):
        page.keyboard.press("Control+z")
    until(lambda: "source" not in address(page), "all is as at first")
    assert check(page)["points"] == 8


def test_a_whole_cloud_is_moved_by_hand_and_by_sliders(page: Any, served: Any) -> None:
    page.goto(f"{served.url}/playground?points=6")
    at = plane(page)
    source, _ = clouds_of(check(page))
    page.keyboard.down("Shift")
    page.mouse.move(*at(*source[2]))
    page.mouse.down()
    page.mouse.move(*at(*(source[2] + [0.7, -1.0])), steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    until(lambda: "source" in address(page), "the cloud has moved")
    spec = check(page)["source"]
    assert spec["shape"] == "one blob"  # it is still a shape, that is moved
    np.testing.assert_allclose([spec["right"], spec["up"]], [0.7, -1.0], atol=0.03)
    page.get_by_role("button", name="Move the target").click()
    page.get_by_role("slider", name="turn of the target").press("ArrowRight")
    until(lambda: check(page)["target"]["turn"] == 5, "the target has turned")
    page.keyboard.press("Escape")
    assert not page.get_by_role("slider", name="turn of the target").is_visible()
    page.keyboard.press("Control+z")
    until(lambda: check(page)["target"]["turn"] == 0, "and is turned back")


def test_sliders_and_solvers_answer_with_wcords_numbers(page: Any, served: Any) -> None:
    page.goto(f"{served.url}/playground?points=12&cost=distance")
    page.locator(".board.plan canvas").wait_for(timeout=90_000)
    settled(page)
    page.get_by_role("slider", name="ε, strength of the entropy").focus()
    before = number(page, "value")
    page.keyboard.press("ArrowRight")
    until(lambda: number(page, "value") != before, "ε moves by key", seconds=5)
    assert number(page, "exact") is not None  # it does not depend on ε
    until(lambda: address(page).get("epsilon") == "0.2", "the address says so")
    check(page)
    page.get_by_role("slider", name="Iterations").focus()
    page.keyboard.press("End")
    until(lambda: address(page).get("iterations") == "1000", "so do iterations")
    check(page)
    for solver in ("ipot", "exact"):
        page.get_by_role("button", name=solver, exact=True).click()
        until(lambda: address(page).get("solver") == solver, "the solver changes")  # noqa: B023
        check(page)
    assert number(page, "bias") == 0
    page.get_by_label("Shape of the target").select_option("spiral")
    page.get_by_role("button", name="sinkhorn", exact=True).click()
    until(lambda: address(page).get("target", "").startswith("spiral"), "the shape changes")
    scene = check(page)
    assert scene["target"]["right"] == 0.8  # a new shape stays where the old one was
    page.get_by_label("Seed of the shapes").fill("5")
    page.keyboard.press("Enter")
    until(lambda: address(page).get("seed") == "5", "another seed")
    check(page)
    page.reload()
    page.locator(".board.plan canvas").wait_for()
    assert check(page)["seed"] == 5


def test_points_are_moved_by_keyboard_and_said_aloud(page: Any, served: Any) -> None:
    page.goto(f"{served.url}/playground?space=line&points=5")
    canvas = page.locator(".board.clouds canvas")
    canvas.wait_for(timeout=90_000)
    settled(page)
    canvas.focus()
    page.keyboard.press("ArrowRight")
    said = page.locator(".unseen")
    until(lambda: "source point" in (said.text_content() or ""), "a point has the focus")
    page.keyboard.press("Shift+ArrowRight")
    until(lambda: "source" in address(page), "it has moved")
    source = np.array(check(page)["source"]["points"])
    first, _ = clouds_of(cloud_scene.from_address({"points": "5"}))
    leftmost = int(first[:, 0].argmin())
    assert source[leftmost, 0] == pytest.approx(first[leftmost, 0] + 0.1, abs=6e-4)
    page.keyboard.press("ArrowDown")
    until(lambda: "target point" in (said.text_content() or ""), "the other cloud")
    page.keyboard.press("Delete")
    until(lambda: "target" in address(page), "a point is removed")
    assert len(check(page)["target"]["points"]) == 4
    page.keyboard.press("Enter")
    until(lambda: len(check(page)["target"]["points"]) == 5, "a point is added")
    assert canvas.get_attribute("role") == "application"
    until(lambda: "source points" in (canvas.get_attribute("aria-label") or ""), "it is described")


def test_a_runs_batch_is_solved_in_full_dimension(page: Any, served: Any) -> None:
    name = f"demo: {DEMO.name}"
    page.goto(f"{served.url}/playground?run={quote(name)}&arm=crd")
    page.locator(".board.plan canvas").wait_for(timeout=90_000)
    shown = settled(page)
    watch = Watch(DEMO)
    batch = batch_of(watch, "crd", None)
    matrix = cost_matrix(batch.teacher, batch.student, "1 − cosine")
    expected = solve(matrix, "sinkhorn", batch.epsilon, 100)
    assert shown["value"] == pytest.approx(expected.value, abs=6e-5)
    assert shown["exact"] == pytest.approx(ot.emd2([], [], matrix), abs=6e-5)
    same = expected.plan[batch.labels[:, None] == batch.labels].sum()
    until(lambda: page.get_by_text(f"in class {same:.2f}").count(), "its mass in class is shown")
    until(lambda: address(page).get("step") == str(batch.step), "the address holds the step")
    page.get_by_role("slider", name="ε, strength of the entropy").focus()
    page.keyboard.press("ArrowRight")
    epsilon = float(until(lambda: address(page).get("epsilon"), "ε is in the address"))
    value = solve(matrix, "sinkhorn", epsilon, 100).value
    until(lambda: settled(page)["value"] == pytest.approx(value, abs=6e-5), "at another ε")
    page.get_by_role("slider", name="Step").focus()
    page.keyboard.press("Home")
    until(lambda: address(page).get("step") == str(watch.run.steps[0]), "the first step")
    first = batch_of(watch, "crd", 0)
    matrix = cost_matrix(first.teacher, first.student, "1 − cosine")
    value = solve(matrix, "sinkhorn", epsilon, 100).value
    until(lambda: settled(page)["value"] == pytest.approx(value, abs=6e-5), "its batch")


def test_bad_addresses_are_passed_over_or_one_line(page: Any, served: Any) -> None:
    nonsense = "epsilon=nan&points=-3&source=drawn_nan_nan&cost=gold&space=cube&iterations=1e99"
    page.goto(f"{served.url}/playground?{nonsense}")
    page.locator(".board.plan canvas").wait_for(timeout=90_000)
    assert number(page, "value") is not None or settled(page)
    assert page.locator(".alert:not(.toast)").inner_text() == ""
    page.goto(f"{served.url}/playground?run=absent&arm=x&step=7")
    page.locator(".alert:not(.toast)", has_text=re.compile("absent")).wait_for()
    assert "\n" not in page.locator(".alert:not(.toast)").inner_text()
    assert page.locator("[data-number=value]").inner_text() == "–"
    page.get_by_role("button", name="plane", exact=True).click()
    settled(page)
    assert page.locator(".alert:not(.toast)").inner_text() == ""


def test_the_critic_learns_and_certifies_no_more_than_there_is(page: Any, served: Any) -> None:
    page.goto(f"{served.url}/playground?space=line&points=12&constraint=orthogonal")
    page.locator(".board.critic canvas").wait_for(timeout=90_000)
    until(lambda: number(page, "distance") is not None, "the exact distance is here")
    learn = page.get_by_role("button", name="Learn", exact=True)
    learn.click()
    until(lambda: (number(page, "bound") or 0) > 0.9 * (number(page, "distance") or 9), "it learns")
    assert (number(page, "bound") or 0) <= (number(page, "distance") or 0) + 1e-3
    learn.click()
    x, y = (points[:, :1] for points in clouds_of(cloud_scene.from_address(address(page))))
    exact = ot.emd2([], [], np.abs(x - y.T))
    assert number(page, "distance") == pytest.approx(exact, abs=6e-4)
    page.get_by_role("button", name="Begin again").click()
    until(lambda: page.get_by_text("step 0 of").count(), "another critic begins")


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        ((1366, 768), "light"),
        ((1280, 720), "dark"),
        ((800, 900), "light"),
        ((400, 800), "dark"),
    ],
)
def test_it_fits_every_window(
    browser: Any, served: Any, size: tuple[int, int], scheme: str
) -> None:
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(f"{served.url}/playground")
    page.locator(".board.plan canvas").wait_for(timeout=90_000)
    theme = palette.DARK if scheme == "dark" else palette.LIGHT
    source = tuple(int(theme.lit(palette.SOURCE)[k : k + 2], 16) for k in (1, 3, 5))

    def drawn() -> bool:
        near = np.abs(pixels(page, "clouds") - source).max(axis=-1) < 10
        return bool(near.sum() > 100)

    until(drawn, f"the clouds are drawn in the colours of a {scheme} page")
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
    for board in ("clouds", "plan", "potentials"):
        box = page.locator(f".board.{board}").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        if width > 1000:
            assert box["y"] + box["height"] <= height
    page.close()
