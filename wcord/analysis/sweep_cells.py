"""The runs of a sweep: every combination of settings for every seed."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError

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
