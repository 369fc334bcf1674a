"""The loop: arms that do not touch each other, and runs that go on as if never interrupted."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import wcord
from wcord.runs import checkpoints
from wcord.runs.writer import FileWriter, RunLocked
from wcord.training.loop import Training, checkpoint_interval
from wcord.training.optimizer import learning_rate


def final_weights(run: wcord.Run, arm: str) -> dict[str, torch.Tensor]:
    return dict(run.student(arm).state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def metrics_of(run: wcord.Run, arm: str) -> pd.DataFrame:
    frame = run.metrics()
    return frame[frame.arm == arm].reset_index(drop=True)


def test_an_arm_is_the_same_alone_and_beside_others(
    short: wcord.Experiment, finished: wcord.Run, tmp_path: Path
) -> None:
    for arm in ("plain", "wcord"):
        alone = short.replace({"arms": {"other name": short.arms[arm]}})
        run = wcord.distill(alone, tmp_path / arm, progress=False)
        assert same(final_weights(run, "other name"), final_weights(finished, arm))
        ours, theirs = metrics_of(run, "other name"), metrics_of(finished, arm)
        pd.testing.assert_frame_equal(ours.drop(columns="arm"), theirs.drop(columns="arm"))


def test_a_run_says_what_it_did(finished: wcord.Run, short: wcord.Experiment) -> None:
    assert finished.status.state == "finished"
    assert finished.status["step"] == finished.status["total"] == 3 * (718 // 64)
    assert finished.settings == short
    summary = finished.summary
    assert summary is not None
    assert set(summary["arms"]) == set(short.arms)
    frame = finished.metrics()
    assert list(frame.columns) == ["step", "epoch", "arm", "name", "value"]
    last = frame[(frame.arm == "kd") & (frame.name == "test_accuracy")].value.iloc[-1]
    assert last == summary["arms"]["kd"]["test_accuracy"]
    assert {"teacher_loss", "teacher_test_accuracy"} <= set(frame[frame.arm == ""].name)
    assert {"total", "ce", "gckt", "lckt"} <= set(frame[frame.arm == "wcord"].name)


def test_tensorboard_reads_the_same_values(finished: wcord.Run) -> None:
    """The mirror, through TensorBoard's own reader: every value, to float32."""
    events = EventAccumulator(str(finished.path), size_guidance={"scalars": 0}).Reload()
    mirrored = {
        (tag, event.step): event.value
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
    }
    frame = finished.metrics().dropna()
    tags = [
        f"{row.arm}/{row.name_}" if row.arm else row.name_
        for row in frame.rename(columns={"name": "name_"}).itertuples()
    ]
    told = dict(zip(zip(tags, frame.step, strict=True), frame.value, strict=True))
    assert told.keys() <= mirrored.keys() and len(told) > 100
    assert all(
        math.isclose(value, mirrored[place], rel_tol=1e-6, abs_tol=1e-30)
        for place, value in told.items()
    )


