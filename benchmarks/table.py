"""The paper's pair on a GPU: nine arms, three seeds, 240 epochs, and how long they take.

    make gpu-table DATA=tinyimagenet100.npz
    make gpu-table SMALL=1          two epochs of a few random images on whatever there is

Teacher ResNet32x4, student ResNet8x4, the standard recipe (SGD, batch 64, 240 epochs), all labels,
a tenth of the training images held out, last epoch, every arm on the same batches. On CUDA
the networks run in bfloat16 (losses in float32) and as CUDA graphs. One run a seed, in $WCORD_RUNS;
what was begun is resumed. Then one run of WCoRD alone is timed. It has not been run in full; what a
step costs on a GPU, and a short recipe, are measured by `benchmarks.gpu`.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import wcord
from wcord.analysis.sweep_runs import run_or_resume
from wcord.runs import Run, runs_folder
from wcord.training.devices import choose_device

PRESET = "cifar100-resnet32x4-resnet8x4"
GCKT = {"weight": 5, "negatives_count": 16384}
ARMS: dict[str, Any] = {
    "plain": {"ce": 1},
    "kd": {"ce": 0.1, "kd": {"weight": 0.9, "temperature": 4}},
    "hint": {"ce": 1, "hint": {}},
    "crd": {"ce": 1, "crd": 0.8},
    "gckt": {"ce": 1, "gckt": GCKT},
    "lckt": {"ce": 1, "lckt": 0.05},
    "wcord": {"ce": 1, "gckt": GCKT, "lckt": 0.05},
    "wcord+kd": {"ce": 1, "kd": {"weight": 1, "temperature": 4}, "gckt": GCKT, "lckt": 0.05},
    "crd+kd": {"ce": 1, "kd": {"weight": 1, "temperature": 4}, "crd": 0.8},
}


def experiment(source: str, small: bool, device: torch.device) -> wcord.Experiment:
    """Return the settings of one seed; small: two epochs of tiny networks, all else the same."""
    changes: dict[str, Any] = {"arms": ARMS, "data.source": source, "data.download": False}
    if device.type == "cuda":
        changes |= {"precision": "bfloat16", "speed": "graphs"}
    changes["name"] = "gpu-table"
    if small:
        changes |= {"epochs": 2, "teacher.epochs": 2, "teacher.model": "resnet8", "batch": 16}
        changes |= {"student.model": "resnet8", "name": "gpu-table-small", "threads": 1}
    return wcord.load(PRESET).replace(changes)


def few_images(path: Path) -> str:
    """Write a file of a few random images and return it as a source."""
    draw = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 60), ("test", 24)):
        arrays[f"images_{part}"] = draw.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
        arrays[f"labels_{part}"] = np.arange(count) % 4
    np.savez(path, **arrays)
    return f"npz:{path}"


def run(asked: wcord.Experiment, name: str) -> Run:
    """Train, or go on with what was begun."""
    path = runs_folder() / name
    if (path / "settings.yaml").exists() and Run(path).settings != asked:
        raise ValueError(f"{path} has other settings: move it away, or set WCORD_RUNS")
    return run_or_resume(asked, path)


def table(runs: list[Run], alone: Run, conditions: str) -> str:
    """Return the results as Markdown: mean and standard deviation over seeds, last epoch."""
    summaries = [r.summary for r in runs]
    assert all(s is not None for s in summaries)
    rows = {"teacher": [s["teacher"]["test_accuracy"] for s in summaries if s]}
    for arm in ARMS:
        rows[arm] = [s["arms"][arm]["test_accuracy"] for s in summaries if s]
    lines = [conditions, "", "| arm | test accuracy, % |", "|---|---|"]
    for name, values in rows.items():
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        lines.append(f"| {name} | {statistics.mean(values):.2f}{spread} |")
    seconds = [s["seconds"] for s in summaries if s]
    lines += ["", f"Nine arms and probes: {statistics.mean(seconds) / 60:.1f} min a seed "]
    lines[-1] += "(teacher's training apart)."
    if alone.summary:
        lines.append(f"WCoRD alone, whole run: {alone.summary['seconds'] / 60:.1f} min (aim: 8).")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, print the table and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", help="an .npz file such as tinyimagenet100.npz")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="check the command, not the numbers")
    parser.add_argument("--out", type=Path, default=Path("results/gpu-table.md"))
    asked = parser.parse_args(arguments)
    device = choose_device("auto")
    with tempfile.TemporaryDirectory() as folder:
        if asked.small:
            source = few_images(Path(folder) / "few.npz")
        elif asked.data:
            source = f"npz:{Path(asked.data).resolve()}"
        else:
            parser.error("say which images: make gpu-table DATA=file.npz (or SMALL=1)")
        settings = experiment(source, asked.small, device)
        prefix = f"{settings.name}-{int(time.time())}" if asked.small else settings.name
        seeds = range(2 if asked.small else asked.seeds)
        runs = [run(settings.replace({"seed": s}), f"{prefix}-seed-{s}") for s in seeds]
        one = settings.replace({"arms": {"wcord": ARMS["wcord"]}})
        alone = run(one, f"{prefix}-alone")
        card = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
        conditions = (
            f"{settings.teacher.model} -> {settings.student.model}, {asked.data or 'random images'}"
            f" (not CIFAR-100), {settings.epochs} epochs, batch {settings.batch}, "
            f"{len(runs)} seeds, last epoch, {settings.precision}, {settings.speed}, {card}, torch "
            f"{torch.__version__}; `make gpu-table`."
        )
        text = table(runs, alone, conditions)
        print(text)
        if asked.small:
            print("small: the command works; nothing was written to results/")
        else:
            asked.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
