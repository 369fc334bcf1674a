"""Fixtures of all tests: one thread, no deadlines, runs, pages, a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

import wcord

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


SHORT: dict[str, Any] = {"epochs": 3, "teacher.epochs": 4}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def runs_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All tests share one folder of runs, and so one cached teacher."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("runs")
        patch.setenv("WCORD_RUNS", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def no_workers() -> Any:
    """Pages under test start no UMAP worker: each would compile UMAP for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.reading.map_worker.start", lambda run: None)
        yield


@pytest.fixture(scope="session")
def short() -> wcord.Experiment:
    """The first preset with three epochs and a teacher of four."""
    return wcord.load("digits-compression").replace(SHORT)


@pytest.fixture(scope="session")
def finished(short: wcord.Experiment, tmp_path_factory: pytest.TempPathFactory) -> wcord.Run:
    """A finished run of all five arms."""
    path: Path = tmp_path_factory.mktemp("finished") / "run"
    return wcord.Run(wcord.distill(short, path, progress=False).path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs for the pages, with a place beside it, and a quick estimate."""
    from lab.control import run_time
    from wcord.analysis.estimate import Estimate

    inside = tmp_path / "runs"
    inside.mkdir()
    monkeypatch.setenv("WCORD_RUNS", str(inside))
    monkeypatch.setattr(run_time.Stopwatch, "ask", lambda *_: Estimate(2.0, 9.0, 2**25, "cpu", 440))
    return inside


@pytest.fixture
def canvas(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for the view of every page."""
    from app_pages import Canvas

    stand_in = Canvas()
    monkeypatch.setattr("lab.viewer.in_streamlit._component", lambda: stand_in)
    return stand_in


def chromium() -> str | None:
    """Return the path of the browser: $CHROMIUM, else the system's, else None."""
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (found := shutil.which(name)):
            return found
    return None


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start the browser, or skip where there is none."""
    path = chromium()
    if path is None:
        pytest.skip("no chromium here: install it, or name one in $CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the course's site; a warning is an error."""
    pytest.importorskip("myst_nb")
    out = tmp_path_factory.mktemp("book")
    done = subprocess.run(
        [sys.executable, "-m", "course.book.build", str(out)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"
