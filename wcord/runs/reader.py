"""Read a run directory, while a process writes it or later.

torch is only imported when settings are validated or a trained student is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wcord.runs.paths import existing_run_path
from wcord.runs.read_metrics import read_metrics
from wcord.runs.read_status import Status, read_status
from wcord.runs.records import CONTROL, read_record
from wcord.runs.snapshot import Snapshot
from wcord.runs.storage import numbered, read_json
from wcord.settings.settings_file import read_settings

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from wcord.settings.experiment import Experiment


class RunReader:
    """Reads a run directory.

    Args:
        path: the directory, or the name of a run in the runs folder.

    Raises:
        ValueError: there is no run there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = existing_run_path(path)
        self._own_students: dict[str, nn.Module] = {}
        self.ended_by_signal: int | None = None  # set by `distill`: 2 for Ctrl-C, 15 for SIGTERM

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {self.status.sentence})"

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.path.name

    @property
    def status(self) -> Status:
        """The progress of the run, and whether a process writes it."""
        return read_status(self.path)

    @property
    def control(self) -> dict[str, Any]:
        """The requests to the process that trains, by name.

        - "pause_at": the step before which it pauses, or None.
        - "stop": whether it ends after the current step.
        - "delay": the shortest time of a step, in seconds.
        """
        return read_record(self.path / "control.json", CONTROL)

    @property
    def settings(self) -> Experiment:
        """The complete settings of the run, enough to repeat it."""
        from wcord.settings.loading import load

        return load(self.path / "settings.yaml")

    @property
    def plain_settings(self) -> dict[str, Any]:
        """The settings as plain data, not validated, so that torch is not imported."""
        return read_settings(self.path / "settings.yaml")

    @property
    def arms(self) -> list[str]:
        """The names of the arms, in the order of the settings."""
        arms = self.plain_settings.get("arms")
        if not isinstance(arms, dict):
            raise ValueError(f"{self.name}: settings.yaml names no arms")
        return [str(arm) for arm in arms]

    @property
    def summary(self) -> dict[str, Any] | None:
        """The results; None until the run has finished."""
        content = read_json(self.path / "summary.json")
        return content if isinstance(content, dict) else None

    @property
    def data(self) -> dict[str, Any] | None:
        """The contents of the data and the other inputs of the run; None in older runs.

        - "name": of the data set.
        - "parts": number of samples of each part.
        - "classes": a list of {name, train, held_out, test}, with the samples of each part.
        - "labels": names of the classes that "teacher" and "student" predict.
        - "passed_over": a list of {file, why}, at most a thousand files that were not read.
        - "passed_over_count": number of all files that were not read.
        - "remarks": a list of {about, remark} on samples that were read.
        - "inputs": the digest, or the number of samples, of each input by its name.
        - "fingerprint": the digest of all inputs; `wcord.resume` refuses other inputs.
        - "own": which of teacher, student, data, teacher_features and teacher_logits were objects
          of the caller.
        - "shape": of arrays that are not pictures.
        - "targets": "regression" or "multilabel"; then classes are groups of samples.
        - "unlabelled": number of training samples without a label.

        The last three exist only where they apply.
        """
        content = read_json(self.path / "data.json")
        return content if isinstance(content, dict) else None

    def metrics(self) -> pd.DataFrame:
        """Return all values written so far: step, epoch, arm ("" for the run's own), name, value.

        Raises:
            ValueError: metrics.jsonl is damaged; the message names the first damaged line.
        """
        return read_metrics(self.path / "metrics.jsonl", self.name)

    @property
    def steps(self) -> list[int]:
        """The steps that have a snapshot, ascending."""
        return numbered(self.path / "snapshots", ".safetensors")

    def snapshot(self, step: int | None = None) -> Snapshot:
        """Return the snapshot of a step, by default the newest.

        Raises:
            ValueError: there is none, or it is damaged.
        """
        steps = self.steps
        if step is None and steps:
            step = steps[-1]
        if step is None or step not in steps:
            known = f"there are {len(steps)}, {steps[0]} to {steps[-1]}" if steps else "none yet"
            raise ValueError(f"no snapshot of step {step} in {self.name}: {known}")
        return Snapshot.read(self.path / "snapshots" / f"{step}.safetensors")

    def student(self, arm: str, module: nn.Module | None = None) -> nn.Module:
        """Return the trained student of an arm, from the newest checkpoint: images to logits.

        Each call returns a new module, which is the same wherever the run was trained: plain,
        without hooks, in evaluation mode, on the CPU, in float32. Its images must have the
        student's view and be normalised, (x - mean) / std, with the mean and std of the setting
        `student.normalise`; files of `export` take images in [0, 1]. For features use
        `wcord.models.Network(module)`.

        Args:
            arm: its name.
            module: needed if the student was a module of your own and this Run is not the one that
                `wcord.distill` returned: the weights are loaded into a copy of it.

        Raises:
            ValueError: no such arm, no checkpoint yet, a damaged checkpoint, or a module that is
                missing or does not fit.
        """
        from wcord.runs.trained_students import load_student

        return load_student(self.path, arm, self._architecture(arm, module)).module

    def export(
        self,
        arm: str,
        file: str | os.PathLike[str],
        overwrite: bool = False,
        *,
        module: nn.Module | None = None,
    ) -> Path:
        """Write the trained student of an arm into a file that is used without wcord.

        The student has its normalisation inside: float32 images (n, C, H, W) in [0, 1] of the
        student's view to logits (n, classes). The file also holds a card with the classes, the
        input, the settings and the results; the command `wcord card FILE` prints it.

        Args:
            arm: its name.
            file: ends with .pt2 (torch.export), .onnx or .safetensors (weights, mean and std).
            overwrite: whether a file may be replaced.
            module: as in `student`.

        Returns:
            The path of the file.

        Raises:
            ValueError: as in `student`; the file exists or cannot be written there; another
                suffix; a package is missing; or a module that torch.export cannot trace.
            wcord.runs.storage.StorageError: the file could not be written.
        """
        from wcord.runs.export import export_student

        return export_student(self.path, arm, file, overwrite, self._architecture(arm, module))

    def keep_students(self, trained: Mapping[str, nn.Module]) -> None:
        """Keep copies of trained modules of the caller, by arm; no file can hold their code."""
        from wcord.models.network import plain_module

        self._own_students = {arm: plain_module(module) for arm, module in trained.items()}

    def _architecture(self, arm: str, module: nn.Module | None) -> nn.Module | None:
        return self._own_students.get(arm) if module is None else module

    @property
    def notes(self) -> str:
        """The notes that people wrote about the run (notes.txt); "" without any."""
        try:
            return (self.path / "notes.txt").read_text("utf-8", errors="replace")
        except OSError:
            return ""
