"""The exercises of chapter 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wcord.transport import exact, sinkhorn, squared_euclidean_cost

from .checking import ROUNDING, Exercise, draws, far, masses, normal, numbers, own, tensor, uniform

MOST = 4.0  # times width / share: no larger ε is taken in exercise 3.4
APART, NEAR, EPSILON = 0.5, 0.02, 0.3  # of exercise 3.10: distances in x, costs, the largest ε


def _row_projection(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    function = own(function)
    draw = draws()
    for n, m in ((3, 4), (5, 2)):
        q = 3 * uniform(n, m, draw=draw) + 0.1
        a = masses(n, draw)
        p = tensor(function(q.clone(), a.clone()))
        if p.shape != (n, m) or far(p.sum(1), a):
            return "the rows do not sum to a"
        ratio = p / q
        if far(ratio, ratio[:, :1].expand(n, m)):
            return "the rows fit, but another such matrix is nearer to Q in KL"
    return ""


def _column_potential(function: Callable[..., Tensor]) -> str:
    function = own(function)
    draw = draws()
    for n, m, epsilon in ((4, 3, 1.0), (3, 5, 0.1), (4, 3, 1e-4)):
        cost = uniform(n, m, draw=draw)
        f, b = uniform(n, draw=draw), masses(m, draw)
        g = tensor(function(f.clone(), cost.clone(), b.clone(), epsilon))
        if g.shape != (m,):
            return f"g should have shape ({m},) for a cost of shape ({n}, {m})"
        if not g.isfinite().all():
            return f"at ε = {epsilon:g} an exponential leaves the range of numbers"
        columns = ((f[:, None] + g - cost) / epsilon).exp().sum(0)
        if far(columns, b):
            return f"at ε = {epsilon:g} the columns do not sum to b"
    return ""


def _nearly_uniform(function: Callable[[float, float], Any]) -> str:
    """ε suffices for all costs of a width, and is not far larger than it needs to be.

    The costs whose doubly centred entry [0, 0] is largest and smallest are the worst ones.
    """
    function = own(function)
    for width, share, n, m in ((1.0, 0.01, 8, 8), (2.0, 0.1, 30, 20), (0.3, 0.5, 64, 64)):
        epsilon = float(function(width, share))
        about = f"at width {width:g} and share {share:g}"
        if not 0 < epsilon <= MOST * width / share:
            return f"{about} ε should be above 0 and at most 4 * width / share"
        high = torch.ones(n, m, dtype=torch.float64)
        high[0, 1:] = high[1:, 0] = 0
        for cost in (width * high, width * (1 - high) - 7):
            plan = sinkhorn(cost, epsilon, iterations=2000).plan
            away = float((n * m * plan - 1).abs().max())
            if away > share:
                return f"{about} there is a cost for which an entry is {100 * away:.2f} % away"
    return ""


def _rise(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    for n, m, epsilon in ((4, 3, 0.1), (2, 5, 1.0), (3, 3, 0.02)):
        log_q, a = normal(n, m, draw=draw), masses(n, draw)
        q = log_q.exp()
        moved = epsilon * (a / q.sum(1)).log()  # what the update adds to f
        rise = a @ moved - epsilon * (q * (a / q.sum(1))[:, None]).sum() + epsilon * q.sum()
        found = tensor(function(q.clone(), a.clone(), epsilon)).reshape(-1)
        if found.shape != (1,) or far(found, rise.reshape(1)):
            missed = epsilon * (a * (a / q.sum(1)).log()).sum()
            if found.shape == (1,) and not far(found, missed.reshape(1)):
                return "that is right for a matrix of total mass 1, and Q has another total"
            return f"at ε = {epsilon:g} and n = {n} that is not the rise of (3.11)"
    return ""


def _two_by_two(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    for epsilon in (1.0, 0.2, 0.05, 1e-4):
        cost = 2 * uniform(2, 2, draw=draw) - 0.5
        plan = tensor(function(cost.clone(), epsilon))
        if plan.shape != (2, 2) or not plan.isfinite().all():
            return f"at ε = {epsilon:g} that is not a matrix (2, 2) of finite numbers"
        half = torch.full((2,), 0.5, dtype=torch.float64)
        if far(plan.sum(0), half) or far(plan.sum(1), half):
            return "the rows and the columns should sum to one half"
        if far(plan, sinkhorn(cost, epsilon, iterations=20_000, tolerance=1e-13).plan):
            return f"at ε = {epsilon:g} another plan has a lower objective"
    return ""


def _slopes_in_epsilon(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    for n, m, epsilon in ((4, 3, 0.3), (2, 5, 1.0)):
        cost, a, b = uniform(n, m, draw=draw), masses(n, draw), masses(m, draw)
        plan = sinkhorn(cost, epsilon, source=a, target=b, iterations=20_000, tolerance=1e-14).plan
        found = function(plan.clone(), a.clone(), b.clone())
        values = torch.stack([tensor(value).reshape(()) for value in found])
        if values.shape != (3,):
            return "the function should return three numbers"
        first = (plan * plan.log()).sum()
        expected = torch.stack([first, first - 1, (plan * (plan / torch.outer(a, b)).log()).sum()])
        for place, (value, right) in enumerate(zip(values, expected, strict=True)):
            if far(value, right):
                return f"the slope of convention {place + 1} is not right at n = {n}, m = {m}"
    return ""


def _below_the_exact_cost(answer: tuple[Any, Any]) -> str:
    cost, epsilon = tensor(answer[0]), float(answer[1])
    if cost.ndim != 2 or max(cost.shape) > 10 or not 0.001 <= epsilon <= 0.1:
        return "the cost should have at most ten points a side, and ε should be from 0.001 to 0.1"
    if not (cost.min() >= 0 and cost.max() <= 1):
        return "the entries of the cost should lie in [0, 1]"
    best = float(exact(cost).value)
    value = float(sinkhorn(cost, epsilon, iterations=100).value)
    if best < 1e-3:
        return "the exact value is 0 or nearly so, and nothing is below it"
    if value <= best / 2:
        return ""
    return (
        f"after 100 iterations the value is {value:.3f}, and half of the exact one {best / 2:.3f}"
    )


def _prefers_the_wrong(answer: tuple[Any, Any, Any]) -> str:
    x, y, epsilon = tensor(answer[0]), tensor(answer[1]), float(answer[2])
    if x.shape != (8, 2) or y.shape != (8, 2):
        return "both clouds should have shape (8, 2)"
    if not 0 < epsilon <= EPSILON:
        return f"ε should be above 0 and at most {EPSILON:g}"
    apart = torch.cdist(x, x) + torch.eye(8, dtype=torch.float64) * 9
    if not apart.min() >= APART - ROUNDING:
        return f"two points of x are nearer than {APART:g} to each other"

    def objective(one: Tensor, other: Tensor) -> float:
        cost = squared_euclidean_cost(one, other)
        return float(sinkhorn(cost, epsilon, iterations=20_000, tolerance=1e-9).objective)

    if not float(exact(squared_euclidean_cost(x, y)).value) >= NEAR:
        return f"the exact cost between the clouds is below {NEAR:g}"
    gain = objective(x, x) - objective(x, y)
    if not gain >= NEAR:
        return f"OT_ε(x, x) − OT_ε(x, y) is {gain:.3f}, and should be at least {NEAR:g}"
    return ""


EXERCISES = (
    Exercise(
        "3.1",
        "quick",
        _row_projection,
        (
            "(3.14) says what the projection does to each row.",
            "Every row of Q is multiplied by one number; by which, if its sum should be a_i?",
        ),
    ),
    Exercise(
        "3.2",
        "quick",
        _column_potential,
        (
            "Which exponents are too large for a number format, and for which function of "
            "torch are they not?",
            "`torch.logsumexp(z, dim)` computes log Σ exp(z) and subtracts the largest z first.",
            "Sum over the sources, which is dimension 0 of a matrix (n, m); f needs `f[:, None]`.",
        ),
    ),
    Exercise(
        "3.3",
        "quick",
        numbers("3.3", 3, "4c3f7caa20e6"),
        (
            "The table of conventions has the differences between the three objectives.",
            "The entropy of a uniform mass on n points is log n (natural logarithm).",
            "Subtract ε (H(a) + H(b)); the second convention is ε below the first.",
        ),
    ),
    Exercise(
        "3.4",
        "derive",
        _nearly_uniform,
        (
            "Write the ratio of two entries of the plan with (3.2). What must be bounded?",
            "A soft minimum of numbers changes by at most c if each number changes by at most c.",
            "By (3.5) f, g and C each vary by at most the width: how much does f_i + g_j − C_ij?",
            "The mean of n m P_ij is 1, so each of them lies within this factor of 1.",
        ),
    ),
    Exercise(
        "3.5",
        "quick",
        numbers("3.5", 4, "532fd38d2460"),
        (
            "By (3.7) R exact steps at β are Sinkhorn at one ε. Which?",
            "Two runs have the same plan where their β / R agree.",
        ),
    ),
    Exercise(
        "3.6",
        "derive",
        _rise,
        (
            "Which terms of (3.11) change when f changes and g does not?",
            "The update adds ε log(a_i / (Q1)_i) to f_i. What is the total mass afterwards?",
            "The first part is ε Σ a_i log(a_i / (Q1)_i). The second is ε times a change of mass.",
        ),
    ),
    Exercise(
        "3.7",
        "derive",
        _two_by_two,
        (
            "A plan with masses one half has one unknown p: the diagonal is p, the rest ½ − p.",
            "By (3.2) P_11 P_22 / (P_12 P_21) does not depend on the potentials.",
            "Solve p / (½ − p) = exp(s) for p. Which form has no overflow if s is large?",
        ),
    ),
    Exercise(
        "3.8",
        "derive",
        _slopes_in_epsilon,
        (
            "The proof of (3.8) works for ε as well as for C.",
            "At a minimum the plan may be held fixed: differentiate ⟨P, C⟩ − ε H(P) in ε alone.",
            "The other two conventions differ by ε times a number that does not depend on ε.",
        ),
    ),
    Exercise(
        "3.9",
        "explore",
        _below_the_exact_cost,
        (
            "The columns are right. The value is too low if cheap rows have too much mass.",
            "Let most sources compete for few cheap targets, so that some must go elsewhere.",
            "Entries 0 and 1 are enough: a block of ones with more than n rows and columns in sum.",
            "Then make ε small, so that few rescalings move little mass.",
        ),
    ),
    Exercise(
        "3.10",
        "explore",
        _prefers_the_wrong,
        (
            "Under (3.10) a cloud moves away from the exact answer. Where does it go?",
            "The entropic plan joins x_i to its neighbours, too. Which y_i is nearest to them all?",
            "Try y = mean + factor · (x − mean) at the largest ε, with points of x close together.",
        ),
    ),
)
