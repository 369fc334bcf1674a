"""Answers to the exercises of chapter 10."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from scipy import stats


def quantile(seeds: int, comparisons: int = 1, lost: int = 1) -> float:
    return float(stats.t.ppf(1 - 0.025 / comparisons, seeds - lost))


def single(low: float, high: float, seeds: int, comparisons: int) -> tuple[float, float]:
    error = (high - low) / 2 / quantile(seeds, comparisons)
    return error, error * quantile(seeds)


def by_tensor(low: float, high: float, seeds: int, comparisons: int) -> torch.Tensor:
    return torch.tensor(single(low, high, seeds, comparisons), dtype=torch.float64)


def gap(z: float = 1.959964, both: float = 2.0) -> Callable[..., float]:
    def function(stds: list[float], runs: list[int]) -> float:
        variance = sum(both * std**2 / number for std, number in zip(stds, runs, strict=True))
        return z * math.sqrt(variance) / len(stds)

    return function


PLAIN = {"ce": 1}
GCKT = {"ce": 1, "gckt": {"weight": 5, "dim": 64}}
ARMS = {
    "plain": PLAIN,
    "gckt": GCKT,
    "identity": GCKT | {"lckt": {"weight": 2, "plan": "identity"}},
    "sinkhorn": GCKT | {"lckt": 2},
}
EXACT = {
    "none": GCKT,
    "pairs": GCKT | {"lckt": {"weight": 1, "plan": "identity"}},
    "exact": GCKT | {"lckt": {"weight": 1, "plan": "exact"}},
    "p": PLAIN,
    "kd": {"ce": 1, "kd": 1},
}


def plan(arms: dict[str, Any] = ARMS, **changes: Any) -> dict[str, Any]:
    named = {"pairing.broken": 0.75, "batch": 256, "epochs": 220, "arms": arms}
    return named | {key.replace("__", "."): value for key, value in changes.items()}


def without(name: str) -> dict[str, Any]:
    return {arm: terms for arm, terms in ARMS.items() if arm != name}


RIGHT: dict[str, list[Any]] = {
    "10.1": [single, by_tensor],
    "10.2": [
        gap(),
        gap(z=1.96),
        lambda stds, runs: torch.tensor(gap()(stds, runs)),
    ],
    "10.3": [
        plan(),
        plan(EXACT, pairing__broken=0.6, batch=359),
        plan(ARMS | {"control": GCKT | {"lckt": 0}}, epochs=500, teacher__epochs=100),
    ],
}

WRONG: dict[str, list[Any]] = {
    "10.1": [
        lambda low, high, seeds, comparisons: single(low, high, seeds, comparisons)[::-1],
        lambda low, high, seeds, comparisons: single(low, high, seeds, 1),
        lambda low, high, seeds, comparisons: single(2 * low, 2 * high, seeds, comparisons),
        lambda low, high, seeds, comparisons: single(low, high, seeds + 1, comparisons),
        lambda low, high, seeds, comparisons: single(low, high, seeds, comparisons)[:1] * 2,
        lambda low, high, seeds, comparisons: single(low, high, seeds, comparisons)[0],
        lambda low, high, seeds, comparisons: ((high - low) / 3.92, (high - low) / 2),
        lambda low, high, seeds, comparisons: (
            (high - low) / 2 / stats.norm.ppf(1 - 0.025 / comparisons),
            (high - low) / 2,
        ),
        lambda low, high, seeds, comparisons: (
            single(low, high, seeds, comparisons)[0],
            1.96 * single(low, high, seeds, comparisons)[0],
        ),
        lambda low, high, seeds, comparisons: (
            (high - low) / 2 / float(stats.t.ppf(1 - 0.05 / comparisons, seeds - 1)),
            (high - low) / 2 / comparisons,
        ),
        lambda low, high, seeds, comparisons: ((high - low) / 2, (high - low) / 2 / comparisons),
        (0.95, 2.16),
    ],
    "10.2": [
        gap(z=1.0),
        gap(z=1.645),
        gap(both=1.0),
        gap(both=4.0),
        lambda stds, runs: gap()(stds, [1] * len(runs)),
        lambda stds, runs: gap()(stds, [number**2 for number in runs]),
        lambda stds, runs: gap()(stds, runs) * len(stds),
        lambda stds, runs: gap()(stds, runs) * math.sqrt(len(stds)),
        lambda stds, runs: 1.96 * math.sqrt(2) * sum(stds) / len(stds) / math.sqrt(sum(runs)),
        lambda stds, runs: 1.96 * math.sqrt(2) * max(stds) / math.sqrt(len(stds)),
        lambda stds, runs: -gap()(stds, runs),
        lambda stds, runs: 0.28,
        0.28,
    ],
    "10.3": [
        plan(pairing__broken=0.0),
        plan(pairing__broken=0.5),
        plan(pairing__broken=0.95),
        plan(pairing__within="data"),
        plan(batch=128),
        plan(epochs=40),
        plan(batch=360, epochs=220),
        plan(without("plain")),
        plan(without("gckt")),
        plan(without("identity")),
        plan(without("sinkhorn")),
        plan(ARMS | {"identity": GCKT | {"lckt": {"weight": 1, "plan": "identity"}}}),
        plan(ARMS | {"gckt": {"ce": 1, "gckt": {"weight": 2, "dim": 64}}}),
        plan(ARMS | {"extra": GCKT | {"lckt": 0.05}}),
        plan(ARMS | {"sinkhorn": {"ce": 1, "lckt": 2}, "identity": {"ce": 1, "lckt": 2}}),
        plan(ARMS | {"sinkhorn": GCKT | {"lckt": {"weight": 2, "epsilon": 0.1}}}),
        {},
        "digits-wrong-pairs",
        plan(batch="many"),
    ],
}
