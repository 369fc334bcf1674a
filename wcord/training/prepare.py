"""Before the first step: samples, teacher, students and banks, from the settings of a run."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from wcord import checkpoint, parallel, provenance
from wcord import teacher as teachers
from wcord.arm import Arm
from wcord.data import Data, load_arrays
from wcord.data import load as load_data
from wcord.evaluation import accuracy, outputs
from wcord.experiment import Experiment, SettingsError
from wcord.models import Network, build
from wcord.models.own import adopted
from wcord.objectives import TERMS
from wcord.placement import placed
from wcord.probe import Probe
from wcord.randomness import seed_of
from wcord.task import Sight, Task
from wcord.transfer import Probing, probings
from wcord.writer import RunWriter

UNLIKE = "student.init is 'teacher', but their models differ: use one model for both"


@dataclass
class Own:
    """What a user passes in place of the settings' data and networks."""

    teacher: nn.Module | None = None
    student: nn.Module | None = None
    data: Any = None

    @property
    def given(self) -> list[str]:
        """The names of what is there."""
        return [name for name in ("teacher", "student", "data") if getattr(self, name) is not None]


@dataclass
class Prepared:
    """All that a run needs to take its next step.

    `step` steps are done, in `seconds`; `fresh` where there was no checkpoint. `digest` is of the
    settings and `inputs` of what they read (see `wcord.provenance`); both mark checkpoints.
    `built` is what a student was built for, with which it can be built again.
    """

    experiment: Experiment
    task: Task
    arms: list[Arm]
    probe: Probe
    test_images: Tensor
    test_labels: Tensor
    teacher_values: dict[str, float]
    probings: list[Probing]
    built: dict[str, Any]
    digest: str
    inputs: dict[str, str]
    step: int
    seconds: float
    fresh: bool

    def test_accuracy(self, arm: Arm) -> float:
        """Return an arm's accuracy on the test part, per cent; it is reported, never chosen by."""
        return accuracy(outputs(arm.student, self.test_images).logits, self.test_labels)


def read_data(experiment: Experiment, own: Any = None) -> Data:
    """Return the divided samples of the settings, or of a user's own arrays.

    Raises:
        SettingsError: a batch would not fit into the training part.
    """
    labels = experiment.student.labels
    if own is None:
        data = load_data(experiment.data, experiment.seed, labels)
    else:
        data = load_arrays(own, experiment.data, experiment.seed, labels)
    if len(data.train) < experiment.batch:
        raise SettingsError(
            f"batch is {experiment.batch}, but there are {len(data.train)} training samples"
        )
    return data


def inputs_now(experiment: Experiment) -> dict[str, str]:
    """Return what a run of these settings would read now (see `wcord.provenance`)."""
    data = read_data(experiment)
    probed = probings(experiment, data, sights_of(experiment, data))
    return provenance.inputs_of(experiment, data, probed)


def sights_of(experiment: Experiment, data: Data) -> list[Sight]:
    """Return what the teacher and what the student sees.

    Raises:
        SettingsError: a view, label set or normalisation that does not fit; names the side.
    """
    sights = []
    for side, settings in (("teacher", experiment.teacher), ("student", experiment.student)):
        try:
            sights.append(Sight(settings, data, experiment.seed))
        except ValueError as error:
            raise SettingsError(f"{side}: {error}") from error
    return sights


def prepare(
    experiment: Experiment, writer: RunWriter, device: torch.device, own: Own, progress: bool
) -> Prepared:
    """Build everything, and take up the newest checkpoint where there is one."""
    digest = checkpoint.digest_of((writer.path / "settings.yaml").read_text("utf-8"))
    with parallel.first_alone():  # one downloads, where anything must be
        data = read_data(experiment, own.data)
    if progress and (own.data is not None or ":" in experiment.data.source):
        tqdm.write("\n".join(data.found.lines()), file=sys.stderr)
    data = data.to(device)
    if experiment.batch % parallel.size():
        raise SettingsError(
            f"batch is {experiment.batch}, which {parallel.size()} processes cannot share evenly"
        )
    sights = sights_of(experiment, data)
    to_probe = probings(experiment, data, sights)
    inputs = provenance.inputs_of(experiment, data, to_probe, own.given)
    student, built = _student(experiment, sights[1], own)
    with parallel.first_alone():  # the record is the first rank's, and the others check theirs
        provenance.check(writer.path, inputs)
        saved, header = newest_checkpoint(writer, digest, provenance.digest(inputs))
        if not parallel.rank():
            provenance.record(writer.path, data, inputs, own.given, sights)
    writer.open_metrics(header.get("metrics", 0))
    writer.forget_after(header.get("step", 0))
    with parallel.first_alone():  # one trains it, the others read its copy in the run
        first = saved is None
        network = _teacher(experiment, data, sights[0], device, writer, own, first, progress)
    values = teachers.measure(network, data, sights[0])
    if own.teacher is not None or experiment.teacher.weights is not None:
        doubts = teachers.doubts(network, data, experiment, sights[0])
        for line in doubts:
            warnings.warn(line, teachers.Doubt, stacklevel=4)  # who called distill or resume
        if doubts and not parallel.rank():
            provenance.remark(writer.path, "teacher", doubts)
    if saved is None:
        writer.record(0, 0.0, "", values)
    if experiment.student.init == "teacher" and own.student is None:
        _start_as(network, student)
    task = Task(experiment, data, sights[0], sights[1], network, asks_for_maps(experiment))
    return Prepared(
        experiment=experiment,
        task=task,
        arms=_begun(experiment, task, student.to(device), device, saved, header),
        probe=_probe(experiment, task, sights[1]),
        test_images=sights[1].see_all(data.test),
        test_labels=sights[1].labels(data.test.labels),
        teacher_values=values,
        probings=to_probe,
        built=built,
        digest=digest,
        inputs=inputs,
        step=header.get("step", 0),
        seconds=header.get("seconds", 0.0),
        fresh=saved is None,
    )


