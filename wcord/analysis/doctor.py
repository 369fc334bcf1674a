"""Check this machine: packages, device, folders (`wcord doctor`)."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "pot")
LAB = ("streamlit", "umap-learn", "jupyterlab", "ipywidgets", "anywidget", "matplotlib")
EXTRA_OF = dict.fromkeys(LAB, "lab") | {"medmnist": "medmnist", "ray": "ray"}
LOW_SPACE = 2**30  # a folder with fewer free bytes fails the check


def examine() -> tuple[list[str], bool]:
    """Return one line for each check ("ok", "no", or "--" if optional) and whether all passed."""
    import torch

    from wcord.data import data_root
    from wcord.runs import runs_folder
    from wcord.training.devices import choose_device

    lines = [f"ok  Python {platform.python_version()} on {platform.system()}"]
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        lines[0] = f"no  Python {platform.python_version()}: 3.11 to 3.13 are supported"
    for name in (*PACKAGES, *EXTRA_OF):
        try:
            lines.append(f"ok  {name} {version(name)}")
        except PackageNotFoundError:
            extra = EXTRA_OF.get(name)
            hint = f"--  {name} is not installed: pip install 'wcord[{extra}]'"
            lines.append(hint if extra else f"no  {name} is not installed")
    device = choose_device("auto")
    detail = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores"
    lines.append(f"ok  computing on {device.type} ({detail})")
    lines.append(_folder("runs (WCORD_RUNS)", runs_folder()))
    lines.append(_folder("data sets (WCORD_DATA)", data_root()))
    return lines, not any(line.startswith("no") for line in lines)


def _folder(name: str, path: Path) -> str:
    """Return the line of a folder: whether it, or the first parent that exists, can be written."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free
    except OSError as error:
        return f"no  {name}: {path} cannot be written: {error.strerror}"
    if free < LOW_SPACE:
        return f"no  {name}: {path} has only {free / 2**20:.0f} MiB left"
    return f"ok  {name}: {path}, {free / 2**30:.0f} GiB free"
