"""How long a run will take and how much it will write, before it starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from wcord.data import Data
from wcord.models import Network, build
from wcord.settings.experiment import Experiment
from wcord.training.arm import Arm
from wcord.training.devices import SMALL, choose_device, chosen_threads
from wcord.training.linear_probe import read_probe_data
from wcord.training.network_input import NetworkInput
from wcord.training.optimizer import build_optimizer
from wcord.training.prepare import build_arms, needs_maps, read_data
from wcord.training.task import Task


@dataclass(frozen=True)
class Estimate:
    """Seconds of teacher and students at full speed, bytes on disk, and what they rest on."""

    teacher_seconds: float
    student_seconds: float
    disk: int
    device: str
    steps: int

    @property
    def seconds(self) -> float:
        """Seconds of the whole run where the teacher is not cached yet."""
        return self.teacher_seconds + self.student_seconds

    @property
    def sentence(self) -> str:
        """One line for people."""
        return (
            f"about {duration(self.seconds)} on {self.device} (of these "
            f"{duration(self.teacher_seconds)} for the teacher unless it is cached), "
            f"{self.steps} steps, {self.disk / 2**20:.0f} MiB on disk"
        )


def duration(seconds: float) -> str:
    """Return a time for people.

    >>> duration(42.3), duration(400), duration(9000)
    ('42 s', '7 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def estimate(experiment: Experiment) -> Estimate:
    """Time a few real steps of teacher and arms on a part of the data, and scale them up.

    Nothing is written. Data are read, so settings that cannot be run are refused here.

    Args:
        experiment: the settings.

    Raises:
        ValueError: as `wcord.distill` would.
    """
    device = choose_device(experiment.device)
    with chosen_threads(experiment):
        data = read_data(experiment)
        samples = len(data.train)
        small = data.train.images[0].numel() <= SMALL
        part = torch.arange(min(samples, 2048 if small else 2 * experiment.batch))
        few = replace(data, train=data.train.take(part), labelled=data.labelled[part]).to(device)
        sides = (experiment.teacher, experiment.student)
        sights = [NetworkInput(side, few, experiment.seed) for side in sides]
        read_probe_data(experiment, few, sights)
        networks = [
            Network(
                build(side.model, s.shape[0], s.shape[1:], s.labels.classes),
                s.shape,
                side.classifier,
            )
            for side, s in zip(sides, sights, strict=True)
        ]
        teacher, student = (network.to(device) for network in networks)
        teacher_step = _seconds(_teacher_step(experiment, teacher, sights[0], few), device)
        maps = needs_maps(experiment)
        task = Task(experiment, few, sights[0], sights[1], teacher, maps)
        arms = build_arms(experiment, task, student, device)
        step = _seconds(lambda: _step(experiment, task, arms), device)
    epoch_steps = samples // experiment.batch
    return Estimate(
        teacher_seconds=teacher_step * epoch_steps * experiment.teacher.epochs,
        student_seconds=step * epoch_steps * experiment.epochs * 1.1,  # a tenth for probes
        disk=_disk(experiment, arms, len(data.held_out), teacher.feature_dim),
        device=str(device),
        steps=epoch_steps * experiment.epochs,
    )


def _step(experiment: Experiment, task: Task, arms: list[Arm]) -> None:
    given = task.at(0)
    for arm in arms:
        arm.step(given.batch, given.teacher, given.images, 1e-6, experiment.precision)


def _teacher_step(
    experiment: Experiment, network: Network, sight: NetworkInput, data: Data
) -> Callable[[], None]:
    images = sight.images_of(data.train.take(torch.arange(experiment.batch)))
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
    """Return bytes of all snapshots (fp16) and of the newest two checkpoints."""
    probe = experiment.probe
    n, m = min(probe.batch, held_out), min(probe.features, held_out)
    pictures = min(probe.snapshots, int(experiment.epochs / probe.every) + 2)
    dims = [getattr(t, "dim", teacher_dim) for t in experiment.arms.values()]
    picture = sum(2 * (3 * n * n + 2 * m * dim + m) for dim in dims)
    state = sum(v.numel() * v.element_size() for arm in arms for v in arm.state().values())
    return pictures * picture + 2 * state
