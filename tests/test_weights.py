"""Weight files of other programs: loaded whole, or refused by a line that names the fault."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from wcord.models import Network, build
from wcord.models.weights import KEYS, PREFIXES, load_weights

State = dict[str, Any]


def network(seed: int = 0) -> Network:
    return Network(build("resnet8", 1, (8, 8), 5, seed))


def weights(seed: int = 1) -> State:
    state = build("resnet8", 1, (8, 8), 5, seed).state_dict()
    return {key: value + torch.ones_like(value) for key, value in state.items()}


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def same(module: nn.Module, state: State) -> bool:
    now = module.state_dict()
    return now.keys() == state.keys() and all(torch.equal(now[key], state[key]) for key in state)


class Traced(nn.Module):
    """A user's class, as whole modules are pickled with it."""


# --- files that are loaded ----------------------------------------------------------------------


def test_every_format_and_suffix(tmp_path: Path) -> None:
    state = weights()
    writers: dict[str, Callable[[Any, Path], Any]] = {
        "safetensors": save_file,
        "zip": torch.save,
        "old": lambda s, path: torch.save(s, path, _use_new_zipfile_serialization=False),
    }
    for kind, write in writers.items():
        for suffix in (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ""):
            path = tmp_path / f"{kind}{suffix}"
            write(state, path)
            loaded = network()
            load_weights(loaded, path)
            assert same(loaded, state), path.name
    plain = build("resnet8", 1, (8, 8), 5, 3)
    load_weights(plain, path)
    assert same(plain, state)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    keys=st.lists(st.sampled_from(KEYS), max_size=2),
    prefixes=st.lists(st.sampled_from(PREFIXES), max_size=3),
    counters=st.booleans(),
    half=st.booleans(),
)
def test_any_nesting_and_prefix(
    tmp_path_factory: Any, keys: list[str], prefixes: list[str], counters: bool, half: bool
) -> None:
    """{"model": {"module.conv1.weight": …}, "epoch": 240}, as RepDistiller saves, and the like."""
    state = weights()
    if half:
        state = {k: v.half().to(v.dtype) for k, v in state.items()}
    saved = {k: v.half() if half and v.is_floating_point() else v for k, v in state.items()}
    if not counters:  # files older than the counters of batches
        saved = {k: v for k, v in saved.items() if not k.endswith("num_batches_tracked")}
    content: Any = prefixed("".join(prefixes), saved)
    for key in keys:
        content = {"epoch": 240, "best": torch.tensor(0.7), "lr": {"model": 0.1}, key: content}
    path = tmp_path_factory.mktemp("weights") / "teacher.pth"
    torch.save(content, path)
    got = network()
    before = {k: v.clone() for k, v in got.state_dict().items()}
    load_weights(got, path)
    if not counters:
        state |= {k: v for k, v in before.items() if k.endswith("num_batches_tracked")}
    assert same(got, state)


def test_a_prefix_that_belongs_to_the_network_stays(tmp_path: Path) -> None:
    inner = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    outer = nn.ModuleDict({"module": inner})
    state = {key: value + 1 for key, value in outer.state_dict().items()}
    for prefix in ("", "module.", "_orig_mod.module."):
        torch.save(prefixed(prefix, state), tmp_path / "a.pth")
        outer.load_state_dict({key: value * 0 for key, value in state.items()})
        load_weights(outer, tmp_path / "a.pth")
        assert same(outer, state)


# --- files that are refused ---------------------------------------------------------------------


def without(*parts: str) -> State:
    return {k: v for k, v in weights().items() if not any(part in k for part in parts)}


def with_value(key: str, value: float) -> State:
    state = weights()
    state[key].flatten()[0] = value
    return state


