"""Train in a detached process, which continues when the page or notebook is closed."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time

from wcord.runs import Run, is_locked
from wcord.runs.paths import new_run_path
from wcord.runs.storage import write_json
from wcord.runs.writer import create
from wcord.settings.experiment import Experiment
from wcord.settings.loading import load
from wcord.settings.plugins import require_importable, search_path


def launch(experiment: Experiment | str, run_dir: str | os.PathLike[str] | None = None) -> Run:
    """Start a detached process that trains, and return its run at once.

    The directory and its settings exist before the process starts, so that a page has
    something to show while torch is imported. The output of the process goes to log.txt.

    Args:
        experiment: settings, or the name of a preset.
        run_dir: as in `wcord.distill`.

    Raises:
        ValueError: settings that cannot be run, a term of your own that another process could
            not import (see the setting `plugins`), or a directory that exists.
    """
    experiment = load(experiment) if isinstance(experiment, str) else experiment
    require_importable(experiment.arms, experiment.plugins)
    run = create(new_run_path(experiment.name, run_dir), experiment.yaml())
    return relaunch(run)


def relaunch(run: Run) -> Run:
    """Start a detached process that continues a run (see `wcord.resume`); return at once.

    Raises:
        ValueError: settings that cannot be read, a plugin that cannot be imported, or a process
            trains the run already.
    """
    plugins = run.settings.plugins  # refuses settings that the new process could not read
    if is_locked(run.path) or run.status.active:
        raise ValueError(f"{run.name} is being trained already")
    run.clear_requests()
    _write_starting(run, os.getpid())
    try:
        with open(run.path / "log.txt", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "wcord", "resume", str(run.path.resolve()), "--quiet"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | search_path(plugins),
            )
    except OSError:
        _write_starting(run, None)  # no process trains it, so it can be started again
        raise
    if run.status.pid == os.getpid():  # else the new process has written its own status already
        _write_starting(run, process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie
    return run


def _write_starting(run: Run, pid: int | None) -> None:
    """Write the status of a run whose process `pid` is starting; None where it did not start."""
    status = dataclasses.replace(
        run.status,
        state="starting",
        pid=pid,
        error=None,
        host=socket.gethostname(),
        heartbeat=time.time(),
    )
    write_json(run.path / "status.json", status.entries())
