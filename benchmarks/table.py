"""The paper's pair on a GPU: accuracy and time of nine arms over three seeds of 240 epochs.

    make gpu-table DATA=tinyimagenet100.npz
    make gpu-table SMALL=1          two epochs of a few random images, on any device

Teacher ResNet32x4, student ResNet8x4, the standard recipe (SGD, batch 64, 240 epochs), all labels,
a tenth of the training images held out, last epoch, every arm on the same batches. On CUDA the
networks run in bfloat16 (losses in float32) and as CUDA graphs. Each seed is one run in
$WCORD_RUNS, resumed where it was interrupted. Then one run of WCoRD alone is timed. This table has
not been run in full; `benchmarks.gpu` measures single steps on a GPU, and a short recipe.
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
    """Return the settings of a seed; small: two epochs of small networks, otherwise the same."""
    changes: dict[str, Any] = {"arms": ARMS, "data.source": source, "data.download": False}
    if device.type == "cuda":
        changes |= {"precision": "bfloat16", "speed": "graphs"}
    changes["name"] = "gpu-table"
    if small:
        changes |= {"epochs": 2, "teacher.epochs": 2, "teacher.model": "resnet8", "batch": 16}
        changes |= {"student.model": "resnet8", "name": "gpu-table-small", "threads": 1}
    return wcord.load(PRESET).replace(changes)


def few_images(path: Path) -> str:
    """Write a file of a few random images; return the setting `data.source` for it."""
    draw = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 60), ("test", 24)):
        arrays[f"images_{part}"] = draw.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
        arrays[f"labels_{part}"] = np.arange(count) % 4
    np.savez(path, **arrays)
    return f"npz:{path}"


def run(settings: wcord.Experiment, name: str) -> Run:
    """Return the run called `name`: trained, or resumed where it was interrupted."""
    path = runs_folder() / name
    if (path / "settings.yaml").exists() and Run(path).settings != settings:
        raise ValueError(f"{path} has other settings: move it away, or set WCORD_RUNS")
    return run_or_resume(settings, path)


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
    lines += ["", f"Nine arms and probes: {statistics.mean(seconds) / 60:.1f} min per seed "]
    lines[-1] += "(without the teacher's training)."
    if alone.summary:
        lines.append(f"WCoRD alone, whole run: {alone.summary['seconds'] / 60:.1f} min (aim: 8).")
    return "\n".join(lines) + "\n"


def conditions(settings: wcord.Experiment, images: str, seeds: int, device: torch.device) -> str:
    """Return the conditions of the table, in one sentence."""
    card = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    return (
        f"{settings.teacher.model} -> {settings.student.model}, {images} (not CIFAR-100), "
        f"{settings.epochs} epochs, batch {settings.batch}, {seeds} seeds, last epoch, "
        f"{settings.precision}, {settings.speed}, {card}, torch {torch.__version__}; "
        "`make gpu-table`."
    )


def main(arguments: list[str] | None = None) -> None:
    """Train the missing runs, print the table and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", help="an .npz file such as tinyimagenet100.npz")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="check the command, not the numbers")
    parser.add_argument("--out", type=Path, default=Path("results/gpu-table.md"))
    options = parser.parse_args(arguments)
    device = choose_device("auto")
    with tempfile.TemporaryDirectory() as folder:
        if options.small:
            source = few_images(Path(folder) / "few.npz")
        elif options.data:
            source = f"npz:{Path(options.data).resolve()}"
        else:
            parser.error("name the images: make gpu-table DATA=file.npz (or SMALL=1)")
        settings = experiment(source, options.small, device)
        prefix = f"{settings.name}-{int(time.time())}" if options.small else settings.name
        seeds = range(2 if options.small else options.seeds)
        runs = [run(settings.replace({"seed": s}), f"{prefix}-seed-{s}") for s in seeds]
        wcord_alone = settings.replace({"arms": {"wcord": ARMS["wcord"]}})
        alone = run(wcord_alone, f"{prefix}-alone")
        images = options.data or "random images"
        text = table(runs, alone, conditions(settings, images, len(runs), device))
        print(text)
        if options.small:
            print("small: the command works; nothing was written to results/")
        else:
            options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
