"""Checkpoints: the state of training in safetensors, with a digest that detects damaged files."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from wcord.runs.storage import StorageError, numbered, safetensors_metadata, write_bytes

KEPT = 2  # newest checkpoints that are kept


class CheckpointError(ValueError):
    """A checkpoint that is truncated, was changed, or belongs to another run."""


def write(folder: Path, step: int, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write `<step>.safetensors`, flushed to the disk, and remove all but the newest two.

    Raises:
        wcord.runs.storage.StorageError: it could not be written; older checkpoints are intact.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror}") from error
    tensors = without_shared_memory(tensors)
    header = header | {"step": step}
    header["digest"] = _digest(tensors, header)
    content = save(tensors, {"checkpoint": json.dumps(header)})
    write_bytes(folder / f"{step}.safetensors", content, durable=True)
    for old in steps(folder)[:-KEPT]:
        (folder / f"{old}.safetensors").unlink(missing_ok=True)


def without_shared_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU for safetensors, which refuses tied weights: one memory, two names.

    Only tensors that share memory with an earlier one are copied.
    """
    seen: set[int] = set()
    separate = {}
    for name, value in tensors.items():
        value = value.detach().cpu().contiguous()
        address = value.untyped_storage().data_ptr()
        separate[name] = value.clone() if address in seen else value
        seen.add(address)
    return separate


def steps(folder: Path) -> list[int]:
    """Return the steps that have a checkpoint, ascending."""
    return numbered(folder, ".safetensors")


def header(folder: Path, step: int) -> dict[str, Any]:
    """Return the header of one checkpoint, unchecked; {} where it cannot be read."""
    try:
        with safe_open(folder / f"{step}.safetensors", "numpy") as file:
            content = json.loads(file.metadata()["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return {}
    return content if isinstance(content, dict) else {}


def read(
    folder: Path, step: int, settings: str, inputs: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the header of one checkpoint.

    Args:
        folder: the folder of the checkpoints.
        step: the step of the checkpoint.
        settings: digest of the run's settings, which the header must contain.
        inputs: digest of the run's inputs (see `wcord.runs.data_provenance`), which the header must
            contain; None accepts any.

    Raises:
        CheckpointError: the file is truncated, was changed, or belongs to another run.
    """
    path = folder / f"{step}.safetensors"
    try:
        content = path.read_bytes()
        header = json.loads(safetensors_metadata(content)["checkpoint"])
        tensors = load(content)
        if not isinstance(header, dict):
            raise TypeError("its header is not a table")
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"checkpoint {path.name} is damaged: {reason:.200}") from error
    if header.get("settings") != settings:
        raise CheckpointError(f"checkpoint {path.name} belongs to a run with other settings")
    if inputs is not None and header.get("inputs", inputs) != inputs:  # older headers have none
        raise CheckpointError(f"checkpoint {path.name} was made from other data")
    digest = header.pop("digest", None)
    if header.get("step") != step or digest != _digest(tensors, header):
        raise CheckpointError(f"checkpoint {path.name} does not hold what was written")
    return tensors, header


def newest(
    run: Path, settings: str, inputs: str | None = None
) -> tuple[dict[str, Tensor] | None, dict[str, Any]]:
    """Return the newest usable checkpoint of a run; (None, {}) before the first.

    Args:
        run: the run directory.
        settings, inputs: as in `read`.

    Raises:
        CheckpointError: there are checkpoints, but none of them is usable.
    """
    folder, problems = run / "checkpoints", []
    for step in reversed(steps(folder)):
        try:
            tensors, header = read(folder, step, settings, inputs)
            if header["metrics"] <= _length(run / "metrics.jsonl"):
                return tensors, header
            problems.append(f"checkpoint {step}.safetensors belongs to a longer metrics.jsonl")
        except CheckpointError as error:
            problems.append(str(error))
        print(f"{problems[-1]}; using the one before it", file=sys.stderr)
    if problems:
        raise CheckpointError(f"{'; '.join(problems)}; start a new run")
    return None, {}


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _digest(tensors: dict[str, Tensor], header: dict[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def digest_of(text: str) -> str:
    """Return a short digest of a text, such as settings.yaml."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
