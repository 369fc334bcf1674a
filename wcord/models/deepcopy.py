"""Copies of modules that hold tensors with a graph, which `copy.deepcopy` alone refuses."""

from __future__ import annotations

import gc
from copy import deepcopy
from itertools import chain
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

Layers = TypeVar("Layers", bound=nn.Module)
SHARED = type | FunctionType | BuiltinFunctionType | ModuleType  # by every copy


def copied(module: Layers) -> Layers:
    """Return a deep copy of a module, whatever it computed before.

    A module that was used may hold results with a graph: activations that it keeps, the weight
    that `weight_norm`, `spectral_norm` or pruning computed. The copy holds their values without
    the graph. Modes, hooks, buffers and devices are the same; the module itself is not changed.

    Raises:
        ValueError: the module holds something that cannot be copied, or lazy layers.
    """
    if any(map(is_lazy, chain(module.parameters(), module.buffers()))):
        raise ValueError(
            f"{type(module).__name__} has lazy layers without a size: run it on a batch first"
        )
    try:
        return deepcopy(module, without_graphs(module))
    except Exception as error:  # whatever the parts of a module may raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{type(module).__name__} cannot be copied: {reason}") from error


def without_graphs(whole: Any) -> dict[int, Any]:
    """Return a memo for `deepcopy`, in which every tensor with a graph has a copy without it."""
    memo: dict[int, Any] = {}
    seen, left = {id(whole)}, [whole]
    while left:
        for part in gc.get_referents(left.pop()):
            if id(part) in seen or isinstance(part, SHARED):
                continue
            seen.add(id(part))
            left.append(part)
            if isinstance(part, Tensor) and not part.is_leaf:
                memo[id(part)] = part.detach().clone()
    return memo
