"""What a viewer is sent of its runs: once, in time, and one line where something is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_run import write_run

from lab.reading import map_worker
from lab.reading.layouts import Frame
from lab.reading.watch import Watch
from lab.viewer.feed import Feed, Opened
from lab.viewer.frames import Part, unpack
from lab.viewer.scene import from_address, move, scene, to_address


class Runs:
    """Opens made-up runs by name, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watches: dict[str, Watch] = {}

    def __call__(self, name: str) -> Opened:
        path = self.folder / name
        if not (path / "settings.yaml").is_file():
            raise ValueError(f"no run {name!r}")
        if name not in self.watches:
            self.watches[name] = Watch(path)
        return Opened(self.watches[name], True)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    write_run(tmp_path / "one")
    return Runs(tmp_path)


def kinds(packet: bytes) -> tuple[dict[str, Any], dict[str, list[Part]]]:
    about, parts = unpack(packet)
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.kind, []).append(part)
    return about, found


def test_the_first_packet_is_all_that_a_picture_needs(runs: Runs) -> None:
    about, found = kinds(Feed(runs).packet([("one", "wcord")], None))
    assert set(found) == {"run", "status", "samples", "frame", "curve"}
    [frame] = found["frame"]
    assert (frame.about["arm"], frame.about["step"]) == ("wcord", 42)
    assert about["number"] == 1 and about["acknowledged"] == ""


def test_nothing_is_sent_twice_until_the_view_begins_again(runs: Runs) -> None:
    feed = Feed(runs)
    first, _ = kinds(feed.packet([("one", "wcord")], None))
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert found == {}
    feed.take_requests(1, [{"kind": "hello"}])
    about, found = kinds(feed.packet([("one", "wcord")], 14))
    assert about["feed"] != first["feed"] and about["number"] == 1 and about["acknowledged"] == 1
    assert found["frame"][0].about["step"] == 14 and "run" in found


def test_frames_are_sent_as_they_are_asked_for(runs: Runs) -> None:
    feed = Feed(runs)
    feed.packet([("one", "wcord")], None)
    feed.take_requests(
        1,
        [
            {
                "kind": "frames",
                "frames": [["one", "crd", 0], ["one", "wcord", 42], ["one", "crd", 28]],
            }
        ],
    )
    sent = []
    while feed.behind or not sent:
        sent += kinds(feed.packet([("one", "wcord")], None))[1].get("frame", [])
    assert [(f.about["arm"], f.about["step"]) for f in sent] == [("crd", 0), ("crd", 28)]


def test_maps_follow_when_they_are_drawn(runs: Runs) -> None:
    feed = Feed(runs)
    feed.packet([("one", "wcord")], None)
    frame = Frame(np.zeros((60, 2)), np.ones((60, 2)))
    map_worker.write_frame(runs.folder / "one", "wcord", 42, frame)
    map_worker.write_frame(runs.folder / "one", "crd", 42, frame)  # of which no frame was sent
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert [(m.about["arm"], m.about["step"]) for m in found["map"]] == [("wcord", 42)]
    assert "map" not in kinds(feed.packet([("one", "wcord")], None))[1]


def test_a_run_that_grows_sends_what_is_new(tmp_path: Path) -> None:
    write_run(tmp_path / "grows", epochs=5, upto=1, state="running")
    feed = Feed(Runs(tmp_path))
    feed.packet([("grows", "wcord")], None)
    write_run(tmp_path / "grows", epochs=5, upto=2, state="running")
    _, found = kinds(feed.packet([("grows", "wcord")], None))
    assert found["status"][0].about["steps"] == [0, 14, 28]
    assert [f.about["step"] for f in found["frame"]] == [28]
    assert found["curve"] and "run" not in found
    _, found = kinds(feed.packet([("grows", "wcord")], 0))  # back in time: the newest is not sent
    assert [f.about["step"] for f in found["frame"]] == [0]


def test_a_run_without_a_snapshot_is_waited_for(tmp_path: Path) -> None:
    path = write_run(tmp_path / "new", state="starting")
    shutil.rmtree(path / "snapshots")
    _, found = kinds(Feed(Runs(tmp_path)).packet([("new", "wcord")], None))
    assert found["status"][0].about["steps"] == [] and "frame" not in found


def test_a_damaged_snapshot_costs_its_own_step_only(runs: Runs) -> None:
    (runs.folder / "one" / "snapshots" / "42.safetensors").write_bytes(b"half")
    feed = Feed(runs)
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert found["missing"][0].about["step"] == 42 and "\n" not in found["missing"][0].about["why"]
    assert found["samples"] and found["curve"]
    feed.take_requests(1, [{"kind": "frames", "frames": [["one", "wcord", 28]]}])
    assert kinds(feed.packet([("one", "wcord")], None))[1]["frame"][0].about["step"] == 28


def test_a_run_that_is_deleted_is_one_line_and_comes_back(runs: Runs) -> None:
    feed = Feed(runs)
    feed.packet([("one", "wcord")], None)
    shutil.rmtree(runs.folder / "one")
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert [part.about["why"] for part in found["trouble"]] == ["no run 'one'"]
    assert kinds(feed.packet([("one", "wcord")], None))[1] == {}  # said once
    write_run(runs.folder / "one")
    runs.watches.clear()
    assert "status" in kinds(feed.packet([("one", "wcord")], None))[1]


def test_a_run_that_was_shown_before_may_be_deleted(runs: Runs) -> None:
    write_run(runs.folder / "two")
    feed = Feed(runs)
    feed.packet([("one", "wcord")], None)
    shutil.rmtree(runs.folder / "one")
    _, found = kinds(feed.packet([("two", "wcord")], None))
    assert found["frame"][0].about["run"] == "two" and "trouble" not in found


def test_an_arm_that_there_is_not_sends_no_frame(runs: Runs) -> None:
    _, found = kinds(Feed(runs).packet([("one", "nonsense")], None))
    assert "frame" not in found and found["run"]


def test_questions_that_make_no_sense_change_nothing(runs: Runs) -> None:
    feed = Feed(runs)
    feed.packet([("one", "wcord")], None)
    feed.take_requests(
        1, [{"kind": "frames", "frames": [["two", "x", 3], ["one", "x", 99]]}, {"kind": "?"}]
    )
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert "frame" not in found


def test_images_that_are_not_here_are_one_line(runs: Runs) -> None:
    feed = Feed(runs)
    feed.packet([("one", "wcord")], None)
    feed.take_requests(1, [{"kind": "images", "run": "one"}])
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert found["images"][0].about["why"]


# --------------------------------------------------------------------------------------- scenes


def test_an_address_leads_back_to_a_scene() -> None:
    shown = scene(
        [("a", "b")], step=149, selected=[3, 17], present="plan", loss="gckt", measure="cka"
    )
    back = from_address(to_address(shown))
    assert {key: shown[key] for key in back} == back and len(back) == 5
    assert to_address(scene([("a", "b")])) == {}


@pytest.mark.parametrize("step", ["-1", "x", "1e3", "²", "9" * 30, ""])
def test_nonsense_in_an_address_is_passed_over(step: str) -> None:
    assert from_address({"step": step, "samples": "3,x,,1e9,17,3"}) == {"selected": [3, 17]} or (
        "step" not in from_address({"step": step})
    )


def test_a_move_is_counted() -> None:
    shown = scene([("a", "b")])
    move(shown, step=5)
    move(shown, sides=[["c", "d"]])
    assert shown["moves"] == 2 and shown["step"] == 5
