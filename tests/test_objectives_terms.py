"""ce, kd, hint and lckt against loops, independent solvers and invariants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from wcord import transport
from wcord.models import Output
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, FirstPassBatch, Shapes, Term

seeds = st.integers(0, 2**31)
quick = settings(max_examples=30)
SHAPES = Shapes(6, 4, 3, 3, True, 50)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(name: str, shapes: Shapes = SHAPES, **changes: Any) -> Term:
    torch.manual_seed(0)
    return TERMS[name](TERMS[name].Settings.model_validate(changes), shapes, 0)


def a_batch(n: int, step: int = 0, labelled: Tensor | None = None) -> Batch:
    label = torch.arange(n) % 3
    known = torch.ones(n, dtype=torch.bool) if labelled is None else labelled
    return Batch(torch.arange(n), label, known, label, step, 0)


def outputs(seed: int, n: int = 8) -> tuple[Output, Output]:
    teacher = Output(draw(seed, n, 6), 3 * draw(seed + 1, n, 3))
    return teacher, Output(draw(seed + 2, n, 4), 3 * draw(seed + 3, n, 3))


# ------------------------------------------------------------------------------ ce, kd, hint


@quick
@given(seed=seeds)
def test_ce_is_the_mean_over_labelled_samples(seed: int) -> None:
    teacher, student = outputs(seed)
    labelled = draw(seed + 9, 8) > 0
    labelled[0] = True
    batch = a_batch(8, labelled=labelled)
    losses = []
    for i in range(8):
        if labelled[i]:
            row = student.logits[i].double()
            losses.append(row.exp().sum().log() - row[batch.label[i]])
    loss = build("ce")(batch, teacher, student, {})
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-4, abs=1e-6)


def test_ce_without_labels_is_exactly_zero_with_zero_gradient() -> None:
    teacher, student = outputs(0)
    logits = student.logits.clone().requires_grad_()
    batch = a_batch(8, labelled=torch.zeros(8, dtype=torch.bool))
    batch = Batch(batch.index, torch.full((8,), -1), batch.labelled, batch.group, 0, 0)
    loss = build("ce")(batch, teacher, Output(student.features, logits), {})
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


@quick
@given(seed=seeds, temperature=st.floats(0.5, 10))
def test_kd_equals_a_loop(seed: int, temperature: float) -> None:
    teacher, student = outputs(seed)
    total = 0.0
    for t, s in zip(teacher.logits.tolist(), student.logits.tolist(), strict=True):
        p, q = ([math.exp(v / temperature) for v in row] for row in (t, s))
        p, q = [v / sum(p) for v in p], [v / sum(q) for v in q]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) * temperature**2 / 8
    loss = build("kd", temperature=temperature)(a_batch(8), teacher, student, {})
    assert loss.item() == pytest.approx(total, rel=1e-3, abs=1e-4)


def test_hint_equals_a_loop_and_ignores_the_teachers_scale() -> None:
    losses = []
    for scale in (1.0, 40.0):
        term = build("hint")
        teacher, student = outputs(0, 50)
        teacher = Output(scale * teacher.features, teacher.logits)
        first_pass = [
            FirstPassBatch(k, k % 3, cut(teacher, k), cut(student, k))
            for k in torch.arange(50).split(20)
        ]
        term.fill_banks(lambda batches=first_pass: batches)  # type: ignore[misc]
        losses.append(term(a_batch(50), teacher, student, {}).item())
        root_mean_square = np.sqrt(np.mean(teacher.features.numpy() ** 2))
        weight, bias = (p.detach().numpy() for p in term.parameters())
        total = 0.0
        for t, s in zip(teacher.features.numpy(), student.features.numpy(), strict=True):
            total += np.mean((weight @ s + bias - t / root_mean_square) ** 2) / 50
        assert losses[-1] == pytest.approx(total, rel=1e-4)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def cut(output: Output, k: Tensor) -> Output:
    return Output(output.features[k], output.logits[k])


# ------------------------------------------------------------------------------------- lckt


def lckt_on(z_t: Tensor, z_s: Tensor, step: int = 0, **changes: Any) -> Tensor:
    """The term on given embeddings."""
    n = len(z_t)
    nothing = Output(torch.zeros(n, 6), torch.zeros(n, 3))
    other = Output(torch.zeros(n, 4), torch.zeros(n, 3))
    return build("lckt", **changes)(a_batch(n, step), nothing, other, {"embeddings": (z_t, z_s)})


def cosine_by_loop(z_t: Tensor, z_s: Tensor) -> np.ndarray:
    x, y = z_t.detach().double().numpy(), z_s.detach().double().numpy()
    return np.array([[1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v) for v in y] for u in x])


@quick
@given(seed=seeds, n=st.integers(2, 12))
def test_plans_without_a_solver_equal_loops(seed: int, n: int) -> None:
    z_t, z_s = draw(seed, n, 5), draw(seed + 1, n, 5)
    cost = cosine_by_loop(z_t, z_s)
    assert lckt_on(z_t, z_s, plan="identity").item() == pytest.approx(
        sum(cost[i, i] for i in range(n)) / n, abs=1e-5
    )
    assert lckt_on(z_t, z_s, plan="uniform").item() == pytest.approx(cost.mean(), abs=1e-5)


def test_shuffled_is_a_permutation_that_changes_with_the_step() -> None:
    z = torch.eye(6)
    matched = [6 * (1 - lckt_on(z, z, step, plan="shuffled").item()) for step in range(40)]
    assert len({round(m) for m in matched}) > 1  # fixed points vary
    z_t, z_s = draw(0, 6, 4), draw(1, 6, 4)
    values = [lckt_on(z_t, z_s, step, plan="shuffled").item() for step in range(300)]
    assert len(set(values)) > 100
    assert np.mean(values) == pytest.approx(cosine_by_loop(z_t, z_s).mean(), abs=0.03)
    assert lckt_on(z_t, z_s, 7, plan="shuffled").item() == values[7]


def test_solved_plans_equal_pot() -> None:
    z_t, z_s = draw(0, 10, 5), draw(1, 10, 5)
    cost = cosine_by_loop(z_t, z_s)
    exact = ot.emd2([], [], cost)
    assert lckt_on(z_t, z_s, plan="exact").item() == pytest.approx(exact, abs=1e-5)
    plan = ot.sinkhorn([], [], cost, 0.1, stopThr=1e-12)
    loss = lckt_on(z_t, z_s, epsilon=0.1, iterations=500)
    assert loss.item() == pytest.approx((plan * cost).sum(), abs=1e-5)
    proximal = lckt_on(z_t, z_s, plan="ipot", beta=5.0, iterations=50)  # e = 0.1
    assert proximal.item() == pytest.approx(loss.item(), abs=1e-3)


@pytest.mark.parametrize("plan", ["sinkhorn", "ipot", "exact"])
def test_envelope_gradient_is_that_of_the_plan_held_fixed(plan: str) -> None:
    z_t, z_s = draw(0, 8, 5), draw(1, 8, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(lckt_on(z_t, z_s, plan=plan), z_s)
    term: Any = build("lckt", plan=plan)
    fixed = term._solve(transport.cosine_cost(z_t, z_s.detach())).plan
    (expected,) = torch.autograd.grad((fixed * transport.cosine_cost(z_t, z_s)).sum(), z_s)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_unrolled_gradient_is_another_one() -> None:
    z_t, z_s = draw(0, 8, 5), draw(1, 8, 5).requires_grad_()
    gradients = [
        torch.autograd.grad(lckt_on(z_t, z_s, gradient=kind, epsilon=0.3), z_s)[0]
        for kind in ("envelope", "unrolled")
    ]
    step = 1e-3 * draw(2, 8, 5)
    rise = lckt_on(z_t, z_s + step, epsilon=0.3) - lckt_on(z_t, z_s - step, epsilon=0.3)
    along = [(2 * g * step).sum().item() for g in gradients]
    assert along[1] == pytest.approx(rise.item(), rel=0.02)
    assert abs(along[0] - rise.item()) > 3 * abs(along[1] - rise.item())


def test_debias_is_the_sinkhorn_divergence_and_holds_the_answer_still() -> None:
    z = F.normalize(draw(0, 12, 5), dim=1)
    other = draw(1, 12, 5)
    for student, teacher in ((other, z), (z.clone(), z)):
        student.requires_grad_()
        loss = lckt_on(teacher, student, debias=True, epsilon=0.1, iterations=300)
        expected = transport.sinkhorn_divergence(teacher, student, 0.1, iterations=300).value
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(loss, student)  # student = teacher
    assert abs(loss.item()) < 1e-5 and gradient.abs().max() < 1e-4
    (shrinking,) = torch.autograd.grad(lckt_on(z, student, epsilon=0.1, iterations=300), student)
    assert shrinking.abs().max() > 5e-3  # plain entropic transport moves the exact answer


def test_blind_to_pairing() -> None:
    """Shuffle the teacher and call it the student: no loss, though every pair is wrong."""
    z = draw(0, 16, 5)
    shuffled = z.roll(1, 0)
    assert lckt_on(z, shuffled, plan="exact").item() == pytest.approx(0, abs=1e-5)
    assert lckt_on(z, shuffled).item() == pytest.approx(lckt_on(z, z).item(), abs=1e-5)
    assert lckt_on(z, shuffled, plan="identity").item() > 0.5


def test_trained_on_both_sides_it_collapses() -> None:
    shapes = Shapes(6, 4, 3, 3, True, 64)
    term = build("lckt", shapes, teacher_side="trained", dim=8)
    teacher, student = (
        Output(draw(0, 64, 6).relu() + 0.2, draw(0, 64, 3)),
        Output(draw(1, 64, 4).relu() + 0.2, draw(0, 64, 3)),
    )
    optimizer = torch.optim.Adam(term.parameters(), 0.02)
    for _ in range(300):
        loss = term(a_batch(64), teacher, student, {})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z_t, z_s = term.embed(teacher.features, student.features)  # type: ignore[misc]
    assert loss.item() < 0.01
    assert F.cosine_similarity(z_t[:, None], z_s, dim=-1).min() > 0.9


def test_shared_embeddings_are_stopped_on_the_teachers_side() -> None:
    z_t, z_s = draw(0, 6, 5).requires_grad_(), draw(1, 6, 5).requires_grad_()
    lckt_on(z_t, z_s).backward()
    assert z_t.grad is None and z_s.grad is not None and z_s.grad.any()
    lckt_on(z_t, z_s, teacher_side="trained").backward()
    assert z_t.grad is not None and z_t.grad.any()


def test_alone_or_unshared_it_projects_the_student_itself() -> None:
    teacher, student = outputs(0)
    term: Any = build("lckt", plan="identity")
    alone = term(a_batch(8), teacher, student, {})
    expected = cosine_by_loop(teacher.features, term.project_student(student.features))
    assert alone.item() == pytest.approx(np.trace(expected) / 8, abs=1e-5)
    apart = build("lckt", plan="identity", share=False)
    shared = {"embeddings": (draw(5, 8, 3), draw(6, 8, 3))}
    assert apart(a_batch(8), teacher, student, shared).item() == pytest.approx(alone.item())


def test_equal_dimensions_start_from_the_identity() -> None:
    term = build("lckt", Shapes(4, 4, 3, 3, True, 50), plan="exact")
    same = Output(draw(0, 8, 4), draw(1, 8, 3))
    assert term(a_batch(8), same, same, {}).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epsilon": 0}, "greater than or equal to 0.001"),
        ({"plan": "magic"}, "sinkhorn"),
        ({"debias": True, "plan": "identity"}, "debias"),
        ({"gradient": "unrolled", "plan": "exact"}, "unrolled"),
        ({"iterations": 0}, "greater than or equal to 1"),
        ({"beta": -1}, "greater than 0"),
    ],
)
def test_lckt_refuses_nonsense(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TERMS["lckt"].Settings.model_validate(changes)
