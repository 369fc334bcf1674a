"""What this machine offers, and whether everything is in place (`wcord doctor`)."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "pot", "streamlit", "umap-learn", "jupyterlab", "ipywidgets")
OPTIONAL = ("ray",)
ROOM = 2**30  # bytes under which the disk is called nearly full


def examine() -> tuple[list[str], bool]:
    """Return lines to read, each beginning with "ok", "no" or "--", and whether all is well."""
    import torch

    from wcord.data import data_root
    from wcord.runs import runs_folder
    from wcord.training.devices import choose_device

    lines = [f"ok  Python {platform.python_version()} on {platform.system()}"]
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        lines[0] = f"no  Python {platform.python_version()}: 3.11 to 3.13 are supported"
    for name in PACKAGES + OPTIONAL:
        try:
            lines.append(f"ok  {name} {version(name)}")
        except PackageNotFoundError:
            needed = name in PACKAGES
            lines.append(f"{'no' if needed else '--'}  {name} is not installed")
    device = choose_device("auto")
    detail = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores"
    lines.append(f"ok  computing on {device.type} ({detail})")
    lines.append(_folder("runs (WCORD_RUNS)", runs_folder()))
    lines.append(_folder("data sets (WCORD_DATA)", data_root()))
    return lines, not any(line.startswith("no") for line in lines)


def _folder(name: str, path: Path) -> str:
    """Say whether a folder, or the nearest one above it, can be written and has room."""
    nearest = path.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            free = shutil.disk_usage(nearest).free
    except OSError as error:
        return f"no  {name}: {path} cannot be written: {error.strerror}"
    if free < ROOM:
        return f"no  {name}: {path} has only {free / 2**20:.0f} MiB left"
    return f"ok  {name}: {path}, {free / 2**30:.0f} GiB free"
