"""The exercises of chapter 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .checking import ROUNDING, Exercise, draws, own, tensor

CLASSES = (0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2)  # of exercise 1.3
LARGEST_ENTRY = 0.05
SHARE = 0.3


def _by_chance(function: Callable[[Tensor], Any]) -> str:
    function = own(function)
    draw = draws()
    for n, classes in ((7, 2), (40, 3), (101, 10)):
        labels = (torch.rand(n, generator=draw) ** 2 * classes).long() + 2  # not from 0 on
        found = tensor(function(labels.clone()))
        same = (labels[:, None] == labels).double().mean()
        if found.numel() != 1:
            return "one number is asked for"
        if not (found.reshape(()) - same).abs() <= ROUNDING:
            return "wrong for classes that are not equally large"
    return ""


def _deviation(function: Callable[[int, int, int], Any]) -> str:
    function = own(function)
    draw = draws()
    for n in (12, 250, 899):
        first = torch.rand(n, generator=draw) < 0.8
        second = torch.rand(n, generator=draw) < 0.6
        difference = first.double() - second.double()
        only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
        right = 100 * difference.std(correction=0) / n**0.5
        found = tensor(function(only_first, only_second, n))
        if found.numel() != 1:
            return "one number is asked for"
        if not (found.reshape(()) - right).abs() <= ROUNDING * float(right):
            return (
                f"wrong where {only_first} of {n} images are right in the first arm only, and "
                f"{only_second} in the second arm only"
            )
    return ""


def _two_plans(answer: tuple[Any, Any]) -> str:
    in_class, on_itself = (tensor(plan) for plan in answer)
    labels = torch.tensor(CLASSES)
    n = len(labels)
    same = (labels[:, None] == labels).double()
    for name, plan in (("P", in_class), ("Q", on_itself)):
        if plan.shape != (n, n):
            return f"{name} should have shape ({n}, {n})"
        if not plan.min() >= -ROUNDING:
            return f"{name} has a negative entry"
        for side, axis in (("rows", 1), ("columns", 0)):
            if not (n * plan.sum(axis) - 1).abs().max() <= ROUNDING:
                return f"the {side} of {name} do not all sum to 1/{n}"
    masses = [float((plan * same).sum()) for plan in (in_class, on_itself)]
    diagonals = [float(plan.trace()) for plan in (in_class, on_itself)]
    if abs(masses[0] - 1) > ROUNDING or diagonals[0] > ROUNDING:
        return f"P has same-class mass {masses[0]:.3f} and diagonal mass {diagonals[0]:.3f}"
    if in_class.max() > LARGEST_ENTRY + ROUNDING:
        return f"the largest entry of P is {float(in_class.max()):.3f}"
    if abs(masses[1] - SHARE) > ROUNDING or abs(diagonals[1] - SHARE) > ROUNDING:
        return f"Q has same-class mass {masses[1]:.3f} and diagonal mass {diagonals[1]:.3f}"
    return ""


EXERCISES = (
    Exercise(
        "1.1",
        "quick",
        _by_chance,
        (
            "Each entry of the uniform plan is 1/n². How many entries join samples of one class?",
            "A class of k samples has k² such entries.",
        ),
    ),
    Exercise(
        "1.2",
        "derive",
        _deviation,
        (
            "Give each image a number: 1 if only the first arm is right, −1 if only the second "
            "is, else 0. What is the difference of the accuracies in terms of these numbers?",
            "The variance of a mean of n independent numbers is their variance divided by n.",
            "The variance is the mean of the squares less the square of the mean; both follow "
            "from the two counts.",
        ),
    ),
    Exercise(
        "1.3",
        "explore",
        _two_plans,
        (
            "For P: inside a class, forbid the diagonal and treat all other entries alike.",
            "For Q: mix two plans, one that has all mass on the diagonal, and one that has no "
            "mass inside the classes.",
            "For the second of these, shift: send sample i to sample i + k (modulo 12), with a k "
            "for which no sample stays in its class.",
        ),
    ),
)
