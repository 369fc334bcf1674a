"""What a critic's scores prove about a Wasserstein distance, however the critic was made."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NOISE = 1e-5  # of the range of scores: what two scores of one point may differ by, in float32
ROUNDING = 1e-12  # of the range of scores: taken off the difference of means before it is a bound


@dataclass(frozen=True)
class Certificate:
    """What a critic proves about the W1 of two samples.

    raw: difference of its means; slope: its largest slope between the two supports;
    bound: max(raw, 0) / slope, rounded down and never above the exact W1 of the samples. raw is in
    units of the critic, bound in units of distance.
    """

    raw: float
    slope: float
    bound: float


def certify(at_x: np.ndarray, at_y: np.ndarray, distances: np.ndarray) -> Certificate:
    """Return the bound that scores prove, whatever made them and in whatever unit.

        raw   = E_x[g] - E_y[g]
        slope = max over i, j of |g(x_i) - g(y_j)| / d(x_i, y_j)
        bound = max(raw, 0) / slope <= W1(x, y)

    Proof. For any plan P between the two, raw = sum P_ij (g(x_i) - g(y_j)) <= slope * sum P_ij
    d(x_i, y_j); take the best P. Slopes elsewhere do not matter, and a gradient norm would
    prove nothing.

    Where d = 0 the two are one point, and g must have one value there. Scores that differ by
    rounding are replaced by one of them, so that g is a function again and the proof holds
    for it. Scores that differ by more prove nothing: slope is infinite and the bound 0. The
    sizes of rounding are relative to the range of the scores.

    Args:
        at_x: g(x_i) (n,), float64.
        at_y: g(y_j) (m,), float64.
        distances: d(x_i, y_j) (n, m), a metric, exactly 0 for equal points.

    Raises:
        ValueError: scores that are NaN or infinite.
    """
    if not (np.isfinite(at_x).all() and np.isfinite(at_y).all()):
        raise ValueError("scores hold NaN or infinite entries: the critic has diverged")
    at_x, at_y = at_x - at_x[0], at_y - at_x[0]  # a constant would take digits from the means
    scores = np.concatenate((at_x, at_y))
    span = float(np.ptp(scores))
    same = distances == 0
    if (np.abs(at_x[:, None] - at_y)[same] > NOISE * span).any():
        return Certificate(float(at_x.mean() - at_y.mean()), math.inf, 0.0)
    at_x, at_y = _one_score_a_point(at_x, at_y, same)
    raw = float(at_x.mean() - at_y.mean())
    steps = np.abs(at_x[:, None] - at_y)
    slopes = np.where(steps > 0, math.inf, 0.0)  # where d is 0; the others are overwritten
    with np.errstate(over="ignore"):
        slope = float(np.divide(steps, distances, out=slopes, where=~same).max())
    bound = max(raw - ROUNDING * span, 0.0) / slope if slope > 0 else 0.0
    return Certificate(raw, slope, bound)


def _one_score_a_point(
    at_x: np.ndarray, at_y: np.ndarray, same: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores with that of the first x at its place for every x and y of one point."""
    first = same.argmax(0)  # (m,), the first x at y's place, if any
    at_y = np.where(same.any(0), at_x[first], at_y)
    return np.where(same.any(1), at_y[same.argmax(1)], at_x), at_y


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j| in float64 on the CPU, from differences: exactly 0 for equal points."""
    x, y = x.detach().double().cpu(), y.detach().double().cpu()
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
