"""Files of teacher outputs: .npz or .safetensors with features and logits by part."""

from __future__ import annotations

import difflib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from wcord.data.dataset import Data
from wcord.data.paths import locate
from wcord.data.raw import part_of
from wcord.data.teacher_outputs import (
    PART_NAMES,
    TeacherOutputs,
    samples_digest,
    teacher_outputs,
)
from wcord.errors import first_line

KINDS = ("features", "logits")
DATA = "data_fingerprint"  # name of the digest of the samples in a file
SUFFIXES = (".npz", ".safetensors")


def read_teacher_outputs(path: str, data: Data) -> TeacherOutputs:
    """Read the outputs of a teacher from a file and align them with a data set.

    The file holds the arrays features and logits, or features_train, features_val,
    features_test, ... (see `teacher_outputs`), and may hold the digest of the samples from which
    they were computed. The format is recognised by the content.

    Args:
        path: in the working directory or in the folder of data sets.
        data: the samples.

    Raises:
        ValueError: a file that cannot be read, holds other arrays or is of other data; one line.
    """
    file = locate(path)
    arrays, made_from = _content(file)
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for key, array in arrays.items():
        kind, _, suffix = key.lower().partition("_")
        if kind not in KINDS or (suffix and part_of(suffix) is None):
            raise ValueError(f"{file} holds an array {key!r}: {_nearest(key)}")
        found[kind][suffix] = array
    for kind, parts in found.items():
        if "" in parts and len(parts) > 1:
            raise ValueError(f"{file} holds {kind} both as one array and by part: keep one of them")
    if made_from is not None and made_from != samples_digest(data):
        raise ValueError(
            f"{file} holds outputs for other data than {data.name}: use the data it was made from, "
            "or write it again with wcord.save_teacher_outputs"
        )
    features, logits = (parts.get("", parts or None) for parts in found.values())
    names = (f"{file.name}: features", f"{file.name}: logits")
    return teacher_outputs(features, logits, data, names)


def check_suffix(path: Path) -> None:
    """Refuse a name of a file whose format is unknown.

    Raises:
        ValueError: the name ends in neither .npz nor .safetensors.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path.name} must end in {' or '.join(SUFFIXES)}")


def file_content(path: Path, arrays: Mapping[str, np.ndarray], data: Data) -> bytes:
    """Return the content of a file of teacher outputs, in the format of its suffix.

    Args:
        path: ends in .npz or .safetensors.
        arrays: by name, such as features_train.
        data: the samples, whose digest is stored.
    """
    check_suffix(path)
    if path.suffix == ".safetensors":
        return save(dict(arrays), {DATA: samples_digest(data)})
    content = io.BytesIO()
    np.savez(content, **arrays, **{DATA: np.array(samples_digest(data))})  # type: ignore[arg-type]
    return content.getvalue()


def _content(file: Path) -> tuple[dict[str, Any], str | None]:
    """Return the arrays of a file and the digest of the samples that they are of, if it has one."""
    if file.is_dir():
        raise ValueError(f"{file} is a folder: name the file in it")
    try:
        with open(file, "rb") as opened:
            start = opened.read(16)
        if start[8:9] == b"{":
            with safe_open(file, "pt") as tensors:
                arrays = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
                return arrays, (tensors.metadata() or {}).get(DATA)
        if not zipfile.is_zipfile(file):
            raise ValueError("it is neither an .npz nor a .safetensors file")
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # a damaged file may raise any error
        reason = first_line(error)
        if "pickle" in reason:
            reason = "it holds Python objects, or is a file of torch.save"
        raise ValueError(f"{file} cannot be read as a file of teacher outputs: {reason}") from error
    made_from = arrays.pop(DATA, None)
    return arrays, None if made_from is None else str(made_from)


def _nearest(key: str) -> str:
    names = [
        f"{kind}{end}" for kind in KINDS for end in ("", *(f"_{p}" for p in PART_NAMES.values()))
    ]
    near = difflib.get_close_matches(key.lower(), names, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
