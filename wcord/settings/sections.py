"""The tables of settings inside an experiment: optimizer, teacher, student, probe and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from wcord.data.sources import check_source
from wcord.models import check_model
from wcord.settings.messages import first_error
from wcord.views import View
from wcord.views.normalise import ChannelStatistics, Normalisation

SAME = "same"  # in linear_probe.sources: the run's own data


class Settings(BaseModel):
    """Base of all settings: frozen, without unknown keys, with finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OptimizerSettings(Settings):
    """The optimizer and its learning rate `lr` over the steps.

    With the schedule `onecycle` the rate rises during the share `warmup` of all steps and then
    falls; `multistep` multiplies it by `gamma` at the epochs in `milestones`.
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
    """A network: its model, its input (`view` of a sample) and its label set (`labels`).

    The images x of the view lie in [0, 1] and become (x - mean) / std. `normalise` gives mean and
    std: "measured" (on the training images), "none", or {mean: ..., std: ...} with one number, or
    one for each channel. `classifier` names the final layer where it is not found automatically.
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
    def _known_normalisation(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            try:
                return ChannelStatistics.model_validate(value)
            except ValidationError as error:
                raise ValueError(first_error(error, ChannelStatistics, "")) from error
        if value in ("measured", "none") or isinstance(value, ChannelStatistics):
            return value
        raise ValueError(f'use "measured", "none" or {{mean: 0.5, std: 0.5}}, not {value!r:.60}')

    @field_validator("view")
    @classmethod
    def _known_view(cls, view: list[Any]) -> list[Any]:
        View.parse(view)
        return view


class TeacherSettings(NetworkSettings):
    """The large network. It is trained once on all labels, and then cached by its settings.

    If `seed` is null, it is the seed of the run. `weights` names a file that is loaded instead of
    training (see `wcord.models.weights`). `outputs` names a file of features and logits that takes
    the place of the teacher (see `wcord.save_teacher_outputs`); then model, view, normalise and
    epochs have no effect. `scale_features` divides the features by their mean norm over the
    training set.
    """

    model: str = "digits-teacher"
    epochs: int = Field(40, ge=0)
    seed: int | None = None
    weights: str | None = None
    outputs: str | None = Field(
        None, description="a file of the teacher's features and logits of all samples, or null"
    )
    scale_features: bool = False
    optimizer: OptimizerSettings = OptimizerSettings()


class StudentSettings(NetworkSettings):
    """The small network. `init: teacher` starts it as a copy of the teacher (same model)."""

    model: str = "digits-student"
    init: Literal["random", "teacher"] = "random"


class PairingSettings(Settings):
    """Wrong pairs of teacher and student, to study how terms depend on the pairing.

    A share `broken` of the samples gets the teacher's features, logits and feature maps of another
    sample. Within "batch", every step draws new samples of its batch that get the output of another
    one of them, so the true partner is in the same batch. Within "data", wrong partners are drawn
    once from the whole training part, so the true partner is rarely in the batch. Labels stay
    right. Accuracy is measured without wrong pairs; only the two partner masses of the probe use
    them, within "batch".
    """

    broken: float = Field(0.0, ge=0, le=1, description="share of the samples with a wrong partner")
    within: Literal["batch", "data"] = Field(
        "batch", description="where wrong partners come from: the batch, or the training part"
    )

    @property
    def in_batch(self) -> bool:
        """Whether samples exchange partners within their batch."""
        return self.broken > 0 and self.within == "batch"

    @property
    def in_data(self) -> bool:
        """Whether partners come from the whole training part."""
        return self.broken > 0 and self.within == "data"


class AugmentSettings(Settings):
    """Whether teacher and student get the same random crops and flips (`data.augment`).

    If `shared` is false, the two networks see different crops and flips of the same sample; then
    `data.augment` must not be "none".
    """

    shared: bool = Field(True, description="whether both networks see the same crop and flip")


class ProbeSettings(Settings):
    """The probe of held-out samples, which writes the snapshots that pictures are drawn from.

    A probe runs every `every` epochs. It computes plan, cost and scores for the first `batch`
    samples, and features for up to `features` samples. At most `snapshots` snapshots are kept,
    thinned evenly. Losses are written at most `losses` times per epoch.
    """

    batch: int = Field(128, ge=4, le=1024)
    features: int = Field(1000, ge=4)
    every: float = Field(1.0, gt=0)
    snapshots: int = Field(300, ge=2)
    losses: int = Field(4, ge=1)
    enabled: bool = True


class LinearProbeSettings(Settings):
    """Linear probes of the frozen features of teacher and students, fitted at the end of a run.

    `sources` are data sets as in `data.source`, or "same" for the data of the run; true is short
    for ["same"]. A probe is fitted on at most `train_size` class-balanced images, and `strength`
    is its inverse regularisation. The results are named linear_probe_accuracy (same) and
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
