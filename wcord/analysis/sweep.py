"""Ablations: the cells of a grid over seeds, run, resumed, and gathered in one tidy table."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wcord import checkpoint, provenance
from wcord.data import data_root
from wcord.devices import threads_of
from wcord.distillation import distill, resume
from wcord.experiment import Experiment, SettingsError, load, parse
from wcord.preparation import inputs_now
from wcord.runs import Run, is_locked, runs_folder
from wcord.storage import StorageError

MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Cell:
    """One run of a sweep: its settings, the settings that were varied in it, its arms' own.

    `varied` holds for every arm of the run; `variants` maps an arm of the run to the arm it was
    made from and to what was varied in it.
    """

    experiment: Experiment
    varied: dict[str, Any]
    variants: dict[str, tuple[str, dict[str, Any]]]

    @property
    def name(self) -> str:
        """A name that is a pure function of the settings."""
        digest = hashlib.blake2b(self.experiment.yaml().encode(), digest_size=6).hexdigest()
        return f"seed{self.experiment.seed}-{digest}"


def sweep(
    experiment: Experiment | str,
    over: Mapping[str, Sequence[Any]],
    seeds: int | Sequence[int] = 3,
    backend: str = "local",
    folder: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run every combination of settings for every seed and return one row an arm, cell and seed.

    Settings of an arm are varied inside one run: its variants train side by side against one
    teacher on the same batches. Other settings make a run each. Finished runs in `folder` are
    not run again and interrupted ones are resumed, so a killed sweep is continued by the same
    call; a run that was made from other data than there are now is set aside under another
    name, and its cell is run on the data there are. A run that fails is reported (column
    `error`) and does not end the sweep; one that is told to stop ends it (KeyboardInterrupt).
    The seed moves student, batches, label subset and teacher, except what the settings fix
    (`data.subset_seed`, `teacher.seed`).

    Args:
        experiment: what is varied: settings, or the name of a preset.
        over: dotted setting -> its values, such as {"arms.wcord.lckt.epsilon": [0.02, 0.05]}.
        seeds: how many (0, 1, ...), or which.
        backend: "local", or "ray" (extra `wcord[ray]`): a run a task, on one machine or many.
        folder: where the runs lie; by default named after the experiment and the grid.
        progress: whether to say which run is under way.

    Returns:
        A table with the columns of `over`, then seed, arm, test_accuracy, held_out_accuracy,
        parameters, (linear_probe_accuracy,) run, error.

    Raises:
        SettingsError: an unknown setting, a value out of range or an empty list, before anything
            trains; Ray asked for and not installed.
    """
    experiment = load(experiment) if isinstance(experiment, str) else experiment
    cells = plan(experiment, over, seeds)
    if folder is None:
        grid = json.dumps([experiment.plain(), {k: list(v) for k, v in over.items()}], default=str)
        digest = hashlib.blake2b(grid.encode(), digest_size=4).hexdigest()
        folder = runs_folder() / "sweeps" / f"{experiment.name}-{digest}"
    if backend not in BACKENDS:
        raise SettingsError(f"unknown backend {backend!r}; there are {', '.join(BACKENDS)}")
    outcomes = BACKENDS[backend](cells, Path(folder), progress)
    rows = [
        row for cell, outcome in zip(cells, outcomes, strict=True) for row in _rows(cell, outcome)
    ]
    return pd.DataFrame(rows)


