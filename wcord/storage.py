"""Files that appear whole or not at all, and the one place where a run's files are written."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np


class StorageError(RuntimeError):
    """Writing failed (disk full, folder gone, no permission): what was there before stays."""


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file under a temporary name, then move it into place.

    Args:
        path: where the file shall be; its folder exists.
        content: all of it.
        durable: flush to the disk first, for what must survive a power cut (checkpoints).

    Raises:
        StorageError: it could not be written; a file that stood there is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(_sentence(error, path)) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON with NaN and infinities as null, whole or not at all."""
    write_bytes(path, json.dumps(plain(value), indent=1).encode())


def read_json(path: Path, missing: Any = None) -> Any:
    """Return what a JSON file holds, or `missing` where it is absent or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return missing


def plain(value: Any) -> Any:
    """Return a value of nothing but JSON's types: numbers that are not finite become None."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (np.floating, np.integer)):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _sentence(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {path.name} was not written; free some space, then resume"
    return f"cannot write {path}: {error.strerror or error}"