LAST = "classifier.weight"
REFUSED: dict[str, tuple[Any, str]] = {
    "missing": (without("classifier"), "missing keys: classifier.weight, classifier.bias$"),
    "many": (without("stages"), r"missing keys: stages\S+, stages\S+, stages\S+ and \d+ more$"),
    "more": (weights() | {"aux.weight": torch.ones(1)}, "unexpected keys: aux.weight$"),
    "other names": (
        {"conv1.weight": torch.ones(16, 1, 3, 3), "fc.weight": torch.ones(5, 64)},
        r"missing keys: .* more; unexpected keys: conv1.weight, fc.weight$",
    ),
    "shape": (
        weights() | {LAST: torch.ones(10, 64)},
        r"classifier.weight is \(10, 64\) in the file and \(5, 64\) in the network$",
    ),
    "nan": (with_value(LAST, torch.nan), "holds NaN in classifier.weight"),
    "inf": (with_value(LAST, torch.inf), "holds infinity in classifier.weight"),
    "nan statistics": ({"model": with_value("stem.1.running_var", torch.nan)}, "NaN in stem.1.run"),
    "no weights": ({"epoch": 3, "best": 0.5}, "no state dict.*: it has epoch, best"),
    "list": ([torch.ones(3)], "no state dict.*: it has list"),
    "empty dict": ({}, "no state dict.*: it has dict"),
    "arguments": ({"model": weights(), "args": argparse.Namespace(lr=1)}, "argparse.Namespace"),
    "module": (Traced(), r"holds \S*Traced beside tensors.*state_dict\(\), path\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_do_not_fit_are_named_and_change_nothing(case: str, tmp_path: Path) -> None:
    content, reason = REFUSED[case]
    path, got = tmp_path / "w.pth", network()
    before = {k: v.clone() for k, v in got.state_dict().items()}
    torch.save(content, path)
    with pytest.raises(ValueError, match=reason) as caught:
        load_weights(got, path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    assert same(got, before)


def test_no_code_of_a_pickle_runs(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    for write in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
        write({"model": weights(), "hook": Evil()}, tmp_path / "w.pth")
        with pytest.raises(ValueError, match="could run code"):
            load_weights(network(), tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "whole.pth")
    torch.save(weights(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(weights(), tmp_path / "whole.safetensors")
    halves = [
        (content[: len(content) // 2], "damaged or cut off")
        for content in map(Path.read_bytes, sorted(tmp_path.iterdir()))
    ]
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    cases = [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "run git lfs pull"),
        (b"\n <!DOCTYPE html><html>", "is a web page"),
        (b"PK", "is no weight file"),
        (b"\x89HDF\r\n\x1a\n", "is no weight file"),
        (b'{"weight_map": {}}', "is no weight file"),
        ((tmp_path / "arrays.npz").read_bytes(), "holds arrays of numpy and no weights"),
        *halves,
    ]
    for content, reason in cases:
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(ValueError, match=reason) as caught:
            load_weights(network(), tmp_path / "w.pth")
        assert "\n" not in str(caught.value)
    for path, reason in (
        (tmp_path / "none.pth", "cannot be read: No such file"),
        (tmp_path, "is a folder: name the weight file in it"),
    ):
        with pytest.raises(ValueError, match=reason):
            load_weights(network(), path)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_is_refused_by_name(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "w.pt")
    with pytest.raises(ValueError, match="holds TorchScript beside tensors"):
        load_weights(network(), tmp_path / "w.pt")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(place=st.floats(0, 1), byte=st.integers(0, 255), kind=st.sampled_from(["zip", "safe"]))
def test_a_damaged_byte_is_one_line_or_other_weights(
    tmp_path_factory: Any, place: float, byte: int, kind: str
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "w.pth"
    (torch.save if kind == "zip" else save_file)(weights(), path)
    content = bytearray(path.read_bytes())
    content[min(int(place * len(content)), len(content) - 1)] = byte
    path.write_bytes(content)
    try:
        load_weights(network(), path)
    except ValueError as error:
        assert "\n" not in str(error) and str(error).startswith(str(path))
