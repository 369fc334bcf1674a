"""Frames as bytes, and the parts of a run that they carry: against the run's own arrays."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs
from hypothesis.extra import numpy as hnp
from made_up_run import NASTY_ARM, NASTY_ARMS, NASTY_CLASSES, write_run
from PIL import Image

from lab.reading import map_worker
from lab.reading.layouts import REACH, Frame
from lab.reading.watch import Watch
from lab.viewer import frames, parts
from lab.viewer.frames import Part, pack, unpack

ARRAYS = hs.sampled_from(list(frames.TYPES)).flatmap(
    lambda kind: hnp.arrays(
        np.dtype(f"<{kind}"), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)
    )
)
WORDS = hs.dictionaries(
    hs.text(max_size=8), hs.none() | hs.booleans() | hs.integers(-99, 99), max_size=3
)


@given(
    hs.lists(
        hs.tuples(
            hs.text(max_size=9), WORDS, hs.dictionaries(hs.text(max_size=6), ARRAYS, max_size=3)
        ),
        max_size=4,
    ),
    WORDS,
)
def test_what_is_packed_is_unpacked(given_parts: Any, about: dict[str, Any]) -> None:
    sent = [
        Part(kind, {k: v for k, v in words.items() if k not in ("kind", "arrays")}, arrays)
        for kind, words, arrays in given_parts
    ]
    about = {key: value for key, value in about.items() if key != "parts"}
    content = pack(sent, **about)
    said, found = unpack(content)
    assert said == about and len(found) == len(sent)
    for one, other in zip(sent, found, strict=True):
        assert (one.kind, one.about) == (other.kind, other.about)
        assert list(one.arrays) == list(other.arrays)
        for name, array in one.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[name])
            assert array.dtype == other.arrays[name].dtype


def test_numbers_that_are_not_finite_are_null() -> None:
    content = pack(
        [Part("x", {"a": np.float32("nan"), "b": [1.5, float("inf")], "c": np.int64(3)})]
    )
    _, [part] = unpack(content)
    assert part.about == {"a": None, "b": [1.5, None], "c": 3}


def test_arrays_of_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="no arrays of complex128: z of x"):
        pack([Part("x", {}, {"z": np.zeros(2, complex)})])


def test_another_version_is_refused_by_name() -> None:
    content = bytearray(pack([]))
    content[4] = 9
    with pytest.raises(ValueError, match="frames of version 9; this lab reads version 1"):
        unpack(bytes(content))


@settings(max_examples=300)
@given(hs.data())
def test_damaged_bytes_are_one_line(data: hs.DataObject) -> None:
    content = bytearray(
        pack(
            [
                Part(
                    "frame",
                    {"arm": "a"},
                    {"plan": np.zeros((3, 3), "u1"), "own": np.zeros(3, "f4")},
                )
            ]
        )
    )
    for _ in range(data.draw(hs.integers(1, 6))):
        content[data.draw(hs.integers(0, len(content) - 1))] = data.draw(hs.integers(0, 255))
    content = content[: data.draw(hs.integers(0, len(content)))]
    try:
        unpack(bytes(content))
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 140


# ---------------------------------------------------------------------------------- parts of a run


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(write_run(tmp_path / "made-up", samples=60, batch=32))


def test_a_frame_holds_the_snapshot(watch: Watch) -> None:
    step = watch.run.steps[1]
    snapshot, arm = watch.snapshot(step), watch.snapshot(step).arm("wcord")
    part = parts.frame_part(watch, "made-up", "wcord", step)
    _, [part] = unpack(pack([part]))
    rows = arm.plan / arm.plan.sum(1, keepdims=True)
    np.testing.assert_allclose((part.arrays["plan"] / 255.0) ** 2, rows, atol=2.1 / 255)
    about = part.about
    width = about["high"] - about["low"]
    read = about["low"] + part.arrays["scores"] / 255.0 * width
    np.testing.assert_allclose(read, arm.scores, atol=width / 509)
    np.testing.assert_array_equal(part.arrays["own"], np.diag(arm.scores))
    np.testing.assert_array_equal(part.arrays["answers"], arm.prediction)
    np.testing.assert_allclose(part.arrays["shares"].sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(part.arrays["cosines"].sum(1), 1, rtol=1e-5)
    assert about["values"]["plan_cost"] == pytest.approx(arm.values["plan_cost"])
    mass = arm.plan[arm.plan > 0]
    assert about["values"]["entropy"] == pytest.approx(-(mass * np.log(mass)).sum(), rel=1e-4)
    assert about["epoch"] == snapshot.epoch and about["critic"] and not about["fitted"]


def test_neighbours_are_the_nearest(watch: Watch) -> None:
    step = watch.run.steps[-1]
    arm = watch.snapshot(step).arm("crd")
    part = parts.frame_part(watch, "made-up", "crd", step)
    for side in ("teacher", "student"):
        features = getattr(arm, side)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        for sample in range(len(arm.plan)):
            others = [i for i in range(len(unit)) if i != sample]
            nearest = max(others, key=lambda i: float(unit[i] @ unit[sample]))
            assert part.arrays[f"near_{side}"][sample, 0] == nearest


def test_a_frame_of_usual_size_is_as_large_as_documented(tmp_path: Path) -> None:
    watch = Watch(write_run(tmp_path / "run", epochs=1, samples=1000, batch=128))
    content = pack([parts.frame_part(watch, "run", "wcord", watch.run.steps[-1])])
    assert 40_000 < len(content) < 60_000


def test_places_are_those_of_the_map(watch: Watch) -> None:
    step = watch.run.steps[-1]
    principal = parts.frame_part(watch, "made-up", "crd", step)
    assert principal.about["method"] == "PCA"
    rng = np.random.default_rng(0)
    frame = Frame(rng.normal(size=(60, 2)), 3 * rng.normal(size=(60, 2)))
    map_worker.write_frame(watch.run.path, "crd", step, frame)
    part = parts.map_part(watch, "made-up", "crd", step)
    assert part is not None
    for side, points in frame._asdict().items():
        read = part.arrays[side] / parts.FINEST * REACH
        np.testing.assert_allclose(read, points.clip(-REACH, REACH), atol=2e-3)
    assert parts.map_part(watch, "made-up", "plain", step) is None
    assert parts.frame_part(watch, "made-up", "crd", step).about["method"] == "UMAP"


def test_curves_come_once_and_then_what_is_new(tmp_path: Path) -> None:
    path = write_run(tmp_path / "made-up", epochs=3, upto=1)
    watch = Watch(path)
    sent: dict[tuple[str, str], int] = {}

    def take() -> dict[str, Any]:
        found = {}
        for part in parts.curve_parts(watch, "made-up", sent):
            for arm, count in part.about["counts"].items():
                sent[arm, part.about["name"]] = count
            found[part.about["name"]] = part
        return found

    first = take()
    assert first["test_accuracy"].about["fresh"] == watch.arms
    np.testing.assert_allclose(first["test_accuracy"].arrays["0.epochs"], [0, 1])
    assert take() == {}
    write_run(path, epochs=3, upto=2)
    later = take()["test_accuracy"]
    assert later.about["fresh"] == [] and later.arrays["2.epochs"].tolist() == [2.0]
    assert "ce" in first and "gckt" in first and "same_class_mass" in first


def test_names_of_all_kinds_pass(tmp_path: Path) -> None:
    watch = Watch(write_run(tmp_path / "nasty", arms=NASTY_ARMS, classes=NASTY_CLASSES))
    run = parts.run_part(watch, "nasty", ours=True)
    frame = parts.frame_part(watch, "nasty", NASTY_ARM, 14)
    _, found = unpack(pack([run, frame]))
    assert [arm["name"] for arm in found[0].about["arms"]] == list(NASTY_ARMS)
    assert found[0].about["classes"][3][1] == NASTY_CLASSES[3]
    assert found[1].about["arm"] == NASTY_ARM
    json.dumps(found[0].about)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_arrays_without_meaning_are_drawn_as_nothing(tmp_path: Path, value: float) -> None:
    plan = np.full((4, 4), value)
    assert not parts.plan_in_bytes(plan).any() or value == np.inf
    bytes_, low, high = parts.in_bytes(np.full((4, 4), value))
    assert bytes_.dtype == np.uint8 and np.isfinite([low, high]).all()


def test_images_of_equal_sides_are_sent_once() -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (40, 8, 6, 3), dtype=np.uint8)
    one, same = parts.image_parts("run", {"teacher": images, "student": images.copy()})
    assert same.about["same"] and one.about["width"] == 6 and one.about["count"] == 40
    sheet = np.asarray(Image.open(io.BytesIO(one.arrays["png"].tobytes())))
    y, x = divmod(35, parts.IMAGES_WIDE)
    np.testing.assert_array_equal(sheet[8 * y : 8 * y + 8, 6 * x : 6 * x + 6], images[35])
