"""Estimate the time and disk space of a run before it starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from wcord.data import Data
from wcord.data.teacher_outputs import TeacherOutputs
from wcord.models import Network, build
from wcord.settings.experiment import Experiment
from wcord.settings.sections import NetworkSettings
from wcord.training.arm import Arm
from wcord.training.devices import SMALL, choose_device, chosen_threads
from wcord.training.inputs import NetworkInput, network_inputs, read_data, read_outputs
from wcord.training.linear_probe import read_probe_data
from wcord.training.optimizer import build_optimizer
from wcord.training.prepare import build_arms, needs_maps
from wcord.training.progress import duration
from wcord.training.task import Task


@dataclass(frozen=True)
class Estimate:
    """The time and disk space of a run.

    Attributes:
        teacher_seconds: time to train the teacher at full speed, in seconds.
        student_seconds: time to train all students at full speed, in seconds.
        disk: size of the run directory, in bytes.
        device: name of the device.
        steps: number of training steps.
    """

    teacher_seconds: float
    student_seconds: float
    disk: int
    device: str
    steps: int

    @property
    def seconds(self) -> float:
        """Seconds of the whole run, if the teacher is not cached."""
        return self.teacher_seconds + self.student_seconds

    @property
    def sentence(self) -> str:
        """The estimate in one line."""
        return (
            f"about {duration(self.seconds)} on {self.device} (of these "
            f"{duration(self.teacher_seconds)} for the teacher unless it is cached), "
            f"{self.steps} steps, {self.disk / 2**20:.0f} MiB on disk"
        )


def estimate(experiment: Experiment) -> Estimate:
    """Time a few steps of teacher and arms on a part of the data, and multiply by the step count.

    Nothing is written. The data are read, so settings that cannot run raise an error.

    Args:
        experiment: the settings.

    Raises:
        ValueError: as in `wcord.distill`.
    """
    device = choose_device(experiment.device)
    with chosen_threads(experiment):
        data = read_data(experiment)
        cached = read_outputs(experiment, data)
        part = _part(data, experiment.batch).to(device)
        inputs = network_inputs(experiment, part, cached)
        read_probe_data(experiment, part, inputs)  # raises if a data set cannot be read
        student = _network(experiment.student, inputs[1]).to(device)
        teacher: Network | TeacherOutputs
        if cached is not None:
            teacher, teacher_step = cached.to(device), 0.0
        else:
            teacher = _network(experiment.teacher, inputs[0]).to(device)
            teacher_step = _seconds(_teacher_step(experiment, teacher, inputs[0], part), device)
        task = Task(experiment, part, *inputs, teacher, needs_maps(experiment))
        arms = build_arms(experiment, task, student, device)
        step = _seconds(lambda: _step(experiment, task, arms), device)
    epoch_steps = len(data.train) // experiment.batch
    return Estimate(
        teacher_seconds=teacher_step * epoch_steps * experiment.teacher.epochs,
        student_seconds=step * epoch_steps * experiment.epochs * 1.1,  # a tenth for probes
        disk=_disk(experiment, arms, len(data.held_out), teacher.feature_dim),
        device=str(device),
        steps=epoch_steps * experiment.epochs,
    )


def _part(data: Data, batch: int) -> Data:
    """Return the data with the first training samples only, enough for the timed steps."""
    small = data.train.images[0].numel() <= SMALL
    index = torch.arange(min(len(data.train), 2048 if small else 2 * batch))
    return replace(data, train=data.train.take(index), labelled=data.labelled[index])


def _network(settings: NetworkSettings, network_input: NetworkInput) -> Network:
    channels, *size = network_input.shape
    module = build(settings.model, channels, tuple(size), network_input.labels.classes)
    return Network(module, network_input.shape, settings.classifier)


def _step(experiment: Experiment, task: Task, arms: list[Arm]) -> None:
    inputs = task.at(0)
    for arm in arms:
        arm.step(inputs.batch, inputs.teacher, inputs.images, 1e-6, experiment.precision)


def _teacher_step(
    experiment: Experiment, network: Network, teacher_input: NetworkInput, data: Data
) -> Callable[[], None]:
    images = teacher_input.images_of(data.train.take(torch.arange(experiment.batch)))
    optimizer = build_optimizer(experiment.teacher.optimizer, network.parameters())

    def step() -> None:
        logits = network(images).logits
        F.cross_entropy(logits, logits.argmax(1)).backward()
        optimizer.zero_grad()

    return step


def _seconds(action: Callable[[], None], device: torch.device, repeats: int = 3) -> float:
    """Return the seconds of one call; the first call is not counted."""
    action()
    start = time.monotonic()
    for _ in range(repeats):
        action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.monotonic() - start) / repeats


def _disk(experiment: Experiment, arms: list[Arm], held_out: int, teacher_dim: int) -> int:
    """Return the bytes of all snapshots (fp16) and of the newest two checkpoints."""
    probe = experiment.probe
    n, m = min(probe.batch, held_out), min(probe.features, held_out)
    snapshots = min(probe.snapshots, int(experiment.epochs / probe.every) + 2)
    snapshot = len(arms) * 2 * (3 * n * n + 2 * m * teacher_dim + m)
    state = sum(v.numel() * v.element_size() for arm in arms for v in arm.state().values())
    return snapshots * snapshot + 2 * state
