"""The playground: clouds, solved plans and critics against wcord, and every control of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import ot
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import write_run
from scipy.stats import wasserstein_distance
from streamlit.testing.v1 import AppTest

from lab import critics, drawing
from lab.reading import shapes
from lab.reading.arrange import plan_masses
from lab.transporting import COSTS, SOLVERS, exact_distance, line_of, solve
from wcord.runs import Run
from wcord.transport import CONSTRAINTS, CloudCritic, cosine_cost, sinkhorn, squared_euclidean_cost

APP = str(Path(__file__).parents[1] / "app.py")
PAGE = "lab/pages/playground.py"


def page(**address: str) -> AppTest:
    """Open the playground, without any exception."""
    app = AppTest.from_file(APP, default_timeout=60)
    for name, value in address.items():
        app.query_params[name] = value
    app.run().switch_page(PAGE).run()
    assert not app.exception
    return app


def numbers(app: AppTest) -> dict[str, float]:
    """Return the numbers shown on the page by name."""
    return {metric.label: float(metric.value) for metric in app.metric}


def rerun(app: AppTest) -> dict[str, float]:
    """Run the page again, without any exception, and return its numbers."""
    app.run()
    assert not app.exception and not app.error
    return numbers(app)


def clouds_of(app: AppTest) -> tuple[np.ndarray, np.ndarray]:
    """Return the clouds that the page's choices stand for."""
    count, seed = app.slider(key="points").value, app.number_input(key="cloud-seed").value
    found = []
    for cloud in drawing.CLOUDS:
        base = shapes.shape(
            app.selectbox(key=f"{cloud}-shape").value, count, seed + (cloud == "target")
        )
        moves = [app.slider(key=f"{cloud}-{move}").value for move in drawing.MOVES]
        found.append(shapes.moved(base, *moves))
    return found[0], found[1]


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


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.2, 2), st.floats(-180, 180))
def test_moving_is_a_similarity(right: float, up: float, size: float, turn: float) -> None:
    points = np.random.default_rng(0).normal(size=(6, 2))
    there = shapes.moved(points, right, up, size, turn)
    z, w = points @ [1, 1j], there @ [1, 1j]  # in complex numbers: scale, turn, shift
    np.testing.assert_allclose(w, size * z * np.exp(1j * np.deg2rad(turn)) + right + 1j * up)


@pytest.mark.parametrize("cost", COSTS)
def test_solved_is_what_the_solvers_and_pot_say(cost: str) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(7, 2)) + 1
    matrix = COSTS[cost](torch.from_numpy(x), torch.from_numpy(y))
    solved = solve(x, y, cost, "sinkhorn", 0.1, 200)
    direct = sinkhorn(matrix, 0.1, iterations=200)
    np.testing.assert_allclose(solved.plan, direct.plan)
    assert solved.exact_value == pytest.approx(ot.emd2([], [], matrix.numpy()), rel=1e-9)
    assert solved.bias == pytest.approx(solved.value - solved.exact_value)
    rebuilt = np.exp((solved.f[:, None] + solved.g - matrix.numpy()) / 0.1)
    np.testing.assert_allclose(rebuilt, solved.plan, rtol=1e-6)
    both = solved.exact_f[:, None] + solved.exact_g
    assert (both <= matrix.numpy() + 1e-9).all()
    assert solved.exact_f.mean() + solved.exact_g.mean() == pytest.approx(solved.exact_value)
    assert solve(x, y, cost, "exact", 9.0, 1).bias == pytest.approx(0, abs=1e-9)


def test_ipot_at_beta_is_sinkhorn_at_beta_over_steps() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(8, 2)), rng.normal(size=(8, 2))
    steps = solve(x, y, "squared distance", "ipot", 20.0, 20)
    direct = solve(x, y, "squared distance", "sinkhorn", 1.0, 5000)
    np.testing.assert_allclose(steps.plan, direct.plan, atol=1e-8)
    assert set(SOLVERS) == {"sinkhorn", "ipot", "exact"}


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
    for x, y, slope in critics.slope_guides(across, learnt, ideal):
        assert slope == -1 and y == pytest.approx(0.3 * x)


def test_learning_keeps_to_its_budget_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(critics, "LONGEST", 45)
    critic = CloudCritic(torch.zeros(4, 1), torch.ones(4, 1), "linear")
    critics.learn(critic, budget=0.0)
    assert critic.steps == 0
    critics.learn(critic, budget=60.0)
    assert critic.steps == 45 and len(critic.history) == 2
    assert set(critics.NAMES) == set(CONSTRAINTS)


