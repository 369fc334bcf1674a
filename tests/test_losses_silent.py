"""Misuse of losses that would train without an error, and teach less or nothing, is reported."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import wcord
from wcord import losses

N, N_BATCH, D_T, D_S = 120, 20, 10, 6
LOSSES: dict[str, Any] = {
    "wcord": lambda: wcord.WCoRDLoss(D_T, D_S, N),
    "drawn": lambda: wcord.GCKTLoss(D_T, D_S, N, form="infonce", weight=0.8, negatives_count=9),
    "joint": lambda: wcord.GCKTLoss(D_T, D_S, N, critic="joint", negatives_count=9, width=8),
    "crd": lambda: wcord.CRDLoss(D_T, D_S, N, classes=3),
}


def features(seed: int, dim: int) -> Tensor:
    return torch.randn(N, dim, generator=torch.Generator().manual_seed(seed))


def primed(kind: str, teacher: Tensor, student: Tensor) -> losses.FeatureLoss:
    loss: losses.FeatureLoss = LOSSES[kind]()
    loss.prime(teacher=teacher, student=student, labels=torch.arange(N) % 3, progress=False)
    return loss


def epochs(loss: losses.FeatureLoss, teacher: Tensor, student: Tensor, count: int = 2) -> None:
    """Take the steps of shuffled epochs; row i of both is given the index i."""
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.01)
    for _ in range(count):
        for index in torch.randperm(N).split(N_BATCH):
            optimizer.zero_grad()
            loss(teacher[index], student[index].clone().requires_grad_(), index).backward()
            optimizer.step()


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_a_bank_of_other_samples_is_reported(kind: str, seed: int) -> None:
    torch.manual_seed(seed)
    teacher, student = features(seed, D_T), features(seed + 50, D_S)
    loss, order = primed(kind, teacher, student), torch.randperm(N)
    with pytest.warns(losses.LossWarning, match="do not resemble") as found:
        epochs(loss, teacher[order], student[order])
    assert len(found) == 1 and found[0].filename == __file__


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("noise", [0, 0.5, 1.0])
@pytest.mark.filterwarnings("error")
def test_a_bank_of_the_same_samples_is_not(kind: str, noise: float) -> None:
    """Also where augmentation changes the teacher's features by as much as samples differ."""
    for seed in range(5):
        torch.manual_seed(seed)
        teacher, student = features(seed, D_T), features(seed + 50, D_S)
        loss = primed(kind, teacher, student)
        epochs(loss, teacher + noise * torch.randn(N, D_T), student)


@pytest.mark.filterwarnings("error")
def test_few_samples_decide_nothing() -> None:
    for samples, batch, dim in ((2, 2, 3), (4, 2, 1), (6, 3, 2), (12, 6, 1), (40, 10, 1)):
        for seed in range(20):
            teacher = torch.randn(samples, dim, generator=torch.Generator().manual_seed(seed))
            loss = wcord.GCKTLoss(dim, dim, samples)
            loss.prime(teacher=teacher, student=teacher + 1, progress=False)
            for index in torch.arange(samples).split(batch):
                loss(teacher[index], (teacher[index] + 1).requires_grad_(), index).backward()


def test_a_state_of_other_samples_is_reported() -> None:
    teacher, student = features(0, D_T), features(1, D_S)
    loss = primed("wcord", teacher, student)
    epochs(loss, teacher, student)
    again, order = LOSSES["wcord"](), torch.randperm(N)
    again.load_state_dict(loss.state_dict())
    with pytest.warns(losses.LossWarning, match="do not resemble"):
        epochs(again, teacher[order], student[order])


