"""Checks of the notebooks' exercises that say right or wrong without giving an answer away.

Numbers are compared with a hash of the solution, anything else with the property that the exercise
asks for. The solutions notebook runs every check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from wcord.transport import cosine_cost, euclidean, exact, sinkhorn

Check = Callable[[Any], str]  # "" where the answer is right, else what is wrong with it

NUMBERS = {  # exercise: digits after the point, hash of the solution (a number or several)
    "2.1": (2, "5f878e4254a8"),
    "2.5": (2, "ce1daf399a0b"),
    "3.3": (3, "9cc00e478e29"),
    "3.5": (0, "05c474ef4456"),
    "4.1": (3, "72bd3fe17de8"),
    "4.4": (3, "e11511aca1ae"),
    "5.3": (3, "4e9ac93b8d66"),
    "6.3": (5, "056a86d93a3e"),
}
ROUNDING = 1e-6  # relative; answers may be computed in float32
MOST_EPSILON = 320.0  # of exercise 3.4, where any ε is right that is large enough


def check(exercise: str, answer: Any) -> None:
    """Print whether an answer is right.

    Args:
        exercise: its number, such as "2.1".
        answer: a number, a tensor, a function or a tuple, as the exercise asks; `...` where there
            is none yet.

    Raises:
        ValueError: there is no such exercise.
    """
    print(f"{exercise}: {wrong_with(exercise, answer) or 'right'}")


def wrong_with(exercise: str, answer: Any) -> str:
    """Return what is wrong with an answer, "" where nothing is (see `check`)."""
    if exercise not in CHECKS and exercise not in NUMBERS:
        raise ValueError(f"there is no exercise {exercise!r}")
    if answer is ...:
        return "no answer yet"
    try:
        return _number(exercise, answer) if exercise in NUMBERS else CHECKS[exercise](answer)
    except Exception as error:
        return f"your answer could not be used ({type(error).__name__}: {error})"


def fingerprint(exercise: str, answer: Any, digits: int) -> str:
    """Return the hash of a number, or of a tuple of numbers, rounded to `digits` after the point.

    Raises:
        ValueError: whole numbers are asked for (`digits` is 0), and the answer is not whole.
    """
    numbers = [float(number) for number in (answer if _several(answer) else (answer,))]
    if digits == 0 and any(number != round(number) for number in numbers):
        raise ValueError("a whole number is asked for")
    text = ",".join(f"{round(number, digits) + 0.0:.{digits}f}" for number in numbers)
    return hashlib.sha256(f"{exercise}:{text}".encode()).hexdigest()[:12]


def _several(answer: Any) -> bool:
    return isinstance(answer, tuple | list) or getattr(answer, "ndim", 0) > 0


def _number(exercise: str, answer: Any) -> str:
    digits, known = NUMBERS[exercise]
    if not digits and float(answer) != round(float(answer)):
        return "a whole number is asked for"
    if fingerprint(exercise, answer, digits) == known:
        return ""
    return f"not yet (give {digits} digits after the point)" if digits else "not yet"


def _tensor(answer: Any) -> Tensor:
    """Return an answer in float64 without gradient: a tensor, an array, lists, lists of tensors."""
    if isinstance(answer, list | tuple) and all(isinstance(row, Tensor) for row in answer):
        answer = torch.stack(list(answer))
    return torch.as_tensor(answer, dtype=torch.float64).detach()


def _far(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors differ by more than rounding (NaN differs from everything)."""
    return not torch.allclose(one, other, rtol=ROUNDING, atol=ROUNDING)


def _uses_wcord(function: Any) -> bool:
    """Whether a function is one of `wcord` or calls one, where the reader's own is asked for."""
    if not isinstance(function, FunctionType):
        raise TypeError("give a plain function (def or lambda)")
    used = [function.__globals__.get(name) for name in function.__code__.co_names]
    homes = [getattr(one, "__module__", getattr(one, "__name__", "")) for one in (function, *used)]
    return any(str(home).split(".")[0] == "wcord" for home in homes)


# ---------------------------------------------------------------------- properties, by exercise


