"""Load trained students from checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from wcord.compute.seeds import seed_of
from wcord.models import Network, build
from wcord.runs import checkpoints
from wcord.settings.experiment import Experiment
from wcord.settings.loading import load


def load_student(path: Path, arm: str) -> nn.Module:
    """Return the student of an arm from the newest checkpoint of a run.

    Args:
        path: the run directory.
        arm: name of the arm.

    Returns:
        The module, in evaluation mode, on the CPU.

    Raises:
        ValueError: there is no such arm or no checkpoint yet, or the student was a module of the
            caller.
    """
    experiment = load(path / "settings.yaml")
    if arm not in experiment.arms:
        raise ValueError(f"no arm {arm!r} in {path.name}; it has {', '.join(experiment.arms)}")
    folder = path / "checkpoints"
    steps = checkpoints.steps(folder)
    if not steps:
        raise ValueError(f"{path.name} has no checkpoint yet: wait for one, or stop the run")
    text = (path / "settings.yaml").read_text("utf-8")
    tensors, header = checkpoints.read(folder, steps[-1], checkpoints.digest_of(text))
    if header["built"].get("own"):
        raise ValueError(
            "this student was a module of your own: only the Run that distill returns holds it"
        )
    network = build_student(experiment, header["built"])
    prefix = f"{arm}/student."
    network.load_state_dict(
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    )
    return network.module.eval()


def build_student(experiment: Experiment, built: dict[str, Any]) -> Network:
    """Return the student with its initial weights, from which every arm starts.

    Args:
        experiment: the settings.
        built: the channels, size (height, width) and classes of the student.
    """
    channels, size = built["channels"], tuple(built["size"])
    seed = seed_of(experiment.seed, "student")
    module = build(experiment.student.model, channels, size, built["classes"], seed)
    return Network(module, (channels, *size), experiment.student.classifier)
