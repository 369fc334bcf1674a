"""Linear probes: the accuracy of a linear classifier on the frozen features of a network.

A probe is fitted on the run's own data or on another data set. Its images have the view and the
normalisation of the network's training, and the network does not change.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wcord.compute.seeds import generator
from wcord.data import Data, DataSettings, Split, load, order
from wcord.data.teacher_outputs import TeacherOutputs
from wcord.models import Network
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError
from wcord.settings.sections import SAME
from wcord.training.evaluation import teacher_output
from wcord.training.inputs import NetworkInput


def linear_probe(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, strength: float = 1.0
) -> float:
    """Return the test accuracy (per cent) of multinomial logistic regression on frozen features.

    Features are standardised with the mean and deviation of the training part. The classifier is
    scikit-learn's `LogisticRegression` with inverse regularisation `strength`.

    Args:
        train, test: features (n, d).
        train_labels, test_labels: (n,) int64.
        strength: C of scikit-learn; smaller values regularise more.
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


@dataclass(frozen=True)
class ProbeData:
    """A data set of a linear probe: training and test samples with the labels to predict.

    `name` is the name of the result; `source` and `fingerprints` are those of the data set (see
    `wcord.runs.data_provenance`); `strength` is that of `linear_probe`.
    """

    name: str
    source: str
    fingerprints: dict[str, str]
    train: Split
    train_labels: Tensor
    test: Split
    test_labels: Tensor
    strength: float

    def accuracy(self, network: Network | TeacherOutputs, network_input: NetworkInput) -> float:
        """Return the test accuracy (per cent) of a linear probe on the features of a network."""
        train, test = (
            teacher_output(network, network_input, part).features
            for part in (self.train, self.test)
        )
        return linear_probe(train, self.train_labels, test, self.test_labels, self.strength)


def read_probe_data(
    experiment: Experiment, data: Data, inputs: Sequence[NetworkInput]
) -> list[ProbeData]:
    """Return the data sets of the setting `linear_probe`, read and checked before any training.

    On the run's own data probes predict the student's labels, for the teacher too; on another data
    set, the labels of that data set. Training parts are class-balanced and the same for every
    network.

    Args:
        experiment: the settings.
        data: the run's own.
        inputs: of teacher and student.

    Raises:
        ValueError: a data set that cannot be read, lacks something that a view needs, or has
            images with another number of channels.
    """
    settings, probes = experiment.linear_probe, []
    for source in settings.sources:
        if source == SAME:
            data_set, name = data, "linear_probe_accuracy"
            labels: Callable[[Tensor], Tensor] = inputs[1].labels
        else:
            data_set = _read(experiment, data, inputs, source)
            name, labels = f"linear_probe_accuracy_on_{source}", torch.clone
        if data_set.targets != "classes":
            raise SettingsError(
                f"linear_probe predicts classes, but {data_set.name} has {data_set.targets} "
                "labels: leave linear_probe out"
            )
        labelled = data_set.train.labelled.nonzero()[:, 0].cpu()
        classes = data_set.train.labels.cpu()[labelled]
        index = labelled[order(classes, generator(experiment.seed, "linear-probe"))]
        train, test = data_set.train.take(index[: settings.train_size].sort().values), data_set.test
        probes.append(
            ProbeData(
                name, source, data_set.fingerprints, train, labels(train.labels), test,
                labels(test.labels), settings.strength,
            )
        )  # fmt: skip
    return probes


def _read(experiment: Experiment, data: Data, inputs: Sequence[NetworkInput], source: str) -> Data:
    """Return another data set at the size of the run's images, on the same device."""
    settings = DataSettings(
        source=source,
        kind="auto" if data.pictures else "arrays",
        size=data.shape[1:] if data.pictures else None,
        drop_gray=experiment.data.drop_gray,
        download=experiment.data.download,
    )
    try:
        other = load(settings, experiment.seed)
        if other.shape != data.shape:
            raise SettingsError(
                f"{source} has images of {other.shape[0]} channels, the run of {data.shape[0]}"
                if data.pictures
                else f"{source} has arrays of {other.shape}, the run of {data.shape}"
            )
        for network_input in inputs:
            network_input.view.check(other)
    except ValueError as error:
        raise SettingsError(f"linear_probe.sources: {error}") from error
    return other.to(data.train.images.device)


@torch.no_grad()
def linear_probes(
    probes: Sequence[ProbeData], network: Network | TeacherOutputs, network_input: NetworkInput
) -> dict[str, float]:
    """Return the accuracy (per cent) of every probe of a network, by the name of the result.

    Outputs in place of a teacher are of the run's own data, so that other probes are left out.
    """
    if isinstance(network, TeacherOutputs):
        own = network.features is not None
        probes = [probe for probe in probes if own and probe.source == SAME]
    return {probe.name: probe.accuracy(network, network_input) for probe in probes}


def probed_fingerprints(probe_data: Sequence[ProbeData]) -> dict[str, dict[str, str]]:
    """Return the fingerprints of the data sets of linear probes, without the run's own data."""
    return {probe.source: probe.fingerprints for probe in probe_data if probe.source != SAME}
