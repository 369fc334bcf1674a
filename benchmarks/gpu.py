"""All measurements on a GPU by one command: correctness, speed, and the short recipe.

    python -m benchmarks.gpu --data tinyimagenet100.npz --out gpu-out      (or make gpu DATA=…)
    python -m benchmarks.gpu --small                                 anywhere, in a minute or two

There are four parts. Each runs in its own process with a time limit, so that neither a failure nor
a slow part stops the next, and writes every result to `--out` at once:

    right   tests marked `cuda`                                     right.txt
    fast    milliseconds per step in several ways; Sinkhorn         fast.json
    whole   the short recipe, seed after seed                       whole.json, teacher.*.part*
    long    240 epochs of WCoRD alone, timed                        long.json

Results in `--out` are kept: a repeated measurement replaces its own figures only, a finished seed
is not repeated, the teacher is restored from its parts, and an interrupted run is resumed from
$WCORD_RUNS. `benchmarks.gpu_report` writes the page of these results.
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
from benchmarks import gpu_problem, gpu_steps, gpu_transport
from benchmarks.table import few_images
from wcord.analysis.sweep_runs import run_or_resume
from wcord.runs import runs_folder
from wcord.runs.checkpoints import digest_of
from wcord.runs.storage import write_bytes, write_json

TIME_LIMITS = {"right": 180, "fast": 300, "whole": 3600, "long": 1200}  # seconds
PRESETS = (
    "tinyimagenet100-resnet32x4-resnet8x4-short",
    "tinyimagenet100-resnet32x4-resnet8x4-short-wrong-pairs",
)
PART_BYTES = 15 * 10**6  # size of a part of the teacher's file
SMALL = {
    "epochs": 1, "teacher.epochs": 1, "teacher.model": "resnet8", "student.model": "resnet8",
    "batch": 16, "threads": 1,
}  # fmt: skip


def right(options: argparse.Namespace) -> None:
    """Run the tests marked `cuda`; with --small a few of them, on the CPU."""
    # other test files may import packages that the GPU machine lacks
    files = [str(path) for path in Path("tests").glob("*.py") if "mark.cuda" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-p", "no:cacheprovider"]
    environment = dict(os.environ)
    if options.small:
        command += ["tests/test_cuda.py", "-k", "bank"]
        environment["WCORD_CUDA_TESTS_ON"] = "cpu"
    else:
        command += ["-n", "6", "--durations", "8", *files]
    with (options.out / "right.txt").open("w", encoding="utf-8") as out:
        subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False)
    print((options.out / "right.txt").read_text("utf-8")[-3000:])


def fast(options: argparse.Namespace) -> None:
    """Time training steps and solvers."""
    size = gpu_problem.SMALL if options.small else gpu_problem.Size()
    header: dict[str, Any] = {"conditions": conditions(), "size": vars(size)}
    results = read_results(options.out / "fast.json", header)
    for key, value in header.items():
        if results.get(key) != value:
            sys.exit(f"{options.out}/fast.json was measured with other {key}: choose another --out")

    def save(name: str, values: Any) -> None:
        results[name] = values
        write_json(options.out / "fast.json", results)
        print(name, json.dumps(values)[:2000], flush=True)

    for name, values in gpu_steps.measure(size, options.device, options.only):
        save(name, values)
    if not options.only or "sinkhorn" in options.only:
        sizes, seconds = ((16,), 0.1) if options.small else (gpu_transport.SIZES, 1.5)
        save("sinkhorn", gpu_transport.measure(options.device, sizes, seconds=seconds))


def whole(options: argparse.Namespace) -> None:
    """Run the short recipe, clean and with wrong pairs, seed after seed, within the time limit."""
    began = time.monotonic()
    results = read_results(options.out / "whole.json", [])
    restore_teacher(options.out)
    durations: dict[str, float] = {}
    for seed in range(options.seeds):
        for preset in PRESETS:
            settings = experiment(preset, seed, options)
            if any(r["settings"] == without_paths(settings) for r in results):
                continue
            left = options.seconds - (time.monotonic() - began)
            if left < 1.1 * durations.get(preset, 0):
                print(f"no time for seed {seed} of {preset}: {left:.0f} s left")
                return
            started = time.monotonic()
            run = train_or_resume(settings)
            durations[preset] = time.monotonic() - started
            if run.summary is None:  # stopped by the time limit
                return
            record = {
                "preset": preset,
                "seed": seed,
                "summary": run.summary,
                "small": options.small,
                "conditions": conditions(),
                "wall": round(durations[preset], 1),
                "settings": without_paths(settings),
            }
            results.append(record)
            write_json(options.out / "whole.json", results)
            save_teacher(options.out)
            print(preset, seed, {k: v["test_accuracy"] for k, v in run.summary["arms"].items()})
            print(f"{durations[preset]:.1f} s", flush=True)


def experiment(preset: str, seed: int, options: argparse.Namespace) -> wcord.Experiment:
    """Return the settings of one run of the part `whole`."""
    changes: dict[str, Any] = {"seed": seed, "data.source": options.data}
    if options.device.type == "cuda":
        changes |= {"precision": "bfloat16", "speed": "graphs"}
    if options.small:
        changes |= SMALL
    if preset == PRESETS[1]:  # uses no pairs: the same as in the clean run
        changes |= {"arms.plain": None}
        changes |= {"arms.hint": None}  # saves time
    for change in options.set:
        key, _, value = change.partition("=")
        changes[key] = json.loads(value)
    return wcord.load(preset).replace(changes)


def train_or_resume(settings: wcord.Experiment) -> wcord.Run:
    """Return the run of these settings: trained, or resumed where it was interrupted."""
    path = runs_folder() / f"{settings.name}-{settings.seed}-{digest_of(settings.yaml())[:8]}"
    return run_or_resume(settings, path, progress=False)


def without_paths(experiment: wcord.Experiment) -> dict[str, Any]:
    """Return the settings as plain data, with the image file's name instead of its path."""
    settings = experiment.plain()
    settings["data"]["source"] = f"npz:{Path(settings['data']['source']).name}"
    return settings


