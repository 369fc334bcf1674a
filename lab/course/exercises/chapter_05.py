"""The exercises of chapter 5."""

from __future__ import annotations

from typing import Any

import torch

from wcord.transport import cosine_cost, exact

from .checking import ROUNDING, Exercise, numbers, tensor


def _zero_and_wrong(answer: Any) -> str:
    student = tensor(answer)
    if student.shape != (6, 6):
        return "six student features of length 6 are asked for"
    cost = cosine_cost(torch.eye(6, dtype=torch.float64), student)
    if not float(exact(cost).value) <= ROUNDING:
        return "the exact transport cost is not 0"
    return "" if float(cost.diagonal().min()) > 0.5 else "some sample still sits on its own teacher"


def _only_the_pairing(answer: tuple[Any, Any]) -> str:
    t, s = (tensor(side) for side in answer)
    if t.shape != s.shape or t.ndim != 2 or len(t) < 2:
        return "teacher and student features should have one shape (n, d), n at least 2"
    cost = cosine_cost(t, s)
    paired, best = float(cost.diagonal().mean()), float(exact(cost).value)
    if not (abs(paired - best) <= ROUNDING and paired > 0.01):
        return (
            "the paired cost and the transport cost should agree and be above 0.01 "
            f"(now {paired:.3f} and {best:.3f})"
        )
    # if another plan is as good, it avoids a small toll on the diagonal
    toll = 1e-5
    tolled = float(exact(cost + toll * torch.eye(len(t), dtype=torch.float64)).value)
    return "" if tolled > best + 0.99 * toll else "another plan is as cheap as the pairing"


EXERCISES = (
    Exercise("5.1", "derive", _zero_and_wrong, ("A hint.",)),
    Exercise("5.2", "derive", _only_the_pairing, ("A hint.",)),
    Exercise("5.3", "quick", numbers("5.3", 3, "4e9ac93b8d66"), ("A hint.",)),
)
