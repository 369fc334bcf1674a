"""Load trained students from checkpoints, as plain modules without hooks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from wcord.compute.seeds import seed_of
from wcord.errors import first_line
from wcord.models import Network, build
from wcord.models.network import plain_module, unwrapped
from wcord.models.weights import mismatches
from wcord.runs import checkpoints
from wcord.runs.read_status import read_status
from wcord.settings.experiment import Experiment
from wcord.settings.loading import load
from wcord.settings.messages import SettingsError, nearest


@dataclass(frozen=True)
class TrainedStudent:
    """The student of an arm at a checkpoint.

    Attributes:
        module: normalised images (n, C, H, W) of the student's view to logits; in evaluation mode,
            on the CPU, without the hooks that training adds.
        experiment: the settings of the run.
        built: the sizes that the student was built for, and its mean and std.
        step: the step of the checkpoint.
    """

    module: nn.Module
    experiment: Experiment
    built: dict[str, Any]
    step: int


def load_student(path: Path, arm: str, module: nn.Module | None = None) -> TrainedStudent:
    """Return the student of an arm from the newest checkpoint of a run.

    Args:
        path: the run directory.
        arm: name of the arm.
        module: the weights are loaded into a copy of it; needed if the student was a module of the
            caller. None: the model of the settings.

    Raises:
        ValueError: there is no such arm or no checkpoint yet, the checkpoint is damaged, or the
            module is missing or does not fit.
    """
    experiment = load(path / "settings.yaml")
    if arm not in experiment.arms:
        raise SettingsError(f"no arm {arm!r} in {path.name}; {nearest(arm, experiment.arms)}")
    folder = path / "checkpoints"
    steps = checkpoints.steps(folder)
    if not steps:
        wait = read_status(path).active
        hint = "wait for one, or stop the run" if wait else "it holds no weights"
        raise SettingsError(f"{path.name} has no checkpoint: {hint}")
    text = (path / "settings.yaml").read_text("utf-8")
    tensors, header = checkpoints.read(folder, steps[-1], checkpoints.digest_of(text))
    built, prefix = header["built"], f"{arm}/student."
    weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    if module is not None:
        copy = _loaded(module, weights, f"arm {arm!r} of {path.name}")
    elif built.get("own"):
        raise SettingsError(
            f"the student of {path.name} was a module of your own, which no file holds: give the "
            f"module too, as run.student({arm!r}, module=...) or "
            f"run.export({arm!r}, file, module=...)"
        )
    else:
        copy = _new_module(experiment, built).float()  # the caller's default may be float64
        copy.load_state_dict(weights)
    return TrainedStudent(copy.eval(), experiment, built, steps[-1])


def _loaded(module: nn.Module, weights: dict[str, Tensor], name: str) -> nn.Module:
    """Return a copy of a caller's module, on the CPU in float32, with the weights of a student."""
    if not isinstance(module, nn.Module):
        raise SettingsError(f"module: a torch.nn.Module is needed, not {type(module).__name__}")
    kind = type(unwrapped(module)).__name__
    if any(value.is_meta for value in chain(module.parameters(), module.buffers())):
        raise SettingsError(
            f"{kind} is on the meta device: give a module with weights of any value"
        )
    copy = plain_module(module).float()
    if faults := mismatches(weights, copy.state_dict()):
        raise SettingsError(f"{kind} is not the student of {name}: {'; '.join(faults)}")
    try:
        copy.load_state_dict(weights)
    except Exception as error:  # a module may have its own way to load
        raise SettingsError(f"{kind} is not the student of {name}: {first_line(error)}") from error
    return copy


def build_student(experiment: Experiment, built: dict[str, Any]) -> Network:
    """Return the student with its initial weights, from which every arm starts.

    Args:
        experiment: the settings.
        built: the channels, size (height, width) and classes of the student.
    """
    shape = (built["channels"], *built["size"])
    return Network(_new_module(experiment, built), shape, experiment.student.classifier)


def _new_module(experiment: Experiment, built: dict[str, Any]) -> nn.Module:
    channels, size = built["channels"], tuple(built["size"])
    seed = seed_of(experiment.seed, "student")
    return build(experiment.student.model, channels, size, built["classes"], seed)
