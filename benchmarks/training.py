"""The cost of probes and of writing the run, on the five arms of digits-compression.

    python -m benchmarks.training

Blocks of eight epochs (one probe period of the preset) are trained in turn, with everything that a
run writes (losses, TensorBoard events, probe, snapshot, status) and with training steps alone. One
thread. Printed are the median over rounds of the ratio within a round, and its quartiles. A
checkpoint is written at most once, because it is due after ten seconds of wall time.
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


def prepare_run(folder: Path) -> Training:
    """Return a run before its first step."""
    experiment = wcord.load("digits-compression")
    writer = FileWriter(create(folder, experiment.yaml()))
    prepared = prepare(experiment, writer, torch.device("cpu"), Overrides(), progress=False)
    return Training(prepared, writer)


def train(training: Training, steps: int) -> None:
    """Run training steps and nothing else."""
    task, settings = training.task, training.experiment
    for _ in range(steps):
        inputs = task.at(training.step)
        rate = learning_rate(settings.optimizer, training.step, task.total, task.epoch_steps)
        for arm in training.arms:
            arm.step(inputs.batch, inputs.teacher, inputs.images, rate, settings.precision)
        training.step += 1


def train_and_write(training: Training, steps: int) -> None:
    """Run training steps as a run does, with everything that it writes."""
    for _ in range(steps):
        training.wait_for_permission()
        train(training, 1)
        training.log_due()
        training.keep_pace(time.monotonic())


def main() -> None:
    """Print the ratio with its quartiles."""
    torch.set_num_threads(1)
    loops = {"steps": train, "run": train_and_write}
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: prepare_run(Path(folder) / name) for name in loops}
        steps = 8 * runs["steps"].task.epoch_steps
        for name, loop in loops.items():
            loop(runs[name], 2)  # warm up
        for number in range(ROUNDS):
            seconds = {}
            for name in ("steps", "run") if number % 2 else ("run", "steps"):
                runs[name].step = 0
                start = time.thread_time()
                loops[name](runs[name], steps)
                seconds[name] = time.thread_time() - start
            ratios.append(seconds["run"] / seconds["steps"])
        for run in runs.values():
            run.writer.close()
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(
        f"training with probes and run writing / without: {middle:.3f} [{low:.3f}, {high:.3f}] "
        f"(aim {AIM}); five arms, {steps} steps per block, {ROUNDS} rounds, one thread"
    )


if __name__ == "__main__":
    main()
