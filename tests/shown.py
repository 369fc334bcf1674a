"""Finding widgets whose keys end in a count, because the page sets their values (`lab.echoes`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def shown(widgets: Iterable[Any], name: str) -> Any:
    """Return the widget called `name`, with any count."""
    (widget,) = (w for w in widgets if re.fullmatch(rf"{re.escape(name)}-\d+", w.key or ""))
    return widget
