"""The commands `wcord app` and `wcord notebooks`, and what they say without the lab's packages."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import nbformat
import pytest

import wcord
from lab import commands
from lab.course.notebook_files import FOLDER, copy_notebooks
from wcord.analysis import doctor
from wcord.cli import main

ROOT = Path(__file__).parents[1]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error message, which must be one line."""
    (line,) = capsys.readouterr().err.splitlines()
    return str(line)


def test_the_notebooks_are_copied_and_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "course"
    assert main(["notebooks", str(folder)]) == 0
    assert f"jupyter lab {folder / '00_what_you_need.ipynb'}" in capsys.readouterr().out
    mine = folder / "00_what_you_need.ipynb"
    mine.write_text("mine")
    assert main(["notebooks", str(folder)]) == 2
    assert "is not empty" in one_line(capsys) and mine.read_text() == "mine"
    (folder / "notes.txt").write_text("kept")
    assert main(["notebooks", str(folder), "--force"]) == 0
    assert mine.read_text("utf-8") == (FOLDER / mine.name).read_text("utf-8")
    assert (folder / "notes.txt").read_text() == "kept"
    capsys.readouterr()
    assert main(["notebooks", str(folder / "notes.txt")]) == 2
    assert "is a file" in one_line(capsys)
    (tmp_path / "file").touch()
    assert main(["notebooks", str(tmp_path / "file" / "inside")]) == 1
    assert "file" in one_line(capsys)
    (tmp_path / "empty").mkdir()
    assert len(copy_notebooks(tmp_path / "empty")) == 12


def test_copies_have_the_same_cells_and_links_that_lead_somewhere(tmp_path: Path) -> None:
    outside = 0
    for copy in copy_notebooks(tmp_path):
        original = nbformat.read(FOLDER / copy.name, as_version=4)
        copied = nbformat.read(copy, as_version=4)
        nbformat.validate(copied)
        assert len(copied.cells) == len(original.cells)
        for before, after in zip(original.cells, copied.cells, strict=True):
            if before.cell_type == "code":
                assert after == before
            for target in re.findall(r"\]\((?!http)([^)#]+)", after.source):
                assert (tmp_path / target).exists(), target
            outside += before.source != after.source
    assert outside  # some notebooks link to tables of results


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], []),
        (["--port", "8765", "--no-browser"], ["--server.port=8765", "--server.headless=true"]),
        (["--no-browser", "--", "--theme.base", "dark"],
         ["--server.headless=true", "--theme.base", "dark"]),
    ],
)  # fmt: skip
def test_the_options_of_the_server(
    words: list[str], options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("streamlit.web.cli.main.main", lambda given, **_: calls.append(given))
    assert main(["app", *words]) == 0
    assert calls == [["run", str(ROOT / "app.py"), *options]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "come after --"),
        (["--", "--server.nonsense=1"], "--server.nonsense"),
        (["--", "--server.port=many"], "many"),
        (["--no-browser", "--port", "99999"], "port must be 0 to 65535, not 99999"),
        (["--nonsense"], "unknown option '--nonsense'"),
    ],
)
def test_a_wrong_option_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["app", *words]) == 2
    assert message in one_line(capsys)


def without(package: str, code: str, cwd: Path) -> str:
    """Return the last line of what a process prints that has the lab, but not one package."""
    code = f"import sys\nsys.modules[{package!r}] = None\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "package"),
    [(["app"], "streamlit"), (["page", "digits-compression"], "latex2mathml")],
)
def test_without_the_extra_one_line_says_what_to_install(
    words: list[str], package: str, tmp_path: Path
) -> None:
    line = without(package, f"from wcord.cli import main\nsys.exit(main({words}))", tmp_path)
    assert line.startswith(f"wcord: wcord {words[0]} needs the package {package}")
    assert line.endswith(": pip install 'wcord[lab]'")


def test_the_view_says_what_to_install(tmp_path: Path) -> None:
    line = without("anywidget", "from wcord import lab\nlab.view('digits-compression')", tmp_path)
    assert line.endswith("the lab needs the package anywidget: pip install 'wcord[lab]'")


def test_the_doctor_does_not_require_the_extras(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        if name in missing:
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    missing = {"streamlit", "ray"}
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "--  streamlit is not installed: pip install 'wcord[lab]'" in printed
    assert "--  ray is not installed: pip install 'wcord[ray]'" in printed and "ok  pot" in printed
    missing = {"pot"}
    assert main(["doctor"]) == 1
    assert "no  pot is not installed" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == f"wcord {wcord.__version__}"


def test_the_settings_of_the_server_lie_where_it_looks() -> None:
    config = tomllib.loads((commands.APP.parent / ".streamlit" / "config.toml").read_text())
    assert config["server"]["address"] == "localhost"
    assert config["server"]["showEmailPrompt"] is False
