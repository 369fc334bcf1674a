"""Files that appear whole or not at all, and the one place where a run's files are written."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")  # as a file is named by a step


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
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(sentence(error, path)) from error


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a move survives a power cut (where folders can be)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network mounts refuse it
            os.fsync(handle)
    finally:
        os.close(handle)


def remove_temporary_files(run: Path) -> None:
    """Remove what a killed writer left half-written; only the holder of the lock may.

    Others write control.json too, so what is left of that goes when it is a minute old.
    """
    for pattern in ("checkpoints/.*", "snapshots/.*", ".status*", ".summary*", ".teacher*"):
        for path in run.glob(f"{pattern}.tmp"):
            with suppress(OSError):
                path.unlink()
    for path in run.glob(".control*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > 60:
                path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write JSON with NaN and infinities as null, whole or not at all."""
    write_bytes(path, json.dumps(plain(value), indent=1).encode())


def read_json(path: Path, missing: Any = None) -> Any:
    """Return what a JSON file holds, or `missing` where it is absent or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return missing


def numbered(folder: Path, suffix: str) -> list[int]:
    """Return the numbers that name files of a folder, as in 17.safetensors, ascending.

    Other spellings of a number (007, ٣) are no names of ours and are passed over.
    """
    try:
        names = os.listdir(folder)  # pages ask often, and a glob takes thrice as long
    except OSError:
        return []
    stems = [name[: -len(suffix)] for name in names if name.endswith(suffix)]
    return sorted(int(stem) for stem in stems if NUMBER.fullmatch(stem))


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


def append(file: Any, content: bytes) -> None:
    """Append to an unbuffered file, all or nothing as far as the disk lets us.

    Raises:
        OSError: it could not be written; what was written of it is cut off again.
    """
    before, rest = os.fstat(file.fileno()).st_size, memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        with suppress(OSError):
            file.truncate(before)
        raise


def sentence(error: OSError, path: Path) -> str:
    """Say in one line why a file was not written, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {path.name} was not written; free some space, then resume"
    if error.errno == errno.ENOENT:
        return f"cannot write {path}: its folder is gone"
    return f"cannot write {path}: {error.strerror or error}"
