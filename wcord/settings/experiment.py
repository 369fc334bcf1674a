"""All settings of an experiment, in one validated tree.

An arm is a student and a weighted sum of terms; the arms share all other settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from wcord.data import DataSettings
from wcord.frozen import Frozen
from wcord.objectives import TERMS
from wcord.objectives.term import TermSettings
from wcord.settings.changes import plain_value, set_dotted
from wcord.settings.messages import SettingsError, first_error, nearest
from wcord.settings.plugins import import_plugins
from wcord.settings.sections import (
    SAME,
    AugmentSettings,
    LinearProbeSettings,
    OptimizerSettings,
    PairingSettings,
    ProbeSettings,
    StudentSettings,
    TeacherSettings,
)
from wcord.settings.settings_file import SCHEMA_VERSION, as_yaml, check_run_name
from wcord.settings.term_settings import parse_term

# settings that older versions do not have: their section, name and default
NEWER: tuple[tuple[str, str, Any], ...] = (
    ("", "plugins", []),
    ("data", "kind", "auto"),
    ("data", "targets", "auto"),
    ("teacher", "outputs", None),
)


class Experiment(Frozen):
    """All settings of a run.

    `epochs` is for the students; the teacher has `teacher.epochs`. `arms` maps the name of an
    arm to its terms. Each term has a table of settings, or its weight alone:
    {"wcord": {"ce": 1, "gckt": {"weight": 5}, "lckt": 0.5}}.
    """

    name: str = Field("experiment", description="begins the name of the run directory")
    title: str = Field("", description="one line for lists and pages")
    description: str = Field("", description="what the experiment is for, in a few sentences")
    schema_version: int = Field(SCHEMA_VERSION, description="version of the settings' format")
    seed: int = Field(0, ge=0, description="seed of student, batches, label subset and teacher")
    epochs: int = Field(40, ge=1, description="passes of the students over the training part")
    batch: int = Field(64, ge=2, description="samples in a step")
    device: str = Field("auto", description="auto (a GPU where there is one), cpu, cuda or cuda:1")
    threads: int = Field(
        0, ge=0, description="CPU threads; 0: one for the digits, else torch's own number"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="numbers of the networks; losses and plans are computed in float32"
    )
    speed: Literal["plain", "compile", "graphs"] = Field(
        "plain", description="eager, networks by torch.compile, or the step as one CUDA graph"
    )
    norms: Literal["per rank", "all ranks"] = Field(
        "per rank", description="over which rows batch normalisation averages under torchrun"
    )
    data: DataSettings = DataSettings()
    teacher: TeacherSettings = TeacherSettings()
    student: StudentSettings = StudentSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    augment: AugmentSettings = AugmentSettings()
    pairing: PairingSettings = PairingSettings()
    plugins: list[str] = Field([], description="modules to import, which add terms to TERMS")
    arms: dict[str, dict[str, SerializeAsAny[TermSettings]]] = Field(
        min_length=1,
        description="the arms by name, each with its terms by name; a term has a table of settings "
        "or its weight alone, as in {wcord: {ce: 1, gckt: {weight: 5}, lckt: 0.5}}; null removes "
        "an arm or a term",
    )
    probe: ProbeSettings = ProbeSettings()
    linear_probe: LinearProbeSettings = LinearProbeSettings()

    @field_validator("name")
    @classmethod
    def _inside_the_runs_folder(cls, name: str) -> str:
        return check_run_name(name)

    @field_validator("plugins")
    @classmethod
    def _import_plugins(cls, plugins: list[str]) -> list[str]:
        import_plugins(plugins)  # pydantic validates `arms` later, since it is declared later
        return plugins

    @field_validator("schema_version")
    @classmethod
    def _known_schema(cls, version: int) -> int:
        if version > SCHEMA_VERSION:
            raise ValueError(
                f"these settings have schema version {version}, newer than {SCHEMA_VERSION}: "
                "update wcord to read them"
            )
        return version

    @field_validator("linear_probe", mode="before")
    @classmethod
    def _short_for_sources(cls, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return {"sources": [SAME] if value else []}
        return {"sources": value} if isinstance(value, list) else value

    @field_validator("arms", mode="before")
    @classmethod
    def _terms_by_name(cls, arms: Any) -> Any:
        if not isinstance(arms, Mapping):
            raise ValueError("arms must be a table: the name of each arm, with its terms")
        return {str(arm): _parse_arm(str(arm), terms) for arm, terms in arms.items()}

    @model_validator(mode="after")
    def _cross_entropy_has_labels(self) -> Experiment:
        for arm, terms in self.arms.items():
            if self.data.labels_per_class == 0 and "ce" in terms:
                raise ValueError(
                    f"arm {arm!r}: ce would see no label, as data.labels_per_class is 0; remove ce "
                    "or allow labels"
                )
        return self

    @model_validator(mode="after")
    def _terms_on_logits_have_same_labels(self) -> Experiment:
        if self.same_labels:
            return self
        for arm, terms in self.arms.items():
            for term in terms:
                if TERMS[term].needs_logits and term != "ce":
                    raise ValueError(
                        f"arm {arm!r}: {term} compares logits, but teacher and student have "
                        "different label sets; use a term on features (gckt, lckt, crd, hint)"
                    )
        return self

    @model_validator(mode="after")
    def _wrong_pairs_fit(self) -> Experiment:
        broken = self.pairing.broken
        if not broken:
            return self
        if self.pairing.within == "batch" and not round(broken * self.batch):
            raise ValueError(
                f"pairing.broken: {broken:g} of a batch of {self.batch} rounds to no sample: use a "
                "larger share or batch, or set pairing.within to 'data'"
            )
        for arm, terms in self.arms.items():
            for term in terms:
                if TERMS[term].needs_right_pairs:
                    raise ValueError(
                        f"arm {arm!r}: {term} needs the right partner of every sample: set "
                        "pairing.broken to 0 or remove the term"
                    )
        return self

    @model_validator(mode="after")
    def _different_crops_need_crops(self) -> Experiment:
        if not self.augment.shared and self.data.augment == "none":
            raise ValueError(
                "augment.shared is false, but data.augment is 'none', so both networks see the "
                "same image: set data.augment to 'crop-flip'"
            )
        return self

    @model_validator(mode="after")
    def _cached_outputs_fit(self) -> Experiment:
        if self.teacher.outputs is None:
            return self
        if self.teacher.weights is not None:
            raise ValueError("teacher.weights and teacher.outputs are both set: use one of them")
        check_cached_teacher(self, "teacher.outputs")
        return self

    @property
    def same_labels(self) -> bool:
        """Whether teacher and student have the same label set, so that logits can be compared."""
        return self.teacher.labels == self.student.labels

    def replace(self, changes: Mapping[str, Any]) -> Experiment:
        """Return a validated copy with some settings changed.

        Args:
            changes: dotted keys and their new values, such as {"epochs": 3,
                "arms.wcord.gckt.weight": 1.0}. A table replaces the whole table; None in place
                of an arm or a term removes it.

        Raises:
            SettingsError: an unknown key (the message names the nearest), a value out of range, or
                changes that are not a table.
        """
        if not isinstance(changes, Mapping) or not all(isinstance(key, str) for key in changes):
            raise SettingsError(f'changes are a table such as {{"epochs": 3}}, not {changes!r:.60}')
        tree = self.plain()
        for key, value in changes.items():
            set_dotted(tree, key, plain_value(value))
        return parse(tree)

    def plain(self) -> dict[str, Any]:
        """Return the complete settings as plain data."""
        tree = self.model_dump(mode="json")
        for section, name, default in NEWER:  # so that other settings keep their older digests
            table = tree[section] if section else tree
            if table[name] == default:
                del table[name]
        return tree

    def yaml(self) -> str:
        """Return the complete settings as YAML, which `wcord.load` reads back."""
        return as_yaml(self.plain())


def check_cached_teacher(experiment: Experiment, name: str) -> None:
    """Refuse settings that need the teacher itself, where only its outputs are given.

    Args:
        experiment: the settings.
        name: of the outputs, for messages.

    Raises:
        ValueError: augmentation that both networks share, a student that begins as the teacher,
            or a term on feature maps.
    """
    if experiment.data.augment != "none" and experiment.augment.shared:
        raise ValueError(
            f"{name} holds the teacher's outputs of plain samples, but data.augment is "
            f"{experiment.data.augment!r}, which also changes what the teacher sees: set "
            "augment.shared to false (then only the student's images are augmented), or "
            "data.augment to 'none'"
        )
    if experiment.student.init == "teacher":
        raise ValueError(
            f"student.init is 'teacher', but with {name} there is no network to copy: use 'random'"
        )
    for arm, terms in experiment.arms.items():
        for term in terms:
            if TERMS[term].needs_maps:
                raise ValueError(
                    f"arm {arm!r}: {term} compares feature maps, which {name} does not hold: "
                    f"remove {term} or give the teacher itself"
                )


def _parse_arm(arm: str, terms: Any) -> dict[str, TermSettings]:
    if not re.fullmatch(r"[^\s/\\](?:[^/\\\n]{0,126}[^\s/\\])?", arm):
        raise ValueError(f"arm name {arm!r}: 1 to 128 characters without slashes or outer spaces")
    if arm == "epoch":
        raise ValueError("an arm cannot be called 'epoch', which is the axis of every curve")
    if not isinstance(terms, Mapping) or not terms:
        raise ValueError(f"arm {arm!r} is a table of terms, such as {{ce: 1, gckt: 5}}")
    parsed: dict[str, TermSettings] = {}
    for term, value in terms.items():
        if term not in TERMS:
            raise ValueError(
                f"arm {arm!r}: unknown term {term!r}; {nearest(str(term), TERMS)} (for a term of "
                "your own, name its module in the setting plugins)"
            )
        parsed[term] = parse_term(term, value, f"arms.{arm}.")
    return parsed


def parse(tree: Mapping[str, Any]) -> Experiment:
    """Return the experiment of a plain tree of settings.

    Raises:
        SettingsError: the first error, in one line.
    """
    try:
        return Experiment.model_validate(dict(tree))
    except ValidationError as error:
        raise SettingsError(first_error(error, Experiment, "")) from error
