"""The assignment: its solution gets every point, ten wrong answers to each criterion get none."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import ot
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course.assignment import checks, grade, solution
from course.assignment.checks import BY_HAND, TASKS, wrong_with
from wcord.transport import cosine_cost, sinkhorn

FOLDER = Path(grade.__file__).parent
RIGHT = {name: getattr(solution, name) for name in (task.name for task in TASKS)}
CRITERIA = [
    pytest.param(task.name, checked, id=checked.__name__)
    for task in TASKS
    for _, _, checked in task.criteria
]


def constant(value: Any) -> Callable[..., Any]:
    return lambda *_: value


# ----------------------------------------------------------------------------- wrong answers


def plan_by(
    cost_of: Callable[[Tensor], Tensor] = lambda C: C,
    columns_first: bool = False,
    rounds: int = 0,
    weights: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda a, b: (a, b),
    finish: Callable[[Tensor], Tensor] = lambda P: P,
    scale: float = 1.0,
) -> Callable[..., Tensor]:
    """Return Sinkhorn in kernel form with one mistake; at a small ε it is NaN throughout."""

    def solve(C: Tensor, a: Tensor, b: Tensor, epsilon: float, iterations: int) -> Tensor:
        K = (-cost_of(C) / (scale * epsilon)).exp()
        a, b = weights(a, b)
        u, v = torch.ones(len(C)), torch.ones(C.shape[1])
        for _ in range(iterations + rounds):
            if columns_first:
                v = b / (K.T @ u)
                u = a / (K @ v)
            else:
                u = a / (K @ v)
                v = b / (K.T @ u)
        return finish(u[:, None] * K * v)

    return solve


def half(P: Tensor) -> Tensor:
    return P / 2


def even(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return torch.full_like(a, 1 / len(a)), torch.full_like(b, 1 / len(b))


def noted(directions: str, sign: float = -1.0, own_positive: bool = True, **wrong: Any) -> Any:
    """Return the loss of GCKT with a mistake."""

    def loss(
        z_t: Tensor,
        z_s: Tensor,
        b_t: Tensor,
        b_s: Tensor,
        index: Tensor,
        group: Tensor,
        tau: float,
    ) -> Any:
        total: Any = 0.0
        other = (group[index][:, None] != group[None, :]).double()
        if wrong.get("all"):
            other = torch.ones_like(other)
        if wrong.get("not_itself"):
            other = 1 - F.one_hot(index, len(b_t)).double()
        if wrong.get("own_group"):
            other = 1 - other
        for letter in directions:
            anchors, bank, fresh = (z_s, b_t, z_t) if letter == "s" else (z_t, b_s, z_s)
            scores = anchors @ bank.T
            at = torch.arange(len(index))
            positive = scores[at, index] if own_positive else (anchors * fresh).sum(1)
            count = len(bank) - 1 if wrong.get("over_all") else other.sum(1)
            gap = positive - wrong.get("share", 1.0) * (scores * other).sum(1) / count
            gap = gap.sum() if wrong.get("summed") else gap.mean()
            total = total + sign * gap * (1 / tau if wrong.get("tau") else 1.0)
        return total.detach() if wrong.get("detached") else total

    return loss


def gradient_by(change: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[..., Tensor]:
    return lambda z_t, z_s, epsilon: change(z_t, z_s, epsilon)


def gradient_of(loss: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[..., Tensor]:
    """Return the gradient of a loss of unit features at z_S, by autograd."""

    def gradient(z_t: Tensor, z_s: Tensor, epsilon: float) -> Tensor:
        leaf = z_s.clone().requires_grad_(True)
        t, s = F.normalize(z_t, dim=1), F.normalize(leaf, dim=1)
        return torch.autograd.grad(loss(t, s, epsilon), leaf)[0]

    return gradient


def plan_of(C: Tensor, epsilon: float) -> Tensor:
    even = torch.full((len(C),), 1 / len(C), dtype=torch.float64)
    return solution.sinkhorn_plan(C, even, even, epsilon, 2000)


def cost(x: Tensor, y: Tensor) -> Tensor:
    return 1 - x @ y.T


def fixed(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    C = cost(x, y)
    return (plan_of(C.detach(), epsilon) * C).sum()


def unrolled(x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    C = cost(x, y)
    return (plan_of(C, epsilon) * C).sum()


def infonce_by(
    change: Callable[[Tensor], Tensor], mean_of: Callable[[Tensor], Tensor] | None = None
) -> Callable[[Tensor], Any]:
    return lambda scores: change((mean_of or (lambda given: given))(scores))


def naive(scores: Tensor) -> Tensor:
    return (scores.diag().exp() / scores.exp().mean(1)).log().mean()


def without_positive(scores: Tensor) -> Tensor:
    n = len(scores)
    away = scores[~torch.eye(n, dtype=torch.bool)].view(n, n - 1)
    return (scores.diag() - away.logsumexp(1) + math.log(n - 1)).mean()


_draw = torch.Generator().manual_seed(5)
_cube = (
    torch.tensor([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)]).double() / 3**0.5
)
_s = solution.blind_pair[1]
_t = solution.blind_pair[0]
_noise = F.normalize(torch.randn(48, 3, generator=_draw, dtype=torch.float64), dim=1)
_flat = torch.stack(
    [torch.cos(torch.arange(48) * math.pi / 24), torch.sin(torch.arange(48) * math.pi / 24)], 1
)

WRONG: dict[str, list[Any]] = {
    "dual_value": [
        lambda f, C, a, b: a @ f + b @ (C - f[:, None]).amax(0),
        lambda f, C, a, b: a @ f + b @ (C + f[:, None]).amin(0),
        lambda f, C, a, b: b @ (C - f[:, None]).amin(0),
        lambda f, C, a, b: a @ f,
        lambda f, C, a, b: a @ f + b @ (C - f[:, None]).mean(0),
        lambda f, C, a, b: a @ f - b @ (C - f[:, None]).amin(0),
        lambda f, C, a, b: f.sum() + (C - f[:, None]).amin(0).sum(),
        lambda f, C, a, b: a @ f + b @ C.amin(0),
        lambda f, C, a, b: ot.emd2(a.numpy(), b.numpy(), C.numpy()),
        lambda f, C, a, b: float("nan"),
        lambda f, C, a, b: a @ f + b @ (C - f[:, None]).amin(0) + 1e-3,
        lambda f, C, a, b: 0.6,
    ],
    "sinkhorn_plan": [
        lambda C, a, b, e, k: sinkhorn(C, e, source=a, target=b, iterations=k).plan,
        lambda C, a, b, e, k: torch.as_tensor(ot.sinkhorn(a, b, C, e, numItermax=k)),
        plan_by(columns_first=True),
        plan_by(finish=half),
        plan_by(cost_of=lambda C: -C),
        plan_by(scale=2.0),
        plan_by(scale=0.5),
        plan_by(cost_of=lambda C: C**2),
        plan_by(finish=lambda P: P.T),
        plan_by(finish=lambda P: P.sum(1)),
        plan_by(finish=lambda P: P + 1e-5),
        lambda C, a, b, e, k: torch.outer(a, b),
        lambda C, a, b, e, k: torch.full_like(C, 1 / C.numel()),
        lambda C, a, b, e, k: (-C / e).softmax(1) * a[:, None],
    ],
    "certificate": [
        lambda x, y, d: x.mean() - y.mean(),
        lambda x, y, d: (x.mean() - y.mean()) / (x[:, None] - y).abs().max(),
        lambda x, y, d: (x.mean() - y.mean()) / ((x[:, None] - y).abs() / d).mean(),
        lambda x, y, d: (x.mean() - y.mean()) / ((x[:, None] - y).abs() / d).min(),
        lambda x, y, d: (x.mean() - y.mean()) * ((x[:, None] - y).abs() / d).max(),
        lambda x, y, d: (y.mean() - x.mean()) / ((x[:, None] - y).abs() / d).max(),
        lambda x, y, d: ((x.mean() - y.mean()) / ((x[:, None] - y).abs() / d).max()).clamp_min(0),
        lambda x, y, d: (x.sum() - y.sum()) / ((x[:, None] - y).abs() / d).max(),
        lambda x, y, d: (x.max() - y.min()) * d.max(),
        lambda x, y, d: d.min(),
        lambda x, y, d: torch.tensor(math.nan),
        lambda x, y, d: (x.mean() - y.mean()) / (x.std() + y.std() + d.mean()),
        lambda x, y, d: ot.emd2([], [], d.numpy()),
        lambda x, y, d: ((x[:, None] - y).abs() / d).max(),
    ],
    "gckt_loss": [
        noted("st", sign=1.0),
        noted("st", own_positive=False),
        noted("st", all=True),
        noted("st", not_itself=True),
        noted("st", own_group=True),
        noted("st", over_all=True),
        noted("st", summed=True),
        noted("st", tau=True),
        noted("st", share=0.0),
        noted("st", share=10.0),
        noted("t"),
        noted("tt"),
        noted("ss"),
        noted("st", sign=-0.5),
        noted("st", all=True, detached=True),
        lambda z_t, z_s, b_t, b_s, index, group, tau: F.cross_entropy(z_s @ b_t.T / tau, index),
        lambda z_t, z_s, b_t, b_s, index, group, tau: cosine_cost(z_t, z_s).mean(),
        constant(-4.0),
    ],
    "debiased_gradient": [
        gradient_of(fixed),
        gradient_of(unrolled),
        gradient_of(lambda t, s, e: fixed(t, s, e) - fixed(s, s, e)),
        gradient_of(lambda t, s, e: fixed(t, s, e) - 0.5 * fixed(s.detach(), s, e)),
        gradient_of(lambda t, s, e: fixed(t, s, e) + 0.5 * fixed(s, s, e)),
        gradient_of(lambda t, s, e: unrolled(t, s, e) - 0.5 * unrolled(s, s, e)),
        gradient_of(lambda t, s, e: -fixed(t, s, e) + 0.5 * fixed(s, s, e)),
        gradient_of(lambda t, s, e: (1 - (t * s).sum(1)).mean()),
        gradient_of(lambda t, s, e: (t - s).square().sum()),
        gradient_by(lambda t, s, e: torch.zeros_like(s)),
        gradient_by(lambda t, s, e: s),
        gradient_by(lambda t, s, e: len(s) * solution.debiased_gradient(t, s, e) + 0.1 * s),
        gradient_by(lambda t, s, e: solution.debiased_gradient(t, s, e).T),
        gradient_by(lambda t, s, e: solution.debiased_gradient(t, s, e) * math.nan),
        gradient_by(lambda t, s, e: solution.debiased_gradient(t, s, e) - 1e-2 * t),
        gradient_by(lambda t, s, e: cosine_cost(t, s)),
    ],
    "infonce_bound": [
        without_positive,
        naive,
        lambda g: (g.diag() - g.mean(1)).mean(),
        lambda g: g.diag().mean(),
        lambda g: (g.diag() - g.logsumexp(1)).mean(),
        lambda g: -(g.diag() - g.logsumexp(1) + math.log(len(g))).mean(),
        lambda g: (g.diag() - g.logsumexp(1) + math.log(len(g))).sum(),
        lambda g: math.log(len(g)) + 1,
        lambda g: (g.diag() - g.logsumexp(1) + math.log(len(g) + 1)).mean(),
        lambda g: (g.diag() - g.logsumexp(1) + math.log(len(g) - 1)).mean(),
        lambda g: (g.diag() - g.amax(1)).mean(),
        lambda g: g.softmax(1).diag().mean(),
        lambda g: torch.tensor(math.nan),
    ],
    "blind_pair": [
        (_t, _t),
        (2 * _t, _s),
        (_flat, _flat),
        (_t[:6], _s[:6]),
        (_t[:, :2], _s),
        (_noise, F.normalize(_noise[:, [1, 2, 0]], dim=1)),
        (_noise, torch.ones(48, 1)),
        (_noise, _s),
        (_t, _s[:40]),
        (_t, 3 * _s),
        ([[1.0, 0.0, 0.0]] * 10, [[1.0, 0.0]] * 10),
        (_cube.repeat(6, 1), F.normalize(_cube.repeat(6, 1)[:, :2], dim=1)),
        (_t.repeat(2, 1), _s.repeat(2, 1)),
    ],
}


@pytest.fixture(autouse=True, scope="module")
def doubles() -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# -------------------------------------------------------------------------------------- tests


def test_the_solution_gets_every_point() -> None:
    assert not [one for one in grade.grade(RIGHT) if one.missing]
    assert sum(task.points for task in TASKS) + BY_HAND == 20


@cache
def missing(criterion: checks.Criterion, name: str, place: int) -> str:
    return wrong_with(criterion, WRONG[name][place])


@pytest.mark.parametrize(("name", "criterion"), CRITERIA)
def test_ten_wrong_answers_fail_each_criterion(name: str, criterion: checks.Criterion) -> None:
    said = [missing(criterion, name, place) for place in range(len(WRONG[name]))]
    assert sum(map(bool, said)) >= 10
    assert not any("\n" in sentence for sentence in said)


@pytest.mark.parametrize("name", RIGHT)
def test_every_wrong_answer_costs_a_point(name: str) -> None:
    (task,) = (task for task in TASKS if task.name == name)
    for place in range(len(WRONG[name])):
        assert any(missing(checked, name, place) for _, _, checked in task.criteria), place


def test_right_answers_in_other_words_get_every_point() -> None:
    def by_numpy(f: Tensor, C: Tensor, a: Tensor, b: Tensor) -> float:
        f_, C_ = f.numpy(), C.numpy()
        return float(a.numpy() @ f_ + b.numpy() @ np.min(C_ - f_[:, None], axis=0))

    def direct(scores: Tensor) -> Tensor:
        return math.log(len(scores)) - F.cross_entropy(scores, torch.arange(len(scores)))

    def by_formula(z_t: Tensor, z_s: Tensor, epsilon: float) -> Tensor:
        """-P' t + Q s, less its part along s, over the length of s; Q is symmetric."""
        t, s = F.normalize(z_t, dim=1), F.normalize(z_s, dim=1)
        pull = plan_of(cost(s, s), epsilon) @ s - plan_of(cost(t, s), epsilon).T @ t
        return (pull - (pull * s).sum(1, keepdim=True) * s) / z_s.norm(dim=1, keepdim=True)

    others = {"dual_value": by_numpy, "infonce_bound": direct, "debiased_gradient": by_formula}
    assert not [one for one in grade.grade(RIGHT | others) if one.missing]


