"""What it costs to watch: server and browser per tick, age on screen, memory, slower training.

    python -m benchmarks.watching --seconds 30 --ticks 7200

A made-up run of one arm (plan and scores of 128 samples, maps of 1,000 samples on both sides, 2,000
points) grows by a snapshot, a map and a line of metrics every half second, so that every tick of
the live page has all of its pictures to draw anew; then without the metrics, so that it has three
(plan, scores, map). A chromium watches it. Memory: the page's script is run as often as an hour of
ticks would, in one process. Training: steps a second of a run on the digits, in turns: alone, with
its page open in a browser elsewhere (a client that asks for the ticks and draws nothing), and with
its page open in chromium on the same machine.
"""

from __future__ import annotations

import argparse
import gc
import json
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

import numpy as np
import yaml
from filelock import FileLock
from safetensors.numpy import save

import wcord
from lab import maps, timing
from lab.layouts import Frame
from wcord.analysis.estimate import Estimate
from wcord.runs.storage import write_bytes, write_json
from wcord.transport import sinkhorn

ROOT = Path(__file__).parents[1]
ARM = "wcord"
SAMPLES, BATCH, KINDS, EVERY = 1000, 128, 8, 0.5
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def arrays_of(seed: int) -> dict[str, np.ndarray]:
    """Return one snapshot's arrays: ten classes, about as far apart as after training."""
    import torch

    rng = np.random.default_rng(seed)
    labels = np.arange(SAMPLES) % 10
    teacher = rng.normal(size=(10, 32))[labels] + 0.5 * rng.normal(size=(SAMPLES, 32))
    student = teacher + 0.8 * rng.normal(size=(SAMPLES, 32))
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (teacher, student)]
    cosine = unit[0][:BATCH] @ unit[1][:BATCH].T
    plan = sinkhorn(torch.from_numpy(1 - cosine), 0.05, iterations=500).plan.numpy() * BATCH
    half = {"plan": plan, "cost": 1 - cosine, "scores": 14 * cosine}
    half |= {"teacher": teacher, "student": student}
    told = {f"{ARM}/{name}": array.astype(np.float16) for name, array in half.items()}
    told[f"{ARM}/prediction"] = labels.astype(np.int16)
    return told | {"labels": labels.astype(np.int32), "index": np.arange(SAMPLES, dtype=np.int32)}


