"""Selected samples: how clicks are read, and that all pictures light up the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_run import write_run
from shown import shown
from streamlit.testing.v1 import AppTest
from test_lab_pages import charts, folder, page, rerun

from lab import selection

__all__ = ["folder"]  # a fixture
LABELS = np.array([2, 0, 1, 0, 2])


def event(*groups: tuple[str, list[int]], ranges: list[list[float]] | None = None) -> Any:
    """Return what the browser tells of a selection."""
    return {
        "selected": [{"series_id": name, "data_indices": places} for name, places in groups],
        "areas": [{"brush_type": "lineX", "coord_range": r} for r in ranges or []],
    }


def test_a_row_of_the_plan_is_the_sample_that_stands_there_by_class() -> None:
    ordered = [1, 3, 2, 0, 4]  # samples by class
    for row, sample in enumerate(ordered):
        assert selection.in_plan(event(("rows", [row])), LABELS) == [sample]
    assert selection.in_plan(event(), LABELS) == []


def test_points_of_both_sides_of_the_map_count_once() -> None:
    picked = event(("teacher", [3, 1]), ("student", [3, 4]), ("selected", [0]))
    assert selection.in_map(picked) == [1, 3, 4]


def test_a_range_of_scores_holds_the_samples_whose_own_score_lies_in_it() -> None:
    scores = np.full((5, 5), 9.0)
    np.fill_diagonal(scores, [0.0, 1.0, 2.0, np.nan, 4.0])
    brushed = event(("congruent", [7]), ranges=[[0.5, 2.0]])
    assert selection.in_scores(brushed, scores) == [1, 2]
    assert selection.in_scores(event(("samples", [4])), scores) == [4]


def selected_in(app: AppTest) -> dict[str, int]:
    """Return how many samples each of the three pictures lights up."""
    shown = charts(app)
    lit = {
        name: [s for s in shown[name]["series"] if s["name"] == "selected"]
        for name in selection.CHARTS
    }
    return {
        "plan": len(lit["plan"][0]["data"]) // 2 if lit["plan"] else 0,
        "scores": len(lit["scores"][0]["data"]) if lit["scores"] else 0,
        "map": len(lit["map"][0]["data"]) if lit["map"] else 0,
    }


def test_the_address_lights_up_the_same_samples_everywhere(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page(samples="3,17")
    assert selected_in(app) == {"plan": 2, "scores": 2, "map": 2}
    assert shown(app.number_input, "sample").value == 3
    assert any("**3** and 1 other selected" in text.value for text in app.markdown)
    assert any("**Sample 3** · class 3" in text.value for text in app.markdown)


@pytest.mark.parametrize("said", ["", "x", "-1", "999", "3;4", ",,", "1e3", "٣"])
def test_nonsense_in_the_address_selects_nothing(folder: Path, said: str) -> None:
    write_run(folder / "made-up")
    app = page(samples=said)
    assert selected_in(app) == {"plan": 0, "scores": 0, "map": 0}
    assert not any("Sample **" in text.value for text in app.markdown)


def test_a_sample_outside_of_the_batch_lights_up_in_the_map_alone(folder: Path) -> None:
    write_run(folder / "made-up", samples=60, batch=32)
    app = page(samples="40")
    assert selected_in(app) == {"plan": 0, "scores": 0, "map": 1}
    assert any("not among the 32 samples" in text.value for text in app.markdown)


def test_a_number_selects_and_clear_forgets(folder: Path) -> None:
    write_run(folder / "made-up")
    app = page()
    shown(app.number_input, "sample").set_value(5)
    rerun(app)
    rerun(app)
    assert app.query_params["samples"] in ("5", ["5"])
    assert selected_in(app) == {"plan": 1, "scores": 1, "map": 1}
    app.button(key="clear").click()
    rerun(app)
    rerun(app)
    assert "samples" not in app.query_params
    assert selected_in(app) == {"plan": 0, "scores": 0, "map": 0}


def test_of_very_many_samples_an_even_choice_is_kept() -> None:
    def many() -> None:
        import streamlit as st

        from lab import selection

        selection.choose(range(1000))
        st.text(",".join(map(str, selection.chosen(1000))))

    app = AppTest.from_function(many).run()
    kept = [int(part) for part in app.text[0].value.split(",")]
    assert len(kept) == selection.MOST and kept[0] == 0 and kept[-1] == 999
    assert np.diff(kept).max() <= 12


def test_cards_say_what_the_snapshot_holds(folder: Path) -> None:
    import wcord

    path = write_run(folder / "made-up")
    app = page(samples="3", arm="wcord")
    snapshot = wcord.Run(path).snapshot()
    picture = snapshot.arm("wcord")
    row = picture.plan[3] / picture.plan[3].sum()
    inside = row[snapshot.labels[:32] == snapshot.labels[3]].sum()
    words = next(e.proto.alt for e in app.get("echarts_chart") if "sample-rows" in e.proto.id)
    assert f"{inside:.0%} goes to students of its class" in words
    assert f"its own score is {picture.scores[3, 3]:.2f}" in words
    spec = next(e.proto for e in app.get("echarts_chart") if "sample-answers" in e.proto.id)
    answered = [point["value"] for point in json.loads(spec.spec)["series"][0]["data"]]
    assert answered == [[epoch, 3] for epoch in range(4)]
    assert "right in 4 of 4 pictures" in spec.alt
