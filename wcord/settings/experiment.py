"""The validated tree of settings: what a run is asked to do, complete and on one page.

An arm is a student and a weighted sum of terms; every other part says what all arms share.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from wcord.data import DataSettings, check_source
from wcord.models import check_model
from wcord.normalisation import ChannelStatistics, Normalisation
from wcord.objectives import TERMS
from wcord.objectives.term import TermSettings
from wcord.runs import run_path
from wcord.tables import as_yaml, read_settings
from wcord.views import View

PRESETS = Path(__file__).parent / "presets"
SCHEMA_VERSION = 1
SAME = "same"  # in linear_probe.sources: the run's own data
MOST_NAMED = 40  # names that a line can list


class SettingsError(ValueError):
    """Settings that cannot be run, in one line that says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.split()))  # a name in it may hold anything


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OptimizerSettings(Settings):
    """How weights move. `onecycle` warms up over a share `warmup` of all steps; `multistep`
    multiplies the rate by `gamma` at the epochs of `milestones`.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(3e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    schedule: Literal["constant", "onecycle", "cosine", "multistep"] = "onecycle"
    warmup: float = Field(0.2, gt=0, lt=1)
    milestones: tuple[int, ...] = ()
    gamma: float = Field(0.1, gt=0)


class NetworkSettings(Settings):
    """A network, what it sees of a sample (`view`) and which labels it is made for.

    The view's pictures lie in [0, 1] and become (x - mean) / std: `normalise` is "measured" (of
    the training pictures), "none", or {mean: ..., std: ...} with one number or one a channel.
    `classifier` names the final layer where it is not found by itself.
    """

    model: str
    view: list[Any] = ["identity"]
    labels: Any = None
    normalise: Normalisation = "measured"
    classifier: str | None = None

    @field_validator("model")
    @classmethod
    def _known_model(cls, model: str) -> str:
        return check_model(model)

    @field_validator("normalise", mode="before")
    @classmethod
    def _normalise_is_understood(cls, asked: Any) -> Any:
        if isinstance(asked, Mapping):
            try:
                return ChannelStatistics.model_validate(asked)
            except ValidationError as error:
                raise ValueError(_sentence(error, ChannelStatistics, "")) from error
        if asked in ("measured", "none") or isinstance(asked, ChannelStatistics):
            return asked
        raise ValueError(f'use "measured", "none" or {{mean: 0.5, std: 0.5}}, not {asked!r:.60}')

    @field_validator("view")
    @classmethod
    def _known_view(cls, view: list[Any]) -> list[Any]:
        View.parse(view)
        return view


class TeacherSettings(NetworkSettings):
    """The large network. It is trained once on all labels and cached by its settings.

    `seed` null follows the run's seed; `weights` names a file to load instead of training (see
    `wcord.models.weights`); `scale_features` divides its features by their mean norm over the
    training set.
    """

    model: str = "digits-teacher"
    epochs: int = Field(40, ge=0)
    seed: int | None = None
    weights: str | None = None
    scale_features: bool = False
    optimizer: OptimizerSettings = OptimizerSettings()


class StudentSettings(NetworkSettings):
    """The small network. `init: teacher` starts it as a copy of the teacher (same model)."""

    model: str = "digits-student"
    init: Literal["random", "teacher"] = "random"


class PairingSettings(Settings):
    """Whose answers the students are taught with.

    A share `broken` of the rows of every batch gets the teacher's features, logits and maps of
    another row of that batch; each step draws which. Held-out and test samples keep their own.
    """

    broken: float = Field(0.0, ge=0, le=1)


class ProbeSettings(Settings):
    """What is measured for the pictures, and when.

    `batch` samples make plan, cost and scores; up to `features` samples make maps; `every`
    epochs there is a probe; at most `snapshots` are kept, thinned evenly; losses are written
    `losses` times an epoch at most.
    """

    batch: int = Field(128, ge=4, le=1024)
    features: int = Field(1000, ge=4)
    every: float = Field(1.0, gt=0)
    snapshots: int = Field(300, ge=2)
    losses: int = Field(4, ge=1)
    enabled: bool = True


class LinearProbeSettings(Settings):
    """Data on which linear probes read the frozen features of teacher and students at the end.

    `sources` are written as `data.source` names them, or "same" for the run's own; true is short
    for ["same"]. At most `train_size` images, class-balanced, fit a probe, `strength` is its
    inverse regularisation. Results are called linear_probe_accuracy (same) and
    linear_probe_accuracy_on_SOURCE.
    """

    sources: list[str] = []
    train_size: int = Field(10_000, ge=2)
    strength: float = Field(1.0, gt=0)

    @field_validator("sources")
    @classmethod
    def _known_sources(cls, sources: list[str]) -> list[str]:
        for source in sources:
            if source != SAME:
                check_source(source)
        if len(set(sources)) < len(sources):
            raise ValueError("a source is listed twice")
        return sources


class Experiment(Settings):
    """All that a run is asked to do.

    `epochs` are the students'; the teacher has its own. `arms` maps a name to terms, each with
    its settings or a bare weight: {"wcord": {"ce": 1, "gckt": {"weight": 5}, "lckt": 0.5}}.
    """

    name: str = "experiment"
    title: str = ""
    description: str = ""
    schema_version: int = SCHEMA_VERSION
    seed: int = Field(0, ge=0)
    epochs: int = Field(40, ge=1)
    batch: int = Field(64, ge=2)
    device: str = "auto"
    threads: int = Field(0, ge=0, description="CPU threads; 0 chooses by the size of the images")
    precision: Literal["float32", "bfloat16"] = "float32"
    speed: Literal["plain", "compile", "graphs"] = Field(
        "plain", description="as written, networks by torch.compile, the step as one CUDA graph"
    )
    norms: Literal["per rank", "all ranks"] = Field(
        "per rank", description="whose rows batch normalisation sees under torchrun"
    )
    data: DataSettings = DataSettings()
    teacher: TeacherSettings = TeacherSettings()
    student: StudentSettings = StudentSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    pairing: PairingSettings = PairingSettings()
    arms: dict[str, dict[str, SerializeAsAny[TermSettings]]] = Field(min_length=1)
    probe: ProbeSettings = ProbeSettings()
    linear_probe: LinearProbeSettings = LinearProbeSettings()

    @field_validator("name")
    @classmethod
    def _inside_the_runs_folder(cls, name: str) -> str:
        run_path(name)
        return name

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
    def _short_for_sources(cls, asked: Any) -> Any:
        if asked is None or isinstance(asked, bool):
            return {"sources": [SAME] if asked else []}
        return {"sources": asked} if isinstance(asked, list) else asked

    @field_validator("arms", mode="before")
    @classmethod
    def _terms_by_name(cls, arms: Any) -> Any:
        if not isinstance(arms, Mapping):
            raise ValueError("arms is a table of names, each with its terms")
        return {str(arm): _parse_arm(str(arm), terms) for arm, terms in arms.items()}

    @model_validator(mode="after")
    def _labels_are_there(self) -> Experiment:
        for arm, terms in self.arms.items():
            if self.data.labels_per_class == 0 and "ce" in terms:
                raise ValueError(
                    f"arm {arm!r}: ce would see no label, as data.labels_per_class is 0; remove ce "
                    "or allow labels"
                )
        return self

    @model_validator(mode="after")
    def _terms_fit_the_task(self) -> Experiment:
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

    @property
    def same_labels(self) -> bool:
        """Whether teacher and student answer the same question, so that logits compare."""
        return self.teacher.labels == self.student.labels

    def replace(self, changes: Mapping[str, Any]) -> Experiment:
        """Return a validated copy with some settings changed.

        Args:
            changes: dotted keys and their new values, such as {"epochs": 3,
                "arms.wcord.gckt.weight": 1.0}. A table replaces the whole table; None in place
                of an arm or a term removes it.

        Raises:
            SettingsError: unknown keys (the nearest is named), values out of range, no mapping.
        """
        if not isinstance(changes, Mapping) or not all(isinstance(key, str) for key in changes):
            raise SettingsError(f'changes are a table such as {{"epochs": 3}}, not {changes!r:.60}')
        tree = self.plain()
        for key, value in changes.items():
            _set(tree, key, plain_value(value))
        return parse(tree)

    def plain(self) -> dict[str, Any]:
        """Return the settings as plain data, complete."""
        return self.model_dump(mode="json")

    def yaml(self) -> str:
        """Return the settings as YAML, complete: `load` reads it back."""
        return as_yaml(self.plain())


def plain_value(value: Any) -> Any:
    """Return settings given as models as plain data."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _parse_arm(arm: str, terms: Any) -> dict[str, TermSettings]:
    if not re.fullmatch(r"[^\s/\\](?:[^/\\\n]{0,126}[^\s/\\])?", arm):
        raise ValueError(f"arm name {arm!r}: 1 to 128 characters without slashes or outer spaces")
    if arm == "epoch":
        raise ValueError("an arm cannot be called 'epoch', which is the axis of every curve")
    if not isinstance(terms, Mapping) or not terms:
        raise ValueError(f"arm {arm!r} is a table of terms, such as {{ce: 1, gckt: 5}}")
    parsed: dict[str, TermSettings] = {}
    for term, asked in terms.items():
        if term not in TERMS:
            raise ValueError(f"arm {arm!r}: unknown term {term!r}; {nearest(str(term), TERMS)}")
        asked = plain_value(asked)
        if isinstance(asked, (int, float)) and not isinstance(asked, bool):
            asked = {"weight": asked}
        try:
            parsed[term] = TERMS[term].Settings.model_validate({} if asked is None else asked)
        except ValidationError as error:
            model = TERMS[term].Settings
            raise ValueError(_sentence(error, model, f"arms.{arm}.{term}.")) from error
    return parsed