def test_nothing_handed_in_gets_nothing() -> None:
    assert sum(one.given for one in grade.grade({})) == 0
    names, failed = grade.names_of(FOLDER / "assignment.ipynb")
    assert not failed and sum(one.given for one in grade.grade(names)) == 0


def test_a_submission_is_graded_although_cells_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = json.loads((FOLDER / "assignment.ipynb").read_text("utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code[1]["source"] = (
        "%time\ndef dual_value(f, C, a, b):\n    return a @ f + b @ (C - f[:, None]).amin(0)"
    )
    code[3]["source"] = "1 / 0"
    file = tmp_path / "mine.ipynb"
    file.write_text(json.dumps(notebook), "utf-8")
    assert grade.main([str(file)]) == 0
    said = capsys.readouterr().out
    assert "could not be run: cell 4: ZeroDivisionError" in said
    assert "The dual value of a potential: 2 of 2" in said and "2 of 17 points" in said
    assert grade.main([str(tmp_path / "none.ipynb")]) == 2


def test_the_rubric_names_every_task_with_its_points() -> None:
    rubric = (FOLDER / "rubric.md").read_text("utf-8")
    for number, task in enumerate(TASKS, 1):
        assert f"| {number} | `{task.name}` | {task.points} |" in rubric
    assert f"| 8 | a study, in words | {BY_HAND} |" in rubric


def test_students_get_no_solution() -> None:
    text = (FOLDER / "assignment.ipynb").read_text("utf-8")
    assert "checks" not in text and "solution" not in text
    targets = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text("utf-8"))["tool"]
    for target in targets["hatch"]["build"]["targets"].values():
        assert "course" not in target["only-include"]  # neither in the wheel nor in the archive
