"""Runs survive kills, signals, full disks, folders that vanish, and losses that become nan."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import wcord
from benchmarks import kills
from wcord.models import Network, Output, build
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, Shapes
from wcord.runs import checkpoints, is_locked
from wcord.runs.storage import StorageError, append, remove_temporary_files
from wcord.runs.writer import FileWriter, RunLocked, create
from wcord.settings.sections import OptimizerSettings
from wcord.training.arm import Arm

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_kills_are_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of what `python -m benchmarks.kills` does two hundred times."""
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))  # the campaign sets it
    survived = kills.campaign(3, tmp_path, 1, lambda line: None)
    runs = survived.pop("runs")
    assert survived.total() >= 3 and runs >= 1


def test_the_harness_sees_a_difference(finished: wcord.Run, tmp_path: Path) -> None:
    """An oracle that never objects proves nothing."""
    copies = [tmp_path / "one", tmp_path / "two"]
    for path in copies:
        shutil.copytree(finished.path, path)
    one, two = (wcord.Run(path) for path in copies)
    assert kills.differences(one, two) == []
    with open(two.path / "metrics.jsonl", "a") as file:
        file.write("{}\n")
    assert kills.differences(one, two) == ["metrics"]


# -- losses that break, without a wait for the host ----------------------------------------


def small_arm(optimizer: str, terms: dict[str, Any]) -> Arm:
    network = Network(build("digits-student", 1, (8, 8), 10, 0), (1, 8, 8))
    shapes = Shapes(network.feature_dim, network.feature_dim, 10, 10, True, 32)
    arm_terms = {name: TERMS[name].Settings.model_validate(s) for name, s in terms.items()}
    settings = OptimizerSettings(name=optimizer, lr=0.01)  # type: ignore[arg-type]
    return Arm("it", arm_terms, network, shapes, settings, 0, torch.device("cpu"))


def take(arm: Arm, step: int, broken: bool = False) -> None:
    draw = torch.Generator().manual_seed(step)
    index = torch.arange(16)
    label = torch.randint(10, (16,), generator=draw)
    batch = Batch(index, label, torch.ones(16, dtype=torch.bool), label, step, 0)
    images = torch.rand((16, 1, 8, 8), generator=draw)
    features = torch.rand((16, arm.student.feature_dim), generator=draw)
    logits = torch.rand((16, 10), generator=draw)
    if broken:
        logits[3, 4] = float("nan")
    arm.step(batch, Output(features, logits), images, 0.01, "float32")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("first", [0, 3])
def test_weights_stand_still_on_the_device(optimizer: str, first: int) -> None:
    """Without host checks an arm freezes at the same step, with the same weights, as with them.

    `found_inf` is supported by the fused optimizers of CPU and CUDA alike, so it is tested here.
    """
    terms: dict[str, Any] = {"ce": {}, "kd": {}}
    waiting, free = small_arm(optimizer, terms), small_arm(optimizer, terms)
    free.host_checks = False
    for step in range(first + 4):
        for arm in (waiting, free):
            take(arm, step, broken=step >= first)
    assert free.frozen is None
    free.freeze_if_broken()
    assert free.frozen == waiting.frozen == f"arm 'it' froze at step {first}: kd became nan"
    for ours, theirs in zip(free.parameters, waiting.parameters, strict=True):
        assert torch.equal(ours, theirs)
    assert free.losses() == waiting.losses()


def test_without_a_fault_both_paths_are_equal() -> None:
    waiting, free = (small_arm("adam", {"ce": {}, "kd": {}}) for _ in range(2))
    free.host_checks = False
    for step in range(4):
        take(waiting, step)
        take(free, step)
    free.freeze_if_broken()
    assert free.frozen is None
    ours, theirs = free.state(), waiting.state()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


# -- disks and folders ---------------------------------------------------------------------


