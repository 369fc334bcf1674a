"""The number by which a network is judged on labelled samples, one for each kind of labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from wcord.training.evaluation import accuracy


@dataclass(frozen=True)
class Measure:
    """A measure, and the loss by which a teacher is trained on the same labels.

    Args:
        name: in results, after the part: test_NAME and held_out_NAME.
        of: the measure of outputs (n, K) and labels; larger is better.
        loss: a mean over samples, of outputs (n, K) in float32 and labels.
    """

    name: str
    of: Callable[[Tensor, Tensor], float]
    loss: Callable[[Tensor, Tensor], Tensor]


def r_squared(outputs: Tensor, targets: Tensor) -> float:
    """Return the coefficient of determination, a mean over targets.

        R² = 1 − Σ_i (y_i − s_i)² / Σ_i (y_i − mean y)²

    1 is perfect, 0 is as good as the mean of the targets of these samples. Targets that are equal
    for all samples are left out; without any other the result is NaN.

    Args:
        outputs, targets: (n, K).

    >>> import torch
    >>> r_squared(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [3.0]]))
    0.5
    """
    y, s = targets.cpu().double(), outputs.cpu().double()
    spread = (y - y.mean(0)).square().sum(0)
    known = spread > 0
    if not bool(known.any()):
        return math.nan
    return float((1 - (y - s).square().sum(0)[known] / spread[known]).mean())


def average_precision(outputs: Tensor, labels: Tensor) -> float:
    """Return the mean average precision in per cent, over labels that occur.

        AP_k = Σ_n (R_n − R_{n−1}) P_n   over the thresholds of label k, as scikit-learn defines it

    P_n and R_n are precision and recall. Labels that no sample has, or outputs that are not finite,
    give NaN.

    Args:
        outputs: (n, K).
        labels: (n, K) of 0 and 1.
    """
    from sklearn.metrics import average_precision_score

    occurring = labels.sum(0) > 0
    if not (bool(occurring.any()) and bool(outputs.isfinite().all())):
        return math.nan
    scores = outputs[:, occurring].float().cpu().numpy()
    truth = labels[:, occurring].cpu().numpy()
    return 100.0 * float(average_precision_score(truth, scores, average="macro"))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels)


def _binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, targets)


MEASURES = {
    "classes": Measure("accuracy", accuracy, _cross_entropy),
    "regression": Measure("r2", r_squared, _squared_error),
    "multilabel": Measure("average_precision", average_precision, _binary_cross_entropy),
}
