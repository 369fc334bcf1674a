"""Kill a run again and again, resume it each time, and compare it with one never disturbed.

    python -m benchmarks.kills --count 200

Each run trains two arms on the digits for three epochs, with a checkpoint after every step, so
that many kills fall into one. Half of the kills come from outside at a random moment; the other
half are aimed at a write: half-way through a temporary file, before it is flushed, before it is
moved into place, right after, or between writing a checkpoint and removing an old one. Some runs
begin without a cached teacher and are killed while it is trained. A run is killed up to a few
times, then resumed to its end; its metrics, weights and summary must equal those of the
undisturbed run bit for bit. Children are forked from a process that has imported everything, so
that a kill costs no start-up.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import wcord
import wcord.training.loop
from wcord.runs import checkpoints, storage
from wcord.runs.writer import create
from wcord.training.distillation import resume

SETTINGS: dict[str, Any] = {"epochs": 3, "teacher.epochs": 3, "probe.every": 1, "threads": 1}
ARMS = ("kd", "wcord")
PLACES = ("inside", "unflushed", "unmoved", "moved", "unpruned")
MOST_KILLS = 8  # of one run
WRITING = mmap.mmap(-1, 1)  # shared with children: 1 while a checkpoint is being written


def experiment() -> wcord.Experiment:
    """Return the settings of every run: two arms, 33 steps."""
    preset = wcord.load("digits-compression").replace(SETTINGS)
    terms = preset.plain()["arms"]
    return preset.replace({"arms": {arm: terms[arm] for arm in ARMS}})


def child(action: Callable[[], None]) -> int:
    """Fork, run an action in silence, and return the child's process id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        wcord.training.loop.CHECKPOINT_EVERY = 0.0
        mark_checkpoints()
        action()
        code = 0
    finally:
        os._exit(code)


def mark_checkpoints() -> None:
    """Let WRITING say when this process is inside `checkpoints.write`, dead or alive."""
    write = checkpoints.write
    WRITING[0] = 0

    def marked(*asked: Any) -> None:
        WRITING[0] = 1
        write(*asked)
        WRITING[0] = 0

    checkpoints.write = marked


def aim(place: str, number: int) -> None:
    """Make this process kill itself at a place of its write number `number`."""
    write, sync, move = storage.write_bytes, os.fsync, os.replace
    prune = checkpoints.steps
    seen = Counter[str]()

    def hit(where: str) -> None:
        seen[where] += 1
        if where == place and seen[where] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def torn(path: Path, content: bytes, *, durable: bool = False) -> None:
        if place == "inside" and seen["inside"] + 1 == number:
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.write_bytes(content[: random.Random(number).randrange(len(content) + 1)])
        hit("inside")
        write(path, content, durable=durable)

    def unflushed(handle: int) -> None:
        hit("unflushed")
        sync(handle)

    def unmoved(old: Any, new: Any) -> None:
        hit("unmoved")
        move(old, new)
        hit("moved")

    def unpruned(folder: Path) -> list[int]:
        hit("unpruned")
        return prune(folder)

    for module in ("storage", "checkpoint", "writer", "teacher", "distillation"):
        loaded = sys.modules[f"wcord.{module}"]
        if hasattr(loaded, "write_bytes"):
            loaded.write_bytes = torn  # type: ignore[attr-defined]
    os.fsync, os.replace = unflushed, unmoved  # type: ignore[assignment]
    checkpoints.steps = unpruned  # type: ignore[assignment]


def strike(run: Path, draw: random.Random, seconds: float) -> str | None:
    """Resume a run in a child and kill it; return how, or None where it ended first."""
    aimed = draw.random() < 0.5
    place, number = draw.choice(PLACES), draw.randrange(1, 40)

    def go_on() -> None:
        if aimed:
            aim(place, number)
        resume(run, progress=False)

    process = child(go_on)
    if not aimed:
        time.sleep(draw.uniform(0, seconds))
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if not os.WIFSIGNALED(status):
        if os.WEXITSTATUS(status):
            raise RuntimeError(f"{run}: the run failed by itself")
        return None
    way = f"aimed: {place}" if aimed else "at random"
    return f"{way}, {'in a checkpoint' if WRITING[0] else 'elsewhere'}"


