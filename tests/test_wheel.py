"""The wheel, built from the sdist: what is in it, and that it works where no repository is.

It is unpacked into an environment that sees the installed packages (which pip would install), but
not their editable `wcord`, and used from an empty folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from browser.server import serving
from browser.shown import DEMO, DEMO_NAME, assert_shows, ready
from packaging.metadata import Metadata

import wcord

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = {  # in the repository: in the wheel
    "wcord": "wcord",
    "lab": "wcord/lab",
    "notebooks": "wcord/lab/notebooks",
    ".streamlit": "wcord/lab/streamlit_app/.streamlit",
}
NOT_SHIPPED = ("notebooks/ruff.toml",)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from the repository."""
    folder = tmp_path_factory.mktemp("sdist")
    run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)], ROOT)
    (path,) = folder.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from the sdist."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.unpack_archive(sdist, folder)
    (source,) = folder.iterdir()
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], source)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@dataclass
class Installed:
    """An installation of the wheel, used from an empty folder."""

    python: Path
    folder: Path
    env: dict[str, str]

    def wcord(self, *words: str) -> str:
        """Run a command of `wcord`, which must succeed, and return what it prints."""
        return self.run("-m", "wcord", *words)

    def run(self, *words: str) -> str:
        """Run Python, which must succeed, and return what it prints."""
        return run([str(self.python), *words], self.folder, self.env)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Unpack the wheel into an environment of its own."""
    place, folder = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("empty")
    venv.create(place, symlinks=os.name != "nt")
    scheme = sysconfig.get_paths("venv", vars={"base": str(place), "platbase": str(place)})
    site_packages, bin_folder = Path(scheme["purelib"]), Path(scheme["scripts"])
    wheel.extractall(site_packages)
    # A folder that is named in a .pth file is on the path, and its own .pth files are not read.
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "dependencies.pth").write_text("\n".join(sorted(paths)))
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {"WCORD_RUNS": str(folder.parent / f"{folder.name}-runs"), "WCORD_QUICK": "1"}
    return Installed(bin_folder / "python", folder, env)


def run(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command, which must succeed, and return what it prints."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def shipped() -> dict[str, Path]:
    """Return the files of the repository that belong into the wheel, by their names there."""
    found = {
        f"{target}/{path.relative_to(ROOT / source).as_posix()}": path
        for source, target in FOLDERS.items()
        for path in sorted((ROOT / source).rglob("*"))
        if path.is_file() and path.relative_to(ROOT).as_posix() not in NOT_SHIPPED
    }
    caches = ("/__pycache__/", "_cache/", "/.ipynb_checkpoints/")
    return {name: path for name, path in found.items() if not any(c in name for c in caches)}


def test_the_wheel_has_one_package_and_every_file_of_it(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    info = f"wcord-{wcord.__version__}.dist-info"
    files = {name for name in names if not name.startswith(f"{info}/")}
    assert {name.split("/")[0] for name in names} == {"wcord", info}
    expected = shipped()
    assert files == set(expected)
    assert all(wheel.read(name) == path.read_bytes() for name, path in expected.items())
    for ending in (".js", ".css", ".svg", ".ipynb", ".safetensors", ".frames", ".yaml", ".toml"):
        assert any(name.endswith(ending) for name in files), ending
    assert {"wcord/py.typed", "wcord/lab/streamlit_app/.streamlit/config.toml"} <= files


def test_its_metadata(wheel: zipfile.ZipFile, sdist: Path) -> None:
    info = f"wcord-{wcord.__version__}.dist-info"
    metadata = Metadata.from_email(wheel.read(f"{info}/METADATA"))
    assert str(metadata.version) == PROJECT["version"] == wcord.__version__
    assert metadata.license_expression == "MIT" and metadata.license_files == ["LICENSE"]
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert set(metadata.provides_extra or ()) == set(PROJECT["optional-dependencies"])
    assert "Typing :: Typed" in (metadata.classifiers or ())
    assert metadata.project_urls == {"Paper": "https://arxiv.org/abs/2012.08674"}
    lab = {r.name for r in metadata.requires_dist or () if "lab" in str(r.marker)}
    assert {"streamlit", "anywidget", "jupyterlab", "umap-learn"} <= lab
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert not tops & {"tests", "benchmarks", "studies", "results"}
    assert {"wcord", "lab", "notebooks", "app.py", "pyproject.toml", "LICENSE"} <= tops


def test_the_script_of_streamlit_is_that_of_the_repository() -> None:
    scripts = [ROOT / "app.py", ROOT / "lab" / "streamlit_app" / "app.py"]
    first, second = (path.read_text().split('"""', 2)[2] for path in scripts)
    assert first == second


