"""All runs that a page may show: those of the runs folder, those attached, those that ship.

A run is known by its name in the runs folder, by `demo: NAME`, or, where it lies elsewhere, by
its absolute path. Only runs of the folder are ever steered, written to or deleted; what lies
elsewhere is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st
import yaml

from wcord.runs import ACTIVE, Run, find_run, is_locked, run_path, runs_folder
from wcord.runs.storage import read_json, remove_folder

from .named_run import DEMO
from .watch import KNOWN_SCHEMA, Watch

MARKS = ("settings.yaml", "status.json", "metrics.jsonl", "snapshots")  # of a run, even of half
MOST_ATTACHED = 20  # of a session
GONE = "the directory is gone"
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # five times faster where it is


@st.cache_resource(max_entries=32, show_spinner=False)
def _watch(path: str, made: float) -> Watch:
    return Watch(Path(path))


def watch_of(path: Path) -> Watch:
    """Return the one watch of a run, shared by all who look at it.

    A new run of an old name has a newer settings file, and gets a watch of its own.

    Raises:
        ValueError: there is no run, or its settings cannot be read.
    """
    try:
        made = (path / "settings.yaml").stat().st_mtime
    except OSError:
        raise ValueError(f"no run at {path}: settings.yaml is missing") from None
    return _watch(str(path), made)


def demo_runs() -> dict[str, Path]:
    """Return the finished runs that ship with the project, by name."""
    return {f"demo: {path.parent.name}": path.parent for path in DEMO.glob("*/settings.yaml")}


def find(name: str) -> Path:
    """Return the directory of a run by its name, as it stands in an address.

    Raises:
        ValueError: no such run; a name that leads out of the runs folder without being a whole
            path.
    """
    demos = demo_runs()
    if name in demos:
        return demos[name]
    return attachable(name) if os.path.isabs(name) else find_run(name).path


def trouble(name: str) -> str:
    """Return why a run cannot be shown, "" where it can."""
    try:
        watch_of(find(name))
    except ValueError as error:
        return str(error)
    return ""


def name_of(path: Path) -> str:
    """Return the name by which `find` knows a run."""
    if DEMO in path.parents:
        return f"demo: {path.name}"
    return path.name if is_ours(path) else str(path)


def is_ours(path: Path) -> bool:
    """Return whether a run lies in the runs folder, and so may be steered and deleted."""
    return path.parent.resolve() == runs_folder().resolve() and not path.is_symlink()


def attachable(text: str) -> Path:
    """Return the run directory that a typed path names; it may lie anywhere.

    Raises:
        ValueError: there is no run, in one line.
    """
    text = text.strip()
    if not text:
        raise ValueError("type the path of a run directory: the one that holds settings.yaml")
    path = Path(os.path.abspath(os.path.expanduser(text)))
    try:
        return Run(path).path
    except (ValueError, OSError):
        raise ValueError(
            f"no run at {str(path)!r}: settings.yaml is missing; give the run's own directory"
        ) from None


@dataclass(frozen=True)
class Row:
    """One run in the registry.

    state: the phase of `wcord.runs.Status`, or "broken"; share: of its steps, 0 to
    1; left: seconds, where known; born: seconds since 1970; trouble: what is wrong with the
    directory, "" where nothing is.
    """

    name: str
    path: Path
    state: str
    share: float
    left: float | None
    born: float
    title: str
    sentence: str
    notes: str
    trouble: str

    @property
    def resumable(self) -> bool:
        """Whether training can go on from a checkpoint."""
        return is_ours(self.path) and self.state in ("interrupted", "stopped", "failed")

    @property
    def moving(self) -> bool:
        """Whether a process of this machine or another seems to write it."""
        return self.state in ACTIVE


def rows(attached: Iterable[str] = (), search: str = "") -> list[Row]:
    """Return all runs, newest first: the folder's, the attached ones, the demos at the end.

    Args:
        attached: paths of runs elsewhere; of one that has gone there is a row with the reason.
        search: words that name, title, state or notes must all hold, in any case.
    """
    folder = runs_folder()
    here = [path for path in folder.iterdir() if _has_marks(path)] if folder.is_dir() else []
    others = [Path(path) for path in dict.fromkeys(attached)]
    own = sorted((row(path) for path in [*here, *others]), key=lambda r: r.born, reverse=True)
    found = [*own, *(row(path) for path in demo_runs().values())]
    words = search.casefold().split()
    return [r for r in found if all(word in _text(r) for word in words)]


def _text(row: Row) -> str:
    return " ".join((row.name, row.title, row.state, row.notes, row.trouble)).casefold()


def _has_marks(path: Path) -> bool:
    try:
        return not path.name.startswith(".") and any((path / mark).exists() for mark in MARKS)
    except OSError:  # a folder that may not be read
        return False


def row(path: Path) -> Row:
    """Return the row of a run directory, whatever state it is in."""
    settings, trouble = _settings(path)
    name = name_of(path)
    try:
        born = (path / "settings.yaml").stat().st_mtime
    except OSError:
        born = 0.0
    if not trouble and is_ours(path):
        trouble = _named_badly(name)
    if not trouble:
        trouble = _untold(path)
    title = str(settings.get("title") or settings.get("name") or "")
    try:
        run = Run(path)
    except ValueError:  # it was deleted a moment ago, or never was a run
        trouble = trouble or GONE
    if trouble:
        return Row(name, path, "broken", 0.0, None, born, title, trouble, "", trouble)
    status = run.status
    share = min(status["step"] / status["total"], 1.0) if status["total"] else 0.0
    left = status.eta if status.phase == "running" else None
    return Row(name, path, status.phase, share, left, born, title, status.sentence, run.notes, "")


def _named_badly(name: str) -> str:
    try:
        run_path(name)
    except ValueError as error:
        return str(error)
    return ""


def _untold(path: Path) -> str:
    """Say what is wrong with status.json; without one nothing is known of a run."""
    status = read_json(path / "status.json")
    if isinstance(status, dict):
        return ""
    if (path / "status.json").exists():
        return "status.json is damaged: how far the run is cannot be told"
    return "status.json is missing: the directory was copied by half, or is still being copied"


def _settings(path: Path) -> tuple[dict[str, Any], str]:
    """Return the settings of a run as plain data, and what is wrong with them."""
    file = path / "settings.yaml"
    try:
        stat = file.stat()
    except OSError:
        why = "settings.yaml is missing: the directory was copied by half, or is no run"
        return {}, why if path.is_dir() else GONE
    if file.is_dir():
        return {}, "settings.yaml is a folder: the directory is damaged, or is no run"
    return _read(str(file), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2048)
def _read(file: str, changed: int, size: int) -> tuple[dict[str, Any], str]:
    try:
        tree = yaml.load(Path(file).read_text("utf-8"), Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        return {}, f"settings.yaml cannot be read: {' '.join(str(error).split()):.160}"
    if not isinstance(tree, dict) or not isinstance(tree.get("arms"), dict):
        return {}, "settings.yaml names no arms: it is damaged, or of another program"
    version = tree.get("schema_version", KNOWN_SCHEMA)
    if isinstance(version, int) and version > KNOWN_SCHEMA:
        return tree, f"its settings have version {version}, newer than {KNOWN_SCHEMA}: update wcord"
    return tree, ""


def delete(name: str) -> None:
    """Remove a run of the runs folder with everything in it, a broken one as well.

    Raises:
        ValueError: the name leads elsewhere, is a link, is no run, or a process writes it.
    """
    path = run_path(name)
    if path.is_symlink():
        raise ValueError(f"{name} is a link to another place: remove it by hand")
    if not path.is_dir() or not _has_marks(path):
        raise ValueError(f"there is no run {name!r} to delete")
    if is_locked(path) or row(path).state == "starting":
        raise ValueError(f"{name} is being written: stop it first")
    remove_folder(path)


def attached() -> list[str]:
    """Return the runs elsewhere that this session looks at, and keep them in the address.

    They come from the session and from the address (`?at=PATH`, `?run=PATH`), so that a link
    shows them to somebody else, too.
    """
    given = [*st.query_params.get_all("at"), st.query_params.get("run", "")]
    kept = [*st.session_state.get("attached", []), *(path for path in given if os.path.isabs(path))]
    kept = list(dict.fromkeys(kept))[:MOST_ATTACHED]
    st.session_state["attached"] = kept
    if kept != st.query_params.get_all("at"):
        st.query_params["at"] = kept
    return kept


def attach(text: str) -> None:
    """Take a run elsewhere into this session, and choose it.

    Raises:
        ValueError: there is no run, in one line.
    """
    path = attachable(text)
    st.query_params["run"] = name_of(path)
    if not is_ours(path):
        kept = [*st.session_state.get("attached", []), str(path)]
        st.session_state["attached"] = list(dict.fromkeys(kept))[-MOST_ATTACHED:]
