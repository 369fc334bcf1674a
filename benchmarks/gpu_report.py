"""The page of the measurements of `benchmarks.gpu`: results/gpu.md.

    python -m benchmarks.gpu_report --out gpu-out --to gpu.md

Every figure comes from the files in `--out`. A measurement without a file has no section. The page
ends with `remarks.md` of that folder, which is written by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.gpu import PRESETS, conditions, read_results
from wcord.analysis.report import tabulate

EPOCH_STEPS, EPOCHS = 703, 240  # of the standard recipe on 45,000 images, batch 64
AGAINST = {PRESETS[0]: "kd", PRESETS[1]: "identity"}
GOALS = {
    "published, float32 / wcord, whole": "at least 6",
    "published, bfloat16 / wcord, whole": "at least 6",
    "wcord, whole / kd, whole": "at most 1.05",
}
INTRODUCTION = """# On a GPU

Correctness on CUDA, the time of a training step, and the accuracies of a short recipe. Written by
`python -m benchmarks.gpu_report` from the files of `{folder}`, which were measured by `python -m
benchmarks.gpu` ({command}).

{device}, torch {torch}, CUDA {cuda}, cuDNN {cudnn}, Python {python}, CUDA_DEVICE_MAX_CONNECTIONS:
{connections}.
"""


def page(out: Path) -> str:
    """Return the page of the files in `out`."""
    fast, runs = read_results(out / "fast.json", {}), read_results(out / "whole.json", [])
    header = fast.get("conditions") or (runs[-1]["conditions"] if runs else conditions())
    parts = [INTRODUCTION.format(command=fast.get("command", "make gpu"), folder=out, **header)]
    if (out / "right.txt").exists():
        last = (out / "right.txt").read_text("utf-8").strip().splitlines()[-1]
        parts.append(f"## Right\n\nTests marked `cuda`: {last.partition(' in ')[0]}.\n")
    parts += [text for make in (ways, arms, other, profile, sinkhorn) if (text := make(fast))]
    if runs:
        parts.append(whole(runs))
    if (out / "remarks.md").exists():
        parts.append((out / "remarks.md").read_text("utf-8"))
    return "\n".join(parts)


def ways(fast: dict[str, Any]) -> str:
    """Return the time of a step of one arm, and ratios with their goals."""
    result, size = fast.get("ways", {}), fast.get("size", {})
    if "ms" not in result:
        return ""
    lines = [
        "## Fast\n",
        f"A whole step: {size['teacher']} → {size['student']}, {size['pixels']} × "
        f"{size['pixels']}, batch {size['batch']}, {size['samples']:,} samples, 16,384 negatives, "
        f"{size['precision']} networks. Ways take turns in one process, {size['rounds']} rounds of "
        f"{size['repeats']} steps; median (minimum to maximum). *plain*: kernels are launched one "
        "by one; *networks*: teacher and student are one graph each; *whole*: the step is one "
        "graph; *published*: an eager loop that gathers negatives for every anchor.\n",
        "| one arm, way | ms per step |",
        "|---|---|",
    ]
    lines += [f"| {name} | {spread(value)} |" for name, value in result["ms"].items()]
    lines += ["", "| ratio | | goal |", "|---|---|---|"]
    for name, value in result["ratios"].items():
        lines.append(f"| {name} | {spread(value)} | {GOALS.get(name, '')} |")
    if "wcord, whole" not in result["ms"]:
        return "\n".join(lines) + "\n"
    step = result["ms"]["wcord, whole"]["median"]
    minutes = step * EPOCH_STEPS * EPOCHS / 60e3
    lines += [
        "",
        f"At {step:.2f} ms, the {EPOCH_STEPS * EPOCHS:,} steps of 240 epochs take WCoRD "
        f"{minutes:.1f} minutes (goal: under 8; computed, not run). Device memory reserved with "
        f"all these ways in one process: {result['memory MiB']:,.0f} MiB. {replayed(result)}\n",
    ]
    if "note" in fast:
        lines.append(note(fast))
    return "\n".join(lines)


def replayed(result: dict[str, Any]) -> str:
    """Return the difference of three replayed steps from three plain ones."""
    worst = max(result["replayed against plain"].values())
    if worst == 0:
        return "Three replayed steps gave exactly the numbers of three plain ones."
    return f"Three replayed steps differ from three plain ones by {worst:.2g} of the plain change."


def arms(fast: dict[str, Any]) -> str:
    """Return the time of a step by the number of arms."""
    lines = []
    for name in ("arms", "eight"):
        if "ms" in fast.get(name, {}):
            result = fast[name]
            lines += [f"\n{note(result)}| WCoRD arms | ms per step | over one |", "|---|---|---|"]
            for count, value in result["ms"].items():
                goal = ", goal at most 3" if count == "8" else ""
                over = spread(result["over one"][count])
                lines.append(f"| {count} | {spread(value)} | {over}{goal} |")
    return "\n".join(lines) + "\n"


def other(fast: dict[str, Any]) -> str:
    """Return the times of seeds side by side, of larger batches, and of the teacher's training."""
    lines = []
    if "ms" in fast.get("side by side", {}):
        result = fast["side by side"]
        lines += [f"{note(result)}| seeds side by side | ms for all | over one |", "|---|---|---|"]
        for count, value in result["ms"].items():
            lines.append(f"| {count} | {spread(value)} | {spread(result['over one'][count])} |")
        lines.append("")
    if "batches" in fast.get("sizes", {}):
        result = fast["sizes"]
        lines += [
            f"{note(result)}| nine arms, batch | ms per step | images per second |",
            "|---|---|---|",
        ]
        for count, value in result["batches"].items():
            lines.append(f"| {count} | {spread(value)} | {value['images/s']:,} |")
        lines.append("")
    if "teacher" in fast:
        lines += ["| the teacher's training: batch, way | ms per step |", "|---|---|"]
        lines += [f"| {name} | {spread(value)} |" for name, value in fast["teacher"].items()]
        lines.append("")
    return "\n".join(lines)


