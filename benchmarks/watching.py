"""The cost of an open page: time per tick, frames while playing, key to picture, slower training.

    python -m benchmarks.watching --seconds 30 --ticks 7200 --before FOLDER

A made-up run of one arm (plan and scores of 128 samples, UMAP of 1,000 samples on both sides, 2,000
points) grows every half second by a snapshot, a UMAP and a value of each metric, so that every tick
of the live page redraws all its pictures. The page is open in chromium, which draws in software.
Playing and keys: on the same run once it has stopped growing, with all panels on the screen. Memory
of the page's script and of the browser: as many ticks as an hour has, one after the other.
Training: steps per second of a run on the digits, in turns:
alone, and with its page open in chromium on the same machine; on Linux also the seconds a second
in which the run could work but waited for a core, as the kernel counts them: what the page takes
from it, without the noise of other machines on the same host. FOLDER is another checkout of the
project, whose page is measured on the same growing run in turns with this one.
"""

from __future__ import annotations

import argparse
import base64
import gc
import itertools
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

import wcord
from benchmarks.growing_run import ARM, EVERY, GrowingRun, growing
from lab.reading.watch import Watch
from lab.viewer.feed import Feed, Opened

ROOT = Path(__file__).parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@contextmanager
def served(runs: Path, root: Path = ROOT) -> Iterator[tuple[str, int]]:
    """Serve the app of a checkout; yield its address and the id of its process."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    server = subprocess.Popen(
        [*command, f"--server.port={port}"],
        cwd=root,
        env=os.environ | {"WCORD_RUNS": str(runs), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
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
def open_in_chromium(url: str, size: tuple[int, int] = (1366, 768)) -> Iterator[Any]:
    """Open a page in chromium, once its first picture is there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.goto(url)
        page.locator("canvas").first.wait_for(timeout=120_000)
        yield page
        browser.close()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int | str = "self") -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tick_costs(url: str, pid: int, seconds: float) -> dict[str, float]:
    """Return milliseconds per tick of server and browser; a tick is half a second."""
    with open_in_chromium(url, (1600, 1400)) as page:
        time.sleep(12)  # what is fetched and drawn once is over
        client = page.context.new_cdp_session(page)
        client.send("Performance.enable")

        def metric(name: str) -> float:
            metrics = client.send("Performance.getMetrics")["metrics"]
            return float(next(m["value"] for m in metrics if m["name"] == name))

        cpu, task, heap = cpu_seconds(pid), metric("TaskDuration"), metric("JSHeapUsedSize")
        time.sleep(seconds)
        cpu, task = cpu_seconds(pid) - cpu, metric("TaskDuration") - task
        client.send("HeapProfiler.collectGarbage")
        ticks = seconds / EVERY
        return {
            "server, ms per tick": 1e3 * cpu / ticks,
            "browser, ms per tick": 1e3 * task / ticks,
            "browser's heap before, MB": heap / 2**20,
            "browser's heap after, MB": metric("JSHeapUsedSize") / 2**20,
        }


def age_on_screen(url: str, run: GrowingRun, seconds: float) -> dict[str, float]:
    """Return how old the picture on the screen is, in seconds: mean and maximum."""
    with open_in_chromium(url) as page:
        time.sleep(3)
        where, ages, end = page.locator(".where"), [], time.time() + seconds
        while time.time() < end:
            step = int(where.inner_text().split()[1])
            newer = [at for other, at in list(run.written.items()) if other > step]
            ages.append(time.time() - min(newer) if newer else 0.0)
            time.sleep(0.05)
    return {"age, s, mean": statistics.mean(ages), "age, s, maximum": max(ages)}


FRAMES = """seconds => new Promise(done => {
  const times = [];
  const count = now => {
    times.push(now);
    now - times[0] < 1000 * seconds ? requestAnimationFrame(count) : done(times);
  };
  requestAnimationFrame(count);
})"""
# From a key to the moment after the frame in which its picture was drawn.
KEYS = """async keys => {
  const found = [];
  for (let number = 0; number < keys; number += 1) {
    const key = number < keys / 2 ? "ArrowLeft" : "ArrowRight";
    const began = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await new Promise(done => requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = done;
      port2.postMessage(0);
    }));
    found.push(performance.now() - began);
    await new Promise(done => setTimeout(done, 120));
  }
  return found;
}"""


