"""The checks of the exercises take right answers in any form and refuse wrong neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import wcord
from lab.course.exercises import CHECKS, NUMBERS, wrong_with
from wcord.models import Output
from wcord.objectives.lckt import LCKT, LCKTSettings
from wcord.objectives.term import Batch, Shapes
from wcord.settings.sections import OptimizerSettings
from wcord.training.optimizer import learning_rate
from wcord.transport import c_transform, cosine_cost, dependency, exact, sinkhorn

FORMS: dict[str, Callable[[float], Any]] = {
    "float": float,
    "numpy": np.float64,
    "numpy array": np.array,
    "tensor": lambda number: torch.tensor(number, dtype=torch.float64),
    "float32": lambda number: torch.tensor(number, dtype=torch.float32),
}


def binary_information(agree: float) -> float:
    joint = np.array([[agree, 1 - agree], [1 - agree, agree]]) / 2
    return float((joint * np.log(joint / 0.25)).sum())


def first_rate() -> float:
    return learning_rate(OptimizerSettings(lr=0.003, schedule="onecycle", warmup=0.2), 0, 400, 10)


SOLUTIONS: dict[str, Any] = {  # found in another way than in the solutions notebook
    "2.1": exact(
        torch.tensor([[2.0, 3.0], [1.0, 2.0]]),
        source=torch.tensor([0.7, 0.3]),
        target=torch.tensor([0.4, 0.6]),
    ).value.item(),
    "2.5": 2.4 / 1.25,
    "3.3": 0.512 - 0.1 * 2 * math.log(8),
    "3.5": 25,
    "4.1": binary_information(0.9),
    "5.3": sinkhorn(torch.zeros(64, 64, dtype=torch.float64), 0.05).objective.item(),
    "6.3": first_rate(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("exercise", SOLUTIONS)
def test_numbers_are_taken_in_any_form_and_with_more_digits(
    exercise: str, form: Callable[[float], Any]
) -> None:
    digits, _ = NUMBERS[exercise]
    assert not wrong_with(exercise, form(SOLUTIONS[exercise]))
    assert not wrong_with(exercise, form(round(SOLUTIONS[exercise], digits)))


@pytest.mark.parametrize("exercise", SOLUTIONS)
@pytest.mark.parametrize("away", [-2, -1, 1, 2])
def test_numbers_beside_the_solution_are_refused(exercise: str, away: int) -> None:
    digits, _ = NUMBERS[exercise]
    assert wrong_with(exercise, round(SOLUTIONS[exercise], digits) + away * 10**-digits)


@pytest.mark.parametrize("answer", [24, 26, 25.3, 24.6, math.nan, math.inf, True])
def test_whole_numbers_are_exact(answer: float) -> None:
    assert wrong_with("3.5", answer)


def test_every_exercise_is_tried_here() -> None:
    assert set(SOLUTIONS) | {"4.4"} == set(NUMBERS)


# ------------------------------------------------------------------------------- certificates


@pytest.mark.parametrize("form", [tuple, list, np.array, torch.tensor])
def test_a_batch_proves_nothing_and_the_population_little(form: Callable[[Any], Any]) -> None:
    assert not wrong_with("4.4", form([0, 0.16]))
    for wrong in ([0.18, 0.16], [0.16, 0.0], [0, 0.25], [0, 0.5], [0, 0.161], [0.16], [0, 0.16, 0]):
        assert wrong_with("4.4", form(wrong))


def test_the_ceiling_of_exercise_4_4_holds() -> None:
    """E|s - s'| of unit vectors whose mean has length 0.6 is at most sqrt(2 - 2 * 0.36)."""
    draw = torch.Generator().manual_seed(0)
    for dim in (2, 3, 16, 256):
        rest = torch.nn.functional.normalize(
            torch.randn(2000, dim - 1, generator=draw, dtype=torch.float64), dim=1
        )
        rest = torch.cat([rest, -rest])  # the mean is (0.6, 0, ...) exactly
        s = torch.cat([torch.full((len(rest), 1), 0.6, dtype=torch.float64), 0.8 * rest], 1)
        assert torch.cdist(s, s).mean() <= math.sqrt(2 - 2 * 0.36)


