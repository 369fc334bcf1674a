"""Checks that an optimizer changes the parameters of a loss: critics and projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from wcord.losses.misuse import LossError

PATIENCE = 20  # steps of an optimizer after which parameters that did not change are reported


class OptimizerCheck:
    """Checks that an optimizer changes the parameters of a loss: critics and projections.

    It observes all optimizers of the process during the first 20 calls of the loss that an
    optimizer's step follows. A parameter is changed if an optimizer that took a step holds it, or
    if it was written in place (by an optimizer that keeps copies). A copy begins its own check,
    because its parameters are others.

    Args:
        name: of the loss, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._steps = 0  # calls that were followed by a step
        self._stepped = False  # since the last call
        self._held: set[int] = set()  # ids of the parameters of optimizers that took a step
        self._versions: dict[str, int] | None = None
        self.passed = False  # nothing is checked any more

    def __reduce__(self) -> tuple[Any, ...]:
        return OptimizerCheck, (self.name,)

    def observe(self, optimizer: torch.optim.Optimizer) -> None:
        """Note a step of an optimizer."""
        self._stepped = True
        self._held |= {id(p) for group in optimizer.param_groups for p in group["params"]}

    def check(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Check the parameters that should change.

        Raises:
            LossError: after 20 steps some of them are as they were.
        """
        if self._versions is None:
            self._versions = {name: p._version for name, p in parameters.items()}
            _observed.add(self)
        self._steps += self._stepped
        self._stepped = False
        if self._steps < PATIENCE:
            return
        still = [
            name
            for name, p in parameters.items()
            if id(p) not in self._held and p._version == self._versions.get(name, -1)
        ]
        if still:
            self._steps, self._versions = 0, None  # a new optimizer has its own steps
            raise LossError(
                f"{self.name}: in {PATIENCE} optimizer steps none has changed {', '.join(still)}: "
                "give the optimizer [*student.parameters(), *loss.parameters()]"
            )
        self.passed = True
        _observed.discard(self)


class _Observed:
    """The checks that observe optimizers; a hook of all optimizers exists while there are any."""

    def __init__(self) -> None:
        self._checks: WeakSet[OptimizerCheck] = WeakSet()
        self._hook: RemovableHandle | None = None

    def add(self, check: OptimizerCheck) -> None:
        self._checks.add(check)
        if self._hook is None:
            # torch.compile cannot trace the set; its import is slow, so not at the import of wcord
            self._hook = register_optimizer_step_post_hook(torch.compiler.disable(self.observe))

    def discard(self, check: OptimizerCheck) -> None:
        self._checks.discard(check)
        if not self._checks and self._hook is not None:
            self._hook.remove()
            self._hook = None

    def observe(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for check in list(self._checks):
            check.observe(optimizer)


_observed = _Observed()
