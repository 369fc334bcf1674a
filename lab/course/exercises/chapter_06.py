"""The exercises of chapter 6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from wcord.transport import cosine_cost, sinkhorn

from .checking import Exercise, draws, far, normal, own, tensor, uniform

EPSILON = 0.05  # of the plan of exercise 6.5
CLEAR = 0.3  # a change that is seen, in the units of the loss
LENGTHS = (0.01, 1.0)  # of the embeddings of exercise 6.5
FEWEST, MOST = 8, 256  # rows of the same


def _write(function: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> str:
    function = own(function)
    draw = draws()
    for samples, n, dim in ((6, 3, 2), (20, 7, 5), (4, 4, 1)):
        bank, z = normal(samples, dim, draw=draw), normal(n, dim, draw=draw)
        index = torch.randperm(samples, generator=draw)[:n]
        momentum = float(uniform(1, draw=draw))
        known = bank.clone()
        known[index] = momentum * bank[index] + (1 - momentum) * z
        given = bank.clone()
        written = tensor(function(given, index.clone(), z.clone(), momentum))
        if not torch.equal(given, bank):
            return "the given bank has changed; return a new one"
        if written.shape != bank.shape:
            return f"the bank should have shape ({samples}, {dim})"
        others = torch.ones(samples, dtype=torch.bool).index_fill(0, index, False)
        if far(written[others], bank[others]):
            return "rows of samples that are not in the batch have changed"
        if far(written, known):
            return f"the rows of the batch are wrong for a momentum of {momentum:.2f}"
    return ""


def _lckt_gradients(function: Callable[..., tuple[Any, Any]]) -> str:
    """The gradients of <P, C> at W_S and at W_T, P and the teacher's side held fixed."""
    function = own(function)
    draw = draws()
    for n, dim_t, dim_s, dim in ((5, 4, 3, 2), (7, 2, 6, 4), (3, 3, 3, 3)):
        t = F.normalize(normal(n, dim_t, draw=draw), dim=1)
        s = F.normalize(normal(n, dim_s, draw=draw), dim=1)
        w_t, w_s = normal(dim, dim_t, draw=draw), normal(dim, dim_s, draw=draw)
        plan = sinkhorn(cosine_cost(t @ w_t.T, s @ w_s.T), 0.2).plan
        w_t.requires_grad_(True), w_s.requires_grad_(True)
        loss = (plan * cosine_cost((t @ w_t.T).detach(), s @ w_s.T)).sum()
        (expected,) = torch.autograd.grad(loss, w_s)
        at_s, at_t = function(plan.clone(), t.clone(), s.clone(), w_t, w_s)
        if at_t is not None and not (tensor(at_t) == 0).all():
            return "the gradient at W_T is not that of a teacher's side that is held fixed"
        if at_s is None or far(tensor(at_s), expected):
            return f"the gradient at W_S is not that of <P, C> for n = {n} and dim = {dim}"
    return ""