def test_a_batch_of_independent_features_has_a_large_dependency() -> None:
    draw = torch.Generator().manual_seed(0)
    t, s = (
        torch.nn.functional.normalize(torch.randn(64, 64, generator=draw), dim=1) for _ in range(2)
    )
    assert float(dependency(t, s)) > 1.2


# ---------------------------------------------------------------------------------- functions


def own_transform(f: Tensor, cost: Tensor) -> Tensor:
    return torch.stack([(cost[:, j] - f).min() for j in range(cost.shape[1])])


def step_gradients(plan: Tensor, t: Tensor, s: Tensor, w_t: Tensor, w_s: Tensor) -> Any:
    cost = cosine_cost((t @ w_t.T).detach(), s @ w_s.T)
    return torch.autograd.grad((plan * cost).sum(), (w_s, w_t), allow_unused=True)


def all_gradients(plan: Tensor, t: Tensor, s: Tensor, w_t: Tensor, w_s: Tensor) -> Any:
    return torch.autograd.grad((plan * cosine_cost(t @ w_t.T, s @ w_s.T)).sum(), (w_s, w_t))


def soft_partner(f: Tensor, cost: Tensor, epsilon: float) -> Tensor:
    return -epsilon * (math.log(cost.shape[1]) + ((f[:, None] - cost) / epsilon).logsumexp(0))


def off_diagonal(g: Tensor) -> float:
    n = len(g)
    return float((g.exp().sum() - g.diagonal().exp().sum()) / (n * n - n))


CIRCLE = [[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]]
NEIGHBOUR = torch.eye(6).roll(1, dims=0)
STEP_X, STEP_Y = [0.3, 0.4], [-0.3, -0.4]
NARROW = torch.tensor([[math.cos(a), math.sin(a), 0.0] for a in (0.015, -0.015)])
CLOSE = (NARROW, math.cos(0.3) * NARROW + torch.tensor([0.0, 0.0, math.sin(0.3)]))


def in_place(f: Tensor, cost: Tensor) -> Tensor:
    cost -= f[:, None]
    return cost.amin(0)


RIGHT = [
    ("2.2", own_transform),
    ("2.2", lambda f, C: (C - f[:, None]).amin(0)),
    ("2.2", lambda f, C: np.min(C.numpy() - f.numpy()[:, None], axis=0)),
    ("2.2", in_place),
    ("2.3", ([[0.0, 0.0]] * 4, CIRCLE)),
    ("2.3", (np.zeros((4, 2)), np.array(CIRCLE))),
    ("2.3", (torch.zeros(4, 2, requires_grad=True), [torch.tensor(p) for p in CIRCLE])),
    ("2.3", ([[0, 0]] * 4, [[1, 0], [-1, 0], [0, 1], [0, -1]])),  # W1 is 1, no more
    ("2.4", (lambda z: torch.tanh(50 * z), STEP_X, STEP_Y)),
    ("2.4", (lambda z: 2 * (z > 0).double(), STEP_X, STEP_Y)),
    ("2.4", (lambda z: z > 0, torch.tensor(STEP_X) / 2, np.array(STEP_Y) / 2)),
    ("2.4", (lambda z: np.where(z.numpy() > 0, 1.0, -1.0), STEP_X, STEP_Y)),
    ("3.1", lambda Q, a: Q * (a / Q.sum(1))[:, None]),
    ("3.1", lambda Q, a: (Q.numpy().T / Q.numpy().sum(1) * a.numpy()).T),
    ("3.2", soft_partner),
    *(("3.4", epsilon) for epsilon in (154, 200.0, np.float64(302), torch.tensor(320.0))),
    ("4.2", lambda t, s: torch.linalg.svdvals((t - t.mean(0)).T @ s / len(t)).sum()),
    (
        "4.2",
        lambda t, s: float(
            np.linalg.norm(np.cov(t.T, s.T, bias=True)[: t.shape[1], t.shape[1] :], "nuc")
        ),
    ),
    ("4.3", off_diagonal),
    ("5.1", NEIGHBOUR),
    ("5.1", (7 * NEIGHBOUR).tolist()),
    ("5.1", NEIGHBOUR.roll(1, dims=0).numpy()),
    ("5.2", (torch.eye(4), torch.eye(4) + 0.3 * torch.eye(4).roll(1, dims=1))),
    ("5.2", ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.3], [0.3, 1.0]])),
    ("5.2", CLOSE),  # the pairing is the only best plan, by a small margin
    ("6.1", lambda losses, weights: sum(weights[term] * losses[term] for term in losses)),
    ("6.1", lambda losses, weights: torch.tensor(sum(w * losses[k] for k, w in weights.items()))),
    ("6.2", step_gradients),
    (
        "6.2",
        lambda P, t, s, W_T, W_S: (step_gradients(P, t, s, W_T, W_S)[0], torch.zeros_like(W_T)),
    ),
]

