"""Copies, states and moves of losses, and losses on other default devices and types."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from test_losses import D_S, D_T, N, Small, equal, inputs, primed, refused, train
from test_losses_in_torch import EPOCH, call, new
from torch import nn
from torch.optim.swa_utils import AveragedModel

import wcord
from wcord import losses
from wcord.losses.optimizer_check import PATIENCE


def saved(loss: losses.FeatureLoss) -> losses.FeatureLoss:
    file = io.BytesIO()
    torch.save(loss, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES: dict[str, Callable[[losses.FeatureLoss], losses.FeatureLoss]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda loss: pickle.loads(pickle.dumps(loss)),
    "torch.save": saved,
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_in_the_middle_of_a_step_goes_on_and_has_its_own_check(kind: str) -> None:
    student = Small()
    loss = new(student)
    train(loss, student, 3)
    call(loss, student, EPOCH[3])
    other, again = COPIES[kind](loss), copy.deepcopy(student)
    forgotten = COPIES[kind](loss)
    for one, network in ((loss, student), (other, again)):
        train(one, network, 0, indices=iter(EPOCH[4:]))
    assert equal(loss, other) and equal(student, again)
    holds_the_original = torch.optim.SGD([*again.parameters(), *loss.parameters()], 0.01)
    with pytest.raises(losses.LossError, match="in 20 optimizer steps none has changed"):
        train(forgotten, again, PATIENCE + 5, holds_the_original)


def test_an_averaged_copy_is_not_trained() -> None:
    student = Small()
    loss = new(student)
    average = AveragedModel(loss, use_buffers=True)
    train(loss, student, 4)
    average.update_parameters(loss)
    assert average.module.steps == 0 and average.module.primed
    assert call(average.module.eval(), student, EPOCH[0]).isfinite()


def test_a_state_of_another_size_changes_nothing() -> None:
    loss, before = wcord.WCoRDLoss(D_T, D_S, N + 1), wcord.WCoRDLoss(D_T, D_S, N + 1)
    state = new(Small()).state_dict()
    refused(r"is \(60,\) in the state, and \(61,\) here", lambda: loss.load_state_dict(state))
    assert not loss.primed and equal(loss, before)
    crd, other = (primed(wcord.CRDLoss(D_T, D_S, N, dim=dim), Small()) for dim in (4, 5))
    before, state = copy.deepcopy(crd), other.state_dict()
    refused("build the loss", lambda: crd.load_state_dict(state))
    assert crd.primed and equal(crd, before)
    state = new(Small()).state_dict()
    inside = nn.ModuleDict({"loss": wcord.WCoRDLoss(D_T, D_S, N, gckt={"dim": 8})})
    state = {f"loss.{key}": value for key, value in state.items()}
    refused("build the loss with the sizes and settings", lambda: inside.load_state_dict(state))


def test_a_state_without_banks_is_not_primed() -> None:
    state = new(Small()).state_dict()
    part = {key: value for key, value in state.items() if "bank" not in key}
    loss = wcord.WCoRDLoss(D_T, D_S, N)
    loss.load_state_dict(part, strict=False)
    assert not loss.primed
    loss.load_state_dict(state, strict=False)
    assert loss.primed


def test_a_loss_built_without_memory_is_loaded() -> None:
    student = Small()
    state = new(student).state_dict()
    with torch.device("meta"):
        loss = wcord.WCoRDLoss(D_T, D_S, N)
    loss.load_state_dict(state, assign=True)
    assert torch.equal(call(loss, student, EPOCH[0]), call(new(student), student, EPOCH[0]))


def test_what_is_not_written_yet_is_written_before_the_loss_is_moved() -> None:
    student = Small()
    loss, expected = new(student), new(student)
    for one in (loss, expected):
        call(one, student, EPOCH[0]).backward()
    loss.to("meta").state_dict()
    loss = copy.deepcopy(expected).double()
    expected.flush()
    for key, value in expected.state_dict().items():
        assert torch.equal(
            loss.state_dict()[key].nan_to_num(), value.to(loss.state_dict()[key]).nan_to_num()
        )


# -- sizes, default device and type --------------------------------------------------------------


def test_sizes_and_weights_of_numpy_are_numbers() -> None:
    loss = wcord.WCoRDLoss(
        np.int64(D_T), torch.tensor(D_S), np.int32(N), np.float32(2), seed=np.int64(3)
    )
    expected = wcord.WCoRDLoss(D_T, D_S, N, 2.0, seed=3)
    assert equal(loss, expected) and loss.objective.weights == expected.objective.weights
    refused("seed must be an integer, not None", lambda: wcord.WCoRDLoss(D_T, D_S, N, seed=None))
    refused("gckt is a weight or a table", lambda: wcord.WCoRDLoss(D_T, D_S, N, gckt=True))


@contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("term", ["gckt", "crd"])
def test_the_default_device_does_not_matter(term: str) -> None:
    """A loss on the CPU is used while another device is the default."""
    x, teacher, labels = inputs()
    student, other = Small(), Small()
    terms = {term: {"negatives_count": 9, "weight": 1}, "lckt": {"plan": "shuffled"}}
    loss, expected = (wcord.FeatureLoss(D_T, D_S, terms, samples=N) for _ in range(2))
    h = wcord.features(student)(x).detach()
    with default_device("meta"):
        loss.prime(teacher=teacher, student=h, labels=labels)
        for index in EPOCH:
            loss(teacher[index], wcord.features(student)(x[index]), index.tolist()).backward()
        state = loss.state_dict()
        assert wcord.LCKTLoss(D_T, D_S).objective.terms["lckt"].project_student.weight.is_meta
    assert {value.device.type for value in state.values()} == {"cpu"}
    expected.prime(teacher=teacher, student=h, labels=labels)
    for index in EPOCH:
        call(expected, other, index).backward()
    assert equal(state, expected)


def test_building_a_loss_leaves_all_generators_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(seed: int) -> None:
        raise AssertionError("this seeds the generators of GPUs, too")

    state = torch.get_rng_state()
    monkeypatch.setattr(torch, "manual_seed", forbidden)
    wcord.WCoRDLoss(D_T, D_S, N)
    assert torch.equal(state, torch.get_rng_state())


def test_the_default_type_is_that_of_the_loss() -> None:
    try:
        torch.set_default_dtype(torch.float64)
        assert call(new(Small()), Small(), EPOCH[0]).dtype == torch.float64
        torch.set_default_dtype(torch.bfloat16)
        refused("is built in float32", lambda: wcord.LCKTLoss(D_T, D_S))
    finally:
        torch.set_default_dtype(torch.float32)


def test_sparse_features_are_refused() -> None:
    loss, (x, teacher, _) = new(Small()), inputs()
    refused("to_dense", lambda: loss(teacher.to_sparse(), x[:, :D_S], torch.arange(N)))
