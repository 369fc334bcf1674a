"""Every picture in words: one or two plain sentences for those who do not see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reading.arrange import class_blocks, plan_masses, score_groups

Array = NDArray[Any]


def of_plan(plan: Array, labels: Array) -> str:
    """Say where the mass of a square plan goes.

    >>> of_plan(np.eye(4) / 4, np.array([0, 0, 1, 1]))
    'Transport plan of 4 samples in 2 classes: 100 % of the mass stays in its class (50 % would \
by chance), 100 % joins a sample to itself.'
    """
    same, diagonal = plan_masses(plan, labels)
    chance, _ = plan_masses(np.ones_like(plan), labels)
    blocks = class_blocks(labels)
    return (
        f"Transport plan of {len(labels)} samples in {len(blocks.names)} classes: "
        f"{_percent(same)} of the mass stays in its class ({_percent(chance)} would by chance), "
        f"{_percent(diagonal)} joins a sample to itself."
    )


def of_scores(scores: Array, labels: Array) -> str:
    """Say how far the critic tells matching pairs from others."""
    means = {k: v[np.isfinite(v)] for k, v in score_groups(scores, labels).items()}
    words = {"congruent": "matching"}  # as the paper calls them
    described = [f"{words.get(k, k)} pairs {v.mean():.2f}" for k, v in means.items() if v.size]
    return f"Histograms of the critic's scores; means: {', '.join(described) or 'not defined'}."


def of_map(labels: Array, values: Mapping[str, float], method: str) -> str:
    """Say what the map holds, and the numbers that it cannot flatter."""
    facts = [
        f"{words} {values[key]:.2f}"
        for key, words in (
            ("feature_distance", "mean feature distance"),
            ("neighbour_overlap", "neighbour overlap"),
            ("cka", "linear CKA"),
        )
        if key in values and np.isfinite(values[key])
    ]
    measured = f" In full dimension: {', '.join(facts)}." if facts else ""
    return f"{method} map of {len(labels)} samples as teacher and as student see them.{measured}"


def _percent(share: float) -> str:
    return "not defined" if not np.isfinite(share) else f"{100 * share:.0f} %"