def test_losses_written_are_means_of_the_steps_between(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    """Every step written, and few steps written, tell the same mean."""
    one = short.replace({"arms": {"plain": {"ce": 1}}, "epochs": 1})
    often = wcord.distill(one.replace({"probe.losses": 11}), tmp_path / "a", progress=False)
    once = wcord.distill(one.replace({"probe.losses": 1}), tmp_path / "b", progress=False)
    each = often.metrics().query("name == 'ce'").value
    mean = once.metrics().query("name == 'ce'").value
    assert (len(each), len(mean)) == (11, 1)
    assert mean.iloc[0] == pytest.approx(each.mean(), rel=1e-6)


def test_snapshots_hold_what_pages_draw(finished: wcord.Run) -> None:
    steps = finished.steps
    assert steps[0] == 0 and steps[-1] == finished.status["total"] and steps == sorted(steps)
    snapshot = finished.snapshot(steps[-1])
    for arm in finished.arms:
        picture = snapshot.arm(arm)
        n = len(picture.plan)
        assert picture.plan.shape == picture.cost.shape == picture.scores.shape == (n, n)
        assert n == 128
        assert np.allclose(picture.plan.sum(1), 1 / n, atol=2e-3 / n + 1e-5)
        assert picture.plan.sum() == pytest.approx(1, abs=3e-3)
        assert len(picture.teacher) == len(picture.student) == len(snapshot.labels)
        assert picture.teacher.shape == picture.student.shape
        assert picture.fitted == (arm in ("plain", "kd"))
        assert all(isinstance(v, float) for v in picture.values.values())
        right = 100 * (picture.prediction == snapshot.labels).mean()
        assert picture.values["probe_accuracy"] == pytest.approx(right)
    first = snapshot.labels[:n]
    assert np.bincount(first, minlength=10).min() >= n // 10 - 1  # class-balanced
    values = snapshot.values("wcord")
    assert 0 <= values["certified_iw"] <= values["exact_iw"] * (1 + 1e-6)


def control(run: wcord.Run, **said: Any) -> None:
    (run.path / "control.json").write_text(json.dumps(said))


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.mark.slow
def test_pause_step_resume_stop_and_go_on(
    short: wcord.Experiment, finished: wcord.Run, tmp_path: Path
) -> None:
    """Steer a detached run in every way; its numbers are those of one left alone."""
    run = wcord.launch(short, tmp_path / "run")
    run.pause()
    wait_for(lambda: run.status["state"] == "paused")
    before = run.status["step"]
    assert run.status["alive"] is True
    for count in (1, 1, 3):
        run.step(count)
        wait_for(lambda: run.status["step"] == before + count and run.status.state == "paused")  # noqa: B023
        before += count
        assert before in run.steps  # every pause has its picture
    with pytest.raises(ValueError, match="being written"):
        run.delete()
    with pytest.raises(RunLocked, match="another process"):
        FileWriter(run)
    run.stop()
    assert run.wait(60).state == "stopped"
    assert 0 < run.status["step"] < run.status["total"]
    resumed = wcord.resume(run.path, progress=False)
    assert resumed.status.state == "finished"
    assert_equal_runs(wcord.Run(run.path), finished)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed_is_as_never_killed(
    short: wcord.Experiment, finished: wcord.Run, tmp_path: Path, how: signal.Signals
) -> None:
    run = wcord.launch(short, tmp_path / "run")
    run.pace(0.05)
    wait_for(lambda: run.status["step"] >= 8)
    os.kill(run.status["pid"], how)
    wait_for(lambda: run.status["alive"] is False)
    if how is signal.SIGTERM:
        assert run.status.state == "stopped"
        assert checkpoints.steps(run.path / "checkpoints")
    else:
        assert "interrupted" in run.status.sentence
    wcord.resume(run.path, progress=False)
    assert_equal_runs(wcord.Run(run.path), finished)


@pytest.mark.parametrize(
    ("control", "waits"),
    [
        ({}, True),
        ({"pause_at": 8}, True),  # ten steps, five of them taken
        ({"pause_at": 3}, False),
        ({"pause_at": 0}, False),
        ({"stop": True}, False),
    ],
)
def test_a_slow_run_keeps_its_pace_until_the_step_at_which_it_pauses(
    control: dict[str, Any], waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"stop": False, "pause_at": None, "delay": 0.2} | control
    slow = Training.__new__(Training)
    slow.step, slow._probe_time = 3, math.inf
    slow.writer = SimpleNamespace(read_control=lambda: asked)  # type: ignore[assignment]
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    clock = itertools.count(100.0, 0.05)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    slow.keep_pace(100.0)
    assert (len(slept) > 1) is waits


def assert_equal_runs(one: wcord.Run, other: wcord.Run) -> None:
    pd.testing.assert_frame_equal(one.metrics(), other.metrics())
    for arm in other.arms:
        assert same(final_weights(one, arm), final_weights(other, arm))


@given(st.floats(0, 1000))
def test_checkpoints_take_two_per_cent_of_the_time_at_most(cost: float) -> None:
    interval = checkpoint_interval(cost)
    assert interval >= 10 and cost <= 0.02 * interval * (1 + 1e-9)


def test_the_last_checkpoint_says_when_the_next_is_due(
    short: wcord.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cost is asked for after every step; an interval without end leaves the last one."""
    costs: list[float] = []

    def never(cost: float) -> float:
        costs.append(cost)
        return math.inf if len(costs) > 5 else 0.0

    monkeypatch.setattr("wcord.training.loop.checkpoint_interval", never)
    original, written = checkpoints.write, []
    monkeypatch.setattr(checkpoints, "write", lambda *a: (written.append(a[1]), original(*a)))
    wcord.distill(short.replace({"epochs": 1}), tmp_path / "run", progress=False)
    assert written == [1, 2, 3, 4, 5, 11]
    assert costs[0] == 0 and all(cost > 0 for cost in costs[1:]) and len(costs) == 11


def test_every_checkpoint_leads_to_the_same_end(
    short: wcord.Experiment, finished: wcord.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop after any step, in the middle of an epoch too, and go on."""
    monkeypatch.setattr("wcord.training.loop.CHECKPOINT_EVERY", 0.0)  # one after every step
    path = tmp_path / "run"
    original = checkpoints.write

    def stop_at_seven(folder: Path, step: int, *rest: Any) -> None:
        original(folder, step, *rest)
        if step == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write", stop_at_seven)
    with pytest.raises(KeyboardInterrupt):
        wcord.distill(short, path, progress=False)
    monkeypatch.setattr(checkpoints, "write", original)
    assert checkpoints.steps(path / "checkpoints") == [6, 7]
    wcord.resume(path, progress=False)
    assert_equal_runs(wcord.Run(path), finished)


def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_is_used(
    short: wcord.Experiment, finished: wcord.Run, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("wcord.training.loop.CHECKPOINT_EVERY", 0.0)
    path = tmp_path / "run"
    wcord.distill(short, path, progress=False)
    (path / "summary.json").unlink()
    status = json.loads((path / "status.json").read_text())
    (path / "status.json").write_text(json.dumps(status | {"state": "running"}))
    newest = checkpoints.steps(path / "checkpoints")[-1]
    whole = (path / "checkpoints" / f"{newest}.safetensors").read_bytes()
    (path / "checkpoints" / f"{newest}.safetensors").write_bytes(whole[: len(whole) // 2])
    wcord.resume(path, progress=False)
    assert f"{newest}.safetensors is damaged" in capsys.readouterr().err
    assert_equal_runs(wcord.Run(path), finished)


@pytest.mark.parametrize("spoil", ["bit", "foreign", "renamed"])
def test_checkpoints_know_what_they_hold(finished: wcord.Run, tmp_path: Path, spoil: str) -> None:
    folder = finished.path / "checkpoints"
    step = checkpoints.steps(folder)[-1]
    digest = checkpoints.digest_of((finished.path / "settings.yaml").read_text("utf-8"))
    tensors, _ = checkpoints.read(folder, step, digest)
    assert tensors
    content = bytearray((folder / f"{step}.safetensors").read_bytes())
    if spoil == "bit":
        content[-5] ^= 1
    place = step + 1 if spoil == "renamed" else step
    (tmp_path / f"{place}.safetensors").write_bytes(bytes(content))
    with pytest.raises(checkpoints.CheckpointError, match=f"{place}.safetensors"):
        checkpoints.read(tmp_path, place, "other" if spoil == "foreign" else digest)


def test_a_loss_that_becomes_nan_freezes_its_arm_and_no_other(
    short: wcord.Experiment, finished: wcord.Run, tmp_path: Path
) -> None:
    broken = {"ce": 1, "kd": {"weight": 1e38, "temperature": 1e3}}
    arms = short.plain()["arms"] | {"broken": broken}
    run = wcord.distill(short.replace({"arms": arms}), tmp_path / "run", progress=False)
    assert run.status.state == "failed"
    assert "arm 'broken' froze at step" in run.status["error"]
    assert same(final_weights(run, "wcord"), final_weights(finished, "wcord"))
    tensors = load_file(sorted((run.path / "checkpoints").glob("*.safetensors"))[-1])
    assert all(value.isfinite().all() for name, value in tensors.items() if "/student." in name)


def test_a_users_own_modules_and_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    images = rng.integers(0, 60, (300, 12, 12, 3)) + (labels * 60)[:, None, None, None]
    arrays = {"x_train": images[:200], "y_train": labels[:200], "x_test": images[200:]}
    arrays |= {"y_test": labels[200:]}
    arrays = {
        key: value.astype("uint8" if key[0] == "x" else "int64") for key, value in arrays.items()
    }

    def net(width: int) -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(432, width),
            torch.nn.ReLU(),
            torch.nn.Linear(width, 3),
        )

    experiment = wcord.load("digits-compression").replace(
        {"epochs": 2, "data.labels_per_class": None, "batch": 16}
    )
    run = wcord.distill(
        experiment, tmp_path / "run", progress=False, teacher=net(32), student=net(8), data=arrays
    )
    assert run.summary is not None
    assert run.summary["arms"]["plain"]["parameters"] == 433 * 8 + 9 * 3
    assert run.student("kd")(torch.zeros(1, 3, 12, 12)).shape == (1, 3)
    with pytest.raises(ValueError, match="your own"):
        wcord.Run(run.path).student("kd")


def test_a_directory_that_exists_is_refused(short: wcord.Experiment, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="exists"):
        wcord.distill(short, tmp_path, progress=False)
    with pytest.raises(ValueError, match="exists"):
        wcord.distill(short, tmp_path / "file", progress=False)
    with pytest.raises(ValueError, match="cannot make a run"):
        wcord.distill(short, tmp_path / "file" / "run", progress=False)
    assert (tmp_path / "file").read_text() == "mine"


def test_onecycle_is_torchs() -> None:
    settings = wcord.load("digits-compression").optimizer
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], settings.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=440, pct_start=0.2, cycle_momentum=False
    )
    for step in range(440):
        assert learning_rate(settings, step, 440, 11) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-9
        )
        optimizer.step()
        schedule.step()


def test_multistep_and_cosine() -> None:
    recipe = wcord.load("cifar100-resnet32x4-resnet8x4").optimizer
    rates = [learning_rate(recipe, epoch * 10, 2400, 10) for epoch in (0, 149, 150, 180, 210, 239)]
    assert rates == pytest.approx([0.05, 0.05, 5e-3, 5e-4, 5e-5, 5e-5])
    cosine = recipe.model_copy(update={"schedule": "cosine"})
    assert learning_rate(cosine, 600, 2400, 10) == pytest.approx(
        0.025 * (1 + math.cos(math.pi / 4))
    )


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_last_checkpoint_stays(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    """Moving a file into place fails as it does where the disk is full."""
    code = (
        "import resource, sys, wcord\n"
        "import wcord.training.loop as t; t.CHECKPOINT_EVERY = 0\n"
        "import wcord.runs.storage as s, errno\n"
        "real, count = s.os.replace, [0]\n"
        "def full(a, b):\n"
        "    count[0] += 1\n"
        "    if count[0] > 40: raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "    real(a, b)\n"
        "s.os.replace = full\n"
        "from wcord.cli import main\n"
        f"path = {str(tmp_path / 'r')!r}\n"
        "sys.exit(main(['train', 'digits-compression', '--quiet', '--run-dir', path,"
        "'--epochs', '3', '--teacher.epochs', '4']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "disk is full" in done.stderr and "Traceback" not in done.stderr
    run = wcord.Run(tmp_path / "r")
    assert checkpoints.steps(run.path / "checkpoints")
    assert not list(run.path.rglob("*.tmp"))
    assert wcord.resume(run.path, progress=False).status.state == "finished"


def test_networks_that_explode_freeze_and_the_run_goes_to_its_end(tmp_path: Path) -> None:
    """One huge step: weights stay finite, features do not, and probes must not stumble on them."""
    experiment = wcord.load("digits-compression").replace(
        {"epochs": 1, "teacher.epochs": 1, "optimizer.lr": 1e30}
    )
    run = wcord.distill(experiment, tmp_path / "run", progress=False)
    assert run.status["state"] == "failed" and "froze at step" in run.status["error"]
    assert run.status["step"] == run.status["total"] and run.summary is not None
    assert np.isnan(run.snapshot().values("wcord")["exact_iw"])


def test_students_of_a_finished_run_are_in_evaluation_mode(
    finished: wcord.Run, short: wcord.Experiment
) -> None:
    """As those of its checkpoint, to the number."""
    images = torch.rand(20, 1, 8, 8)
    for arm in finished.arms:
        ours, theirs = finished.student(arm), wcord.Run(finished.path).student(arm)
        assert not any(layer.training for layer in [*ours.modules(), *theirs.modules()])
        with torch.no_grad():
            assert torch.equal(ours(images), theirs(images))


def test_what_a_student_cannot_do_is_said_before_the_teacher_is_trained(
    short: wcord.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "wcord.training.teacher.obtain", lambda *_: pytest.fail("the teacher was trained")
    )
    wrong = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Linear(16, 7))
    with pytest.raises(ValueError, match="10 classes"):
        wcord.distill(short, tmp_path / "a", progress=False, student=wrong)
    with pytest.raises(ValueError, match="use one model for both"):
        wcord.distill(short.replace({"student.init": "teacher"}), tmp_path / "b", progress=False)
    assert not list(tmp_path.iterdir())  # and nothing is left behind


def test_a_callers_number_format_and_inference_mode_do_not_matter(
    short: wcord.Experiment, finished: wcord.Run, tmp_path: Path
) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            run = wcord.distill(short, tmp_path / "run", progress=False)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert run.summary is not None and finished.summary is not None
    assert run.summary["arms"] == finished.summary["arms"]


def test_a_teacher_without_features_is_refused(short: wcord.Experiment, tmp_path: Path) -> None:
    dead = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    with torch.no_grad():
        dead[1].weight.zero_()
        dead[1].bias.fill_(-1)
    asked = short.replace({"teacher.scale_features": True})
    with pytest.raises(ValueError, match="every feature of the teacher is 0"):
        wcord.distill(asked, tmp_path / "run", progress=False, teacher=dead)


OWN: list[tuple[dict[str, Any], str]] = [
    ({"student": nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Linear(16, 7))}, "10 classes"),
    ({"teacher": nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Linear(16, 7))}, "10 classes"),
    ({"student": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()}, "float32 images"),
    ({"student": nn.Sequential(nn.Flatten(), nn.Linear(3, 10))}, "float32 images"),
    (
        {"student": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)},
        "none can be trained",
    ),
    ({"student": "a name"}, "torch.nn.Module is needed"),
]


@pytest.mark.parametrize(("own", "words"), OWN)
def test_own_networks_that_cannot_serve_are_refused_in_one_line(
    own: dict[str, Any], words: str, short: wcord.Experiment, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        wcord.distill(short, tmp_path / "run", progress=False, **own)
    assert "\n" not in str(caught.value)


def test_what_stops_a_launched_run_at_once_is_said(short: wcord.Experiment, tmp_path: Path) -> None:
    run = wcord.launch(short.replace({"device": "tpu"}), tmp_path / "run")
    assert run.wait(120)["state"] == "failed"
    assert "'tpu' cannot be used here" in run.status["error"]
