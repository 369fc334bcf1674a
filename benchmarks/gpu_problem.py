"""The training step that `benchmarks.gpu_steps` measures, on random images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import wcord
from benchmarks.steps import Bench
from wcord.compute.memory_format import to_device
from wcord.compute.seeds import seed_of
from wcord.models import Network, build
from wcord.runs.trained_students import build_student
from wcord.training.arms_step import ArmsStep
from wcord.training.inputs import NetworkInput
from wcord.training.prepare import build_arms, read_data
from wcord.training.step_graph import Stepper
from wcord.training.task import Task

Action = Callable[[], Any]
Terms = dict[str, dict[str, Any]]
SPEEDS = {"compile": "compile", "networks": "graphs"}  # accelerate each network by itself
GCKT = {"gckt": {"weight": 5, "negatives_count": 16384}}
WCORD: dict[str, Any] = {"ce": 1, **GCKT, "lckt": 0.05}


@dataclass(frozen=True)
class Size:
    """The size of the measured problem, and the number of measurements."""

    teacher: str = "resnet32x4"
    student: str = "resnet8x4"
    samples: int = 50_000
    classes: int = 100
    pixels: int = 32
    batch: int = 64
    precision: str = "bfloat16"
    rounds: int = 7
    repeats: int = 20  # steps of a way in its turn


SMALL = Size("resnet8", "resnet8", 120, 4, 16, 16, "float32", 2, 1)


class Way:
    """A way to run training steps: each call runs the next step of an epoch, cyclically."""

    def __init__(self, stepper: Stepper, epoch_steps: int) -> None:
        self.stepper, self.epoch_steps, self._next = stepper, epoch_steps, 0

    def __call__(self) -> None:
        self.stepper(self._next % self.epoch_steps)
        self._next += 1


class Problem:
    """Random images on the device, and training steps of any arms on them."""

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size, self.device = size, device
        draw = np.random.default_rng(0)
        shape = (size.pixels, size.pixels, 3)
        arrays: dict[str, np.ndarray] = {}
        for part, n in (("train", 128 + size.samples * 5 // 4), ("test", size.classes)):
            arrays[f"images_{part}"] = draw.integers(0, 256, (n, *shape), dtype=np.uint8)
            arrays[f"labels_{part}"] = np.arange(n) % size.classes
        changes = {
            "batch": size.batch,
            "precision": size.precision,
            "data.train_size": size.samples,
            "teacher.model": size.teacher,
            "student.model": size.student,
            "arms": {"wcord": WCORD},
        }
        self.experiment = wcord.load("cifar100-resnet32x4-resnet8x4").replace(changes)
        self.data = read_data(self.experiment, arrays).to(device)
        sides = (self.experiment.teacher, self.experiment.student)
        self.inputs = [NetworkInput(side, self.data, 0) for side in sides]
        module = build(size.teacher, 3, shape[:2], size.classes, seed_of(0, "teacher"))
        self.teacher = to_device(Network(module, self.inputs[0].shape), device)
        self._tasks: dict[Any, Task] = {}  # teacher outputs of all samples take seconds

    def step(self, arms: Terms, batch: int | None, speed: str) -> ArmsStep:
        """Return a training step of some arms, with new students."""
        changes = {"arms": arms, "batch": batch or self.size.batch}
        settings = self.experiment.replace(changes)
        key = settings.batch, speed, arms == {"plain": {"ce": 1}}  # that arm needs no teacher
        if key not in self._tasks:
            task = Task(settings, self.data, self.inputs[0], self.inputs[1], self.teacher)
            if speed in SPEEDS:
                task.accelerate(SPEEDS[speed])
            self._tasks[key] = task
        pixels = [self.size.pixels] * 2
        shape = {"channels": 3, "size": pixels, "classes": self.size.classes}
        student = build_student(settings, shape).to(self.device)
        task = self._tasks[key]
        return ArmsStep(task, build_arms(settings, task, student, self.device))

    def way(self, arms: Terms, speed: str, batch: int | None = None) -> Way:
        """Return a way to run the steps of some arms, after three steps to warm up.

        Args:
            arms: name -> terms.
            speed: "plain", "compile" or "networks" (one graph per network), or "whole" (one graph).
            batch: images per step.

        Raises:
            RuntimeError: the way is not available on this device.
        """
        step = self.step(arms, batch, speed)
        total = step.task.epoch_steps  # a second epoch would draw its order during a measurement
        stepper = Stepper(step, speed == "whole", total)
        if speed in SPEEDS:
            images = step.task.at(0).images
            for arm in step.arms:
                arm.accelerate(SPEEDS[speed], images, self.size.precision)
            if step.arms[0]._forward is None:
                raise RuntimeError(f"{speed} is not available here")
        way = Way(stepper, total)
        for _ in range(3):
            way()
        if speed == "whole" and stepper.graph is None:
            raise RuntimeError("the whole step is not one graph here")
        return way

    def published(self, half: bool) -> Action:
        """Return an eager step of the published form, with negatives gathered for every anchor.

        It is measured in its favour: its images are on the device already, and are not augmented.
        """
        bench = Bench(self.size.teacher, self.size.student, self.size.batch, self.device)
        step = bench.eager()

        def autocast_step() -> None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                step()

        return autocast_step
