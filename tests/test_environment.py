"""The three files that say what is installed hold together, and name no host or machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PAPER = "https://arxiv.org/abs/2012.08674"


def locked() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        requirement = Requirement(line)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def project() -> dict:  # type: ignore[type-arg]
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_lock_is_exact_and_fits_the_loose_bounds() -> None:
    pinned = locked()
    extras = project()["optional-dependencies"].values()
    asked = [Requirement(line) for part in (project()["dependencies"], *extras) for line in part]
    assert len(asked) > 20
    for requirement in asked:
        found = pinned[canonicalize_name(requirement.name)]
        for pin in found:
            version = re.fullmatch(r"==([\w.]+)", str(pin.specifier))
            assert version, f"{pin} is no exact version"
            assert requirement.specifier.contains(version[1]), f"{pin} against {requirement}"


def test_conda_installs_the_same_lock() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["channels"] == ["conda-forge"]
    python = next(d for d in conda["dependencies"] if str(d).startswith("python="))
    assert Requirement(f"python{project()['requires-python']}").specifier.contains(
        python.partition("=")[2]
    )
    pip = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    assert pip == ["-r requirements.lock", "-e ."]


def test_all_that_users_need_is_in_an_extra_of_the_lab_and_nothing_of_the_tests() -> None:
    extras = project()["optional-dependencies"]
    names = {key: {Requirement(line).name for line in lines} for key, lines in extras.items()}
    assert not names["test"] & names["lab"]
    points = project()["entry-points"]["wcord.commands"]
    assert set(points) == {"app", "notebooks", "page"}
    for point in points.values():
        assert re.fullmatch(r"wcord\.lab\.[\w.]+:\w+ \[lab\]", point), point


def test_no_index_no_hash_no_host() -> None:
    for name in ("requirements.lock", "pyproject.toml", "environment.yml", "Makefile"):
        text = (ROOT / name).read_text().replace(PAPER, "")
        for word in ("://", "--index", "--hash", "find-links", "@ file"):
            assert word not in text, f"{word} in {name}"


def test_other_platforms_have_their_markers() -> None:
    markers = {str(r.marker) for found in locked().values() for r in found if r.marker}
    assert any("win32" in m for m in markers) and any("darwin" in m for m in markers)
    assert all("linux" in str(r.marker) for n, f in locked().items() if "nvidia" in n for r in f)
