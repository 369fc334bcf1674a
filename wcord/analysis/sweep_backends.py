"""Where the cells of a sweep run: in this process, or on a Ray cluster."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wcord.analysis.sweep_cells import Cell
from wcord.analysis.sweep_runs import CurrentInputs, run_or_resume
from wcord.data import data_root
from wcord.errors import first_line
from wcord.runs import runs_folder
from wcord.settings.experiment import parse
from wcord.settings.messages import SettingsError
from wcord.settings.plugins import plugin_folders, require_importable
from wcord.training.devices import threads_of

# of a cell: the path of its run, its summary or None, its error or None, the signal that ended it
Outcome = dict[str, Any]


class SweepStopped(KeyboardInterrupt):
    """A run of the sweep was stopped.

    Args:
        message: one line.
        signal: the signal that ended the run; None where a stop was requested in another way.
    """

    def __init__(self, message: str, signal: int | None) -> None:
        super().__init__(message)
        self.signal = signal


def run_cell(settings: str, path: str, inputs: CurrentInputs | None = None) -> Outcome:
    """Run or resume one cell until it ends; an error is returned, not raised.

    Args:
        settings: of the experiment, as JSON.
        path: of the run directory.
        inputs: digests of the inputs, shared by the cells of a sweep.
    """
    try:
        run = run_or_resume(parse(json.loads(settings)), Path(path), False, inputs)
    except (ValueError, RuntimeError, OSError) as error:
        return {"run": path, "summary": None, "error": first_line(error)}
    status = run.status
    stopped = "stopped" if status.state == "stopped" else None
    outcome = {"run": path, "summary": run.summary, "error": status.error or stopped}
    return outcome | {"signal": run.ended_by_signal}


def run_locally(cells: Sequence[Cell], folder: Path, progress: bool) -> list[Outcome]:
    """Run the cells one after another in this process.

    Raises:
        SweepStopped: a run was stopped (Ctrl-C writes its checkpoint), which ends the sweep.
    """
    outcomes: list[Outcome] = []
    inputs = CurrentInputs()
    for number, cell in enumerate(cells, 1):
        settings = json.dumps(cell.experiment.plain())
        outcome = run_cell(settings, str(folder / cell.name), inputs)
        if progress:
            _print_progress(number, len(cells), cell, outcome)
        if outcome["error"] == "stopped":
            line = f"stopped in run {number} of {len(cells)}; the same command continues"
            raise SweepStopped(line, outcome["signal"])
        outcomes.append(outcome)
    return outcomes


def run_on_ray(cells: Sequence[Cell], folder: Path, progress: bool) -> list[Outcome]:
    """Run each cell as a task of Ray, on one machine or many that share the folders.

    Raises:
        SettingsError: Ray is not installed, or a worker could not import a term.
        RuntimeError: no Ray cluster starts.
    """
    for cell in cells:
        require_importable(cell.experiment.arms, cell.experiment.plugins)
    ray = _connected_ray()
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    cores = max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
    environment = {
        "WCORD_RUNS": str(runs_folder().absolute()),
        "WCORD_DATA": str(data_root().absolute()),
    }
    indices: dict[Any, int] = {}  # job -> index of its cell
    for index, cell in enumerate(cells):
        experiment = cell.experiment
        task = ray.remote(num_cpus=min(cores, threads_of(experiment)), num_gpus=gpus)(
            _run_in_worker
        )
        job = task.remote(
            environment,
            plugin_folders(experiment.plugins),
            json.dumps(experiment.plain()),
            str(folder.absolute() / cell.name),
        )
        indices[job] = index
    outcomes: dict[int, Outcome] = {}
    unfinished = list(indices)
    while unfinished:
        (job, *_), unfinished = ray.wait(unfinished)
        cell = cells[indices[job]]
        try:
            outcome = ray.get(job)
        except ray.exceptions.RayError as error:  # a worker died: the next sweep resumes its run
            path = str(folder / cell.name)
            outcome = {"run": path, "summary": None, "error": first_line(error)}
        outcomes[indices[job]] = outcome
        if progress:
            _print_progress(len(outcomes), len(cells), cell, outcome)
    return [outcomes[index] for index in range(len(cells))]


def _connected_ray() -> Any:
    """Return the module `ray`, connected to a cluster; without one it starts a local cluster."""
    try:
        import ray
    except ImportError:
        raise SettingsError(
            "backend 'ray' needs Ray, which is not installed: pip install 'wcord[ray]'"
        ) from None
    if not ray.is_initialized():
        try:
            ray.init(include_dashboard=False, log_to_driver=False)
        except Exception as error:  # Ray has no narrower exception for its timeout
            raise RuntimeError(f"no Ray cluster starts here: {first_line(error)}") from error
    return ray


def _run_in_worker(
    environment: dict[str, str], folders: list[str], settings: str, path: str
) -> Outcome:
    """Run a cell with the data, runs and plugin folders of the machine that started the sweep."""
    os.environ.update(environment)
    sys.path += [folder for folder in folders if folder not in sys.path]
    return run_cell(settings, path)


def _print_progress(done: int, count: int, cell: Cell, outcome: Outcome) -> None:
    print(f"{done} of {count}: {cell.name} {outcome['error'] or 'done'}", file=sys.stderr)


Backend = Callable[[Sequence[Cell], Path, bool], list[Outcome]]
BACKENDS: dict[str, Backend] = {"local": run_locally, "ray": run_on_ray}