def answers(url: str, seconds: float, keys: int = 40) -> dict[str, float]:
    """Return frames a second while playing, and milliseconds from an arrow key to its picture."""
    with open_in_chromium(url, (1600, 1400)) as page:
        time.sleep(12)
        page.get_by_role("button", name="Play").click()
        view, drawn = page.locator(".view"), "view => view.drawings"
        before = view.evaluate(drawn)
        times = page.evaluate(FRAMES, seconds)
        drawings = view.evaluate(drawn) - before
        gaps = sorted(b - a for a, b in itertools.pairwise(times))
        page.get_by_role("button", name="Stop playing").click()
        took = sorted(page.evaluate(KEYS, keys))
    return {
        "frames a second, playing": 1000 * drawings / (times[-1] - times[0]),
        "longest of 20 frames, ms": gaps[int(0.95 * len(gaps))],
        "key to picture, ms, median": statistics.median(took),
        "key to picture, ms, maximum": took[-1],
    }


def first_picture(runs: Path, rounds: int = 3) -> float:
    """Return the seconds from a server that answers to the first picture, the median of rounds."""
    from playwright.sync_api import sync_playwright

    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            with served(runs) as (url, _):
                began = time.monotonic()
                page.goto(f"{url}/")
                page.locator(".panel.plan .facts dd").first.wait_for(timeout=60_000)
                seconds.append(time.monotonic() - began)
                page.close()
        browser.close()
    return statistics.median(seconds)


