"""What the examples share: the digits of scikit-learn, a small teacher and a smaller student."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset


def digits() -> tuple[TensorDataset, TensorDataset]:
    """Return 1,200 training and 597 test samples: images (1, 8, 8) in [0, 1] and labels."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(data.target)
    return TensorDataset(images[:1200], labels[:1200]), TensorDataset(images[1200:], labels[1200:])


def network(width: int) -> nn.Module:
    """Return a classifier with features of length `width`."""
    return nn.Sequential(
        nn.Conv2d(1, width // 2, 3, padding=1),
        nn.BatchNorm2d(width // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * width, width),
        nn.ReLU(),
        nn.Linear(width, 10),
    )


def trained_teacher(dataset: TensorDataset, epochs: int = 15) -> nn.Module:
    """Return a teacher of the digits, in evaluation mode."""
    torch.manual_seed(0)
    images, labels = dataset.tensors
    teacher = network(64).train()
    optimizer = torch.optim.Adam(teacher.parameters(), 3e-3)
    for _ in range(epochs):
        for index in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            cross_entropy(teacher(images[index]), labels[index]).backward()
            optimizer.step()
    return teacher.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(network: nn.Module, dataset: TensorDataset) -> float:
    """Return the share of samples whose largest logit is their label, in per cent."""
    images, labels = dataset.tensors
    logits: Tensor = network.eval()(images)
    return 100 * (logits.argmax(1) == labels).float().mean().item()
