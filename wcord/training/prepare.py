"""Prepare a run: build samples, teacher, students and banks from the settings."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from wcord.compute import ranks
from wcord.compute.memory_format import to_device
from wcord.data import Data
from wcord.data.colours import Colours
from wcord.data.teacher_outputs import TeacherOutputs
from wcord.models import Network
from wcord.models.user_modules import wrap_user_module
from wcord.objectives import TERMS
from wcord.objectives.needs import unmet_need
from wcord.objectives.term import Shapes
from wcord.runs import checkpoints, data_provenance
from wcord.runs.trained_students import build_student
from wcord.runs.writer import RunWriter
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError
from wcord.settings.sections import NetworkSettings
from wcord.training import teacher as teachers
from wcord.training.arm import Arm
from wcord.training.evaluation import outputs
from wcord.training.inputs import NetworkInput, network_inputs, read_data, read_outputs
from wcord.training.linear_probe import ProbeData, probed_fingerprints, read_probe_data
from wcord.training.measures import MEASURES
from wcord.training.probe import Probe
from wcord.training.progress import show_progress
from wcord.training.task import Task, missing_outputs
from wcord.training.teacher_checks import TeacherWarning, measure, teacher_problems

MODELS_DIFFER = "student.init is 'teacher', but their models differ: use one model for both"


@dataclass
class Overrides:
    """Networks and data of the caller, used in place of those in the settings.

    `teacher_features` and `teacher_logits` are the outputs of a teacher in place of the teacher.
    """

    teacher: nn.Module | None = None
    student: nn.Module | None = None
    data: Any = None
    teacher_features: Any = None
    teacher_logits: Any = None

    @property
    def names(self) -> list[str]:
        """The names of those that are set."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


@dataclass(frozen=True)
class Context:
    """The arguments that all parts of the preparation share."""

    experiment: Experiment
    writer: RunWriter
    device: torch.device
    overrides: Overrides
    progress: bool
    data: Data
    outputs: TeacherOutputs | None
    teacher_input: NetworkInput
    student_input: NetworkInput


@dataclass
class Prepared:
    """All that a run needs to take its next step.

    `step` is the number of steps done and `seconds` their time; `fresh` is true without a
    checkpoint. `digest` is the digest of the settings, and `inputs` are the digests of the data and
    files that they name (see `data_provenance`); checkpoints contain both. `built` are the sizes
    that the student was built for, and the mean and std of its images.
    """

    experiment: Experiment
    task: Task
    arms: list[Arm]
    probe: Probe
    test_images: Tensor
    test_labels: Tensor
    teacher_values: dict[str, float]
    probe_data: list[ProbeData]
    built: dict[str, Any]
    digest: str
    inputs: dict[str, str]
    step: int
    seconds: float
    fresh: bool

    def test_values(self, arm: Arm) -> dict[str, float]:
        """Return an arm's accuracy on the test part, by its name; nothing is chosen by it.

        It is in per cent. Where labels are no classes, it is the measure of `MEASURES`.
        """
        measure = self.probe.measured_by
        logits = outputs(arm.student, self.test_images).logits
        return {f"test_{measure.name}": measure.of(logits, self.test_labels)}


