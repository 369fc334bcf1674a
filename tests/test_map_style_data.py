"""Data sets of any map style, of torch and others; faulty ones are refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tables import X, Y, in_order
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, TensorDataset

from wcord import Indexed
from wcord.data import load_arrays


class Listed(Dataset[Any]):
    """Samples from a list; functions are called at each reading."""

    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: int) -> Any:
        sample = self.samples[place]
        return sample() if callable(sample) else sample


class Unsized(Dataset[Any]):
    def __getitem__(self, place: int) -> Any:
        return X[place], 0


class Streamed(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([(X[0], 0)])

    def __len__(self) -> int:
        return 3


class Broken(Listed):
    def __getitem__(self, place: int) -> Any:
        raise OSError("disk\nbroken")


class Duck:
    """Not of torch, but with samples by position."""

    def __len__(self) -> int:
        return 120

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"pixel_values": X[place], "target": int(Y[place]), "file": "a"}


FORMS: dict[str, Any] = {
    "pairs": Listed([(X[k], Y[k]) for k in range(120)]),
    "tensors": TensorDataset(torch.tensor(X), torch.tensor(Y)),
    "three entries": TensorDataset(torch.tensor(X), torch.tensor(Y), torch.tensor(Y)),
    "tables": Listed([{"image": X[k], "label": Y[k]} for k in range(120)]),
    "inputs": Listed([{"input": torch.tensor(X[k]), "y": torch.tensor(Y[k])} for k in range(120)]),
    "not of torch": Duck(),
    "indexed": Indexed(TensorDataset(torch.tensor(X), torch.tensor(Y))),
    "joined": ConcatDataset(
        [TensorDataset(torch.tensor(X[k::2]), torch.tensor(Y[k::2])) for k in (0, 1)]
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_data_sets_of_any_form_are_read(form: str) -> None:
    data = load_arrays(FORMS[form])
    order = np.argsort(np.arange(120) % 2, kind="stable") if form == "joined" else np.arange(120)
    np.testing.assert_allclose(in_order(data), X[order].astype("f4"))
    assert np.array_equal(in_order(data, "labels"), Y[order])
    unused = {"three entries": "train: entry 3", "not of torch": "train: file"}.get(form)
    assert [name for name, _ in data.contents.passed_over] == ([unused] if unused else [])


FAULTY: dict[str, tuple[Any, str]] = {
    "random": (
        Listed([lambda: (torch.rand(6), 0)] * 30),
        "random transforms, which would be frozen",
    ),
    "random label": (Listed([lambda: (X[0], float(torch.rand(())))] * 30), "readings of sample 0"),
    "no length": (Unsized(), "without a length"),
    "streamed": (Streamed(), "without a length or without samples by position"),
    "empty": (Listed([]), "no samples"),
    "unreadable": (Broken([1, 2]), "sample 0 cannot be read: disk$"),
    "single": (Listed([X[0]] * 9), "every sample must be a pair"),
    "no input": (Listed([{"a": 1, "label": 0}] * 9), "no key for its input"),
    "two labels": (Listed([{"x": 1, "y": 0, "label": 0}] * 9), "2 keys for its label"),
    "other keys": (Listed([{"x": 1, "y": 0}, {"y": 0, "x": 1, "z": 1}] * 9), "different keys"),
    "ragged": (Listed([(X[0, : 2 + k % 2], 0) for k in range(9)]), "different shapes"),
    "None": (Listed([(X[0], None)] * 9), "missing values: write -1"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_faulty_data_sets_are_refused_in_one_line(fault: str) -> None:
    value, message = FAULTY[fault]
    with pytest.raises(ValueError, match=message) as caught:
        load_arrays(value)
    assert "\n" not in str(caught.value)


def test_a_rarely_random_transform_is_found() -> None:
    """Half of the samples are flipped at each reading, as torchvision's flip does."""
    flip = Listed([lambda: (X[0, ::-1] if torch.rand(()) < 0.5 else X[0], 0)] * 200)
    with pytest.raises(ValueError, match="two readings"):
        load_arrays(flip)