def finish(run: Path) -> float:
    """Resume a run to its end in a child; return the seconds it took."""
    began = time.monotonic()
    _, status = os.waitpid(child(lambda: _end(run)), 0)
    if status:
        raise RuntimeError(f"{run}: could not be resumed")
    return time.monotonic() - began


def _end(run: Path) -> None:
    resume(run, progress=False)


def differences(run: wcord.Run, other: wcord.Run) -> list[str]:
    """Return what differs between two finished runs; empty where they are equal to the bit."""
    found = []
    if (run.path / "metrics.jsonl").read_bytes() != (other.path / "metrics.jsonl").read_bytes():
        found.append("metrics")
    for arm in ARMS:
        ours, theirs = (dict(r.student(arm).state_dict()) for r in (run, other))
        if ours.keys() != theirs.keys() or not all(torch.equal(ours[k], theirs[k]) for k in ours):
            found.append(f"weights of {arm}")
    if run.steps != other.steps:
        found.append("snapshots")
    summaries = [dict(r.summary or {}) | {"seconds": 0} for r in (run, other)]
    if summaries[0] != summaries[1] or run.status.state != "finished":
        found.append("summary")
    left = [path for path in run.path.rglob("*.tmp") if not path.name.startswith(".control")]
    if left:  # of control.json somebody who steers might be writing: swept after a minute
        found.append("temporary files left")
    return found


def campaign(count: int, folder: Path, seed: int, say: Callable[[str], None]) -> Counter[str]:
    """Kill `count` times; return how often each way was survived.

    Raises:
        RuntimeError: a run failed, could not be resumed, or ended otherwise than undisturbed.
    """
    draw, survived = random.Random(seed), Counter[str]()
    settings = experiment().yaml()
    shared = folder / "teachers"
    os.environ["WCORD_RUNS"] = str(shared)
    whole = create(folder / "undisturbed", settings)
    resume(whole.path, progress=False)  # here, so that children find every module imported
    seconds = finish(create(folder / "again", settings).path)
    number = 0
    while survived.total() < count:
        number += 1
        cold = number % 8 == 0  # its teacher is not there yet
        os.environ["WCORD_RUNS"] = str(folder / f"cold-{number}" if cold else shared)
        run = create(folder / f"run-{number}", settings)
        ways: Counter[str] = Counter()
        for _ in range(draw.randint(1, MOST_KILLS)):
            way = strike(run.path, draw, seconds)
            if way:
                ways[way] += 1
        finish(run.path)
        wrong = differences(run, whole)
        if wrong:
            raise RuntimeError(f"run {number} differs after {dict(ways)}: {', '.join(wrong)}")
        survived += ways
        shutil.rmtree(run.path)
        say(f"{survived.total()} kills survived by {number} runs")
    survived["runs"] = number
    return survived


def main() -> None:
    """Print how many kills of each kind were survived with equal results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        survived = campaign(
            asked.count, Path(name), asked.seed, lambda line: print(f"\r{line}", end="", flush=True)
        )
    runs = survived.pop("runs")
    print(
        f"\r{survived.total()} kills of {runs} runs survived, metrics, weights, snapshots and "
        f"summary equal to the bit ({time.monotonic() - began:.0f} s, seed {asked.seed}, torch "
        f"{torch.__version__}, CPU, one thread)"
    )
    inside = sum(times for way, times in survived.items() if way.endswith("in a checkpoint"))
    print(f"{inside} of them inside the writing of a checkpoint:")
    for way, times in sorted(survived.items()):
        print(f"  {way:34} {times}")


if __name__ == "__main__":
    main()
