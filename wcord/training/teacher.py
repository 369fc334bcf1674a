"""The teacher: trained once on all labels, and cached by the hash of its settings and samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import load, save
from torch import Tensor

from wcord.compute.memory_format import channels_last, to_device
from wcord.compute.seeds import seed_of
from wcord.data import Data, Sampler, Split
from wcord.data.paths import locate
from wcord.models import Network, build
from wcord.models.weights import load_weights
from wcord.runs import runs_folder
from wcord.runs.storage import safetensors_metadata, write_bytes
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError
from wcord.training.cuda_graph import has_dropout
from wcord.training.inputs import NetworkInput
from wcord.training.measures import MEASURES
from wcord.training.optimizer import (
    build_optimizer,
    learning_rate,
    optimizer_state,
    set_learning_rate,
)
from wcord.training.step_graph import StepArguments, Stepper

History = list[tuple[int, float, dict[str, float]]]  # (step, epoch, values) of every epoch
Progress = Callable[[int, int], bool]  # (step, total) -> whether to continue


class Interrupted(Exception):
    """A stop was requested while the teacher was trained."""


def obtain(
    experiment: Experiment,
    data: Data,
    teacher_input: NetworkInput,
    copy: Path,
    progress: Progress = lambda step, total: True,
) -> tuple[Network, History]:
    """Return the teacher and the history of its training.

    The teacher is read from `teacher.weights`, else from the run's copy, else from the cache of all
    runs. If none of these exists, it is trained.

    Args:
        experiment: the settings.
        data: on the device; all labels of the training part are used. Samples without a label are
            left out.
        teacher_input: view, normalisation and labels of the teacher.
        copy: path of the run's copy, which is written if it is missing.
        progress: called after every training step; returns whether to continue.

    Returns:
        The network on the device of the data, and its training losses; no losses where
        `teacher.weights` is set.

    Raises:
        SettingsError: `teacher.weights` does not fit the model.
        Interrupted: `progress` returned False.
    """
    settings = experiment.teacher
    seed = experiment.seed if settings.seed is None else settings.seed
    channels, *size = teacher_input.shape
    classes = teacher_input.labels.classes
    module = build(settings.model, channels, tuple(size), classes, seed_of(seed, "teacher"))
    network = Network(module, teacher_input.shape, settings.classifier)
    network = to_device(network, data.train.images.device)
    if settings.weights is not None:
        try:
            load_weights(network, locate(settings.weights))
        except ValueError as error:
            raise SettingsError(f"teacher.weights: {error}") from error
        return network, []

    def train_new() -> bytes:
        step = TeacherStep(experiment, data, teacher_input, network, seed)
        history = train(step, progress)
        state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
        return save(state, {"history": json.dumps(history)})

    if not copy.exists():
        write_bytes(copy, _cached(_digest(experiment, data, seed), train_new))
    content = copy.read_bytes()
    network.load_state_dict(load(content))
    history = json.loads(safetensors_metadata(content)["history"])
    return network, [(step, epoch, values) for step, epoch, values in history]


def _cached(digest: str, train_new: Callable[[], bytes]) -> bytes:
    """Return the content of a teacher's file in the cache; `train_new` gives it if it is missing.

    Meanwhile other processes that need the same teacher wait for the lock.
    """
    folder = runs_folder() / ".teachers"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest}.safetensors"
    with FileLock(folder / f"{digest}.lock"):
        if not path.exists():
            write_bytes(path, train_new(), durable=True)
        return path.read_bytes()


def _digest(experiment: Experiment, data: Data, seed: int) -> str:
    """Return the hash of all that a teacher depends on: its settings, seed, images and labels."""
    unused = {"scale_features", "seed", "classifier", "outputs"}  # training does not use them
    settings = experiment.teacher.model_dump(mode="json", exclude=unused)
    settings |= {"seed": seed, "batch": experiment.batch, "precision": experiment.precision}
    settings |= experiment.data.model_dump(mode="json", include={"augment", "padding", "border"})
    if not data.pictures:
        settings |= {"shape": data.shape}
    if data.targets != "classes":
        settings |= {"targets": data.targets}
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=12)
    for values in (data.train.images, data.train.labels, *data.train.extras.values()):
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train(step: TeacherStep, progress: Progress) -> History:
    """Train the teacher on all labels; return the loss of each epoch.

    Raises:
        Interrupted: `progress` returned False.
    """
    experiment = step.experiment
    total = experiment.teacher.epochs * step.epoch_steps
    graphs = experiment.speed == "graphs" and step.capture_obstacle is None
    take_step = Stepper(step, graphs, total)
    history: History = []
    step.network.train()
    for number in range(1, total + 1):
        take_step(number - 1)
        if number % step.epoch_steps == 0:
            values = {"teacher_loss": step.losses.mean().item()}
            history.append((number, float(number // step.epoch_steps), values))
        if not progress(number, total):
            raise Interrupted
    return history


def _labelled(train: Split, batch: int) -> Split:
    """Return the training samples that have a label."""
    if train.labelled_count < batch:
        raise SettingsError(
            f"batch is {batch}, but only {train.labelled_count} training samples have a label to "
            "train the teacher on: use a smaller batch, or give a teacher (teacher=, "
            "teacher.weights or teacher.outputs)"
        )
    return train.take(train.labelled)


class TeacherStep:
    """A training step of the teacher: crop and flip, forward, loss, backward, optimizer.

    The loss is cross-entropy, or that of `MEASURES` for labels that are no classes.

    Args:
        experiment: the settings.
        data: on the device.
        teacher_input: view, normalisation and labels of the teacher.
        network: the teacher, on the device; trained in place.
        seed: of the order of the samples.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Data,
        teacher_input: NetworkInput,
        network: Network,
        seed: int,
    ) -> None:
        if not bool(data.train.labelled.all()):
            data = replace(data, train=_labelled(data.train, experiment.batch))
        self.experiment, self.data, self.teacher_input = experiment, data, teacher_input
        self.loss = MEASURES[data.targets].loss
        self.network, self.seed, self.precision = network, seed, experiment.precision
        self.parts = ("teacher",)
        self.labels = teacher_input.labels(data.train.labels)
        self.device = self.labels.device
        self._sampler = Sampler(
            seed, "teacher-order", len(data.train), experiment.batch, experiment.data, self.device
        )
        self.rows, self.epoch_steps = self._sampler.rows, self._sampler.steps
        self.optimizer = build_optimizer(experiment.teacher.optimizer, network.parameters())
        # the images of all samples, if they are not augmented
        self._images = teacher_input.all_images(data.train) if self._sampler.unaugmented else None
        self.losses = torch.zeros(self.epoch_steps, device=self.device)  # of each step of an epoch

    @property
    def capture_obstacle(self) -> str | None:
        """Why the step cannot be captured as a CUDA graph; None where it can."""
        if self.device.type != "cuda":
            return "CUDA graphs need a CUDA device"
        return "the teacher has dropout" if has_dropout(self.network) else None

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        settings = self.experiment.teacher
        total = settings.epochs * self.epoch_steps
        return learning_rate(settings.optimizer, step, total, self.epoch_steps)

    def compute(self, arguments: StepArguments) -> None:
        """Take the step."""
        index = arguments.index
        images = channels_last(self._images_of(index))
        half = self.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            logits = self.network(images).logits
        loss = self.loss(logits.float(), self.labels[index])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        set_learning_rate(self.optimizer, arguments.rate)
        self.optimizer.step()
        if arguments.step_tensor is None:
            self.losses[arguments.step % self.epoch_steps] = loss.detach()
        else:
            position = arguments.step_tensor.remainder(self.epoch_steps)
            self.losses.index_copy_(0, position[None], loss.detach()[None])

    def _images_of(self, index: Tensor) -> Tensor:
        if self._images is not None:
            return self._images[index]
        split = self._sampler.augmented(self.data.train.take(index), index)
        return self.teacher_input.images_of(split)

    def changed_tensors(self) -> dict[str, Tensor]:
        """Return every tensor that a step changes in place, by name."""
        changed: dict[str, Tensor] = dict(self.network.named_parameters("weights.teacher"))
        changed |= dict(self.network.named_buffers("teacher"))
        return changed | optimizer_state(self.optimizer) | {"losses": self.losses}
