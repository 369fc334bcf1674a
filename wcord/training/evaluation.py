"""Measures of predictions and features: accuracy, similarity of two spaces, masses of a plan."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from wcord.data import Split
from wcord.data.teacher_outputs import TeacherOutputs
from wcord.models import Network, Output
from wcord.training.inputs import NetworkInput
from wcord.transport.validation import require_count


@torch.no_grad()
def outputs(network: nn.Module, images: Tensor, chunk: int = 1024, maps: bool = False) -> Output:
    """Return a network's output for many images, in evaluation mode.

    Args:
        network: returns an `Output`; its mode is restored.
        images: (n, C, H, W), as `NetworkInput` gives them.
        chunk: images per forward pass.
        maps: whether feature maps are returned too.
    """
    was_training = network.training
    network.eval()
    parts = [network(part, maps=maps).at_least_float32() for part in images.split(chunk)]
    network.train(was_training)
    return Output(
        torch.cat([part.features for part in parts]),
        torch.cat([part.logits for part in parts]),
        tuple(torch.cat(stage) for stage in zip(*(part.maps for part in parts), strict=True)),
    )


def teacher_output(
    teacher: Network | TeacherOutputs, teacher_input: NetworkInput, split: Split
) -> Output:
    """Return a teacher's output of a split, without augmentation.

    Args:
        teacher: a network, or the outputs in its place.
        teacher_input: gives the images of the network.
        split: the samples.
    """
    if isinstance(teacher, TeacherOutputs):
        return teacher.of(split)
    return outputs(teacher, teacher_input.all_images(split))


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of samples whose largest logit is their label, in per cent.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    50.0
    """
    return 100.0 * (logits.argmax(1) == labels).double().mean().item()


def feature_distance(teacher: Tensor, student: Tensor) -> float:
    """Return mean_i ‖t_i − s_i‖ of paired features (n, d) of equal dimension."""
    return (teacher - student).norm(dim=1).mean().item()


def centred(features: Tensor) -> Tensor:
    """Return features (n, d) minus their mean, in float64; exactly 0 where all are equal.

    They move to the CPU where the device has no float64 (MPS).
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
        The alignment; 0 where all samples of one side have equal features.

    Source: Kornblith et al. 2019, "Similarity of neural network representations revisited".
    """
    t, s = (side / _length(side) for side in (centred(teacher), centred(student)))
    denominator = torch.linalg.norm(t.T @ t) * torch.linalg.norm(s.T @ s)
    return (torch.linalg.norm(s.T @ t).square() / _length(denominator)).item()


def neighbours(features: Tensor, k: int = 10) -> Tensor:
    """Return an (n, n) bool matrix: entry (i, j) is true where j is among the k nearest of i.

    No sample is its own neighbour; k is at most n − 1. Features are centred in float64, so a common
    offset loses no precision: distances are right to 1e-8 of the features' spread.
    """
    require_count("k", k)
    points = centred(features)
    distance = torch.cdist(points, points)
    distance.fill_diagonal_(float("inf"))
    near = distance.topk(min(k, len(features) - 1), largest=False).indices
    return torch.zeros_like(distance, dtype=torch.bool).scatter_(1, near, True)


def neighbour_overlap(teacher: Tensor, student: Tensor, k: int = 10) -> float:
    """Return the mean share of a sample's k nearest neighbours that both spaces have in common.

    Args:
        teacher: features (n, d_t), or the bool matrix that `neighbours` returns for them.
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
    """Return ‖x‖_F to divide by, or 1 where it is 0."""
    length = torch.linalg.norm(x)
    return torch.where(length == 0, torch.ones_like(length), length)


def class_masses(plan: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mass of a plan (n, n) on pairs of the same class, and on its diagonal."""
    same = labels[:, None] == labels[None, :]
    return (plan * same).sum().item(), plan.diagonal().sum().item()
