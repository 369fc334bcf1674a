"""A run by whatever names it: the run itself, its path, its name in the runs folder, the demo's."""

from __future__ import annotations

import os
from pathlib import Path

from wcord.runs import Run, RunReader

from .. import demo

DEMO = Path(demo.__file__).parent


def run_of(run: RunReader | str | os.PathLike[str]) -> Run:
    """Return a run.

    Args:
        run: a run, its directory, its name in the runs folder, or the name of a run that ships
            with the lab ("digits-compression", "demo: digits-compression").

    Raises:
        ValueError: there is no such run, or `run` is something else.
    """
    if not isinstance(run, (RunReader, str, os.PathLike)):
        raise ValueError(f"give a run, its directory or its name, not {run!r}")
    if isinstance(run, Run):
        return run
    if isinstance(run, RunReader):
        return Run(run.path)
    try:
        return Run(run)
    except ValueError:
        demo = DEMO / os.fspath(run).removeprefix("demo: ")
        if demo.parent == DEMO and (demo / "settings.yaml").is_file():
            return Run(demo)
        raise
