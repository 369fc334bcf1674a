"""Wasserstein Contrastive Representation Distillation: both forms of the Wasserstein distance.

    total = CE + λ1 · GCKT (dual form) + λ2 · LCKT (primal form)

Names are imported on first use, so that reading a run does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wcord.analysis.estimate import estimate
    from wcord.analysis.sweep import sweep
    from wcord.data.indexed import Indexed
    from wcord.losses import (
        CRDLoss,
        FeatureLoss,
        GCKTLoss,
        HintLoss,
        ITRDLoss,
        LCKTLoss,
        PKTLoss,
        RKDLoss,
        SPLoss,
        VIDLoss,
        WCoRDLoss,
    )
    from wcord.models.feature_hook import features
    from wcord.runs import Run, Snapshot, list_runs
    from wcord.settings.experiment import Experiment
    from wcord.settings.loading import load, presets
    from wcord.training.callbacks import Callback
    from wcord.training.distillation import distill, resume
    from wcord.training.launch import launch, relaunch
    from wcord.training.save_outputs import save_teacher_outputs

__version__ = "0.1.0"

_MODULE_OF = {
    "Callback": "training.callbacks",
    "Experiment": "settings.experiment",
    "Indexed": "data.indexed",
    "Run": "runs",
    "Snapshot": "runs",
    "distill": "training.distillation",
    "estimate": "analysis.estimate",
    "features": "models.feature_hook",
    "launch": "training.launch",
    "list_runs": "runs",
    "load": "settings.loading",
    "presets": "settings.loading",
    "relaunch": "training.launch",
    "resume": "training.distillation",
    "save_teacher_outputs": "training.save_outputs",
    "sweep": "analysis.sweep",
}
_LOSSES = (
    "CRDLoss",
    "FeatureLoss",
    "GCKTLoss",
    "HintLoss",
    "ITRDLoss",
    "LCKTLoss",
    "PKTLoss",
    "RKDLoss",
    "SPLoss",
    "VIDLoss",
    "WCoRDLoss",
)
_MODULE_OF |= dict.fromkeys(_LOSSES, "losses")
_SUBMODULES = (
    "bank",
    "critic",
    "data",
    "lab",
    "losses",
    "models",
    "objectives",
    "runs",
    "tracking",
    "transport",
    "views",
)

__all__ = [
    "CRDLoss",
    "Callback",
    "Experiment",
    "FeatureLoss",
    "GCKTLoss",
    "HintLoss",
    "ITRDLoss",
    "Indexed",
    "LCKTLoss",
    "PKTLoss",
    "RKDLoss",
    "Run",
    "SPLoss",
    "Snapshot",
    "VIDLoss",
    "WCoRDLoss",
    "distill",
    "estimate",
    "features",
    "launch",
    "list_runs",
    "load",
    "presets",
    "relaunch",
    "resume",
    "save_teacher_outputs",
    "sweep",
]

if not (Path(__file__).parent / "lab").is_dir():  # in the repository it lies beside this folder
    from wcord.lab_of_repository import find_lab_in_repository

    find_lab_in_repository()


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"wcord.{_MODULE_OF[name]}"), name)
    if name in _SUBMODULES:
        return import_module(f"wcord.{name}")
    raise AttributeError(f"module 'wcord' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_SUBMODULES, "__version__"]
