"""Write each file of a run completely or not at all; read JSON; list numbered files."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")  # a step in the name of a file


class StorageError(RuntimeError):
    """Writing failed: disk full, folder missing, no permission. Earlier files are intact."""


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file under a temporary name, then move it into place.

    Args:
        path: the file; its folder exists.
        content: the whole content.
        durable: flush to the disk first, for files that must survive a power cut (checkpoints).

    Raises:
        StorageError: it could not be written; an older file at this path is intact.
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
        raise StorageError(write_failure(error, path)) from error


def _sync_folder(folder: Path) -> None:
    """Flush the entries of a folder, so that a move survives a power cut (POSIX only)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network mounts refuse it
            os.fsync(handle)
    finally:
        os.close(handle)


def remove_temporary_files(run: Path) -> None:
    """Remove the temporary files of a killed writer. Only the holder of the lock may call this.

    Other processes write control.json, so its temporary files are removed after a minute.
    """
    for pattern in ("checkpoints/.*", "snapshots/.*", ".status*", ".summary*", ".teacher*"):
        for path in run.glob(f"{pattern}.tmp"):
            with suppress(OSError):
                path.unlink()
    for path in run.glob(".control*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > 60:
                path.unlink()


def remove_folder(path: Path) -> None:
    """Remove a folder at once: it is moved aside first, so that no reader finds half of it.

    A process that writes into it meanwhile (the worker of maps) fails to, and cannot keep it alive.

    Raises:
        StorageError: it could not be moved; it is intact.
    """
    aside = path.with_name(f".deleted-{uuid.uuid4().hex[:8]}")
    try:
        aside.mkdir()
        os.replace(path, aside / path.name)  # one level down: no search for runs finds it there
    except OSError as error:
        with suppress(OSError):
            aside.rmdir()
        raise StorageError(f"{path} cannot be removed: {error.strerror or error}") from error
    for _ in range(5):  # a file that is created in it while it is removed
        shutil.rmtree(aside, ignore_errors=True)
        if not aside.exists():
            return
        time.sleep(0.1)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, with null for NaN and infinities.

    Raises:
        StorageError: as in `write_bytes`.
    """
    write_bytes(path, json.dumps(plain(value), indent=1).encode())


def read_json(path: Path, missing: Any = None) -> Any:
    """Return the content of a JSON file, or `missing` where it is absent or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return missing


def safetensors_metadata(content: bytes) -> dict[str, str]:
    """Return the metadata at the beginning of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def numbered(folder: Path, suffix: str) -> list[int]:
    """Return the numbers in the names of files, such as 17.safetensors, ascending.

    Names with another spelling of a number (007, ٣) are left out.
    """
    try:
        names = os.listdir(folder)  # takes a third of the time of a glob; pages call this often
    except OSError:
        return []
    stems = [name[: -len(suffix)] for name in names if name.endswith(suffix)]
    return sorted(int(stem) for stem in stems if NUMBER.fullmatch(stem))


def plain(value: Any) -> Any:
    """Return a value with JSON's types only; numbers that are not finite become None."""
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
    """Append to an unbuffered file, all bytes or none.

    Raises:
        OSError: not all bytes could be written; those that were written are removed if possible.
    """
    before, rest = os.fstat(file.fileno()).st_size, memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        with suppress(OSError):
            file.truncate(before)
        raise


def write_failure(error: OSError, path: Path) -> str:
    """Return one line with the reason why a file was not written, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {path.name} was not written; free some space, then resume"
    if error.errno == errno.ENOENT:
        return f"cannot write {path}: its folder is gone"
    return f"cannot write {path}: {error.strerror or error}"
