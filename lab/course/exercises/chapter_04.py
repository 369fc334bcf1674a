"""The exercises of chapter 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wcord.transport import euclidean, exact

from .checking import ROUNDING, Exercise, draws, far, masses, normal, own, tensor, uniform

WORLDS = (  # of exercise 4.6: the least and the largest I in nats, and of I_W
    ("first", (1.5, math.inf), (0.0, 0.05)),
    ("second", (0.0, 0.02), (0.15, math.inf)),
)
LARGEST_WORLD = 64  # entries of a table, so that its transport problem stays small


def _information(joint: Tensor) -> Tensor:
    """Return the mutual information of a table (rows, columns) in nats."""
    product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    there = joint > 0
    return (joint[there] * (joint[there] / product[there]).log()).sum()


def _mutual_information(function: Callable[[Tensor], float]) -> str:
    function = own(function)
    draw = draws()
    for rows, columns, zeros in ((2, 2, 0), (3, 5, 0), (6, 2, 3), (4, 4, 6)):
        table = uniform(rows, columns, draw=draw) ** 2
        table.view(-1)[torch.randperm(rows * columns, generator=draw)[:zeros]] = 0
        table = table / table.sum()
        found = tensor(function(table.clone()))
        if found.ndim and found.numel() != 1:
            return "one number is asked for"
        if far(found.reshape(()), _information(table)):
            return f"that is not the information of a table ({rows}, {columns}), " + (
                "some entries of which are 0" if zeros else "with marginals that are not uniform"
            )
    return ""


def _best_bilinear(function: Callable[[Tensor, Tensor, int], float]) -> str:
    function = own(function)
    draw = draws()
    for n, dim_t, dim_s, dim in ((30, 4, 3, 2), (20, 2, 6, 9), (25, 5, 7, 4), (9, 3, 3, 1)):
        t = normal(n, dim_t, draw=draw) + 1
        s = normal(n, dim_s, draw=draw) + t[:, :1]
        values = torch.linalg.svdvals((t - t.mean(0)).T @ (s - s.mean(0)) / n)
        found = tensor(function(t.clone(), s.clone(), dim))
        if far(found.reshape(()), values[:dim].sum()):
            return f"that is not the best value for n = {n}, features ({dim_t}, {dim_s}), dim {dim}"
    return ""


def _log_normaliser(function: Callable[[Tensor, Tensor], float]) -> str:
    function = own(function)
    draw = draws()
    for n, samples, size in ((2, 2, 1.0), (5, 40, 3.0), (20, 60, 10.0), (7, 9, 1000.0)):
        scores = size * normal(n, samples, draw=draw)
        index = torch.randperm(samples, generator=draw)[:n]
        # congruent scores are the largest, so that it matters whether they are left out
        scores[torch.arange(n), index] = scores.max() + 2
        incongruent = torch.ones(n, samples, dtype=torch.bool)
        incongruent[torch.arange(n), index] = False
        known = scores[incongruent].logsumexp(0) - math.log(n * (samples - 1))
        found = tensor(function(scores.clone(), index.clone())).reshape(())
        if not found.isfinite():
            return f"with scores near {float(scores.abs().max()):.0f} the answer is not finite"
        if far(found, known):
            return f"that is not log ζ of {n} anchors against a bank of {samples}"
    return ""


def _largest_proof(function: Callable[[float, float], float]) -> str:
    function = own(function)
    draw = draws()
    pairs = [*uniform(20, 2, draw=draw).tolist(), [0.0, 0.7], [0.9, 0.0], [0.5, 0.5]]
    for length_t, length_s in pairs:
        spread = min(2 - 2 * length_t**2, 2 - 2 * length_s**2)  # of the squared distance
        found = tensor(function(length_t, length_s)).reshape(())
        if far(found, torch.tensor(2 * spread / 16, dtype=torch.float64)):
            return f"that is not the largest number for lengths {length_t:.2f} and {length_s:.2f}"
    return ""


def _coupling(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    function = own(function)
    draw = draws()
    for n, equal in ((2, False), (5, False), (8, False), (4, True), (30, False)):
        mu, nu = masses(n, draw), masses(n, draw) ** 3
        nu = mu.clone() if equal else nu / nu.sum()
        found = tensor(function(mu.clone(), nu.clone()))
        if found.shape != (n, n):
            return f"a coupling should have shape ({n}, {n})"
        if not found.isfinite().all():
            return "an entry is not finite" + (" where mu and nu are equal" if equal else "")
        if found.min() < -ROUNDING:
            return "an entry is negative"
        if far(found.sum(1), mu):
            return "the rows do not sum to mu"
        if far(found.sum(0), nu):
            return "the columns do not sum to nu"
        if far(found.diagonal(), torch.minimum(mu, nu)):
            return "the marginals fit, but not all of the common mass stays where it is"
    return ""


def _worlds(answer: tuple[Any, Any]) -> str:
    if len(answer) != len(WORLDS):
        return "two worlds are asked for, (first, second)"
    for world, (name, information, dependency) in zip(answer, WORLDS, strict=True):
        joint, t, s = (tensor(part) for part in world)
        if wrong := _no_world(joint, t, s):
            return f"the {name} world: {wrong}"
        found = float(_information(joint))
        if not information[0] - ROUNDING <= found <= information[1] + ROUNDING:
            return f"the {name} world has I = {found:.3f} nats"
        between = euclidean(t, t)[:, None, :, None] + euclidean(s, s)[None, :, None, :]
        product = torch.outer(joint.sum(1), joint.sum(0)).flatten()
        size = joint.numel()
        moved = exact(between.reshape(size, size), source=joint.flatten(), target=product)
        found = float(moved.value)
        if not dependency[0] - ROUNDING <= found <= dependency[1] + ROUNDING:
            return f"the {name} world has I_W = {found:.3f}"
    return ""


def _no_world(joint: Tensor, t: Tensor, s: Tensor) -> str:
    """Return what is wrong with the form of a world, "" where nothing is."""
    if joint.ndim != 2 or t.ndim != 2 or s.ndim != 2 or joint.shape != (len(t), len(s)):
        return "p (rows, columns), t (rows, dim_t) and s (columns, dim_s) should fit together"
    if joint.numel() > LARGEST_WORLD:
        return f"at most {LARGEST_WORLD} entries, please"
    if not joint.min() >= 0 or far(joint.sum(), torch.ones((), dtype=torch.float64)):
        return "p should hold probabilities that sum to 1"
    for side in (t, s):
        if far(side.norm(dim=1), torch.ones(len(side), dtype=torch.float64)):
            return "features should be unit vectors"
    return ""


EXERCISES = (
    Exercise(
        "4.1",
        "quick",
        _mutual_information,
        (
            "The two marginals are the sums of the rows and of the columns.",
            "Their outer product is the table under independence; (4.1) compares both tables.",
            "Take only those entries into the sum that are not 0.",
        ),
    ),
    Exercise(
        "4.2",
        "derive",
        _best_bilinear,
        (
            "Write E_joint − E_product as a trace. Which matrix stands between W_T and W_S?",
            "The mean over all pairs subtracts the product of the two means.",
            "(4.11) says which function of the singular values is the best one.",
        ),
    ),
    Exercise(
        "4.3",
        "quick",
        _log_normaliser,
        (
            "Which entries of `phi` belong to congruent pairs? One in each row.",
            "The mean is over n (N − 1) entries.",
            "log of a mean of exponentials: torch.logsumexp does not overflow.",
        ),
    ),
    Exercise(
        "4.4",
        "derive",
        _largest_proof,
        (
            "(4.8) grows with I_W, and (4.7) says how large I_W can be.",
            "Compute the mean of the squared distance of two independent unit vectors.",
            "Jensen's inequality makes it a bound of the mean distance; take the smaller side.",
        ),
    ),
    Exercise(
        "4.5",
        "derive",
        _coupling,
        (
            "Begin with a diagonal matrix that holds the common mass.",
            "What do its rows lack, compared with mu? What do its columns lack?",
            "Distribute what is lacking by an outer product, divided by the mass that is moved.",
            "Where nothing is moved, this division needs care.",
        ),
    ),
    Exercise(
        "4.6",
        "explore",
        _worlds,
        (
            "I does not depend on distances at all, and I_W depends on them above all.",
            "First world: strong dependence between features that are nearly the same vector.",
            "Second world: two opposite features a side, and a weak dependence between them.",
            "If both sides agree with probability (1 + x)/2, how do I and I_W grow with x?",
        ),
    ),
)
