"""The cells of a sweep: the settings of one run for every combination of values and every seed."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError

MOST_SEEDS = 10_000

Values = dict[str, Any]  # dotted setting -> its value in one cell or arm
Variants = dict[str, tuple[str, Values]]  # arm of a cell -> (original arm, its varied values)


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        experiment: its settings.
        varied: the values of the varied settings that all its arms share.
        variants: for each of its arms, the original arm and the values varied in it.
    """

    experiment: Experiment
    varied: Values
    variants: Variants

    @property
    def name(self) -> str:
        """The name of the run directory: the seed and a digest of the settings."""
        digest = hashlib.blake2b(self.experiment.yaml().encode(), digest_size=6).hexdigest()
        return f"seed{self.experiment.seed}-{digest}"


def make_cells(
    experiment: Experiment, over: Mapping[str, Sequence[Any]], seeds: int | Sequence[int]
) -> list[Cell]:
    """Return the cells of a sweep, in the order in which they run.

    Args:
        experiment, over, seeds: as in `wcord.sweep`.

    Raises:
        SettingsError: an unknown setting, a wrong value, an empty list, or wrong seeds.
    """
    for setting, values in over.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not len(values):
            raise SettingsError(f"{setting}: a sweep needs a list of values, not {values!r}")
    if "seed" in over:
        raise SettingsError("seed: a sweep takes its seeds from `seeds`, and varies other settings")
    seed_list = _seeds(seeds)
    run_grid = {key: list(v) for key, v in over.items() if not key.startswith("arms.")}
    arm_grid = {key: list(v) for key, v in over.items() if key.startswith("arms.")}
    cells = []
    for varied in combinations(run_grid):
        changed = experiment.replace(varied)
        arms, variants = _variants(changed, arm_grid)
        for seed in seed_list:
            settings = changed.replace({"seed": seed, "arms": arms})
            cells.append(Cell(settings, varied, variants))
    return cells


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    if isinstance(seeds, int) and 0 < seeds <= MOST_SEEDS:
        return list(range(seeds))
    if isinstance(seeds, (int, float, str)) or not len(seeds):
        raise SettingsError(f"seeds: a number from 1 to {MOST_SEEDS} or a list, not {seeds!r}")
    return list(seeds)


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[Values]:
    """Return all choices of one value for each setting; an empty grid has one empty choice.

    >>> combinations({"a": [1, 2], "b": [3]})
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _variants(
    experiment: Experiment, grid: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Any], Variants]:
    """Return the settings of all variants: one arm for each combination of an arm's values."""
    for key in grid:
        if not any(key.startswith(f"arms.{arm}.") for arm in experiment.arms):
            experiment.replace({key: grid[key][0]})  # raises for an unknown setting
            raise SettingsError(f"{key}: there is no such arm to vary")
    arms: dict[str, Any] = {}
    variants: Variants = {}
    for arm in experiment.arms:
        arm_grid = {key: grid[key] for key in grid if key.startswith(f"arms.{arm}.")}
        for values in combinations(arm_grid):
            label = ", ".join(f"{key.split('.', 2)[2]}={value}" for key, value in values.items())
            name = f"{arm} {label}" if label else arm
            arms[name] = experiment.replace(values).plain()["arms"][arm]
            variants[name] = (arm, values)
    return arms, variants
