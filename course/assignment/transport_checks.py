"""Criteria of the tasks on transport: dual value, Sinkhorn, certificate, debiased gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.course.exercises.checking import (
    draws,
    far,
    masses,
    normal,
    own,
    tensor,
    uniform,
)
from wcord.transport import dependency, euclidean, exact, sinkhorn, sinkhorn_divergence

# ------------------------------------------------------------------------------- 1: dual_value


def _dual_value(answer: Any, cases: tuple[tuple[int, int, bool], ...]) -> str:
    function, draw = own(answer), draws(11)
    for n, m, even in cases:
        cost, f = 3 * uniform(n, m, draw=draw), normal(n, draw=draw)
        a, b = (
            (torch.full((k,), 1 / k, dtype=torch.float64) if even else masses(k, draw))
            for k in (n, m)
        )
        partner = (cost - f[:, None]).amin(0)
        if far(
            tensor(function(f.clone(), cost.clone(), a.clone(), b.clone())),
            a @ f + b @ partner,
        ):
            return f"wrong for {n} sources and {m} targets with {'equal' if even else 'other'} masses"
    return ""


def dual_value_of_equal_masses(answer: Any) -> str:
    """Uniform masses, as many targets as sources."""
    return _dual_value(answer, ((4, 4, True), (7, 7, True)))


def dual_value_of_any_masses(answer: Any) -> str:
    """Any masses, n and m different; never above the exact value."""
    return _dual_value(answer, ((3, 5, False), (6, 2, False), (1, 4, False)))


# ---------------------------------------------------------------------------- 2: sinkhorn_plan


def _plan(answer: Any, n: int, m: int, epsilon: float, even: bool, seed: int) -> str:
    draw = draws(seed)
    cost = uniform(n, m, draw=draw)
    a, b = (
        torch.full((k,), 1 / k, dtype=torch.float64) if even else masses(k, draw)
        for k in (n, m)
    )
    plan = tensor(own(answer)(cost.clone(), a.clone(), b.clone(), epsilon, 60))
    if plan.shape != (n, m):
        return f"the plan should have shape ({n}, {m})"
    if not plan.isfinite().all():
        return f"at ε = {epsilon:g} the plan has entries that are no numbers"
    expected = sinkhorn(cost, epsilon, source=a, target=b, iterations=60).plan
    if (plan - expected).abs().max() > 1e-8:
        return f"the plan after 60 iterations at ε = {epsilon:g} is another one"
    return ""


def sinkhorn_plan_of_equal_masses(answer: Any) -> str:
    """Uniform masses at a moderate ε."""
    return _plan(answer, 6, 6, 0.2, True, 21) or _plan(answer, 9, 9, 0.1, True, 22)


def sinkhorn_plan_of_any_masses(answer: Any) -> str:
    """Any masses, n and m different."""
    return _plan(answer, 5, 8, 0.15, False, 23) or _plan(answer, 7, 3, 0.3, False, 24)


def sinkhorn_plan_of_small_epsilon(answer: Any) -> str:
    """An ε at which the kernel itself is zero in float64."""
    return _plan(answer, 6, 6, 5e-4, False, 25)


# ------------------------------------------------------------------------------ 3: certificate


def _certificate_case(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = draws(seed)
    x, y = normal(7, 2, draw=draw), normal(5, 2, draw=draw) + 1
    return (
        normal(7, draw=draw) + 2,
        normal(5, draw=draw),
        euclidean(x, y),
        exact(euclidean(x, y)).value,
    )


def certificate_is_the_bound(answer: Any) -> str:
    """The raw difference over the steepest slope; a critic may be turned round."""
    for seed, sign in ((31, 1), (32, -1), (33, 1)):
        at_x, at_y, distance, best = _certificate_case(seed)
        at_x, at_y = sign * at_x, sign * at_y
        slope = ((at_x[:, None] - at_y[None, :]).abs() / distance).max()
        found = tensor(own(answer)(at_x.clone(), at_y.clone(), distance.clone()))
        if found.numel() == 1 and float(found) > float(best) + 1e-9:
            return "the bound is larger than the exact distance"
        if far(found, (at_x.mean() - at_y.mean()).abs() / slope):
            return "that is not the largest bound that these scores certify"
    return ""


def certificate_is_scale_free(answer: Any) -> str:
    """Ten times the critic, and a critic plus a constant, certify the same."""
    at_x, at_y, distance, _ = _certificate_case(34)
    once = tensor(own(answer)(at_x, at_y, distance))
    if float(once) <= 0:
        return "a critic that is higher on x certifies something"
    again = tensor(own(answer)(10 * at_x + 3, 10 * at_y + 3, distance))
    if far(once, again):
        return "the bound changes when the critic is multiplied by 10 and moved by 3"
    worse = tensor(own(answer)(at_x, at_y, distance / 2))
    return (
        ""
        if far(once, worse) and not far(once, 2 * worse)
        else "distances do not enter rightly"
    )


# ------------------------------------------------------------------------ 5: debiased_gradient


def _divergence(z_t: Tensor, z_s: Tensor, epsilon: float) -> float:
    settings: Any = {"iterations": 5000, "tolerance": 1e-13}
    return float(sinkhorn_divergence(z_t, z_s, epsilon, **settings).value)


def _debiased_gradient(
    answer: Any, seed: int, n: int, epsilon: float, scale: float
) -> str:
    draw = draws(seed)
    z_t, z_s = 1.7 * normal(n, 3, draw=draw), scale * normal(n, 3, draw=draw)
    found = tensor(own(answer)(z_t.clone(), z_s.clone(), epsilon))
    if found.shape != z_s.shape:
        return f"the gradient should have the shape {tuple(z_s.shape)} of z_S"
    step = 1e-5
    for place in range(0, z_s.numel(), 2):
        move = torch.zeros(z_s.numel(), dtype=torch.float64)
        move[place] = step
        moved = move.view_as(z_s)
        above, below = (
            _divergence(z_t, z_s + sign * moved, epsilon) for sign in (1, -1)
        )
        slope = (above - below) / (2 * step)
        if not abs(slope - float(found.flatten()[place])) <= 1e-4 * max(
            1.0, abs(slope)
        ):
            return "it is not the derivative of the divergence: compare with finite differences"
    return ""


def debiased_gradient_of_unit_features(answer: Any) -> str:
    """Right at a moderate ε."""
    return _debiased_gradient(answer, 51, 4, 0.3, 1.0) or _debiased_gradient(
        answer, 52, 6, 0.2, 1
    )


def debiased_gradient_of_any_length(answer: Any) -> str:
    """The cosine does not change with the length of z_S, its gradient does."""
    return _debiased_gradient(answer, 53, 5, 0.25, 4) or _debiased_gradient(
        answer, 54, 3, 0.4, 0.3
    )


def debiased_gradient_rests_at_the_teacher(answer: Any) -> str:
    """It is 0 at z_S = z_T, also if the student's features are longer, and nowhere near by."""
    draw = draws(55)
    z_t = 2 * normal(7, 4, draw=draw)
    near = z_t + 0.3 * normal(7, 4, draw=draw)
    for z_s in (z_t, 3 * z_t):
        found = tensor(own(answer)(z_t.clone(), z_s.clone(), 0.2))
        if found.shape != z_s.shape:
            return "the gradient should have the shape of z_S"
        if not float(found.norm()) < 1e-6:
            return "at z_S = z_T the gradient of the divergence should be 0"
    if not float(tensor(own(answer)(z_t, near, 0.2)).norm()) > 1e-4:
        return "the gradient is 0 where it should not be"
    return ""
