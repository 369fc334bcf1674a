"""Checks of arguments: wrong arguments raise a `ValueError` of one line.

The `require_` functions check types and shapes, in microseconds and without a wait for the device.
`check_entries` reads the entries of tensors, so that the host waits for the device.
"""

from __future__ import annotations

import math
from numbers import Integral, Number, Real

import torch
from torch import Tensor

MASS_ERROR = 1e-5  # how far from 1 a sum of masses may be


def require_count(name: str, value: int) -> None:
    """Refuse everything but whole numbers of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be at least 1, and a whole number, got {_described(value)}")


def require_positive(name: str, value: float, wanted: str = "a positive number") -> None:
    """Refuse everything but finite numbers above 0."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be {wanted}, got {_described(value)}")


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse everything but one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        words = " or ".join(map(repr, choices))
        raise ValueError(f"{name} must be {words}, got {_described(value)}")


def require_floats(name: str, value: Tensor, shape: str, dimensions: int) -> None:
    """Refuse everything but float tensors that have entries and at least `dimensions` axes."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise ValueError(
            f"{name} must be a float tensor, got {_described(value)}: pass a torch tensor"
        )
    if value.ndim < dimensions or 0 in value.shape:
        raise ValueError(f"{name} must be {shape}, not empty, got shape {tuple(value.shape)}")


def require_cost(cost: Tensor) -> None:
    """Refuse everything but costs (..., n, m) in float32 or float64."""
    if not isinstance(cost, Tensor) or cost.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"cost must be a float32 or float64 tensor, got {_described(cost)}: convert it first"
        )
    require_floats("cost", cost, "(..., n, m)", 2)


def require_points(x: Tensor, y: Tensor) -> None:
    """Refuse two clouds that are not (..., n, d) and (..., m, d)."""
    require_floats("x", x, "(..., n, d)", 2)
    require_floats("y", y, "(..., m, d)", 2)
    batches_fit = x.ndim == y.ndim == 2 or _broadcast(x.shape[:-2], y.shape[:-2]) is not None
    if x.shape[-1] != y.shape[-1] or not batches_fit:
        raise ValueError(
            "x and y must be (..., n, d) and (..., m, d), with batches that fit, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    if x.dtype != y.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(f"x and y must have one dtype, got {x.dtype} and {y.dtype}")


def require_potential(potential: Tensor, cost: Tensor) -> None:
    """Refuse a potential without exactly one number for each row of the cost."""
    require_cost(cost)
    require_floats("potential", potential, "(..., n)", 1)
    n, batch = cost.shape[-2], cost.shape[:-2]
    if potential.shape[-1] != n or _broadcast(potential.shape[:-1], batch) is None:
        raise ValueError(
            f"potential must have shape ({n},) or {(*batch, n)} to fit a cost of shape "
            f"{tuple(cost.shape)}, got {tuple(potential.shape)}"
        )


def require_masses(name: str, mass: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse masses that are neither (n,) nor broadcast to the shape (..., n)."""
    size = shape[-1]
    require_floats(name, mass, f"({size},)", 0)
    if mass.shape[-1:] != (size,) or _broadcast(mass.shape, shape) != shape:
        raise ValueError(
            f"{name} must have shape ({size},) or {shape} to fit the cost, got {tuple(mass.shape)}"
        )


def require_problem(
    cost: Tensor, source: Tensor | None, target: Tensor | None, gradient: str = "envelope"
) -> None:
    """Refuse a transport problem whose parts have wrong types or shapes."""
    require_cost(cost)
    require_choice("gradient", gradient, ("envelope", "unrolled"))
    *batch, n, m = cost.shape
    for name, mass, size in (("source", source, n), ("target", target, m)):
        if mass is not None:
            require_masses(name, mass, (*batch, size))
            if mass.requires_grad and gradient == "envelope":
                raise ValueError(f"{name} is a constant under gradient='envelope': detach it")


def check_entries(
    cost: Tensor, epsilon: float, source: Tensor | None, target: Tensor | None
) -> None:
    """Refuse costs, masses and an epsilon that have no solution; the host waits for the device."""
    largest = float(cost.detach().abs().amax())  # NaN if any entry is NaN
    if not math.isfinite(largest):
        raise ValueError("cost holds NaN or infinite entries: check the features it comes from")
    smallest = 4 * torch.finfo(cost.dtype).eps * largest
    if epsilon < smallest:
        raise ValueError(
            f"epsilon {epsilon:g} is too small for {cost.dtype} and costs up to "
            f"{largest:g}: use at least {smallest:.1g}, or exact()"
        )
    for name, mass in (("source", source), ("target", target)):
        if mass is not None:
            _check_masses(name, mass.detach())


def _check_masses(name: str, mass: Tensor) -> None:
    if not bool((mass >= 0).all()):
        raise ValueError(f"{name} holds masses that are negative or NaN: they must be at least 0")
    total = mass.double().sum(-1)
    if not bool(((total - 1).abs() <= MASS_ERROR).all()):
        worst = float(total.flatten()[(total - 1).abs().argmax()])
        raise ValueError(f"{name} must sum to 1, got {worst:g}: divide it by its sum")


def _broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape that both broadcast to, None if there is none."""
    try:
        return tuple(torch.broadcast_shapes(first, second))
    except RuntimeError:
        return None


def _described(value: object) -> str:
    """Return a short text of a value; for tensors, arrays and lists it is the type."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype}"
    if isinstance(value, (Number, str)) or value is None:
        return repr(value)[:60]
    return f"a {type(value).__name__}"
