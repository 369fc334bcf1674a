"""Start or resume the run of one cell of a sweep, or return the finished run.

A finished run is returned only if its data have not changed since. Otherwise the run is renamed
(`_set_aside`), and gets its old name again if the old data come back.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wcord.runs import Run, checkpoints, data_provenance, is_locked
from wcord.settings.experiment import Experiment
from wcord.training.distillation import distill, resume
from wcord.training.inputs import network_inputs, read_data, read_outputs
from wcord.training.linear_probe import probed_fingerprints, read_probe_data


class CurrentInputs:
    """Digests of the inputs that a run would read now, each computed once per sweep."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}

    def digest(self, experiment: Experiment) -> str:
        """Return the digest of the inputs of a run with these settings.

        Raises:
            ValueError: the inputs cannot be read.
        """
        files = (experiment.teacher.weights, experiment.teacher.outputs)
        key = repr((experiment.data, files, experiment.linear_probe))
        if key not in self._digests:
            self._digests[key] = data_provenance.digest(current_inputs(experiment))
        return self._digests[key]


def run_or_resume(
    experiment: Experiment, folder: Path, progress: bool = True, inputs: CurrentInputs | None = None
) -> Run:
    """Return the finished run in a folder; resume or start it first if it is not finished.

    If the data have changed since the run was made, the run is renamed. If the data cannot be read
    any more, a finished run is returned with a message on stderr.

    Args:
        experiment: its settings.
        folder: its directory.
        progress: whether to show a bar.
        inputs: digests of the inputs, shared by the cells of a sweep.

    Raises:
        ValueError: as in `distill` and `resume`, or a process writes the run to be renamed.
    """
    inputs = inputs or CurrentInputs()
    made_from = _made_from(folder)
    if made_from is not None:
        try:
            current = inputs.digest(experiment)
        except ValueError as error:
            if not (folder / "summary.json").is_file():
                raise
            print(
                f"{folder.name} is finished; its data could not be read: {error}", file=sys.stderr
            )
        else:
            if made_from != current:
                _set_aside(folder, made_from)
                if _aside(folder, current).exists():  # an older run of the current data
                    _aside(folder, current).rename(folder)
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
            f"{folder.name} is being written, from data that have changed since: stop it first"
        )
    aside = _aside(folder, digest)
    folder.rename(aside)
    print(f"{folder.name} was made from other data and is now {aside.name}", file=sys.stderr)


def _aside(folder: Path, digest: str) -> Path:
    """Return the path to which a run made from the inputs with this digest is renamed."""
    return folder.with_name(f"{folder.name}-other-data-{digest[:8]}")


def current_inputs(experiment: Experiment) -> dict[str, str]:
    """Return the inputs that a run with these settings would read (see `data_provenance`)."""
    data = read_data(experiment)
    outputs = read_outputs(experiment, data)
    inputs = network_inputs(experiment, data, outputs)
    probed = probed_fingerprints(read_probe_data(experiment, data, inputs))
    return data_provenance.inputs_of(experiment, data, probed, outputs=outputs)
