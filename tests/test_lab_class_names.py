"""Class names: from the run to axes and cards, shortened, told apart, and as many as have room."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import NASTY_CLASSES, write_run
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lab import figures
from lab.reading.arrange import class_blocks, spaced
from lab.reading.layouts import Frame
from lab.words.class_names import (
    FEW,
    MOST,
    NUMBERS,
    ROOM,
    ClassNames,
    columns,
    cut,
    name_points,
    name_ticks,
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


def test_many_names_are_shortened_once() -> None:
    begin = time.perf_counter()
    names = ClassNames(tuple(f"class number {k}" for k in range(20_000)))
    assert names.short(7) == "…number 7"
    assert len({names.short(k) for k in range(20_000)}) == 20_000
    assert cut("a" * 100_000, 9) == "aaaaaaaa…"
    assert time.perf_counter() - begin < 10  # quadratic, it takes minutes


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
    axes = figures.plan(np.eye(300) / 300, labels).axes[0]
    name_ticks(axes, labels, names)
    assert 1 < len(axes.get_xticklabels()) == len(axes.get_yticklabels()) <= MOST
    some = ClassNames(NASTY_CLASSES)
    assert max(columns(some.short(label)) for label in range(len(NASTY_CLASSES))) <= ROOM


def test_names_stand_along_a_plan_where_numbers_stood() -> None:
    labels = np.array([2, 0, 1, 0, 2, 1])
    axes = figures.plan(np.eye(6) / 6, labels).axes[0]
    name_ticks(axes, labels, PETS)
    for side in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [text.get_text() for text in side] == ["tabby cat", "golden r…", "wolf"]
    assert {text.get_rotation() for text in axes.get_xticklabels()} == {90}