LOOK = """
import importlib.util, sys
import wcord, wcord.lab
from wcord import lab
assert lab is wcord.lab and lab.__name__ == "wcord.lab"
assert "wcord.lab_of_repository" not in sys.modules
assert importlib.util.find_spec("lab") is None and sys.argv[1] not in sys.path
assert all(m.__file__.startswith(sys.prefix) for n, m in sys.modules.items() if "wcord" in n)
"""


def test_nothing_of_the_repository_is_seen(installed: Installed) -> None:
    installed.run("-c", LOOK, str(ROOT))
    assert not any(installed.folder.iterdir())


def test_the_commands(installed: Installed, tmp_path: Path) -> None:
    assert installed.wcord("--version").strip() == f"wcord {wcord.__version__}"
    assert "ok  torch" in installed.wcord("doctor")
    folder = tmp_path / "run"
    words = ["digits-compression", "--epochs", "1", "--teacher.epochs", "1"]
    assert "finished" in installed.wcord("train", *words, "--run-dir", str(folder))
    for suffix in (".pt2", ".onnx", ".safetensors"):
        file = tmp_path / f"student{suffix}"
        installed.wcord("export", str(folder), "wcord", str(file))
    assert json.loads(installed.wcord("card", str(file)))["arm"] == "wcord"
    program = torch.export.load(tmp_path / "student.pt2").module()
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
    (logits,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(logits, program(images).detach().numpy(), rtol=1e-5, atol=1e-5)
    page = tmp_path / "run.html"
    installed.wcord("page", str(folder), "-o", str(page))
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert page.stat().st_size > 100_000
    assert "UMAP" in installed.run("-m", "wcord.lab.maps", "--help")


EXECUTE = """
import nbformat, sys
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.append(nbformat.v4.new_code_cell("import wcord.lab; print(wcord.lab.__file__)"))
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
print(notebook.cells[-1].outputs[0].text)
"""


def test_the_notebooks_run_where_they_were_copied(installed: Installed, tmp_path: Path) -> None:
    folder = tmp_path / "course"
    assert "12 notebooks" in installed.wcord("notebooks", str(folder))
    assert (folder / "schematic" / "all.svg").exists()
    assert sorted(path.name for path in folder.glob("*.*")) == sorted(
        path.name for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    printed = installed.run("-c", EXECUTE, str(folder / "01_start_here.ipynb"))
    assert Path(printed.strip()).is_relative_to(installed.python.parents[1])


@pytest.mark.browser
def test_the_dashboard_shows_the_demo(installed: Installed, browser: Any, tmp_path: Path) -> None:
    command = [str(installed.python), "-m", "wcord", "app", "--no-browser", "--"]
    log = tmp_path / "log"
    with serving(
        tmp_path / "runs", log, command=command, cwd=installed.folder, env=installed.env
    ) as server:
        page = browser.new_page(viewport={"width": 1600, "height": 1180})
        page.set_default_timeout(120_000)
        demo = wcord.Run(DEMO)
        page.goto(f"{server.url}/?run={DEMO_NAME}&arm=wcord&step={demo.steps[3]}")
        ready(page)
        assert_shows(page, demo, demo.steps[3], "wcord")
        page.close()
    assert "Traceback" not in log.read_text()