def newest_checkpoint(
    writer: RunWriter, digest: str, inputs: str | None = None
) -> tuple[dict[str, Tensor] | None, dict[str, Any]]:
    """Return the newest checkpoint that is whole and of this run; (None, {}) before the first.

    Args:
        writer: of the run.
        digest: of its settings.
        inputs: digest of what it reads (see `wcord.provenance`); None takes any.

    Raises:
        wcord.checkpoint.CheckpointError: there are some, and every one is refused.
    """
    folder = writer.path / "checkpoints"
    refused = []
    for step in reversed(checkpoint.steps(folder)):
        try:
            tensors, header = checkpoint.read(folder, step, digest, inputs)
            if writer.holds_metrics(header["metrics"]):
                return tensors, header
            refused.append(f"checkpoint {step}.safetensors counts on more of metrics.jsonl")
            print(f"{refused[-1]} than there is; using the one before it", file=sys.stderr)
        except checkpoint.CheckpointError as error:
            refused.append(str(error))
            print(f"{error}; using the one before it", file=sys.stderr)
    if refused:
        raise checkpoint.CheckpointError(f"{'; '.join(refused)}; start a new run")
    return None, {}


def _teacher(
    experiment: Experiment,
    data: Data,
    sight: Sight,
    device: torch.device,
    writer: RunWriter,
    own: Own,
    first: bool,
    progress: bool,
) -> Network:
    if own.teacher is not None:
        return placed(_adopted(own.teacher, sight, "teacher", experiment), device)
    total = len(data.train) // experiment.batch * experiment.epochs
    bar = tqdm(desc="teacher", leave=False, disable=not progress)

    def go_on(step: int, steps: int) -> bool:
        bar.total = steps
        bar.update(step - bar.n)
        writer.say(state="training-teacher", step=0, total=total)
        return not writer.read_control()["stop"]

    def record(step: int, epoch: float, arm: str, values: dict[str, float]) -> None:
        if first:
            writer.record(step, epoch, arm, values)

    copy = writer.path / "teacher.safetensors"
    with bar:
        return teachers.obtain(experiment, data, sight, device, copy, record, go_on)


def _student(experiment: Experiment, sight: Sight, own: Own) -> tuple[Network, dict[str, Any]]:
    """Return the student that every arm starts from, and what it was built for."""
    channels, height, width = sight.shape
    built = {"channels": channels, "size": [height, width], "classes": sight.labels.classes}
    if own.student is not None:
        return _adopted(own.student, sight, "student", experiment), built | {"own": True}
    unlike = experiment.student.model != experiment.teacher.model
    if experiment.student.init == "teacher" and own.teacher is None and unlike:
        raise SettingsError(UNLIKE)
    network = build_student(experiment, built)
    if experiment.norms == "all ranks":
        parallel.synchronise_norms(network)
    return network, built


def _start_as(teacher: Network, student: Network) -> None:
    try:
        student.load_state_dict(teacher.state_dict())
    except RuntimeError as error:
        raise SettingsError(UNLIKE) from error


def _adopted(module: nn.Module, sight: Sight, side: str, experiment: Experiment) -> Network:
    """Return a copy of a caller's module as a network that answers in the side's classes."""
    asked = experiment.teacher if side == "teacher" else experiment.student
    try:
        return adopted(module, sight.shape, sight.labels.classes, side, asked.classifier)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def build_student(experiment: Experiment, built: dict[str, Any]) -> Network:
    """Return the student that every arm of these settings starts from."""
    channels, (height, width) = built["channels"], built["size"]
    seed = seed_of(experiment.seed, "student")
    module = build(experiment.student.model, channels, (height, width), built["classes"], seed)
    return Network(module, (channels, height, width), experiment.student.classifier)


def asks_for_maps(experiment: Experiment) -> bool:
    """Return whether a term of an arm compares the maps of the stages."""
    return any(TERMS[term].needs_maps for terms in experiment.arms.values() for term in terms)


def build_arms(
    experiment: Experiment, task: Task, student: Network, device: torch.device
) -> list[Arm]:
    """Return the arms at step 0, banks filled by one pass of real features."""
    arms = _arms(experiment, task, student, device)
    passes = task.passes(student)
    for arm in arms:
        arm.prime(passes)
    return arms


def _arms(experiment: Experiment, task: Task, student: Network, device: torch.device) -> list[Arm]:
    shapes = task.shapes(student)
    return [
        Arm(name, terms, student, shapes, experiment.optimizer, experiment.seed, device)
        for name, terms in experiment.arms.items()
    ]


def _begun(
    experiment: Experiment,
    task: Task,
    student: Network,
    device: torch.device,
    saved: dict[str, Tensor] | None,
    header: dict[str, Any],
) -> list[Arm]:
    """Return the arms as a checkpoint has them, or new ones where there is none."""
    if saved is None:
        return build_arms(experiment, task, student, device)
    arms = _arms(experiment, task, student, device)
    for arm in arms:
        prefix = f"{arm.name}/"
        arm.load({k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)})
        arm.frozen = header["frozen"].get(arm.name)
    return arms


def _probe(experiment: Experiment, task: Task, sight: Sight) -> Probe:
    held_out = task.data.held_out
    return Probe.build(
        experiment.probe,
        sight.see_all(held_out),
        task.ask_all(held_out),
        sight.labels(held_out.labels),
        task.data.choices,
    )
