"""The state of a loss: banks that are written at the next call, steps, and its `state_dict`."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from wcord.bank import FeatureBank
from wcord.losses.saved_state import decoded, encoded, settings_of, warn_of_other_settings
from wcord.objectives import Objective
from wcord.objectives.negatives import NegativeSampler


class LossState(nn.Module):
    """An objective whose banks and means are written one call later, with its state.

    Args:
        objective: the weighted sum of terms.
        seed: of all draws.

    Attributes:
        steps: number of training calls so far.
        primed: whether the banks were filled, or a state loaded in which they were.
    """

    def __init__(self, objective: Objective, seed: int) -> None:
        super().__init__()
        self._name = type(self).__name__
        self.objective, self.seed = objective, seed
        self.steps, self.primed = 0, False
        self._banks = [m for m in objective.modules() if isinstance(m, FeatureBank)]
        self._samplers = [m for m in objective.modules() if isinstance(m, NegativeSampler)]
        self._differentiated: list[bool] | None = None  # of the call that is not written yet
        self.register_state_dict_pre_hook(_flush)

    def flush(self) -> None:
        """Write the banks and means of the last training call, if that was not done yet.

        Where its gradient was not computed so far (several calls for one backward pass), banks are
        copied first, because the gradient needs their old values.
        """
        if self._differentiated is None:
            return
        with torch.inference_mode(False):
            if not self._differentiated:
                for bank in self._banks:
                    bank.embeddings = bank.embeddings.clone()
            self._differentiated = None
            self.objective.update()

    def _remember(self, total: Tensor) -> None:
        """Count the step, and observe whether its gradient is computed before the next write."""
        self.steps += 1
        self._differentiated = done = []
        if total.requires_grad:
            total.register_hook(lambda gradient: done.append(True))  # returns None: no change
        else:
            done.append(True)

    def _discard(self) -> None:
        """Forget what the last call of the objective would write."""
        for term in self.objective:
            term.discard()

    def _forget(self) -> None:
        """Forget the last training call, also what it would write."""
        self._differentiated = None
        self._discard()

    def get_extra_state(self) -> Tensor:
        """Return steps, whether the loss is primed, and its settings, for `state_dict`."""
        settings = settings_of(self.objective, self.seed)
        return encoded({"steps": self.steps, "primed": self.primed, "settings": settings})

    def set_extra_state(self, state: Tensor) -> None:
        """Take over steps and whether the loss is primed; warn where settings differ."""
        saved = decoded(state)
        self.steps, self.primed = saved["steps"], saved["primed"]
        here = settings_of(self.objective, self.seed)
        warn_of_other_settings(here, saved["settings"], self._name)
        self._after_loading()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        buffers = dict(self.named_buffers(prefix.removesuffix(".")))
        for name, tensor in chain(self.named_parameters(prefix.removesuffix(".")), buffers.items()):
            loaded = state_dict.get(name, tensor)
            of_groups = name.endswith((".negatives.start", ".negatives.members"))  # of any number
            if loaded.shape != tensor.shape and not of_groups:
                raise ValueError(
                    f"{self._name}: {name} is {tuple(loaded.shape)} in the state, and "
                    f"{tuple(tensor.shape)} here: build the loss with the sizes and settings of "
                    "the loss that was saved"
                )
        self._forget()
        for name, sampler in self.objective.named_modules(prefix=f"{prefix}objective"):
            if isinstance(sampler, NegativeSampler) and f"{name}.members" in state_dict:
                sampler.resize(len(state_dict[f"{name}.members"]))
        super()._load_from_state_dict(state_dict, prefix, *args)
        # with strict=False, banks or scales may be missing
        self.primed &= buffers.keys() <= state_dict.keys()

    def _apply(self, *args: Any, **options: Any) -> Any:
        self.flush()  # what is to be written has the present device
        return super()._apply(*args, **options)

    def _after_loading(self) -> None:
        """Called after a state was loaded."""


def _flush(module: nn.Module, *_: Any) -> None:
    assert isinstance(module, LossState)
    module.flush()
