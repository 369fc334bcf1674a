"""`Transport`, the result of every solver: a plan with its cost, error and gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wcord.transport.scaling import Scaled

DEFAULT_TOLERANCE = 1e-3  # row error up to which a plan counts as converged


@dataclass(frozen=True)
class Transport:
    """A transport plan with its cost and error. Leading dimensions ... are those of the cost.

    Attributes:
        plan: P (..., n, m), mass moved from source i to target j; a constant for autograd
            under `gradient="envelope"`.
        value: ⟨P, C⟩ (...), in units of cost.
        objective: value of the regularised problem (...), in units of cost, computed as
            ⟨a, f⟩ + ⟨b, g⟩. For `exact`, equal to `value`.
        potentials: (f, g), shapes (..., n) and (..., m), in units of cost, -inf where the mass
            is 0. Defined up to (f + c, g - c).
        iterations: updates of rows and columns that were made (0 for `exact`).
        marginal_error: sum_i |(P 1)_i - a_i| (...), the L1 error of the rows; the columns are
            exact up to rounding because they are updated last.
        converged: boolean (...): the row error is at most the tolerance (1e-3 if None).
    """

    plan: Tensor
    value: Tensor
    objective: Tensor
    potentials: tuple[Tensor, Tensor]
    iterations: int
    marginal_error: Tensor
    converged: Tensor


class _Envelope(torch.autograd.Function):
    """⟨P, C⟩ and the objective, both with the plan as their gradient."""

    @staticmethod
    def forward(
        ctx: Any, cost: Tensor, plan: Tensor, value: Tensor, objective: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(plan)
        ctx.set_materialize_grads(False)
        return value.clone(), objective.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        (plan,) = ctx.saved_tensors
        weights = [gradient for gradient in gradients if gradient is not None]
        if not weights:
            return None, None, None, None
        weight = weights[0] if len(weights) == 1 else weights[0] + weights[1]
        return plan * weight[..., None, None], None, None, None


def transport_of(
    cost: Tensor, a: Tensor, b: Tensor, scaled: Scaled, tolerance: float | None
) -> Transport:
    """Return a solver's result with its cost and error.

    `value` and `objective` get the envelope gradient, unless the plan is differentiable.
    """
    plan, f, g, iterations = scaled
    error = (plan.detach().sum(-1) - a.detach()).abs().sum(-1)
    converged = error <= (DEFAULT_TOLERANCE if tolerance is None else tolerance)
    objective = _expectation(a, f) + _expectation(b, g)
    if plan.requires_grad or not cost.requires_grad:
        value = (plan * cost).sum((-2, -1))
    else:
        value, objective = _Envelope.apply(
            cost, plan, (plan * cost.detach()).sum((-2, -1)), objective
        )
    return Transport(plan, value, objective, (f, g), iterations, error, converged)


def _expectation(mass: Tensor, potential: Tensor) -> Tensor:
    """Return ⟨mass, potential⟩ over the last dimension, where 0 * -inf is 0."""
    return (mass * potential.masked_fill(mass == 0, 0)).sum(-1)


def masses_of(cost: Tensor, source: Tensor | None, target: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return a (..., n) and b (..., m) in the cost's dtype and on its device, uniform if None."""
    *batch, n, m = cost.shape
    a = cost.new_full((n,), 1 / n) if source is None else source.to(cost)
    b = cost.new_full((m,), 1 / m) if target is None else target.to(cost)
    return a.expand(*batch, n), b.expand(*batch, m)
