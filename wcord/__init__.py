"""Wasserstein Contrastive Representation Distillation: both forms of the Wasserstein distance.

    total = CE + λ1 · GCKT (dual form) + λ2 · LCKT (primal form)

Names are imported on first use, so that reading a run does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wcord.ablation import sweep
    from wcord.distillation import distill, launch, relaunch, resume
    from wcord.estimation import estimate
    from wcord.experiment import Experiment, load, presets
    from wcord.runs import Run, Snapshot, list_runs

__version__ = "0.1.0"

_HOME = {
    "Experiment": "experiment",
    "Run": "runs",
    "Snapshot": "runs",
    "distill": "distillation",
    "estimate": "estimation",
    "launch": "distillation",
    "list_runs": "runs",
    "load": "experiment",
    "presets": "experiment",
    "relaunch": "distillation",
    "resume": "distillation",
    "sweep": "ablation",
}
_MODULES = ("bank", "critic", "data", "dual", "models", "objectives", "runs", "transport", "views")

__all__ = [
    "Experiment",
    "Run",
    "Snapshot",
    "distill",
    "estimate",
    "launch",
    "list_runs",
    "load",
    "presets",
    "relaunch",
    "resume",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"wcord.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"wcord.{name}")
    raise AttributeError(f"module 'wcord' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_MODULES, "__version__"]
