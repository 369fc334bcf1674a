"""Where data sets lie."""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """Return the folder of data sets: $WCORD_DATA, else ~/.cache/wcord/data."""
    return Path(os.environ.get("WCORD_DATA") or "~/.cache/wcord/data").expanduser()


def locate(path: str) -> Path:
    """Return a user's path: as given, else inside the data folder.

    Raises:
        ValueError: it is in neither place.
    """
    given = Path(path).expanduser()
    for candidate in (given, data_root() / given):
        if candidate.exists():
            return candidate
    places = f"{given}" if given.is_absolute() else f"{given} (nor in {data_root()}, $WCORD_DATA)"
    raise ValueError(f"there is no file or folder {places}: check the path")
