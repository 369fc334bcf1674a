"""Class names: from the run to axes and cards, shortened, told apart, and as many as have room."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import NASTY_CLASSES, write_run
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lab import charts, figures, heat_maps, sample_charts
from lab.options import Option
from lab.reading.arrange import class_blocks, spaced
from lab.reading.layouts import Frame
from lab.words.class_names import (
    FEW,
    MOST,
    NUMBERS,
    ClassNames,
    columns,
    name_points,
    named,
    names_of,
)
from wcord.runs import Run

PETS = ClassNames(("tabby cat", "golden retriever", "wolf"))
texts = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=12, unique=True)


@given(texts, st.integers(3, 20))
def test_a_shortened_name_fits_and_is_unlike_the_others(texts: list[str], room: int) -> None:
    names = ClassNames(tuple(f"{text.split()}" for text in texts))
    short = [names.short(label, room) for label in range(len(texts))]
    assert all(columns(name) <= room for name in short)
    whole = [names(label) for label in range(len(texts))]
    for label, name in enumerate(whole):
        if columns(name) <= room and whole.count(name) == 1:
            assert short[label] in (name, str(label))
        others = [other for place, other in enumerate(short) if place != label]
        assert short[label] not in others or short[label] == str(label) or "…" not in short[label]


def test_names_that_begin_alike_are_told_apart_by_their_ends() -> None:
    names = ClassNames(tuple(f"class number {k}" for k in range(100)))
    assert names.short(7) == "…number 7" and names.short(42) == "…umber 42"
    assert len({names.short(k) for k in range(100)}) == 100


def test_without_names_classes_go_by_their_numbers(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path / "old"))
    assert names_of(run) == NUMBERS and NUMBERS(12) == NUMBERS.short(12) == "12"
    assert PETS(2) == "wolf" and PETS(3) == "3" and ClassNames((" ", "a\nb"))(0) == "0"
    assert ClassNames((" ", "a\nb"))(1) == "a b"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"labels": 3}', '{"labels": {"student": 3}}'])
def test_a_damaged_record_costs_the_names_only(tmp_path: Path, content: str) -> None:
    path = write_run(tmp_path / "run")
    (path / "data.json").write_text(content)
    assert names_of(Run(path)) == NUMBERS


def test_each_side_has_the_names_of_its_own_label_set(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", classes=("cat", "dog", "wolf"))
    found = json.loads((path / "data.json").read_text())
    found["labels"]["student"] = ["pet", "wild"]
    (path / "data.json").write_text(json.dumps(found))
    assert names_of(Run(path)).known == ("pet", "wild")
    assert names_of(Run(path), "teacher").known == ("cat", "dog", "wolf")


@given(st.lists(st.integers(0, 200), min_size=1, max_size=300))
def test_an_axis_names_no_more_classes_than_it_has_room_for(classes: list[int]) -> None:
    blocks = class_blocks(np.array(classes))
    shown = named(blocks)
    assert shown[0] == 0 and len(shown) <= max(2 * FEW, MOST) + 1
    if len(blocks.names) > FEW:
        middles = np.array(blocks.middles)[shown]
        assert (np.diff(middles) >= len(classes) / MOST).all()
    assert spaced(blocks.middles, len(classes), len(classes)) == list(range(len(blocks.names)))


def words(axis: Option) -> list[str]:
    """Return the texts along an axis that are not empty."""
    return [text for text in axis["data"] if text]


def test_charts_write_names_where_numbers_stood() -> None:
    labels = np.array([2, 0, 1, 0, 2, 1])
    plan = np.eye(6) / 6
    option = heat_maps.plan_chart(plan, labels, names=PETS)
    for axis in (option["xAxis"][0], option["yAxis"][0]):
        assert words(axis) == ["tabby cat", "golden r…", "wolf"]
    plain = heat_maps.plan_chart(plan, labels)
    assert words(plain["xAxis"][0]) == ["0", "1", "2"]
    assert option["grid"]["left"] > plain["grid"]["left"]  # room for the names
    frame = Frame(plan[:, :2], plan[:, :2])
    marks = charts.map_chart(frame, labels, names=PETS)["series"][2]["data"]
    assert [mark[2] for mark in marks] == ["tabby cat", "golden r…", "wolf"]
    rows = sample_charts.rows_chart(plan[0], plan[0], labels, 0, names=PETS)
    assert words(rows["xAxis"][1]) == ["tabby cat", "golden r…", "wolf"]
    answers = sample_charts.prediction_chart([0.0], np.array([1]), 2, [1, 2], names=PETS)
    assert answers["yAxis"]["data"] == ["golden r…", "wolf"]
    assert answers["series"][0]["data"][0]["value"] == [0.0, 0]  # the place of class 1


def test_names_on_an_exported_map_of_a_hundred_classes_do_not_lie_on_one_another() -> None:
    labels = np.arange(300) % 100
    points = np.random.default_rng(0).uniform(-0.9, 0.9, size=(300, 2))
    figure = figures.joint_map(Frame(points, points), labels)
    name_points(figure.axes[0], ClassNames(tuple(f"class number {k}" for k in range(100))))
    FigureCanvasAgg(figure).draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_visible()]
    assert len(boxes) > 10
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])


def test_names_of_a_hundred_classes_and_of_any_letters_fit_on_the_axes() -> None:
    labels = np.arange(300) % 100
    names = ClassNames(tuple(f"class number {k}" for k in range(100)))
    option = heat_maps.plan_chart(np.eye(300) / 300, labels, names=names)
    assert len(words(option["xAxis"][0])) <= MOST
    some = ClassNames(NASTY_CLASSES)
    assert max(columns(some.short(label)) for label in range(len(NASTY_CLASSES))) <= 9
