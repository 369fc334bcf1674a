"""Load weights from files of other programs: .safetensors, .pth, .pt, .ckpt, .bin."""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch
from safetensors.torch import load
from torch import Tensor, nn

from wcord.errors import first_line
from wcord.models.network import unwrapped

# keys of a checkpoint that may hold the state dict
KEYS = ("state_dict", "model_state_dict", "model", "net", "weights", "teacher", "student")
# put before every name by data parallel, torch.compile and training frameworks
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # first bytes of files of torch.save, new and old format


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a file's weights into a network, all of them or none.

    The state dict is the whole file or its entry under one of `KEYS`; prefixes such as
    `module.` are removed if more names fit without them. Files of torch.save are read with
    weights_only=True, so no code in them runs. `num_batches_tracked` may be missing.

    Args:
        network: keeps its device and precision.
        path: the format is recognised by the content, not by the suffix.

    Raises:
        ValueError: the file cannot be read, its weights do not fit (the keys are named), or they
            hold NaN or infinity.
    """
    module = unwrapped(network)
    expected = module.state_dict()
    counters = {key: n for key, n in expected.items() if key.endswith("num_batches_tracked")}
    state = counters | _without_prefix(_read(path), expected.keys())
    if faults := mismatches(state, expected):
        raise ValueError(f"{path} does not fit {type(module).__name__}: {'; '.join(faults)}")
    if fault := not_finite(state, dict(module.named_parameters())):
        raise ValueError(f"{path} holds {fault}: use the weights of an earlier epoch")
    try:
        module.load_state_dict(state)
    except Exception as error:  # a module may have its own way to load
        raise ValueError(
            f"{path} does not fit {type(module).__name__}: {first_line(error)}"
        ) from error


def fingerprint(path: Path) -> str:
    """Return a digest (hexadecimal) of the weights in a file, the same for every format.

    Raises:
        ValueError: the file cannot be read, or holds no state dict.
    """
    digest = hashlib.blake2b(digest_size=12)
    for name, value in sorted(_read(path).items()):
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(f"{name} {value!r}".encode())
    return digest.hexdigest()


def not_finite(tensors: Mapping[str, Tensor], parameters: Collection[str]) -> str | None:
    """Return "NaN in NAME" or "infinity in NAME" for the first such tensor, else None.

    Infinity is a fault in parameters only: buffers such as masks may hold it.
    """
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        if value.isnan().any():
            return f"NaN in {name}"
        if name in parameters and value.isinf().any():
            return f"infinity in {name}"
    return None


def _read(path: Path) -> dict[str, Any]:
    """Return the state dict in a file."""
    content = _content(path)
    state = _state(content)
    if state is None:
        names = _listed(map(str, content)) if isinstance(content, Mapping) else ""
        raise ValueError(
            f"{path} holds no state dict, by itself or under {', '.join(KEYS)}: it has "
            f"{names or type(content).__name__}"
        )
    return state


def _content(path: Path) -> Any:
    """Return the content of a file; its first bytes give the format."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the weight file in it")
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not start:
        raise ValueError(f"{path} is empty")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a pointer of git-lfs and holds no weights: run git lfs pull")
    if start.lstrip().startswith(b"<"):
        raise ValueError(f"{path} is a web page and holds no weights: download the file itself")
    if start[8:9] == b"{":
        return _unpacked(path, lambda file: load(file.read()))
    if _is_npz(path):
        raise ValueError(f"{path} holds arrays of numpy and no weights: use a file of torch.save")
    if start.startswith((ZIP, PICKLE)):
        return _unpacked(path, lambda file: torch.load(file, "cpu", weights_only=True))
    raise ValueError(f"{path} is no weight file: use one of safetensors or of torch.save")


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except Exception:  # no archive, or a damaged one
        return False


def _unpacked(path: Path, unpack: Callable[[BinaryIO], Any]) -> Any:
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickles and TorchScript
            return unpack(file)
    except Exception as error:  # a damaged file may raise any error
        text = str(error)
        if isinstance(error, UnpicklingError) or "TorchScript" in text:
            name = re.search(r"GLOBAL (\S+)", text)
            program = "TorchScript" if "TorchScript" in text else "something"
            raise ValueError(
                f"{path} holds {name[1] if name else program} beside tensors, which is not loaded "
                "because it could run code: save the tensors only, by "
                "torch.save(module.state_dict(), path)"
            ) from error
        raise ValueError(f"{path} is damaged or cut off: {first_line(error)}") from error


def _state(content: Any) -> dict[str, Any] | None:
    """Return the state dict in the content of a file, None where there is none."""
    if not isinstance(content, Mapping):
        return None
    for key in KEYS:
        if inner := _state(content.get(key)):
            return inner
    if any(isinstance(value, Tensor) for value in content.values()):
        return {str(key): value for key, value in content.items()}
    return None


def _without_prefix(state: dict[str, Any], expected: Collection[str]) -> dict[str, Any]:
    """Return the state after removing the common prefixes, if more names then fit."""
    candidates = [state]
    while shared := [p for p in PREFIXES if all(key.startswith(p) for key in candidates[-1])]:
        last = candidates[-1]
        candidates.append({key.removeprefix(shared[0]): value for key, value in last.items()})
    return max(candidates, key=lambda candidate: len(candidate.keys() & set(expected)))


def mismatches(state: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the kinds of mismatch between two state dicts, each with the keys."""
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    other = [
        f"{key} is {tuple(state[key].shape)} in the file and {tuple(value.shape)} in the network"
        for key, value in expected.items()
        if isinstance(value, Tensor)
        and isinstance(state.get(key), Tensor)
        and state[key].shape != value.shape
    ]
    kinds = {"missing keys": missing, "unexpected keys": unexpected, "other shapes": other}
    return [f"{kind}: {_listed(names)}" for kind, names in kinds.items() if names]


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