def plan(
    experiment: Experiment, over: Mapping[str, Sequence[Any]], seeds: int | Sequence[int]
) -> list[Cell]:
    """Return the runs of a sweep, validated, in order."""
    for setting, values in over.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not len(values):
            raise SettingsError(f"{setting}: a sweep needs a list of values, not {values!r}")
    if "seed" in over:
        raise SettingsError("seed: a sweep takes its seeds from `seeds`, and varies other settings")
    if isinstance(seeds, int) and 0 < seeds <= MOST_SEEDS:
        chosen = list(range(seeds))
    elif isinstance(seeds, (int, float, str)) or not len(seeds):
        raise SettingsError(f"seeds: a number from 1 to {MOST_SEEDS} or a list, not {seeds!r}")
    else:
        chosen = list(seeds)
    of_run = {key: list(v) for key, v in over.items() if not key.startswith("arms.")}
    of_arms = {key: list(v) for key, v in over.items() if key.startswith("arms.")}
    cells = []
    for varied in combinations(of_run):
        changed = experiment.replace(varied)
        arms, variants = _variants(changed, of_arms)
        for seed in chosen:
            settings = changed.replace({"seed": seed, "arms": arms})
            cells.append(Cell(settings, varied, variants))
    return cells


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every choice of one value a setting; one empty choice for an empty grid.

    >>> combinations({"a": [1, 2], "b": [3]})
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _variants(
    experiment: Experiment, grid: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Any], dict[str, tuple[str, dict[str, Any]]]]:
    """Return the table of arms in which every combination of an arm's settings is an arm."""
    arms: dict[str, Any] = {}
    variants: dict[str, tuple[str, dict[str, Any]]] = {}
    for arm in experiment.arms:
        own = {key: values for key, values in grid.items() if key.startswith(f"arms.{arm}.")}
        for values in combinations(own):
            changed = experiment.replace(values).plain()["arms"][arm]
            said = ", ".join(f"{key.split('.', 2)[2]}={value}" for key, value in values.items())
            name = f"{arm} {said}" if said else arm
            arms[name] = changed
            variants[name] = (arm, values)
    unknown = [
        key for key in grid if not any(key.startswith(f"arms.{a}.") for a in experiment.arms)
    ]
    if unknown:
        experiment.replace({unknown[0]: grid[unknown[0]][0]})  # says what is wrong with it
        raise SettingsError(f"{unknown[0]}: there is no such arm to vary")
    return arms, variants


def _rows(cell: Cell, outcome: dict[str, Any]) -> list[dict[str, Any]]:
    arms = (outcome["summary"] or {}).get("arms", {})
    rows = []
    for name, (arm, values) in cell.variants.items():
        result = dict(arms.get(name, {}))
        error = result.pop("frozen", None) or outcome["error"]
        row = {**cell.varied, **values, "seed": cell.experiment.seed, "arm": arm, **result}
        rows.append(row | {"run": outcome["run"], "error": error})
    return rows


def _written(value: Any) -> str:
    """Write a value of a table that may have made 1 a 1.0 and null a nan."""
    if isinstance(value, float):
        return f"{value:g}" if value == value else "null"
    return str(value)


def column(arm: str, values: Mapping[Any, Any], over: Mapping[str, Sequence[Any]]) -> str:
    """Return an arm's name with what was varied in it, without its own part of the keys.

    >>> column("wcord", {"arms.wcord.lckt.epsilon": 0.1}, {"arms.wcord.lckt.epsilon": [0.1, 0.2]})
    'wcord (lckt.epsilon=0.1)'
    """
    own = f"arms.{arm}."
    said = [
        f"{key.removeprefix(own)}={_written(values[key])}"
        for key in over
        if key.startswith(own) or not key.startswith("arms.")
    ]
    return f"{arm} ({', '.join(said)})" if said else arm


def columns(experiment: Experiment, over: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the columns that `by_seed` will have, before anything is run.

    Raises:
        SettingsError: as `sweep`.
    """
    return [
        column(arm, cell.varied | values, over)
        for cell in plan(experiment, over, 1)
        for arm, values in cell.variants.values()
    ]


def by_seed(
    table: pd.DataFrame, over: Mapping[str, Sequence[Any]], metric: str = "test_accuracy"
) -> pd.DataFrame:
    """Return one row a seed and one column an arm with what was varied in it, for `tabulate`.

    Args:
        table: of `sweep`; rows with an error are left out.
        over: the settings that were varied.
        metric: a column of `table`.

    Raises:
        RuntimeError: every run failed.
        SettingsError: nobody measured `metric`.
    """
    sound = table[table["error"].isna()]
    if sound.empty:
        raise RuntimeError(f"every run of the sweep failed: {table['error'].iloc[0]}")
    if metric not in sound:
        known = ", ".join(str(c) for c in sound if "accuracy" in str(c))
        raise SettingsError(f"nobody measured {metric!r}; there are {known}")

    names = [column(str(row["arm"]), row.to_dict(), over) for _, row in sound.iterrows()]
    once = sound.assign(column=names).drop_duplicates(["seed", "column"])
    spread = once.pivot(index="seed", columns="column", values=metric)
    return spread[list(dict.fromkeys(names))].rename_axis(columns=None)


# -- where the runs are carried out -------------------------------------------------------------


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
        known[read] = inputs_now(experiment)
    return known[read]


def _made_from(folder: Path) -> str | None:
    """Return the digest of a run's inputs, by its record, else by its newest checkpoint."""
    recorded = provenance.recorded(folder)
    if recorded is not None:
        return provenance.digest(recorded)
    steps = checkpoint.steps(folder / "checkpoints")
    return checkpoint.header(folder / "checkpoints", steps[-1]).get("inputs") if steps else None


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
