"""The exercises of chapter 4."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .checking import Exercise, draws, far, numbers, tensor


def _best_bilinear(function: Callable[[Tensor, Tensor], float]) -> str:
    draw = draws()
    for n, d_t, d_s in ((30, 4, 3), (20, 2, 6)):
        t = torch.randn(n, d_t, generator=draw, dtype=torch.float64)
        s = torch.randn(n, d_s, generator=draw, dtype=torch.float64) + t[:, :1]
        cross = (t - t.mean(0)).T @ (s - s.mean(0)) / n
        if far(tensor(function(t, s)), torch.linalg.matrix_norm(cross, "nuc")):
            return "that is not the best value of E_joint[g] − E_product[g]"
    return ""


def _normaliser(function: Callable[[Tensor], float]) -> str:
    draw = draws()
    for n in (2, 40):
        scores = 3 * torch.randn(n, n, generator=draw, dtype=torch.float64)
        incongruent = scores[~torch.eye(n, dtype=torch.bool)]
        if far(tensor(function(scores)), incongruent.exp().mean()):
            return "that is not the c of (4.3)"
    return ""


EXERCISES = (
    Exercise("4.1", "quick", numbers("4.1", 3, "72bd3fe17de8"), ("A hint.",)),
    Exercise("4.2", "derive", _best_bilinear, ("A hint.",)),
    Exercise("4.3", "derive", _normaliser, ("A hint.",)),
    Exercise("4.4", "quick", numbers("4.4", 3, "e11511aca1ae"), ("A hint.",)),
)
