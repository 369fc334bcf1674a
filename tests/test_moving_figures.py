"""Figures that move without a kernel: whole, sealed, small, and true to what they show."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path

import numpy as np
import ot
import pytest
from test_viewer_page import Reader, policy, sha

from lab.course import critic_recordings, moving_figures
from lab.course.moving_figures import FIGURES
from lab.course.tour_stops import STOPS, Stop
from lab.viewer.cloud_scene import CONSTRAINTS
from lab.viewer.frames import Part, unpack
from lab.viewer.packing import unpacked
from lab.words import equations, playground, vocabulary

LARGEST, LARGEST_TOGETHER = 1_200_000, 6_000_000  # bytes


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of every figure by its name, as `write` writes it."""
    files = moving_figures.write(tmp_path_factory.mktemp("figures") / "new")
    return {file.stem: file.read_text("utf-8") for file in files}


def recording(text: str) -> bytes:
    return base64.b64decode(Reader(text).texts["script"][0])


def about(text: str) -> dict:
    (main,) = [attributes for tag, attributes in Reader(text).tags if tag == "main"]
    return json.loads(str(main["data-figure"]))


def test_there_is_one_for_every_stop_and_four_more(texts: dict[str, str]) -> None:
    assert set(texts) == {"run", "clouds", "entropy", "critic", *(stop.key for stop in STOPS)}
    for name, figure in FIGURES.items():
        assert figure.title and figure.words.endswith(".")
        assert figure.words in Reader(texts[name]).texts["p"][0]


def test_they_are_small(texts: dict[str, str]) -> None:
    sizes = {name: len(text.encode()) for name, text in texts.items()}
    assert max(sizes.values()) < LARGEST and sum(sizes.values()) < LARGEST_TOGETHER, sizes


@pytest.mark.parametrize("name", FIGURES)
def test_they_are_sealed(texts: dict[str, str], name: str) -> None:
    read, allowed = Reader(texts[name]), policy(texts[name])
    _, script = read.texts["script"]
    assert allowed.pop("script-src") == [sha(script)]
    assert allowed.pop("style-src") == [sha(read.texts["style"][0])]
    assert allowed.pop("img-src") == ["data:", "blob:"]
    assert allowed and all(sources == ["'none'"] for sources in allowed.values())
    for tag, attributes in read.tags:
        assert tag not in ("link", "iframe", "img", "object", "base", "form", "a")
        assert not any(key.startswith("on") or key in ("style", "src") for key in attributes)
    bare = script.replace("http://www.w3.org/1998/Math/MathML", "")
    assert not re.search(r"\beval\(|new Function|\bfetch\(|import\(|https?://", bare)


@pytest.mark.parametrize("name", ["clouds", "critic", "unpaired"])
def test_a_figure_is_always_the_same(texts: dict[str, str], name: str) -> None:
    assert FIGURES[name].make() == texts[name]


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
def test_a_stop_shows_what_its_recording_has(texts: dict[str, str], stop: Stop) -> None:
    text = texts[stop.key]
    parts, scene = unpacked(recording(text)), about(text)["scene"]
    (run,) = [part for part in parts if part.kind == "run"]
    frames = {(part.about["run"], part.about["arm"]) for part in parts if part.kind == "frame"}
    assert {tuple(side) for side in scene["sides"]} <= frames
    assert [arm for _, arm in scene["sides"]] == list(stop.cured)
    named = {panel.split(":")[1] for panel in scene["panels"] if ":" in panel}
    assert named == set(stop.curves) <= set(run.about["definitions"])
    steps = next(part for part in parts if part.kind == "status").about["steps"]
    notes = [part.about["at"] for part in parts if part.kind == "note"]
    assert len(notes) == 1 and {str(step) for step in steps} <= set(notes[0])


def test_a_cloud_can_have_every_number_of_points_that_is_offered(texts: dict[str, str]) -> None:
    offers = about(texts["clouds"])["offers"]
    _, parts = unpack(gzip.decompress(recording(texts["clouds"])))
    assert [part.about["points"] for part in parts] == offers["points"]
    assert about(texts["clouds"])["scene"]["points"] in offers["points"]
    assert offers["solvers"] == ["sinkhorn"] and not offers["critic"]
    assert "batch" not in offers["spaces"]