def long(options: argparse.Namespace) -> None:
    """Time WCoRD alone over the 240 epochs of the standard recipe; its teacher exists already."""
    settings = experiment(PRESETS[0].removesuffix("-short"), 0, options)
    changes = {"arms": {"wcord": settings.arms["wcord"]}, "teacher.seed": 0}
    short = wcord.load(PRESETS[0]).teacher
    if not options.small:  # the teacher of the short recipe is trained already
        changes |= {"teacher.epochs": short.epochs, "teacher.optimizer": short.optimizer}
    run = train_or_resume(settings.replace(changes))
    if run.summary is not None:
        record = {"summary": run.summary, "conditions": conditions()}
        write_json(options.out / "long.json", record)
        print("240 epochs", run.summary["seconds"])


def save_teacher(out: Path) -> None:
    """Copy the cached teachers to `out`, in parts of a limited size."""
    for path in (runs_folder() / ".teachers").glob("*.safetensors"):
        content = path.read_bytes()
        for start in range(0, len(content), PART_BYTES):
            part = out / f"teacher.{path.stem}.part{start // PART_BYTES}"
            if not part.exists():
                write_bytes(part, content[start : start + PART_BYTES])


def restore_teacher(out: Path) -> None:
    """Copy the teachers in `out` back to the cache."""
    folder = runs_folder() / ".teachers"
    for first in out.glob("teacher.*.part0"):
        parts = sorted(out.glob(f"{first.stem}.part*"), key=lambda p: int(p.suffix[5:]))
        path = folder / f"{first.stem.removeprefix('teacher.')}.safetensors"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(path, b"".join(part.read_bytes() for part in parts))


def conditions() -> dict[str, Any]:
    """Return the device and the versions."""
    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "python": platform.python_version(),
        "connections": os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS", "as CUDA sets it"),
    }


def read_results(path: Path, missing: Any) -> Any:
    """Return the content of a JSON file, or `missing` where there is no file."""
    return json.loads(path.read_text("utf-8")) if path.exists() else missing


PARTS = {"right": right, "fast": fast, "whole": whole, "long": long}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line.

    Raises:
        SystemExit: with code 2 and one line that names the mistake.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data", help="tinyimagenet100.npz, for the parts whole and long")
    parser.add_argument("--out", type=Path, help="gpu-out, or gpu-out-small with --small")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="check the command, not the numbers")
    parser.add_argument("--seconds", type=float, help="time limit of each part")
    parser.add_argument("--set", nargs="*", default=[], metavar="SETTING=JSON", help="of whole")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="parts of fast")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    parts = options.parts or list(PARTS)[: 4 if options.data or options.small else 2]
    refusal = None
    if unknown := [part for part in parts if part not in PARTS]:
        refusal = f"unknown part {unknown[0]!r}: known are {', '.join(PARTS)}"
    elif not options.small and not torch.cuda.is_available():
        refusal = "there is no CUDA device here: add --small (make gpu SMALL=1) to try the command"
    elif not options.small and not options.data and {"whole", "long"} & set(parts):
        refusal = "name the images: --data tinyimagenet100.npz (make gpu DATA=…)"
    if refusal:
        parser.exit(2, f"{refusal}\n")
    options.parts = parts
    options.out = options.out or Path("gpu-out-small" if options.small else "gpu-out")
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def main(arguments: list[str] | None = None) -> None:
    """Run the parts, each in its own process."""
    options = parse(arguments)
    if options.in_process:
        run_part(options.parts[0], options)
        return
    words = sys.argv[1:] if arguments is None else arguments
    flags = [word for word in words if word not in PARTS]
    for part in options.parts:
        began = time.monotonic()
        outcome = run_limited(part, flags, options.seconds or TIME_LIMITS[part])
        print(f"part {part}: {outcome}, {time.monotonic() - began:.0f} s", flush=True)


def run_part(part: str, options: argparse.Namespace) -> None:
    """Run one part in this process."""
    options.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options.seconds = options.seconds or TIME_LIMITS[part]
    with tempfile.TemporaryDirectory() as folder:
        if options.small:
            torch.set_num_threads(1)
            os.environ["WCORD_RUNS"] = folder
            options.data = few_images(Path(folder) / "few.npz")
        elif options.data:
            options.data = f"npz:{Path(options.data).resolve()}"
        PARTS[part](options)


def run_limited(part: str, flags: list[str], seconds: float) -> str:
    """Run one part in a process with a time limit; return how it ended."""
    command = [sys.executable, "-m", "benchmarks.gpu", part, *flags, "--in-process"]
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
        return "stopped at its time limit"
    return "done" if code == 0 else f"failed with exit code {code}"


if __name__ == "__main__":
    main()
