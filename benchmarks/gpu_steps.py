"""Milliseconds of a whole training step on a device, way by way; part `fast` of `benchmarks.gpu`.

ResNet32x4 -> ResNet8x4, random images of 32 x 32 in 100 classes, batch 64, 50,000 training
samples, 16,384 negatives, crop and flip, networks in bfloat16. A step is everything: samples
gathered and moved, teacher, students, objectives, gradients checked, weights, banks. Ways take
turns within a round, so a ratio is of neighbours in time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import wcord
from benchmarks.gpu_profile import profiled, wait
from benchmarks.steps import Bench
from wcord.compute.memory_format import to_device
from wcord.compute.seeds import seed_of
from wcord.models import Network, build
from wcord.runs.students import build_student
from wcord.training.arms_step import ArmsStep
from wcord.training.network_input import NetworkInput
from wcord.training.prepare import build_arms, read_data
from wcord.training.step_graph import Stepper
from wcord.training.task import Task

Action = Callable[[], Any]
Terms = dict[str, dict[str, Any]]
SPEEDS = {"compile": "compile", "networks": "graphs"}  # of each network by itself
GCKT = {"gckt": {"weight": 5, "negatives_count": 16384}}
WCORD: dict[str, Any] = {"ce": 1, **GCKT, "lckt": 0.05}
KD: dict[str, Any] = {"ce": 0.1, "kd": {"weight": 0.9, "temperature": 4}}


@dataclass(frozen=True)
class Size:
    """How large the measured problem is, and how long it is measured."""

    teacher: str = "resnet32x4"
    student: str = "resnet8x4"
    samples: int = 50_000
    classes: int = 100
    pixels: int = 32
    batch: int = 64
    precision: str = "bfloat16"
    rounds: int = 7
    repeats: int = 20  # steps of one way in one turn


SMALL = Size("resnet8", "resnet8", 120, 4, 16, 16, "float32", 2, 1)


class Way:
    """Takes the next step when it is called; after the last one of an epoch, the first again."""

    def __init__(self, take: Stepper, steps: int) -> None:
        self.take, self.steps, self._next = take, steps, 0

    def __call__(self) -> None:
        self.take(self._next % self.steps)
        self._next += 1


class Problem:
    """Random images on the device, and steps of any arms on them."""

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size, self.device = size, device
        draw = np.random.default_rng(0)
        count = 128 + size.samples * 5 // 4
        shape = (size.pixels, size.pixels, 3)
        arrays = {
            f"images_{part}": draw.integers(0, 256, (n, *shape), dtype=np.uint8)
            for part, n in (("train", count), ("test", size.classes))
        }
        for part, n in (("train", count), ("test", size.classes)):
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
        self.sights = [NetworkInput(side, self.data, 0) for side in sides]
        module = build(size.teacher, 3, shape[:2], size.classes, seed_of(0, "teacher"))
        self.teacher = to_device(Network(module, self.sights[0].shape), device)
        self._tasks: dict[Any, Task] = {}  # the teacher's answers to all samples take seconds

    def step(self, arms: Terms, batch: int | None, speed: str) -> ArmsStep:
        """Return a step of some arms at its beginning."""
        changes = {"arms": arms, "batch": batch or self.size.batch}
        asked = self.experiment.replace(changes)
        kind = asked.batch, speed, arms == {"plain": {"ce": 1}}  # which asks no teacher
        if kind not in self._tasks:
            task = Task(asked, self.data, self.sights[0], self.sights[1], self.teacher)
            if speed in SPEEDS:
                task.accelerate(SPEEDS[speed])
            self._tasks[kind] = task
        pixels = [self.size.pixels] * 2
        built = {"channels": 3, "size": pixels, "classes": self.size.classes}
        student = build_student(asked, built).to(self.device)
        task = self._tasks[kind]
        return ArmsStep(task, build_arms(asked, task, student, self.device))

    def way(self, arms: Terms, speed: str, batch: int | None = None) -> Way:
        """Return what takes the next step of some arms, the first three taken already.

        Args:
            arms: their terms.
            speed: "plain", "compile" or "networks" (one graph a network), or "whole" (one graph).
            batch: images a step.

        Raises:
            RuntimeError: that way cannot be had here.
        """
        step = self.step(arms, batch, speed)
        total = step.task.epoch_steps  # a second epoch's order would be made in the midst
        take = Stepper(step, speed == "whole", total)
        if speed in SPEEDS:
            images = step.task.at(0).images
            for arm in step.arms:
                arm.accelerate(SPEEDS[speed], images, self.size.precision)
            if step.arms[0]._forward is None:
                raise RuntimeError(f"{speed} cannot be had here")
        way = Way(take, total)
        for _ in range(3):
            way()
        if speed == "whole" and take.graph is None:
            raise RuntimeError("the whole step is not one graph here")
        return way

    def published(self, half: bool) -> Action:
        """Return a step of the published form, eager, its negatives gathered for every anchor.

        Its images lie on the device already moved, which spares it a part of the step.
        """
        bench = Bench(self.size.teacher, self.size.student, self.size.batch, self.device)
        once = bench.eager()

        def halved() -> None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                once()

        return halved


def turns(ways: dict[str, Action], size: Size, device: torch.device) -> dict[str, list[float]]:
    """Return milliseconds a step of every way, one number a round, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for name in names:
        ways[name]()
    for turn in range(size.rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            wait(device)
            began = time.perf_counter()
            for _ in range(size.repeats):
                ways[name]()
            wait(device)
            taken[name].append(1e3 * (time.perf_counter() - began) / size.repeats)
    return taken


def spread(values: list[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {
        "median": round(statistics.median(values), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }


def ratio(above: list[float], below: list[float]) -> dict[str, float]:
    """Return the ratio within rounds: median, least and most."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def parts(size: Size, device: torch.device, only: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    """Yield each measurement (or some) as soon as it is there; one that fails yields its error."""
    problem = Problem(size, device)
    measurements = {
        "ways": ways,
        "profile": profiles,
        "arms": arms,
        "sizes": batches,
        "side by side": side_by_side,
        "teacher": teacher_training,
        "compile": compiled,
        "eight": eight,
    }
    for name, measurement in measurements.items():
        if name not in (only or list(measurements)[:-1]):
            continue
        try:
            yield name, measurement(problem)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            yield name, {"failed": f"{type(error).__name__}: {reason:.300}"}
        if device.type == "cuda":
            torch.cuda.empty_cache()


def had(makers: dict[str, Callable[[], Action]]) -> tuple[dict[str, Action], dict[str, str]]:
    """Return the ways that can be had, and why the others cannot."""
    ways, failed = {}, {}
    for name, make in makers.items():
        try:
            ways[name] = make()
        except Exception as error:
            failed[name] = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    return ways, failed


def ways(problem: Problem) -> dict[str, Any]:
    """One arm: the published form, ours plain, with graphs of networks, as one graph; and KD."""
    makers: dict[str, Callable[[], Action]] = {
        "published, float32": lambda: problem.published(False),
        "published, bfloat16": lambda: problem.published(True),
        "wcord, plain": lambda: problem.way({"wcord": WCORD}, "plain"),
        "wcord, networks": lambda: problem.way({"wcord": WCORD}, "networks"),
        "wcord, whole": lambda: problem.way({"wcord": WCORD}, "whole"),
        "kd, plain": lambda: problem.way({"kd": KD}, "plain"),
        "kd, whole": lambda: problem.way({"kd": KD}, "whole"),
        "gckt, whole": lambda: problem.way({"gckt": {"ce": 1, **GCKT}}, "whole"),
        "lckt, whole": lambda: problem.way({"lckt": {"ce": 1, "lckt": 0.05}}, "whole"),
        "crd, whole": lambda: problem.way({"crd": {"ce": 1, "crd": 0.8}}, "whole"),
        "plain student, whole": lambda: problem.way({"plain": {"ce": 1}}, "whole"),
    }
    can, failed = had(makers)
    taken = turns(can, problem.size, problem.device)
    found: dict[str, Any] = {"ms": {name: spread(times) for name, times in taken.items()}}
    found["ratios"] = {
        f"{above} / {below}": ratio(taken[above], taken[below])
        for above, below in (
            ("published, float32", "wcord, whole"),
            ("published, bfloat16", "wcord, whole"),
            ("wcord, plain", "wcord, whole"),
            ("wcord, networks", "wcord, whole"),
            ("wcord, whole", "kd, whole"),
            ("wcord, plain", "kd, plain"),
        )
        if above in taken and below in taken
    }
    found["failed"] = failed
    whole = can.get("wcord, whole")
    graph = whole.take.graph if isinstance(whole, Way) else None
    found["replayed against plain"] = graph.gaps if graph else None
    if problem.device.type == "cuda":
        found["memory MiB"] = torch.cuda.max_memory_reserved() / 2**20
    return found


def profiles(problem: Problem) -> dict[str, Any]:
    """Where a step's time goes."""
    speeds = ("whole", "plain") if problem.device.type == "cuda" else ("plain",)
    found = {}
    for name, terms in (("wcord", WCORD), ("kd", KD)):
        for speed in speeds:
            once = problem.way({name: terms}, speed)
            found[f"{name}, {speed}"] = profiled(once, problem.device)
    return found


def speed_of(problem: Problem) -> str:
    """Return the fastest way that may be had on this device."""
    return "whole" if problem.device.type == "cuda" else "plain"


def eight(problem: Problem) -> dict[str, Any]:
    """One arm and eight, to compare surroundings of the process."""
    return arms(problem, (1, 8))


def arms(problem: Problem, counts: Sequence[int] = (1, 2, 4, 8, 16)) -> dict[str, Any]:
    """1 to 16 WCoRD arms on one teacher's answers."""
    counts = counts if problem.device.type == "cuda" else (1, 2)
    makers = {
        str(n): lambda n=n: problem.way({f"w{i}": WCORD for i in range(n)}, speed_of(problem))
        for n in counts
    }
    can, failed = had(makers)
    taken = turns(can, problem.size, problem.device)
    return {
        "ms": {name: spread(times) for name, times in taken.items()},
        "over one": {name: ratio(times, taken["1"]) for name, times in taken.items()},
        "failed": failed,
    }


def batches(problem: Problem) -> dict[str, Any]:
    """Nine arms of the table at larger batches: milliseconds a step and images a second."""
    from benchmarks.table import ARMS

    sizes = (64, 128, 256, 512) if problem.device.type == "cuda" else (problem.size.batch,)
    found = {}
    for batch in sizes:
        once = problem.way(ARMS, speed_of(problem), batch)
        few = Size(rounds=3, repeats=10 if problem.device.type == "cuda" else 1)
        times = turns({"it": once}, few, problem.device)["it"]
        found[str(batch)] = spread(times) | {"images/s": round(1e3 * batch / min(times))}
        del once
        if problem.device.type == "cuda":
            torch.cuda.empty_cache()
    return found


def side_by_side(problem: Problem) -> dict[str, Any]:
    """Several seeds in one process, each on a stream of its own."""
    if problem.device.type != "cuda":
        return {"failed": "streams need a CUDA device"}
    seeds = [problem.way({"wcord": WCORD}, "whole") for _ in range(4)]
    streams = [torch.cuda.Stream() for _ in seeds]

    def together(count: int) -> Action:
        def once() -> None:
            for stream, take in zip(streams[:count], seeds, strict=False):
                with torch.cuda.stream(stream):
                    take()

        return once

    ways = {str(n): together(n) for n in (1, 2, 4)}
    taken = turns(ways, problem.size, problem.device)
    return {
        "ms": {name: spread(times) for name, times in taken.items()},
        "over one": {name: ratio(times, taken["1"]) for name, times in taken.items()},
    }


def teacher_training(problem: Problem) -> dict[str, Any]:
    """A step of the teacher's own training, plain and as one graph, at several batches."""
    from copy import deepcopy

    from wcord.training.teacher import TeacherStep

    cuda = problem.device.type == "cuda"
    found = {}
    for batch in (64, 256, 512) if cuda else (problem.size.batch,):
        asked = problem.experiment.replace({"batch": batch})
        ways: dict[str, Action] = {}
        for speed in ("plain", "whole") if cuda else ("plain",):
            network = deepcopy(problem.teacher).requires_grad_(True).train()
            step = TeacherStep(asked, problem.data, problem.sights[0], network, 0)
            take = Stepper(step, speed == "whole", 10**6)
            places = iter(range(10**6))
            for _ in range(3):
                take(next(places))
            if speed == "whole" and take.graph is None:
                found[f"{batch}, whole"] = {"failed": "not one graph"}
                continue
            ways[speed] = lambda take=take, places=places: take(next(places))  # type: ignore[misc]
        few = Size(rounds=3, repeats=10 if cuda else 1)
        for speed, times in turns(ways, few, problem.device).items():
            found[f"{batch}, {speed}"] = spread(times)
    return found


def compiled(problem: Problem) -> dict[str, Any]:
    """Networks by torch.compile, which takes its time to compile."""
    if problem.device.type != "cuda":
        return {"failed": "measured on a CUDA device only"}
    began = time.perf_counter()
    once = problem.way({"wcord": WCORD}, "compile")
    seconds = time.perf_counter() - began
    whole = problem.way({"wcord": WCORD}, "whole")
    taken = turns({"compile": once, "whole": whole}, problem.size, problem.device)
    return {
        "ms": {name: spread(times) for name, times in taken.items()},
        "compile / whole": ratio(taken["compile"], taken["whole"]),
        "seconds to compile": round(seconds, 1),
    }