def profile(fast: dict[str, Any]) -> str:
    """Return the time of each kind of kernel in a step."""
    profiles = fast.get("profile", {})
    if "wcord, whole" not in profiles:
        return ""
    names = [name for name in ("wcord, whole", "kd, whole") if name in profiles]
    kinds = list(profiles["wcord, whole"]["kinds_ms"])
    lines = [
        "### Where the time goes\n",
        "By torch's profiler over ten steps. Kernels of a graph run side by side, so their sum "
        "may exceed the step. *busy*: at least one kernel runs.\n",
        f"| ms per step | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for label, key in (("step", "wall_ms"), ("busy", "busy_ms"), ("sum of kernels", "sum_ms")):
        lines.append(f"| {label} | {' | '.join(f'{profiles[n][key]:.2f}' for n in names)} |")
    for kind in kinds:
        cells = [f"{profiles[n]['kinds_ms'].get(kind, 0):.2f}" for n in names]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    counts = [f"{profiles[n]['kernels']:.0f}" for n in names]
    lines.append(f"| kernels | {' | '.join(counts)} |")
    step = profiles["wcord, whole"]
    lines.append(
        f"\nStep over sum of kernels: {step['wall_ms'] / step['sum_ms']:.2f} (goal: at most 1.5)."
    )
    return "\n".join(lines) + "\n"


def sinkhorn(fast: dict[str, Any]) -> str:
    """Return the time of Sinkhorn against other libraries on the same GPU."""
    rows = fast.get("sinkhorn", [])
    timed = [row for row in rows if "ms" in row]
    if not timed:
        return ""
    lines = [
        "### Sinkhorn\n",
        "Forward and backward on a given cost, ε = 0.05, 100 updates, float32; milliseconds, and "
        "the ratio over ours in the same round (median; quartiles). Up to 256 × 256 our solver is "
        "one kernel (`wcord`); *kernel form* is our solver without it. The time of small problems "
        "depends on how fast the host launches their kernels: trust the ratios.\n",
        "| n | solver | ms | over ours | row error |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(timed, key=lambda row: row["size"]):
        ratio = f"{row['ratio']:.1f} ({row['ratio_low']:.1f} to {row['ratio_high']:.1f})"
        lines.append(
            f"| {row['size']} | {row['solver']} | {row['ms']:.2f} | {ratio} | "
            f"{row['row_error']:.0e} |"
        )
    missing = sorted({f"{row['solver']}: {row['left_out']}" for row in rows if "left_out" in row})
    lines += ["", *(f"Left out: {text}\n" for text in missing)]
    return "\n".join(lines)


def whole(records: list[dict[str, Any]]) -> str:
    """Return the accuracies of the short recipe, clean and with wrong pairs."""
    records = same_settings(records, "data", "teacher", "student", "epochs", "batch", "optimizer")
    lines = ["## The short recipe\n", recipe(records)]
    for preset in PRESETS:
        summaries = {
            record["seed"]: record["summary"]
            for record in same_settings([r for r in records if r["preset"] == preset])
        }
        if not summaries:
            continue
        rows = {
            seed: {arm: values["test_accuracy"] for arm, values in summary["arms"].items()}
            for seed, summary in summaries.items()
        }
        values = pd.DataFrame.from_dict(rows, orient="index").astype(float)
        seconds = [summary["seconds"] for summary in summaries.values()]
        lines += [
            f"### `{preset}`\n",
            tabulate(values, AGAINST[preset], "test accuracy").to_markdown(),
            f"\nA seed of these {len(values.columns)} arms took {min(seconds):.0f} to "
            f"{max(seconds):.0f} s, without the teacher's training.\n",
        ]
    return "\n".join(lines)


def recipe(records: list[dict[str, Any]]) -> str:
    """Return the settings of the short recipe, in one paragraph."""
    settings = records[0]["settings"]
    optimizer, teacher = settings["optimizer"], settings["teacher"]
    samples = records[0]["summary"]["samples"]["train"]
    milestones = ", ".join(map(str, optimizer["milestones"]))
    accuracies = sorted({r["summary"]["teacher"]["test_accuracy"] for r in records})
    return (
        "Tiny-ImageNet-100 at 32 × 32 (every second class of Tiny-ImageNet-200; it is not "
        f"CIFAR-100), {teacher['model']} → {settings['student']['model']}, all labels, {samples:,} "
        f"training images, {settings['epochs']} epochs, batch {settings['batch']}, SGD at "
        f"{optimizer['lr']} divided by 10 at epochs {milestones}; last epoch, test accuracy in per "
        f"cent. One teacher for all seeds, {teacher['epochs']} epochs, "
        f"{' and '.join(map(str, accuracies))} % on the test part. Networks in bfloat16, the step "
        "as one graph. Nothing was tuned here.\n"
    )


def same_settings(records: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Return the runs with the settings of the last one, except the seed.

    Args:
        records: records of runs, oldest first.
        keys: settings to compare; all where none is named.
    """

    def compared(record: dict[str, Any]) -> dict[str, Any]:
        settings = record["settings"]
        return {key: settings[key] for key in keys or settings if key != "seed"}

    return [record for record in records if compared(record) == compared(records[-1])]


def spread(value: dict[str, Any]) -> str:
    """Return the median with minimum and maximum, or the reason why there is none.

    >>> spread({"median": 2.0, "least": 1.5, "most": 2.5})
    '2.00 (1.50 to 2.50)'
    """
    if "failed" in value:
        return str(value["failed"])
    return f"{value['median']:.2f} ({value['least']:.2f} to {value['most']:.2f})"


def note(result: dict[str, Any]) -> str:
    """Return the note of a measurement as a paragraph."""
    return f"*{result['note'][0].upper()}{result['note'][1:]}.*\n\n" if "note" in result else ""


def main(arguments: list[str] | None = None) -> None:
    """Write the page to the file of `--to`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the measurements")
    parser.add_argument("--to", type=Path, required=True, help="file of the page, such as gpu.md")
    options = parser.parse_args(arguments)
    options.to.write_text(page(options.out), encoding="utf-8")
    print(options.to)


if __name__ == "__main__":
    main()
