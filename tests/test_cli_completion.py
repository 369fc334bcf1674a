"""Completion of the command line: argcomplete's protocol, and a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import wcord
from wcord.cli import main
from wcord.runs.writer import create


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for name in ("digits-1", "digits-2"):
        create(tmp_path / name, wcord.load("digits-half").yaml())
    return os.environ | {"WCORD_RUNS": str(tmp_path)}


def completions(line: str, environment: dict[str, str], tmp_path: Path) -> list[str]:
    """Return the completions of a line, as a shell asks for them."""
    protocol = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "found.txt"),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "wcord"], env=environment | protocol, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout == "", done.stderr
    return [word.strip() for word in (tmp_path / "found.txt").read_text().splitlines()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("wcord tr", ["train"]),
        ("wcord train digits-com", ["digits-compression"]),
        ("wcord train digits-half --q", ["--quiet"]),
        ("wcord resume digits-", ["digits-1", "digits-2"]),
        ("wcord report digits-1 digits-", ["digits-1", "digits-2"]),
        ("wcord page digits-", ["digits-1", "digits-2"]),
        ("wcord completion ", ["bash", "zsh", "fish"]),
        ("wcord report digits-1 --format ", ["markdown", "csv", "json"]),
    ],
)
def test_commands_presets_runs_and_options(
    line: str, expected: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    assert sorted(completions(line, environment, tmp_path)) == sorted(expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("wcord train digits-half --arms.wcord.gckt.f", ["--arms.wcord.gckt.form"]),
        ("wcord train digits-half --precision b", ["bfloat16"]),
        ("wcord sweep digits-half --epochs 3 --ba", ["--backend", "--batch"]),
    ],
)
def test_settings_and_their_choices(
    line: str, expected: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    assert sorted(completions(line, environment, tmp_path)) == sorted(expected)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(environment: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "wcord"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m wcord "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(wcord completion bash)"; COMP_WORDS=(wcord train digits-com) COMP_CWORD=2 '
        'COMP_LINE="wcord train digits-com" COMP_POINT=22 COMP_TYPE=9; '
        '_python_argcomplete wcord; echo "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["digits-compression"], done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_of_each_shell_names_the_command(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert {
        "bash": "complete -o",
        "zsh": "compdef _python_argcomplete wcord",
        "fish": "complete --command wcord",
    }[shell] in printed


def test_without_argcomplete_the_package_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'wcord[completion]'" in capsys.readouterr().err
