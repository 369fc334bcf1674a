"""The teacher: trained once on all labels, cached by the hash of all that made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from wcord.compute.memory_format import channels_last, to_device
from wcord.compute.seeds import seed_of
from wcord.data import Data, Epochs
from wcord.data.paths import locate
from wcord.models import Network, build
from wcord.models.weights import load_weights
from wcord.runs import runs_folder
from wcord.runs.storage import write_bytes
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError
from wcord.training.graph_capture import has_dropout
from wcord.training.network_input import NetworkInput
from wcord.training.optimizer import (
    build_optimizer,
    learning_rate,
    optimizer_state,
    set_learning_rate,
)
from wcord.training.step_graph import Inputs, Stepper

Record = Callable[[int, float, str, dict[str, float]], None]
Progress = Callable[[int, int], bool]  # (step, total) -> go on?


class Interrupted(Exception):
    """The run was told to stop while the teacher was trained."""


def obtain(
    experiment: Experiment,
    data: Data,
    sight: NetworkInput,
    device: torch.device,
    copy: Path,
    record: Record,
    progress: Progress,
) -> Network:
    """Return the teacher: the run's own copy, else the cached one, else a newly trained one.

    Args:
        experiment: the settings.
        data: on the device; the teacher sees all labels of the training part.
        sight: what it sees.
        copy: where the run keeps its teacher.
        record: takes the values of its training, which a cached teacher tells again.
        progress: told of every step.

    Raises:
        SettingsError: `teacher.weights` does not fit the model.
        Interrupted: `progress` said no.
    """
    seed = experiment.seed if experiment.teacher.seed is None else experiment.teacher.seed
    asked = experiment.teacher
    channels, height, width = sight.shape
    size, classes = (height, width), sight.labels.classes
    module = build(asked.model, channels, size, classes, seed_of(seed, "teacher"))
    network = to_device(Network(module, sight.shape, asked.classifier), device)
    if asked.weights is not None:
        try:
            load_weights(network, locate(asked.weights))
        except ValueError as error:
            raise SettingsError(f"teacher.weights: {error}") from error
        return network
    if not copy.exists():
        content = _cached(experiment, data, sight, network, seed, progress)
        write_bytes(copy, content)
    content = copy.read_bytes()
    network.load_state_dict(load(content))
    length = int.from_bytes(content[:8], "little")
    history = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["history"])
    for step, epoch, values in history:
        record(step, epoch, "", values)
    return network


def _cached(
    experiment: Experiment,
    data: Data,
    sight: NetworkInput,
    network: Network,
    seed: int,
    progress: Progress,
) -> bytes:
    """Return the cache's file of this teacher; train it first where there is none."""
    folder = runs_folder() / ".teachers"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_digest(experiment, data, seed)}.safetensors"
    with FileLock(folder / f"{path.stem}.lock"):
        if not path.exists():
            history = train(experiment, data, sight, network, seed, progress)
            state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
            write_bytes(path, save(state, {"history": json.dumps(history)}), durable=True)
        return path.read_bytes()


def _digest(experiment: Experiment, data: Data, seed: int) -> str:
    """Hash what makes a teacher: its settings, its seed, and the very samples it sees."""
    unread = {"scale_features", "seed", "classifier"}  # by the training of a teacher
    asked = experiment.teacher.model_dump(mode="json", exclude=unread)
    asked |= {"seed": seed, "batch": experiment.batch, "precision": experiment.precision}
    asked |= experiment.data.model_dump(mode="json", include={"augment", "padding", "border"})
    digest = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=12)
    for values in (data.train.images, data.train.labels, *data.train.extras.values()):
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train(
    experiment: Experiment,
    data: Data,
    sight: NetworkInput,
    network: Network,
    seed: int,
    progress: Progress,
) -> list[tuple[int, float, dict[str, float]]]:
    """Train the teacher by cross-entropy on every label, in place; return what was measured."""
    step = TeacherStep(experiment, data, sight, network, seed)
    total = experiment.teacher.epochs * step.epoch_steps
    take = Stepper(step, experiment.speed == "graphs" and step.capture_obstacle is None, total)
    history = []
    network.train()
    for number in range(1, total + 1):
        take(number - 1)
        if number % step.epoch_steps == 0:
            values = {"teacher_loss": step.losses.mean().item()}
            history.append((number, float(number // step.epoch_steps), values))
        if not progress(number, total):
            raise Interrupted
    return history


class TeacherStep:
    """A training step of the teacher: crop and flip, forward, cross-entropy, weights.

    Args as `train`'s.
    """

    def __init__(
        self, experiment: Experiment, data: Data, sight: NetworkInput, network: Network, seed: int
    ) -> None:
        self.experiment, self.data, self.sight = experiment, data, sight
        self.network, self.seed, self.precision = network, seed, experiment.precision
        self.parts = ("teacher",)
        self.labels = sight.labels(data.train.labels)
        self.device = self.labels.device
        self._epochs = Epochs(
            seed, "teacher-order", len(data.train), experiment.batch, experiment.data, self.device
        )
        self.rows, self.epoch_steps = self._epochs.rows, self._epochs.steps
        self.optimizer = build_optimizer(experiment.teacher.optimizer, network.parameters())
        self.images = sight.all_images(data.train) if self._epochs.still else None
        self.losses = torch.zeros(self.epoch_steps, device=self.device)  # of an epoch's steps

    @property
    def capture_obstacle(self) -> str | None:
        """Why the step cannot be replayed without the host; None where it can."""
        if self.device.type != "cuda":
            return "CUDA graphs need a CUDA device"
        return "the teacher has dropout" if has_dropout(self.network) else None

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        asked = self.experiment.teacher
        total = asked.epochs * self.epoch_steps
        return learning_rate(asked.optimizer, step, total, self.epoch_steps)

    def compute(self, inputs: Inputs) -> None:
        """Take the step."""
        images = channels_last(self._see(inputs.index))
        half = self.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            logits = self.network(images).logits
        loss = F.cross_entropy(logits.float(), self.labels[inputs.index])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        set_learning_rate(self.optimizer, inputs.rate)
        self.optimizer.step()
        if inputs.step_tensor is None:
            self.losses[inputs.step % self.epoch_steps] = loss.detach()
        else:
            place = inputs.step_tensor.remainder(self.epoch_steps)
            self.losses.index_copy_(0, place[None], loss.detach()[None])

    def _see(self, index: Tensor) -> Tensor:
        if self.images is not None:
            return self.images[index]
        return self.sight.images_of(self._epochs.moved(self.data.train.take(index), index))

    def changed_tensors(self) -> dict[str, Tensor]:
        """Return all that a step moves."""
        moved: dict[str, Tensor] = dict(self.network.named_parameters("weights.teacher"))
        moved |= dict(self.network.named_buffers("teacher"))
        return moved | optimizer_state(self.optimizer) | {"losses": self.losses}
