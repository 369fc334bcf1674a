"""Experiments from presets and settings files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from wcord.settings.experiment import Experiment, parse
from wcord.settings.messages import SettingsError, nearest
from wcord.settings.schema import read_settings

PRESETS = Path(__file__).parent / "presets"


@cache
def presets() -> tuple[str, ...]:
    """Return the names of the presets: the one to begin with, then all that need no download."""
    names = [path.stem for path in PRESETS.glob("*.yaml")]
    first = ("digits-compression", "digits-")
    return tuple(sorted(names, key=lambda name: (*(not name.startswith(f) for f in first), name)))


def load(source: str | Path) -> Experiment:
    """Return the experiment of a preset's name or of a settings file (YAML).

    A file may say `extends: PRESET`; its own dotted keys and tables are then changes to it.

    Raises:
        SettingsError: unknown preset (the nearest is named), unreadable file, wrong settings.
    """
    path = Path(source)
    if str(source) in presets():
        path = PRESETS / f"{source}.yaml"
    elif path.is_dir() and (path / "settings.yaml").is_file():
        path = path / "settings.yaml"
    elif not path.is_file():
        raise SettingsError(f"unknown preset {str(source)!r}; {nearest(str(source), presets())}")
    try:
        tree = read_settings(path)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    base = tree.pop("extends", None)
    return parse(tree) if base is None else load(base).replace(tree)
