"""Deep copies of modules that hold tensors with a graph, which `copy.deepcopy` refuses."""

from __future__ import annotations

import gc
from copy import deepcopy
from itertools import chain
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from wcord.errors import first_line

Layers = TypeVar("Layers", bound=nn.Module)
SHARED = type | FunctionType | BuiltinFunctionType | ModuleType  # all copies use the same object


def copy_module(module: Layers) -> Layers:
    """Return a deep copy of a module, also of one that was run before.

    A module that was run may hold tensors with a graph: stored activations, the weight that
    `weight_norm`, `spectral_norm` or pruning computed. The copy holds their values without the
    graph. Modes, hooks, buffers and devices are copied; the module itself is not changed.

    Raises:
        ValueError: the module has lazy layers, or an attribute that cannot be copied.
    """
    if any(map(is_lazy, chain(module.parameters(), module.buffers()))):
        raise ValueError(
            f"{type(module).__name__} has lazy layers without a size: run it on a batch first"
        )
    try:
        return deepcopy(module, memo_without_graphs(module))
    except Exception as error:  # attributes of a user's module may raise any error
        reason = first_line(error)
        raise ValueError(f"{type(module).__name__} cannot be copied: {reason}") from error


def memo_without_graphs(root: Any) -> dict[int, Any]:
    """Return a memo for `deepcopy`: each tensor with a graph below `root`, copied without it."""
    memo: dict[int, Any] = {}
    seen, stack = {id(root)}, [root]
    while stack:
        for value in gc.get_referents(stack.pop()):
            if id(value) in seen or isinstance(value, SHARED):
                continue
            seen.add(id(value))
            stack.append(value)
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return memo
