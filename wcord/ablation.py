"""Ablations: the cells of a grid over seeds, run, resumed, and gathered in one tidy table."""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wcord.distillation import distill, resume
from wcord.experiment import Experiment, SettingsError
from wcord.runs import Run, runs_folder


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
    experiment: Experiment,
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
    call; a run that fails is reported (column `error`) and does not end the sweep. The seed
    moves student, batches, label subset and teacher, except what the settings fix
    (`data.subset_seed`, `teacher.seed`).

    Args:
        experiment: what is varied.
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
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen:
        raise SettingsError("a sweep needs at least one seed")
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


# -- where the runs are carried out -------------------------------------------------------------


def carry_out(settings: str, path: str) -> dict[str, Any]:
    """Run one cell to its end, or take up what is there; never raise for a cell that fails."""
    from wcord.experiment import parse
    from wcord.storage import StorageError

    folder = Path(path)
    try:
        if (folder / "settings.yaml").is_file():
            run = Run(folder)
            if run.summary is None:
                run = resume(folder, progress=False)
        else:
            run = distill(parse(json.loads(settings)), folder, progress=False)
        return {"run": str(folder), "summary": run.summary, "error": run.status["error"]}
    except (ValueError, RuntimeError, OSError, StorageError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        return {"run": str(folder), "summary": None, "error": line}


def _local(cells: Sequence[Cell], folder: Path, progress: bool) -> list[dict[str, Any]]:
    outcomes = []
    for number, cell in enumerate(cells, 1):
        outcome = carry_out(json.dumps(cell.experiment.plain()), str(folder / cell.name))
        if progress:
            said = outcome["error"] or "done"
            print(f"{number} of {len(cells)}: {cell.name} {said}", file=sys.stderr)
        outcomes.append(outcome)
    return outcomes


def _ray(cells: Sequence[Cell], folder: Path, progress: bool) -> list[dict[str, Any]]:
    try:
        import ray
    except ImportError:
        raise SettingsError(
            "backend 'ray' needs Ray, which is not installed: pip install 'wcord[ray]'"
        ) from None
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus)(carry_out)
    root = folder.absolute()
    jobs = [
        task.remote(json.dumps(cell.experiment.plain()), str(root / cell.name)) for cell in cells
    ]
    return list(ray.get(jobs))


BACKENDS = {"local": _local, "ray": _ray}
