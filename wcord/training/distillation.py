"""Train in this process: start a run, or resume a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

from wcord.compute import ranks
from wcord.errors import first_line
from wcord.runs import Run, checkpoints, is_locked
from wcord.runs.paths import new_run_path
from wcord.runs.storage import StorageError, write_json
from wcord.runs.writer import FileWriter, RunWriter, SilentWriter, create, discard, missing_folders
from wcord.settings.experiment import Experiment
from wcord.settings.loading import load
from wcord.settings.messages import SettingsError
from wcord.training.callbacks import Callbacks
from wcord.training.devices import choose_device, chosen_threads
from wcord.training.loop import Training
from wcord.training.prepare import Overrides, prepare
from wcord.training.results import summary
from wcord.training.signals import handled_signals
from wcord.training.teacher import Interrupted


def distill(
    experiment: Experiment | str,
    run_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    *,
    teacher: nn.Module | None = None,
    student: nn.Module | None = None,
    data: Any = None,
    classifier: str | Mapping[str, str] | None = None,
    callbacks: Iterable[Any] = (),
    teacher_features: Any = None,
    teacher_logits: Any = None,
) -> Run:
    """Train every arm of an experiment and return the run when it has ended.

    Images x in [0, 1] become (x - mean) / std. The settings `teacher.normalise` and
    `student.normalise` choose mean and std: by default those of the training images ("measured").
    A teacher from elsewhere needs the normalisation of its training: "none" if that was [0, 1], or
    for instance {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}.

    Args:
        experiment: settings, or the name of a preset.
        run_dir: a new directory; by default NAME-DATE-TIME inside `WCORD_RUNS`.
        progress: whether to show a bar with the time left.
        teacher: a trained classifier of your own, used (as a copy) in place of `teacher.model`.
            Its accuracy is measured first; a warning is given if it is near chance, or higher
            with another normalisation.
        student: a classifier of your own; every arm starts from a copy of it.
        data: arrays, a pair (images, labels) or a torch Dataset of your own instead of
            `data.source` (see `wcord.data.from_arrays`).
        classifier: name of the final layer of your modules, such as "fc", where it is not found
            automatically; {"teacher": "fc", "student": "head"} where the names differ.
        callbacks: objects with methods of `wcord.Callback`, called between steps: trackers
            (`wcord.tracking`) or your own. They change no result. An error in one ends the run with
            a checkpoint, in the state "failed", and is raised.
        teacher_features: features of a teacher that ran elsewhere, in place of the teacher: (n, D),
            one row for each sample in the order of the data, or a dictionary of such arrays by
            part, {"train": ..., "val": ..., "test": ...}.
        teacher_logits: logits of that teacher, (n, K) or by part in the same way. Features or
            logits alone are enough for terms that do not need the other.

    Ctrl-C and SIGTERM end the training after the current step, with a checkpoint; a second signal
    ends it at once. During the preparation, which includes the teacher's training, they end it at
    once, as KeyboardInterrupt and SystemExit.

    Raises:
        ValueError: settings or data that cannot be run. It is raised before any training, and the
            run directory is removed, as after any error or signal before the first step.
        wcord.runs.storage.StorageError: the run could not be written; the last checkpoint stays.
    """
    experiment = load(experiment) if isinstance(experiment, str) else experiment
    hooks = Callbacks(callbacks)
    overrides = Overrides(teacher, student, data, teacher_features, teacher_logits)
    if teacher is not None:
        _check_one_teacher(experiment, overrides)
    experiment = experiment.replace(_classifiers(classifier, overrides))
    with ranks.process_group():
        new_path = new_run_path(experiment.name, run_dir)
        made = missing_folders(new_path)
        path = ranks.broadcast_text(lambda: str(create(new_path, experiment.yaml()).path))
        run = Run(path)
        try:
            return _carry_out(run, experiment, progress, overrides, hooks)
        except BaseException:
            if ranks.rank() == 0 and _nothing_trained(run):
                discard(run.path, made)
            raise


def _nothing_trained(run: Run) -> bool:
    """Return whether a run has neither a value nor a step nor a checkpoint."""
    saved = checkpoints.steps(run.path / "checkpoints")
    return not saved and run.status.step == 0 and run.metrics().empty


def _check_one_teacher(experiment: Experiment, overrides: Overrides) -> None:
    """Refuse a teacher of the caller where its outputs or another teacher are given as well."""
    for name in ("weights", "outputs"):
        if getattr(experiment.teacher, name) is not None:
            raise SettingsError(f"teacher.{name} is set, but a teacher is given as well: use one")
    for name in ("teacher_features", "teacher_logits"):
        if getattr(overrides, name) is not None:
            raise SettingsError(f"{name} takes the place of teacher=: give one of them")


def _classifiers(names: str | Mapping[str, str] | None, overrides: Overrides) -> dict[str, str]:
    """Return the settings that name the final layers of a caller's modules."""
    sides = [side for side in overrides.names if side in ("teacher", "student")]
    if names is None:
        return {}
    if isinstance(names, str):
        names = dict.fromkeys(sides, names)
    if not isinstance(names, Mapping) or not names or set(names) - set(sides):
        raise SettingsError(
            "classifier names the final layer of a module that you give as teacher= or student=, "
            f"such as 'fc' or {{'teacher': 'fc'}}; given are {', '.join(sides) or 'no modules'}"
        )
    return {f"{side}.classifier": name for side, name in names.items()}


