"""Ablations: the cells of a grid over seeds, run, resumed, and gathered in one tidy table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wcord.analysis.sweep_cells import Cell, plan
from wcord.analysis.sweep_runs import BACKENDS
from wcord.runs import runs_folder
from wcord.settings.experiment import Experiment
from wcord.settings.loading import load
from wcord.settings.messages import SettingsError


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
