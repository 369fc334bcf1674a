"""Run directories: whole, half-written, foreign and missing files are read or refused."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import wcord
from wcord.cli import main
from wcord.runs import Snapshot, Status, find_run, is_locked, list_runs
from wcord.runs.storage import (
    StorageError,
    plain,
    remove_folder,
    safetensors_metadata,
    write_bytes,
    write_json,
)
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


def test_what_is_no_run_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    (tmp_path / "x" / "settings.yaml").mkdir(parents=True)
    create(tmp_path / "run", "name: x\n")
    assert [run.name for run in list_runs()] == ["run"]
    assert main(["runs"]) == 0 and capsys.readouterr().out.startswith("run ")


def test_a_run_that_is_deleted_while_the_folder_is_read_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kept", "lost"):
        create(tmp_path / name, "name: x\n")

    def created(path: Path) -> float:
        if path.name == "lost":
            shutil.rmtree(path)
        return 0.0

    monkeypatch.setattr("wcord.runs.run._created", created)
    assert [run.name for run in list_runs(tmp_path)] == ["kept"]


def content_of(run: wcord.Run, *, named: str = "crd", **arrays: np.ndarray) -> bytes:
    """Return the content of a snapshot of which some arrays of an arm are others."""
    content = (run.path / "snapshots" / f"{run.steps[-1]}.safetensors").read_bytes()
    metadata = safetensors_metadata(content)
    return save(load(content) | {f"{named}/{key}": a for key, a in arrays.items()}, metadata)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: b"", "it is empty"),
        (lambda content: content[:5], "it is cut off"),
        (lambda content: content[:99], "it is cut off"),
        (lambda content: content[:-1], "it is cut off"),
        (lambda content: b"\xff" * 50, "its bytes are damaged"),
        (lambda content: content[:8] + b"\xff" + content[9:], "its bytes are damaged"),
        (lambda content: save({"a": np.zeros(2)}, {"snapshot": "[]"}), "its bytes are damaged"),
        (lambda content: save({"a": np.zeros(2)}), "its bytes are damaged"),
    ],
)
def test_a_damaged_snapshot_is_refused_in_words_of_ours(
    copy: wcord.Run, change: Any, reason: str
) -> None:
    step = copy.steps[-1]
    path = copy.path / "snapshots" / f"{step}.safetensors"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match="cannot be read") as refused:
        copy.snapshot(step)
    assert str(refused.value) == f"snapshot {step}.safetensors cannot be read: {reason}"
    assert refused.value.__cause__ is not None


def test_a_folder_in_place_of_a_snapshot_is_named(copy: wcord.Run) -> None:
    path = copy.path / "snapshots" / f"{copy.steps[-1]}.safetensors"
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r"cannot be read: it is a folder$"):
        copy.snapshot()


@pytest.mark.parametrize(
    ("teacher", "student", "said"), [(16, 8, "16 and 8 features"), (0, 0, "0 and 0 features")]
)
def test_features_of_unlike_dimension_are_refused(
    copy: wcord.Run, teacher: int, student: int, said: str
) -> None:
    m, step = len(copy.snapshot().labels), copy.steps[-1]
    content = content_of(copy, teacher=np.zeros((m, teacher)), student=np.zeros((m, student)))
    (copy.path / "snapshots" / f"{step}.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=f"arm 'crd' have {said}: the same number"):
        copy.snapshot()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the processes that were started; no process is."""
    commands: list[list[str]] = []

    def start(command: list[str], **_: Any) -> Any:
        commands.append(command)
        return SimpleNamespace(pid=os.getppid(), wait=lambda: 0)

    monkeypatch.setattr("wcord.training.launch.subprocess.Popen", start)
    return commands


def test_a_run_is_started_once_however_often_it_is_asked(
    short: wcord.Experiment, tmp_path: Path, started: list[list[str]]
) -> None:
    run = create(tmp_path / "run", short.yaml())
    wcord.relaunch(run)
    assert run.status.state == "starting" and run.status.active
    run.pause()
    before = run.control, run.status
    with pytest.raises(ValueError, match=r"^run is being trained already$"):
        wcord.relaunch(run)
    assert (run.control, run.status) == before and len(started) == 1


def test_a_run_that_another_process_writes_is_not_started(
    short: wcord.Experiment, tmp_path: Path, started: list[list[str]]
) -> None:
    run = create(tmp_path / "run", short.yaml())
    writer = FileWriter(run)
    writer.write_status(now=True, state="running", step=5, total=10)
    run.stop()
    before = run.control, run.status
    with pytest.raises(ValueError, match=r"^run is being trained already$"):
        wcord.relaunch(run)
    assert (run.control, run.status) == before and not started
    writer.close()
    wcord.relaunch(run)
    assert len(started) == 1 and run.control["stop"] is False


def test_a_run_whose_process_cannot_start_can_be_started_again(
    short: wcord.Experiment, tmp_path: Path, started: list[list[str]]
) -> None:
    run = create(tmp_path / "run", short.yaml())
    (run.path / "log.txt").mkdir()
    with pytest.raises(OSError, match=r"log\.txt"):
        wcord.relaunch(run)
    assert run.status.phase == "interrupted" and not started
    (run.path / "log.txt").rmdir()
    wcord.relaunch(run)
    assert len(started) == 1
