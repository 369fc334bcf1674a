"""The base of all settings."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A table of settings: it does not change, and has no unknown keys and finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError(
            f"settings cannot be changed in place ({name}): experiment.replace({{...}}) returns a "
            "new experiment"
        )
