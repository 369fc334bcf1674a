"""What probes and run writing add to training, on the five arms of digits-compression.

    python -m benchmarks.training

Blocks of eight epochs (one probe period at the preset's settings) are trained in turn with
everything that a run writes (losses, mirror, probe, snapshot, status) and with nothing but the
steps themselves. One thread. Printed is the median over rounds of the ratio within a round, and
its quartiles; a checkpoint is written every ten seconds of wall time and so at most once.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import wcord
from wcord.runs.writer import FileWriter, create
from wcord.training.loop import Training
from wcord.training.optimizer import learning_rate
from wcord.training.prepare import Overrides, prepare

ROUNDS = 9
AIM = 1.05


def begin(folder: Path) -> Training:
    """Return a run that stands at its first step."""
    experiment = wcord.load("digits-compression")
    writer = FileWriter(create(folder, experiment.yaml()))
    prepared = prepare(experiment, writer, torch.device("cpu"), Overrides(), progress=False)
    return Training(prepared, writer)


def bare(training: Training, steps: int) -> None:
    """Take steps and do nothing else."""
    task, settings = training.task, training.experiment
    for _ in range(steps):
        given = task.at(training.step)
        rate = learning_rate(settings.optimizer, training.step, task.total, task.epoch_steps)
        for arm in training.arms:
            arm.step(given.batch, given.teacher, given.images, rate, settings.precision)
        training.step += 1


def written(training: Training, steps: int) -> None:
    """Take steps as a run does, with all that it writes."""
    for _ in range(steps):
        training.wait_for_permission()
        bare(training, 1)
        training.log_due()
        training.keep_pace(time.monotonic())


def main() -> None:
    """Print the ratio with its spread."""
    torch.set_num_threads(1)
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        runs = [begin(Path(name) / kind) for kind in ("bare", "written")]
        steps = 8 * runs[0].task.epoch_steps
        for action, run in zip((bare, written), runs, strict=True):
            action(run, 2)  # warm up
        for number in range(ROUNDS):
            seconds = {}
            for kind in (0, 1) if number % 2 else (1, 0):
                run = runs[kind]
                run.step = 0
                start = time.thread_time()
                (bare, written)[kind](run, steps)
                seconds[kind] = time.thread_time() - start
            ratios.append(seconds[1] / seconds[0])
        for run in runs:
            run.writer.close()
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(
        f"training with probes and run writing / without: {middle:.3f} [{low:.3f}, {high:.3f}] "
        f"(aim {AIM}); five arms, {steps} steps a block, {ROUNDS} rounds, one thread"
    )


if __name__ == "__main__":
    main()
