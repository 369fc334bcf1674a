"""The exercises of chapter 8."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wcord.transport import cosine_cost

from .checking import Exercise, draws, far, masses, normal, own, tensor, uniform


def _kept(function: Callable[[int, int], Any]) -> str:
    function = own(function)
    for n, w in ((64, 48), (256, 192), (5, 3), (17, 16), (9, 9), (30, 0)):
        found = tensor(function(n, w))
        if found.shape != (2,):
            return "a pair of numbers is asked for"
        share, factor = 1 - w / n, 1 - w / (n - 1)
        if far(found[0], torch.tensor(share).double()):
            return f"for n = {n} and w = {w} the share of the identity's cost is wrong"
        if far(found[1], torch.tensor(factor).double()):
            return f"for n = {n} and w = {w} the factor of GCKT's difference is wrong"
    return ""


def _straightened(function: Callable[[Tensor, Tensor], Any]) -> str:
    function = own(function)
    draw = draws()
    for n, m in ((5, 5), (7, 4), (6, 9)):
        plan = uniform(n, m, draw=draw) * masses(n, draw)[:, None]
        partner = torch.randperm(n, generator=draw)
        while torch.equal(partner[partner], torch.arange(n)):  # its own inverse
            partner = torch.randperm(n, generator=draw)
        found = tensor(function(plan[partner].clone(), partner.clone()))
        if found.shape != plan.shape:
            return f"a plan of shape {tuple(plan.shape)} is asked for"
        if far(found, plan):
            return "its rows are not in the order of the samples"
    return ""


def _expected_cost(function: Callable[[Tensor, Tensor, int], Any]) -> str:
    function = own(function)
    draw = draws()
    for n, dim, w in ((4, 3, 3), (5, 2, 2), (5, 4, 5), (6, 3, 4)):
        t = (1 + uniform(n, 1, draw=draw)) * normal(n, dim, draw=draw) + 0.5
        s = normal(n, dim, draw=draw) + 0.3 * t
        costs = cosine_cost(t, s)
        seen = []
        for rows in permutations(range(n), w):
            partner, chosen = torch.arange(n), torch.tensor(rows)
            partner[chosen] = chosen.roll(1)
            seen.append(costs[partner].diagonal().mean())
        found = tensor(function(t.clone(), s.clone(), w))
        if found.ndim:
            return "one number is asked for"
        if far(found, torch.stack(seen).mean()):
            return f"that is not the mean over all draws for n = {n}, w = {w}"
    return ""


def batch_in_disorder(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return teacher rows in disorder, student rows and the true partner of each teacher row.

    The student's features have a common part of different strength, so that some of them are near
    to many teacher features: the nearest neighbour is often a wrong partner.
    """
    draw, dim = draws(seed), 10
    t = F.normalize(normal(n, dim, draw=draw), dim=1)
    common = 3 * uniform(n, 1, draw=draw) * F.normalize(normal(1, dim, draw=draw), dim=1)
    s = F.normalize(t + common + 0.3 * normal(n, dim, draw=draw) / dim**0.5, dim=1)
    partner = torch.randperm(n, generator=draw)
    return t[partner], s, partner


def _found_partners(function: Callable[[Tensor, Tensor], Any]) -> str:
    function = own(function)
    shares = []
    for seed, n in enumerate((60, 50, 60, 50, 60, 50)):
        t, s, partner = batch_in_disorder(n, seed)
        found = tensor(function(t.clone(), s.clone()))
        if found.shape != (n,):
            return f"one row of the student is asked for for each of the {n} rows of the teacher"
        shares.append((found == partner).double().mean())
    right = float(torch.stack(shares).mean())
    if right >= 0.96:
        return ""
    return f"{right:.0%} of the partners are right; 96 % or more are asked for"


EXERCISES = (
    Exercise(
        "8.1",
        "quick",
        _kept,
        (
            "Both numbers stand in the text: one in (8.2), one in (8.3).",
            "They differ a little, because a wrong pair is missing among the other combinations.",
        ),
    ),
    Exercise(
        "8.2",
        "quick",
        _straightened,
        (
            "By (8.1), row j of the given plan belongs to sample π(j). Where does it have to go?",
            "If you index the rows of the plan with π, you apply the permutation a second time. "
            "You need its inverse.",
            "Assign to an empty matrix at the rows π(0), π(1), …; or sort π.",
        ),
    ),
    Exercise(
        "8.3",
        "derive",
        _expected_cost,
        (
            "(8.2) holds for any matrix of pairs. Which matrix is it here?",
            "Compute the mean of its diagonal, and the mean of all its other entries.",
            "Scale the features to unit length before you take inner products.",
        ),
    ),
    Exercise(
        "8.4",
        "explore",
        _found_partners,
        (
            "Try the nearest student row of each teacher row first. How often is one student row "
            "the nearest of several teacher rows?",
            "What do the marginals of a transport plan forbid?",
            "An exact plan between n and n points of equal mass is an assignment. "
            "scipy.optimize.linear_sum_assignment finds it; your own Sinkhorn iterations with a "
            "small ε come near.",
        ),
    ),
)