WRONG = [
    ("2.2", c_transform),
    ("2.2", lambda f, C: c_transform(f, C)),
    ("2.2", lambda f, C: wcord.transport.c_transform(f, C)),
    ("2.2", lambda f, C: (C - f[:, None]).amin(0) - 0.1),
    ("2.2", lambda f, C: (C - f[:, None]).mean(0)),
    ("2.2", lambda f, C: (C.zero_(), f.zero_(), torch.zeros(C.shape[1]))[2]),
    ("2.2", lambda f, C: torch.full((C.shape[1],), math.nan)),
    ("2.3", (CIRCLE, CIRCLE)),
    ("2.3", ([[1e7, 0.0]] * 4, [[1e7 + 1 + x, y] for x, y in CIRCLE])),
    ("2.3", ([[0.0, 0.0]] * 4, [[0.9, 0.0], [-0.9, 0.0], [0.0, 0.9], [0.0, -0.9]])),
    ("2.3", ([[0.1, 0.0]] * 4, CIRCLE)),
    ("2.4", (lambda z: 2 * z, STEP_X, STEP_Y)),  # honest about its slope, which is 2
    ("2.4", (lambda z: z, STEP_X, STEP_Y)),  # 1-Lipschitz
    ("2.4", (lambda z: (z >= 0.3).double(), STEP_X, STEP_Y)),  # jumps at one of the points
    ("2.4", (lambda z: torch.tanh(50 * z), STEP_X, STEP_X)),
    ("2.4", (lambda z: math.nan * z, STEP_X, STEP_Y)),
    ("2.4", (lambda z: (z > 0.5).double() + torch.sin(2e5 * math.pi * z), [0.6], [0.4])),
    ("3.1", lambda Q, a: Q / Q.sum(1, keepdim=True)),
    ("3.1", lambda Q, a: a[:, None].expand_as(Q) / Q.shape[1]),
    ("3.1", lambda Q, a: Q.copy_((a[:, None] / Q.shape[1]).expand_as(Q))),
    ("3.2", lambda f, C, epsilon: -epsilon * ((f[:, None] - C) / epsilon).logsumexp(0)),
    ("3.2", lambda f, C, epsilon: soft_partner(f, C, max(epsilon, 1e-3))),
    ("3.2", lambda f, C, epsilon: -epsilon * (3 * ((f[:, None] - C) / epsilon).exp().sum(0)).log()),
    *(("3.4", epsilon) for epsilon in (-1, 0, 1, 60, 150, 153, 321, 1e6, math.inf, math.nan)),
    ("4.2", lambda t, s: torch.linalg.matrix_norm(t.T @ s / len(t), "nuc")),
    ("4.2", lambda t, s: torch.linalg.svdvals((t - t.mean(0)).T @ s / len(t))[0]),
    ("4.2", lambda t, s: torch.linalg.svdvals((t - t.mean(0)).T @ s / (len(t) - 1)).sum()),
    ("4.3", lambda g: g.exp().mean()),
    ("4.3", lambda g: g.diagonal().exp().mean()),
    ("4.3", lambda g: math.exp(float(g.mean()))),
    ("5.1", torch.eye(6)),
    ("5.1", torch.eye(6)[[1, 0, 2, 3, 4, 5]]),
    ("5.1", torch.ones(6, 6)),
    ("5.2", (torch.eye(1, 2), torch.tensor([[1.0, 1.0]]))),  # one sample: no choice
    ("5.2", (torch.ones(4, 2), torch.tensor([[1.0, 0.0]] * 4))),  # all plans cost the same
    ("5.2", (torch.eye(4), torch.eye(4))),  # costs nothing
    ("5.2", (torch.eye(4), NEIGHBOUR[:4, :4])),
    ("6.1", lambda losses, weights: sum(losses.values())),
    ("6.1", lambda losses, weights: weights["ce"] * losses["ce"]),
    ("6.1", lambda losses, weights: math.nan),
    ("6.2", (True, True, False, False)),
    ("6.2", all_gradients),
    ("6.2", lambda P, t, s, W_T, W_S: (None, None)),
    ("6.2", lambda P, t, s, W_T, W_S: (-step_gradients(P, t, s, W_T, W_S)[0], None)),
]