def limited(code: str, size: int) -> subprocess.CompletedProcess[str]:
    """Run a program whose files may grow to `size` bytes: writes fail half-way through."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=limit
    )


@pytest.mark.slow
def test_a_full_disk_is_reported_and_nothing_is_lost(
    short: wcord.Experiment, finished: wcord.Run, tmp_path: Path
) -> None:
    """The operating system cuts the metrics off in the middle of a line; the run goes on later."""
    run = create(tmp_path / "run", short.yaml())
    code = (
        "import sys; from wcord.cli import main; import wcord.training.loop as t\n"
        "t.CHECKPOINT_EVERY = 0\n"
        f"sys.exit(main(['resume', {str(run.path)!r}, '--quiet']))"
    )
    size = max(p.stat().st_size for p in finished.path.glob("checkpoints/*"))
    done = limited(code, size - 100)  # the first checkpoint is a little too large
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0 and "Traceback" not in done.stderr
    assert not checkpoints.steps(run.path / "checkpoints")
    assert not list(run.path.glob("checkpoints/.*"))
    wcord.resume(run.path, progress=False)
    assert (run.path / "metrics.jsonl").read_bytes() == (
        finished.path / "metrics.jsonl"
    ).read_bytes()


def test_half_an_append_is_cut_off_again(tmp_path: Path) -> None:
    path = tmp_path / "file"

    class Short:
        """Writes three bytes, then finds the disk full."""

        def __init__(self) -> None:
            self.file = open(path, "ab", buffering=0)  # noqa: SIM115
            self.fileno, self.truncate = self.file.fileno, self.file.truncate
            self.left = 3

        def write(self, content: bytes) -> int:
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.left, count = 0, self.left
            return self.file.write(content[:count]) or 0

    path.write_bytes(b"before\n")
    with pytest.raises(OSError, match="No space"):
        append(Short(), b"after\n")
    assert path.read_bytes() == b"before\n"


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_folder_that_vanishes_is_reported(short: wcord.Experiment, tmp_path: Path) -> None:
    path = tmp_path / "run"

    def remove() -> None:
        while not (path / "snapshots" / "0.safetensors").exists():
            time.sleep(0.005)
        shutil.rmtree(path, ignore_errors=True)

    thread = threading.Thread(target=remove)
    thread.start()
    with pytest.raises(StorageError, match=r"its folder is gone|cannot write"):
        wcord.distill(short.replace({"epochs": 200}), path, progress=False)
    thread.join()


def test_a_dead_writer_holds_no_lock_and_a_living_one_does(tmp_path: Path) -> None:
    run = create(tmp_path / "run", "name: x\n")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        held = FileWriter(run)
        os.write(writer, b"!")
        time.sleep(60)
        held.close()
        os._exit(0)
    os.read(reader, 1)
    assert is_locked(run.path)
    with pytest.raises(RunLocked, match="another process"):
        FileWriter(run)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not is_locked(run.path)
    FileWriter(run).close()


def test_what_a_dead_writer_left_half_written_is_swept(tmp_path: Path) -> None:
    run = create(tmp_path / "run", "name: x\n")
    (run.path / "checkpoints").mkdir()
    left = run.path / "checkpoints" / ".7.safetensors.99.tmp"
    others = run.path / ".control.json.98.tmp"  # of somebody who steers at this moment
    for path in (left, others):
        path.write_bytes(b"half")
    remove_temporary_files(run.path)
    assert not left.exists() and others.exists()


@pytest.mark.parametrize("spoil", ["truncated", "swapped", "foreign", "header", "metrics"])
def test_the_checkpoint_before_is_used(
    finished: wcord.Run, tmp_path: Path, spoil: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused by name, whatever is wrong with the newest."""
    run = wcord.Run(shutil.copytree(finished.path, tmp_path / "run"))
    folder = run.path / "checkpoints"
    digest = checkpoints.digest_of((run.path / "settings.yaml").read_text("utf-8"))
    newest = checkpoints.steps(folder)[-1]
    tensors, header = checkpoints.read(folder, newest, digest)
    checkpoints.write(folder, newest + 1, tensors, header | {"metrics": 10})
    checkpoints.write(folder, newest + 2, tensors, header)
    path = folder / f"{newest + 2}.safetensors"
    content = path.read_bytes()
    if spoil == "truncated":
        path.write_bytes(content[:-1])
    elif spoil == "swapped":
        path.write_bytes((folder / f"{newest + 1}.safetensors").read_bytes())
    elif spoil == "foreign":
        checkpoints.write(folder, newest + 2, tensors, header | {"settings": "another"})
    elif spoil == "header":
        assert b'\\"frozen\\": {}' in content
        path.write_bytes(content.replace(b'\\"frozen\\": {}', b'\\"frozen\\":{} '))
        path.write_bytes(content.replace(b'\\"seconds\\": ', b'\\"seconds\\":-'))
    else:
        checkpoints.write(folder, newest + 2, tensors, header | {"metrics": 10**9})
    _, used = checkpoints.newest(run.path, digest)
    assert used["step"] == newest + 1
    assert f"{newest + 2}.safetensors" in capsys.readouterr().err