def prepare(
    experiment: Experiment,
    writer: RunWriter,
    device: torch.device,
    overrides: Overrides,
    progress: bool,
) -> Prepared:
    """Build all parts of a run, and load the newest checkpoint where there is one.

    Args:
        experiment: the settings.
        writer: of the run directory.
        device: of networks and data.
        overrides: networks and data of the caller.
        progress: whether to print the contents of the data and to show a bar.

    Raises:
        ValueError: settings, data or modules that cannot be run; damaged checkpoints.
        wcord.training.teacher.Interrupted: a stop was requested while the teacher was trained.
    """
    context = _context(experiment, writer, device, overrides, progress)
    data, student_input = context.data, context.student_input
    _check_terms(context)
    probe_data = read_probe_data(experiment, data, (context.teacher_input, student_input))
    inputs = data_provenance.inputs_of(
        experiment, data, probed_fingerprints(probe_data), overrides.names, context.outputs
    )
    student, built = _student(context)
    digest = checkpoints.digest_of((writer.path / "settings.yaml").read_text("utf-8"))
    with ranks.first_rank_first():  # the first rank writes data.json, the others compare theirs
        data_provenance.require_same_inputs(writer.path, inputs)
        saved, header = checkpoints.newest(writer.path, digest, data_provenance.digest(inputs))
        if not ranks.rank():
            labels = {
                "teacher": _colours(data, context.teacher_input).names,
                "student": _colours(data, student_input).names,
            }
            data_provenance.write_record(writer.path, data, inputs, overrides.names, labels)
    writer.open_metrics(header.get("metrics", 0))
    writer.remove_after(header.get("step", 0))
    with ranks.first_rank_first():  # the first rank trains the teacher, the others read its file
        teacher = _teacher(context, fresh=saved is None)
    teacher_values = _measured(context, teacher)
    if saved is None:
        writer.record(0, 0.0, "", teacher_values)
    if experiment.student.init == "teacher" and overrides.student is None:
        assert isinstance(teacher, Network)  # `check_cached_teacher` refuses outputs in its place
        _copy_weights(teacher, student)
    task = Task(
        experiment, data, context.teacher_input, student_input, teacher, needs_maps(experiment)
    )
    return Prepared(
        experiment=experiment,
        task=task,
        arms=_arms_at_checkpoint(experiment, task, student.to(device), device, saved, header),
        probe=_probe(experiment, task, student_input),
        test_images=student_input.all_images(data.test),
        test_labels=student_input.labels(data.test.labels),
        teacher_values=teacher_values,
        probe_data=probe_data,
        built=built,
        digest=digest,
        inputs=inputs,
        step=header.get("step", 0),
        seconds=header.get("seconds", 0.0),
        fresh=saved is None,
    )


def _context(
    experiment: Experiment,
    writer: RunWriter,
    device: torch.device,
    overrides: Overrides,
    progress: bool,
) -> Context:
    """Read the data and build the input of each network."""
    with ranks.first_rank_first():  # the first rank downloads, where that is needed
        data = read_data(experiment, overrides.data)
    if progress and (overrides.data is not None or ":" in experiment.data.source):
        tqdm.write("\n".join(data.contents.lines()), file=sys.stderr)
    outputs = read_outputs(experiment, data, overrides.teacher_features, overrides.teacher_logits)
    data = data.to(device)
    if outputs is not None:
        outputs = outputs.to(device)
    if experiment.batch % ranks.size():
        raise SettingsError(
            f"batch is {experiment.batch}, which {ranks.size()} processes cannot share evenly"
        )
    inputs = network_inputs(experiment, data, outputs)
    return Context(experiment, writer, device, overrides, progress, data, outputs, *inputs)


def _check_terms(context: Context) -> None:
    """Refuse terms that do not fit the labels or the outputs of a teacher, before any training."""
    experiment, data = context.experiment, context.data
    shapes = Shapes(
        0, 0, context.teacher_input.labels.classes, context.student_input.labels.classes,
        experiment.same_labels, len(data.train), targets=data.targets,
        missing=missing_outputs(context.outputs, data),
    )  # fmt: skip
    for arm, terms in experiment.arms.items():
        for name, settings in terms.items():
            if problem := unmet_need(TERMS[name], settings, shapes, maps=False):
                raise SettingsError(f"arm {arm!r}: {problem}")
            if TERMS[name].targets is not None and not bool(data.labelled.any()):
                raise SettingsError(
                    f"arm {arm!r}: {name} would see no label, as no training sample has one: "
                    f"remove {name}"
                )


def _teacher(context: Context, fresh: bool) -> Network | TeacherOutputs:
    """Return the teacher of the caller or of the settings; train it if there is none yet.

    Outputs in its place are returned where there are any.

    Args:
        context: of the run.
        fresh: whether the losses of its training must be written to the metrics.
    """
    experiment, writer = context.experiment, context.writer
    if context.outputs is not None:
        return context.outputs
    if context.overrides.teacher is not None:
        teacher = _wrapped(context, context.overrides.teacher, "teacher")
        return to_device(teacher, context.device)
    total = len(context.data.train) // experiment.batch * experiment.epochs

    def on_step(step: int, steps: int) -> bool:
        bar.total = steps
        bar.update(step - bar.n)
        writer.write_status(state="training-teacher", step=0, total=total)
        return not writer.read_control()["stop"]

    copy = writer.path / "teacher.safetensors"
    with show_progress(context.progress, "teacher", leave=False) as bar:
        teacher, history = teachers.obtain(
            experiment, context.data, context.teacher_input, copy, on_step
        )
    for step, epoch, values in history if fresh else ():
        writer.record(step, epoch, "", values)
    return teacher


