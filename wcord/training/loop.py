"""The training loop: one teacher, many arms, the same batches."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from wcord.compute import ranks
from wcord.runs import checkpoints, data_provenance
from wcord.runs.writer import RunWriter
from wcord.training.arms_step import ArmsStep
from wcord.training.callbacks import Callbacks
from wcord.training.faster_networks import print_once
from wcord.training.prepare import Prepared
from wcord.training.progress import show_progress
from wcord.training.step_graph import Stepper

PROBE_EVERY = 0.5  # seconds between probes of a run that is slowed or paused
CHECKPOINT_EVERY = 10.0  # seconds at least; a checkpoint is only written between two steps
CHECKPOINT_COST = 0.2  # seconds; checkpoints that take longer are written less often


class Training:
    """The training of all arms of a run.

    Args:
        prepared: the task, its arms, the probe, and the step to begin at.
        writer: of the run directory.
        progress: whether to show the progress.
        callbacks: called between steps; their error ends the training like a stop.
    """

    def __init__(
        self,
        prepared: Prepared,
        writer: RunWriter,
        progress: bool = False,
        callbacks: Callbacks | None = None,
    ) -> None:
        self.prepared, self.writer, self.progress = prepared, writer, progress
        self.callbacks = callbacks or Callbacks()
        self.experiment, self.task = prepared.experiment, prepared.task
        self.arms, self.probe = prepared.arms, prepared.probe
        self.path: Path = writer.path
        self.step = prepared.step
        self._checkpoint_time = time.monotonic()
        self._checkpoint_cost = 0.0  # seconds that the last checkpoint took
        self._probe_time = 0.0
        self._step_time: float | None = None  # seconds, averaged over the last fifty or so

    def run(self) -> None:
        """Train every arm to the last step, or until a stop is requested."""
        total, name = self.task.total, self.experiment.name
        with show_progress(self.progress, name, total, self.step) as bar:
            if self.prepared.fresh:  # a checkpoint of step 0 already includes its probe
                self.probe_arms(record=True)
                self.callbacks.call_due(self.step)
            take_step = self._stepper()
            while self.step < total and ranks.broadcast_bool(self.wait_for_permission()):
                began = time.monotonic()
                take_step(self.step)
                self.step += 1
                bar.update()
                self.log_due()
                self.keep_pace(began)
                self._average_step_time(time.monotonic() - began)
        for arm in self.arms:
            arm.freeze_if_broken()
        self.write_checkpoint()

    def _stepper(self) -> Stepper:
        """Return the stepper of the arms: one CUDA graph, faster networks, or plain steps."""
        step, speed = ArmsStep(self.task, self.arms), self.experiment.speed
        stepper = Stepper(
            step, speed == "graphs" and step.capture_obstacle is None, self.task.total
        )
        if not stepper.graphs and self.step < self.task.total:
            self.accelerate(step.capture_obstacle)
        return stepper

    def accelerate(self, obstacle: str | None) -> None:
        """Make each network faster by itself, in the way that the setting `speed` names.

        Args:
            obstacle: why the whole step is not one CUDA graph.
        """
        speed = self.experiment.speed
        if speed == "plain":
            return
        if speed == "graphs" and self.task.labels.device.type == "cuda":
            print_once(f"the step is not one CUDA graph, but each network may be: {obstacle}")
        self.task.accelerate(speed)
        images = self.task.at(self.step).images
        for arm in self.arms:
            arm.accelerate(speed, images, self.experiment.precision)

    def wait_for_permission(self) -> bool:
        """Wait during a pause in control.json; return False if the run must stop, else True.

        It must stop where control.json requests it or a callback has failed.
        """
        control = self.writer.read_control()
        paused = False
        while not control["stop"] and self.callbacks.error is None:
            if not self._must_pause(control):
                return True
            if not paused:
                self.probe_if_new()
                paused = True
            self.writer.write_status(state="paused", **self.position())
            time.sleep(0.02)
            control = self.writer.read_control()
        return False

    def _must_pause(self, control: dict[str, Any]) -> bool:
        return control["pause_at"] is not None and self.step >= control["pause_at"]

    def keep_pace(self, began: float) -> None:
        """Wait until the step has taken the `delay` in control.json; probe before waiting.

        Args:
            began: when the step began, on the monotonic clock.
        """
        control = self.writer.read_control()
        if control["delay"] and time.monotonic() - self._probe_time > PROBE_EVERY:
            self.probe_if_new()
        while (left := began + control["delay"] - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
            control = self.writer.read_control()
            if control["stop"] or self._must_pause(control):
                return

    def log_due(self) -> None:
        """Write the losses, the probe and the checkpoint that are due, and the status.

        Callbacks come last: what they read of the run is complete.
        """
        if is_due(self.step, self.task.epoch_steps / self.experiment.probe.losses):
            for arm in self.arms:
                arm.freeze_if_broken()
                losses = arm.losses()
                self.writer.record(self.step, self.epoch, arm.name, losses)
                self.callbacks.collect("on_step", arm.name, losses)
            self.writer.flush()
        probe_every = self.experiment.probe.every * self.task.epoch_steps
        if is_due(self.step, probe_every) or self.step == self.task.total:
            self.probe_arms(record=True)
        if time.monotonic() - self._checkpoint_time > checkpoint_interval(self._checkpoint_cost):
            self.write_checkpoint()
        self.writer.write_status(state="running", **self.position())
        self.callbacks.call_due(self.step)

    @property
    def epoch(self) -> float:
        """Epochs done, with a fraction."""
        return self.step / self.task.epoch_steps

    def position(self) -> dict[str, Any]:
        """Return step, total, epoch and seconds left, for status.json."""
        left = self._step_time and self._step_time * (self.task.total - self.step)
        return {"step": self.step, "total": self.task.total, "epoch": self.epoch, "eta": left}

    def _average_step_time(self, seconds: float) -> None:
        before = seconds if self._step_time is None else self._step_time
        self._step_time = 0.98 * before + 0.02 * seconds

    def probe_if_new(self) -> None:
        """Write a snapshot of this step unless it exists; write no metrics."""
        if not (self.path / "snapshots" / f"{self.step}.safetensors").exists():
            self.probe_arms(record=False)

    def probe_arms(self, record: bool) -> None:
        """Measure all arms on the probe's samples and write a snapshot, on the first rank only.

        Args:
            record: whether to write the values to the metrics as well.
        """
        if not self.experiment.probe.enabled or ranks.rank():
            return
        values, snapshot = self.probe.measure(self.arms, self.step, self.epoch)
        self.writer.write_snapshot(self.step, snapshot, self.experiment.probe.snapshots)
        self._probe_time = time.monotonic()
        if record:
            for arm in self.arms:
                measured = values[arm.name] | self.prepared.test_values(arm)
                # losses are written by `log_due`, as means over several steps
                new = {name: value for name, value in measured.items() if name not in arm.names}
                self.writer.record(self.step, self.epoch, arm.name, new)
                self.callbacks.collect("on_probe", arm.name, new)
            self.writer.flush()

    def write_checkpoint(self) -> None:
        """Write a checkpoint of all arms, on the first rank only."""
        if ranks.rank():
            return
        tensors = {
            f"{arm.name}/{key}": value for arm in self.arms for key, value in arm.state().items()
        }
        now = time.monotonic()
        self.prepared.seconds += now - self._checkpoint_time
        self._checkpoint_time = now
        header = {
            "settings": self.prepared.digest,
            "inputs": data_provenance.digest(self.prepared.inputs),
            "metrics": self.writer.flush(durable=True),
            "frozen": {arm.name: fault for arm in self.arms if (fault := arm.fault())},
            "built": self.prepared.built,
            "seconds": self.prepared.seconds,
        }
        checkpoints.write(self.path / "checkpoints", self.step, tensors, header)
        self._checkpoint_cost = time.monotonic() - now


def checkpoint_interval(cost: float) -> float:
    """Return the seconds between two checkpoints: 10, or more if a checkpoint takes over 0.2.

        max(1, cost / 0.2) * 10    so that checkpoints take at most 2 % of the time

    Args:
        cost: seconds that the last checkpoint took.

    >>> checkpoint_interval(0.1), checkpoint_interval(1.0)
    (10.0, 50.0)
    """
    return CHECKPOINT_EVERY * max(1.0, cost / CHECKPOINT_COST)


def is_due(step: int, every: float) -> bool:
    """Return whether a multiple of `every` steps falls on this step.

    >>> [step for step in range(1, 8) if is_due(step, 2.5)]
    [3, 5]
    """
    return int(step / every) > int((step - 1) / every)