def test_tables_give_points_and_drop_what_is_empty() -> None:
    import pandas as pd

    typed = pd.DataFrame({"x": [1.0, None, 2.0], "y": [0.5, 1.0, None]})
    assert drawing.from_table(typed).tolist() == [[1.0, 0.5]]
    assert drawing.from_table(typed[["x"]]).tolist() == [[1.0, 0.0], [2.0, 0.0]]


# ------------------------------------------------------------------------------- the page


def test_numbers_are_wcords() -> None:
    app = page()
    source, target = clouds_of(app)
    cost = squared_euclidean_cost(torch.from_numpy(source), torch.from_numpy(target))
    expected = sinkhorn(cost, 0.1, iterations=100)
    shown = numbers(app)
    assert shown["cost ⟨P, C⟩"] == pytest.approx(float(expected.value), abs=6e-5)
    assert shown["objective"] == pytest.approx(float(expected.objective), abs=6e-5)
    assert shown["exact cost"] == pytest.approx(ot.emd2([], [], cost.numpy()), abs=6e-5)
    keys = {element.proto.id.rsplit("-", 1)[-1] for element in app.get("echarts_chart")}
    assert len(keys) == 5
    assert all(element.proto.alt for element in app.get("echarts_chart"))


def test_epsilon_iterations_and_solver_do_what_theory_says() -> None:
    app = page()
    biases = []
    for epsilon in (1.0, 0.1, 0.01):
        app.select_slider(key="epsilon").set_value(epsilon)
        app.select_slider(key="iterations").set_value(1000)
        biases.append(rerun(app)["bias"])
    assert biases == sorted(biases, reverse=True) and biases[0] > 10 * biases[2] >= 0
    app.select_slider(key="epsilon").set_value(0.1)
    errors = []
    for iterations in (1, 10, 100):
        app.select_slider(key="iterations").set_value(iterations)
        errors.append(rerun(app)["marginal error"])
    assert errors == sorted(errors, reverse=True)
    app.get_by_key("solver").set_value("exact")
    assert rerun(app)["bias"] == 0
    assert app.select_slider(key="epsilon").disabled


@pytest.mark.parametrize("cost", COSTS)
def test_every_cost(cost: str) -> None:
    app = page()
    app.selectbox(key="cost").set_value(cost)
    assert rerun(app)["exact cost"] >= 0


def test_every_choice_of_a_cloud_changes_the_plan() -> None:
    app = page()
    seen = [rerun(app)["cost ⟨P, C⟩"]]
    app.slider(key="points").set_value(10)
    seen.append(rerun(app)["cost ⟨P, C⟩"])
    for cloud in drawing.CLOUDS:
        app.selectbox(key=f"{cloud}-shape").set_value("spiral")
        seen.append(rerun(app)["cost ⟨P, C⟩"])
        for move, value in (("right", -1.0), ("up", 1.5), ("size", 0.5), ("turn", 90.0)):
            app.slider(key=f"{cloud}-{move}").set_value(value)
            seen.append(rerun(app)["cost ⟨P, C⟩"])
    app.number_input(key="cloud-seed").set_value(5)
    seen.append(rerun(app)["cost ⟨P, C⟩"])
    assert len(set(seen)) == len(seen)


def test_on_the_line_the_critic_stands_beside_the_best_one() -> None:
    app = page()
    app.get_by_key("space").set_value("line")
    shown = rerun(app)
    source, target = clouds_of(app)
    expected = wasserstein_distance(source[:, 0], target[:, 0])
    assert shown["exact W1"] == pytest.approx(expected, abs=6e-4)
    app.toggle(key="learn").set_value(True)
    learnt = rerun(app)
    assert 0 < learnt["certified ≥"] <= learnt["exact W1"] + 1e-3
    before = learnt["certified ≥"]
    for _ in range(6):
        learnt = rerun(app)
    assert learnt["certified ≥"] >= before and learnt["certified ≥"] > 0.9 * expected


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_every_constraint_learns_and_never_certifies_too_much(constraint: str) -> None:
    app = page()
    app.selectbox(key="constraint").set_value(constraint)
    app.toggle(key="learn").set_value(True)
    shown = rerun(app)
    assert shown["certified ≥"] <= shown["exact W1"] + 1e-3
    app.button(key="again-button").click()
    assert rerun(app)["slope"] >= 0