def _anchor_gradient(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> str:
    function = own(function)
    draw = draws()
    for samples, n, dim in ((6, 3, 2), (30, 8, 5), (9, 9, 4)):
        z, bank = normal(n, dim, draw=draw), normal(samples, dim, draw=draw) + 1
        index = torch.randperm(samples, generator=draw)[:n]
        leaf = z.clone().requires_grad_(True)
        scores = leaf @ bank.T
        positive = scores[torch.arange(n), index]
        loss = -(positive - (scores.sum(1) - positive) / (samples - 1)).mean()
        (expected,) = torch.autograd.grad(loss, leaf)
        found = tensor(function(z.clone(), bank.clone(), index.clone()))
        if found.shape != (n, dim):
            return f"the gradient should have shape ({n}, {dim})"
        if far(found, expected):
            return f"that is not the gradient for {n} anchors and a bank of {samples}"
    return ""


def _adam(function: Callable[[Tensor, Tensor, float, float], Tensor]) -> str:
    function = own(function)
    draw = draws()
    for steps, shape in ((1, (3,)), (2, (2, 4)), (6, (5,)), (3, (1, 2, 3))):
        weight, gradients = normal(*shape, draw=draw), normal(steps, *shape, draw=draw)
        rate, decay = (float(value) + 0.05 for value in uniform(2, draw=draw))
        known = weight.clone().requires_grad_(True)
        adam = torch.optim.Adam([known], rate, weight_decay=decay)
        for gradient in gradients:
            known.grad = gradient.clone()
            adam.step()
        found = tensor(function(weight.clone(), gradients.clone(), rate, decay))
        if found.shape != known.shape:
            return f"the weight should keep its shape {tuple(shape)}"
        if far(found, known.detach()):
            return f"that is not the weight after {steps} step{'s' * (steps > 1)}"
    return ""


def _gckt(z_t: Tensor, z_s: Tensor) -> float:
    """Return (6.2) with the batch itself in both banks: both directions are then equal."""
    n = len(z_t)
    products = z_t @ z_s.T
    positive = products.diagonal().sum()
    return float(-2 * (positive / n - (products.sum() - positive) / (n * (n - 1))))


def _lckt(z_t: Tensor, z_s: Tensor) -> float:
    return float(sinkhorn(cosine_cost(z_t, z_s), EPSILON, iterations=500).value)


def _blind_terms(answer: tuple[Any, ...]) -> str:
    if len(answer) != 4:
        return "four matrices are asked for"
    z_t, z_s, no_gckt, no_lckt = (tensor(part) for part in answer)
    if z_t.ndim != 2 or any(part.shape != z_t.shape for part in (z_s, no_gckt, no_lckt)):
        return "four matrices of one shape (n, dim) are asked for"
    if not FEWEST <= len(z_t) <= MOST:
        return f"n should be between {FEWEST} and {MOST}"
    for part in (z_t, z_s, no_gckt, no_lckt):
        lengths = part.norm(dim=1)
        if not (lengths.min() >= LENGTHS[0] * (1 - 1e-6) and lengths.max() <= 1 + 1e-6):
            return f"the rows should have lengths between {LENGTHS[0]} and {LENGTHS[1]:.0f}"
    for name, part, blind, other in (
        ("no_gckt", no_gckt, ("GCKT", _gckt), ("LCKT", _lckt)),
        ("no_lckt", no_lckt, ("LCKT", _lckt), ("GCKT", _gckt)),
    ):
        change = abs(blind[1](z_t, part) - blind[1](z_t, z_s))
        if not change <= 1e-6:
            return f"with {name} {blind[0]} changes by {change:.3g}"
        change = abs(other[1](z_t, part) - other[1](z_t, z_s))
        if not change >= CLEAR - 1e-6:
            return f"with {name} {other[0]} changes by {change:.3g} only"
    return ""


EXERCISES = (
    Exercise(
        "6.1",
        "quick",
        _write,
        (
            "Only the rows of `index` change, all others are copied.",
            "Copy the bank first, then assign to its rows.",
            "Which share belongs to the old embedding, and which is left for the new one?",
        ),
    ),
    Exercise(
        "6.2",
        "derive",
        _lckt_gradients,
        (
            "Build the cost from both embeddings. Which of the two carries no gradient?",
            "Detach the teacher's embeddings, and sum P times C.",
            "torch.autograd.grad needs `allow_unused=True` where a weight is not reached.",
        ),
    ),
    Exercise(
        "6.3",
        "derive",
        _anchor_gradient,
        (
            "Each anchor enters its own bracket only, so take one row at a time.",
            "τ cancels, and the bracket is linear in the anchor.",
            "The gradient of ⟨x, z⟩ at z is x: a positive, less the mean of N − 1 other rows.",
            "Do not forget the minus, and the mean over the batch.",
        ),
    ),
    Exercise(
        "6.4",
        "quick",
        _adam,
        (
            "In each step, first add decay × weight to the gradient, with the weight as it is now.",
            "first ← 0.9 first + 0.1 gradient, second ← 0.999 second + 0.001 gradient².",
            "Both begin at 0; after k steps divide them by 1 − 0.9^k and 1 − 0.999^k.",
            "The 1e-8 is added to the root of the corrected second mean.",
        ),
    ),
    Exercise(
        "6.5",
        "explore",
        _blind_terms,
        (
            "What does (6.2) subtract from the positives? What happens if all rows move alike?",
            "A plan may join any sample to any other. What if the rows of z_S change places?",
            "Let one column of the embeddings be empty, so that there is a direction to move into.",
        ),
    ),
)
