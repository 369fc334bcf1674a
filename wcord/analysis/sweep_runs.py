"""The runs of a sweep carried out: begun, resumed, or set aside."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wcord.analysis.sweep_cells import Cell
from wcord.data import data_root
from wcord.runs import Run, checkpoints, is_locked, provenance, runs_folder
from wcord.runs.storage import StorageError
from wcord.settings.experiment import Experiment, parse
from wcord.settings.messages import SettingsError
from wcord.training.devices import threads_of
from wcord.training.distillation import distill, resume
from wcord.training.inputs import current_inputs

Inputs = dict[str, dict[str, str]]  # by what they depend on, what runs would read now


def carry_out(settings: str, path: str, known: Inputs | None = None) -> dict[str, Any]:
    """Run one cell to its end, or take up what is there; never raise for a cell that fails.

    Args:
        settings: of the experiment, as JSON.
        path: of the run's directory.
        known: what was read for other cells of the sweep; it is filled.
    """
    try:
        run = run_or_resume(parse(json.loads(settings)), Path(path), False, known)
        stopped = "stopped" if run.status["state"] == "stopped" else None
        error = run.status["error"] or stopped
        return {"run": path, "summary": run.summary, "error": error}
    except (ValueError, RuntimeError, OSError, StorageError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        return {"run": path, "summary": None, "error": line}


def run_or_resume(
    experiment: Experiment, folder: Path, progress: bool = True, known: Inputs | None = None
) -> Run:
    """Return the run in a folder: finished as it is, else resumed, else begun.

    One that was made from other data than there are now is set aside first. Where the data cannot
    be read any more, a finished one is returned, and a line says so.

    Args:
        experiment: its settings.
        folder: its directory.
        progress: whether to show a bar.
        known: as in `carry_out`.

    Raises:
        ValueError: as `distill` and `resume`, or a run to be set aside is being written.
    """
    known = {} if known is None else known
    finished = (folder / "summary.json").is_file()
    try:
        stale = _stale(folder, experiment, known)
    except ValueError as error:
        if not finished:
            raise
        print(f"{folder.name} is finished; its data could not be read: {error}", file=sys.stderr)
        stale = False
    if stale:
        _set_aside(folder)
        then = _aside(folder, provenance.digest(_inputs(experiment, known)))
        if then.exists():  # the data are those of an earlier time again
            then.rename(folder)
    if not (folder / "settings.yaml").is_file():
        return distill(experiment, folder, progress=progress)
    run = Run(folder)
    return resume(folder, progress=progress) if run.summary is None else run


def _stale(folder: Path, experiment: Experiment, known: Inputs) -> bool:
    """Return whether a run lies there that was made from other data than there are now."""
    then = _made_from(folder)
    return then is not None and then != provenance.digest(_inputs(experiment, known))


def _inputs(experiment: Experiment, known: Inputs) -> dict[str, str]:
    read = repr((experiment.data, experiment.teacher.weights, experiment.linear_probe))
    if read not in known:
        known[read] = current_inputs(experiment)
    return known[read]


def _made_from(folder: Path) -> str | None:
    """Return the digest of a run's inputs, by its record, else by its newest checkpoint."""
    recorded = provenance.recorded(folder)
    if recorded is not None:
        return provenance.digest(recorded)
    steps = checkpoints.steps(folder / "checkpoints")
    return checkpoints.header(folder / "checkpoints", steps[-1]).get("inputs") if steps else None


def _set_aside(folder: Path) -> None:
    """Give a run another name, beside the one it had."""
    if is_locked(folder):
        raise ValueError(
            f"{folder.name} is being written, from other data than there are now: stop it first"
        )
    other = _aside(folder, _made_from(folder) or "")
    folder.rename(other)
    print(f"{folder.name} was made from other data and is now {other.name}", file=sys.stderr)


def _aside(folder: Path, inputs: str) -> Path:
    """Return where the run of these inputs lies while its cell is run on others."""
    return folder.with_name(f"{folder.name}-other-data-{inputs[:8]}")


def _local(cells: Sequence[Cell], folder: Path, progress: bool) -> list[dict[str, Any]]:
    outcomes: list[dict[str, Any]] = []
    known: Inputs = {}
    for number, cell in enumerate(cells, 1):
        settings = json.dumps(cell.experiment.plain())
        outcome = carry_out(settings, str(folder / cell.name), known)
        if progress:
            said = outcome["error"] or "done"
            print(f"{number} of {len(cells)}: {cell.name} {said}", file=sys.stderr)
        if outcome["error"] == "stopped":
            raise KeyboardInterrupt  # Ctrl-C ends a run gently; the sweep is to end as well
        outcomes.append(outcome)
    return outcomes


def _elsewhere(environment: dict[str, str], settings: str, path: str) -> dict[str, Any]:
    """Carry out a cell in a worker, with the folders of the machine that asked."""
    os.environ.update(environment)
    return carry_out(settings, path)


def _ray(cells: Sequence[Cell], folder: Path, progress: bool) -> list[dict[str, Any]]:
    try:
        import ray
    except ImportError:
        raise SettingsError(
            "backend 'ray' needs Ray, which is not installed: pip install 'wcord[ray]'"
        ) from None
    if not ray.is_initialized():
        try:
            ray.init(include_dashboard=False, log_to_driver=False)
        except Exception as error:  # Ray raises nothing narrower when it takes too long
            reason = str(error).strip().splitlines()[0]
            raise RuntimeError(f"no Ray cluster comes up here: {reason}") from error
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    most = max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
    environment = {
        "WCORD_RUNS": str(runs_folder().absolute()),
        "WCORD_DATA": str(data_root().absolute()),
    }
    jobs: dict[Any, int] = {}
    for place, cell in enumerate(cells):
        task = ray.remote(num_cpus=min(most, threads_of(cell.experiment)), num_gpus=gpus)(
            _elsewhere
        )
        settings = json.dumps(cell.experiment.plain())
        jobs[task.remote(environment, settings, str(folder.absolute() / cell.name))] = place
    outcomes: dict[int, dict[str, Any]] = {}
    waiting = list(jobs)
    while waiting:
        (job, *_), waiting = ray.wait(waiting)
        place = jobs[job]
        try:
            outcome = ray.get(job)
        except ray.exceptions.RayError as error:  # a worker died: its run is taken up next time
            line = str(error).strip().splitlines()[0]
            outcome = {"run": str(folder / cells[place].name), "summary": None, "error": line}
        outcomes[place] = outcome
        if progress:
            said = f"{len(outcomes)} of {len(cells)}: {cells[place].name}"
            print(f"{said} {outcome['error'] or 'done'}", file=sys.stderr)
    return [outcomes[place] for place in range(len(cells))]


BACKENDS = {"local": _local, "ray": _ray}
