"""kd with standardised logits: against numpy, its invariances, equal logits, and switched off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import wcord
from wcord.models import Output
from wcord.objectives.kd import KD, KDSettings
from wcord.objectives.term import Batch, Shapes

seeds = st.integers(0, 2**31)
temperatures = st.floats(0.5, 8)
quick = settings(max_examples=30)


def kd(
    teacher: Tensor, student: Tensor, temperature: float = 2, standardise: bool = True
) -> Tensor:
    """The loss of logits (n, classes)."""
    n, classes = teacher.shape
    term = KD(
        KDSettings(temperature=temperature, standardise=standardise),
        Shapes(1, 1, classes, classes, True, n),
        seed=0,
    )
    index = torch.arange(n)
    batch = Batch(index, index, torch.ones(n, dtype=torch.bool), index, step=0, seed=0)
    sides = (Output(torch.zeros(n, 1), logits) for logits in (teacher, student))
    return term(batch, *sides, {})


def logits(seed: int, n: int, classes: int) -> tuple[Tensor, Tensor]:
    """Logits of teacher and student in float64, of different range."""
    draw = torch.randn(2, n, classes, generator=torch.Generator().manual_seed(seed)).double()
    return 8 * draw[0] + 3, 0.5 * draw[1]


@quick
@given(seed=seeds, n=st.integers(1, 6), classes=st.integers(2, 9), temperature=temperatures)
def test_standardised_equals_numpy(seed: int, n: int, classes: int, temperature: float) -> None:
    teacher, student = logits(seed, n, classes)
    total = 0.0
    for t, s in zip(teacher.numpy(), student.numpy(), strict=True):
        z_t, z_s = ((x - np.mean(x)) / (np.std(x, ddof=1) + 1e-7) / temperature for x in (t, s))
        p, q = (np.exp(z) / np.exp(z).sum() for z in (z_t, z_s))
        total += temperature**2 * np.sum(p * np.log(p / q)) / n
    loss = kd(teacher, student, temperature)
    assert loss.item() == pytest.approx(total, rel=1e-9, abs=1e-12)


@quick
@given(seed=seeds, temperature=temperatures)
def test_shift_and_scale_of_any_sample_change_nothing(seed: int, temperature: float) -> None:
    teacher, student = logits(seed, 5, 4)
    draw = np.random.default_rng(seed)
    (a, c), (b, d) = (
        (torch.tensor(draw.uniform(low, high, (5, 1))) for low, high in ((0.1, 30), (-9, 9)))
        for _ in range(2)
    )
    loss = kd(teacher, student, temperature)
    changed = kd(a * teacher + c, b * student + d, temperature)
    torch.testing.assert_close(changed, loss, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(kd(teacher, b * teacher + d).abs(), 0 * loss, rtol=0, atol=1e-9)
    plain = kd(a * teacher + c, b * student + d, temperature, standardise=False)
    assert (plain - kd(teacher, student, temperature, standardise=False)).abs() > 1e-4


def test_gradient_equals_finite_differences() -> None:
    teacher, student = logits(0, 4, 5)
    assert torch.autograd.gradcheck(lambda s: kd(teacher, s), student.requires_grad_())


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e4 / 7])
@pytest.mark.parametrize("classes", [2, 7, 100])
@pytest.mark.parametrize("n", [1, 3])  # the std of one row of 100 times 0.1 is 7e-9, by rounding
def test_a_row_of_equal_logits_has_no_gradient(constant: float, classes: int, n: int) -> None:
    teacher, student = (x.float() for x in logits(0, n, classes))
    student[0] = constant
    student.requires_grad_()
    loss = kd(teacher, student)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.isfinite() and not gradient[0].any()
    if n > 1:
        (alone,) = torch.autograd.grad(kd(teacher[1:], student[1:]), student)
        torch.testing.assert_close(gradient, alone * (n - 1) / n)


def test_a_teacher_of_equal_logits_teaches_the_uniform_distribution() -> None:
    _, student = logits(0, 3, 5)
    student.requires_grad_()
    loss = kd(torch.full((3, 5), 0.1).double(), student)
    loss.backward()
    assert loss > 0 and student.grad is not None and student.grad.isfinite().all()


def test_off_is_the_plain_formula_to_the_bit() -> None:
    teacher, student = (x.float() for x in logits(0, 6, 5))
    for value in (student, student.clone().requires_grad_()):
        log_p, log_q = (F.log_softmax(x / 4.0, -1) for x in (teacher, value))
        expected = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * 4.0**2
        assert torch.equal(kd(teacher, value, 4.0, standardise=False), expected)
    assert KDSettings().standardise is False


def test_a_run_in_bfloat16_stays_finite(short: wcord.Experiment, tmp_path: Path) -> None:
    arms = {"kd": {"ce": 1, "kd": {"weight": 9, "temperature": 2, "standardise": True}}}
    change = {"arms": arms, "epochs": 1, "precision": "bfloat16", "probe.enabled": False}
    run = wcord.distill(short.replace(change), tmp_path / "run", progress=False)
    assert run.summary is not None and run.summary["arms"]["kd"]["frozen"] is None
    losses = run.metrics().query("name == 'kd'")["value"]
    assert len(losses) and np.isfinite(losses).all() and losses.iloc[-1] > 0
