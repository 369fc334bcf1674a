"""The cost of moving one point to another, for every two points."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from wcord.transport.validation import (
    require_points,
)


def cosine_cost(x: Tensor, y: Tensor) -> Tensor:
    """Return one minus the cosine of the angle between every two points.

        C_ij = 1 - <x_i, y_j> / (|x_i| |y_j|)   in [0, 2]

    Args:
        x: points (..., n, d); a zero vector has cosine 0 with everything.
        y: points (..., m, d).

    Returns:
        cost (..., n, m), without unit. Gradients reach x and y.

    >>> cosine_cost(torch.eye(2), torch.tensor([[3.0, 0.0], [-1.0, 0.0]]))
    tensor([[0., 2.],
            [1., 1.]])
    """
    require_points(x, y)
    similarity = F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).mT  # (..., n, m)
    return (1 - similarity).clamp(0, 2)  # rounding may leave [0, 2]; the true slope there is 0


def squared_euclidean_cost(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared Euclidean distance of every two points.

        C_ij = |x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 <x_i, y_j>

    Both clouds are centred on y's mean first, so that distances survive a common offset.

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
