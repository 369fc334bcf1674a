"""Losses together with the rest of PyTorch: modes, precision, optimizers, compiled functions."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from test_losses import (
    D_S,
    D_T,
    N_BATCH,
    NAMED,
    N,
    Small,
    batches,
    equal,
    inputs,
    primed,
    refused,
    train,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import wcord
from wcord import losses
from wcord.losses.optimizer_check import PATIENCE

EPOCH = list(batches(N // N_BATCH))  # the index of each batch of one epoch


def call(loss: losses.FeatureLoss, student: nn.Module, index: Any) -> Tensor:
    x, teacher, _ = inputs()
    return loss(teacher[index], wcord.features(student)(x[index]), index)


def new(student: nn.Module, **options: Any) -> losses.FeatureLoss:
    return primed(wcord.WCoRDLoss(D_T, D_S, N, **options), student)


# -- what callers change after a call ----------------------------------------------------------


@pytest.mark.parametrize("changed", ["index", "teacher", "student"])
def test_arguments_may_be_changed_in_place_after_a_call(changed: str) -> None:
    x, teacher, _ = inputs()
    student, other = Small(), Small()
    loss, expected = new(student), new(other)
    for part in EPOCH:
        given = {"index": part.clone(), "teacher": teacher[part]}
        given["student"] = wcord.features(student)(x[part])
        loss(**given).backward()
        with torch.no_grad():
            given[changed].zero_()
        call(expected, other, part).backward()
    assert equal(loss, expected)


def test_a_permutation_of_numpy_may_be_shuffled_in_place() -> None:
    """The index is then a view of an array that changes before the bank is written."""
    student, other = Small(), Small()
    loss, expected = new(student), new(other)
    random, order = np.random.default_rng(0), np.arange(N)
    for _ in range(3):
        random.shuffle(order)
        for part in np.split(order, 5):
            call(loss, student, part)
            call(expected, other, part.copy())
    assert equal(loss, expected)


# -- modes and precision -------------------------------------------------------------------------


def test_inference_mode_leaves_no_trace() -> None:
    x, teacher, labels = inputs()
    student = Small()
    with torch.inference_mode():
        loss = wcord.WCoRDLoss(D_T, D_S, N, gckt={"negatives": "other_class"})
        h = wcord.features(student)(x)
        loss.prime(teacher=teacher * 1, student=h, labels=labels)
    call(loss, student, EPOCH[0])  # without backward
    with torch.inference_mode():
        call(loss, student, EPOCH[0])
        index, fixed = EPOCH[1] + 0, teacher[EPOCH[1]]
    loss(fixed, wcord.features(student)(x[EPOCH[1]]), index).backward()
    train(loss, student, 3)
    loss.load_state_dict(copy.deepcopy(loss.state_dict()))


@pytest.mark.parametrize("term", NAMED)
def test_teachers_in_inference_mode_suit_every_loss(term: str) -> None:
    student, (x, teacher, _) = Small(), inputs()
    loss = primed(NAMED[term](D_T, D_S, N), student)
    with torch.inference_mode():
        fixed = teacher[:N_BATCH] + 0
    loss(fixed, wcord.features(student)(x[:N_BATCH]), torch.arange(N_BATCH)).backward()
    gradient = student.first.weight.grad
    assert gradient is not None and gradient.abs().sum() > 0


def test_prime_keeps_the_precision_of_the_loss_also_under_autocast() -> None:
    x, teacher, _ = inputs()
    student = Small().double()
    h, precise = student.first(x.double()).detach(), teacher.double() / 3
    loss = wcord.GCKTLoss(D_T, D_S, N).double()
    loss.prime(teacher=precise, student=h)
    gckt = loss.objective.terms["gckt"]
    assert torch.equal(gckt.teacher_bank.embeddings, gckt.embed(precise, h)[0])
    other = wcord.GCKTLoss(D_T, D_S, N).double()
    with torch.autocast("cpu", torch.bfloat16):
        other.prime(teacher=precise, student=h)
    assert equal(loss, other)


def test_gradient_checkpointing_of_the_loss_is_refused() -> None:
    student = Small()
    loss = new(student)
    x, teacher, _ = inputs()
    h = wcord.features(student)(x[EPOCH[0]])
    for reentrant in (False, True):
        total = checkpoint(loss, teacher[EPOCH[0]], h, EPOCH[0], use_reentrant=reentrant)
        refused("outside of gradient checkpointing", total.backward, losses.LossError)


def test_a_copy_of_data_parallel_is_refused() -> None:
    replica = new(Small())._replicate_for_data_parallel()
    refused("use DistributedDataParallel", lambda: call(replica, Small(), EPOCH[0]))


def test_transforms_of_torch_func_are_refused() -> None:
    loss, (x, teacher, _) = new(Small()), inputs()
    h = x[:N_BATCH, :D_S]
    gradient = torch.func.grad(lambda h: loss(teacher[:N_BATCH], h, EPOCH[0]))
    refused("use torch.autograd.grad", lambda: gradient(h), losses.LossError)
    parameters = {name: value.detach() for name, value in loss.named_parameters()}
    given = (teacher[:N_BATCH], h.requires_grad_(), EPOCH[0])
    value = torch.func.functional_call(loss.eval(), parameters, given)
    assert torch.equal(value, loss(*given))


def test_student_features_without_gradient_are_reported() -> None:
    student = Small()
    loss = new(student)
    x, teacher, _ = inputs()
    h = wcord.features(student)(x[:N_BATCH]).detach()
    with pytest.warns(losses.LossWarning, match="carry no gradient") as found:
        loss(teacher[:N_BATCH], h, torch.arange(N_BATCH))
    assert found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.eval()(teacher[:N_BATCH], h, torch.arange(N_BATCH))


def test_an_overflow_does_not_stay_in_the_banks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU features are not checked; GradScaler leaves out the step that overflowed."""
    monkeypatch.setattr("wcord.losses.feature_loss.check_features", lambda *_: None)
    student = Small()
    loss, (x, teacher, _) = new(student, gckt={"form": "nce"}), inputs()
    h = student.first(x[EPOCH[0]]).clone()
    h.data[2, 1] = torch.inf
    assert not loss(teacher[EPOCH[0]], h, EPOCH[0]).isfinite()
    loss.flush()
    before = new(student).state_dict()
    key = "objective.terms.gckt.student_bank.embeddings"
    assert torch.equal(loss.state_dict()[key][EPOCH[0][2]], before[key][EPOCH[0][2]])
    assert not torch.equal(loss.state_dict()[key][EPOCH[0][0]], before[key][EPOCH[0][0]])
    assert call(loss, student, EPOCH[1]).isfinite()


