"""The ways in: distill here and now, launch a process that does, resume what was begun."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wcord import checkpoint, parallel
from wcord.arm import Arm
from wcord.devices import choose_device, chosen_threads
from wcord.evaluation import accuracy, outputs
from wcord.experiment import Experiment, SettingsError, load
from wcord.preparation import Own, Prepared, build_student, prepare
from wcord.runs import Run, is_locked, runs_folder
from wcord.storage import StorageError, write_json
from wcord.teacher import Interrupted
from wcord.training import Training
from wcord.transfer import linear_probes
from wcord.writer import Listener, RunWriter, create


def distill(
    experiment: Experiment | str,
    run_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    *,
    teacher: nn.Module | None = None,
    student: nn.Module | None = None,
    data: Any = None,
    classifier: str | Mapping[str, str] | None = None,
) -> Run:
    """Train every arm of an experiment and return the run, once it has ended.

    What each network is fed is a setting, `teacher.normalise` and `student.normalise`: pictures
    in [0, 1] become (x - mean) / std, by default with the mean and deviation of the training
    pictures ("measured"). A teacher that was trained otherwise wants its own: "none" for
    [0, 1], or {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]} for instance.

    Args:
        experiment: settings, or the name of a preset.
        run_dir: a new directory; without one, a name with the time inside `WCORD_RUNS`.
        progress: whether to show a bar with the time left.
        teacher: a trained classifier of your own instead of the settings'. A copy is used; it is
            measured before anything trains, with a warning where it is near chance or where
            another normalisation serves it better.
        student: a classifier of your own; every arm starts from a copy of it.
        data: arrays, a pair (images, labels) or a torch Dataset of your own instead of
            `data.source` (see `wcord.data.from_arrays`).
        classifier: name of the final layer of your modules, such as "fc", where it is not found
            by itself; {"teacher": "fc", "student": "head"} where they differ.

    Raises:
        ValueError: settings or data that cannot be run, before anything trains; the run
            directory is then removed again.
        wcord.storage.StorageError: the run could not be written; the last checkpoint stays.
    """
    experiment = load(experiment) if isinstance(experiment, str) else experiment
    own = Own(teacher, student, data)
    if teacher is not None and experiment.teacher.weights is not None:
        raise SettingsError("teacher.weights is set, but a teacher is given as well: use one")
    experiment = experiment.replace(_classifiers(classifier, own))
    with parallel.joined():
        path = parallel.said_by_first(
            lambda: str(create(_directory(experiment, run_dir), experiment.yaml()).path)
        )
        run = Run(path)
        try:
            return _carry_out(run, experiment, progress, own)
        except Exception:
            if parallel.rank() == 0 and run.metrics().empty:  # nothing was trained or measured
                shutil.rmtree(path, ignore_errors=True)
            raise


def _classifiers(asked: str | Mapping[str, str] | None, own: Own) -> dict[str, str]:
    """Return the settings that name the final layers of a caller's modules."""
    sides = [side for side in own.given if side != "data"]
    if asked is None:
        return {}
    if isinstance(asked, str):
        asked = dict.fromkeys(sides, asked)
    if not isinstance(asked, Mapping) or not asked or set(asked) - set(sides):
        raise SettingsError(
            "classifier names the final layer of a module that you give as teacher= or student=, "
            f"such as 'fc' or {{'teacher': 'fc'}}; given are {', '.join(sides) or 'no modules'}"
        )
    return {f"{side}.classifier": name for side, name in asked.items()}


def launch(experiment: Experiment | str, run_dir: str | os.PathLike[str] | None = None) -> Run:
    """Start a detached process that trains, and return its run at once.

    The directory and its settings exist before the process starts, so that a page has
    something to show while torch is imported. What the process prints goes to log.txt.

    Args:
        experiment: settings, or the name of a preset.
        run_dir: as in `distill`.

    Raises:
        ValueError: settings that cannot be run, or a directory that exists.
    """
    experiment = load(experiment) if isinstance(experiment, str) else experiment
    run = create(_directory(experiment, run_dir), experiment.yaml())
    return relaunch(run)


