"""Load experiments from presets and settings files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from wcord.settings.experiment import Experiment, parse
from wcord.settings.messages import SettingsError, nearest
from wcord.settings.settings_file import read_settings

PRESETS = Path(__file__).parent / "presets"


@cache
def presets() -> tuple[str, ...]:
    """Return the names of the presets; those that need no download come first."""
    names = [path.stem for path in PRESETS.glob("*.yaml")]
    return tuple(sorted(names, key=_preset_order))


def _preset_order(name: str) -> tuple[bool, bool, str]:
    return name != "digits-compression", not name.startswith("digits-"), name


def load(source: str | Path) -> Experiment:
    """Return the experiment of a preset, a settings file (YAML) or a run directory.

    A file with `extends: PRESET` holds dotted keys and tables that change this preset.

    Raises:
        SettingsError: an unknown preset (the message names the nearest), a file that cannot be
            read, or wrong settings.
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
