"""Time and memory of a term against samples, negatives, batch, dimensions and arms.

    python -m benchmarks.growth

Forward and backward pass and bank update of a term on given features; one thread, float32, thread
time, median of interleaved rounds. A slope is that of log time against log size between the two
largest sizes, where fixed costs weigh least; it is printed beside the expected slope. Memory is the
size of the tensors (banks, tables) that the term keeps between steps, in MiB.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.interleaved import time_interleaved
from wcord.models import Output
from wcord.objectives import TERMS, Objective
from wcord.objectives.term import Batch, FirstPassBatch, Shapes

SAMPLES, NEGATIVES, BATCH, DIM, CLASSES, FEATURES = 50_000, 16_384, 64, 128, 100, 256
ROUNDS = 5


@dataclass(frozen=True)
class Size:
    """The sizes that may grow."""

    samples: int = SAMPLES
    negatives: int | None = NEGATIVES
    batch: int = BATCH
    dim: int = DIM
    features: int = FEATURES
    arms: int = 1


@dataclass(frozen=True)
class Growth:
    """A size that grows: the term, its settings, the values of the size, and expected slopes."""

    title: str
    term: str
    settings: dict[str, Any]
    key: str
    values: tuple[int, ...]
    time_slope: str
    memory_slope: str


BANKS = (50_000, 200_000, 1_281_167)
GROWTHS = (
    Growth("samples, 16,384 drawn", "gckt", {"form": "nce"}, "samples", BANKS, "0", "1"),
    Growth("samples, 16,384 drawn", "gckt", {}, "samples", BANKS, "0", "1"),
    Growth("samples, all of them", "gckt", {"negatives_count": None}, "samples", BANKS, "1", "1"),
    Growth("samples, other classes", "crd", {}, "samples", BANKS[:2], "1", "1"),
    Growth("negatives", "gckt", {"form": "nce"}, "negatives", (4096, 16384, 49152), "1", "0"),
    Growth("negatives", "gckt", {}, "negatives", (4096, 16384, 49152), "below 1", "0"),
    Growth("batch", "gckt", {"form": "nce"}, "batch", (64, 128, 256), "1", "0"),
    Growth("batch", "lckt", {"iterations": 50}, "batch", (64, 512, 2048), "2", "0"),
    Growth("embedding", "gckt", {"form": "nce"}, "dim", (64, 128, 256), "below 1", "1"),
    Growth("features", "gckt", {}, "features", (256, 1024, 4096), "1", "0"),
    Growth("arms", "gckt", {"form": "nce"}, "arms", (1, 4, 8), "1", "1"),
)


def build(growth: Growth, size: Size) -> tuple[Callable[[], None], float]:
    """Return a training step of the term, once per arm, and the MiB that it keeps."""
    shapes = Shapes(size.features, size.features, CLASSES, CLASSES, True, size.samples)
    values = dict(growth.settings)
    fields = TERMS[growth.term].Settings.model_fields
    if "negatives_count" in fields:
        values.setdefault("negatives_count", size.negatives)
    if "dim" in fields:
        values.setdefault("dim", size.dim)
    settings = {growth.term: TERMS[growth.term].Settings.model_validate(values)}
    arms = [Objective(settings, shapes, 0) for _ in range(size.arms)]
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (size.samples,), generator=draw)

    def passes() -> Iterator[FirstPassBatch]:
        for index in torch.arange(size.samples).split(8192):
            sides = [
                torch.randn(len(index), size.features, generator=draw).relu() for _ in range(2)
            ]
            logits = torch.zeros(len(index), 1)
            outputs = [Output(side, logits) for side in sides]
            yield FirstPassBatch(index, labels[index], outputs[0], outputs[1])

    for arm in arms:
        arm.fill_banks(passes)
    index = torch.randperm(size.samples, generator=draw)[: size.batch]
    labelled = torch.ones(size.batch, dtype=torch.bool)
    batch = Batch(index, labels[index], labelled, labels[index], 0, 0)
    t, s = (torch.randn(size.batch, size.features, generator=draw).relu() for _ in range(2))
    logits = torch.zeros(size.batch, CLASSES)

    def step() -> None:
        for arm in arms:
            student = s.clone().requires_grad_()
            total, _ = arm(batch, Output(t, logits), Output(student, logits))
            total.backward()
            arm.update()

    tensors = [tensor for arm in arms for tensor in arm.state_dict().values()]
    return step, sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20


def measure(growth: Growth) -> tuple[list[float], list[float]]:
    """Return milliseconds and MiB of every size."""
    built = [build(growth, Size(**{growth.key: value})) for value in growth.values]
    steps = {str(number): step for number, (step, _) in enumerate(built)}
    seconds = time_interleaved(steps, ROUNDS, clock=time.thread_time)
    milliseconds = [1e3 * statistics.median(values) for values in seconds.values()]
    return milliseconds, [memory for _, memory in built]


def slope(values: tuple[int, ...], costs: list[float]) -> float:
    """Return the slope of log cost against log size between the two largest sizes."""
    return math.log(costs[-1] / costs[-2]) / math.log(values[-1] / values[-2])


def main() -> None:
    """Print a row for every size that grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"Unless they grow: {SAMPLES:,} samples, {NEGATIVES:,} negatives, batch {BATCH}, "
        f"embeddings of {DIM}, features of {FEATURES}, one arm. "
        f"torch {torch.__version__}, one thread, {ROUNDS} rounds.\n"
    )
    print("| grows | term | sizes | ms | slope | expected | MiB kept | slope | expected |")
    print("|---|---|---|---|---|---|---|---|---|")
    for growth in GROWTHS:
        times, memory = measure(growth)
        form = "" if growth.term != "gckt" else " " + growth.settings.get("form", "wasserstein")
        cells = [
            growth.title,
            growth.term + form,
            " / ".join(f"{value:,}" for value in growth.values),
            " / ".join(f"{value:.1f}" for value in times),
            f"{slope(growth.values, times):.2f}",
            growth.time_slope,
            " / ".join(f"{value:.0f}" for value in memory),
            f"{slope(growth.values, memory):.2f}",
            growth.memory_slope,
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
