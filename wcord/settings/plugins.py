"""Terms of one's own: modules that settings name, imported wherever the settings are read."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wcord.objectives import TERMS
from wcord.settings.messages import SettingsError


def import_plugins(names: Iterable[str]) -> None:
    """Import modules that add terms to `wcord.objectives.TERMS`.

    Raises:
        ValueError: a module that cannot be imported, in one line.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # a module of the user's own may raise anything
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"plugins: {name} cannot be imported ({reason}): put {name.split('.')[0]}.py into "
                "the working directory or its folder into PYTHONPATH"
            ) from error


def require_importable(arms: Mapping[str, Iterable[str]], plugins: Iterable[str]) -> None:
    """Refuse terms that a new process would not know: of a notebook, or of no plugin.

    Args:
        arms: names of the terms of each arm.
        plugins: modules that a new process imports.

    Raises:
        SettingsError: the first such term, with what to do.
    """
    roots = {name.split(".")[0] for name in ("wcord", *plugins)}
    for arm, terms in arms.items():
        for term in terms:
            module = TERMS[term].__module__
            if module.split(".")[0] not in roots:
                where = "this notebook or script" if module == "__main__" else f"module {module}"
                raise SettingsError(
                    f"arm {arm!r}: the term {term!r} is defined in {where}, which a new process "
                    "does not import: put it into a module, name that in the setting plugins, or "
                    "train here with wcord.distill"
                )


def search_path(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the PYTHONPATH with which a new process finds the plugins of plain settings."""
    folders = []
    for name in settings.get("plugins") or []:
        spec = importlib.util.find_spec(str(name).split(".")[0])
        places = [spec.origin] if spec and spec.origin else []
        folders += [str(Path(p).parent) for p in places if Path(p).name != "__init__.py"]
        folders += [str(Path(p).parent.parent) for p in places if Path(p).name == "__init__.py"]
    if not folders:
        return {}
    rest = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    return {"PYTHONPATH": os.pathsep.join([*dict.fromkeys(folders), *rest])}
