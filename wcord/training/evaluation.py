"""What is measured of features and predictions: accuracy, linear probe, similarity."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from wcord.models import Output
from wcord.transport.validation import require_count


@torch.no_grad()
def outputs(network: nn.Module, images: Tensor, chunk: int = 1024, maps: bool = False) -> Output:
    """Return a network's output for many images, in evaluation mode, in chunks.

    Args:
        network: gives an `Output`; its mode is put back.
        images: (n, C, H, W), as the network sees them.
        chunk: images a forward pass.
    """
    was_training = network.training
    network.eval()
    parts = [network(part, maps=maps).float() for part in images.split(chunk)]
    network.train(was_training)
    return Output(
        torch.cat([part.features for part in parts]),
        torch.cat([part.logits for part in parts]),
        tuple(torch.cat(stage) for stage in zip(*(part.maps for part in parts), strict=True)),
    )


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of samples whose largest logit is their label, in per cent.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    50.0
    """
    return 100.0 * (logits.argmax(1) == labels).double().mean().item()


def linear_probe(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, strength: float = 1.0
) -> float:
    """Return the test accuracy (per cent) of multinomial logistic regression on frozen features.

    Features are standardised by the training part; scikit-learn's `LogisticRegression` with
    inverse regularisation `strength`.

    Args:
        train, test: features (n, d).
        train_labels, test_labels: (n,) int64.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train.cpu().numpy(), train_labels.cpu().numpy())
    return 100.0 * float(model.score(test.cpu().numpy(), test_labels.cpu().numpy()))


def feature_distance(teacher: Tensor, student: Tensor) -> float:
    """Return mean_i ‖t_i − s_i‖ of paired features (n, d) of equal dimension."""
    return (teacher - student).norm(dim=1).mean().item()


def centred(features: Tensor) -> Tensor:
    """Return features (n, d) less their mean; exactly 0 where all are equal.

    In float64, on the CPU where the device has none (MPS).
    """
    points = (features.cpu() if features.device.type == "mps" else features).double()
    points = points - points[0]
    return points - points.mean(0)


def linear_cka(teacher: Tensor, student: Tensor) -> float:
    """Return linear centred kernel alignment of paired features, 0 to 1, of any dimensions.

        CKA = ‖SᵀT‖_F² / (‖TᵀT‖_F ‖SᵀS‖_F),   T, S centred

    Args:
        teacher: (n, d_t).
        student: (n, d_s).

    Returns:
        The alignment; 0 where one side is the same for every sample.

    Source: Kornblith et al. 2019, "Similarity of neural network representations revisited".
    """
    t, s = (side / _length(side) for side in (centred(teacher), centred(student)))
    below = torch.linalg.norm(t.T @ t) * torch.linalg.norm(s.T @ s)
    return (torch.linalg.norm(s.T @ t).square() / _length(below)).item()


def neighbours(features: Tensor, k: int = 10) -> Tensor:
    """Return who is among whose k nearest (n, n) bool, itself left out; k is at most n − 1.

    Features are centred and in float64, so that a common offset takes no digits from distances:
    they are right to 1e-8 of the features' spread.
    """
    require_count("k", k)
    points = centred(features)
    distance = torch.cdist(points, points)
    distance.fill_diagonal_(float("inf"))
    near = distance.topk(min(k, len(features) - 1), largest=False).indices
    return torch.zeros_like(distance, dtype=torch.bool).scatter_(1, near, True)


def neighbour_overlap(teacher: Tensor, student: Tensor, k: int = 10) -> float:
    """Return the mean share of a sample's k nearest neighbours that both spaces agree on.

    Args:
        teacher: features (n, d_t), or the bool matrix that `neighbours` made of them.
        student: features (n, d_s), paired with the teacher's.
        k: neighbours, at most n − 1.

    Returns:
        The share, 0 to 1; NaN where the student's features are not finite.
    """
    if not bool(student.isfinite().all()):
        return math.nan
    near = teacher if teacher.dtype == torch.bool else neighbours(teacher, k)
    return ((near & neighbours(student, k)).sum() / near.sum()).item()


def within_class_variance(features: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared distance of features (n, d) to the mean of their class."""
    classes = int(labels.max()) + 1
    points = centred(features)
    labels = labels.to(points.device)
    one_hot = nn.functional.one_hot(labels, classes).to(points.dtype)
    means = (one_hot.T @ points) / one_hot.sum(0).clamp_min(1)[:, None]
    return (points - means[labels]).square().sum(1).mean().to(features)


def _length(x: Tensor) -> Tensor:
    """Return ‖x‖_F to divide by: 1 where it is 0."""
    length = torch.linalg.norm(x)
    return torch.where(length == 0, torch.ones_like(length), length)


def class_masses(plan: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the plan's mass (n, n) on pairs of the same class, and on the diagonal."""
    same = labels[:, None] == labels[None, :]
    return (plan * same).sum().item(), plan.diagonal().sum().item()


def paired_summary(values: Iterable[float]) -> tuple[float, float]:
    """Return mean and standard deviation (n − 1) of a few numbers; the latter nan for one."""
    numbers = np.asarray(list(values), dtype=float)
    spread = float(numbers.std(ddof=1)) if len(numbers) > 1 else float("nan")
    return float(numbers.mean()), spread
