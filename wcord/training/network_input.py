"""The input of a network: view, normalisation and label set."""

from __future__ import annotations

import torch
from torch import Tensor

from wcord.compute.seeds import seed_of
from wcord.data import Data, LabelMap, Split, normalise
from wcord.settings.sections import NetworkSettings
from wcord.views import View
from wcord.views.normalise import mean_and_deviation


class NetworkInput:
    """The input of one network: a view of the samples, normalised; and its label set.

    Args:
        settings: view, normalisation and labels of a network.
        data: its training part is measured, where the normalisation is "measured".
        seed: of the random numbers that a view draws (noise).

    Raises:
        ValueError: the data set lacks what the view needs, or the label map or the normalisation
            does not fit.
    """

    def __init__(self, settings: NetworkSettings, data: Data, seed: int) -> None:
        self.view = View.parse(settings.view)
        self.view.check(data)
        self.labels = LabelMap.parse(settings.labels, data.classes)
        self.seed = seed_of(seed, "view")
        device = data.train.images.device
        statistics = mean_and_deviation(settings.normalise, self.view, data, self.seed)
        self.mean, self.std = (values.to(device) for values in statistics)
        channels, height, width = self.images_of(data.train.take(torch.arange(1))).shape[1:]
        self.shape: tuple[int, int, int] = (channels, height, width)

    def images_of(self, split: Split) -> Tensor:
        """Return the images that the network is given, (n, C, H, W) float32."""
        images = self.view(split, self.seed)
        return normalise(images, self.mean.to(images.device), self.std.to(images.device))

    def all_images(self, split: Split, chunk: int = 2048) -> Tensor:
        """Return `images_of` of many samples, in chunks."""
        index = torch.arange(len(split), device=split.images.device)
        return torch.cat([self.images_of(split.take(part)) for part in index.split(chunk)])
