"""Real signals to real processes of the command line: exit codes, what is left, what is printed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wcord
from wcord.cli import main

LONG = ["--epochs", "5000", "--teacher.epochs", "1", "--arms", "{plain: {ce: 1}}"]


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "wcord", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def trains(path: Path) -> Callable[[], bool]:
    """Return whether the run at a path has taken a step."""
    return lambda: (path / "status.json").exists() and wcord.Run(path).status.step > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 1)]
)
def test_a_stopped_run_has_its_own_exit_code(
    number: signal.Signals | None, code: int, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start("train", "digits-compression", "--run-dir", str(run), *LONG)
    wait_for(trains(run), process)
    if number is None:
        wcord.Run(run).stop()
    else:
        process.send_signal(number)
    printed, error = process.communicate(timeout=120)
    assert process.returncode == code
    assert "stopped at step" in printed
    assert error.strip().splitlines()[-1].startswith("wcord: stopped at step")
    assert f"wcord resume {run} continues" in error and "Traceback" not in error
    assert "\r" not in error  # stderr is no terminal
    assert wcord.Run(run).status.state == "stopped"
    assert list((run / "checkpoints").iterdir())
    if number is signal.SIGTERM:  # a resumed run has the same exit codes
        process = start("resume", str(run), "--quiet")
        before = wcord.Run(run).status.step
        wait_for(lambda: wcord.Run(run).status.step > before, process)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[0] == "" and process.returncode == 130


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """The run is slowed to a step in 60 s, so that only the second signal can end it."""
    run = tmp_path / "run"
    code = (
        "import sys, time, wcord.training.loop as loop\n"
        "loop.Training.keep_pace = lambda *_: time.sleep(60)\n"
        "from wcord.cli import main\n"
        f"sys.exit(main(['train', 'digits-compression', '--run-dir', {str(run)!r}, *{LONG}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    wait_for(trains(run), process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=50)[1]
    assert process.returncode == 130
    assert error.strip().splitlines()[-1] == "wcord: interrupted" and "Traceback" not in error
    assert wcord.Run(run).status.state == "stopped"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_interrupted_in_its_preparation_leaves_no_folder(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    run = tmp_path / "a" / "run"
    words = ["train", "digits-compression", "--run-dir", str(run), "--teacher.epochs", "5000"]
    process = start(*words, "--seed", "77")
    wait_for(lambda: _phase(run) == "training-teacher", process)
    process.send_signal(number)
    printed, error = process.communicate(timeout=120)
    assert process.returncode == code and printed == ""
    assert "Traceback" not in error and not list(tmp_path.iterdir())


def _phase(run: Path) -> str:
    return wcord.Run(run).status.state if (run / "settings.yaml").exists() else ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 1)]
)
def test_a_stopped_sweep_has_its_own_exit_code(
    number: signal.Signals | None, code: int, tmp_path: Path
) -> None:
    process = start("sweep", "digits-compression", "--folder", str(tmp_path / "runs"), *LONG)

    def found() -> list[Path]:
        return [p.parent for p in tmp_path.glob("runs/*/settings.yaml") if trains(p.parent)()]

    wait_for(found, process)
    if number is None:
        wcord.Run(found()[0]).stop()
    else:
        process.send_signal(number)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == code
    assert "wcord: stopped in run 1 of 3; the same command continues" in error


def test_an_interrupt_before_training_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Wherever it comes: here while the data are read, in this process."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wcord.training.prepare.read_data", interrupt)
    assert main(["train", "digits-compression", "--run-dir", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err == "wcord: interrupted\n"
    assert not list(tmp_path.iterdir())


def test_signal_handlers_are_those_of_before(
    short: wcord.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run = wcord.distill(short.replace({"epochs": 1}), tmp_path / "run", progress=False)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert run.ended_by_signal is None
    assert json.loads((run.path / "status.json").read_text())["state"] == "finished"
