"""What a run reads: its samples, and what each network is given of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wcord.data import Data, load, load_arrays
from wcord.runs import provenance
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError
from wcord.settings.sections import SAME
from wcord.training.linear_probe import ProbeData, read_probe_data
from wcord.training.network_input import NetworkInput


def read_data(experiment: Experiment, arrays: Any = None) -> Data:
    """Return the divided samples of the settings, or of a caller's own arrays.

    Raises:
        SettingsError: a batch would not fit into the training part.
    """
    labels = experiment.student.labels
    if arrays is None:
        data = load(experiment.data, experiment.seed, labels)
    else:
        data = load_arrays(arrays, experiment.data, experiment.seed, labels)
    if len(data.train) < experiment.batch:
        raise SettingsError(
            f"batch is {experiment.batch}, but there are {len(data.train)} training samples"
        )
    return data


def network_inputs(experiment: Experiment, data: Data) -> tuple[NetworkInput, NetworkInput]:
    """Return what the teacher and what the student is given of a sample.

    Raises:
        SettingsError: a view, label set or normalisation that does not fit; names the side.
    """
    inputs = []
    for side, settings in (("teacher", experiment.teacher), ("student", experiment.student)):
        try:
            inputs.append(NetworkInput(settings, data, experiment.seed))
        except ValueError as error:
            raise SettingsError(f"{side}: {error}") from error
    return inputs[0], inputs[1]


def probed_fingerprints(probe_data: Sequence[ProbeData]) -> Mapping[str, Mapping[str, str]]:
    """Return the fingerprints of the data sets of linear probes that are not the run's own."""
    return {probe.source: probe.fingerprints for probe in probe_data if probe.source != SAME}


def current_inputs(experiment: Experiment) -> dict[str, str]:
    """Return what a run of these settings would read now (see `wcord.runs.provenance`)."""
    data = read_data(experiment)
    probe_data = read_probe_data(experiment, data, network_inputs(experiment, data))
    return provenance.inputs_of(experiment, data, probed_fingerprints(probe_data))