def _measured(context: Context, teacher: Network | TeacherOutputs) -> dict[str, float]:
    """Return the teacher's accuracies; warn if it does not fit the data.

    A teacher that was trained here fits its classes; regression targets of another order than 1 may
    have spoiled its training.
    """
    experiment, data, teacher_input = context.experiment, context.data, context.teacher_input
    values = measure(teacher, data, teacher_input)
    own = (context.overrides.teacher, context.outputs, experiment.teacher.weights)
    if data.targets == "regression" or any(origin is not None for origin in own):
        problems = teacher_problems(teacher, data, experiment, teacher_input)
        for line in problems:
            warnings.warn(line, TeacherWarning, stacklevel=5)  # the call of distill or resume
        if problems and not ranks.rank():
            data_provenance.add_remarks(context.writer.path, "teacher", problems)
    return values


def _student(context: Context) -> tuple[Network, dict[str, Any]]:
    """Return the student that every arm starts from, and the sizes that it was built for.

    Checkpoints hold the sizes with the mean and std of its images, so that the trained student can
    be used without the data.
    """
    experiment, overrides = context.experiment, context.overrides
    channels, *size = context.student_input.shape
    classes = context.student_input.labels.classes
    built = {"channels": channels, "size": size, "classes": classes}
    built |= {
        "pictures": context.data.pictures,
        "mean": context.student_input.mean.tolist(),
        "std": context.student_input.std.tolist(),
    }
    if overrides.student is not None:
        return _wrapped(context, overrides.student, "student"), built | {"own": True}
    models_differ = experiment.student.model != experiment.teacher.model
    if experiment.student.init == "teacher" and overrides.teacher is None and models_differ:
        raise SettingsError(MODELS_DIFFER)
    network = build_student(experiment, built)
    if experiment.norms == "all ranks":
        ranks.synchronise_norms(network)
    return network, built


def _copy_weights(teacher: Network, student: Network) -> None:
    try:
        student.load_state_dict(teacher.state_dict())
    except RuntimeError as error:
        raise SettingsError(MODELS_DIFFER) from error


def _wrapped(context: Context, module: nn.Module, side: str) -> Network:
    """Return a copy of a caller's module as a network, for the side "teacher" or "student"."""
    of_teacher = side == "teacher"
    network_input = context.teacher_input if of_teacher else context.student_input
    settings: NetworkSettings = context.experiment.student
    if of_teacher:
        settings = context.experiment.teacher
    try:
        classes = network_input.labels.classes
        return wrap_user_module(
            module,
            network_input.shape,
            classes,
            side,
            settings.classifier,
            context.data.targets,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error


def needs_maps(experiment: Experiment) -> bool:
    """Return whether a term of an arm compares feature maps."""
    return any(TERMS[term].needs_maps for terms in experiment.arms.values() for term in terms)


def build_arms(
    experiment: Experiment, task: Task, student: Network, device: torch.device
) -> list[Arm]:
    """Return the arms at step 0, with banks filled by one pass over the training samples."""
    arms = _arms(experiment, task, student, device)
    first_pass = task.first_pass(student)
    for arm in arms:
        arm.fill_banks(first_pass)
    return arms


def _arms(experiment: Experiment, task: Task, student: Network, device: torch.device) -> list[Arm]:
    shapes = task.shapes(student)
    return [
        Arm(name, terms, student, shapes, experiment.optimizer, experiment.seed, device)
        for name, terms in experiment.arms.items()
    ]


def _arms_at_checkpoint(
    experiment: Experiment,
    task: Task,
    student: Network,
    device: torch.device,
    saved: dict[str, Tensor] | None,
    header: dict[str, Any],
) -> list[Arm]:
    """Return the arms in the state of the checkpoint, or new arms where there is none."""
    if saved is None:
        return build_arms(experiment, task, student, device)
    arms = _arms(experiment, task, student, device)
    for arm in arms:
        prefix = f"{arm.name}/"
        arm.load({k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)})
        arm.frozen = header["frozen"].get(arm.name)
    return arms


def _probe(experiment: Experiment, task: Task, student_input: NetworkInput) -> Probe:
    held_out = task.data.held_out
    return Probe(
        experiment.probe,
        student_input.all_images(held_out),
        task.teacher_outputs(held_out),
        student_input.labels(held_out.labels),
        task.data.choices,
        experiment.pairing,
        MEASURES[task.data.targets],
        _colours(task.data, student_input),
    )


def _colours(data: Data, student_input: NetworkInput) -> Colours:
    """Return the groups of samples in pictures: those of the data, or the student's classes."""
    if data.targets == "classes":
        return Colours(tuple(student_input.labels.names))
    return data.colours
