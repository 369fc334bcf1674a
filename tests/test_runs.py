"""Run directories: whole, half-written, foreign and missing files are read or refused."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wcord
from wcord.runs import Snapshot, Status, find_run, is_locked, list_runs
from wcord.runs.storage import StorageError, plain, remove_folder, write_bytes, write_json
from wcord.runs.writer import FileWriter, RunLocked, create


@pytest.fixture
def copy(finished: wcord.Run, tmp_path: Path) -> wcord.Run:
    shutil.copytree(finished.path, tmp_path / "copy")
    return wcord.Run(tmp_path / "copy")


def test_a_path_without_a_run_is_refused(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "absent", "absent"):
        with pytest.raises(ValueError, match=r"settings\.yaml is missing"):
            wcord.Run(name)


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "/etc", ".hidden", "a\\b", "", "a..b"])
def test_names_that_could_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot name a run"):
        find_run(name, tmp_path)


def test_runs_are_listed_newest_first_and_found_by_name(
    runs_of_the_session: Path, finished: wcord.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    assert list_runs() == []
    for name in ("one", "two"):
        create(tmp_path / name, "name: x\n")
        time.sleep(0.02)
    (tmp_path / "no run").mkdir()
    assert [run.name for run in list_runs()] == ["two", "one"]
    assert wcord.Run("one").path == tmp_path / "one" == find_run("one").path


def test_a_torn_last_line_is_left_out(copy: wcord.Run) -> None:
    before = len(copy.metrics())
    with open(copy.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 3, "epoch": 0.1, "arm": "kd", "na')
    assert len(copy.metrics()) == before


def test_nothing_yet_is_an_empty_table(tmp_path: Path) -> None:
    run = create(tmp_path / "run", "name: x\n")
    assert list(run.metrics().columns) == ["step", "epoch", "arm", "name", "value"]
    assert run.steps == [] and run.summary is None
    assert run.status.state == "starting"
    with pytest.raises(ValueError, match="none yet"):
        run.snapshot()


def test_not_a_number_stays_one(tmp_path: Path) -> None:
    run = create(tmp_path / "run", "name: x\n")
    writer = FileWriter(run)
    writer.open_metrics(0)
    writer.record(1, 0.5, "a", {"x": float("nan"), "y": 1.0})
    writer.flush()
    writer.close()
    values = run.metrics().set_index("name").value
    assert np.isnan(values["x"]) and values["y"] == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "noise"])
def test_a_damaged_snapshot_is_named(copy: wcord.Run, damage: str) -> None:
    step = copy.steps[-1]
    path = copy.path / "snapshots" / f"{step}.safetensors"
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:99], "empty": b"", "noise": b"\xff" * 50}[damage])
    with pytest.raises(ValueError, match=f"snapshot {step}.safetensors cannot be read"):
        copy.snapshot(step)
    assert copy.snapshot(copy.steps[0]).arms  # the others go on


def test_the_message_for_an_unknown_step_or_arm_lists_the_known_ones(finished: wcord.Run) -> None:
    with pytest.raises(ValueError, match=r"no snapshot of step 7.*0 to 33"):
        finished.snapshot(7)
    with pytest.raises(ValueError, match=r"no arm 'x'.*wcord"):
        finished.snapshot().arm("x")


def test_a_writer_is_alive_until_it_closes(tmp_path: Path) -> None:
    run = create(tmp_path / "run", "name: x\n")
    writer = FileWriter(run)
    writer.write_status(now=True, state="running", total=10)
    assert run.status["alive"] is True and is_locked(run.path)
    with pytest.raises(RunLocked, match="another process"):
        FileWriter(run)
    with pytest.raises(ValueError, match="stop it first"):
        run.delete()
    writer.close()
    assert run.status["alive"] is False
    assert "resume continues" in run.status.sentence


def test_a_run_elsewhere_is_never_called_dead(tmp_path: Path) -> None:
    run = create(tmp_path / "run", "name: x\n")
    entries = {"state": "running", "step": 3, "total": 9, "host": "far away", "error": None}
    write_json(run.path / "status.json", entries | {"heartbeat": time.time() - 60})
    assert run.status["alive"] is None
    assert "no sign for 60 s" in run.status.sentence
    write_json(run.path / "status.json", entries | {"heartbeat": time.time()})
    assert run.status.sentence == "running, step 3 of 9"


def test_steering_is_idempotent_and_keeps_the_pace(tmp_path: Path) -> None:
    run = create(tmp_path / "run", "name: x\n")
    write_json(run.path / "status.json", {"step": 5, "total": 9, "host": socket.gethostname()})
    run.pace(0.5)
    run.pause()
    run.pause()
    assert run.control == {"pause_at": 0, "stop": False, "delay": 0.5}
    run.step()
    assert run.control["pause_at"] == 6
    run.step(10)
    assert run.control["pause_at"] == 15
    run.resume()
    run.stop()
    assert run.control == {"pause_at": None, "stop": True, "delay": 0.5}
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="delay"):
            run.pace(wrong)


def test_snapshots_are_thinned_evenly_with_first_and_last(tmp_path: Path) -> None:
    run = create(tmp_path / "run", "name: x\n")
    writer = FileWriter(run)
    for step in range(100):
        writer.write_snapshot(step, b"x", limit=10)
    writer.close()
    steps = run.steps
    assert len(steps) == 10 and steps[0] == 0 and steps[-1] == 99
    gaps = np.diff(steps)
    assert gaps.max() <= 3 * max(1, np.median(gaps))


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"before")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(StorageError, match="disk is full"):
        write_bytes(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StorageError, match="cannot write"):
        write_bytes(tmp_path / "absent" / "file", b"")


def test_plain_values_are_json() -> None:
    value = {"a": np.float32(1.5), "b": [float("inf"), np.int64(2)], "c": (None, "x")}
    assert json.loads(json.dumps(plain(value))) == {"a": 1.5, "b": [None, 2], "c": [None, "x"]}


PHASES: list[tuple[dict[str, Any], str, bool]] = [
    ({"state": "running", "alive": True}, "running", True),
    ({"state": "paused", "alive": None, "heartbeat": 0.0}, "silent", False),
    ({"state": "starting", "alive": False}, "interrupted", False),
    ({"state": "finished", "alive": False}, "finished", False),
    ({"state": "failed", "alive": False}, "failed", False),
]


@pytest.mark.parametrize(("entries", "phase", "active"), PHASES)
def test_the_phase_follows_from_state_life_and_heartbeat(
    entries: dict[str, Any], phase: str, active: bool
) -> None:
    status = Status(**entries)
    assert (status.phase, status.active) == (phase, active)
    assert phase in status.sentence or "no sign" in status.sentence


def test_a_run_that_ends_while_it_is_read_is_not_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer writes its final state and frees the lock after status.json was read."""
    run = create(tmp_path / "run", "name: x\n")
    writer = FileWriter(run)
    writer.write_status(state="running")

    def end(path: Path) -> bool:
        writer.write_status(state="finished")
        writer.close()
        return is_locked(path)

    monkeypatch.setattr("wcord.runs.read_status.is_locked", end)
    assert run.status.phase == "finished"


def test_entries_of_a_status_are_attributes_and_keys() -> None:
    status = Status(state="running", step=1)
    assert status.state == status["state"] == "running" and status["step"] == 1
    with pytest.raises(KeyError, match="speed"):
        status["speed"]


def test_reading_needs_no_torch(finished: wcord.Run) -> None:
    """Pages open before torch is imported."""
    import subprocess
    import sys

    code = (
        "import sys, wcord.runs as r\n"
        f"run = r.Run({str(finished.path)!r})\n"
        "run.metrics(), run.status, run.snapshot().arm('wcord'), run.plain_settings\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_snapshot_read_is_public(finished: wcord.Run) -> None:
    step = finished.steps[0]
    assert Snapshot.read(finished.path / "snapshots" / f"{step}.safetensors").step == step


def test_a_folder_that_is_written_while_it_is_removed_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "maps").mkdir(parents=True)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with suppress(StorageError):
                write_bytes(folder / "maps" / "one", b"x")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            remove_folder(folder)
            assert list(tmp_path.iterdir()) == []
            (folder / "maps").mkdir(parents=True)
    finally:
        stop.set()
        writer.join()
    with pytest.raises(StorageError, match="cannot be removed: No such file"):
        remove_folder(tmp_path / "no such run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
