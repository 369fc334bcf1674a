"""The notebooks as files: in the repository in the folder `notebooks`, installed in `wcord.lab`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

LAB = Path(__file__).parents[1]
INSTALLED = LAB / "notebooks"
FOLDER = INSTALLED if INSTALLED.is_dir() else LAB.parent / "notebooks"
SCHEMATICS = "schematic"  # a folder beside them


def notebooks() -> list[Path]:
    """Return all notebooks in reading order."""
    return sorted(FOLDER.glob("[0-9]*.ipynb"))


def copy_notebooks(folder: Path, *, force: bool = False) -> list[Path]:
    """Copy all notebooks with their schematics, and return the copies in reading order.

    Links to other files of the repository, such as tables of results, become plain text.

    Args:
        folder: a new or an empty one; it is made with its parents.
        force: copy into a folder that is not empty: notebooks of the same names are replaced, its
            other files stay.

    Raises:
        ValueError: `folder` is a file, or has files and `force` is false; in one line.
        OSError: it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: choose another name for the folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise ValueError(
            f"{folder} is not empty: choose another folder, or replace the notebooks in it with "
            "--force"
        )
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(FOLDER / SCHEMATICS, folder / SCHEMATICS, dirs_exist_ok=True)
    copies = []
    for notebook in notebooks():
        copy = folder / notebook.name
        content = json.loads(notebook.read_text("utf-8"))
        for cell in content["cells"]:
            if cell["cell_type"] == "markdown":
                text = _without_links_outside("".join(cell["source"]))
                cell["source"] = text.splitlines(keepends=True)
        copy.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
        copies.append(copy)
    return copies


def _without_links_outside(text: str) -> str:
    """Return Markdown in which links out of the notebooks' folder are names of files.

    >>> _without_links_outside("[the table](../results/tasks.md), [next](02_transport.ipynb)")
    'the table (results/tasks.md in the repository), [next](02_transport.ipynb)'
    """
    return re.sub(r"\[([^\]]*)\]\(\.\./([^)]*)\)", r"\1 (\2 in the repository)", text)
