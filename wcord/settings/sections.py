"""The tables of settings inside an experiment: optimizer, teacher, student, probe and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from wcord.data.sources import check_source
from wcord.frozen import Frozen
from wcord.models import check_model
from wcord.settings.messages import first_error
from wcord.views import View
from wcord.views.normalise import ChannelStatistics, Normalisation

SAME = "same"  # in linear_probe.sources: the run's own data
MODEL = "name of a network: digits-student, resnet8x4, ..., small:4-8-16 or torchvision:NAME"


class OptimizerSettings(Frozen):
    """The optimizer and its learning rate over the steps."""

    name: Literal["adam", "adamw", "sgd"] = Field("adam", description="the optimizer")
    lr: float = Field(3e-3, gt=0, description="learning rate; its largest value with onecycle")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay (decoupled with adamw)")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd")
    schedule: Literal["constant", "onecycle", "cosine", "multistep"] = Field(
        "onecycle", description="how the learning rate changes over the steps"
    )
    warmup: float = Field(
        0.2, gt=0, lt=1, description="share of all steps in which the rate of onecycle rises"
    )
    milestones: tuple[int, ...] = Field(
        (), description="epochs after which multistep multiplies the rate by gamma"
    )
    gamma: float = Field(0.1, gt=0, description="factor of the rate at each milestone of multistep")


class NetworkSettings(Frozen):
    """A network: its model, its input (a view of a sample), its label set and its normalisation."""

    model: str = Field(description=MODEL)
    view: list[Any] = Field(
        ["identity"],
        description="transforms of the image, from left to right: names of wcord.views, or "
        "{name: settings}, such as [luminance, {downsample: {factor: 2}}]",
    )
    labels: Any = Field(
        None,
        description="label set: null (the classes of the data), {modulo: 5}, {groups: [[...], "
        "[...]]}, or a list with the new label of every class",
        json_schema_extra={"anyOf": [{"type": t} for t in ("null", "object", "array")]},
    )
    normalise: Normalisation = Field(
        "measured",
        description="mean and std of the normalisation (x - mean) / std of images x in [0, 1]: "
        "measured (on the training images), none (images stay as they are), or numbers such as "
        "{mean: 0.5, std: 0.5}, one or one for each channel",
    )
    classifier: str | None = Field(
        None, description="name of the final layer, such as fc; null: it is found automatically"
    )

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
    """The large network. It is trained once on all labels, and then cached by its settings."""

    model: str = Field("digits-teacher", description=MODEL)
    epochs: int = Field(40, ge=0, description="passes over the training part")
    seed: int | None = Field(None, description="seed of its weights and batches; null: the run's")
    weights: str | None = Field(
        None, description="file with trained weights (.safetensors or .pth), loaded instead"
    )
    outputs: str | None = Field(
        None,
        description="file of its features and logits of all samples, used in its place (see "
        "wcord.save_teacher_outputs); then model, view, normalise and epochs have no effect",
    )
    scale_features: bool = Field(
        False, description="divide its features by their mean norm over the training part"
    )
    optimizer: OptimizerSettings = OptimizerSettings()


class StudentSettings(NetworkSettings):
    """The small network; every arm starts from the same one."""

    model: str = Field("digits-student", description=MODEL)
    init: Literal["random", "teacher"] = Field(
        "random", description="initial weights: random, or a copy of the teacher's (same model)"
    )


class PairingSettings(Frozen):
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


class AugmentSettings(Frozen):
    """Whether teacher and student get the same random crops and flips (`data.augment`)."""

    shared: bool = Field(
        True,
        description="whether both networks see the same crop and flip of a sample; if false, "
        "data.augment must not be none",
    )


class ProbeSettings(Frozen):
    """The probe of held-out samples, which writes the snapshots that pictures are drawn from."""

    batch: int = Field(
        128, ge=4, le=1024, description="samples in the plan, the cost and the scores of a snapshot"
    )
    features: int = Field(
        1000, ge=4, description="largest number of samples with features in a snapshot"
    )
    every: float = Field(1.0, gt=0, description="epochs between two probes")
    snapshots: int = Field(
        300, ge=2, description="most snapshots kept, thinned evenly; the first and last are kept"
    )
    losses: int = Field(4, ge=1, description="most times per epoch that losses are written")
    enabled: bool = Field(True, description="whether the probe runs; pictures need it")


class LinearProbeSettings(Frozen):
    """Linear probes of the frozen features of teacher and students, fitted at the end of a run.

    The results are named linear_probe_accuracy (same) and linear_probe_accuracy_on_SOURCE.
    """

    sources: list[str] = Field(
        [],
        description="data sets as in data.source, or same for the data of the run; true is short "
        "for [same]",
    )
    train_size: int = Field(
        10_000, ge=2, description="largest number of images, class-balanced, to fit a probe on"
    )
    strength: float = Field(1.0, gt=0, description="inverse of the regularisation of a probe")

    @field_validator("sources")
    @classmethod
    def _known_sources(cls, sources: list[str]) -> list[str]:
        for source in sources:
            if source != SAME:
                check_source(source)
        if len(set(sources)) < len(sources):
            raise ValueError("a source is listed twice")
        return sources