def memory_growth(path: Path, ticks: int) -> tuple[float, float]:
    """Return the memory in MB of a process that feeds a viewer, after a warm-up and at the end."""
    run = GrowingRun(path)
    with FileLock(path / "lock"), FileLock(path / "maps" / "lock"):
        watch = Watch(path)
        feed = Feed(lambda _: Opened(watch, True))
        before = 0.0
        for tick in range(ticks):
            run.grow()
            feed.packet([(path.name, ARM)], None)
            if tick == min(400, ticks // 2):
                gc.collect()
                before = resident_megabytes()
    gc.collect()
    return before, resident_megabytes()


TAKE = """async content => {
  const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
  window.view.receive(bytes);
  await new Promise(done => requestAnimationFrame(done));
}"""
MOUNT = """async ([script, style, scene]) => {
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const code = new Blob([script], { type: "text/javascript" });
  const { mount } = await import(URL.createObjectURL(code));
  const host = { kind: "page", can: {}, send() {} };
  window.view = mount(document.body, host, scene);
}"""


def browser_memory_growth(path: Path, ticks: int) -> tuple[float, float]:
    """Return the memory in MB of a browser's renderer, after a warm-up and after many ticks.

    The view is fed as fast as it draws, with the packets that a page gets in as many ticks.
    """
    from playwright.sync_api import sync_playwright

    from lab.viewer import module
    from lab.viewer.scene import scene

    run, found = GrowingRun(path), list[float]()
    with (
        FileLock(path / "lock"),
        FileLock(path / "maps" / "lock"),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto("about:blank")
        sides = [(path.name, ARM)]
        page.evaluate(MOUNT, [module.script(), module.style(), scene(sides)])
        client = page.context.new_cdp_session(page)
        watch = Watch(path)
        feed = Feed(lambda _: Opened(watch, True))
        for tick in range(ticks):
            run.grow()
            page.evaluate(TAKE, base64.b64encode(feed.packet(sides, None)).decode())
            if tick in (min(2000, ticks // 2), ticks - 1):
                client.send("HeapProfiler.collectGarbage")
                time.sleep(2)
                found.append(renderer_megabytes())
        browser.close()
    return found[0], found[1]


def renderer_megabytes() -> float:
    """Return the memory in MB of the largest process that renders a page of chromium."""
    sizes = [0.0]
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and b"--type=renderer" in (folder / "cmdline").read_bytes():
                sizes.append(resident_megabytes(folder.name))
    return max(sizes)


class Pace(NamedTuple):
    """How fast a run was trained for a while."""

    steps: float  # per second
    waited: float  # seconds per second in which it waited for a core; nan where none can tell


def training_paces(runs: Path, seconds: float, rounds: int = 3) -> dict[str, Pace]:
    """Return the pace of a run on the digits by where its page is open, medians of rounds."""
    experiment = wcord.load("digits-compression").replace({"epochs": 5000, "teacher.epochs": 2})
    run = wcord.launch(experiment, runs / "trained")
    paces: dict[str, list[Pace]] = {"alone": [], "beside a page in chromium here": []}
    try:
        with served(runs) as (url, _):
            while run.status.step < 50:
                time.sleep(0.2)
            (run.path / "maps").mkdir(exist_ok=True)
            with FileLock(run.path / "maps" / "lock"):  # no UMAP worker
                for where, values in list(paces.items()) * rounds:
                    with ExitStack() as stack:
                        if "chromium" in where:
                            stack.enter_context(open_in_chromium(f"{url}/?run=trained"))
                        time.sleep(10)
                        values.append(_pace(run, seconds))
    finally:
        run.stop()
        run.wait(timeout=60)
    return {
        where: Pace(*(statistics.median(column) for column in zip(*values, strict=True)))
        for where, values in paces.items()
    }


def _pace(run: wcord.Run, seconds: float) -> Pace:
    began, step, waited = time.monotonic(), run.status.step, seconds_waited(run.status.pid)
    time.sleep(seconds)
    passed = time.monotonic() - began
    steps = run.status.step - step
    return Pace(steps / passed, (seconds_waited(run.status.pid) - waited) / passed)


def seconds_waited(pid: int | None) -> float:
    """Return how long the threads of a process could have run but waited for a core."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[1]) for task in tasks) / 1e9
    except OSError:
        return math.nan


def main() -> None:
    """Print the cost of an open page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--ticks", type=int, default=7200, help="for memory: an hour has 7,200")
    parser.add_argument("--before", type=Path, help="another checkout, measured beside this one")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the processes of this program
    roots = {"before": options.before, "now": ROOT} if options.before else {"now": ROOT}
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        os.environ["WCORD_RUNS"] = folder
        with growing(runs / "watched") as run:
            for name, root in [*roots.items()] * 2:
                with served(runs, root.resolve()) as (url, pid):
                    print(f"the live page, {name}")
                    shown(tick_costs(f"{url}/?run=watched", pid, options.seconds))
            with served(runs) as (url, _):
                shown(age_on_screen(f"{url}/?run=watched", run, options.seconds))
        with served(runs) as (url, _):
            shown(answers(f"{url}/?run=watched", options.seconds / 3))
        shutil.rmtree(runs / "watched")
        print(f"first picture {first_picture(runs):.1f} s after the server answers")
        paces = training_paces(runs, options.seconds)
        for where, pace in paces.items():
            change = pace.steps / paces["alone"].steps - 1
            print(
                f"training {where}: {pace.steps:.1f} steps per second ({change:+.1%}), "
                f"waits for a core {pace.waited:.1%} of the time"
            )
        shutil.rmtree(runs / "trained")
        before, after = memory_growth(runs / "long", options.ticks)
        print(f"memory, MB: {before:.0f} after a warm-up, {after:.0f} after {options.ticks} ticks")
        before, after = browser_memory_growth(runs / "watched-long", options.ticks)
        print(f"of the browser: {before:.0f} after a warm-up, {after:.0f} at the end")


def shown(costs: dict[str, float]) -> None:
    """Print figures, one a line."""
    for name, value in costs.items():
        print(f"  {name:28} {value:8.2f}", flush=True)


if __name__ == "__main__":
    main()
