"""The loop: one teacher, many arms, the same batches."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from wcord.compute import ranks
from wcord.runs import checkpoints, provenance
from wcord.runs.writer import RunWriter
from wcord.training.accelerate import print_once
from wcord.training.arms_step import ArmsStep
from wcord.training.prepare import Prepared
from wcord.training.step_graph import Stepper

PICTURE_EVERY = 0.25  # seconds between pictures of a run that is slowed or paused
CHECKPOINT_EVERY = 10.0  # seconds at least; a checkpoint only ever falls between two steps
CHECKPOINT_COST = 0.2  # seconds in CHECKPOINT_EVERY; one that takes longer is written less often


class Training:
    """A run under way.

    Args:
        prepared: the task, its arms, the probe, and the step to begin at.
        writer: holds the run's lock.
        progress: whether to show a bar.
    """

    def __init__(self, prepared: Prepared, writer: RunWriter, progress: bool = False) -> None:
        self.prepared, self.writer, self.progress = prepared, writer, progress
        self.experiment, self.task = prepared.experiment, prepared.task
        self.arms, self.probe = prepared.arms, prepared.probe
        self.path: Path = writer.path
        self.step = prepared.step
        self._saved = time.monotonic()
        self._saving = 0.0  # seconds that the last checkpoint took
        self._pictured = 0.0
        self._step_time: float | None = None  # seconds, averaged over the last fifty or so

    def run(self) -> None:
        """Train every arm to the end, or until told to stop."""
        task, settings = self.task, self.experiment
        bar = tqdm(
            total=task.total, initial=self.step, desc=settings.name, disable=not self.progress
        )
        if self.prepared.fresh:  # a checkpoint of step 0 has counted that look already
            self.probe_arms(record=True)
        step = ArmsStep(task, self.arms)
        take = Stepper(
            step, settings.speed == "graphs" and step.capture_obstacle is None, task.total
        )
        if not take.graphs and self.step < task.total:
            self.accelerate(step.capture_obstacle)
        while self.step < task.total and ranks.broadcast_bool(self.wait_for_permission()):
            began = time.monotonic()
            take(self.step)
            self.step += 1
            bar.update()
            self.log_due()
            self.keep_pace(began)
            took = time.monotonic() - began
            before = took if self._step_time is None else self._step_time
            self._step_time = 0.98 * before + 0.02 * took
        bar.close()
        for arm in self.arms:
            arm.freeze_if_broken()
        self.save()

    def accelerate(self, refusal: str | None) -> None:
        """Compute each network in the faster way asked for; a whole step could not be captured."""
        speed = self.experiment.speed
        if speed == "plain":
            return
        if speed == "graphs" and self.task.labels.device.type == "cuda":
            print_once(f"the step is not one CUDA graph, its networks may be: {refusal}")
        self.task.accelerate(speed)
        images = self.task.at(self.step).images
        for arm in self.arms:
            arm.accelerate(speed, images, self.experiment.precision)

    def wait_for_permission(self) -> bool:
        """Do what control.json asks: wait while paused; return whether to take a step."""
        control = self.writer.read_control()
        told = False
        while not control["stop"]:
            pause_at = control["pause_at"]
            if pause_at is None or self.step < pause_at:
                return True
            if not told:
                self.probe_if_new()
                told = True
            self.writer.write_status(state="paused", now=not told, **self.position())
            time.sleep(0.02)
            control = self.writer.read_control()
        return False

    def position(self) -> dict[str, Any]:
        """Return where the run stands, for status.json."""
        left = self._step_time and self._step_time * (self.task.total - self.step)
        return {
            "step": self.step,
            "total": self.task.total,
            "epoch": self.step / self.task.epoch_steps,
            "eta": left,
        }

    def log_due(self) -> None:
        """Write what is due after a step: losses, probe, checkpoint, status."""
        if due(self.step, self.task.epoch_steps / self.experiment.probe.losses):
            for arm in self.arms:
                arm.freeze_if_broken()
                self.writer.record(self.step, self.epoch, arm.name, arm.losses())
            self.writer.flush()
        every = self.experiment.probe.every * self.task.epoch_steps
        if due(self.step, every) or self.step == self.task.total:
            self.probe_arms(record=True)
        if time.monotonic() - self._saved > checkpoint_interval(self._saving):
            self.save()
        self.writer.write_status(state="running", **self.position())

    @property
    def epoch(self) -> float:
        """Epochs done, a fraction inside of one."""
        return self.step / self.task.epoch_steps

    def keep_pace(self, began: float) -> None:
        """Keep the pace that was asked for, and use the time to take a picture."""
        delay = float(self.writer.read_control()["delay"] or 0)
        if delay and time.monotonic() - self._pictured > PICTURE_EVERY:
            self.probe_if_new()
        while (left := began + delay - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
            control = self.writer.read_control()
            delay = float(control["delay"] or 0)
            pause_at = control["pause_at"]
            if control["stop"] or (pause_at is not None and self.step >= pause_at):
                return

    def probe_if_new(self) -> None:
        """Take a picture of this step unless there is one; nothing is written to the metrics."""
        if not (self.path / "snapshots" / f"{self.step}.safetensors").exists():
            self.probe_arms(record=False)

    def probe_arms(self, record: bool) -> None:
        """Probe all arms: pictures for the snapshot, values for the metrics."""
        if not self.experiment.probe.enabled or ranks.rank():
            return
        values, content = self.probe.measure(self.arms, self.step, self.epoch)
        self.writer.snapshot(self.step, content, self.experiment.probe.snapshots)
        self._pictured = time.monotonic()
        if record:
            for arm in self.arms:
                seen = values[arm.name] | {"test_accuracy": self.prepared.test_accuracy(arm)}
                kept = {name: value for name, value in seen.items() if name not in arm.names}
                self.writer.record(self.step, self.epoch, arm.name, kept)
            self.writer.flush()

    def save(self) -> None:
        """Write a checkpoint of all arms (the first rank does)."""
        if ranks.rank():
            return
        tensors = {
            f"{arm.name}/{key}": value for arm in self.arms for key, value in arm.state().items()
        }
        now = time.monotonic()
        self.prepared.seconds += now - self._saved
        self._saved = now
        header = {
            "settings": self.prepared.digest,
            "inputs": provenance.digest(self.prepared.inputs),
            "metrics": self.writer.flush(durable=True),
            "frozen": {arm.name: fault for arm in self.arms if (fault := arm.fault())},
            "built": self.prepared.built,
            "seconds": self.prepared.seconds,
        }
        checkpoints.write(self.path / "checkpoints", self.step, tensors, header)
        self._saving = time.monotonic() - now


def checkpoint_interval(cost: float) -> float:
    """Return seconds between two checkpoints: ten, or more where one costs over 0.2 seconds.

        max(1, cost / 0.2) * 10    so that no more than 2 % of the time goes to them

    >>> checkpoint_interval(0.1), checkpoint_interval(1.0)
    (10.0, 50.0)
    """
    return CHECKPOINT_EVERY * max(1.0, cost / CHECKPOINT_COST)


def due(step: int, every: float) -> bool:
    """Return whether a multiple of `every` steps falls on this step."""
    return int(step / every) > int((step - 1) / every)
