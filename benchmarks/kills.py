"""Kill a run repeatedly, resume it each time, and compare it with an undisturbed run.

    python -m benchmarks.kills --count 200

Each run trains two arms on the digits for three epochs, with a checkpoint after every step, so that
many kills hit the writing of a checkpoint. Half of the kills come from outside at a random moment.
The other half are aimed at a write: halfway through a temporary file, before it is flushed, before
it is moved into place, right after, or between writing a checkpoint and removing an old one. Some
runs start without a cached teacher, so that they are also killed during its training. A run is
killed a few times, then resumed to its end; its metrics, weights and summary must equal those of
the undisturbed run to the bit. Children are forked from a process that has imported everything, so
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
from functools import partial
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
MOMENTS = ("inside", "unflushed", "unmoved", "moved", "unpruned")
MAX_KILLS = 8  # of one run
WRITING = mmap.mmap(-1, 1)  # shared with children; 1 while a checkpoint is written


def experiment() -> wcord.Experiment:
    """Return the settings of every run: two arms, 33 steps."""
    preset = wcord.load("digits-compression").replace(SETTINGS)
    terms = preset.plain()["arms"]
    return preset.replace({"arms": {arm: terms[arm] for arm in ARMS}})


def start_child(action: Callable[[], object]) -> int:
    """Fork, run an action without output in the child, and return its process id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        wcord.training.loop.CHECKPOINT_EVERY = 0.0
        mark_checkpoints()
        action()
        code = 0
    finally:
        os._exit(code)


def mark_checkpoints() -> None:
    """Set WRITING while this process is inside `checkpoints.write`; it stays set by a kill."""
    write = checkpoints.write
    WRITING[0] = 0

    def marked(*arguments: Any) -> None:
        WRITING[0] = 1
        write(*arguments)
        WRITING[0] = 0

    checkpoints.write = marked  # type: ignore[assignment]


def aim(moment: str, number: int) -> None:
    """Let this process kill itself at a moment of its write number `number`."""
    write, sync, move = storage.write_bytes, os.fsync, os.replace
    steps = checkpoints.steps
    count = Counter[str]()

    def kill_at(reached: str) -> None:
        count[reached] += 1
        if reached == moment and count[reached] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def torn_write(path: Path, content: bytes, *, durable: bool = False) -> None:
        if moment == "inside" and count["inside"] + 1 == number:
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.write_bytes(content[: random.Random(number).randrange(len(content) + 1)])
        kill_at("inside")
        write(path, content, durable=durable)

    def unflushed_sync(handle: int) -> None:
        kill_at("unflushed")
        sync(handle)

    def unmoved_replace(old: Any, new: Any) -> None:
        kill_at("unmoved")
        move(old, new)
        kill_at("moved")

    def unpruned_steps(folder: Path) -> list[int]:
        kill_at("unpruned")
        return steps(folder)

    for name, module in list(sys.modules.items()):
        if name.startswith("wcord.") and getattr(module, "write_bytes", None) is write:
            module.write_bytes = torn_write  # type: ignore[attr-defined]
    os.fsync, os.replace = unflushed_sync, unmoved_replace  # type: ignore[assignment]
    checkpoints.steps = unpruned_steps


def kill(run: Path, draw: random.Random, seconds: float) -> str | None:
    """Resume a run in a child and kill it; return the way, or None where the run ended first."""
    aimed = draw.random() < 0.5
    moment, number = draw.choice(MOMENTS), draw.randrange(1, 40)

    def resume_run() -> None:
        if aimed:
            aim(moment, number)
        resume(run, progress=False)

    process = start_child(resume_run)
    if not aimed:
        time.sleep(draw.uniform(0, seconds))
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if not os.WIFSIGNALED(status):
        if os.WEXITSTATUS(status):
            raise RuntimeError(f"{run}: the run failed by itself")
        return None
    way = f"aimed: {moment}" if aimed else "at random"
    return f"{way}, {'in a checkpoint' if WRITING[0] else 'elsewhere'}"


def finish(run: Path) -> float:
    """Resume a run to its end in a child; return the seconds it took."""
    began = time.monotonic()
    _, status = os.waitpid(start_child(partial(resume, run, progress=False)), 0)
    if status:
        raise RuntimeError(f"{run}: could not be resumed")
    return time.monotonic() - began


def differences(run: wcord.Run, other: wcord.Run) -> list[str]:
    """Return the differences of two finished runs; none where they are equal to the bit."""
    different = []
    if (run.path / "metrics.jsonl").read_bytes() != (other.path / "metrics.jsonl").read_bytes():
        different.append("metrics")
    for arm in ARMS:
        ours, theirs = (dict(r.student(arm).state_dict()) for r in (run, other))
        if ours.keys() != theirs.keys() or not all(torch.equal(ours[k], theirs[k]) for k in ours):
            different.append(f"weights of {arm}")
    if run.steps != other.steps:
        different.append("snapshots")
    summaries = [dict(r.summary or {}) | {"seconds": 0} for r in (run, other)]
    if summaries[0] != summaries[1] or run.status.state != "finished":
        different.append("summary")
    left = [path for path in run.path.rglob("*.tmp") if not path.name.startswith(".control")]
    if left:  # a temporary control.json may be in use: it is removed after a minute
        different.append("temporary files left")
    return different


def campaign(count: int, folder: Path, seed: int, report: Callable[[str], None]) -> Counter[str]:
    """Kill `count` times; return the number of survived kills by way, and of runs.

    Raises:
        RuntimeError: a run failed, could not be resumed, or differs from the undisturbed run.
    """
    draw, survived = random.Random(seed), Counter[str]()
    settings = experiment().yaml()
    shared = folder / "teachers"
    os.environ["WCORD_RUNS"] = str(shared)
    undisturbed = create(folder / "undisturbed", settings)
    resume(undisturbed.path, progress=False)  # imports every module, for the children
    seconds = finish(create(folder / "again", settings).path)
    number = 0
    while survived.total() < count:
        number += 1
        cold = number % 8 == 0  # without a cached teacher
        os.environ["WCORD_RUNS"] = str(folder / f"cold-{number}" if cold else shared)
        run = create(folder / f"run-{number}", settings)
        ways: Counter[str] = Counter()
        for _ in range(draw.randint(1, MAX_KILLS)):
            way = kill(run.path, draw, seconds)
            if way:
                ways[way] += 1
        finish(run.path)
        if different := differences(run, undisturbed):
            raise RuntimeError(f"run {number} differs after {dict(ways)}: {', '.join(different)}")
        survived += ways
        shutil.rmtree(run.path)
        report(f"{survived.total()} kills survived by {number} runs")
    survived["runs"] = number
    return survived


def main() -> None:
    """Print the number of kills that were survived with equal results, by way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        survived = campaign(
            options.count,
            Path(name),
            options.seed,
            lambda line: print(f"\r{line}", end="", flush=True),
        )
    runs = survived.pop("runs")
    print(
        f"\r{survived.total()} kills of {runs} runs survived, metrics, weights, snapshots and "
        f"summary equal to the bit ({time.monotonic() - began:.0f} s, seed {options.seed}, torch "
        f"{torch.__version__}, CPU, one thread)"
    )
    inside = sum(number for way, number in survived.items() if way.endswith("in a checkpoint"))
    print(f"{inside} of them inside the writing of a checkpoint:")
    for way, number in sorted(survived.items()):
        print(f"  {way:34} {number}")


if __name__ == "__main__":
    main()
