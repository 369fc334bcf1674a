"""A study: its settings, its seeds, and the metrics that it reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from wcord.analysis.sweep_cells import Cell, make_cells
from wcord.objectives import TERMS
from wcord.settings.experiment import Experiment
from wcord.settings.loading import load
from wcord.settings.messages import nearest

STUDIES = Path(__file__).with_name("studies.yaml")


class Study(BaseModel):
    """One entry of studies.yaml.

    title, question, remark: text of the results file.
    change: changed settings of every preset.
    presets: preset -> its own changes, applied after `change`; a list stands for no changes. Arms
        that compare logits are left out where teacher and student have different label sets.
    over: setting of an arm -> its values; the variants train side by side.
    runs: changes of the whole run, one entry for each column of the table. Every entry is trained
        for every seed.
    differences: pairs of arms [a, b] whose difference a − b is reported for every entry of `runs`.
    measure: "results", values at the last step; "gradients", norms of the terms' gradients at
        `epochs`; "weights", held-out accuracy of trials, from which each arm's weight is chosen;
        "heads", values of `studies.heads` at the last step.
    metrics: reported metrics; the first is compared with the arm `against`.
    incumbents: arm -> the trial that is kept unless another is better by a standard error.
    head_rates: arm -> factor of the learning rate of the student's last layer, for "heads".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    question: str
    remark: str = ""
    presets: dict[str, dict[str, Any]]
    seeds: list[int] = list(range(10))
    change: dict[str, Any] = {}
    over: dict[str, list[Any]] = {}
    runs: list[dict[str, Any]] = [{}]
    differences: list[tuple[str, str]] = []
    measure: Literal["results", "gradients", "weights", "heads"] = "results"
    metrics: list[str] = ["test_accuracy"]
    against: str | None = None
    epochs: list[int] = []
    incumbents: dict[str, str] = {}
    head_rates: dict[str, float] = {}

    @field_validator("presets", mode="before")
    @classmethod
    def _without_changes(cls, presets: Any) -> Any:
        return {name: {} for name in presets} if isinstance(presets, list) else presets

    @model_validator(mode="after")
    def _differences_have_runs(self) -> Study:
        if self.differences and self.runs == [{}]:
            raise ValueError("`differences` are reported for every entry of `runs`: list the runs")
        return self

    @model_validator(mode="after")
    def _head_rates_are_for_heads(self) -> Study:
        if self.head_rates and self.measure != "heads":
            raise ValueError("`head_rates` are used by the measure heads alone")
        return self

    def experiment(self, preset: str) -> Experiment:
        """Return the settings of a preset's runs, except the seed.

        Raises:
            wcord.settings.messages.SettingsError: a setting is unknown, or not valid in the preset.
        """
        experiment, changes = load(preset), dict(self.change)
        if not experiment.same_labels and "arms" in changes:
            arms = changes["arms"].items()
            changes["arms"] = {arm: terms for arm, terms in arms if not needs_logits(terms)}
        return experiment.replace(changes | self.presets[preset])

    def grid(self, preset: str) -> dict[str, list[Any]]:
        """Return `over` without the arms that a preset leaves out."""
        names = tuple(f"arms.{arm}." for arm in self.experiment(preset).arms)
        return {key: values for key, values in self.over.items() if key.startswith(names)}

    def experiments_by_run(self, preset: str) -> dict[str, Experiment]:
        """Return the settings of each entry of `runs`, by its label (`run_label`)."""
        experiment = self.experiment(preset)
        return {run_label(run): experiment.replace(run) for run in self.runs}

    def cells(self, preset: str) -> list[tuple[str, Cell]]:
        """Return the runs of a preset, one per entry of `runs` and seed, with the entry's label.

        Settings are validated, nothing is run.
        """
        grid = self.grid(preset)
        return [
            (label, cell)
            for label, experiment in self.experiments_by_run(preset).items()
            for cell in make_cells(experiment, grid, self.seeds)
        ]


def run_label(run: Mapping[str, Any]) -> str:
    """Return the text of an entry of `runs`, such as "batch=16, epochs=10"; "" for no changes."""
    return ", ".join(f"{key}={value}" for key, value in run.items())


def needs_logits(terms: Mapping[str, Any]) -> bool:
    """Return whether an arm compares logits, which needs equal label sets."""
    return any(TERMS[term].needs_logits and term != "ce" for term in terms)


def load_studies(path: Path = STUDIES) -> dict[str, Study]:
    """Return every study by its name."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: Study.model_validate(entry) for name, entry in entries.items()}


def find_studies(name: str) -> dict[str, Study]:
    """Return the study called `name`, or the studies called `name`-...; "all" returns every one.

    Raises:
        ValueError: there is no such study; the message suggests the nearest name.
    """
    studies = load_studies()
    found = {n: s for n, s in studies.items() if name in (n, "all") or n.startswith(f"{name}-")}
    if not found:
        raise ValueError(f"unknown study {name!r}; {nearest(name, studies)}")
    return found
