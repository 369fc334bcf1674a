"""Multilayer perceptrons, for inputs of any shape: tables, embeddings, series, images."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU on the flattened input; the last hidden layer gives the features.

    Args:
        inputs: number of values of one input.
        classes: number of outputs.
        widths: of the hidden layers, the last of which is the number of features.
    """

    def __init__(self, inputs: int, classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *widths)):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs (n, classes) of inputs (n, ...)."""
        return self.classifier(self.hidden(inputs.flatten(1)))