def _best_partner(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    if _uses_wcord(function):
        return "write the function yourself, without wcord"
    draw = torch.Generator().manual_seed(0)
    for n, m in ((3, 4), (5, 2), (1, 1)):
        cost = torch.rand(n, m, generator=draw, dtype=torch.float64)
        f = torch.rand(n, generator=draw, dtype=torch.float64)
        g = _tensor(function(f.clone(), cost.clone()))
        if g.shape != (m,):
            return f"g should have shape ({m},) for a cost of shape ({n}, {m})"
        slack = cost - f[:, None] - g[None, :]
        if not slack.min() >= -ROUNDING:
            return "f_i + g_j exceeds C_ij somewhere"
        if slack.amin(0).max() > ROUNDING:
            return "feasible, but some g_j could be larger"
    return ""


def _linear_is_blind(answer: tuple[Any, Any]) -> str:
    x, y = (_tensor(cloud) for cloud in answer)
    if x.shape != (4, 2) or y.shape != (4, 2):
        return "two clouds of shape (4, 2) are asked for"
    far = float(exact(euclidean(x, y)).value)
    apart = float((x.mean(0) - y.mean(0)).norm())
    if apart > min(ROUNDING * float(torch.cat((x, y)).abs().max()), 1e-3 * far):
        return "their means differ, so a linear critic sees something"
    return (
        "" if far >= 1 - ROUNDING else f"their exact W1 is {far:.2f}, and at least 1 is asked for"
    )


def _gradient_says_nothing(answer: tuple[Any, Any, Any]) -> str:
    g, x, y = answer
    x, y = (_tensor(cloud).reshape(-1, 1) for cloud in (x, y))
    points = torch.cat([x, y])

    def scores(places: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.as_tensor(g(places)).double().reshape(-1)

    at = scores(points)
    # differences on both sides, because g need not be differentiable by autograd
    steps = (-1e-5, 1e-5, 3.7e-6)
    slopes = torch.stack([(scores(points + s) - at).abs() / abs(s) for s in steps])
    if not slopes.max() <= 1 + 1e-4:
        return "a gradient at one of the points exceeds 1"
    raw = float(at[: len(x)].mean() - at[len(x) :].mean())
    best = float(exact(euclidean(x, y)).value)
    if raw > 1.5 * best:
        return ""
    return f"its raw value {raw:.2f} is not more than 1.5 times the exact W1 of {best:.2f}"


def _row_projection(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    draw = torch.Generator().manual_seed(0)
    for n, m in ((3, 4), (5, 2)):
        q = torch.rand(n, m, generator=draw, dtype=torch.float64) + 0.1
        a = torch.rand(n, generator=draw, dtype=torch.float64) + 0.1
        a = a / a.sum()
        p = _tensor(function(q.clone(), a.clone()))
        if p.shape != (n, m) or _far(p.sum(1), a):
            return "the rows do not sum to a"
        ratio = p / q
        if _far(ratio, ratio[:, :1].expand(n, m)):
            return "the rows fit, but another such matrix is nearer to Q in KL"
    return ""


def _column_potential(function: Callable[..., Tensor]) -> str:
    draw = torch.Generator().manual_seed(0)
    for n, m, epsilon in ((4, 3, 1.0), (3, 5, 0.1), (4, 3, 1e-4)):
        cost = torch.rand(n, m, generator=draw, dtype=torch.float64)
        f = torch.rand(n, generator=draw, dtype=torch.float64)
        g = _tensor(function(f.clone(), cost.clone(), epsilon))
        if g.shape != (m,):
            return f"g should have shape ({m},) for a cost of shape ({n}, {m})"
        if not g.isfinite().all():
            return f"at ε = {epsilon:g} an exponential leaves the range of numbers"
        columns = ((f[:, None] + g - cost) / epsilon).exp().sum(0)
        if _far(columns, torch.full_like(columns, 1 / m)):
            return f"at ε = {epsilon:g} the columns do not sum to 1/m"
    return ""


def _nearly_uniform(answer: Any) -> str:
    """All plans of costs in [0, 1] are within a per cent of uniform, and ε is no larger than asked.

    The costs whose doubly centred entry [0, 0] is largest and smallest are the worst ones.
    """
    epsilon = float(answer)
    if not 0 < epsilon <= MOST_EPSILON:
        return f"ε should be above 0 and at most {MOST_EPSILON:g}"
    high = torch.ones(8, 8, dtype=torch.float64)
    high[0, 1:] = high[1:, 0] = 0
    for cost in (high, 1 - high):
        plan = sinkhorn(cost, epsilon, iterations=2000).plan
        far = float((64 * plan - 1).abs().max())
        if far > 0.01:
            return f"there is a cost for which an entry is {100 * far:.3f} % away from 1/64"
    return ""


def _best_bilinear(function: Callable[[Tensor, Tensor], float]) -> str:
    draw = torch.Generator().manual_seed(0)
    for n, d_t, d_s in ((30, 4, 3), (20, 2, 6)):
        t = torch.randn(n, d_t, generator=draw, dtype=torch.float64)
        s = torch.randn(n, d_s, generator=draw, dtype=torch.float64) + t[:, :1]
        cross = (t - t.mean(0)).T @ (s - s.mean(0)) / n
        if _far(_tensor(function(t, s)), torch.linalg.matrix_norm(cross, "nuc")):
            return "that is not the best value of E_joint[g] − E_product[g]"
    return ""


def _normaliser(function: Callable[[Tensor], float]) -> str:
    draw = torch.Generator().manual_seed(0)
    for n in (2, 40):
        scores = 3 * torch.randn(n, n, generator=draw, dtype=torch.float64)
        incongruent = scores[~torch.eye(n, dtype=torch.bool)]
        if _far(_tensor(function(scores)), incongruent.exp().mean()):
            return "that is not the c of (4.3)"
    return ""


def _zero_and_wrong(answer: Any) -> str:
    student = _tensor(answer)
    if student.shape != (6, 6):
        return "six student features of length 6 are asked for"
    cost = cosine_cost(torch.eye(6, dtype=torch.float64), student)
    if not float(exact(cost).value) <= ROUNDING:
        return "the exact transport cost is not 0"
    return "" if float(cost.diagonal().min()) > 0.5 else "some sample still sits on its own teacher"


def _only_the_pairing(answer: tuple[Any, Any]) -> str:
    t, s = (_tensor(side) for side in answer)
    if t.shape != s.shape or t.ndim != 2 or len(t) < 2:
        return "teacher and student features should have one shape (n, d), n at least 2"
    cost = cosine_cost(t, s)
    paired, best = float(cost.diagonal().mean()), float(exact(cost).value)
    if not (abs(paired - best) <= ROUNDING and paired > 0.01):
        return (
            "the paired cost and the transport cost should agree and be above 0.01 "
            f"(now {paired:.3f} and {best:.3f})"
        )
    # if another plan is as good, it avoids a small toll on the diagonal
    toll = 1e-5
    tolled = float(exact(cost + toll * torch.eye(len(t), dtype=torch.float64)).value)
    return "" if tolled > best + 0.99 * toll else "another plan is as cheap as the pairing"


def _total(function: Callable[..., float]) -> str:
    draw = torch.Generator().manual_seed(0)
    for terms in (("ce", "gckt", "lckt"), ("kd",)):
        losses, weights = torch.randn(2, len(terms), generator=draw, dtype=torch.float64)
        named = (dict(zip(terms, row.tolist(), strict=True)) for row in (losses, weights))
        if _far(_tensor(function(*named)), losses @ weights):
            return f"that is not the weighted sum of {', '.join(terms)}"
    return ""


def _gradients(function: Callable[..., tuple[Any, Any]]) -> str:
    """The gradients of <P, C> at W_S and at W_T, P and the teacher's side held fixed."""
    draw = torch.Generator().manual_seed(0)
    t, s, w_t, w_s = (
        torch.randn(*shape, generator=draw, dtype=torch.float64)
        for shape in ((5, 4), (5, 3), (2, 4), (2, 3))
    )
    plan = sinkhorn(cosine_cost(t @ w_t.T, s @ w_s.T), 0.2).plan
    w_t.requires_grad_(True), w_s.requires_grad_(True)
    loss = (plan * cosine_cost(t @ w_t.detach().T, s @ w_s.T)).sum()
    (expected,) = torch.autograd.grad(loss, w_s)
    at_s, at_t = function(plan, t, s, w_t, w_s)
    if at_t is not None and not (_tensor(at_t) == 0).all():
        return "the gradient at W_T is not that of a teacher's side that is held fixed"
    if at_s is None or _far(_tensor(at_s), expected):
        return "the gradient at W_S is not that of <P, C>"
    return ""


CHECKS: dict[str, Check] = {
    "2.2": _best_partner,
    "2.3": _linear_is_blind,
    "2.4": _gradient_says_nothing,
    "3.1": _row_projection,
    "3.2": _column_potential,
    "3.4": _nearly_uniform,
    "4.2": _best_bilinear,
    "4.3": _normaliser,
    "5.1": _zero_and_wrong,
    "5.2": _only_the_pairing,
    "6.1": _total,
    "6.2": _gradients,
}
