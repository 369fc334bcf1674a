"""Equations, what to look for, and the way to the notebooks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_run import ARMS, values_of, write_run
from test_lab_pages import folder, page, rerun

from lab.course import notebook_section
from lab.palette import LIGHT
from lab.panels import View
from lab.pictures import MEASURES, NAMES, PANELS
from lab.reading.arrange import entropy
from lab.reading.watch import Watch
from lab.words import equations, hints

__all__ = ["folder"]  # a fixture


@pytest.mark.parametrize("panel", PANELS.values(), ids=lambda panel: panel.name)
def test_every_panel_leads_to_a_section_that_exists(panel: object) -> None:
    section = panel.why  # type: ignore[attr-defined]
    text = notebook_section.markdown_of(section)
    assert len(text) > 200 and section.heading not in text.splitlines()[0]


def test_a_section_ends_at_the_next_heading_of_its_level(tmp_path: Path) -> None:
    cells = [
        ("markdown", "# Title\n## One\nfirst\n### Inside\nmore"),
        ("code", "## not a heading"),
        ("markdown", "```\n## a comment\n```\nlast\n## Two\nother"),
    ]
    told = {"cells": [{"cell_type": kind, "source": [text]} for kind, text in cells]}
    (tmp_path / "n.ipynb").write_text(json.dumps(told))
    text = notebook_section.markdown_of(notebook_section.Section("n.ipynb", "One"), tmp_path)
    assert text.startswith("first") and "### Inside" not in text.splitlines()[0]
    assert "## a comment" in text and text.endswith("last") and "other" not in text
    with pytest.raises(ValueError, match="Three"):
        notebook_section.markdown_of(notebook_section.Section("n.ipynb", "Three"), tmp_path)
    with pytest.raises(ValueError, match="absent"):
        notebook_section.markdown_of(notebook_section.Section("absent.ipynb", "One"), tmp_path)


def test_why_opens_the_section_over_the_page(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page()
    app.button(key="why-plan").click()
    rerun(app)
    section = PANELS["plan"].why
    opening = notebook_section.markdown_of(section).splitlines()[0]
    assert any(text.value.startswith(opening) for text in app.markdown)
    assert any(section.notebook in caption.value for caption in app.caption)


@pytest.mark.parametrize("arm", ARMS)
def test_every_symbol_has_the_value_of_the_snapshot(tmp_path: Path, arm: str) -> None:
    watch = Watch(write_run(tmp_path / "run"))
    view = View(watch, arm, 28, LIGHT)
    picture = watch.picture(28, arm)
    plan = PANELS["plan"].equation(view).latex
    assert f"{view.values['plan_cost']:.3f}" in plan and "{0.05}" in plan
    assert f"{entropy(picture.plan):.2f}" in plan
    dual = PANELS["scores"].equation(view).latex
    assert "0.400" in dual and ("0.300" in dual) == ("gckt" in ARMS[arm])
    assert f"{view.values['feature_distance']:.3f}" in PANELS["map"].equation(view).latex
    shown = PANELS["accuracy"].equation(view).latex
    metrics = watch.run.metrics()
    here = (metrics["arm"] == arm) & (metrics["name"] == "test_accuracy") & (metrics["step"] == 28)
    assert f"{metrics[here]['value'].item():.3f}" in shown


def test_entropy_is_that_of_scipy() -> None:
    from scipy.stats import entropy as oracle

    plan = np.random.default_rng(0).random((6, 5))
    plan[0, :3] = 0
    plan /= plan.sum()
    assert entropy(plan) == pytest.approx(oracle(plan.ravel()))


@pytest.mark.parametrize("name", [*MEASURES, "test_accuracy", "total", "gckt", "my_term"])
def test_every_curve_has_an_equation(name: str) -> None:
    latex = equations.curve(name, 0.5)
    assert latex.endswith("= 0.500") and latex.count("{") == latex.count("}")


def test_what_to_look_for_follows_the_numbers() -> None:
    good = {"same_class_mass": 0.9, "diagonal_mass": 0.6, "variance_ratio": 1.0, "plan_cost": 0.2}
    assert "its own sample" in hints.at_plan(good, 0.1)
    assert "Close to chance" in hints.at_plan(good | {"same_class_mass": 0.12}, 0.1)
    assert "shrunk to 0.20" in hints.at_plan(good | {"variance_ratio": 0.2}, 0.1)
    collapsed = {"same_class_mass": 0.1, "plan_cost": 0.001, "variance_ratio": 1.0}
    assert "Collapse" in hints.at_plan(collapsed, 0.1)
    assert "not its own sample" in hints.at_plan(good | {"diagonal_mass": 0.1}, 0.1)
    assert "not defined" in hints.at_plan({}, 0.1)
    assert "75 %" in hints.at_scores({"exact_iw": 0.4, "certified_iw": 0.3})
    assert "No critic" in hints.at_scores({"exact_iw": 0.4})
    assert "0 %" in hints.at_scores({"exact_iw": 0.4, "certified_iw": -0.2})
    assert "Near does not mean alike" in hints.at_map(
        {"feature_distance": 0.4, "neighbour_overlap": 0.2}
    )
    assert "not finite" in hints.at_map({"feature_distance": np.nan})


def test_a_curve_is_said_to_rise_fall_or_stay() -> None:
    epochs = np.arange(20.0)
    table = pd.DataFrame({"epoch": epochs, "a": epochs, "b": -epochs, "c": np.minimum(epochs, 5)})
    said = {arm: hints.at_curve(table, arm, "x") for arm in ("a", "b", "c", "d")}
    assert "rising" in said["a"] and "falling" in said["b"] and "flat" in said["c"]
    assert said["d"] == "The arm d has no x."
    assert "flat" in hints.at_curve(table[:1], "a", "x")


def test_sentences_and_names_cover_what_runs_hold() -> None:
    for arm, terms in ARMS.items():
        values = values_of(terms, 0.5, 0)
        assert hints.at_plan(values, 0.1) and hints.at_scores(values), arm
    assert set(MEASURES) <= set(NAMES)