@pytest.mark.parametrize(("exercise", "answer"), RIGHT)
def test_right_answers_are_taken(exercise: str, answer: Any) -> None:
    assert wrong_with(exercise, answer) == ""


@pytest.mark.parametrize(("exercise", "answer"), WRONG)
def test_wrong_answers_are_refused(exercise: str, answer: Any) -> None:
    assert wrong_with(exercise, answer)


def test_right_and_wrong_answers_are_tried_of_every_check() -> None:
    for answers in (RIGHT, WRONG):
        assert {exercise for exercise, _ in answers} == set(CHECKS)


def test_no_cost_is_worse_than_those_of_the_check_of_3_4() -> None:
    """Ascend on the largest deviation from uniform over all costs in [0, 1]."""
    draw = torch.Generator().manual_seed(0)
    free = torch.randn(16, 8, 8, generator=draw, dtype=torch.float64).requires_grad_(True)
    move = torch.optim.Adam([free], 0.3)
    for _ in range(150):
        plan = sinkhorn(free.sigmoid(), 154.0, iterations=10, gradient="unrolled").plan
        far = (64 * plan - 1).abs().amax((1, 2))
        move.zero_grad()
        (-far.sum()).backward()
        move.step()
    assert 0.008 < float(far.max().detach()) <= 0.01


def test_the_gradients_of_exercise_6_2_are_those_of_the_term() -> None:
    draw = torch.Generator().manual_seed(0)
    t, s, w_t, w_s = (
        torch.randn(*shape, generator=draw, dtype=torch.float64)
        for shape in ((5, 4), (5, 3), (2, 4), (2, 3))
    )
    w_t.requires_grad_(True), w_s.requires_grad_(True)
    term = LCKT(LCKTSettings(epsilon=0.2), Shapes(4, 3, 2, 2, True, 5), 0)
    shared = {"embeddings": (t @ w_t.T, s @ w_s.T)}
    index = torch.arange(5)
    batch = Batch(index, index, index < 5, index, 0, 0)
    loss = term(batch, Output(t, t), Output(s, s), shared)
    at_s, at_t = torch.autograd.grad(loss, (w_s, w_t), allow_unused=True)
    plan = sinkhorn(cosine_cost(t @ w_t.T, s @ w_s.T).detach(), 0.2, iterations=50).plan
    torch.testing.assert_close(at_s, step_gradients(plan, t, s, w_t, w_s)[0])
    assert at_t is None
