"""Milliseconds per training step, run in several ways; part `fast` of `benchmarks.gpu`.

ResNet32x4 -> ResNet8x4, random images of 32 x 32 in 100 classes, batch 64, 50,000 training
samples, 16,384 negatives, crop and flip, networks in bfloat16. A step is a whole one: samples are
gathered and augmented, teacher, students, objectives, checks of gradients, weights, banks. Ways
take turns within a round, so a ratio is of neighbours in time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch

from benchmarks.gpu_problem import GCKT, WCORD, Action, Problem, Size, Way
from benchmarks.gpu_profile import profile_step, synchronize
from benchmarks.interleaved import time_interleaved
from benchmarks.table import ARMS
from wcord.errors import first_line
from wcord.training.step_graph import Stepper
from wcord.training.teacher import TeacherStep

KD: dict[str, Any] = {"ce": 0.1, "kd": {"weight": 0.9, "temperature": 4}}
MANY_STEPS = 10**6  # more than any measurement runs


def milliseconds(
    ways: Mapping[str, Action], size: Size, device: torch.device
) -> dict[str, list[float]]:
    """Return milliseconds per step of every way, one value per round."""
    seconds = time_interleaved(
        ways, size.rounds, repeats=size.repeats, synchronize=partial(synchronize, device)
    )
    return {name: [1e3 * value for value in values] for name, values in seconds.items()}


def spread(values: list[float]) -> dict[str, float]:
    """Return median, minimum (`least`) and maximum (`most`)."""
    return {
        "median": round(statistics.median(values), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }


def ratio(above: list[float], below: list[float]) -> dict[str, float]:
    """Return median, minimum and maximum of the ratio within a round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def measure(
    size: Size, device: torch.device, only: Sequence[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Yield name and result of every measurement, or of `only` some; an error is a result too."""
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
            yield name, {"failed": f"{type(error).__name__}: {first_line(error):.300}"}
        if device.type == "cuda":
            torch.cuda.empty_cache()


def build_ways(
    builders: Mapping[str, Callable[[], Action]],
) -> tuple[dict[str, Action], dict[str, str]]:
    """Return the ways that are available on this device, and why the others are not."""
    available, failed = {}, {}
    for name, build_way in builders.items():
        try:
            available[name] = build_way()
        except Exception as error:
            failed[name] = first_line(error)[:300]
    return available, failed


def ways(problem: Problem) -> dict[str, Any]:
    """Time one arm: published form, and ours plain, with graphs of networks, and as one graph."""
    builders: dict[str, Callable[[], Action]] = {
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
    available, failed = build_ways(builders)
    ms = milliseconds(available, problem.size, problem.device)
    result: dict[str, Any] = {"ms": {name: spread(values) for name, values in ms.items()}}
    result["ratios"] = {
        f"{above} / {below}": ratio(ms[above], ms[below])
        for above, below in (
            ("published, float32", "wcord, whole"),
            ("published, bfloat16", "wcord, whole"),
            ("wcord, plain", "wcord, whole"),
            ("wcord, networks", "wcord, whole"),
            ("wcord, whole", "kd, whole"),
            ("wcord, plain", "kd, plain"),
        )
        if above in ms and below in ms
    }
    result["failed"] = failed
    whole = available.get("wcord, whole")
    graph = whole.stepper.graph if isinstance(whole, Way) else None
    result["replayed against plain"] = graph.gaps if graph else None
    if problem.device.type == "cuda":
        result["memory MiB"] = torch.cuda.max_memory_reserved() / 2**20
    return result


def profiles(problem: Problem) -> dict[str, Any]:
    """Profile the kernels of a step."""
    speeds = ("whole", "plain") if problem.device.type == "cuda" else ("plain",)
    result = {}
    for name, terms in (("wcord", WCORD), ("kd", KD)):
        for speed in speeds:
            way = problem.way({name: terms}, speed)
            result[f"{name}, {speed}"] = profile_step(way, problem.device)
    return result


def fastest(problem: Problem) -> str:
    """Return the fastest way on this device."""
    return "whole" if problem.device.type == "cuda" else "plain"


def eight(problem: Problem) -> dict[str, Any]:
    """Time one arm and eight, to compare settings of the process."""
    return arms(problem, (1, 8))


def arms(problem: Problem, counts: Sequence[int] = (1, 2, 4, 8, 16)) -> dict[str, Any]:
    """Time 1 to 16 WCoRD arms that share one teacher."""
    counts = counts if problem.device.type == "cuda" else (1, 2)
    builders = {
        str(n): partial(problem.way, {f"w{i}": WCORD for i in range(n)}, fastest(problem))
        for n in counts
    }
    available, failed = build_ways(builders)
    return over_one(milliseconds(available, problem.size, problem.device)) | {"failed": failed}


def over_one(ms: Mapping[str, list[float]]) -> dict[str, Any]:
    """Return milliseconds, and their ratio over those of "1"."""
    return {
        "ms": {name: spread(values) for name, values in ms.items()},
        "over one": {name: ratio(values, ms["1"]) for name, values in ms.items()},
    }


def batches(problem: Problem) -> dict[str, Any]:
    """Time the nine arms of `benchmarks.table` at larger batches."""
    sizes = (64, 128, 256, 512) if problem.device.type == "cuda" else (problem.size.batch,)
    result = {}
    for batch in sizes:
        way = problem.way(ARMS, fastest(problem), batch)
        few = Size(rounds=3, repeats=10 if problem.device.type == "cuda" else 1)
        ms = milliseconds({"way": way}, few, problem.device)["way"]
        result[str(batch)] = spread(ms) | {"images/s": round(1e3 * batch / min(ms))}
        del way
        if problem.device.type == "cuda":
            torch.cuda.empty_cache()
    return {"batches": result}


def side_by_side(problem: Problem) -> dict[str, Any]:
    """Time several seeds in one process, each on its own stream."""
    if problem.device.type != "cuda":
        return {"failed": "streams need a CUDA device"}
    seeds = [problem.way({"wcord": WCORD}, "whole") for _ in range(4)]
    streams = [torch.cuda.Stream() for _ in seeds]

    def together(number: int) -> Action:
        def step() -> None:
            for stream, way in zip(streams[:number], seeds, strict=False):
                with torch.cuda.stream(stream):
                    way()

        return step

    ways = {str(number): together(number) for number in (1, 2, 4)}
    return over_one(milliseconds(ways, problem.size, problem.device))


def teacher_training(problem: Problem) -> dict[str, Any]:
    """Time a step of the teacher's training, plain and as one graph, at several batches."""
    cuda = problem.device.type == "cuda"
    result: dict[str, Any] = {}
    for batch in (64, 256, 512) if cuda else (problem.size.batch,):
        settings = problem.experiment.replace({"batch": batch})
        ways: dict[str, Action] = {}
        for speed in ("plain", "whole") if cuda else ("plain",):
            network = deepcopy(problem.teacher).requires_grad_(True).train()
            step = TeacherStep(settings, problem.data, problem.inputs[0], network, 0)
            way = Way(Stepper(step, speed == "whole", MANY_STEPS), MANY_STEPS)
            for _ in range(3):
                way()
            if speed == "whole" and way.stepper.graph is None:
                result[f"{batch}, whole"] = {"failed": "not one graph"}
                continue
            ways[speed] = way
        few = Size(rounds=3, repeats=10 if cuda else 1)
        for speed, ms in milliseconds(ways, few, problem.device).items():
            result[f"{batch}, {speed}"] = spread(ms)
    return result


def compiled(problem: Problem) -> dict[str, Any]:
    """Time networks compiled by torch.compile, and the compilation."""
    if problem.device.type != "cuda":
        return {"failed": "measured on a CUDA device only"}
    began = time.perf_counter()
    compile_way = problem.way({"wcord": WCORD}, "compile")
    seconds = time.perf_counter() - began
    whole = problem.way({"wcord": WCORD}, "whole")
    ms = milliseconds({"compile": compile_way, "whole": whole}, problem.size, problem.device)
    return {
        "ms": {name: spread(values) for name, values in ms.items()},
        "compile / whole": ratio(ms["compile"], ms["whole"]),
        "seconds to compile": round(seconds, 1),
    }
