"""The playground: solved clouds and critics against wcord, its scene, its answers, its page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import ot
import pytest
import torch
from app_pages import Canvas, in_address, open_page, rerun
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import write_run
from scipy.stats import wasserstein_distance

from lab.control import playground_state
from lab.control.playground_state import Kept, answers, take_message
from lab.reading import cloud_critic, shapes
from lab.reading.clouds import (
    COSTS,
    SOLVERS,
    cost_matrix,
    distance_cost,
    exact_distance,
    exact_dual,
    line_of,
    solve,
)
from lab.reading.run_batch import batch_of
from lab.reading.watch import Watch
from lab.viewer import cloud_scene, module
from lab.viewer.cloud_scene import completed, from_address, to_address
from lab.viewer.frames import Part
from lab.words import playground
from wcord.runs import Run
from wcord.transport import CONSTRAINTS, CloudCritic, cosine_cost, sinkhorn

# ------------------------------------------------------------------------------ pure parts


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_shapes_are_what_was_asked_inside_the_picture(name: str) -> None:
    for count in (1, 2, 7, 64):
        points = shapes.shape(name, count, seed=3)
        assert points.shape == (count, 2) and np.abs(points).max() < shapes.SIDE
        np.testing.assert_array_equal(points, shapes.shape(name, count, seed=3))
    with pytest.raises(ValueError, match="known are one blob"):
        shapes.shape("blub", 3, 0)
    with pytest.raises(ValueError, match="at least 1 point"):
        shapes.shape(name, 0, 0)


@pytest.mark.parametrize("cost", COSTS)
def test_solved_is_what_the_solvers_and_pot_say(cost: str) -> None:
    rng = np.random.default_rng(1)
    matrix = cost_matrix(rng.normal(size=(9, 2)), rng.normal(size=(7, 2)) + 1, cost)
    solved, dual = solve(matrix, "sinkhorn", 0.1, 200), exact_dual(matrix)
    direct = sinkhorn(torch.from_numpy(matrix), 0.1, iterations=200)
    np.testing.assert_allclose(solved.plan, direct.plan)
    assert solved.value == pytest.approx((solved.plan * matrix).sum())
    rebuilt = np.exp((solved.f[:, None] + solved.g - matrix) / 0.1)
    np.testing.assert_allclose(rebuilt, solved.plan, rtol=1e-6)
    assert solved.f.mean() == pytest.approx(0, abs=1e-12)
    assert solved.objective == pytest.approx(solved.g.mean())
    assert dual.value == pytest.approx(ot.emd2([], [], matrix), rel=1e-9)
    assert (dual.f[:, None] + dual.g <= matrix + 1e-9).all()
    assert dual.f.mean() + dual.g.mean() == pytest.approx(dual.value)
    assert solve(matrix, "exact", 9.0, 1).value == pytest.approx(dual.value, abs=1e-9)


def test_the_bias_falls_with_epsilon_and_the_error_with_iterations() -> None:
    rng = np.random.default_rng(3)
    matrix = cost_matrix(rng.normal(size=(9, 2)), rng.normal(size=(9, 2)), "squared distance")
    values = [solve(matrix, "sinkhorn", e, 20_000).value for e in (1.0, 0.1, 0.01)]
    biases = [value - exact_dual(matrix).value for value in values]
    assert biases == sorted(biases, reverse=True) and biases[0] > 10 * biases[2] >= -1e-6
    errors = [solve(matrix, "sinkhorn", 0.1, k).marginal_error for k in (1, 10, 100)]
    assert errors == sorted(errors, reverse=True)


def test_ipot_at_beta_is_sinkhorn_at_beta_over_steps() -> None:
    rng = np.random.default_rng(2)
    matrix = cost_matrix(rng.normal(size=(8, 2)), rng.normal(size=(8, 2)), "squared distance")
    steps, direct = solve(matrix, "ipot", 20.0, 20), solve(matrix, "sinkhorn", 1.0, 5000)
    np.testing.assert_allclose(steps.plan, direct.plan, atol=1e-8)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_points_that_are_no_numbers_are_refused_in_one_line(broken: float) -> None:
    with pytest.raises(ValueError, match="the target holds points that are not finite numbers"):
        cost_matrix(np.zeros((2, 2)), np.array([[0.0, broken]]), "distance")
    with pytest.raises(ValueError, match="unknown cost"):
        cost_matrix(np.zeros((2, 2)), np.zeros((2, 2)), "gold")


@given(st.integers(0, 1000))
def test_exact_distance_on_the_line_is_scipys_and_its_critic_attains_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(8, 1)), rng.normal(size=(8, 1)) + rng.normal()
    best = exact_distance(x, y)
    assert best.value == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0]), abs=1e-9)
    assert best.critic(x).mean() - best.critic(y).mean() == pytest.approx(best.value, abs=1e-9)
    across = line_of(x, y)
    slopes = np.diff(best.critic(across)) / np.diff(across[:, 0])
    assert np.abs(slopes).max() <= 1 + 1e-9


def test_guides_have_slope_one_and_touch_the_critic() -> None:
    across = np.linspace(-1, 1, 41)
    learnt, ideal = 0.3 * across, -across
    for x, y, slope in cloud_critic.slope_guides(across, learnt, ideal):
        assert slope == -1 and y == pytest.approx(0.3 * x)


def test_a_landscape_is_the_critics_height_from_the_lowest_row_up() -> None:
    critic = CloudCritic(torch.randn(4, 2), torch.randn(5, 2) + 1, "orthogonal").step(5)
    field = cloud_critic.landscape(critic, 3.0)
    corners = torch.tensor([[-3.0, -3.0], [3.0, -3.0], [-3.0, 3.0]])
    shown = [field[0, 0], field[0, -1], field[-1, 0]]
    np.testing.assert_allclose(shown, critic.scores(corners), atol=1e-9)


def test_learning_keeps_to_its_budget_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_critic, "LONGEST", 45)
    critic = CloudCritic(torch.zeros(4, 1), torch.ones(4, 1), "linear")
    cloud_critic.learn(critic, budget=0.0)
    assert critic.steps == 0
    cloud_critic.learn(critic, budget=60.0)
    assert critic.steps == 45 and len(critic.history) == 2


def test_what_can_be_chosen_is_what_there_is() -> None:
    assert set(cloud_scene.COSTS) == set(COSTS) and set(cloud_scene.SOLVERS) == set(SOLVERS)
    assert set(cloud_scene.CONSTRAINTS) == set(CONSTRAINTS) == set(playground.CONSTRAINT_NAMES)
    words = json.loads(json.dumps(playground.plain()))
    assert words["boards"]["plan"]["equations"]["sinkhorn"].startswith("<math")
    script = module.script()
    assert '"boards": {"clouds"' in script and ".playground" in module.style()
    assert "style=" not in "".join(
        (module.FOLDER / f"{name}.js").read_text() for name in module.MODULES if "cloud" in name
    )


# ------------------------------------------------------------------------------------ the scene

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(["plane", "line", "batch", "ipot", "distance", "ring", "drawn_1_2"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
KEYS = st.sampled_from([*cloud_scene.scene(), "shape", "right", "turn", "run", "step", "x"])
COORDINATES = st.floats(-6, 6).map(lambda x: round(x, 3))
CLOUD = st.builds(
    lambda points: {"points": points},
    st.lists(st.lists(COORDINATES, min_size=2, max_size=2), min_size=1, max_size=64),
) | st.fixed_dictionaries(
    {"shape": st.sampled_from(list(shapes.SHAPES))}
    | {k: st.floats(m.low, m.high).map(lambda x: round(x, 2)) for k, m in cloud_scene.MOVES.items()}
)


@given(st.dictionaries(KEYS, JUNK | st.dictionaries(KEYS, JUNK)))
def test_any_json_becomes_a_whole_scene(said: dict[str, Any]) -> None:
    scene = completed(said)
    assert scene.keys() == cloud_scene.scene().keys()
    json.dumps(scene, allow_nan=False)
    assert completed(scene) == scene
    for cloud in cloud_scene.CLOUDS:
        if "points" in scene[cloud]:
            points = np.array(scene[cloud]["points"])
            assert np.isfinite(points).all() and 1 <= len(points) <= cloud_scene.MOST


@given(
    CLOUD,
    CLOUD,
    st.sampled_from(cloud_scene.SPACES),
    st.sampled_from(cloud_scene.EPSILONS),
    st.integers(2, 64),
    st.sampled_from(cloud_scene.SOLVERS),
    st.sampled_from(cloud_scene.COSTS),
)
def test_an_address_leads_back_to_its_scene(
    source: Any, target: Any, space: str, epsilon: float, points: int, solver: str, cost: str
) -> None:
    said = {"source": source, "target": target, "space": space, "points": points, "solver": solver}
    own = {"epsilon": epsilon, "cost": cost}
    batch = {"run": "demo: digits", "arm": "wcord+kd", "step": 7, **own}
    scene = completed(said | ({"batch": batch} if space == "batch" else own))
    parts = to_address(scene)
    assert all(isinstance(value, str) and value for value in parts.values())
    assert from_address(parts) == scene


@given(st.dictionaries(st.sampled_from(cloud_scene.NAMES), st.text(max_size=30)))
def test_nonsense_in_an_address_is_passed_over(address: dict[str, str]) -> None:
    scene = from_address(address)
    assert completed(scene) == scene


def test_a_link_to_a_run_shows_its_batch_and_the_plain_address_is_short() -> None:
    scene = from_address({"run": "made-up", "arm": "crd", "step": "28"})
    assert scene["space"] == "batch"
    assert scene["batch"] == completed({})["batch"] | {"run": "made-up", "arm": "crd", "step": 28}
    assert to_address(completed({})) == {}
    old = from_address({"space": "line", "points": "9", "epsilon": "0.02", "iterations": "50"})
    assert (old["space"], old["points"], old["epsilon"], old["iterations"]) == ("line", 9, 0.02, 50)


# ---------------------------------------------------------------------------------- the answers


def asked(kept: Kept, kind: str, **question: Any) -> Part:
    """Ask one question, and return the answer."""
    take_message(kept, {"kind": kind, "number": 3, **question})
    kept.moves_sent = kept.moves
    (part,) = answers(kept)
    assert part.about["number"] == 3
    return part


def test_shapes_are_sent_for_both_clouds() -> None:
    part = asked(Kept(), "shapes", points=7, seed=5)
    for more, cloud in enumerate(cloud_scene.CLOUDS):
        for place, name in enumerate(shapes.SHAPES):
            expected = shapes.shape(name, 7, 5 + more)
            np.testing.assert_array_equal(part.arrays[cloud][place], expected)


QUESTION = {
    "space": "plane",
    "source": [[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]],
    "target": [[2.0, 0.0], [0.0, 2.0]],
    "cost": "squared distance",
    "epsilon": 0.5,
    "iterations": 30,
    "version": 4,
    "solving": 9,
}


@pytest.mark.parametrize("space", ["plane", "line"])
def test_clouds_get_the_exact_answer_and_a_plan_of_the_solver(space: str) -> None:
    d = 1 if space == "line" else 2
    x, y = (np.array(QUESTION[cloud])[:, :d] for cloud in cloud_scene.CLOUDS)
    matrix = cost_matrix(x, y, "squared distance")
    exact = asked(Kept(), "clouds", **QUESTION | {"space": space, "exact": True})
    assert exact.about["version"] == 4 and exact.about["exact"] == exact_dual(matrix).value
    assert set(exact.arrays) == {"exact_f", "exact_g"}
    for solver in ("ipot", "exact"):
        said = QUESTION | {"space": space, "solver": solver, "solve": True}
        part = asked(Kept(), "clouds", **said)
        expected = solve(matrix, solver, 0.5, 30)
        np.testing.assert_array_equal(part.arrays["plan"], expected.plan)
        assert part.about["value"] == expected.value and part.about["solving"] == 9


@pytest.mark.parametrize(
    ("cloud", "points", "why"),
    [
        ("source", [], "the source needs 1 to 64 points, not 0"),
        ("target", [[0, 0]] * 65, "the target needs 1 to 64 points, not 65"),
        ("source", [[0, math.nan]], "the source holds points that are not finite numbers"),
        ("source", [[0, "x"]], "the source holds points that are not finite numbers"),
        ("target", None, "the target holds points that are not finite numbers"),
    ],
)
def test_clouds_that_cannot_be_solved_are_one_line(cloud: str, points: Any, why: str) -> None:
    part = asked(Kept(), "clouds", **QUESTION | {cloud: points, "exact": True})
    assert part.about == {"number": 3, "trouble": why} and not part.arrays


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_every_constraint_learns_and_never_certifies_too_much(constraint: str) -> None:
    kept = Kept()
    asked(kept, "clouds", **QUESTION)
    said = {"constraint": constraint, "version": 4}
    before = asked(kept, "critic", **said, again=0).about
    after = asked(kept, "critic", **said, again=0, learn=True).about
    assert before["steps"] == 0 < after["steps"] and after["version"] == 4
    assert after["bound"] <= after["distance"] + 1e-9
    matrix = distance_cost(*(torch.tensor(QUESTION[cloud]) for cloud in cloud_scene.CLOUDS))
    assert after["distance"] == pytest.approx(ot.emd2([], [], matrix.numpy()), abs=1e-6)
    assert asked(kept, "critic", **said, again=1).about["steps"] == 0


def test_a_critic_begins_again_with_other_clouds_and_is_shown_on_the_line() -> None:
    kept = Kept()
    assert asked(kept, "critic", version=4).about["later"]
    asked(kept, "clouds", **QUESTION | {"space": "line"})
    assert asked(kept, "critic", version=5).about["later"]  # clouds that have not come yet
    part = asked(kept, "critic", version=4, learn=True)
    assert part.about["flat"] and part.arrays["line"].shape == (241, 3)
    history = part.arrays["history"]
    assert history[-1, 0] == part.about["steps"] and history.shape[1] == 3
    asked(kept, "clouds", **QUESTION | {"version": 5, "source": [[9.0, 0.0]]})
    part = asked(kept, "critic", version=5)
    assert part.about["steps"] == 0 and part.about["reach"] == pytest.approx(9.36)
    assert part.arrays["landscape"].shape == (48, 48)


def test_a_scene_that_has_not_followed_an_address_is_not_kept() -> None:
    kept = Kept(moves=2)
    take_message(kept, {"kind": "scene", "moves": 1, "scene": {"points": 9}})
    assert kept.scene["points"] == 24
    (part,) = answers(kept)
    assert (part.kind, part.about["moves"]) == ("scene", 2) and not answers(kept)


# ------------------------------------------------------------------------------ a run's batch


@pytest.fixture
def run(folder: Path) -> Run:
    return Run(write_run(folder / "made-up", batch=24))


def test_a_batch_is_that_of_the_snapshot_and_is_solved_in_full_dimension(run: Run) -> None:
    watch = Watch(run.path)
    batch = batch_of(watch, "crd", 30)
    assert batch.step == 28  # the last one up to step 30
    picture, labels = run.snapshot(28).arm("crd"), run.snapshot(28).labels
    np.testing.assert_allclose(batch.teacher, picture.teacher[:24])
    np.testing.assert_array_equal(batch.labels, labels[:24])
    matrix = cost_matrix(batch.teacher, batch.student, "1 − cosine")
    sides = (torch.from_numpy(side).double() for side in (batch.teacher, batch.student))
    np.testing.assert_array_equal(matrix, cosine_cost(*sides))
    assert batch.frame.teacher.shape == batch.frame.student.shape == (24, 2)
    assert batch_of(watch, "absent", None).arm == "wcord"
    assert batch_of(watch, "crd", 0).step == watch.run.steps[0]


def test_a_batch_and_its_cost_are_sent(run: Run, canvas: Canvas) -> None:
    app = open_page("playground", run="made-up", arm="crd", step="28")
    assert canvas.scene["clouds"]["space"] == "batch"
    batch = batch_of(Watch(run.path), "crd", 28)
    (part,) = canvas.last("batch")
    assert (part.about["run"], part.about["arm"], part.about["step"]) == ("made-up", "crd", 28)
    assert part.about["steps"] == run.steps and part.about["runs"][0] == "made-up"
    np.testing.assert_array_equal(part.arrays["source"], batch.frame.teacher)
    np.testing.assert_array_equal(part.arrays["labels"], batch.labels)
    matrix = cost_matrix(batch.teacher, batch.student, "1 − cosine")
    said = {
        "space": "batch",
        "batch": canvas.scene["clouds"]["batch"],
        "cost": "1 − cosine",
        "version": 1,
    }
    canvas.say(app, "clouds", number=1, exact=True, matrix=True, **said)
    (answer,) = canvas.last("clouds")
    np.testing.assert_array_equal(answer.arrays["matrix"], matrix)
    assert answer.about["exact"] == pytest.approx(ot.emd2([], [], matrix), abs=1e-9)
    canvas.say(app, "critic", number=1, version=1)
    assert canvas.last("critic")[0].arrays["landscape"].shape == (48, 48)


def test_batches_that_cannot_be_shown_are_one_line(run: Run, canvas: Canvas) -> None:
    for name in ("../made-up", "absent"):
        open_page("playground", run=name)
        (part,) = canvas.last("batch")
        assert part.about["trouble"] and "\n" not in part.about["trouble"]
        assert "made-up" in part.about["runs"]
    (run.path / "snapshots" / "42.safetensors").write_bytes(b"half")
    part = playground_state.batch(Kept(), {"run": "made-up"})
    assert "cannot be read" in part.about["trouble"]
    for file in (run.path / "snapshots").iterdir():
        file.unlink()
    assert "no snapshot" in playground_state.batch(Kept(), {"run": "made-up"}).about["trouble"]


# ------------------------------------------------------------------------------------ the page


@pytest.mark.parametrize(
    "address",
    [
        {},
        {"space": "line", "source": "drawn_1_0_2_0"},
        {"space": "cube", "epsilon": "nan", "points": "1e999", "source": "drawn"},
    ],
)
def test_the_page_opens_with_the_scene_of_its_address(
    folder: Path, canvas: Canvas, address: dict[str, str]
) -> None:
    open_page("playground", **address)
    (setup,) = canvas.last("setup")
    assert setup.about["playground"] and canvas.scene["clouds"] == from_address(address)
    (part,) = canvas.last("shapes")
    assert part.arrays["source"].shape == (len(shapes.SHAPES), canvas.scene["clouds"]["points"], 2)


def test_the_address_follows_the_view_and_the_view_a_link(folder: Path, canvas: Canvas) -> None:
    app = open_page("playground")
    (moves,) = {part.about["moves"] for part in canvas.all("scene")}
    scene = completed({"space": "line", "source": {"points": [[1, 0], [-0.5, 0]]}})
    canvas.say(app, "scene", scene=scene, moves=moves)
    assert in_address(app, "space") == "line"
    assert in_address(app, "source") == "drawn_1_0_-0.5_0" and not in_address(app, "target")
    app.query_params["source"] = "spiral"
    rerun(app)
    (part,) = canvas.last("scene")
    assert part.about["moves"] == moves + 1
    assert part.about["scene"]["source"]["shape"] == "spiral"
    canvas.say(app, "scene", scene=scene, moves=moves)  # the view had not yet followed
    assert in_address(app, "source") == "spiral"


def test_a_view_that_begins_again_is_sent_all_it_needs(folder: Path, canvas: Canvas) -> None:
    app = open_page("playground")
    rerun(app)
    assert not canvas.last("shapes")
    canvas.say(app, "hello")
    assert canvas.last("shapes") and canvas.last("scene")
