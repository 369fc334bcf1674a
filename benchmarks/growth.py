"""Growth: cost and memory against samples, negatives, batch, dimension, arms; slopes beside theory.

    python -m benchmarks.growth

Forward, backward and bank writing of a term on given features, one thread, float32, thread time,
median of interleaved rounds. A slope is that of log time against log size between
the two largest sizes, where fixed costs weigh least. Memory is what the term keeps between steps
(banks, tables) in MiB, counted from its tensors.
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

from wcord.models import Output
from wcord.objectives import TERMS, Objective
from wcord.objectives.term import Batch, FirstPassBatch, Shapes

SAMPLES, NEGATIVES, BATCH, DIM, CLASSES, FEATURES = 50_000, 16_384, 64, 128, 100, 256
ROUNDS = 5


@dataclass(frozen=True)
class Size:
    """Everything that may grow."""

    samples: int = SAMPLES
    negatives: int | None = NEGATIVES
    batch: int = BATCH
    dim: int = DIM
    features: int = FEATURES
    arms: int = 1


@dataclass(frozen=True)
class Sweep:
    """One thing that grows: the term, its settings, the sizes, and the expected slopes."""

    title: str
    term: str
    settings: dict[str, Any]
    key: str
    values: tuple[int, ...]
    time_slope: str
    memory_slope: str


BANKS = (50_000, 200_000, 1_281_167)
SWEEPS = (
    Sweep("samples, 16,384 drawn", "gckt", {"form": "nce"}, "samples", BANKS, "0", "1"),
    Sweep("samples, 16,384 drawn", "gckt", {}, "samples", BANKS, "0", "1"),
    Sweep("samples, all of them", "gckt", {"negatives_count": None}, "samples", BANKS, "1", "1"),
    Sweep("samples, other classes", "crd", {}, "samples", BANKS[:2], "1", "1"),
    Sweep("negatives", "gckt", {"form": "nce"}, "negatives", (4096, 16384, 49152), "1", "0"),
    Sweep("negatives", "gckt", {}, "negatives", (4096, 16384, 49152), "below 1", "0"),
    Sweep("batch", "gckt", {"form": "nce"}, "batch", (64, 128, 256), "1", "0"),
    Sweep("batch", "lckt", {"iterations": 50}, "batch", (64, 512, 2048), "2", "0"),
    Sweep("embedding", "gckt", {"form": "nce"}, "dim", (64, 128, 256), "below 1", "1"),
    Sweep("features", "gckt", {}, "features", (256, 1024, 4096), "1", "0"),
    Sweep("arms", "gckt", {"form": "nce"}, "arms", (1, 4, 8), "1", "1"),
)


def build(sweep: Sweep, size: Size) -> tuple[Callable[[], None], float]:
    """Return one training step of the term(s) and the MiB they keep."""
    shapes = Shapes(size.features, size.features, CLASSES, CLASSES, True, size.samples)
    asked = dict(sweep.settings)
    fields = TERMS[sweep.term].Settings.model_fields
    if "negatives_count" in fields:
        asked.setdefault("negatives_count", size.negatives)
    if "dim" in fields:
        asked.setdefault("dim", size.dim)
    settings = {sweep.term: TERMS[sweep.term].Settings.model_validate(asked)}
    arms = [Objective(settings, shapes, 0) for _ in range(size.arms)]
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (size.samples,), generator=draw)

    def passes() -> Iterator[FirstPassBatch]:
        for index in torch.arange(size.samples).split(8192):
            sides = [
                torch.randn(len(index), size.features, generator=draw).relu() for _ in range(2)
            ]
            blank = torch.zeros(len(index), 1)
            outputs = [Output(side, blank) for side in sides]
            yield FirstPassBatch(index, labels[index], outputs[0], outputs[1])

    for arm in arms:
        arm.fill_banks(passes)
    index = torch.randperm(size.samples, generator=draw)[: size.batch]
    whole = torch.ones(size.batch, dtype=torch.bool)
    batch = Batch(index, labels[index], whole, labels[index], 0, 0)
    t, s = (torch.randn(size.batch, size.features, generator=draw).relu() for _ in range(2))
    logits = torch.zeros(size.batch, CLASSES)

    def step() -> None:
        for arm in arms:
            student = s.clone().requires_grad_()
            total, _ = arm(batch, Output(t, logits), Output(student, logits))
            total.backward()
            arm.update()

    kept = sum(v.numel() * v.element_size() for arm in arms for v in arm.state_dict().values())
    return step, kept / 2**20


def measure(sweep: Sweep) -> tuple[list[float], list[float]]:
    """Return milliseconds and MiB of every size."""
    built = [build(sweep, Size(**{sweep.key: value})) for value in sweep.values]
    for step, _ in built:
        step()
    taken: list[list[float]] = [[] for _ in built]
    for _ in range(ROUNDS):
        for (step, _), times in zip(built, taken, strict=True):
            began = time.thread_time()
            step()
            times.append(1e3 * (time.thread_time() - began))
    return [statistics.median(times) for times in taken], [kept for _, kept in built]


def slope(values: tuple[int, ...], costs: list[float]) -> float:
    """Return the slope of log cost against log size between the two largest sizes."""
    return math.log(costs[-1] / costs[-2]) / math.log(values[-1] / values[-2])


def main() -> None:
    """Print a row for each thing that grows."""
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
    for sweep in SWEEPS:
        times, kept = measure(sweep)
        form = "" if sweep.term != "gckt" else " " + sweep.settings.get("form", "wasserstein")
        cells = [
            sweep.title,
            sweep.term + form,
            " / ".join(f"{value:,}" for value in sweep.values),
            " / ".join(f"{value:.1f}" for value in times),
            f"{slope(sweep.values, times):.2f}",
            sweep.time_slope,
            " / ".join(f"{value:.0f}" for value in kept),
            f"{slope(sweep.values, kept):.2f}",
            sweep.memory_slope,
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