class Growing:
    """A run directory that seems to be written: `grow` adds a snapshot of one of a few kinds."""

    def __init__(self, path: Path) -> None:
        self.path, self.step, self.written = path, 0, {0: time.time()}
        self.measures = True
        (path / "snapshots").mkdir(parents=True)
        (path / "maps").mkdir()
        terms = {"ce": {"weight": 1.0}, "gckt": {"weight": 5.0}, "lckt": {"weight": 0.5}}
        settings = {"name": "watched", "epochs": 10**5, "batch": 64, "arms": {ARM: terms}}
        (path / "settings.yaml").write_text(yaml.safe_dump(settings))
        write_json(path / "control.json", {"pause_at": None, "stop": False, "delay": 0.0})
        self.kinds = [arrays_of(seed) for seed in range(KINDS)]
        rng = np.random.default_rng(0)
        self.frames = [Frame(*rng.normal(0, 0.7, (2, SAMPLES, 2))) for _ in range(KINDS)]
        self.grow()

    def grow(self, keep: int = 300) -> None:
        """Write the next snapshot, its map, a value of each metric and the status."""
        self.step += 10
        rng = np.random.default_rng(self.step)
        values = {name: float(rng.random()) for name in
                  ("ce", "gckt", "lckt", "total", "same_class_mass", "diagonal_mass",
                   "variance_ratio", "plan_cost", "exact_iw", "certified_iw", "raw_iw",
                   "feature_distance", "neighbour_overlap", "cka", "test_accuracy")}  # fmt: skip
        header = {"step": self.step, "epoch": self.step / 10, "values": {ARM: values}, "fitted": []}
        content = save(self.kinds[self.step // 10 % KINDS], {"snapshot": json.dumps(header)})
        maps.write_frame(self.path, ARM, self.step, self.frames[self.step // 10 % KINDS])
        with open(self.path / "metrics.jsonl", "a") as file:
            for name, value in values.items() if self.measures else ():
                line = {"step": self.step, "epoch": self.step / 10, "arm": ARM, "name": name}
                file.write(json.dumps(line | {"value": value}) + "\n")
        status = {"state": "running", "step": self.step, "total": 10**6, "epoch": self.step / 10}
        write_json(self.path / "status.json", status | {"heartbeat": time.time()})
        write_bytes(self.path / "snapshots" / f"{self.step}.safetensors", content)
        self.written[self.step] = time.time()
        old = self.step - 10 * keep
        for path in (self.path / "snapshots" / f"{old}.safetensors",
                     maps.frame_path(self.path, ARM, old)):  # fmt: skip
            path.unlink(missing_ok=True)


@contextmanager
def growing(path: Path) -> Iterator[Growing]:
    """Let a run grow in a thread for as long as the block lasts."""
    run, over = Growing(path), threading.Event()

    def feed() -> None:
        while not over.wait(EVERY):
            run.grow()

    feeder = threading.Thread(target=feed)
    with FileLock(path / "lock"), FileLock(path / "maps" / "lock"):
        feeder.start()
        try:
            yield run
        finally:
            over.set()
            feeder.join()


@contextmanager
def served(runs: Path) -> Iterator[tuple[str, int]]:
    """Serve the app; give its address and process."""
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
    """Return the browser to measure with."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def opened(url: str) -> Iterator[Any]:
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
def asked_from_afar(url: str) -> Iterator[None]:
    """Ask for what a page would ask for, and draw nothing: a browser on another machine."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import connect

    address, query = url.replace("http", "ws", 1).split("/?")
    over, due = threading.Event(), dict[str, tuple[float, float]]()  # interval, next time

    def ask(socket: Any, fragment: str = "") -> None:
        message = BackMsg()
        message.rerun_script.query_string = query
        message.rerun_script.fragment_id = fragment
        message.rerun_script.is_auto_rerun = bool(fragment)
        socket.send(message.SerializeToString())

    def watch() -> None:
        with connect(f"{address}/_stcore/stream", max_size=None) as socket:
            ask(socket)
            while not over.is_set():
                with suppress(TimeoutError):
                    told = ForwardMsg.FromString(socket.recv(timeout=0.05))
                    if told.WhichOneof("type") == "auto_rerun":
                        every = told.auto_rerun.interval
                        due[told.auto_rerun.fragment_id] = every, time.monotonic() + every
                now = time.monotonic()
                for fragment, (every, at) in due.items():
                    if now >= at:
                        due[fragment] = every, now + every
                        ask(socket, fragment)

    viewer = threading.Thread(target=watch)
    viewer.start()
    try:
        yield
    finally:
        over.set()
        viewer.join()


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int | str = "self") -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tick_costs(url: str, pid: int, run: Growing, seconds: float) -> dict[str, float]:
    """Return milliseconds a tick of server and browser, and the age of what is on screen."""
    with opened(url) as page:
        page.get_by_text("UMAP of step").first.wait_for()
        if "present" not in url:
            page.get_by_text("MB on disk").wait_for(timeout=180_000)  # the preset has been timed
        time.sleep(3)
        client = page.context.new_cdp_session(page)
        client.send("Performance.enable")

        def busy() -> float:
            told = client.send("Performance.getMetrics")["metrics"]
            return float(next(m["value"] for m in told if m["name"] == "TaskDuration"))

        said = page.get_by_text("UMAP of step").first

        def step_shown() -> int:
            return int(said.inner_text().rsplit("step ", 1)[1].split()[0])

        first, cpu, task = step_shown(), cpu_of(pid), busy()
        time.sleep(seconds)
        cpu, task = cpu_of(pid) - cpu, busy() - task
        ticks = max((step_shown() - first) // 10, 1)
        ages, end = [], time.time() + seconds
        while time.time() < end:  # only now: to ask the page costs it time
            step = step_shown()
            newer = [at for other, at in list(run.written.items()) if other > step]
            ages.append(time.time() - min(newer) if newer else 0.0)
            time.sleep(0.05)
        return {
            "ticks": ticks,
            "server, ms a tick": 1e3 * cpu / ticks,
            "browser, ms a tick": 1e3 * task / ticks,
            "age on screen, s, mean": statistics.mean(ages),
            "age on screen, s, most": max(ages),
        }


def first_picture(runs: Path, rounds: int = 3) -> float:
    """Return the seconds from a server that answers to the first picture, the median of rounds."""
    from playwright.sync_api import sync_playwright

    waits = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            with served(runs) as (url, _):
                began = time.monotonic()
                page.goto(f"{url}/?run=watched")
                page.locator(".st-key-plan canvas").first.wait_for(timeout=60_000)
                waits.append(time.monotonic() - began)
                page.close()
        browser.close()
    return statistics.median(waits)


def memory_growth(path: Path, ticks: int) -> tuple[float, float]:
    """Return MB of this process after a warm-up of ticks, and after all of them."""
    from streamlit.testing.v1 import AppTest

    answer = Estimate(2.0, 9.0, 2**25, "cpu", 440)
    timing.Stopwatch.ask = lambda *_: answer  # type: ignore[method-assign]  # no process beside
    run = Growing(path)
    with FileLock(path / "lock"), FileLock(path / "maps" / "lock"):
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        before = 0.0
        for tick in range(ticks):
            run.grow()
            app.run()
            if tick == min(400, ticks // 2):
                gc.collect()
                before = resident()
    gc.collect()
    return before, resident()


def training_paces(runs: Path, seconds: float, rounds: int = 3) -> dict[str, float]:
    """Return steps a second of a run on the digits by who watches it, the median of rounds."""
    experiment = wcord.load("digits-compression").replace({"epochs": 5000, "teacher.epochs": 2})
    run = wcord.launch(experiment, runs / "trained")
    paces: dict[str, list[float]] = {"alone": [], "beside a page elsewhere": [],
                                     "beside a page in chromium here": []}  # fmt: skip
    try:
        with served(runs) as (url, _):
            while run.status["step"] < 50:
                time.sleep(0.2)
            (run.path / "maps").mkdir(exist_ok=True)
            with FileLock(run.path / "maps" / "lock"):  # maps have a worker of their own
                for who, told in list(paces.items()) * rounds:
                    with ExitStack() as stack:
                        if "elsewhere" in who:
                            stack.enter_context(asked_from_afar(f"{url}/?run=trained"))
                        elif "chromium" in who:
                            page = stack.enter_context(opened(f"{url}/?run=trained"))
                            page.get_by_text("MB on disk").wait_for(timeout=180_000)
                        time.sleep(3)
                        told.append(_pace(run, seconds))
    finally:
        run.stop()
        run.wait(timeout=60)
    return {who: statistics.median(told) for who, told in paces.items()}


def _pace(run: wcord.Run, seconds: float) -> float:
    began, step = time.monotonic(), run.status["step"]
    time.sleep(seconds)
    return float((run.status["step"] - step) / (time.monotonic() - began))


def main() -> None:
    """Print what watching costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--ticks", type=int, default=7200, help="of memory: an hour has 7,200")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends as well
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        os.environ["WCORD_RUNS"] = folder
        with growing(runs / "watched") as run, served(runs) as (url, pid):
            for what, panel in (
                ("the live page, six charts", ""),
                ("the live page, three of them: plan, scores, map", ""),
                ("one panel on the full screen", "&present=map"),
            ):
                run.measures = "three" not in what
                print(what)
                costs = tick_costs(f"{url}/?run=watched{panel}", pid, run, asked.seconds)
                for name, value in costs.items():
                    print(f"  {name:26} {value:8.2f}")
        print(f"first picture {first_picture(runs):.1f} s after the server answers")
        paces = training_paces(runs, asked.seconds)
        for who, pace in paces.items():
            print(f"training {who}: {pace:.1f} steps a second ({pace / paces['alone'] - 1:+.1%})")
        shutil.rmtree(runs / "trained")
        before, after = memory_growth(runs / "long", asked.ticks)
        print(f"memory, MB: {before:.0f} after a warm-up, {after:.0f} after {asked.ticks} ticks")


if __name__ == "__main__":
    main()
