"""The output of a network for a batch: features, logits and feature maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Output:
    """The output of one network for n samples.

    Attributes:
        features: (n, dim), inputs of the classifier, the last layer.
        logits: (n, classes), outputs of the classifier.
        maps: (n, channels, height, width) of each stage before the classifier, shallow to deep; ()
            where they were not requested.
    """

    features: Tensor
    logits: Tensor
    maps: tuple[Tensor, ...] = ()

    def detach(self) -> Output:
        """Return the same numbers without their gradients."""
        return self._each(Tensor.detach)

    def take(self, index: Tensor) -> Output:
        """Return the samples `index` (m,)."""
        return self._each(lambda values: values[index])

    def at_least_float32(self) -> Output:
        """Return half-precision values in float32, in which losses are computed."""
        return self if self.features.dtype == torch.float64 else self._each(Tensor.float)

    def _each(self, function: Callable[[Tensor], Tensor]) -> Output:
        maps = tuple(function(values) for values in self.maps)
        return Output(function(self.features), function(self.logits), maps)
