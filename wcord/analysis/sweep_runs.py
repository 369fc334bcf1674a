"""The run of one cell of a sweep: begun, resumed, or returned as it is.

A finished run only counts if it was made from the data that there are now. A run made from other
data is renamed (`_set_aside`), and is found again if its data come back.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wcord.runs import Run, checkpoints, data_provenance, is_locked
from wcord.settings.experiment import Experiment
from wcord.training.distillation import distill, resume
from wcord.training.inputs import network_inputs, read_data
from wcord.training.linear_probe import probed_fingerprints, read_probe_data


class CurrentInputs:
    """The inputs that runs would read now; each is read once for all cells of a sweep."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}

    def digest(self, experiment: Experiment) -> str:
        """Return the digest of the inputs of a run with these settings.

        Raises:
            ValueError: they cannot be read.
        """
        key = repr((experiment.data, experiment.teacher.weights, experiment.linear_probe))
        if key not in self._digests:
            self._digests[key] = data_provenance.digest(current_inputs(experiment))
        return self._digests[key]


def run_or_resume(
    experiment: Experiment, folder: Path, progress: bool = True, inputs: CurrentInputs | None = None
) -> Run:
    """Return the finished run in a folder; without one, resume or begin it first.

    A run that was made from other data than there are now is set aside under another name. If the
    data cannot be read any more, a finished run is returned with a message on stderr.

    Args:
        experiment: its settings.
        folder: its directory.
        progress: whether to show a bar.
        inputs: shared by the cells of a sweep.

    Raises:
        ValueError: as in `distill` and `resume`, or a process writes the run to be set aside.
    """
    inputs = inputs or CurrentInputs()
    made_from = _made_from(folder)
    if made_from is not None:
        try:
            now = inputs.digest(experiment)
        except ValueError as error:
            if not (folder / "summary.json").is_file():
                raise
            print(
                f"{folder.name} is finished; its data could not be read: {error}", file=sys.stderr
            )
        else:
            if made_from != now:
                _set_aside(folder, made_from)
                if _aside(folder, now).exists():  # made from the data that have come back
                    _aside(folder, now).rename(folder)
    if not (folder / "settings.yaml").is_file():
        return distill(experiment, folder, progress=progress)
    run = Run(folder)
    return resume(folder, progress=progress) if run.summary is None else run


def _made_from(folder: Path) -> str | None:
    """Return the digest of a run's inputs, from data.json or else from its newest checkpoint."""
    inputs = data_provenance.read_inputs(folder)
    if inputs is not None:
        return data_provenance.digest(inputs)
    steps = checkpoints.steps(folder / "checkpoints")
    return checkpoints.header(folder / "checkpoints", steps[-1]).get("inputs") if steps else None


def _set_aside(folder: Path, digest: str) -> None:
    """Rename the run of a cell that was made from the inputs with this digest."""
    if is_locked(folder):
        raise ValueError(
            f"{folder.name} is being written, from other data than there are now: stop it first"
        )
    aside = _aside(folder, digest)
    folder.rename(aside)
    print(f"{folder.name} was made from other data and is now {aside.name}", file=sys.stderr)


def _aside(folder: Path, digest: str) -> Path:
    """Return the path of a run of this cell that was made from the inputs with this digest."""
    return folder.with_name(f"{folder.name}-other-data-{digest[:8]}")


def current_inputs(experiment: Experiment) -> dict[str, str]:
    """Return what a run of these settings would read now (see `wcord.runs.data_provenance`)."""
    data = read_data(experiment)
    probe_data = read_probe_data(experiment, data, network_inputs(experiment, data))
    return data_provenance.inputs_of(experiment, data, probed_fingerprints(probe_data))