def test_a_state_of_other_settings_is_reported() -> None:
    loss = primed("wcord", features(0, D_T), features(1, D_S))
    other = wcord.WCoRDLoss(D_T, D_S, N, gckt={"weight": 4}, lckt={"epsilon": 0.1}, seed=3)
    expected = "seed is 3 here and 0 in the state; gckt.weight is 4.0 here and 5.0 in the state"
    with pytest.warns(losses.LossWarning, match=expected) as found:
        other.load_state_dict(loss.state_dict())
    assert "lckt.epsilon is 0.1 here and 0.05 in the state" in str(found[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LOSSES["wcord"]().load_state_dict(loss.state_dict())


def test_prime_after_steps_is_reported() -> None:
    teacher, student = features(0, D_T), features(1, D_S)
    loss = primed("wcord", teacher, student)
    epochs(loss, teacher, student, 1)
    with pytest.warns(losses.LossWarning, match="again after 6 steps") as found:
        loss.prime(teacher=teacher, student=student)
    assert found[0].filename == __file__


LAYERS = {"dropout": nn.Dropout(), "batch norm": nn.BatchNorm1d(D_T), "neither": nn.ReLU()}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_a_teacher_in_training_mode_is_reported(name: str, training: bool) -> None:
    teacher = nn.Sequential(nn.Linear(4, D_T), LAYERS[name], nn.Linear(D_T, 3)).train(training)
    x = torch.randn(N, 4)
    loader = [(torch.arange(N), x, torch.zeros(N))]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        LOSSES["wcord"]().prime(
            loader, teacher=wcord.features(teacher), student=features(1, D_S), progress=False
        )
    assert bool(found) == (training and name != "neither")
    if found:
        assert "call teacher.eval()" in str(found[0].message) and found[0].filename == __file__


def test_a_teacher_with_gradients_is_reported() -> None:
    teacher, student = (features(seed, 6).requires_grad_() for seed in (0, 1))
    loss = wcord.LCKTLoss(6, 6)
    with pytest.warns(losses.LossWarning, match="teacher features carry a gradient") as found:
        loss(teacher, student)
    assert found[0].filename == __file__


def test_a_loss_left_in_evaluation_mode_is_reported_once() -> None:
    loss = wcord.LCKTLoss(D_T, D_S).eval()
    teacher, student = features(0, D_T), features(1, D_S)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(150):
            loss(teacher, student)
    with pytest.warns(losses.LossWarning, match=r"loss.train\(\)") as found:
        for _ in range(150):
            loss(teacher, student.clone().requires_grad_())
    assert len(found) == 1 and found[0].filename == __file__


UNSUITED: list[tuple[Any, str | None]] = [
    (lambda: wcord.GCKTLoss(D_T, D_S, N, form="nce"), "nce"),
    (lambda: wcord.WCoRDLoss(D_T, D_S, N, gckt={"form": "infonce"}), "infonce"),
    (lambda: losses.FeatureLoss(D_T, D_S, {"gckt": {"form": "nce"}}, samples=N), "nce"),
    (lambda: wcord.GCKTLoss(D_T, D_S, N, form="nce", weight=5), None),
    (lambda: wcord.GCKTLoss(D_T, D_S, N), None),
]


@pytest.mark.parametrize(("make", "form"), UNSUITED)
def test_a_default_weight_that_does_not_suit_the_form_is_reported(
    make: Any, form: str | None
) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        make()
    texts = [str(warning.message).partition(": ")[2] for warning in found]
    expected = f"gckt.weight is 5, its default, and 0.8 suits form {form}: give weight"
    assert texts == ([expected] if form else [])


@pytest.mark.parametrize("source", ["module", "function"])
def test_a_dictionary_that_does_not_fit_is_one_line_with_a_remedy(source: str) -> None:
    net = nn.Linear(4, D_T)
    teacher = wcord.features(net, "") if source == "module" else lambda image: net(image)
    loader = [{"index": torch.arange(N), "image": torch.randn(N, 4), "path": ["a"] * N}]
    with pytest.raises(ValueError, match=r"lambda batch: features\(batch\['image'\]\)") as caught:
        LOSSES["wcord"]().prime(loader, teacher=teacher, student=features(1, D_S), progress=False)
    assert "\n" not in str(caught.value) and "'path'" in str(caught.value)


def test_an_unknown_setting_has_its_own_name_in_quotes() -> None:
    with pytest.raises(ValueError, match=r"WCoRDLoss: unknown setting 'lckt.epsilonn'"):
        wcord.WCoRDLoss(D_T, D_S, N, lckt={"epsilonn": 1})
