"""Read metrics.jsonl, which has one value per line, as a table."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["step", "epoch", "arm", "name", "value"]


def read_metrics(path: Path, run: str) -> pd.DataFrame:
    """Return all values in a file; a last line that is still being written is left out.

    Args:
        path: the file; an absent file has no values.
        run: name of the run, for the message.

    Returns:
        Columns step, epoch, arm ("" for the run's own values), name, value.

    Raises:
        ValueError: the file is damaged; the message names the first damaged line.
    """
    import pandas as pd

    content = path.read_bytes() if path.exists() else b""
    lines = content[: content.rfind(b"\n") + 1]
    if not lines:
        return pd.DataFrame(columns=COLUMNS)
    try:
        frame = pd.read_json(
            io.BytesIO(lines), lines=True, precise_float=True, dtype={"arm": str, "name": str}
        )
        return frame[COLUMNS].astype({"step": np.int64, "epoch": float, "value": float})
    except Exception as error:
        raise ValueError(f"{run}: metrics.jsonl is damaged: {_first_fault(lines)}") from error


def _first_fault(content: bytes) -> str:
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            value = json.loads(line)
            valid = isinstance(value, dict) and set(COLUMNS) <= value.keys()
        except (ValueError, RecursionError):
            valid = False
        if not valid:
            return f"line {number} is not a value"
    return "it holds values of mixed types"
