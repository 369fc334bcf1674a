"""What `prime` reads: loaders and arrays of many kinds, and data sets with an index."""

from __future__ import annotations

import warnings
from collections import UserDict, namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_losses import D_S, D_T, N, Small, equal, inputs, refused
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset

import wcord
from wcord import losses
from wcord.losses.first_pass import Needs, read_features

Named = namedtuple("Named", ("index", "image", "label"))


class ByName(nn.Module):
    """A student whose input has a name."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Small()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


BATCHES: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "named tuple": Named,
    "list": lambda i, x, y: [i, x, y],
    "index as list": lambda i, x, y: (i.tolist(), x, y),
    "index of numpy": lambda i, x, y: (i.numpy(), x, y),
    "index int32": lambda i, x, y: (i.int(), x, y),
    "dictionary": lambda i, x, y: {"index": i.tolist(), "x": x, "label": y},
    "BatchEncoding": lambda i, x, y: UserDict({"index": i, "x": x, "labels": y}),  # its base class
}


def given(form: Callable[[Tensor, Tensor, Tensor], Any], n: int = 7) -> list[Any]:
    x, _, labels = inputs()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    return [form(part, x[part], labels[part]) for part in order.split(n)]


def by_arrays(kind: Any = wcord.CRDLoss) -> losses.FeatureLoss:
    x, teacher, labels = inputs()
    loss = kind(D_T, D_S, N)
    h = wcord.features(Small())(x).detach()
    loss.prime(teacher=teacher, student=h, labels=labels if loss.needs_labels else None)
    return loss


@pytest.mark.parametrize("kind", BATCHES)
def test_batches_of_every_kind_are_read(kind: str) -> None:
    module = ByName() if kind in ("dictionary", "BatchEncoding") else Small()
    loss = wcord.CRDLoss(D_T, D_S, N)
    batches = given(BATCHES[kind])
    loss.prime(batches, teacher=inputs()[1], student=wcord.features(module), progress=False)
    assert equal(loss, by_arrays())


@pytest.mark.parametrize("labels", [["cat"] * 7, {"boxes": [1]}, None, "text"])
def test_labels_that_are_not_needed_are_not_read(labels: Any) -> None:
    loss, student = wcord.GCKTLoss(D_T, D_S, N), wcord.features(Small())
    batches = given(lambda i, x, y: (i, x, labels))
    loss.prime(batches, teacher=inputs()[1], student=student, progress=False)
    assert equal(loss, by_arrays(wcord.GCKTLoss))
    crd = wcord.CRDLoss(D_T, D_S, N)
    crd.prime(batches, teacher=inputs()[1], student=student, labels=inputs()[2], progress=False)
    assert equal(crd, by_arrays())


def test_samples_without_index_keep_their_order() -> None:
    x, _, labels = inputs()
    kept: list[Any] = []
    needs = Needs("loss", {"teacher": 8, "student": D_S}, None, True, torch.float32)
    without_index = list(zip(x.split(9), labels.split(9), strict=True))
    for batches in (given(lambda i, x, y: (i, x, y), 9), without_index):
        sources = {"teacher": lambda batch: batch, "student": Small().first}
        kept.append(read_features(batches, sources, needs, False))
    for found in kept:  # without index: in the order of the loader
        assert torch.equal(found.teacher, x) and torch.equal(found.labels, labels)


def test_arrays_of_every_kind_are_read_without_a_warning() -> None:
    x, teacher, labels = inputs()
    fixed = teacher.numpy().copy()
    fixed.setflags(write=False)
    h = wcord.features(Small())(x).detach()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for array in (teacher.numpy(), fixed, teacher.tolist(), pd.DataFrame(fixed)):
            for classes in (labels.numpy(), labels.tolist(), pd.Series(labels.numpy())):
                loss = wcord.CRDLoss(D_T, D_S, N)
                loss.prime(teacher=array, student=h, labels=classes)
                assert equal(loss, by_arrays())
        loss = wcord.GCKTLoss(D_T, D_S, N)
        loss.prime(teacher=teacher, student=h)
        index = np.arange(12)
        index.setflags(write=False)
        loss(teacher[:12], h[:12].requires_grad_(), pd.Series(index, index=range(50, 62)))


def test_a_method_of_a_module_runs_in_evaluation_mode() -> None:
    class Dropped(Small):
        def forward_features(self, x: Tensor) -> Tensor:
            return self.first(nn.functional.dropout(x, 0.5, self.training)).tanh()

    module = Dropped().train()
    loss = wcord.GCKTLoss(D_T, D_S, N)
    batches = given(lambda i, x, y: (i, x, y))
    loss.prime(batches, teacher=inputs()[1], student=module.forward_features, progress=False)
    assert module.training and equal(loss, by_arrays(wcord.GCKTLoss))


def test_wrong_features_are_found_in_the_first_batch() -> None:
    calls: list[int] = []

    def student(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x[:, : D_S - 1]

    def prime(source: Any, batches: Any) -> Callable[[], None]:
        loss = wcord.GCKTLoss(D_T, D_S, N)
        return lambda: loss.prime(batches, teacher=inputs()[1], student=source, progress=False)

    batches = given(lambda i, x, y: (i, x, y))
    refused(r"\(7, 6\) for this batch, not \(7, 5\): check student_dim", prime(student, batches))
    assert calls == [7]
    uneven = lambda x: x[: len(x) - 1, :D_S]  # noqa: E731
    refused(r"not \(6, 6\)", prime(uneven, batches))
    floats = given(lambda i, x, y: {"index": i + 0.5, "x": x})
    refused("the loader's index must be integers", prime(ByName(), floats))
    x, _, labels = inputs()
    indexed = wcord.Indexed(TensorDataset(x, labels))
    refused("needs a loader and not the data set", prime(Small().first, indexed))
    refused("Indexed", prime(Small().first, DataLoader(Subset(indexed, range(20)), 5)))
    refused("not complex|not Tensor", prime(Small().first(x) * 1j, None))


def test_a_second_prime_that_fails_leaves_the_loss_unprimed() -> None:
    loss, (x, teacher, labels) = by_arrays(), inputs()
    h = wcord.features(Small())(x).detach()
    one_class = lambda: loss.prime(teacher=teacher, student=h, labels=labels * 0)  # noqa: E731
    refused("two classes", one_class)
    assert not loss.primed
    loss.prime(teacher=teacher, student=h, labels=labels)
    assert equal(loss, by_arrays())


# -- data sets with an index -----------------------------------------------------------------------


def test_a_part_of_a_data_set_has_an_index_in_every_batch() -> None:
    """Subset has a method that gives the samples of a whole batch at once."""
    x, _, labels = inputs()
    part = Subset(TensorDataset(x, labels), range(5, 25))
    found = list(DataLoader(wcord.Indexed(part), 8, shuffle=True))
    assert sorted(int(i) for batch in found for i in batch[0]) == list(range(20))
    for index, images, classes in found:
        assert torch.equal(images, x[index + 5]) and torch.equal(classes, labels[index + 5])
    both = ConcatDataset([part, part])
    assert wcord.Indexed(both)[39][0] == 39 and len(wcord.Indexed(both)) == 40


def test_an_index_is_counted_from_the_start_and_is_an_integer() -> None:
    data = wcord.Indexed([("a", 0), ("b", 1), ("c", 2)])
    assert data[-1] == (2, "c", 2)
    for index in (np.int64(1), torch.tensor(1)):
        assert data[index] == (1, "b", 1) and type(data[index][0]) is int
    with pytest.raises(TypeError, match="slice"):
        data[0:2]
    assert [sample[0] for sample in data] == [0, 1, 2]


def test_a_stream_with_a_length_has_no_index() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            yield from range(3)

        def __len__(self) -> int:
            return 3

    refused("have an index already", lambda: wcord.Indexed(wcord.Indexed([1, 2])))
    refused("samples of a stream have no number", lambda: wcord.Indexed(Stream()))


def test_labels_that_are_needed_and_missing_are_reported() -> None:
    crd = wcord.CRDLoss(D_T, D_S, N)
    batches = given(lambda i, x, y: (i, x))
    source = Small().first
    action = lambda: crd.prime(batches, teacher=inputs()[1], student=source, progress=False)  # noqa: E731
    refused("third entry of the loader's batches", action)
