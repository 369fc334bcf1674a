"""Check this machine: packages, device, folders (`wcord doctor`)."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "pot")
LAB = ("streamlit", "umap-learn", "jupyterlab", "ipywidgets", "anywidget", "matplotlib")
EXTRA_OF = dict.fromkeys(LAB, "lab") | {
    "onnxscript": "export",
    "medmnist": "medmnist",
    "ray": "ray",
}
LOW_SPACE = 2**30  # a folder with fewer free bytes fails the check


@dataclass(frozen=True)
class Check:
    """One check: its state ("ok", "no", or "--" if optional), what was checked, and the result."""

    state: str
    name: str
    detail: str

    @property
    def line(self) -> str:
        """The check in one line."""
        return f"{self.state:3} {self.name} {self.detail}"


def examine() -> list[Check]:
    """Check Python, packages, device and folders; this machine passes if no state is "no"."""
    import torch

    from wcord.data import data_root
    from wcord.runs import runs_folder
    from wcord.training.devices import choose_device

    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    python = f"{platform.python_version()} on {platform.system()}"
    limits = "" if supported else ": 3.11 to 3.13 are supported"
    checks = [Check("ok" if supported else "no", "Python", python + limits)]
    for name in (*PACKAGES, *EXTRA_OF):
        try:
            checks.append(Check("ok", name, version(name)))
        except PackageNotFoundError:
            extra = EXTRA_OF.get(name)
            hint = f": pip install 'wcord[{extra}]'" if extra else ""
            checks.append(Check("--" if extra else "no", name, f"is not installed{hint}"))
    device = choose_device("auto")
    detail = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores"
    checks.append(Check("ok", "computing", f"on {device.type} ({detail})"))
    checks.append(_folder("runs (WCORD_RUNS)", runs_folder()))
    checks.append(_folder("data sets (WCORD_DATA)", data_root()))
    return checks


def _folder(name: str, path: Path) -> Check:
    """Check that a folder, or its first parent that exists, can be written and has space."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free
    except OSError as error:
        return Check("no", name, f"{path} cannot be written: {error.strerror}")
    if free < LOW_SPACE:
        return Check("no", name, f"{path} has only {free / 2**20:.0f} MiB left")
    return Check("ok", name, f"{path}, {free / 2**30:.0f} GiB free")