# -- optimizers ------------------------------------------------------------------------------------


def test_steps_of_other_optimizers_do_not_count() -> None:
    student, other = Small(), nn.Linear(2, 2)
    loss = new(student)
    optimizer = torch.optim.SGD([*student.parameters(), *loss.parameters()], 0.01)
    call(loss, student, EPOCH[0]).backward()
    for _ in range(PATIENCE + 5):
        other(torch.ones(1, 2)).sum().backward()
        torch.optim.SGD(other.parameters(), 0.01).step()
    train(loss, student, 0, optimizer, iter(EPOCH[1:]))


def test_training_goes_on_with_a_new_optimizer_after_the_error() -> None:
    student = Small()
    loss = new(student)
    with pytest.raises(losses.LossError):
        train(loss, student, PATIENCE + 5, torch.optim.SGD(student.parameters(), 0.01))
    train(loss, student, PATIENCE + 5)


def test_repeated_calls_of_a_batch_are_one_step_in_evaluation_mode() -> None:
    """LBFGS evaluates its closure several times: it needs one function, and one write."""
    student = Small()
    loss = new(student, gckt={"negatives_count": 7})
    parameters = [p for p in (*student.parameters(), *loss.parameters()) if p.requires_grad]
    optimizer = torch.optim.LBFGS(parameters, max_iter=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index in EPOCH:
            values = []

            def closure(index: Tensor = index, values: list[float] = values) -> Tensor:
                optimizer.zero_grad()
                total = call(loss.eval(), student, index)
                total.backward()
                values.append(total.item())
                return total

            optimizer.step(closure)
            assert len(values) > 1 and call(loss, student, index).item() < values[0]
            call(loss.train(), student, index)
    assert loss.steps == len(EPOCH)
    other = new(student)
    with pytest.warns(
        losses.LossWarning,
        match=r"once for each batch \(further calls and validation in loss.eval",
    ):
        call(other, student, EPOCH[0]) + call(other, student, EPOCH[0])


@pytest.mark.slow
@pytest.mark.parametrize("terms", [{"gckt": 5, "lckt": 0.5}, {"lckt": 1}])
def test_compiled_losses_and_optimizers_give_the_same_numbers(terms: dict[str, Any]) -> None:
    torch._dynamo.reset()
    student, other = Small(), Small()
    loss, expected = (
        primed(wcord.FeatureLoss(D_T, D_S, terms, samples=N), student) for _ in range(2)
    )
    compiled = torch.compile(loss, backend="aot_eager")
    optimizer = torch.optim.SGD([*student.parameters(), *loss.parameters()], 0.05)
    step = torch.compile(optimizer.step, backend="aot_eager")
    x, teacher, labels = inputs()
    for index in batches(PATIENCE + 5):
        logits, h = wcord.features(student).with_output(x[index])
        total = F.cross_entropy(logits, labels[index]) + compiled(teacher[index], h, index)
        optimizer.zero_grad()
        total.backward()
        step()
    train(expected, other, PATIENCE + 5)
    assert loss.steps == PATIENCE + 5 and loss._optimizer.passed
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(loss.state_dict()[key], value, rtol=0, atol=1e-5, equal_nan=True)
