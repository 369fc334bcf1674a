"""What a network returns for a batch: features, logits and stage maps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Output:
    """What one network says of one batch.

    features (n, dim) are the inputs of the classifier (penultimate layer), logits
    (n, classes) its outputs, maps (n, channels, height, width) the stages before them.
    """

    features: Tensor
    logits: Tensor
    maps: tuple[Tensor, ...] = ()

    def detach(self) -> Output:
        """Return the same numbers, cut from the graph."""
        return Output(
            self.features.detach(), self.logits.detach(), tuple(m.detach() for m in self.maps)
        )

    def take(self, place: Tensor) -> Output:
        """Return the rows `place` (m,) of every part."""
        return Output(self.features[place], self.logits[place], tuple(m[place] for m in self.maps))

    def float(self) -> Output:
        """Return the same numbers in float32, in which losses are computed."""
        return Output(
            self.features.float(), self.logits.float(), tuple(m.float() for m in self.maps)
        )
