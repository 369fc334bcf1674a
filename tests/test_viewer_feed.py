"""What a viewer is sent of its runs: once, in time, and one line where something is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from made_up_run import write_run
from safetensors.numpy import load, save

from lab.reading import map_worker
from lab.reading.layouts import Frame
from lab.reading.watch import Watch
from lab.viewer.feed import Feed, Opened
from lab.viewer.frames import Part, unpack
from lab.viewer.scene import from_address, move, scene, to_address
from wcord.runs.storage import safetensors_metadata


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


def test_a_record_of_the_data_is_known_once_it_is_written(runs: Runs) -> None:
    """A view may be opened while the run still reads its data."""
    feed = Feed(runs)
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert found["status"][0].about["data"] is False
    (runs.folder / "one" / "data.json").write_text("{}")
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert found["status"][0].about["data"] is True


def test_frames_are_sent_as_they_are_asked_for(runs: Runs) -> None:
    feed = Feed(runs)
    feed.packet([("one", "wcord")], None)
    feed.take_requests(
        1,
        [
            {
                "kind": "frames",
                "frames": [["one", "crd", 0], ["one", "crd", 28]],
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


def test_a_frame_that_the_view_let_go_is_sent_again(runs: Runs) -> None:
    feed = Feed(runs)
    for number in (1, 2):
        feed.packet([("one", "wcord")], None)
        feed.take_requests(number, [{"kind": "frames", "frames": [["one", "wcord", 28]]}])
        _, found = kinds(feed.packet([("one", "wcord")], None))
        assert [part.about["step"] for part in found["frame"]] == [28]


def test_another_run_of_the_same_name_is_sent_whole(runs: Runs) -> None:
    feed = Feed(runs)
    feed.packet([("one", "wcord")], None)
    runs.watches.clear()
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert {"run", "samples", "frame", "curve"} <= set(found)


def test_a_step_that_was_lost_or_half_copied_is_sent_when_it_is_there(runs: Runs) -> None:
    feed, file = Feed(runs), runs.folder / "one" / "snapshots" / "42.safetensors"
    whole = file.read_bytes()
    feed.packet([("one", "wcord")], None)
    file.unlink()
    feed.packet([("one", "wcord")], None)
    file.write_bytes(whole[:100])
    assert "missing" in kinds(feed.packet([("one", "wcord")], None))[1]
    assert kinds(feed.packet([("one", "wcord")], None))[1] == {}
    file.write_bytes(whole)
    _, found = kinds(feed.packet([("one", "wcord")], None))
    assert [part.about["step"] for part in found["frame"]] == [42]


@pytest.mark.parametrize(
    "line",
    [
        '{"step":50,"epoch":3,"arm":"wcord","name":"total","value":"abc"}',
        '{"step":50,"epoch":3,"arm":"wcord","name":"total","value":[1]}',
        '{"step":50,"epoch":3,"arm":"wcord","name":"total","value":1' + 400 * "0" + "}",
        '{"step":Infinity,"epoch":3,"arm":"wcord","name":"total","value":1}',
        100_000 * "[",
    ],
    ids=["word", "list", "huge", "infinite", "deep"],
)
def test_a_damaged_line_of_metrics_costs_one_value(runs: Runs, line: str) -> None:
    with (runs.folder / "one" / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    watch = Watch(runs.folder / "one")
    watch.metrics.poll()
    series = watch.metrics.series["wcord", "total"]
    assert len(series.steps) == len(series.epochs) == len(series.values)
    assert "curve" in kinds(Feed(runs).packet([("one", "wcord")], None))[1]


@pytest.mark.parametrize(
    "settings", ["pairing: [1]", "pairing: wrong", "classes: many", "arms: {}"], ids=str
)
def test_settings_of_odd_types_are_one_line(runs: Runs, settings: str) -> None:
    path = runs.folder / "one" / "settings.yaml"
    tree = yaml.safe_load(path.read_text()) | yaml.safe_load(settings)
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ValueError, match=r"the settings of one cannot be read: .*") as found:
        Watch(path.parent)
    assert "\n" not in str(found.value) and "object" not in str(found.value)


def test_a_run_that_cannot_be_read_is_one_line_said_once(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed(runs)

    def broken(*_: Any, **__: Any) -> Part:
        raise AttributeError("'list' object has no attribute 'get'")

    with monkeypatch.context() as patch:
        patch.setattr("lab.viewer.parts.run_part", broken)
        _, found = kinds(feed.packet([("one", "wcord")], None))
        assert "files are damaged" in found["trouble"][0].about["why"]
        assert kinds(feed.packet([("one", "wcord")], None))[1] == {}
    assert "run" in kinds(feed.packet([("one", "wcord")], None))[1]


@pytest.mark.parametrize("shape", [(0, 2), (3, 2), (60,), (60, 3)], ids=str)
@pytest.mark.parametrize("value", [0.5, np.nan])
def test_a_map_of_another_shape_or_without_places_is_not_shown(
    runs: Runs, shape: tuple[int, ...], value: float
) -> None:
    sides = np.full(shape, value, np.float32)
    path = runs.folder / "one"
    map_worker.write_frame(path, "wcord", 42, Frame(sides, sides))
    _, found = kinds(Feed(runs).packet([("one", "wcord")], None))
    assert found["frame"][0].about["method"] == "PCA" and "map" not in found


def test_values_that_are_not_finite_are_said_beside_good_ones(tmp_path: Path) -> None:
    path = write_run(tmp_path / "one")
    file = path / "snapshots" / "42.safetensors"
    header, arrays = json.loads(metadata_of(file)["snapshot"]), load(file.read_bytes())
    arrays["wcord/plan"] = np.full_like(arrays["wcord/plan"], np.nan)
    file.write_bytes(save(arrays, {"snapshot": json.dumps(header)}))
    [frame] = kinds(Feed(Runs(tmp_path)).packet([("one", "wcord")], None))[1]["frame"]
    assert "not defined" in frame.about["hints"]["plan"]


def metadata_of(file: Path) -> dict[str, str]:
    return safetensors_metadata(file.read_bytes())


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