# ------------------------------------------------------------------------- recorded critics


@pytest.fixture(scope="module")
def critics() -> list[Part]:
    """The parts of the recording that ships with the lab."""
    return unpack(gzip.decompress(critic_recordings.FILE.read_bytes()))[1]


def test_there_is_a_recording_of_every_constraint(critics: list[Part]) -> None:
    found = [(p.about["clouds"], p.about["constraint"]) for p in critics if "constraint" in p.about]
    assert found == [(name, kind) for name in critic_recordings.clouds() for kind in CONSTRAINTS]


def test_recorded_distances_are_exact_and_bounds_never_pass_them(critics: list[Part]) -> None:
    distances = {}
    for name, (_, source, target) in critic_recordings.clouds().items():
        gaps = np.linalg.norm(source[:, None] - target[None], axis=2)
        distances[name] = ot.emd2(*(np.full(len(x), 1 / len(x)) for x in (source, target)), gaps)
    for part in critics:
        if part.kind == "critic clouds":
            assert part.about["distance"] == pytest.approx(distances[part.about["name"]], abs=1e-9)
            continue
        raw, slope, bound = part.arrays["numbers"].T
        assert np.all(bound <= distances[part.about["clouds"]] + 1e-5)
        steep = slope > 1e-3  # not the linear critic, whose raw value is that of rounding
        np.testing.assert_allclose(
            bound[steep], np.maximum(raw[steep] / slope[steep], 0), rtol=1e-4, atol=1e-6
        )
        steps = part.arrays["steps"]
        history = {int(step): row for step, *row in part.arrays["history"]}
        for step, one, other in zip(steps, raw, bound, strict=True):
            np.testing.assert_allclose(history[int(step)], [one, other], atol=1e-6)


@pytest.mark.parametrize(("clouds", "constraint"), [("shift", "orthogonal"), ("rings", "clipping")])
def test_a_recording_is_what_training_gives(
    critics: list[Part], clouds: str, constraint: str
) -> None:
    shipped = next(
        part
        for part in critics
        if (part.about.get("clouds"), part.about.get("constraint")) == (clouds, constraint)
    )
    _, source, target = critic_recordings.clouds()[clouds]
    made = critic_recordings.steps_part(clouds, constraint, source, target, last=30)
    count = len(made.arrays["steps"])
    for name in ("steps", "numbers", "spans"):
        np.testing.assert_allclose(
            made.arrays[name], shipped.arrays[name][:count], rtol=1e-3, atol=1e-4
        )
    apart = made.arrays["heights"].astype(int) - shipped.arrays["heights"][:count].astype(int)
    assert np.abs(apart).max() <= 0.01 * np.iinfo(made.arrays["heights"].dtype).max


# -------------------------------------------------------------------------------- the letters


def test_g_is_a_potential_and_the_critic_is_phi() -> None:
    """One letter, one meaning: critic φ, its slope L, potentials f and g."""
    dual = equations.dependency(critic=True)
    assert dual.latex.count(r"\varphi") == 2 and "{L}" in dual.latex and "K" not in dual.latex
    assert "critic φ" in equations.TERMS["gckt"]
    assert "L" in vocabulary.GLOSSARY and "K" not in vocabulary.GLOSSARY
    for metric in vocabulary.METRICS.values():
        assert not re.search(r"(?<![A-Za-z\\])[gK](?![A-Za-z])", metric.latex), metric.latex
    for name in ("critic line", "critic plane", "progress"):
        board = playground.BOARDS[name]
        for latex in board.equations.values():
            assert r"\varphi" in latex
            assert not re.search(r"(?<![A-Za-z\\:])[gK](?![A-Za-z])", latex), latex
        assert "critic g" not in board.help
    assert "g" in playground.DUAL and "_T" not in "".join(playground.PRIMAL.values())
    for file in Path(moving_figures.__file__).parents[1].joinpath("viewer").glob("*.js"):
        text = file.read_text("utf-8")
        assert "critic g" not in text and "score g" not in text and '"g(x)"' not in text