def relaunch(run: Run) -> Run:
    """Start a detached process that goes on with a run (see `resume`), and return at once."""
    _begin_freely(run)
    _say_starting(run, os.getpid())
    with open(run.path / "log.txt", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "wcord", "resume", str(run.path.resolve()), "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if run.status["pid"] == os.getpid():  # the child may have said something already
        _say_starting(run, process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie
    return run


def _begin_freely(run: Run) -> None:
    """Take back a pause or a stop that an earlier process was told."""
    write_json(run.path / "control.json", run.control | {"stop": False, "pause_at": None})


def _say_starting(run: Run, pid: int) -> None:
    status = {key: value for key, value in run.status.items() if key != "alive"}
    status |= {"state": "starting", "pid": pid, "error": None}
    status |= {"host": socket.gethostname(), "heartbeat": time.time()}
    write_json(run.path / "status.json", status)


def resume(run_dir: str | os.PathLike[str], progress: bool = True) -> Run:
    """Go on with a run from its newest checkpoint, to the numbers of one never interrupted.

    Bit for bit on a CPU with the same number of threads.

    Args:
        run_dir: the run's directory, or its name in `WCORD_RUNS`.
        progress: whether to show a bar.

    Raises:
        ValueError: no run there, a living process writes it, it was begun with modules or
            arrays of the caller's own or with other data than there are now, or no checkpoint
            is whole.
    """
    with parallel.joined():
        run = Run(run_dir)
        if parallel.agree(run.status["state"] == "finished" and run.summary is not None):
            return run
        # what is told a run that is starting is for the process that starts it: this one
        launched = run.status["state"] == "starting" and run.status["pid"] in (
            os.getpid(),
            os.getppid(),
        )
        with parallel.first_alone():
            if not launched and parallel.rank() == 0 and not is_locked(run.path):
                _begin_freely(run)
        return _carry_out(run, run.settings, progress, Own())


def load_student(run: Run, arm: str) -> nn.Module:
    """Return the student of an arm as the newest checkpoint has it (`Run.student`)."""
    if arm not in run.arms:
        raise ValueError(f"no arm {arm!r} in {run.name}; it has {', '.join(run.arms)}")
    folder = run.path / "checkpoints"
    known = checkpoint.steps(folder)
    if not known:
        raise ValueError(f"{run.name} has no checkpoint yet: wait for one, or stop the run")
    text = (run.path / "settings.yaml").read_text("utf-8")
    tensors, header = checkpoint.read(folder, known[-1], checkpoint.digest_of(text))
    if header["built"].get("own"):
        raise ValueError("this student was a module of your own: it is in the Run of `distill`")
    network = build_student(run.settings, header["built"])
    prefix = f"{arm}/student."
    network.load_state_dict(
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    )
    return network.module.eval()


def _directory(experiment: Experiment, run_dir: str | os.PathLike[str] | None) -> Path:
    if run_dir is not None:
        return Path(run_dir)
    stem = f"{experiment.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, copy = runs_folder() / stem, 1
    while path.exists():
        copy += 1
        path = runs_folder() / f"{stem}-{copy}"
    return path


def _carry_out(run: Run, experiment: Experiment, progress: bool, own: Own) -> Run:
    """Train a run that has its directory, from its newest checkpoint or from the start."""
    with parallel.first_alone():
        writer: RunWriter = Listener(run) if parallel.rank() else RunWriter(run)
    try:
        writer.say(now=True)
        device = choose_device(experiment.device)
        with chosen_threads(experiment), _float32_with_gradients(), _ending_gently(writer):
            prepared = prepare(experiment, writer, device, own, progress and not parallel.rank())
            training = Training(prepared, writer, progress and not parallel.rank())
            training.run()
            run.students = {arm.name: arm.student.eval().module for arm in prepared.arms}
            if parallel.rank() == 0:
                _conclude(training)
    except (Interrupted, parallel.Ended):
        writer.say(now=True, state="stopped")
    except BaseException as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        with suppress(StorageError):
            writer.say(now=True, state="failed", error=line)
        raise
    finally:
        writer.close()
    return run


def _conclude(training: Training) -> None:
    """Write the summary of a run that reached its last step, and say how it ended."""
    prepared, writer = training.prepared, training.writer
    if training.step < training.task.total:
        writer.say(now=True, **training.place() | {"eta": None}, state="stopped")
        return
    write_json(writer.path / "summary.json", summary(prepared))
    frozen = [arm.frozen for arm in prepared.arms if arm.frozen]
    writer.say(
        now=True,
        **training.place() | {"eta": None},
        state="failed" if frozen else "finished",
        error="; ".join(frozen) or None,
    )


def summary(prepared: Prepared) -> dict[str, Any]:
    """Return the results: every arm at the last step, and the conditions."""
    data, experiment = prepared.task.data, prepared.experiment
    return {
        "experiment": experiment.name,
        "seed": experiment.seed,
        "epochs": experiment.epochs,
        "steps": prepared.task.total,
        "teacher": _teacher_result(prepared),
        "arms": {arm.name: _result(prepared, arm) for arm in prepared.arms},
        "samples": {
            "train": len(data.train),
            "labelled": int(data.labelled.sum()),
            "choices": len(data.choices),
            "test": len(data.test),
        },
        "seconds": round(prepared.seconds, 2),
        "device": str(prepared.test_labels.device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def _teacher_result(prepared: Prepared) -> dict[str, float]:
    task = prepared.task
    values = {k.removeprefix("teacher_"): v for k, v in prepared.teacher_values.items()}
    return values | linear_probes(prepared.probings, task.teacher, task.teacher_sight)


def _result(prepared: Prepared, arm: Arm) -> dict[str, Any]:
    probe = prepared.probe
    kept = outputs(arm.student, probe.student_images[probe.choices])
    return {
        "test_accuracy": prepared.test_accuracy(arm),
        "held_out_accuracy": accuracy(kept.logits, probe.labels[probe.choices]),
        "parameters": sum(p.numel() for p in arm.student.parameters()),
        "frozen": arm.frozen,
        **linear_probes(prepared.probings, arm.student, prepared.task.student_sight),
    }


@contextmanager
def _float32_with_gradients() -> Iterator[None]:
    """Compute in float32 and with gradients, whatever the caller set for other purposes."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _ending_gently(writer: RunWriter) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the run after the step under way, with a checkpoint."""

    def end(*_: Any) -> None:
        writer.ending = True  # touches no file: a signal may fall into any write

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