def test_a_signal_ends_a_run_with_a_checkpoint(
    short: wcord.Experiment, finished: wcord.Run, tmp_path: Path
) -> None:
    """SIGTERM as schedulers send it, here to this very process, between two steps."""
    path = tmp_path / "run"
    sent = threading.Event()

    def signal_once() -> None:
        while not (path / "snapshots" / "0.safetensors").exists():
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)
        sent.set()

    thread = threading.Thread(target=signal_once)
    thread.start()
    run = wcord.distill(short, path, progress=False)
    thread.join()
    assert sent.is_set()
    assert run.status.state in ("stopped", "finished")  # it may have been at its last step
    assert checkpoints.steps(path / "checkpoints")
    assert json.loads((path / "control.json").read_text())["stop"] is False
    wcord.resume(path, progress=False)
    assert (path / "metrics.jsonl").read_bytes() == (finished.path / "metrics.jsonl").read_bytes()


def test_half_precision_resumes_to_the_bit_on_a_cpu(
    short: wcord.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wcord.training.loop.CHECKPOINT_EVERY", 0.0)
    arms = {"wcord": short.plain()["arms"]["wcord"]}
    experiment = short.replace({"arms": arms, "epochs": 1, "precision": "bfloat16"})
    run = wcord.distill(experiment, tmp_path / "run", progress=False)
    whole = (run.path / "metrics.jsonl").read_bytes()
    weights = run.student("wcord").state_dict()
    newest = checkpoints.steps(run.path / "checkpoints")[-1]
    (run.path / "checkpoints" / f"{newest}.safetensors").unlink()
    (run.path / "summary.json").unlink()
    again = wcord.resume(run.path, progress=False)
    assert (run.path / "metrics.jsonl").read_bytes() == whole
    for name, value in again.student("wcord").state_dict().items():
        assert torch.equal(weights[name], value)


def test_nothing_is_ever_unpickled_and_yaml_is_plain_data() -> None:
    """But weight files of a user's own, of which torch reads tensors alone."""
    sources = [p for part in ("wcord", "lab", "studies") for p in (ROOT / part).rglob("*.py")]
    forbidden = re.compile(
        r"\bpickle\.|\bimport pickle|torch\.load\((?!.*weights_only=True)|joblib|"
        r"full_load|unsafe_load|"
        r"(?:Full|Unsafe)Loader|yaml\.C?Loader|"  # PyYAML loads by no other than a named loader
        r"allow_pickle=True|\beval\(['\"]|\bexec\("
    )
    found = [
        f"{path.name}: {line.strip()}"
        for path in sources
        for line in path.read_text("utf-8").splitlines()
        if forbidden.search(line)
    ]
    assert found == []
