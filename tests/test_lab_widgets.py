"""The notebooks' widgets: a value is set, and what is shown changes as it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_run import write_run

from lab.course import widgets
from lab.course.widgets import Panel
from lab.words.vocabulary import metric
from wcord.runs import Run
from wcord.transport import CONSTRAINTS, CloudCritic, exact, sinkhorn

draw = torch.Generator().manual_seed(0)
COST = torch.rand(6, 7, generator=draw)


def shown(panel: Panel) -> tuple[str, str]:
    """Return picture and words as they stand on the page."""
    return panel._picture.value, panel._line.value


def test_pictures_have_alternative_text_and_the_words_are_announced() -> None:
    panel = widgets.plan_explorer(COST)
    picture, line = shown(panel)
    assert picture.startswith('<img alt="⟨P, C⟩ = ')
    assert 'src="data:image/svg+xml;base64,' in picture
    assert 'role="status"' in line and "aria-live" in line
    assert all(control.description for control in panel.children[0].children)


def test_plan_follows_epsilon_and_iterations() -> None:
    panel = widgets.plan_explorer(COST, epsilon=0.1, iterations=50)
    before = shown(panel)
    panel.epsilon.value = 1.0
    panel.iterations.value = 3
    expected = sinkhorn(COST.double(), panel.epsilon.value, iterations=3)
    torch.testing.assert_close(panel.result.plan, expected.plan)
    assert shown(panel) != before
    assert f"{float(expected.value):.4f}" in panel.words


def test_exact_plan_puts_the_sliders_aside() -> None:
    panel = widgets.plan_explorer(COST)
    panel.exact.value = True
    assert panel.epsilon.disabled and panel.iterations.disabled
    torch.testing.assert_close(panel.result.plan, exact(COST.double()).plan)
    assert "bias +0.0000" in panel.words
    panel.exact.value = False
    assert not panel.epsilon.disabled


def test_points_in_the_plane_are_joined_by_lines() -> None:
    x, y = torch.rand(6, 2, generator=draw), torch.rand(7, 2, generator=draw)
    flat = widgets.plan_explorer(COST)
    plane = widgets.plan_explorer(COST, source=x, target=y, labels=np.arange(6) % 2)
    assert len(plane.figure.axes) == len(flat.figure.axes) + 1


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_critic_is_the_one_that_was_asked_for(dim: int) -> None:
    x, y = torch.rand(8, dim, generator=draw) + 1, torch.rand(9, dim, generator=draw)
    panel = widgets.critic_explorer(x, y, constraint="linear", most=100)
    assert panel.fit.steps == 0
    panel.steps.value = 50
    expected = CloudCritic(x, y, "linear").step(50).fit()
    assert panel.fit.raw == pytest.approx(expected.raw)
    assert f"certified bound {expected.bound:.3f}" in panel.words
    panel.constraint.value = "orthogonal"
    assert panel.fit.steps == 50 and panel.fit.raw != pytest.approx(expected.raw)
    panel.steps.value = 25  # back in time, without training again
    assert panel.fit.steps == 25
    panel.constraint.value, panel.steps.value = "linear", 50
    assert panel.fit.raw == pytest.approx(expected.raw)
    assert panel.constraint.options == CONSTRAINTS


def test_compare_shows_paired_differences(finished: Run) -> None:
    panel = widgets.compare([finished])
    assert panel.arms.value == tuple(finished.arms)
    panel.against.value = "crd"
    accuracy = {arm: row["test_accuracy"] for arm, row in finished.summary["arms"].items()}
    found = panel.table["difference"]
    assert found["kd"] == pytest.approx(accuracy["kd"] - accuracy["crd"])
    panel.arms.value = ("kd",)
    assert list(panel.table.index) == ["crd", "kd"]
    panel.metric.value = "same_class_mass"
    assert panel.figure.axes[0].get_ylabel() == metric("same_class_mass").label
    offered = [name for _, name in panel.metric.options]
    assert "true_partner_mass" not in offered  # no pair of this run is wrong
    panel.result.value = "held_out_accuracy"
    assert panel.words.startswith("held_out_accuracy, 1 seeds")


def test_compare_wants_results(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="step 14 of 42"):
        widgets.compare([Run(write_run(tmp_path / "run", upto=1, state="running"))])
