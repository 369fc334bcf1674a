"""Sweeps (ablations): run every combination of settings for several seeds, in one tidy table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wcord.analysis.result_metric import result_metric
from wcord.analysis.sweep_backends import BACKENDS, Outcome
from wcord.analysis.sweep_cells import Cell, make_cells
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
    """Run every combination of settings for every seed; return one row per arm, cell and seed.

    Variants of an arm train side by side in one run, with one teacher and the same batches. Each
    combination of other settings is a run. The same call continues a killed sweep: finished runs
    in `folder` are not run again and interrupted runs are resumed. If the data have changed since a
    run was made, that run is renamed and its cell runs again. A run that fails is reported (column
    `error`) and does not end the sweep; a run that is stopped ends it (`SweepStopped`,
    a KeyboardInterrupt). The seed
    determines the student, batches, label subset and teacher, unless `data.subset_seed` or
    `teacher.seed` is set.

    Args:
        experiment: the settings to vary, or the name of a preset.
        over: dotted setting -> its values, such as {"arms.wcord.lckt.epsilon": [0.02, 0.05]}.
        seeds: number of seeds (0, 1, ...), or a list of seeds.
        backend: "local", or "ray" (extra `wcord[ray]`): each run is a task of a Ray cluster.
        folder: the folder of the runs; by default named after the experiment and the grid.
        progress: whether to print a line when a run ends.

    Returns:
        A table with the columns of `over`, then seed, arm, test_accuracy, held_out_accuracy,
        parameters, (linear_probe_accuracy,) run, error. Where labels are no classes, r2
        (regression) or average_precision (several labels) takes the place of accuracy.

    Raises:
        SettingsError: an unknown setting, a value out of range, an empty list, or a backend that
            cannot be used; before anything trains.
    """
    experiment = load(experiment) if isinstance(experiment, str) else experiment
    cells = make_cells(experiment, over, seeds)
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


def _rows(cell: Cell, outcome: Outcome) -> list[dict[str, Any]]:
    arms = (outcome["summary"] or {}).get("arms", {})
    rows = []
    for name, (arm, values) in cell.variants.items():
        result = dict(arms.get(name, {}))
        error = result.pop("frozen", None) or outcome["error"]
        row = {**cell.varied, **values, "seed": cell.experiment.seed, "arm": arm, **result}
        rows.append(row | {"run": outcome["run"], "error": error})
    return rows


def _as_text(value: Any) -> str:
    """Return a value as written in settings; a table may hold 1.0 for 1 and nan for null."""
    if isinstance(value, float):
        return f"{value:g}" if value == value else "null"
    return str(value)


def column_name(arm: str, values: Mapping[Any, Any], over: Mapping[str, Sequence[Any]]) -> str:
    """Return the name of an arm, followed by the values that were varied in it.

    >>> over = {"arms.wcord.lckt.epsilon": [0.1, 0.2]}
    >>> column_name("wcord", {"arms.wcord.lckt.epsilon": 0.1}, over)
    'wcord (lckt.epsilon=0.1)'
    """
    prefix = f"arms.{arm}."
    varied = [
        f"{key.removeprefix(prefix)}={_as_text(values[key])}"
        for key in over
        if key.startswith(prefix) or not key.startswith("arms.")
    ]
    return f"{arm} ({', '.join(varied)})" if varied else arm


def column_names(experiment: Experiment, over: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the names of the columns that `by_seed` will have, before anything runs.

    Raises:
        SettingsError: as in `sweep`.
    """
    return [
        column_name(arm, cell.varied | values, over)
        for cell in make_cells(experiment, over, 1)
        for arm, values in cell.variants.values()
    ]


def by_seed(
    table: pd.DataFrame, over: Mapping[str, Sequence[Any]], metric: str | None = None
) -> pd.DataFrame:
    """Return one row per seed and one column per varied arm (see `column_name`), for `tabulate`.

    Args:
        table: from `sweep`; rows with an error are left out.
        over: the settings that were varied.
        metric: a column of `table`; None: that of the test part (see `result_metric`).

    Raises:
        RuntimeError: every run failed.
        SettingsError: no run has `metric`.
    """
    succeeded = table[table["error"].isna()]
    if succeeded.empty:
        raise RuntimeError(f"every run of the sweep failed: {table['error'].iloc[0]}")
    metric = result_metric(map(str, succeeded), metric)
    if metric not in succeeded:
        ends = ("accuracy", "r2", "average_precision")
        known = ", ".join(str(c) for c in succeeded if any(end in str(c) for end in ends))
        raise SettingsError(f"no run has {metric!r}; there are {known}")
    names = [column_name(str(row["arm"]), row.to_dict(), over) for _, row in succeeded.iterrows()]
    unique = succeeded.assign(column=names).drop_duplicates(["seed", "column"])
    wide = unique.pivot(index="seed", columns="column", values=metric)
    return wide[list(dict.fromkeys(names))].rename_axis(columns=None)
