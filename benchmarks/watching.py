"""The cost of an open page: time per tick, age on screen, memory, and slower training.

    python -m benchmarks.watching --seconds 30 --ticks 7200

A made-up run of one arm (plan and scores of 128 samples, UMAP of 1,000 samples on both sides, 2,000
points) grows every half second by a snapshot, a UMAP and a value of each metric, so that every tick
of the live page redraws all its pictures; then without metrics, so that it redraws three (plan,
scores, map). The page is open in chromium. Memory: the page's script runs in one process, as many
times as the ticks of an hour. Training: steps per second of a run on the digits, in turns: alone,
with its page open in a browser elsewhere (a client that requests the ticks and draws nothing), and
with its page open in chromium on the same machine.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

import wcord
from benchmarks.growing_run import GrowingRun, growing
from lab.control import run_time
from wcord.analysis.estimate import Estimate

ROOT = Path(__file__).parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@contextmanager
def served(runs: Path) -> Iterator[tuple[str, int]]:
    """Serve the app; yield its address and the id of its process."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    server = subprocess.Popen(
        [*command, f"--server.port={port}"],
        cwd=ROOT,
        env=os.environ | {"WCORD_RUNS": str(runs), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://localhost:{port}"
    try:
        while server.poll() is None:
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield url, server.pid
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def chromium() -> str | None:
    """Return the path of the browser."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def open_in_chromium(url: str) -> Iterator[Any]:
    """Open a page in chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(url)
        page.locator("canvas").first.wait_for(timeout=120_000)
        yield page
        browser.close()


@contextmanager
def open_elsewhere(url: str) -> Iterator[None]:
    """Request the ticks of a page and draw nothing, like a browser on another machine."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import connect

    address, query = url.replace("http", "ws", 1).split("/?")
    ended, due = threading.Event(), dict[str, tuple[float, float]]()  # interval, next time

    def request(socket: Any, fragment: str = "") -> None:
        message = BackMsg()
        message.rerun_script.query_string = query
        message.rerun_script.fragment_id = fragment
        message.rerun_script.is_auto_rerun = bool(fragment)
        socket.send(message.SerializeToString())

    def watch() -> None:
        with connect(f"{address}/_stcore/stream", max_size=None) as socket:
            request(socket)
            while not ended.is_set():
                with suppress(TimeoutError):
                    message = ForwardMsg.FromString(socket.recv(timeout=0.05))
                    if message.WhichOneof("type") == "auto_rerun":
                        interval = message.auto_rerun.interval
                        due[message.auto_rerun.fragment_id] = interval, time.monotonic() + interval
                now = time.monotonic()
                for fragment, (interval, at) in due.items():
                    if now >= at:
                        due[fragment] = interval, now + interval
                        request(socket, fragment)

    viewer = threading.Thread(target=watch)
    viewer.start()
    try:
        yield
    finally:
        ended.set()
        viewer.join()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int | str = "self") -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tick_costs(url: str, pid: int, run: GrowingRun, seconds: float) -> dict[str, float]:
    """Return milliseconds per tick of server and browser, and the age of the picture on screen."""
    with open_in_chromium(url) as page:
        page.get_by_text("UMAP of step").first.wait_for()
        if "present" not in url:
            page.get_by_text("MB on disk").wait_for(timeout=180_000)  # the estimate is complete
        time.sleep(3)
        client = page.context.new_cdp_session(page)
        client.send("Performance.enable")

        def busy() -> float:
            metrics = client.send("Performance.getMetrics")["metrics"]
            return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))

        caption = page.get_by_text("UMAP of step").first

        def step_shown() -> int:
            return int(caption.inner_text().rsplit("step ", 1)[1].split()[0])

        first, cpu, task = step_shown(), cpu_seconds(pid), busy()
        time.sleep(seconds)
        cpu, task = cpu_seconds(pid) - cpu, busy() - task
        ticks = max((step_shown() - first) // 10, 1)
        ages, end = [], time.time() + seconds
        while time.time() < end:  # only now, because every query costs the page time
            step = step_shown()
            newer = [at for other, at in list(run.written.items()) if other > step]
            ages.append(time.time() - min(newer) if newer else 0.0)
            time.sleep(0.05)
        return {
            "ticks": ticks,
            "server, ms per tick": 1e3 * cpu / ticks,
            "browser, ms per tick": 1e3 * task / ticks,
            "age on screen, s, mean": statistics.mean(ages),
            "age on screen, s, maximum": max(ages),
        }


def first_picture(runs: Path, rounds: int = 3) -> float:
    """Return the seconds from a running server to the first picture, the median of rounds."""
    from playwright.sync_api import sync_playwright

    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            with served(runs) as (url, _):
                began = time.monotonic()
                page.goto(f"{url}/?run=watched")
                page.locator(".st-key-plan canvas").first.wait_for(timeout=60_000)
                seconds.append(time.monotonic() - began)
                page.close()
        browser.close()
    return statistics.median(seconds)


def memory_growth(path: Path, ticks: int) -> tuple[float, float]:
    """Return the memory of this process in MB after a warm-up, and after all ticks."""
    from streamlit.testing.v1 import AppTest

    estimate = Estimate(2.0, 9.0, 2**25, "cpu", 440)
    run_time.Stopwatch.ask = lambda *_: estimate  # type: ignore[method-assign]  # starts no process
    run = GrowingRun(path)
    with FileLock(path / "lock"), FileLock(path / "maps" / "lock"):
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        before = 0.0
        for tick in range(ticks):
            run.grow()
            app.run()
            if tick == min(400, ticks // 2):
                gc.collect()
                before = resident_megabytes()
    gc.collect()
    return before, resident_megabytes()


def training_paces(runs: Path, seconds: float, rounds: int = 3) -> dict[str, float]:
    """Return steps per second of a run on the digits by where its page is open, medians."""
    experiment = wcord.load("digits-compression").replace({"epochs": 5000, "teacher.epochs": 2})
    run = wcord.launch(experiment, runs / "trained")
    paces: dict[str, list[float]] = {"alone": [], "beside a page elsewhere": [],
                                     "beside a page in chromium here": []}  # fmt: skip
    try:
        with served(runs) as (url, _):
            while run.status.step < 50:
                time.sleep(0.2)
            (run.path / "maps").mkdir(exist_ok=True)
            with FileLock(run.path / "maps" / "lock"):  # no UMAP worker
                for where, values in list(paces.items()) * rounds:
                    with ExitStack() as stack:
                        if "elsewhere" in where:
                            stack.enter_context(open_elsewhere(f"{url}/?run=trained"))
                        elif "chromium" in where:
                            page = stack.enter_context(open_in_chromium(f"{url}/?run=trained"))
                            page.get_by_text("MB on disk").wait_for(timeout=180_000)
                        time.sleep(3)
                        values.append(_pace(run, seconds))
    finally:
        run.stop()
        run.wait(timeout=60)
    return {where: statistics.median(values) for where, values in paces.items()}


def _pace(run: wcord.Run, seconds: float) -> float:
    began, step = time.monotonic(), run.status.step
    time.sleep(seconds)
    return (run.status.step - step) / (time.monotonic() - began)


def main() -> None:
    """Print the cost of an open page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--ticks", type=int, default=7200, help="for memory: an hour has 7,200")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the processes of this program
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        os.environ["WCORD_RUNS"] = folder
        with growing(runs / "watched") as run, served(runs) as (url, pid):
            for title, query in (
                ("the live page, six charts", ""),
                ("the live page, three of them: plan, scores, map", ""),
                ("one panel on the full screen", "&present=map"),
            ):
                run.writes_metrics = "three" not in title
                print(title)
                costs = tick_costs(f"{url}/?run=watched{query}", pid, run, options.seconds)
                for name, value in costs.items():
                    print(f"  {name:26} {value:8.2f}")
        print(f"first picture {first_picture(runs):.1f} s after the server has started")
        paces = training_paces(runs, options.seconds)
        for where, pace in paces.items():
            print(
                f"training {where}: {pace:.1f} steps per second ({pace / paces['alone'] - 1:+.1%})"
            )
        shutil.rmtree(runs / "trained")
        before, after = memory_growth(runs / "long", options.ticks)
        print(f"memory, MB: {before:.0f} after a warm-up, {after:.0f} after {options.ticks} ticks")


if __name__ == "__main__":
    main()
