"""The exercises of chapter 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wcord.transport import clouds, euclidean, exact
from wcord.transport.dual import certify

from .checking import (
    ROUNDING,
    Exercise,
    draws,
    far,
    masses,
    normal,
    numbers,
    own,
    tensor,
    uniform,
)

RINGS = "ring → larger ring"
SHARE = 0.9  # of the exact W1, which exercise 2.9 wants certified


def _best_partner(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    function = own(function)
    draw = draws()
    for n, m in ((3, 4), (5, 2), (1, 1)):
        cost = uniform(n, m, draw=draw)
        f = uniform(n, draw=draw)
        g = tensor(function(f.clone(), cost.clone()))
        if g.shape != (m,):
            return f"g should have shape ({m},) for a cost of shape ({n}, {m})"
        slack = cost - f[:, None] - g[None, :]
        if not slack.min() >= -ROUNDING:
            return "f_i + g_j exceeds C_ij somewhere"
        if slack.amin(0).max() > ROUNDING:
            return "feasible, but some g_j could be larger"
    return ""


def _linear_is_blind(answer: tuple[Any, Any]) -> str:
    x, y = (tensor(cloud) for cloud in answer)
    if x.shape != (4, 2) or y.shape != (4, 2):
        return "both clouds should have shape (4, 2)"
    best = float(exact(euclidean(x, y)).value)
    apart = float((x.mean(0) - y.mean(0)).norm())
    if apart > min(ROUNDING * float(torch.cat((x, y)).abs().max()), 1e-3 * best):
        return "there is a linear critic with a value above 0"
    return "" if best >= 1 - ROUNDING else f"their exact W1 is {best:.2f}, and should be at least 1"


def _gradient_says_nothing(answer: tuple[Any, Any, Any]) -> str:
    phi, x, y = answer
    x, y = (tensor(cloud).reshape(-1, 1) for cloud in (x, y))
    points = torch.cat([x, y])

    def scores(places: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.as_tensor(phi(places)).double().reshape(-1)

    at = scores(points)
    # differences on both sides, because phi need not be differentiable by autograd
    steps = (-1e-5, 1e-5, 3.7e-6)
    slopes = torch.stack([(scores(points + s) - at).abs() / abs(s) for s in steps])
    if not slopes.max() <= 1 + 1e-4:
        return "a gradient at one of the points exceeds 1"
    raw = float(at[: len(x)].mean() - at[len(x) :].mean())
    best = float(exact(euclidean(x, y)).value)
    if raw > 1.5 * best:
        return ""
    return f"its raw value {raw:.2f} is not more than 1.5 times the exact W1 of {best:.2f}"


def _on_the_line(function: Callable[..., Any]) -> str:
    function = own(function, also=("scipy",))
    draw = draws()
    for n, m in ((4, 6), (7, 2), (1, 3), (5, 5)):
        x, y = 3 * normal(n, draw=draw), 2 * normal(m, draw=draw) + 1
        a, b = masses(n, draw), masses(m, draw)
        found = tensor(function(x.clone(), a.clone(), y.clone(), b.clone())).reshape(-1)
        best = exact(euclidean(x[:, None], y[:, None]), source=a, target=b).value
        if found.shape != (1,):
            return "the function should return one number"
        if far(found, best.reshape(1)):
            return f"at n = {n} and m = {m} that is {float(found):.4f}, not W1"
    return ""


def _capacities(function: Callable[..., Any]) -> str:
    from scipy.optimize import linprog

    function = own(function)
    draw = draws()
    for n, m in ((3, 5), (6, 4), (2, 2)):
        cost, a = uniform(n, m, draw=draw), masses(n, draw)
        room = masses(m, draw) * (1.2 + uniform(1, draw=draw))
        f, g = (tensor(side) for side in function(cost.clone(), a.clone(), room.clone()))
        if f.shape != (n,) or g.shape != (m,):
            return f"f and g should have shapes ({n},) and ({m},) for a cost of shape ({n}, {m})"
        if not (cost - f[:, None] - g).min() >= -ROUNDING:
            return "f_i + g_j exceeds C_ij somewhere"
        if not g.max() <= ROUNDING:
            return "the pair is not feasible: one more condition holds in this dual"
        rows, columns = torch.eye(n).repeat_interleave(m, 1), torch.eye(m).repeat(1, n)
        data = (cost.flatten(), columns, room, rows, a)
        best = linprog(*(part.numpy() for part in data)).fun
        if float(a @ f + room @ g) < best - ROUNDING:
            return "feasible, but not optimal"
    return ""


def _squared_cost(function: Callable[..., Any]) -> str:
    draw = draws()
    for y, kappa in zip(3 * normal(12, draw=draw), 0.9 - 3 * uniform(12, draw=draw), strict=True):
        x = y / (1 - kappa)  # where the derivative of the bracket is 0; it is convex
        expected = (x - y) ** 2 / 2 - kappa * x**2 / 2
        if far(tensor(function(float(y), float(kappa))).reshape(()), expected):
            return f"at y = {float(y):.2f} and kappa = {float(kappa):.2f} that is not the infimum"
    return ""


def _by_hand(function: Callable[[Tensor], Any]) -> str:
    function = own(function)
    for seed in (101, 102, 103):
        x, y = (cloud.double() for cloud in clouds(RINGS, seed=seed))
        with torch.no_grad():
            at_x, at_y = (tensor(function(cloud.clone())) for cloud in (x, y))
        if at_x.shape != (len(x),) or at_y.shape != (len(y),):
            return "the critic should return one number for each point, (k,) for points (k, 2)"
        distances = euclidean(x, y)
        found = certify(at_x.numpy(), at_y.numpy(), distances.numpy())
        share = found.bound / float(exact(distances).value)
        if not share >= SHARE:
            return (
                f"on a new sample its raw value is {found.raw:.2f}, its largest slope "
                f"{found.slope:.2f}: certified are {100 * share:.0f} % of the exact W1"
            )
    return ""


EXERCISES = (
    Exercise(
        "2.1",
        "quick",
        numbers("2.1", 2, "9b086a8ce739"),
        (
            "In (i), is there mass that turns back on its way? In (ii), which way does each go?",
            "In (i) all sand moves to the right, so only the two mean places matter.",
            "In (ii) fill the hole on the left from the nearest sand first, or use (2.14).",
        ),
    ),
    Exercise(
        "2.2",
        "quick",
        _best_partner,
        (
            "Each g_j stands in its own constraints only, one for each i.",
            "How large may g_j be, if f_i + g_j ≤ C_ij holds for every i?",
        ),
    ),
    Exercise(
        "2.3",
        "explore",
        _linear_is_blind,
        (
            "What is the value of a linear critic ⟨ω, x⟩, written with the means of the clouds?",
            "For which clouds is this value 0 for every ω?",
            "Give both clouds the same mean, and put their points far from each other.",
        ),
    ),
    Exercise(
        "2.4",
        "explore",
        _gradient_says_nothing,
        (
            "The derivative is tested at the points of the two lists, and nowhere else.",
            "Let φ be flat at the points of x and of y, at two different heights.",
            "Put a steep step between them, and the points of x and y near to the step.",
        ),
    ),
    Exercise(
        "2.5",
        "quick",
        numbers("2.5", 2, "582ffe7ccd5c"),
        (
            "(2.10) holds for any function; which two numbers does it need?",
            "Divide what the first critic reports by its largest slope.",
            "If φ has a negative raw value, which function has a positive one?",
        ),
    ),
    Exercise(
        "2.6",
        "derive",
        _on_the_line,
        (
            "Both distribution functions are constant between two neighbouring places.",
            "Sort all n + m places; put a_i at a source and −b_j at a target.",
            "The running sum of these masses is cdf_μ − cdf_ν on each interval.",
        ),
    ),
    Exercise(
        "2.7",
        "derive",
        _capacities,
        (
            "In line 1 only a column sum above b_j, and not one below, may make the value larger.",
            "Which sign must g_j have, so that ⟨g, b − P'1⟩ never lowers the cost of a good plan?",
            "Lines 2 and 3 do not change. Give `linprog` one more bound, for g.",
        ),
    ),
    Exercise(
        "2.8",
        "derive",
        _squared_cost,
        (
            "For fixed y the bracket is a parabola in x. Why does it open upwards?",
            "Set its derivative in x to 0, and solve for x.",
            "Put this x into the bracket, and write the result as y² times a function of κ.",
        ),
    ),
    Exercise(
        "2.9",
        "explore",
        _by_hand,
        (
            "Which way does the mass move, at every place of the small ring?",
            "The critic should fall with slope 1 along these ways. Figure 2.4 is the line's case.",
            "The critic depends on one number only, the distance from the middle.",
        ),
    ),
)
