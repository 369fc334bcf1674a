"""Run a study and gather its values: one row a preset, seed and arm."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from studies.study import Study
from wcord.analysis.sweep import sweep
from wcord.analysis.sweep_cells import Cell
from wcord.runs import Run, runs_folder
from wcord.runs.writer import FileWriter, create
from wcord.training.devices import choose_device, chosen_threads
from wcord.training.optimizer import learning_rate
from wcord.training.prepare import Overrides, prepare
from wcord.training.probe import gradient_norms

NAMES = ["preset", "seed", "arm"]
RUNS_ON = {"python": platform.python_version(), "torch": torch.__version__}


def measured(study: Study) -> pd.DataFrame:
    """Run what has not been run (runs lie in $WCORD_RUNS/studies) and return every value.

    Returns:
        Columns preset, seed, arm, the study's metrics, python, torch.

    Raises:
        RuntimeError: a run failed.
    """
    rows = [row for preset in study.presets for row in MEASURES[study.measure](study, preset)]
    return pd.DataFrame(rows)[[*NAMES, *study.metrics, *RUNS_ON]]


def results(study: Study, preset: str) -> list[dict[str, Any]]:
    """Return the values of every arm at the last step, per cent where they are accuracies."""
    folder = runs_folder() / "studies" / preset
    table = sweep(study.experiment(preset), study.grid(preset), study.seeds, folder=folder)
    if len(failed := table["error"].dropna()):
        raise RuntimeError(f"{preset}: {failed.iloc[0]}")
    cells = study.cells(preset)
    return [row for cell in cells for row in _rows(study, preset, cell, Run(folder / cell.name))]


def _rows(study: Study, preset: str, cell: Cell, run: Run) -> list[dict[str, Any]]:
    summary = run.summary
    assert summary is not None  # a run without one has an error
    arms = summary["arms"]
    probed: dict[Any, float] = {}
    if any(metric not in next(iter(arms.values())) for metric in study.metrics):
        metrics = run.metrics()
        last = metrics[metrics["step"] == metrics["step"].max()]
        probed = last.set_index(["arm", "name"])["value"].to_dict()
    return [
        {"preset": preset, "seed": cell.experiment.seed, "arm": arm, **summary["versions"]}
        | {m: arms[arm][m] if m in arms[arm] else probed[arm, m] for m in study.metrics}
        for arm in cell.variants
    ]


def gradients(study: Study, preset: str) -> list[dict[str, Any]]:
    """Return the norm of each term's weighted gradient at the student's features.

    A run of the same numbers as ever, step by step, with a look at the batch that comes next
    after each of `epochs`.
    """
    rows = []
    for cell in study.cells(preset):
        with tempfile.TemporaryDirectory() as folder, chosen_threads(cell.experiment):
            rows += _watched(study, preset, cell, Path(folder) / cell.name)
            print(f"{cell.name} done")
    return rows


def _watched(study: Study, preset: str, cell: Cell, path: Path) -> list[dict[str, Any]]:
    experiment = cell.experiment
    writer = FileWriter(create(path, experiment.yaml()))
    prepared = prepare(experiment, writer, choose_device(experiment.device), Overrides(), False)
    task, rows = prepared.task, []
    for step in range(task.total + 1):
        given, (epoch, place) = task.at(step), divmod(step, task.epoch_steps)
        if place == 0 and epoch in study.epochs:
            for arm in prepared.arms:
                norms = gradient_norms(arm, given)
                named = {"preset": preset, "seed": experiment.seed}
                named |= {"arm": f"{arm.name}, epoch {epoch}"}
                rows.append(named | {m: norms.get(m) for m in study.metrics} | RUNS_ON)
        if step < task.total:
            rate = learning_rate(experiment.optimizer, step, task.total, task.epoch_steps)
            for arm in prepared.arms:
                arm.step(given.batch, given.teacher, given.images, rate, experiment.precision)
    writer.close()
    return rows


MEASURES: dict[str, Callable[[Study, str], list[dict[str, Any]]]] = {
    "results": results,
    "weights": results,
    "gradients": gradients,
}
