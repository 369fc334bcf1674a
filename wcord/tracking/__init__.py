"""Callbacks that send a run to a tracker of experiments: settings, values by step, results.

    tracker = wcord.tracking.WandB(project="digits")
    wcord.distill(experiment, callbacks=[tracker])

Each needs its package: `pip install 'wcord[trackers]'`, or the package alone. A resumed run is a
new run of the tracker, in the same group, that begins at the checkpoint.
"""

from wcord.tracking.mlflow import MLflow
from wcord.tracking.trackio import Trackio
from wcord.tracking.wandb import WandB

__all__ = ["MLflow", "Trackio", "WandB"]
