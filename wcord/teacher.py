"""The teacher: trained once on all labels, cached by the hash of all that made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors.torch import load, save
from torch.nn import functional as F

from wcord.data import Data, augment_split, draws
from wcord.evaluation import accuracy, outputs
from wcord.experiment import Experiment, SettingsError
from wcord.models import Network, build
from wcord.placement import placed, shaped
from wcord.randomness import generator, seed_of
from wcord.runs import runs_folder
from wcord.schedule import build_optimizer, learning_rate, set_learning_rate
from wcord.storage import write_bytes
from wcord.task import Sight

Record = Callable[[int, float, str, dict[str, float]], None]
Progress = Callable[[int, int], bool]  # (step, total) -> go on?


class Interrupted(Exception):
    """The run was told to stop while the teacher was trained."""


def obtain(
    experiment: Experiment,
    data: Data,
    sight: Sight,
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
    network = placed(Network(module, sight.shape), device)
    if asked.weights is not None:
        return _load_weights(network, Path(asked.weights))
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


def _load_weights(network: Network, path: Path) -> Network:
    try:
        network.load_state_dict(load(path.read_bytes()))
    except OSError as error:
        raise SettingsError(f"teacher.weights: {path} cannot be read: {error.strerror}") from error
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(f"teacher.weights: {path} does not fit the model: {reason}") from error
    return network


def _cached(
    experiment: Experiment,
    data: Data,
    sight: Sight,
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
    asked = experiment.teacher.model_dump(mode="json", exclude={"scale_features", "seed"})
    asked |= {"seed": seed, "batch": experiment.batch, "precision": experiment.precision}
    asked |= experiment.data.model_dump(mode="json", include={"augment", "padding", "border"})
    digest = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=12)
    for values in (data.train.images, data.train.labels, *data.train.extras.values()):
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train(
    experiment: Experiment,
    data: Data,
    sight: Sight,
    network: Network,
    seed: int,
    progress: Progress,
) -> list[tuple[int, float, dict[str, float]]]:
    """Train the teacher by cross-entropy on every label, in place; return what was measured."""
    asked, size, n = experiment.teacher, experiment.batch, len(data.train)
    epoch_steps = n // size
    total = asked.epochs * epoch_steps
    labels = sight.labels(data.train.labels)
    optimizer = build_optimizer(asked.optimizer, network.parameters())
    still = experiment.data.augment == "none"
    images = sight.see_all(data.train) if still else None
    history = []
    for epoch in range(asked.epochs):
        network.train()
        ordered = torch.randperm(n, generator=generator(seed, "teacher-order", epoch))
        moves = draws(seed, epoch, n, experiment.data.padding)
        losses = []
        for place in range(epoch_steps):
            step = epoch * epoch_steps + place
            index = ordered[place * size : (place + 1) * size].to(labels.device)
            seen = (
                images[index] if images is not None else _see(experiment, data, sight, index, moves)
            )
            half = experiment.precision == "bfloat16"
            with torch.autocast(seen.device.type, torch.bfloat16, enabled=half):
                logits = network(shaped(seen)).logits
            loss = F.cross_entropy(logits.float(), labels[index])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            rate = learning_rate(asked.optimizer, step, total, epoch_steps)
            set_learning_rate(optimizer, rate)
            optimizer.step()
            losses.append(loss.detach())
            if not progress(step + 1, total):
                raise Interrupted
        values = {"teacher_loss": torch.stack(losses).mean().item()}
        history.append(((epoch + 1) * epoch_steps, epoch + 1.0, values))
    return history


def _see(experiment: Experiment, data: Data, sight: Sight, index: Any, moves: Any) -> Any:
    offsets, flips = (values.to(index.device)[index] for values in moves)
    split = data.train.take(index)
    asked = experiment.data
    return sight.see(augment_split(split, offsets, flips, asked.padding, asked.border))


def measure(network: Network, data: Data, sight: Sight) -> dict[str, float]:
    """Return the teacher's accuracy (per cent) on the test part and on the part for choices."""
    test = outputs(network, sight.see_all(data.test))
    kept = data.held_out.take(data.choices)
    held_out = outputs(network, sight.see_all(kept))
    return {
        "teacher_test_accuracy": accuracy(test.logits, sight.labels(data.test.labels)),
        "teacher_held_out_accuracy": accuracy(held_out.logits, sight.labels(kept.labels)),
    }
