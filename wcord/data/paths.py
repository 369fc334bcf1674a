"""The folder of data sets, and paths in it."""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """Return the folder of data sets: $WCORD_DATA, else ~/.cache/wcord/data."""
    return Path(os.environ.get("WCORD_DATA") or "~/.cache/wcord/data").expanduser()


def locate(path: str) -> Path:
    """Return the path if it exists, else the same path inside the folder of data sets.

    Raises:
        ValueError: neither exists.
    """
    expanded = Path(path).expanduser()
    for candidate in (expanded, data_root() / expanded):
        if candidate.exists():
            return candidate
    also = "" if expanded.is_absolute() else f" (nor in {data_root()}, $WCORD_DATA)"
    raise ValueError(f"there is no file or folder {expanded}{also}: check the path")
