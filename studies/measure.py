"""Run a study and gather its values: one row per preset, seed and arm."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from studies.heads import trained_heads
from studies.study import Study
from wcord.analysis.sweep import sweep
from wcord.analysis.sweep_cells import Cell
from wcord.runs import Run, runs_folder
from wcord.runs.writer import FileWriter, create
from wcord.training.devices import choose_device, chosen_threads
from wcord.training.optimizer import learning_rate
from wcord.training.prepare import Overrides, prepare
from wcord.training.probe import gradient_norms

KEYS = ["preset", "run", "seed", "arm"]
VERSIONS = {"python": platform.python_version(), "torch": torch.__version__}


def run_study(study: Study) -> pd.DataFrame:
    """Return every value of a study; runs in $WCORD_RUNS/studies that are finished are reused.

    Returns:
        Columns preset, run (the label of an entry of `Study.runs`, if there are several), seed,
        arm, the study's metrics, python, torch.

    Raises:
        RuntimeError: a run failed.
        ValueError: no arm has a metric of the study.
    """
    rows = [row for preset in study.presets for row in MEASURES[study.measure](study, preset)]
    table = pd.DataFrame(rows)[[*KEYS, *study.metrics, *VERSIONS]]
    unknown = [metric for metric in study.metrics if table[metric].isna().all()]
    if unknown and study.measure != "gradients":  # an arm left out has the gradient of its term
        raise ValueError(f"no arm has the metrics {', '.join(unknown)}")
    return table.drop(columns="run") if study.runs == [{}] else table


def last_values(study: Study, preset: str) -> list[dict[str, Any]]:
    """Return the metrics of every arm at the last step; accuracies in per cent."""
    folder = runs_folder() / "studies" / preset
    for experiment in study.experiments_by_run(preset).values():
        table = sweep(experiment, study.grid(preset), study.seeds, folder=folder)
        if len(failed := table["error"].dropna()):
            raise RuntimeError(f"{preset}: {failed.iloc[0]}")
    return [
        {"preset": preset, "run": label, "seed": cell.experiment.seed} | row
        for label, cell in study.cells(preset)
        for row in _rows(study, cell, Run(folder / cell.name))
    ]


def _rows(study: Study, cell: Cell, run: Run) -> list[dict[str, Any]]:
    summary = run.summary
    assert summary is not None  # a finished run has one
    arms = summary["arms"]
    probed: dict[Any, float] = {}
    if any(metric not in next(iter(arms.values())) for metric in study.metrics):
        metrics = run.metrics()
        metrics = metrics[metrics["arm"].isin(arms)]  # the teacher's steps are others
        last = metrics[metrics["step"] == metrics["step"].max()]
        probed = last.set_index(["arm", "name"])["value"].to_dict()
    return [
        {"arm": arm, **summary["versions"]}
        | {m: arms[arm][m] if m in arms[arm] else probed.get((arm, m)) for m in study.metrics}
        for arm in cell.variants
    ]


def gradients(study: Study, preset: str) -> list[dict[str, Any]]:
    """Return the norm of each term's weighted gradient at the student's features.

    Training gives the same numbers as a run. After each of `epochs` the norms are computed on the
    next training batch.
    """
    rows = []
    for label, cell in study.cells(preset):
        with tempfile.TemporaryDirectory() as folder, chosen_threads(cell.experiment):
            keys = {"preset": preset, "run": label, "seed": cell.experiment.seed}
            rows += [keys | row for row in _gradient_rows(study, cell, Path(folder) / cell.name)]
            print(f"{cell.name} done")
    return rows


def _gradient_rows(study: Study, cell: Cell, path: Path) -> list[dict[str, Any]]:
    experiment = cell.experiment
    writer = FileWriter(create(path, experiment.yaml()))
    prepared = prepare(experiment, writer, choose_device(experiment.device), Overrides(), False)
    task, rows = prepared.task, []
    for step in range(task.total + 1):
        inputs, (epoch, step_in_epoch) = task.at(step), divmod(step, task.epoch_steps)
        if step_in_epoch == 0 and epoch in study.epochs:
            for arm in prepared.arms:
                norms = gradient_norms(arm, inputs)
                values = {m: norms.get(m) for m in study.metrics}
                rows.append({"arm": f"{arm.name}, epoch {epoch}", **values, **VERSIONS})
        if step < task.total:
            rate = learning_rate(experiment.optimizer, step, task.total, task.epoch_steps)
            for arm in prepared.arms:
                arm.step(inputs.batch, inputs.teacher, inputs.images, rate, experiment.precision)
    writer.close()
    return rows


def heads(study: Study, preset: str) -> list[dict[str, Any]]:
    """Return the values of `studies.heads` of every arm; training gives the same as a run."""
    rows = []
    for label, cell in study.cells(preset):
        keys = {"preset": preset, "run": label, "seed": cell.experiment.seed}
        for arm, values in trained_heads(cell, study.head_rates).items():
            found = {metric: values.get(metric) for metric in study.metrics}
            rows.append(keys | {"arm": arm, **found, **VERSIONS})
        print(f"{label} {cell.name} done")
    return rows


MEASURES: dict[str, Callable[[Study, str], list[dict[str, Any]]]] = {
    "results": last_values,
    "weights": last_values,
    "gradients": gradients,
    "heads": heads,
}
