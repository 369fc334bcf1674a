"""The exercises of chapter 9."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .checking import Exercise, draws, normal, own, uniform


def _seeds_needed(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    for _ in range(4):
        std_a, std_b, effect = (0.5 + 2 * uniform(3, draw=draw)).tolist()
        r = float(1.6 * uniform(1, draw=draw) - 0.8)
        variance = std_a**2 + std_b**2 - 2 * r * std_a * std_b
        found, expected = float(function(std_a, std_b, r, effect)), 8 * variance / effect**2
        if math.isclose(found, expected, rel_tol=1e-6):
            continue
        for wrong, reason in (
            (8 * (std_a**2 + std_b**2) / effect**2, "the correlation is missing"),
            (8 * (std_a**2 + std_b**2 + 2 * r * std_a * std_b) / effect**2,
             "with a correlation near 1 the two arms move alike, and fewer seeds are needed"),
            (8 * math.sqrt(variance) / effect, "the ratio in (9.1) is squared"),
        ):  # fmt: skip
            if math.isclose(found, wrong, rel_tol=1e-6):
                return reason
        return f"for the correlation {r:.2f} that is not the number of seeds of (9.1)"
    return ""


def _optimism(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    cases = [(2.0, 2.0, 0.0), *(tuple(uniform(3, draw=draw).tolist()) for _ in range(4))]
    for std_a, std_b, r in cases:
        variance = std_a**2 + std_b**2 - 2 * r * std_a * std_b
        found, expected = float(function(std_a, std_b, r)), math.sqrt(variance / (2 * math.pi))
        if math.isclose(found, expected, rel_tol=1e-6):
            continue
        if math.isclose(found, 2 * expected, rel_tol=1e-6):
            return "that is the mean distance of the two measured accuracies, not what you need"
        if found <= 0:
            return "the larger of two measured accuracies is too high on average, not too low"
        return f"for the standard deviations {std_a:.2f} and {std_b:.2f} and r = {r:.2f} it is not"
    return ""


def _cosines(t: Tensor, s: Tensor) -> Tensor:
    """The loss of the chapter."""
    t, s = (torch.nn.functional.normalize(h - h.mean(0)) for h in (t, s))
    return (t @ t.T - s @ s.T).square().mean()


def _relational_loss(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    ratios = []
    for n, teacher_dim, student_dim in ((7, 4, 4), (12, 5, 3), (6, 3, 8)):
        t, s = normal(n, teacher_dim, draw=draw), normal(n, student_dim, draw=draw)
        turn, _ = torch.linalg.qr(normal(student_dim, student_dim, draw=draw))
        s.requires_grad_(True)
        value = function(t.clone(), s)
        if not isinstance(value, Tensor) or value.shape != () or not value.isfinite():
            return "a finite scalar tensor is asked for, also for features of different lengths"
        if not value > 1e-9:
            return "the loss is not above 0 for features that have nothing in common"
        if not torch.isclose(function(t, s.detach() @ turn), value.detach(), rtol=1e-5, atol=1e-9):
            return "the loss changes when the student's features are rotated"
        if not value.requires_grad:
            return "autograd finds no way from the loss to the student's features"
        (slope,) = torch.autograd.grad(value, s)
        size = slope.norm()
        if not (size.isfinite() and size > 1e-9):
            return "the gradient at the student's features is 0 or not finite"
        if not function(t, s.detach() - 1e-5 * slope / size) < value.detach():
            return "a small step against the gradient does not make the loss smaller"
        value = value.detach()
        ratios.append(float(value / _cosines(t, s.detach())))
        rotation, _ = torch.linalg.qr(normal(teacher_dim, teacher_dim, draw=draw))
        zero = abs(float(function(t, t @ rotation)))
        if zero > 1e-6 * max(1.0, float(value)):
            return (
                "the loss is not 0 where the student's features are those of the teacher, rotated"
            )
        if not function(t, t.roll(1, 0) @ rotation) > max(1e-6 * float(value), 1e3 * zero):
            return "the loss does not notice that the student's samples are in another order"
    if max(ratios) < (1 + 1e-6) * min(ratios):
        return "that is the loss of the chapter, up to a factor: find another one"
    return ""


EXERCISES = (
    Exercise(
        "9.1",
        "quick",
        _seeds_needed,
        (
            "(9.1) needs the standard deviation of the differences, not those of the arms.",
            "Put (7.3) in place of the squared standard deviation.",
        ),
    ),
    Exercise(
        "9.2",
        "derive",
        _optimism,
        (
            "Write the larger of two numbers with their mean and their distance.",
            "max(x, y) = (x + y)/2 + |x − y|/2, and the errors x and y have mean 0.",
            "x − y is normal with mean 0; its variance is that of (7.3).",
        ),
    ),
    Exercise(
        "9.3",
        "explore",
        _relational_loss,
        (
            "A rotation changes features, but neither their inner products nor their distances.",
            "Compare a matrix (n, n) of the teacher with one of the student, entry by entry.",
            "For example the matrices of all squared distances between samples, or inner products "
            "that are not divided by lengths.",
        ),
    ),
)
