"""The exercises of chapter 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .checking import ROUNDING, Exercise, draws, far, normal, numbers, own, tensor, uniform

LEAST_PRODUCT = 20.0  # of the two norms in exercise 0.4


def _mutual_information(function: Callable[[Tensor], Any]) -> str:
    function = own(function)
    draw = draws()
    for rows, columns in ((2, 2), (3, 5), (4, 2), (6, 6)):
        joint = uniform(rows, columns, draw=draw) ** 2
        joint[0, 0] = 0.0
        joint = joint / joint.sum()
        if rows == 4:  # independent
            joint = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
        found = tensor(function(joint.clone()))
        if found.numel() != 1:
            return "one number is asked for"
        if not found.isfinite().all():
            return "not a finite number: what is 0 log 0?"
        product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
        right = (torch.xlogy(joint, joint) - torch.xlogy(joint, product)).sum()
        if (found.reshape(()) - right).abs() > ROUNDING:
            return f"wrong for a joint distribution of {rows} rows and {columns} columns"
    return ""


def _hot_kd(function: Callable[[Tensor, Tensor], Any]) -> str:
    function = own(function)
    draw = draws()
    for n, classes in ((1, 2), (4, 3), (3, 7)):
        teacher = 2 * normal(n, classes, draw=draw) + 3 * normal(n, 1, draw=draw)
        student = 3 * normal(n, classes, draw=draw) - 5 * normal(n, 1, draw=draw)
        apart = teacher - student
        apart = apart - apart.mean(1, keepdim=True)
        found = tensor(function(teacher.clone(), student.clone()))
        if found.numel() != 1:
            return "one number is asked for, not one for each sample or class"
        if far(found.reshape(()), apart.square().sum() / (2 * n * classes)):
            return f"that is not the limit, for logits of shape ({n}, {classes})"
        moved = tensor(function(teacher + 4.0, student))
        if far(moved.reshape(()), found.reshape(())):
            return "a constant added to all logits of a sample should change nothing"
    return ""


def _loose_product(answer: tuple[Any, Any]) -> str:
    first, last = (tensor(matrix) for matrix in answer)
    if first.ndim != 2 or first.shape[1] != 2 or last.shape != (1, len(first)):
        return "two matrices of shapes (k, 2) and (1, k) are asked for"
    product = float(torch.linalg.matrix_norm(first, 2) * torch.linalg.matrix_norm(last, 2))
    if not product >= LEAST_PRODUCT - ROUNDING:
        return f"the product of the norms is {product:.2f}"
    steepest = float(_gradients(first, last).norm(dim=1).max())
    if not steepest <= 1 + ROUNDING:
        return f"on one of its pieces the network has slope {steepest:.2f}"
    return "" if steepest > 0.5 else f"its steepest slope is only {steepest:.2f}"


def _gradients(first: Tensor, last: Tensor) -> Tensor:
    """Return the gradient of last · relu(first · x) on each of its linear pieces, (pieces, 2).

    The pieces are sectors of the plane, between directions at right angles to a row of `first`.
    """
    right_angle = torch.pi / 2
    angles = torch.atan2(first[:, 1], first[:, 0])
    edges = torch.cat([angles + right_angle, angles - right_angle]) % (2 * torch.pi)
    edges = edges.sort().values
    edges = torch.cat([edges, edges[:1] + 2 * torch.pi])
    wide = edges.diff() > 1e-9  # narrower ones are rounding
    middle = ((edges[1:] + edges[:-1]) / 2)[wide]
    inside = torch.stack([middle.cos(), middle.sin()], 1)  # (pieces, 2)
    active = (inside @ first.T > 0).double()  # (pieces, k)
    return (active * last) @ first


EXERCISES = (
    Exercise(
        "0.1",
        "quick",
        _mutual_information,
        (
            "(0.4) is a KL divergence; which two tables does it compare?",
            "The marginals are the sums over rows and over columns; keep the dimension "
            "(`keepdim=True`), and their product is a table of the same shape.",
            "An entry of 0 contributes 0: see `torch.xlogy`.",
        ),
    ),
    Exercise(
        "0.2",
        "derive",
        numbers("0.2", 2, "90b3d366d2d2"),
        (
            "Draw the two lines. Which constraints hold with equality at the optimal corner?",
            "Write down the dual (0.11): one unknown for each constraint, one inequality for each "
            "material.",
            "If both materials are bought, both inequalities of the dual are equations: two "
            "equations for two multipliers.",
        ),
    ),
    Exercise(
        "0.3",
        "derive",
        _hot_kd,
        (
            "Let x be a logit divided by the temperature. It is small: which terms of the series "
            "of exp(x) do you need?",
            "Near to each other, KL(μ | ν) is half the sum of (μ − ν)² / ν, up to smaller terms.",
            "Up to smaller terms the softmax of x is (1 + x − mean of x) / classes.",
            "Put both together. The temperature cancels, and the logits' mean over the classes "
            "has to be subtracted.",
        ),
    ),
    Exercise(
        "0.4",
        "explore",
        _loose_product,
        (
            "The bound supposes that the direction in which the first layer is steep is the one "
            "in which the last layer is steep.",
            "Let the first layer stretch one direction very much.",
            "Let the last layer ignore that hidden unit, or let two hidden units nearly cancel.",
        ),
    ),
)