def nearest(word: str, known: Any) -> str:
    """Return "did you mean ...?" for a word that is not known, else the list of what is."""
    known = [str(name) for name in known]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
    return f"known are {', '.join(known[:MOST_NAMED])}{more}"


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    """Change one setting of a plain tree; None in place of an arm or a term removes it."""
    *path, last = _path(tree, key)
    node = tree
    for depth, name in enumerate(path):
        inner = node.get(name)
        if path[0] == "arms" and depth == 2:  # a term may be new, or given as a bare weight
            inner = {"weight": inner} if isinstance(inner, (int, float)) else inner or {}
        if not isinstance(inner, dict):
            raise SettingsError(f"unknown setting {key!r}; {nearest(key, _leaves(tree))}")
        node[name] = inner
        node = inner
    if value is None and path[:1] == ["arms"] and len(path) < 3:
        node.pop(last, None)
    else:
        node[last] = value


def _path(tree: dict[str, Any], key: str) -> list[str]:
    """Split a dotted key; the name of an arm may have dots of its own."""
    head, _, rest = key.partition(".")
    if head != "arms" or not rest:
        return key.split(".")
    arms = tree["arms"] if isinstance(tree["arms"], dict) else {}
    names = [arm for arm in arms if f"{rest}.".startswith(f"{arm}.")]
    arm = max(names, key=len, default=rest.partition(".")[0])
    tail = rest.removeprefix(arm).removeprefix(".")
    return ["arms", arm, *tail.split(".")] if tail else ["arms", arm]


