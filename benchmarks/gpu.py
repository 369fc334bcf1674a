"""On a GPU: is it right, how fast is it, and the table of the short recipe. One command.

    python -m benchmarks.gpu --data tinyimagenet100.npz --out gpu-out      (or make gpu DATA=…)
    python -m benchmarks.gpu --small                                 anywhere, in a minute or two

Four parts, each a process of its own with a time box, so that neither a failure nor a slow part
stops the next. Each writes what it has to `--out` as soon as it has it:

    right   tests marked `cuda`                                     right.txt
    fast    milliseconds a step, way by way; Sinkhorn               fast.json
    whole   the short recipe, seed after seed                       whole.json, teacher.part*
    long    240 epochs of WCoRD alone, timed                        long.json

What an earlier run left in `--out` is taken up: a measurement that is made again replaces its own
figures only, a seed that is done is not run again, the teacher is read from its parts, and a run
that was cut off goes on where it lies in $WCORD_RUNS. `benchmarks.gpu_report` makes a page of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import wcord
from benchmarks import gpu_steps, gpu_transport
from benchmarks.table import few_images
from wcord.analysis.sweep_runs import run_or_resume
from wcord.runs import runs_folder
from wcord.runs.checkpoints import digest_of
from wcord.runs.storage import write_bytes, write_json

BOXES = {"right": 180, "fast": 300, "whole": 3600, "long": 1200}  # seconds
PRESETS = (
    "tinyimagenet100-resnet32x4-resnet8x4-short",
    "tinyimagenet100-resnet32x4-resnet8x4-short-wrong-pairs",
)
PIECE = 15 * 10**6  # bytes of a part of the teacher's file
SMALL = {
    "epochs": 1, "teacher.epochs": 1, "teacher.model": "resnet8", "student.model": "resnet8",
    "batch": 16, "threads": 1,
}  # fmt: skip


def right(asked: argparse.Namespace) -> None:
    """Run the tests marked `cuda`; without a device a few of them, on the CPU."""
    # only files that have such tests: others import what a GPU machine may lack
    files = [str(path) for path in Path("tests").glob("*.py") if "mark.cuda" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-p", "no:cacheprovider"]
    environment = dict(os.environ)
    if asked.small:
        command += ["tests/test_cuda.py", "-k", "bank"]
        environment["WCORD_CUDA_TESTS_ON"] = "cpu"
    else:
        command += ["-n", "6", "--durations", "8", *files]
    with (asked.out / "right.txt").open("w", encoding="utf-8") as out:
        subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False)
    print((asked.out / "right.txt").read_text("utf-8")[-3000:])


def fast(asked: argparse.Namespace) -> None:
    """Time steps and solvers."""
    size = gpu_steps.SMALL if asked.small else gpu_steps.Size()
    found: dict[str, Any] = {"conditions": conditions(), "size": vars(size)}
    before = read(asked.out / "fast.json", found)
    for key, value in found.items():
        if before.get(key) != value:
            sys.exit(f"{asked.out}/fast.json was measured with other {key}: choose another --out")
    found = before

    def keep(name: str, measured: Any) -> None:
        found[name] = measured
        write_json(asked.out / "fast.json", found)
        print(name, json.dumps(measured)[:2000], flush=True)

    for name, measured in gpu_steps.parts(size, asked.device, asked.only):
        keep(name, measured)
    if not asked.only or "sinkhorn" in asked.only:
        sizes, seconds = ((16,), 0.1) if asked.small else (gpu_transport.SIZES, 1.5)
        keep("sinkhorn", gpu_transport.measure(asked.device, sizes, seconds=seconds))


def whole(asked: argparse.Namespace) -> None:
    """Run the short recipe and its twin with wrong pairs, seed after seed, while there is time."""
    began = time.monotonic()
    results = read(asked.out / "whole.json", [])
    take_up_teacher(asked.out)
    took: dict[str, float] = {}
    for seed in range(asked.seeds):
        for preset in PRESETS:
            wanted = experiment(preset, seed, asked)
            if any(r["settings"] == without_paths(wanted) for r in results):
                continue
            left = asked.seconds - (time.monotonic() - began)
            if left < 1.1 * took.get(preset, 0):
                print(f"no time for seed {seed} of {preset}: {left:.0f} s left")
                return
            started = time.monotonic()
            run = gone_on(wanted)
            took[preset] = time.monotonic() - started
            if run.summary is None:  # its time was up
                return
            record = {"preset": preset, "seed": seed, "summary": run.summary, "small": asked.small}
            record |= {"conditions": conditions(), "wall": round(took[preset], 1)}
            record["settings"] = without_paths(wanted)
            results.append(record)
            write_json(asked.out / "whole.json", results)
            keep_teacher(asked.out)
            print(preset, seed, {k: v["test_accuracy"] for k, v in run.summary["arms"].items()})
            print(f"{took[preset]:.1f} s", flush=True)


def experiment(preset: str, seed: int, asked: argparse.Namespace) -> wcord.Experiment:
    """Return the settings of one run of part `whole`."""
    changes: dict[str, Any] = {"seed": seed, "data.source": asked.data}
    if asked.device.type == "cuda":
        changes |= {"precision": "bfloat16", "speed": "graphs"}
    if asked.small:
        changes |= SMALL
    if preset == PRESETS[1]:  # no term of theirs looks at a pair: they are in the clean run
        changes |= {"arms.plain": None}
        changes |= {"arms.hint": None}  # for the time
    for change in asked.set:
        key, _, value = change.partition("=")
        changes[key] = json.loads(value)
    return wcord.load(preset).replace(changes)


def gone_on(wanted: wcord.Experiment) -> wcord.Run:
    """Train, or go on with a run of the same settings that was cut off."""
    path = runs_folder() / f"{wanted.name}-{wanted.seed}-{digest_of(wanted.yaml())[:8]}"
    return run_or_resume(wanted, path, progress=False)


def without_paths(experiment: wcord.Experiment) -> dict[str, Any]:
    """Return the settings as plain data, with the name of the images' file and not its folder."""
    settings = experiment.plain()
    settings["data"]["source"] = f"npz:{Path(settings['data']['source']).name}"
    return settings


