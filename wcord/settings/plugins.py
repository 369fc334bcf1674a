"""The setting `plugins`: modules that add terms to `wcord.objectives.TERMS`.

Every validation of the settings imports these modules. So a process that resumes a run, and a
worker of a sweep, have the same terms.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from wcord.errors import first_line
from wcord.objectives import TERMS
from wcord.settings.messages import SettingsError


def import_plugins(names: Iterable[str]) -> None:
    """Import plugins by their names, such as "my_terms" or "my_package.terms".

    Raises:
        ValueError: a module that cannot be imported; the message is one line.
    """
    for name in names:
        root = name.partition(".")[0]
        try:
            # a folder without __init__.py is refused, or settings could import a file from runs/
            if root == "__main__" or (spec := find_spec(root)) is None or spec.origin is None:
                raise ModuleNotFoundError(f"there is no module {root}")
            importlib.import_module(name)
        except Exception as error:  # the code of a plugin may raise anything
            reason = first_line(error)
            raise ValueError(
                f"{name} cannot be imported ({reason}): put {root}.py into the working directory "
                "or add its folder to PYTHONPATH"
            ) from error


def require_importable(arms: Mapping[str, Iterable[str]], plugins: Iterable[str]) -> None:
    """Refuse terms that a new process could not import.

    Args:
        arms: names of the terms of each arm.
        plugins: modules that the new process imports.

    Raises:
        SettingsError: a term is defined in a notebook, a script or a module that is not a plugin.
    """
    roots = {name.partition(".")[0] for name in ("wcord", *plugins)}
    for arm, terms in arms.items():
        for term in terms:
            module = TERMS[term].__module__
            if module.partition(".")[0] not in roots:
                where = "this notebook or script" if module == "__main__" else f"module {module}"
                raise SettingsError(
                    f"arm {arm!r}: the term {term!r} is defined in {where}, which a new process "
                    "does not import: define it in a module and name this module in the setting "
                    "plugins, or train here with wcord.distill"
                )


def plugin_folders(plugins: Iterable[str]) -> list[str]:
    """Return the folders in which this process finds its plugins."""
    folders = []
    for name in plugins:
        spec = find_spec(name.partition(".")[0])
        if spec is not None and spec.has_location and spec.origin:
            path = Path(spec.origin).absolute()
            folders.append(str(path.parents[1] if path.name == "__init__.py" else path.parent))
    return list(dict.fromkeys(folders))


def search_path(plugins: Iterable[str]) -> dict[str, str]:
    """Return {"PYTHONPATH": ...} for a new process to find the plugins; {} without plugins."""
    folders = plugin_folders(plugins)
    if not folders:
        return {}
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([*folders, before] if before else folders)}
