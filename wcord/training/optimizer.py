"""Optimizers, and learning rates as a pure function of the step."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from wcord.settings.sections import OptimizerSettings


def build_optimizer(
    settings: OptimizerSettings, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Return the optimizer of the settings, fused: one kernel updates all weights."""
    parameters = list(parameters)
    rate, decay = settings.lr, settings.weight_decay
    if settings.name == "sgd":
        momentum = settings.momentum
        return torch.optim.SGD(parameters, rate, momentum, weight_decay=decay, fused=True)
    adam = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return adam(parameters, rate, weight_decay=decay, fused=True)


def learning_rate(settings: OptimizerSettings, step: int, total: int, epoch_steps: int) -> float:
    """Return the learning rate of one step.

    constant   lr
    onecycle   half a cosine from lr/25 up to lr over a share `warmup` of all steps, then half
               a cosine down to lr/250,000 (Smith and Topin 2018, with torch's constants)
    cosine     lr · (1 + cos(π step/total)) / 2
    multistep  lr · gamma^(number of milestones, in epochs, that have passed)

    Args:
        settings: schedule and rates.
        step: number of the step, from 0.
        total: steps of the whole run.
        epoch_steps: steps of an epoch.
    """
    if settings.schedule == "cosine":
        return settings.lr * (1 + math.cos(math.pi * step / total)) / 2
    if settings.schedule == "multistep":
        passed = bisect_right(sorted(settings.milestones), step // epoch_steps)
        return settings.lr * settings.gamma**passed
    if settings.schedule == "onecycle":
        peak = max(settings.warmup * total - 1, 1e-9)
        if step <= peak:
            return _cosine(settings.lr / 25, settings.lr, step / peak)
        return _cosine(settings.lr, settings.lr / 25e4, (step - peak) / max(total - 1 - peak, 1e-9))
    return settings.lr


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float | Tensor) -> None:
    """Set the learning rate of the next step; in a captured step it is a scalar on the device."""
    for group in optimizer.param_groups:
        group["lr"] = rate
        if "capturable" in group:  # Adam has this option; SGD can always be captured
            group["capturable"] = isinstance(rate, Tensor)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors of the optimizer's state, as optimizer.NUMBER.KIND."""
    return {
        f"optimizer.{number}.{kind}": value
        for number, entry in enumerate(optimizer.state.values())
        for kind, value in entry.items()
        if isinstance(value, Tensor)
    }
