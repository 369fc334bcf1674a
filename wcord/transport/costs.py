"""Costs of transport: the distance of every point of x to every point of y."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.transport.validation import require_points


def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    """Return one minus the cosine of the angle between every two points.

        C_ij = 1 - ⟨x_i, y_j⟩ / (|x_i| |y_j|)   in [0, 2]

    Args:
        x: points (..., n, d); the cosine with a zero vector is 0.
        y: points (..., m, d).

    Returns:
        cost (..., n, m), without unit. Gradients reach x and y.

    >>> cosine_cost(torch.eye(2), torch.tensor([[3.0, 0.0], [-1.0, 0.0]]))
    tensor([[0., 2.],
            [1., 1.]])
    """
    require_points(x, y)
    similarity = F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).mT  # (..., n, m)
    return (1 - similarity).clamp(0, 2)  # removes rounding errors; at 0 and 2 the true slope is 0


def squared_euclidean_cost(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared Euclidean distance between every two points.

        C_ij = |x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 ⟨x_i, y_j⟩

    The mean of y is subtracted from both clouds first: a common offset would reduce precision.

    Args:
        x: points (..., n, d).
        y: points (..., m, d).

    Returns:
        cost (..., n, m), in squared units of the points. Gradients reach x and y.

    >>> squared_euclidean_cost(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[25.]])
    """
    require_points(x, y)
    centre = y.detach().mean(-2, keepdim=True)
    x, y = x - centre, y - centre
    squares = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return (squares - 2 * (x @ y.mT)).clamp_min(0)


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """Return the Euclidean distance between every two points, exactly 0 for equal points.

        d_ij = |x_i - y_j|,   computed from differences, not from products

    Args:
        x: points (..., n, d).
        y: points (..., m, d).

    Returns:
        distances (..., n, m), in units of the points, float64 on the CPU, without gradient.

    >>> euclidean(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[5.]], dtype=torch.float64)
    """
    x, y = x.detach().double().cpu(), y.detach().double().cpu()
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
