"""A table of made-up samples, and its settings, for tests of data beyond pictures."""

from __future__ import annotations

import numpy as np
import torch

import wcord
from wcord.data import Data

PARTS = ("train", "held_out", "test")
X, Y = np.random.default_rng(0).normal(size=(120, 6)), np.arange(120) % 3
TARGETS = np.stack([X[:, 0] + 0.1 * X[:, 1], -X[:, 2]], 1)  # two regression targets
SEVERAL = (X[:, :4] > 0.5).astype(int)  # four labels a sample
WITHOUT_CLASSES = {"regression": (TARGETS, "mse"), "multilabel": (SEVERAL, "bce")}


def in_order(data: Data, key: str = "images") -> np.ndarray:
    """Return inputs or labels of all parts in the order in which they were given."""
    parts = [getattr(data, part) for part in PARTS]
    place = torch.cat([part.ids for part in parts]).argsort()
    return torch.cat([getattr(part, key) for part in parts])[place].numpy()


def table_settings() -> wcord.Experiment:
    """Return short settings with perceptrons, for tables."""
    return wcord.load("digits-compression").replace(
        {"epochs": 1, "teacher.epochs": 2, "batch": 16, "data.labels_per_class": None,
         "teacher.model": "mlp:32-16", "student.model": "mlp:8",
         "arms": {"plain": {"ce": 1}, "all": {"ce": 1, "gckt": 1, "lckt": 1, "kd": 1, "crd": 1}}}
    )  # fmt: skip