def _leaves(tree: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        found.append(prefix + key)
        if isinstance(value, dict):
            found += _leaves(value, f"{prefix}{key}.")
    return found


def parse(tree: Mapping[str, Any]) -> Experiment:
    """Return the experiment of a plain tree of settings.

    Raises:
        SettingsError: the first thing that is wrong, in one line.
    """
    try:
        return Experiment.model_validate(dict(tree))
    except ValidationError as error:
        raise SettingsError(_sentence(error, Experiment, "")) from error


def _sentence(error: ValidationError, model: type[BaseModel], prefix: str) -> str:
    """Say the first error of a validation in one line that names the setting."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if "constrained" not in str(part)]
    where = prefix + ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _fields(model, place[:-1])
        return f"unknown setting {where!r}; {nearest(place[-1], known)}"
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"])
        return text if not place or place == ["arms"] else f"{where}: {text}"
    if first["type"] == "model_type":
        return f"{where}: a table of settings is needed, not {first['input']!r:.60}"
    if first["type"] == "too_short":
        return f"{where}: at least one is needed"
    text = first["msg"][0].lower() + first["msg"][1:]
    got = "" if first["type"] == "missing" else f", not {first['input']!r:.60}"
    return f"{where}: {text}{got}" if where else text


def _fields(model: type[BaseModel], place: list[str]) -> list[str]:
    for part in place:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        inner = [annotation]
        if get_origin(annotation) in (Union, types.UnionType):
            inner = list(get_args(annotation))
        models = [a for a in inner if isinstance(a, type) and issubclass(a, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)


@cache
def presets() -> tuple[str, ...]:
    """Return the names of the presets: the one to begin with, then all that need no download."""
    names = [path.stem for path in PRESETS.glob("*.yaml")]
    first = ("digits-compression", "digits-")
    return tuple(sorted(names, key=lambda name: (*(not name.startswith(f) for f in first), name)))


def load(source: str | Path) -> Experiment:
    """Return the experiment of a preset's name or of a settings file (YAML).

    A file may say `extends: PRESET`; its own dotted keys and tables are then changes to it.

    Raises:
        SettingsError: unknown preset (the nearest is named), unreadable file, wrong settings.
    """
    path = Path(source)
    if str(source) in presets():
        path = PRESETS / f"{source}.yaml"
    elif path.is_dir() and (path / "settings.yaml").is_file():
        path = path / "settings.yaml"
    elif not path.is_file():
        raise SettingsError(f"unknown preset {str(source)!r}; {nearest(str(source), presets())}")
    try:
        tree = read_settings(path)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    base = tree.pop("extends", None)
    return parse(tree) if base is None else load(base).replace(tree)
