"""Scores of negatives: one product for all anchors, or a gather for every anchor.

    python -m benchmarks.negatives

Forward and backward of a contrastive term, batch 64, 16,384 negatives of 50,000 samples, features
256 -> 128, both directions, one thread. The baseline is the published way (class Gathered): every
anchor gathers its own (M, dim) negatives. Time is thread time, in interleaved rounds of one
process. Memory is the growth of the peak resident size (ru_maxrss) over one forward and backward
pass, each in its own process.
"""

from __future__ import annotations

import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.interleaved import time_interleaved
from wcord.models import Output
from wcord.objectives import TERMS, Objective
from wcord.objectives.term import Batch, FirstPassBatch, Shapes

SAMPLES, NEGATIVES, BATCH, CLASSES = 50_000, 16_384, 64, 100
TEACHER, STUDENT, DIM, TEMPERATURE = 256, 256, 128, 0.07
ROUNDS = 11
WAYS = (
    "gathered per anchor",
    "crd",
    "gckt wasserstein",
    "gckt nce",
    "gckt nce, other classes",
    "gckt wasserstein, all 49,999",
)


class Gathered(nn.Module):
    """The published way: (batch, 1 + M, dim) embeddings gathered for each direction."""

    of_teacher: Tensor
    of_student: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embed_teacher = nn.Linear(TEACHER, DIM)
        self.embed_student = nn.Linear(STUDENT, DIM)
        self.register_buffer("of_teacher", F.normalize(torch.randn(SAMPLES, DIM), dim=1))
        self.register_buffer("of_student", F.normalize(torch.randn(SAMPLES, DIM), dim=1))

    def forward(self, teacher: Tensor, student: Tensor, rows: Tensor) -> Tensor:
        """Return the loss; `rows` are bank rows (batch, 1 + M), the positive first."""
        z_t = F.normalize(self.embed_teacher(teacher), dim=1)
        z_s = F.normalize(self.embed_student(student), dim=1)
        loss = z_s.new_zeros(())
        for anchor, bank in ((z_s, self.of_teacher), (z_t, self.of_student)):
            gathered = bank.index_select(0, rows.flatten()).view(len(rows), -1, DIM)
            g = torch.bmm(gathered, anchor[:, :, None]).squeeze(2) / TEMPERATURE
            log_mc = g.detach().exp().mean().log() + math.log(NEGATIVES)
            loss = loss + F.softplus(log_mc - g[:, 0]).mean()
            loss = loss + F.softplus(g[:, 1:] - log_mc).sum(1).mean()
        return loss


def passes_of(only: str | None = None) -> dict[str, Callable[[], None]]:
    """Return name -> one forward and backward pass, of every way or of `only` one."""
    torch.manual_seed(0)
    labels = torch.randint(CLASSES, (SAMPLES,))
    features = torch.randn(BATCH, TEACHER).relu(), torch.randn(BATCH, STUDENT).relu()
    index = torch.randperm(SAMPLES)[:BATCH]

    def published() -> Callable[[], None]:
        gathered = Gathered()

        def run() -> None:
            draws = torch.randint(SAMPLES, (BATCH, NEGATIVES))
            student = features[1].clone().requires_grad_()
            gathered(features[0], student, torch.cat([index[:, None], draws], 1)).backward()

        return run

    def term(name: str, **settings: object) -> Callable[[], None]:
        objective = _objective(name, labels, settings)
        logits = torch.zeros(BATCH, CLASSES)

        def run() -> None:
            batch = Batch(
                index, labels[index], torch.ones(BATCH, dtype=torch.bool), labels[index], 0, 0
            )
            student = features[1].clone().requires_grad_()
            total, _ = objective(batch, Output(features[0], logits), Output(student, logits))
            total.backward()

        return run

    ways: dict[str, Callable[[], Callable[[], None]]] = {
        "gathered per anchor": published,
        "crd": lambda: term("crd"),
        "gckt wasserstein": lambda: term("gckt", negatives_count=NEGATIVES),
        "gckt nce": lambda: term("gckt", form="nce", negatives_count=NEGATIVES),
        "gckt nce, other classes": lambda: term(
            "gckt", form="nce", negatives="other_class", negatives_count=NEGATIVES
        ),
        "gckt wasserstein, all 49,999": lambda: term("gckt"),
    }
    return {name: build() for name, build in ways.items() if only in (None, name)}


def _objective(name: str, labels: Tensor, settings: dict[str, object]) -> Objective:
    """Return the objective of one term with filled banks."""
    shapes = Shapes(TEACHER, STUDENT, CLASSES, CLASSES, True, SAMPLES)
    objective = Objective({name: TERMS[name].Settings.model_validate(settings)}, shapes, seed=0)

    def passes() -> Iterator[FirstPassBatch]:
        draw = torch.Generator().manual_seed(1)
        for index in torch.arange(SAMPLES).split(5000):
            size = (len(index), TEACHER)
            teacher, student = (torch.randn(size, generator=draw).relu() for _ in range(2))
            logits = torch.zeros(len(index), 1)
            yield FirstPassBatch(
                index, labels[index], Output(teacher, logits), Output(student, logits)
            )

    objective.fill_banks(passes)
    return objective


def _extra_megabytes(name: str) -> float:
    """Return the growth of the peak resident size over one pass in a new process, in MiB."""
    program = f"from benchmarks.negatives import print_growth; print_growth({name!r})"
    process = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return float(json.loads(process.stdout))


def print_growth(name: str) -> None:
    """Print the growth of ru_maxrss over the first pass of one way, in MiB."""
    torch.set_num_threads(1)
    run = passes_of(name)[name]
    statm = Path("/proc/self/statm")
    resident = int(statm.read_text().split()[1]) * resource.getpagesize() if statm.exists() else 0
    # fills memory up to the peak of imports and construction, which would hide the pass's growth
    ballast = torch.ones(max(_peak() - resident, 0) // 4) if resident else None
    before = _peak()
    run()
    print(json.dumps((_peak() - before) / 2**20))
    del ballast


def _peak() -> int:
    """Return the largest resident size so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Print time, memory and ratios of every way."""
    torch.set_num_threads(1)
    # first, while this process is small: a child's ru_maxrss starts at its parent's peak
    memory = {name: _extra_megabytes(name) for name in WAYS}
    seconds = time_interleaved(passes_of(), ROUNDS, clock=time.thread_time)
    base = WAYS[0]
    print(f"torch {torch.__version__}, one thread of {platform.machine()}, {ROUNDS} rounds")
    print(f"{'':30}{'ms':>8}{'times faster (least-most)':>30}{'extra MiB':>12}{'share':>8}")
    for name, values in seconds.items():
        ratios = [gathered / ours for gathered, ours in zip(seconds[base], values, strict=True)]
        spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
        milliseconds = 1000 * statistics.median(values)
        share = memory[name] / memory[base]
        print(f"{name:30}{milliseconds:8.0f}{spread:>30}{memory[name]:12.0f}{share:8.0%}")


if __name__ == "__main__":
    main()
