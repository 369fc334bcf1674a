"""The paths of runs: the runs folder, the path of a run by its name, a path for a new run."""

from __future__ import annotations

import difflib
import os
import time
from pathlib import Path

from wcord.settings.settings_file import check_run_name


def runs_folder() -> Path:
    """Return the folder of all runs: `WCORD_RUNS`, else `runs` in the working directory."""
    return Path(os.environ.get("WCORD_RUNS", "runs")).expanduser()


def run_path(name: str, folder: Path | None = None) -> Path:
    """Return the path of the run of this name inside the runs folder; the run need not exist.

    Raises:
        ValueError: the name could lead outside of the folder.
    """
    return (folder or runs_folder()) / check_run_name(name)


def new_run_path(name: str, run_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of a new run: `run_dir`, else NAME-DATE-TIME inside the runs folder."""
    if run_dir is not None:
        return Path(run_dir)
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, copy = runs_folder() / stem, 1
    while path.exists():
        copy += 1
        path = runs_folder() / f"{stem}-{copy}"
    return path


def existing_run_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of an existing run, given as a path or by its name in the runs folder.

    Raises:
        ValueError: there is no run there.
    """
    path = Path(path)
    if is_run(path):
        return path
    inside = runs_folder() / path
    if len(path.parts) == 1 and is_run(inside):
        return inside
    text = str(path)
    line = f"no run at {text if text.isprintable() else repr(text)}: settings.yaml is missing"
    if len(path.parts) == 1:
        names = [
            run.parent.name for run in runs_folder().glob("*/settings.yaml") if is_run(run.parent)
        ]
        close = difflib.get_close_matches(text, names, 1)
        line += f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(line)


def is_run(path: Path) -> bool:
    """Return whether a directory is a run, that is, contains settings.yaml."""
    try:
        return (path / "settings.yaml").is_file()
    except OSError:  # the name is too long, or the folder cannot be read
        return False
