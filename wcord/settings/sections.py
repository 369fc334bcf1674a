"""The parts of an experiment's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from wcord.data.sources import check_source
from wcord.models import check_model
from wcord.settings.messages import first_error
from wcord.views import View
from wcord.views.normalise import ChannelStatistics, Normalisation

SAME = "same"  # in linear_probe.sources: the run's own data


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
                raise ValueError(first_error(error, ChannelStatistics, "")) from error
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
