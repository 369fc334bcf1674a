"""A study: what is run, over which seeds, and which of its values are reported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, field_validator

from wcord.analysis.sweep_cells import Cell, plan
from wcord.objectives import TERMS
from wcord.settings.experiment import Experiment
from wcord.settings.loading import load
from wcord.settings.messages import nearest

DECLARED = Path(__file__).with_name("studies.yaml")


class Study(BaseModel):
    """One entry of studies.yaml.

    title, question, remark: text of the results file.
    presets: preset -> changes of its own (a list: none), made after `change`, which is for all.
        Arms that compare logits are left out where a preset has unlike label sets.
    over: setting of an arm -> its values; the variants train side by side.
    measure: "results", values at the last step; "gradients", norms of the terms' gradients at
        `epochs`; "weights", held-out accuracy of trials, of which each arm's weight is chosen.
    metrics: what is reported; the first is compared with the arm `against`.
    incumbents: by arm, the trial that is kept unless another is better by a standard error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    question: str
    remark: str = ""
    presets: dict[str, dict[str, Any]]
    seeds: list[int] = list(range(10))
    change: dict[str, Any] = {}
    over: dict[str, list[Any]] = {}
    measure: Literal["results", "gradients", "weights"] = "results"
    metrics: list[str] = ["test_accuracy"]
    against: str | None = None
    epochs: list[int] = []
    incumbents: dict[str, str] = {}

    @field_validator("presets", mode="before")
    @classmethod
    def _without_changes(cls, presets: Any) -> Any:
        return {name: {} for name in presets} if isinstance(presets, list) else presets

    def experiment(self, preset: str) -> Experiment:
        """Return what is run of a preset, but for the seed.

        Raises:
            wcord.settings.messages.SettingsError: a setting that the preset has not or cannot take.
        """
        experiment, changes = load(preset), dict(self.change)
        if not experiment.same_labels and "arms" in changes:
            changes["arms"] = {a: t for a, t in changes["arms"].items() if not needs_logits(t)}
        return experiment.replace(changes | self.presets[preset])

    def grid(self, preset: str) -> dict[str, list[Any]]:
        """Return `over` without the arms that a preset leaves out."""
        names = tuple(f"arms.{arm}." for arm in self.experiment(preset).arms)
        return {setting: v for setting, v in self.over.items() if setting.startswith(names)}

    def cells(self, preset: str) -> list[Cell]:
        """Return the runs of a preset, one a seed, validated; nothing is run."""
        return plan(self.experiment(preset), self.grid(preset), self.seeds)


def needs_logits(terms: Mapping[str, Any]) -> bool:
    """Return whether an arm compares logits, which unlike label sets do not allow."""
    return any(TERMS[term].needs_logits and term != "ce" for term in terms)


def declared(path: Path = DECLARED) -> dict[str, Study]:
    """Return every study by its name."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: Study.model_validate(entry) for name, entry in entries.items()}


def find(name: str) -> Study:
    """Return the study of a name.

    Raises:
        ValueError: there is none; the nearest is named.
    """
    studies = declared()
    if name not in studies:
        raise ValueError(f"unknown study {name!r}; {nearest(name, studies)}")
    return studies[name]
