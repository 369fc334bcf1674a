"""Finding widgets that a page moves, whose keys are counted (`lab.echoes`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def shown(widgets: Iterable[Any], name: str) -> Any:
    """Return the one widget called `name`, whatever its count is now."""
    (found,) = (w for w in widgets if re.fullmatch(rf"{re.escape(name)}-\d+", w.key or ""))
    return found
