"""What a critic's scores prove about a Wasserstein distance, however the critic was made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SAME_POINT = 1e-9  # distances below this part of the largest are none


@dataclass(frozen=True)
class Certificate:
    """What a critic proves about a W1.

    raw: difference of its means; slope: its largest slope between the two supports;
    bound = max(raw, 0) / slope, never above the exact W1. raw is in units of the critic, bound
    in units of distance.
    """

    raw: float
    slope: float
    bound: float


def certify(raw: float, steps: np.ndarray, distances: np.ndarray) -> Certificate:
    """Return the bound that a difference of means proves, from the slopes between two supports.

        slope = max over a, b of |g(a) - g(b)| / d(a, b),   bound = max(raw, 0) / slope <= W1

    Proof. For any plan P between the two, raw = sum P_ab (g(a) - g(b)) <= slope * sum P_ab d(a, b);
    take the best P. Slopes elsewhere do not matter, and a gradient norm would prove nothing.

    Args:
        raw: mean of g over the first support less its mean over the second.
        steps: |g(a) - g(b)| for every a of the first and b of the second, any shape.
        distances: d(a, b), the same shape.

    Raises:
        ValueError: scores that are NaN or infinite.
    """
    if not (np.isfinite(steps).all() and np.isfinite(raw)):
        raise ValueError("scores hold NaN or infinite entries: the critic has diverged")
    apart = distances > SAME_POINT * distances.max()
    slopes = np.divide(steps, distances, out=np.zeros_like(steps), where=apart)
    slope = float(slopes.max())
    if (steps > 1e-6 * max(1.0, np.abs(steps).max()))[~apart].any():
        slope = float("inf")
    return Certificate(raw, slope, max(raw, 0.0) / slope if slope > 0 else 0.0)


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j| in float64 on the CPU, from differences: exactly 0 for equal points."""
    x, y = x.detach().double().cpu(), y.detach().double().cpu()
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
