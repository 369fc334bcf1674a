"""Transfer of representations: what a linear probe reads from frozen features.

A probe is fitted on the run's own data or on another data set, seen through the same view and
normalised as in training, so that nothing of the network moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wcord.compute.seeds import generator
from wcord.data import Data, DataSettings, Split, load, order
from wcord.models import Network
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError
from wcord.settings.sections import SAME
from wcord.training.evaluation import linear_probe, outputs
from wcord.training.network_input import NetworkInput


@dataclass(frozen=True)
class ProbeData:
    """One data set to probe on: `name` of the result, samples and labels of both parts.

    `source` and `fingerprints` are those of the data set (see `wcord.runs.provenance`).
    """

    name: str
    source: str
    fingerprints: dict[str, str]
    train: Split
    train_labels: Tensor
    test: Split
    test_labels: Tensor
    strength: float

    def accuracy(self, network: Network, sight: NetworkInput) -> float:
        """Return the test accuracy (per cent) of a linear probe on what `network` makes of it."""
        train, test = (
            outputs(network, sight.all_images(part)).features for part in (self.train, self.test)
        )
        return linear_probe(train, self.train_labels, test, self.test_labels, self.strength)


def read_probe_data(
    experiment: Experiment, data: Data, inputs: Sequence[NetworkInput]
) -> list[ProbeData]:
    """Return what the setting `linear_probe` asks for, read and checked before anything trains.

    On the run's own data probes tell the student's labels, for the teacher too; on another data
    set they tell its own. Training parts are class-balanced and the same for every network.

    Args:
        experiment: the settings.
        data: the run's own.
        inputs: what teacher and student see.

    Raises:
        ValueError: a data set that cannot be read, lacks what a view needs, or has images of
            another number of channels.
    """
    asked, found = experiment.linear_probe, []
    for source in asked.sources:
        of, name = data, "linear_probe_accuracy"
        labels: Callable[[Tensor], Tensor] = inputs[1].labels
        if source != SAME:
            of, name = _other(experiment, data, inputs, source), f"{name}_on_{source}"
            labels = torch.clone
        place = order(of.train.labels, generator(experiment.seed, "linear-probe"))
        train = of.train.take(place[: asked.train_size].sort().values)
        answers = [labels(part.labels) for part in (train, of.test)]
        found.append(
            ProbeData(
                name, source, of.fingerprints, train, answers[0], of.test, answers[1],
                asked.strength,
            )
        )  # fmt: skip
    return found


def _other(experiment: Experiment, data: Data, inputs: Sequence[NetworkInput], source: str) -> Data:
    """Return another data set at the size of the run's images, on the same device."""
    settings = DataSettings(
        source=source,
        size=data.shape[1:],
        drop_gray=experiment.data.drop_gray,
        download=experiment.data.download,
    )
    try:
        other = load(settings, experiment.seed)
        if other.shape != data.shape:
            raise SettingsError(
                f"{source} has images of {other.shape[0]} channels, the run of {data.shape[0]}"
            )
        for sight in inputs:
            sight.view.check(other)
    except ValueError as error:
        raise SettingsError(f"linear_probe.sources: {error}") from error
    return other.to(data.train.images.device)


@torch.no_grad()
def linear_probes(
    asked: list[ProbeData], network: Network, sight: NetworkInput
) -> dict[str, float]:
    """Return the accuracy (per cent) of every probe of one network, by the name of the result."""
    return {probing.name: probing.accuracy(network, sight) for probing in asked}
