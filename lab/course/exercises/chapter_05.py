"""The exercises of chapter 5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.transport import cosine_cost, exact, sinkhorn

from .checking import ROUNDING, Exercise, draws, far, normal, own, tensor, uniform


def _zero_and_wrong(answer: Any) -> str:
    student = tensor(answer)
    if student.shape != (6, 6):
        return "six student features of length 6 are asked for"
    cost = cosine_cost(torch.eye(6, dtype=torch.float64), student)
    if not float(exact(cost).value) <= ROUNDING:
        return "the exact transport cost is not 0"
    if not float(cost.diagonal().min()) > 0.5:
        return "some sample still has the feature of its own teacher"
    return ""


def _collapsed(function: Callable[[int, float], Any]) -> str:
    function = own(function)
    for n, epsilon in ((64, 0.05), (7, 0.31), (200, 0.002), (2, 1.7)):
        found = tensor(function(n, epsilon))
        if found.shape != (2,):
            return "a pair of numbers is asked for: the cost and the objective"
        if far(found[0], torch.zeros(()).double()):
            return f"for n = {n} and ε = {epsilon:g} the cost is wrong"
        plan = sinkhorn(torch.zeros(n, n, dtype=torch.float64), epsilon)
        if far(found[1], plan.objective):
            return f"for n = {n} and ε = {epsilon:g} the objective is wrong"
    return ""


def _plans(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return teacher features (n, d), not of unit length, and plans (n, m) of any marginals."""
    draw = draws(seed)
    found = []
    for n, m, dim in ((4, 6, 3), (5, 2, 4), (3, 3, 2)):
        t = (1 + 3 * uniform(n, 1, draw=draw)) * normal(n, dim, draw=draw) + 0.5
        plan = uniform(n, m, draw=draw) ** 3 + 1e-3
        found.append((t, plan / plan.sum()))
    return found


def _best_direction(function: Callable[[Tensor, Tensor], Any]) -> str:
    function = own(function)
    for t, plan in _plans(0):
        s = tensor(function(t.clone(), plan.clone()))
        shape = (plan.shape[1], t.shape[1])
        if s.shape != shape:
            return (
                f"s should have shape {shape} for t of {tuple(t.shape)}, P of {tuple(plan.shape)}"
            )
        if far(s.norm(dim=1), torch.ones(len(s)).double()):
            return "the student features are not of unit length"
        best = F.normalize(plan.T @ F.normalize(t, dim=1), dim=1)
        if far((plan * cosine_cost(t, s)).sum(), (plan * cosine_cost(t, best)).sum()):
            return "other student features have a smaller cost under this plan"
    return ""


def _lost_variance(function: Callable[[Tensor, Tensor], Any]) -> str:
    function = own(function)
    for t, plan in _plans(1):
        a, b = plan.sum(1), plan.sum(0)
        average = plan.T @ t / b[:, None]
        middle = a @ t
        lost = a @ (t - middle).square().sum(1) - b @ (average - middle).square().sum(1)
        found = tensor(function(t.clone(), plan.clone()))
        if found.ndim:
            return "one number is asked for"
        if far(found, lost):
            return "that is not what (5.4) loses (masses need not be uniform)"
    return ""


def _only_the_pairing(answer: tuple[Any, Any]) -> str:
    t, s = (tensor(side) for side in answer)
    if t.shape != s.shape or t.ndim != 2 or len(t) < 4:
        return "teacher and student features should have one shape (n, dim), n at least 4"
    if not cosine_cost(t, t).max() < 0.5:
        return "two teacher features have a cosine of 0.5 or less"
    cost = cosine_cost(t, s)
    paired, best = float(cost.diagonal().mean()), float(exact(cost).value)
    if not (abs(paired - best) <= ROUNDING and paired > 0.01):
        return (
            "the paired cost and the transport cost should agree and be above 0.01 "
            f"(now {paired:.3f} and {best:.3f})"
        )
    if not cost.diagonal().min() > ROUNDING:
        return "a student feature is a multiple of its teacher's"
    # if another plan is as good, it avoids a small toll on the diagonal
    toll = 1e-5
    tolled = float(exact(cost + toll * torch.eye(len(t), dtype=torch.float64)).value)
    return "" if tolled > best + 0.99 * toll else "another plan is as cheap as the pairing"


def _better_than_the_teacher(function: Callable[[Tensor, float], Any]) -> str:
    function = own(function)
    draw = draws()
    for n, dim, epsilon in ((12, 4, 0.05), (20, 8, 0.2), (9, 3, 0.1)):
        groups = normal(3, dim, draw=draw).repeat_interleave(-(-n // 3), dim=0)[:n]
        t = groups + 0.4 * normal(n, dim, draw=draw)
        s = tensor(function(t.clone(), epsilon))
        if s.shape != t.shape:
            return f"student features of shape {tuple(t.shape)} are asked for"
        if not (s.isfinite().all() and s.norm(dim=1).min() > 1e-9):
            return "a student feature is 0 or not finite, so that it has no direction"
        same, found = (
            sinkhorn(cosine_cost(t, z), epsilon, iterations=5000, tolerance=1e-9).objective
            for z in (t, s)
        )
        if not found < same - 0.01 * epsilon:
            return (
                f"at ε = {epsilon:g} its objective is {float(found):.4f}, and that of the teacher "
                f"itself is {float(same):.4f}: at least {0.01 * epsilon:.4f} less is asked for"
            )
    return ""


EXERCISES = (
    Exercise(
        "5.1",
        "quick",
        _zero_and_wrong,
        (
            "Which property of the student's features does the exact cost depend on, by (5.2)?",
            "Use the same six features for the student. Who has which of them?",
            "Give the features to the samples so that no sample keeps its own.",
        ),
    ),
    Exercise(
        "5.2",
        "quick",
        _collapsed,
        (
            "What is the cost 1 − cos of each pair of samples?",
            "If the cost does not depend on the plan, only the entropy chooses. Which plan is it?",
            "What is H(P) = −Σ P log P of n² equal entries? Put it into (5.1).",
        ),
    ),
    Exercise(
        "5.3",
        "derive",
        _best_direction,
        (
            "The cost of s_j is Σ_i P_ij (1 − cos(t_i, s_j)). Only the second part depends on s_j.",
            "For a unit vector s_j, write the cosine as an inner product. Which of its two sides "
            "must be scaled?",
            "A sum of inner products with s_j is one inner product. Which unit vector makes it "
            "largest?",
        ),
    ),
    Exercise(
        "5.4",
        "derive",
        _lost_variance,
        (
            "This is the law of total variance: total = between groups + inside groups. "
            "What are the groups here?",
            "Write t_i − t̄ = (t_i − s*_j) + (s*_j − t̄), square it, and weight it with P_ij.",
            "Sum over i first: the mixed term is 0 by (5.3).",
        ),
    ),
    Exercise(
        "5.5",
        "explore",
        _only_the_pairing,
        (
            "First find teacher features with large cosines: a common part, and a part of each "
            "sample's own.",
            "Which student features make an exchange of two partners expensive?",
            "Change each teacher feature a little, in a direction that makes it no more similar to "
            "the other teachers; then increase the change until the cost is above 0.01.",
        ),
    ),
    Exercise(
        "5.6",
        "explore",
        _better_than_the_teacher,
        (
            "Begin with the student s = t. In which direction does (5.3) move it?",
            "Compute the entropic plan of t with itself by your own Sinkhorn iterations, or take "
            "weights that are similar: large where the cosine is large.",
            "Replace each t_j by the average of its neighbours under these weights. If the gain is "
            "too small, average again.",
        ),
    ),
)
