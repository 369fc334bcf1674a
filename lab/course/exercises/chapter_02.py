"""The exercises of chapter 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wcord.transport import euclidean, exact

from .checking import ROUNDING, Exercise, draws, numbers, own, tensor, uniform


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
    x, y = (tensor(cloud).reshape(-1, 1) for cloud in (x, y))
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


EXERCISES = (
    Exercise(
        "2.1",
        "quick",
        numbers("2.1", 2, "5f878e4254a8"),
        (
            "Does any grain have to turn back on its way?",
            "Each grain travels from its place to its hole, so only the two mean places matter.",
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
        "derive",
        _linear_is_blind,
        (
            "What is the value of a linear critic ⟨w, x⟩, written with the means of the clouds?",
            "Give both clouds the same mean, and put their points far from each other.",
        ),
    ),
    Exercise(
        "2.4",
        "derive",
        _gradient_says_nothing,
        (
            "The derivative is tested at the points of the two lists, and nowhere else.",
            "Let g be flat at the points of x and of y, at two different heights.",
            "Put a steep step between them, and the points of x and y near to the step.",
        ),
    ),
    Exercise(
        "2.5",
        "quick",
        numbers("2.5", 2, "ce1daf399a0b"),
        (
            "(2.10) holds for any function; which two numbers does it need?",
            "Divide what the critic reports by its steepest slope.",
        ),
    ),
)
