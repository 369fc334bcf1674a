"""The presets as files: their names and plain settings, read without torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from wcord.settings.settings_file import read_settings

PRESETS = Path(__file__).parent / "presets"


@cache
def presets() -> tuple[str, ...]:
    """Return the names of the presets; those that need no download come first."""
    names = [path.stem for path in PRESETS.glob("*.yaml")]
    return tuple(sorted(names, key=_preset_order))


def _preset_order(name: str) -> tuple[bool, bool, str]:
    return name != "digits-compression", not name.startswith("digits-"), name


def preset_path(name: str) -> Path:
    """Return the path of a preset's file."""
    return PRESETS / f"{name}.yaml"


def plain_preset(name: str) -> dict[str, Any]:
    """Return the settings that a preset's file sets, not those of the preset that it extends."""
    return read_settings(preset_path(name))
