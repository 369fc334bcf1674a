"""The tool behind `make notebooks`: run notebooks in place and make their outputs fit to commit.

    python -m lab.course.execute_notebooks [notebook ...]

A notebook is run in a fresh kernel, in its own folder, with runs in a folder that is removed
afterwards. What is kept of its outputs is what a reader of the repository needs: text, tables and
pictures; no widget state, progress bars, timings or addresses. The digest of the sources is put
into the metadata, so that a test can tell whether outputs belong to the sources beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from .notebook_files import FOLDER, notebooks

LIMIT = 900  # seconds a cell may take
WIDGET = "application/vnd.jupyter.widget-view+json"


def digest(notebook: Any) -> str:
    """Return a hash of all code, 16 hexadecimal digits; prose may be mended without a new run."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


def read(path: Path) -> Any:
    """Return a notebook, checked against the format."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def execute(notebook: Any, runs: Path, quick: bool = False) -> Any:
    """Run all cells in a fresh kernel, in place, and return the notebook.

    Args:
        notebook: its outputs are replaced.
        runs: the folder that its runs go to.
        quick: fewer epochs and seeds, for tests.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    environment = os.environ | {
        "WCORD_RUNS": str(runs),
        "WCORD_QUICK": "1" if quick else "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
    }
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name="python3",
        resources={"metadata": {"path": FOLDER}},
        coalesce_streams=True,
    )
    return client.execute(env=environment)


def normalise(notebook: Any) -> Any:
    """Keep of an executed notebook what is fit to commit, in place, and return it."""
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in ("tags",) if key in cell.metadata}
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs if (kept := _kept(output)) is not None]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    stamp = {"source": digest(notebook)}
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": spec, "language_info": {"name": "python"}, "wcord": stamp}
    )
    notebook.nbformat_minor = 5
    return notebook


def _kept(output: Any) -> Any:
    """Return an output without what changes from run to run; None where nothing is left."""
    if output.output_type == "stream":
        if output.name == "stderr":
            return None
        output.text = _without_addresses(output.text)
        return output if output.text.strip() else None
    if output.output_type in ("display_data", "execute_result"):
        if output.data.pop(WIDGET, None) is not None and "image/svg+xml" not in output.data:
            return None  # a widget without a picture of itself
        for kind, content in output.data.items():
            if kind.startswith("text/"):
                output.data[kind] = _without_addresses(content)
    return output


def _without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named notebooks, or all of them, in place."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.course.execute_notebooks", description=__doc__
    )
    parser.add_argument("notebook", nargs="*", type=Path, help="by default all, in reading order")
    with tempfile.TemporaryDirectory(prefix="wcord-runs-") as runs:
        for path in parser.parse_args(arguments).notebook or notebooks():
            print(path.name, file=sys.stderr, flush=True)
            notebook = normalise(execute(read(path), Path(runs)))
            nbformat.write(notebook, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
