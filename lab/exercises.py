"""Checks of the notebooks' exercises that say right or wrong without giving an answer away.

A number is compared with a hash of the solution, anything else is held against the property
that was asked for. The solutions notebook runs every check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wcord.certificate import certify, euclidean
from wcord.transport import exact, sinkhorn

Check = Callable[[Any], str]  # "" where the answer is right, else what is wrong with it

NUMBERS = {  # exercise: digits after the point, hashes of the solution
    "2.1": (2, "5f878e4254a8"),
    "2.5": (2, "ce1daf399a0b"),
    "3.3": (3, "9cc00e478e29"),
    "3.5": (0, "05c474ef4456"),
    "4.1": (3, "72bd3fe17de8"),
    "4.4": (3, "b7c2470d226b"),
    "5.3": (3, "4e9ac93b8d66"),
    "6.3": (5, "056a86d93a3e"),
}


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


def fingerprint(exercise: str, value: float, digits: int) -> str:
    """Return the hash of a number, rounded."""
    return hashlib.sha256(f"{exercise}:{value:.{digits}f}".encode()).hexdigest()[:12]


def _number(exercise: str, answer: Any) -> str:
    digits, known = NUMBERS[exercise]
    step = 10.0**-digits
    near = [fingerprint(exercise, float(answer) + shift * step, digits) for shift in (-1, 0, 1)]
    return "" if known in near else f"not yet (give {digits} digits after the point)"


# ---------------------------------------------------------------------- properties, by exercise


def _best_partner(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    draw = torch.Generator().manual_seed(0)
    for n, m in ((3, 4), (5, 2), (1, 1)):
        cost = torch.rand(n, m, generator=draw, dtype=torch.float64)
        f = torch.rand(n, generator=draw, dtype=torch.float64)
        g = torch.as_tensor(function(f, cost))
        if g.shape != (m,):
            return f"g should have shape ({m},) for a cost of shape ({n}, {m})"
        slack = cost - f[:, None] - g[None, :]
        if slack.min() < -1e-9:
            return "f_i + g_j exceeds C_ij somewhere"
        if slack.amin(0).max() > 1e-9:
            return "feasible, but some g_j could be larger"
    return ""


def _linear_is_blind(answer: tuple[Tensor, Tensor]) -> str:
    x, y = (torch.as_tensor(cloud, dtype=torch.float64) for cloud in answer)
    if x.shape != (4, 2) or y.shape != (4, 2):
        return "two clouds of shape (4, 2) are asked for"
    if (x.mean(0) - y.mean(0)).norm() > 1e-9:
        return "their means differ, so a linear critic sees something"
    far = float(exact(euclidean(x, y)).value)
    return "" if far >= 1 else f"their exact W1 is {far:.2f}, and at least 1 is asked for"


def _gradient_says_nothing(answer: tuple[Any, Any, Any]) -> str:
    g, x, y = answer
    x, y = (torch.as_tensor(cloud, dtype=torch.float64).reshape(-1, 1) for cloud in (x, y))
    points = torch.cat([x, y]).requires_grad_(True)
    scores = torch.as_tensor(g(points)).reshape(-1)
    (gradient,) = torch.autograd.grad(scores.sum(), points)
    if gradient.abs().max() > 1:
        return "a gradient at one of the points exceeds 1"
    at_x, at_y = scores[: len(x)].detach(), scores[len(x) :].detach()
    steps = (at_x[:, None] - at_y).abs().numpy()
    raw = float(at_x.mean() - at_y.mean())
    best = float(exact(euclidean(x, y)).value)
    slope = certify(raw, steps, euclidean(x, y).numpy()).slope
    if raw <= best * 1.5:
        return f"its raw value {raw:.2f} is not yet 1.5 times the exact W1 of {best:.2f}"
    return "" if slope > 1 else "its slope between the clouds does not exceed 1"


def _row_projection(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    draw = torch.Generator().manual_seed(0)
    for n, m in ((3, 4), (5, 2)):
        q = torch.rand(n, m, generator=draw, dtype=torch.float64) + 0.1
        a = torch.rand(n, generator=draw, dtype=torch.float64) + 0.1
        a = a / a.sum()
        p = torch.as_tensor(function(q, a))
        if p.shape != (n, m) or (p.sum(1) - a).abs().max() > 1e-9:
            return "the rows do not sum to a"
        ratio = p / q
        if (ratio - ratio[:, :1]).abs().max() > 1e-9:
            return "the rows fit, but another such matrix is nearer to Q in KL"
    return ""


def _column_potential(function: Callable[..., Tensor]) -> str:
    draw = torch.Generator().manual_seed(0)
    cost = torch.rand(4, 3, generator=draw, dtype=torch.float64)
    for epsilon in (1.0, 0.1, 1e-4):
        f = torch.rand(4, generator=draw, dtype=torch.float64)
        g = torch.as_tensor(function(f, cost, epsilon))
        if g.shape != (3,):
            return "g should have shape (3,) for a cost of shape (4, 3)"
        if not g.isfinite().all():
            return f"at ε = {epsilon:g} an exponential leaves the range of numbers"
        columns = ((f[:, None] + g - cost) / epsilon).exp().sum(0)
        if (columns - 1 / 3).abs().max() > 1e-6:
            return f"at ε = {epsilon:g} the columns do not sum to 1/m"
    return ""


def _best_bilinear(function: Callable[[Tensor, Tensor], float]) -> str:
    draw = torch.Generator().manual_seed(0)
    for d_t, d_s in ((4, 3), (2, 6)):
        t = torch.randn(30, d_t, generator=draw, dtype=torch.float64)
        s = torch.randn(30, d_s, generator=draw, dtype=torch.float64) + t[:, :1]
        told = float(function(t, s))
        cross = (t - t.mean(0)).T @ (s - s.mean(0)) / len(t)
        if abs(told - float(torch.linalg.matrix_norm(cross, "nuc"))) > 1e-6:
            return "that is not the best value of E_joint[g] − E_product[g]"
    return ""


def _normaliser(function: Callable[[Tensor], float]) -> str:
    draw = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(40, 40, generator=draw, dtype=torch.float64)
    told = torch.as_tensor(function(scores)).double()
    away = ~torch.eye(40, dtype=torch.bool)
    mean, all_of_them = scores[away].exp().mean(), scores.exp().mean()
    if min(abs(told / mean - 1), abs(told / all_of_them - 1)) > 1e-6:
        return "c is the mean of e^g over incongruent pairs"
    shifted = torch.as_tensor(function(scores + 2)).double()
    return (
        "" if abs(shifted / told - torch.tensor(2.0).exp()) < 1e-6 else "shifting g should scale c"
    )


def _zero_and_wrong(answer: Tensor) -> str:
    student = torch.as_tensor(answer, dtype=torch.float64)
    if student.shape != (6, 6):
        return "six student features of length 6 are asked for"
    cost = (1 - torch.nn.functional.normalize(student, dim=1)).T  # teacher i is the unit vector i
    if float(exact(cost.contiguous()).value) > 1e-9:
        return "the exact transport cost is not 0"
    return "" if float(cost.diagonal().min()) > 0.5 else "some sample still sits on its own teacher"


def _identity_gap(answer: tuple[Tensor, Tensor]) -> str:
    t, s = (torch.as_tensor(side, dtype=torch.float64) for side in answer)
    if t.shape != s.shape or t.ndim != 2:
        return "teacher and student features should have one shape (n, d)"
    unit = [torch.nn.functional.normalize(side, dim=1) for side in (t, s)]
    cost = (1 - unit[0] @ unit[1].T).clamp(0, 2)
    paired, best = float(cost.diagonal().mean()), float(exact(cost).value)
    return (
        ""
        if abs(paired - best) < 1e-9 and paired > 0.01
        else (
            "the paired cost and the transport cost should agree and be above 0.01 "
            f"(now {paired:.3f} and {best:.3f})"
        )
    )


def _which_moves(answer: Any) -> str:
    """Which term moves which parameters, as a table of four booleans."""
    told = tuple(bool(entry) for entry in answer)
    known = "6545e1"
    return "" if hashlib.sha256(f"6.2:{told}".encode()).hexdigest()[:6] == known else "not yet"


def _total(function: Callable[..., float]) -> str:
    told = float(function({"ce": 0.5, "gckt": -1.8, "lckt": 0.1}, {"ce": 1, "gckt": 5, "lckt": 0}))
    if abs(told - (0.5 - 9.0)) > 1e-9:
        return "a term of weight 0 counts for nothing, the others for weight times loss"
    return "" if abs(float(function({"ce": 2.0}, {"ce": 0.5})) - 1) < 1e-9 else "not for one term"


def _more_uniform(answer: float) -> str:
    draw = torch.Generator().manual_seed(0)
    cost = torch.rand(8, 8, generator=draw, dtype=torch.float64)
    plan = sinkhorn(cost, float(answer), iterations=2000).plan
    far = float((plan - 1 / 64).abs().max() * 64)
    return "" if far < 0.01 else f"some entry is still {100 * far:.1f} % away from 1/64"


CHECKS: dict[str, Check] = {
    "2.2": _best_partner,
    "2.3": _linear_is_blind,
    "2.4": _gradient_says_nothing,
    "3.1": _row_projection,
    "3.2": _column_potential,
    "3.4": _more_uniform,
    "4.2": _best_bilinear,
    "4.3": _normaliser,
    "5.1": _zero_and_wrong,
    "5.2": _identity_gap,
    "6.1": _total,
    "6.2": _which_moves,
}