def resume(
    run_dir: str | os.PathLike[str], progress: bool = True, *, callbacks: Iterable[Any] = ()
) -> Run:
    """Continue a run from its newest checkpoint.

    The results are those of a run without interruption, to the bit on a CPU with the same number
    of threads.

    Args:
        run_dir: the run's directory, or its name in `WCORD_RUNS`.
        progress: whether to show a bar.
        callbacks: as in `distill`; those of the first process are not stored.

    Raises:
        ValueError: there is no run; another process writes it; it was started with modules or
            arrays of the caller, or with other data than now; or every checkpoint is damaged.
    """
    hooks = Callbacks(callbacks)
    with ranks.process_group():
        run = Run(run_dir)
        status = run.status
        if ranks.broadcast_bool(status.state == "finished" and run.summary is not None):
            return run
        # a pause or stop requested since `launch` is meant for this process; an older one is not
        launched = status.state == "starting" and status.pid in (os.getpid(), os.getppid())
        with ranks.first_rank_first():
            if not launched and ranks.rank() == 0 and not is_locked(run.path):
                run.clear_requests()
        return _carry_out(run, run.settings, progress, Overrides(), hooks)


def _carry_out(
    run: Run, experiment: Experiment, progress: bool, overrides: Overrides, callbacks: Callbacks
) -> Run:
    """Train the run of an existing directory, from its newest checkpoint or from the start."""
    with ranks.first_rank_first():
        writer: RunWriter = SilentWriter(run) if ranks.rank() else FileWriter(run)
    try:
        writer.write_status(now=True)
        device = choose_device(experiment.device)
        with (
            chosen_threads(experiment),
            _float32_with_gradients(),
            handled_signals(writer) as signals,
        ):
            prepared = prepare(experiment, writer, device, overrides, progress and not ranks.rank())
            training = Training(prepared, writer, progress and not ranks.rank(), callbacks)
            with ranks.first_rank_first():
                callbacks.start(run)
            signals.wait_for_step = True
            training.run()
            run.ended_by_signal = signals.received
            if overrides.student is not None:
                run.keep_students({arm.name: arm.student for arm in prepared.arms})
            with ranks.first_rank_first():  # on the other ranks too, the files are then complete
                callbacks.raise_error()
                if ranks.rank() == 0:
                    _write_end(training)
                callbacks.end(run.summary)
                callbacks.raise_error()
    except (Interrupted, ranks.FirstRankEnded):
        writer.write_status(now=True, state="stopped")
    except (KeyboardInterrupt, SystemExit):
        with suppress(StorageError):
            writer.write_status(now=True, state="stopped")
        callbacks.end(None)
        raise
    except BaseException as error:
        line = callbacks.line if error is callbacks.error else first_line(error)
        with suppress(StorageError):
            writer.write_status(now=True, state="failed", error=line)
        callbacks.end(None)
        raise
    finally:
        writer.close()
    return run


def _write_end(training: Training) -> None:
    """Write the final state of a run, and its summary if it reached the last step."""
    prepared, writer = training.prepared, training.writer
    if training.step < training.task.total:
        writer.write_status(now=True, **training.position() | {"eta": None}, state="stopped")
        return
    write_json(writer.path / "summary.json", summary(prepared))
    frozen = [arm.frozen for arm in prepared.arms if arm.frozen]
    writer.write_status(
        now=True,
        **training.position() | {"eta": None},
        state="failed" if frozen else "finished",
        error="; ".join(frozen) or None,
    )


@contextmanager
def _float32_with_gradients() -> Iterator[None]:
    """Compute in float32 and with gradients, whatever defaults the caller has set."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(before)
