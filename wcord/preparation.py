"""Before the first step: samples, teacher, students and banks, from the settings of a run."""

from __future__ import annotations

import sys
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from wcord import checkpoint, parallel
from wcord import teacher as teachers
from wcord.arm import Arm
from wcord.data import Data, load_arrays
from wcord.data import load as load_data
from wcord.evaluation import accuracy, outputs
from wcord.experiment import Experiment, SettingsError
from wcord.models import Network, build
from wcord.objectives import TERMS
from wcord.placement import placed
from wcord.probe import Probe
from wcord.randomness import seed_of
from wcord.task import Sight, Task
from wcord.transfer import Probing, probings
from wcord.writer import RunWriter


@dataclass
class Own:
    """What a user passes in place of the settings' data and networks."""

    teacher: nn.Module | None = None
    student: nn.Module | None = None
    data: Any = None


@dataclass
class Prepared:
    """All that a run needs to take its next step.

    `step` steps are done, in `seconds`; `fresh` where there was no checkpoint. `digest` is of the
    settings and marks checkpoints; `built` is what a student was built for, with which it can be
    built again.
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


def prepare(
    experiment: Experiment, writer: RunWriter, device: torch.device, own: Own, progress: bool
) -> Prepared:
    """Build everything, and take up the newest checkpoint where there is one."""
    digest = checkpoint.digest_of((writer.path / "settings.yaml").read_text("utf-8"))
    with parallel.first_alone():  # one downloads, where anything must be
        data = read_data(experiment, own.data).to(device)
    if experiment.batch % parallel.size():
        raise SettingsError(
            f"batch is {experiment.batch}, which {parallel.size()} processes cannot share evenly"
        )
    sights = [
        Sight(side, data, experiment.seed) for side in (experiment.teacher, experiment.student)
    ]
    to_probe = probings(experiment, data, sights)
    with parallel.first_alone():
        saved, header = newest_checkpoint(writer, digest)
    writer.open_metrics(header.get("metrics", 0))
    writer.forget_after(header.get("step", 0))
    with parallel.first_alone():  # one trains it, the others read its copy in the run
        first = saved is None
        network = _teacher(experiment, data, sights[0], device, writer, own, first, progress)
    values = teachers.measure(network, data, sights[0])
    if saved is None:
        writer.record(0, 0.0, "", values)
    task = Task(experiment, data, sights[0], sights[1], network, asks_for_maps(experiment))
    student, built = _student(experiment, sights[1], own, network)
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
        step=header.get("step", 0),
        seconds=header.get("seconds", 0.0),
        fresh=saved is None,
    )


def newest_checkpoint(
    writer: RunWriter, digest: str
) -> tuple[dict[str, Tensor] | None, dict[str, Any]]:
    """Return the newest checkpoint that is whole and of this run; (None, {}) before the first.

    Raises:
        wcord.checkpoint.CheckpointError: there are some, and every one is refused.
    """
    folder = writer.path / "checkpoints"
    refused = []
    for step in reversed(checkpoint.steps(folder)):
        try:
            tensors, header = checkpoint.read(folder, step, digest)
            if writer.holds_metrics(header["metrics"]):
                return tensors, header
            refused.append(f"checkpoint {step}.safetensors counts on more of metrics.jsonl")
            print(f"{refused[-1]} than there is; using the one before it", file=sys.stderr)
        except checkpoint.CheckpointError as error:
            refused.append(str(error))
            print(f"{error}; using the one before it", file=sys.stderr)
    if refused:
        raise checkpoint.CheckpointError(
            f"{'; '.join(refused)}; delete the folder checkpoints to begin anew"
        )
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
    if own.teacher is not None:  # a copy: the caller's own keeps its mode and its gradients
        return placed(_own(deepcopy(own.teacher), sight, "teacher"), device)
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


def _student(
    experiment: Experiment, sight: Sight, own: Own, teacher: Network
) -> tuple[Network, dict[str, Any]]:
    channels, height, width = sight.shape
    built = {"channels": channels, "size": [height, width], "classes": sight.labels.classes}
    if own.student is not None:
        return _own(own.student, sight, "student"), built | {"own": True}
    network = build_student(experiment, built)
    if experiment.norms == "all ranks":
        parallel.synchronise_norms(network)
    if experiment.student.init == "teacher":
        try:
            network.load_state_dict(teacher.state_dict())
        except RuntimeError as error:
            raise SettingsError(
                "student.init is 'teacher', but their models differ: use one model for both"
            ) from error
    return network, built


def _own(module: nn.Module, sight: Sight, side: str) -> Network:
    """Return a user's module as a network, once it was seen to answer in the side's classes."""
    if not isinstance(module, nn.Module):
        raise SettingsError(f"{side}: a torch.nn.Module is needed, not {type(module).__name__}")
    training = module.training
    try:
        network = module if isinstance(module, Network) else Network(module, sight.shape)
        place = next((weight.device for weight in network.parameters()), torch.device("cpu"))
        with torch.no_grad():
            answer = network.eval()(torch.zeros(2, *sight.shape, device=place)).logits
    except Exception as error:  # whatever a user's code may raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SettingsError(
            f"{side}: your network does not take float32 images (n, *{sight.shape}): {reason}"
        ) from error
    network.train(training)
    if answer.shape != (2, sight.labels.classes):
        raise SettingsError(
            f"{side}: your network answers {tuple(answer.shape[1:])} numbers an image, but its "
            f"label set has {sight.labels.classes} classes"
        )
    if side == "student" and not any(weight.requires_grad for weight in network.parameters()):
        raise SettingsError(
            "student: no weight of your network has requires_grad, so none can move"
        )
    return network


def build_student(experiment: Experiment, built: dict[str, Any]) -> Network:
    """Return the student that every arm of these settings starts from."""
    channels, (height, width) = built["channels"], built["size"]
    seed = seed_of(experiment.seed, "student")
    module = build(experiment.student.model, channels, (height, width), built["classes"], seed)
    return Network(module, (channels, height, width))


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
