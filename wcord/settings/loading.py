"""Load experiments from presets and settings files."""

from __future__ import annotations

import os
from pathlib import Path

from wcord.settings.experiment import Experiment, parse
from wcord.settings.messages import SettingsError, near, nearest
from wcord.settings.preset_files import preset_path, presets
from wcord.settings.settings_file import read_settings


def load(source: str | Path) -> Experiment:
    """Return the experiment of a preset, a settings file (YAML) or a run directory.

    A file with `extends: PRESET` holds dotted keys and tables that change this preset.

    Raises:
        SettingsError: an unknown preset or a missing file (the message names the nearest), a file
            that cannot be read, or wrong settings.
    """
    path = Path(source)
    if str(source) in presets():
        path = preset_path(str(source))
    elif _is_file(path / "settings.yaml"):
        path = path / "settings.yaml"
    elif not _is_file(path):
        raise SettingsError(_not_found(str(source)))
    try:
        tree = read_settings(path)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    base = tree.pop("extends", None)
    return parse(tree) if base is None else load(base).replace(tree)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a zero byte
        return False


def _not_found(source: str) -> str:
    """Return what is wrong with a name that is neither a preset nor a file."""
    path = Path(source)
    if os.path.isdir(path):
        return f"the folder {source!r} is no run: settings.yaml is missing"
    if path.suffix not in (".yaml", ".yml") and len(path.parts) < 2:
        return f"unknown preset {source!r}; {nearest(source, presets())}"
    folder = path.parent
    beside = [str(other) for end in ("yaml", "yml") for other in folder.glob(f"*.{end}")]
    beside += [str(other.parent) for other in folder.glob("*/settings.yaml")]
    close = near(source, beside) or near(path.stem, presets())
    return f"there is no file {source!r}" + (f"; did you mean {close!r}?" if close else "")