def test_a_click_adds_a_point_and_a_click_on_a_point_removes_it() -> None:
    def script() -> None:
        import numpy as np
        import streamlit as st

        from lab import drawing

        for cloud in drawing.CLOUDS:
            drawing.cloud_controls(cloud, flat=False)
        clouds = {c: drawing.points_of(c, 4, 0, flat=False) for c in drawing.CLOUDS}
        st.session_state["now"] = {c: p.tolist() for c, p in clouds.items()}
        net = [{"series_id": "net", "data_indices": [0]}]
        first = [{"series_id": "target", "data_indices": [0]}]
        st.button("add", on_click=drawing.clicked, args=(net, clouds, "source"))
        st.button("remove", on_click=drawing.clicked, args=(first, clouds, "source"))
        empty = np.empty((0, 2))
        st.button("empty", on_click=drawing.keep, args=("source", empty))

    app = AppTest.from_function(script).run()
    before = app.session_state["now"]
    app.button[0].click().run()
    after = app.session_state["now"]
    assert after["source"] == [*np.round(before["source"], 3).tolist(), [-3.0, -3.0]]
    assert after["target"] == before["target"]
    assert app.selectbox(key="source-shape").value == drawing.DRAWN
    app.button[1].click().run()
    assert app.session_state["now"]["target"] == np.round(before["target"][1:], 3).tolist()
    assert app.slider(key="target-right").value == 0.0  # its place is in the points now
    app.button[2].click().run()
    assert app.session_state["trouble"] == "the source needs at least one point"
    assert not app.exception


# ------------------------------------------------------------------------------ a run's batch


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    return Run(write_run(tmp_path / "made-up", batch=24))


def option_of(app: AppTest, key: str) -> Any:
    element: Any = next(e for e in app.get("echarts_chart") if e.proto.id.endswith(key))
    return element.proto


def test_a_runs_batch_is_solved_to_the_numbers_of_its_features(run: Run) -> None:
    app = page(run="made-up", take="crd@28")
    picture, labels = run.snapshot(28).arm("crd"), run.snapshot(28).labels[:24]
    teacher, student = (
        torch.from_numpy(z[:24]).double() for z in (picture.teacher, picture.student)
    )
    cost = cosine_cost(teacher, student)
    expected = sinkhorn(cost, 0.05, iterations=100)  # the run's own cost and ε
    shown = numbers(app)
    assert shown["cost ⟨P, C⟩"] == pytest.approx(float(expected.value), abs=6e-5)
    assert shown["exact cost"] == pytest.approx(ot.emd2([], [], cost.numpy()), abs=6e-5)
    same, _ = plan_masses(expected.plan.numpy(), labels)
    assert any(f"in class {same:.2f}" in text.value for text in app.markdown)
    assert all(option_of(app, key).alt for key in ("batch-lines", "batch-plan", "landscape"))


def test_run_arm_and_step_of_a_batch_are_chosen_and_in_the_address(run: Run) -> None:
    app = page(run="made-up")
    assert app.get_by_key("space").value == playground_batch(app)  # type: ignore[union-attr]
    seen = [numbers(app)["cost ⟨P, C⟩"]]
    for key, value in (("arm", "plain"), ("batch-step", 0)):
        control: Any = app.get_by_key(key)
        control.set_value(value)
        seen.append(rerun(app)["cost ⟨P, C⟩"])
    assert len(set(seen)) == 3
    assert app.query_params["arm"] in ("plain", ["plain"])
    assert app.query_params["step"] in ("0", ["0"])
    control = app.get_by_key("space")
    control.set_value("plane")
    rerun(app)
    assert app.slider(key="points").value == 24


def playground_batch(app: AppTest) -> str:
    control: Any = app.get_by_key("space")
    return str(control.options[-1])


@pytest.mark.parametrize("name", ["../made-up", "absent"])
def test_a_batch_of_no_run_is_one_line(run: Run, name: str) -> None:
    app = page(run=name)
    assert len(app.error) == 1 and "\n" not in app.error[0].value


def test_a_damaged_snapshot_and_none_at_all_are_one_line(run: Run) -> None:
    (run.path / "snapshots" / "42.safetensors").write_bytes(b"half")
    assert "cannot be read" in page(run="made-up").error[0].value
    for file in (run.path / "snapshots").iterdir():
        file.unlink()
    assert "No picture" in page(run="made-up").info[0].value
