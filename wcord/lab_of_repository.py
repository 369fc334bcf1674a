"""The lab under its installed name, in the repository too.

The installed package has the lab as `wcord.lab`. In the repository it is the folder `lab` beside
`wcord`. There this finder answers for `wcord.lab` and every module below it with the module of
`lab`, which is the same object under both names: no class exists twice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import cast

PREFIX = "wcord."


class LabFinder(MetaPathFinder, Loader):
    """Finds `wcord.lab.NAME` as `lab.NAME`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a specification for `wcord.lab` and the modules below it, None for others."""
        inside = f"{fullname}.".startswith(f"{PREFIX}lab.")
        return ModuleSpec(fullname, self) if inside else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of `lab` in the place of the empty one that Python has made."""
        sys.modules[module.__name__] = import_module(module.__name__.removeprefix(PREFIX))

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code of a module, for `python -m wcord.lab.NAME`."""
        spec = find_spec(fullname.removeprefix(PREFIX))
        return cast(InspectLoader, spec.loader).get_code(spec.name) if spec else None


def find_lab_in_repository() -> None:
    """Let `wcord.lab` be found, once a process; before all other finders, which know its files."""
    if not any(isinstance(finder, LabFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, LabFinder())
