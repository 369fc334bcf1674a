"""What a loss saves beside tensors: its steps, whether it is primed, and its settings."""

from __future__ import annotations

import json
import warnings
from typing import Any

import torch
from torch import Tensor

from wcord.losses.misuse import LossWarning
from wcord.objectives import Objective


def settings_of(objective: Objective, seed: int) -> dict[str, Any]:
    """Return the seed and the settings of all terms, with dotted names."""
    settings = {
        f"{term.name}.{key}": value
        for term in objective
        for key, value in term.settings.model_dump(mode="json").items()
    }
    return {"seed": seed} | settings


def encoded(state: dict[str, Any]) -> Tensor:
    """Return a table as the bytes of JSON, a tensor that every format of weights can hold."""
    return torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8, device="cpu")


def decoded(state: Tensor) -> dict[str, Any]:
    """Return the table of `encoded`."""
    return dict(json.loads(bytes(state.tolist())))


def warn_of_other_settings(here: dict[str, Any], there: dict[str, Any], name: str) -> None:
    """Warn where the settings of a loss are not those of the state that it loads.

    Args:
        here, there: settings of the loss, and of the state (see `settings_of`).
        name: of the loss, for the message.
    """
    differences = [
        f"{key} is {here.get(key)} here and {there.get(key)} in the state"
        for key in here | there
        if here.get(key) != there.get(key)
    ]
    if differences:
        warnings.warn(
            f"{name}: the loaded state is of a loss with other settings, and training goes on with "
            f"those given here: {'; '.join(differences)}",
            LossWarning,
            stacklevel=2,
        )
