"""Recordings: complete, repeatable, without a word of the machine; damaged steps are left out."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import ARMS, STEPS_AN_EPOCH, write_run

import lab
from lab import palette
from lab.reading.watch import Watch
from lab.viewer import packing, parts
from lab.viewer.frames import Part, unpack
from lab.viewer.packing import packed, thinned, unpacked, without_paths
from wcord.runs import Run

DEMO = Path(lab.__file__).parent / "demo" / "digits-compression"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_run(tmp_path_factory.mktemp("packing") / "run", epochs=8))


def of_kind(found: list[Part], kind: str) -> list[Part]:
    return [part for part in found if part.kind == kind]


def test_a_recording_has_what_the_view_shows_of_the_run(run: Run) -> None:
    found = unpacked(packed(run))
    watch = Watch(run.path)
    frames = {(part.about["step"], part.about["arm"]): part for part in of_kind(found, "frame")}
    assert set(frames) == {(step, arm) for step in run.steps for arm in ARMS}
    for (step, arm), frame in frames.items():
        plan = watch.picture(step, arm).plan
        share = plan / plan.sum(axis=1, keepdims=True)
        np.testing.assert_allclose((frame.arrays["plan"] / 255.0) ** 2, share, atol=0.005)
        assert frame.about["values"]["plan_cost"] == watch.picture(step, arm).values["plan_cost"]
    (status,) = of_kind(found, "status")
    assert status.about["steps"] == run.steps
    (curve,) = [part for part in of_kind(found, "curve") if part.about["name"] == "test_accuracy"]
    accuracy = watch.curves("test_accuracy")[1]
    for place, arm in enumerate(ARMS):
        np.testing.assert_allclose(curve.arrays[f"{place}.values"], accuracy[arm], rtol=1e-6)


def test_the_same_run_makes_the_same_bytes(run: Run) -> None:
    assert packed(run, ["wcord"], 3) == packed(Watch(run.path), ["wcord"], 3)


def test_chosen_arms_keep_their_colours_and_curves(tmp_path: Path) -> None:
    terms = {"ce": {"weight": 1.0}}
    names = ("odd", "even", "plain", "prime")
    run = Run(write_run(tmp_path / "run", arms=dict.fromkeys(names, terms)))
    found = unpacked(packed(run, ["prime", "even"]))
    (about,) = of_kind(found, "run")
    assert [arm["name"] for arm in about.about["arms"]] == ["even", "prime"]
    colours = palette.arm_colours(names)
    assert [arm["colours"][0] for arm in about.about["arms"]] == [colours["even"], colours["prime"]]
    (curve,) = [part for part in of_kind(found, "curve") if part.about["name"] == "test_accuracy"]
    series = Watch(run.path).curves("test_accuracy")[1]
    np.testing.assert_allclose(curve.arrays["0.values"], series["even"], rtol=1e-6)
    np.testing.assert_allclose(curve.arrays["1.values"], series["prime"], rtol=1e-6)
    assert {part.about["arm"] for part in of_kind(found, "frame")} == {"even", "prime"}


@pytest.mark.parametrize(
    ("wanted", "epochs"), [(1, [8]), (2, [0, 8]), (5, [0, 2, 4, 6, 8]), (None, range(9))]
)
def test_steps_are_spread_evenly(run: Run, wanted: int | None, epochs: list[int]) -> None:
    (status,) = of_kind(unpacked(packed(run, ["crd"], wanted)), "status")
    assert status.about["steps"] == [epoch * STEPS_AN_EPOCH for epoch in epochs]


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=80), st.integers(1, 70))
def test_thinning_keeps_the_ends_and_an_even_distance(chosen: set[int], most: int) -> None:
    steps = sorted(chosen)
    places = thinned(steps, most)
    assert len(places) == min(most, len(steps)) and places[-1] == len(steps) - 1
    assert places == sorted(set(places)) and (places[0] == 0 or most == 1)
    gaps = np.diff(places)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_steps_may_be_named(run: Run) -> None:
    steps = [3 * STEPS_AN_EPOCH, STEPS_AN_EPOCH]
    found = unpacked(packed(run, ["wcord"], steps))
    assert [part.about["step"] for part in of_kind(found, "frame")] == sorted(steps)
    with pytest.raises(ValueError, match="no snapshot of step 5"):
        packed(run, ["wcord"], [5])


def test_mistakes_are_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no arm 'wcrd'; it has plain, crd, wcord") as refused:
        packed(run, ["wcrd"])
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="at least one arm"):
        packed(run, [])
    with pytest.raises(ValueError, match="at least one"):
        packed(run, steps=0)
    with pytest.raises(ValueError, match="no snapshot that can be shown yet"):
        packed(Run(write_run(tmp_path / "new", upto=-1, state="starting")))


def test_a_damaged_snapshot_is_left_out_and_named(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path / "run", epochs=6, state="running"))
    damaged = 3 * STEPS_AN_EPOCH
    file = run.path / "snapshots" / f"{damaged}.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    for wanted, kept in ((None, [0, 1, 2, 4, 5, 6]), (3, [0, 2, 6])):
        found = unpacked(packed(run, ["wcord"], wanted))
        assert of_kind(found, "status")[0].about["steps"] == [k * STEPS_AN_EPOCH for k in kept]
        ((step, why),) = of_kind(found, "recording")[0].about["left_out"]
        assert step == damaged and "cannot be read" in why
        assert str(tmp_path) not in json.dumps([part.about for part in found])


def test_a_run_that_goes_on_is_recorded_as_it_stands(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path / "run", epochs=4, upto=2, state="running"))
    (status,) = of_kind(unpacked(packed(run)), "status")
    assert status.about["sentence"].startswith("recorded at step 28 of 56")
    assert status.about["phase"] == "recorded" and status.about["total"] == 56


def test_nothing_of_the_machine_is_in_it(tmp_path: Path) -> None:
    error = f"[Errno 2] no file: '{tmp_path}/my data/x.npz' on {socket.gethostname()}"
    run = Run(write_run(tmp_path / "run", state="failed", error=error))
    settings = run.path / "settings.yaml"
    settings.write_text(f"title: of {tmp_path}/pictures\n" + settings.read_text())
    content = gzip.decompress(packed(run, ["wcord"], 1))
    for private in (str(tmp_path), socket.gethostname(), str(Path.home())):
        assert private.encode() not in content
    (about,) = of_kind(unpacked(packed(run, ["wcord"], 1)), "run")
    assert about.about["title"] == "of …/pictures"


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/data/a.npz", "…/a.npz"),
        ("3 /4 of all", "3 /4 of all"),
        ("see /home/me/a.npz", "see …/a.npz"),
        ("folder:/home/me/cats", "folder:…/cats"),
        (r"C:\Users\me\cats is gone", "…/cats is gone"),
        ('"/home/my me/cats" is gone', '"…/cats" is gone'),
        ("~/runs/a and https://example.org/a/b", "…/a and https://example.org/a/b"),
        ("teacher/student, 5 / 6, λ₁/λ₂", "teacher/student, 5 / 6, λ₁/λ₂"),
    ],
)
def test_only_the_last_part_of_a_path_is_public(text: str, public: str) -> None:
    assert without_paths(text) == public


def test_images_are_those_of_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(DEMO)
    images = Watch(DEMO).sample_images()
    teacher, student = of_kind(unpacked(packed(run, ["wcord"], 1)), "images")
    assert student.about["same"] == np.array_equal(images.teacher, images.student)
    assert teacher.about["count"] == len(images.teacher)
    assert (teacher.about["height"], teacher.about["width"]) == images.teacher.shape[1:3]
    monkeypatch.setattr(packing, "MOST_IMAGE_BYTES", 10)
    (none,) = of_kind(unpacked(packed(run, ["wcord"], 1)), "images")
    assert none.about["why"] == packing.TOO_LARGE


def test_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DEMO, tmp_path / "run")
    settings = tmp_path / "run" / "settings.yaml"
    settings.write_text(settings.read_text().replace("download: false", "download: true"))
    asked = []

    def read(run: Run, snapshot: object) -> None:
        asked.append(run.settings.data.download)
        raise OSError("not here")

    monkeypatch.setattr("lab.reading.sample_images.read", read)
    packed(Run(tmp_path / "run"), ["wcord"], 1)
    assert asked == [False] and Run(tmp_path / "run").settings.data.download


def test_large_images_are_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 200, 100, 3), dtype=np.uint8)
    sides = type("Sides", (), {"_asdict": lambda self: {"teacher": images, "student": images}})()
    monkeypatch.setattr(Watch, "sample_images", lambda self: sides)
    first, second = of_kind(unpacked(packed(Run(DEMO), ["wcord"], 1)), "images")
    assert (first.about["height"], first.about["width"]) == (64, 32) and second.about["same"]


def test_without_the_data_it_says_so(run: Run) -> None:
    (images,) = of_kind(unpacked(packed(run, ["wcord"], 1)), "images")
    assert images.about["why"] == packing.NO_DATA
    assert not of_kind(unpacked(packed(run, ["wcord"], 1, images=False)), "images")


def test_parts_of_the_callers_own_come_last(run: Run) -> None:
    note = Part("note", {"text": "look"})
    found = unpacked(packed(run, ["wcord"], 1, name="a name", more=[note]))
    assert found[-1].kind == "note" and found[0].about["run"] == "a name"


def test_the_view_takes_it_as_a_first_packet(run: Run) -> None:
    one, other = (unpack(gzip.decompress(packed(run, [arm])))[0] for arm in ("plain", "wcord"))
    assert one["number"] == other["number"] == 1
    assert one["feed"] != other["feed"]  # else the second would be taken for the first again


@given(st.data())
def test_damaged_bytes_are_refused_in_one_line(data: st.DataObject) -> None:
    part = Part("samples", {"run": "x"}, {"labels": np.arange(50, dtype="i4")})
    content = bytearray(gzip.compress(packing.pack([part]), mtime=0))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        unpacked(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except ValueError as error:
        assert "\n" not in str(error)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LARGEST", 10_000)
    with pytest.raises(ValueError, match="far too large"):
        unpacked(gzip.compress(bytes(10**7)))


@pytest.mark.parametrize("differences", [True, False])
def test_frames_are_those_of_the_feed(run: Run, differences: bool) -> None:
    """What a recording shows is what a live view shows, byte for byte."""
    path = DEMO if differences else run.path
    content, watch = packed(Run(path), ["plain", "wcord"]), Watch(path)
    assert ("differences" in unpack(gzip.decompress(content))[0]) == differences
    frames = of_kind(unpacked(content), "frame")
    assert len(frames) == 2 * len(watch.run.steps)
    for frame in frames:
        about = frame.about
        live = parts.frame_part(watch, about["run"], about["arm"], about["step"])
        for name in set(live.arrays) - {"teacher", "student"}:  # a PCA may be turned otherwise
            np.testing.assert_array_equal(frame.arrays[name], live.arrays[name])


def test_where_snapshots_change_slowly_differences_take_fewer_bytes() -> None:
    content = packed(Run(DEMO), images=False)
    plain = packing.pack(unpacked(content), feed="", number=1, heard=0)
    assert len(content) < 0.95 * len(gzip.compress(plain))