def long(asked: argparse.Namespace) -> None:
    """Train WCoRD alone for the 240 epochs of the standard recipe, teacher apart."""
    one = experiment(PRESETS[0].removesuffix("-short"), 0, asked)
    changes = {"arms": {"wcord": one.arms["wcord"]}, "teacher.seed": 0}
    short = wcord.load(PRESETS[0]).teacher
    if not asked.small:  # the short recipe's teacher: it is there already
        changes |= {"teacher.epochs": short.epochs, "teacher.optimizer": short.optimizer}
    run = gone_on(one.replace(changes))
    if run.summary is not None:
        record = {"summary": run.summary, "conditions": conditions()}
        write_json(asked.out / "long.json", record)
        print("240 epochs", run.summary["seconds"])


def keep_teacher(out: Path) -> None:
    """Copy the cached teachers to `out`, in parts that are small enough to be carried."""
    for path in (runs_folder() / ".teachers").glob("*.safetensors"):
        content = path.read_bytes()
        for place in range(0, len(content), PIECE):
            part = out / f"teacher.{path.stem}.part{place // PIECE}"
            if not part.exists():
                write_bytes(part, content[place : place + PIECE])


def take_up_teacher(out: Path) -> None:
    """Put a teacher that an earlier run left in `out` into the cache."""
    folder = runs_folder() / ".teachers"
    for first in out.glob("teacher.*.part0"):
        parts = sorted(out.glob(f"{first.stem}.part*"), key=lambda p: int(p.suffix[5:]))
        path = folder / f"{first.stem.removeprefix('teacher.')}.safetensors"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(path, b"".join(part.read_bytes() for part in parts))


def conditions() -> dict[str, Any]:
    """Return on what it was measured."""
    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "python": platform.python_version(),
        "connections": os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS", "as CUDA sets it"),
    }


def read(path: Path, nothing: Any) -> Any:
    """Return what an earlier run wrote, `nothing` where there is none."""
    return json.loads(path.read_text("utf-8")) if path.exists() else nothing


PARTS = {"right": right, "fast": fast, "whole": whole, "long": long}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return what is asked for.

    Raises:
        SystemExit: with code 2 and a line that says what to do.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data", help="tinyimagenet100.npz, for the parts whole and long")
    parser.add_argument("--out", type=Path, help="gpu-out, or gpu-out-small with --small")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="check the command, not the numbers")
    parser.add_argument("--seconds", type=float, help="time box of every part")
    parser.add_argument("--set", nargs="*", default=[], metavar="SETTING=JSON", help="of `whole`")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="of `fast`")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    parts = asked.parts or list(PARTS)[: 4 if asked.data or asked.small else 2]
    refusal = None
    if unknown := [part for part in parts if part not in PARTS]:
        refusal = f"unknown part {unknown[0]!r}: known are {', '.join(PARTS)}"
    elif not asked.small and not torch.cuda.is_available():
        refusal = "there is no CUDA device here: add --small (make gpu SMALL=1) to try the command"
    elif not asked.small and not asked.data and {"whole", "long"} & set(parts):
        refusal = "say which images: --data tinyimagenet100.npz (make gpu DATA=…)"
    if refusal:
        parser.exit(2, f"{refusal}\n")
    asked.parts = parts
    asked.out = asked.out or Path("gpu-out-small" if asked.small else "gpu-out")
    asked.out.mkdir(parents=True, exist_ok=True)
    return asked


def main(arguments: list[str] | None = None) -> None:
    """Run the parts asked for, each in a process of its own."""
    asked = parse(arguments)
    if asked.here:
        carry_out(asked.parts[0], asked)
        return
    given = list(sys.argv[1:] if arguments is None else arguments)
    given = [word for word in given if word not in PARTS]
    for part in asked.parts:
        began = time.monotonic()
        ended = boxed(part, given, asked.seconds or BOXES[part])
        print(f"part {part}: {ended}, {time.monotonic() - began:.0f} s", flush=True)


def carry_out(part: str, asked: argparse.Namespace) -> None:
    """Carry out one part in this process."""
    asked.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    asked.seconds = asked.seconds or BOXES[part]
    with tempfile.TemporaryDirectory() as folder:
        if asked.small:
            torch.set_num_threads(1)
            os.environ["WCORD_RUNS"] = folder
            asked.data = few_images(Path(folder) / "few.npz")
        elif asked.data:
            asked.data = f"npz:{Path(asked.data).resolve()}"
        PARTS[part](asked)


def boxed(part: str, given: list[str], seconds: float) -> str:
    """Run one part in a process that ends when its time is up; return how it ended."""
    command = [sys.executable, "-m", "benchmarks.gpu", part, *given, "--here"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # a run writes a checkpoint and ends
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return "its time was up"
    return "done" if code == 0 else f"failed with exit code {code}"


if __name__ == "__main__":
    main()
