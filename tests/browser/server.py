"""A server of the app, for the tests of this folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Served:
    """A running server: its address, its folder of runs, and its log file."""

    url: str
    runs: Path
    log: Path


@contextmanager
def serving(
    runs: Path,
    log: Path,
    port: int | None = None,
    command: Sequence[str] = (sys.executable, "-m", "streamlit", "run", "app.py"),
    cwd: Path = ROOT,
    env: Mapping[str, str] = os.environ,
) -> Iterator[Served]:
    """Serve the app on `port`, or on a free one; the server ends with the block."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = port or probe.getsockname()[1]
    with open(log, "ab") as file:
        server = subprocess.Popen(
            [*command, "--server.headless=true", f"--server.port={port}"],
            cwd=cwd,
            env={**env, "WCORD_RUNS": str(runs), "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    url = f"http://localhost:{port}"
    try:
        _wait_for(f"{url}/_stcore/health", server)
        yield Served(url, runs, log)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:  # such as while a thread imports torch
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(20)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the server did not start")
