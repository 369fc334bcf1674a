"""What `benchmarks.gpu` measured, as one page: results/gpu.md.

    python -m benchmarks.gpu_report --out gpu-out --to gpu.md

Every figure comes from the files in `--out`; what is missing there is left out of the page.
`remarks.md` there, written by hand, ends it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.gpu import PRESETS, conditions, read
from wcord.analysis.report import tabulate

EPOCH_STEPS, EPOCHS = 703, 240  # of the standard recipe on 45,000 images, batch 64
AGAINST = {PRESETS[0]: "kd", PRESETS[1]: "identity"}
GOALS = {
    "published, float32 / wcord, whole": "at least 6",
    "published, bfloat16 / wcord, whole": "at least 6",
    "wcord, whole / kd, whole": "at most 1.05",
}
INTRODUCTION = """# On a GPU

Is it right on CUDA, how fast is a step, and what does a short recipe give? Made from the files of
`{folder}` by `python -m benchmarks.gpu_report`; these were written by `python -m benchmarks.gpu`
({command}).

{device}, torch {torch}, CUDA {cuda}, cuDNN {cudnn}, Python {python}, CUDA_DEVICE_MAX_CONNECTIONS:
{connections}.
"""


def page(out: Path) -> str:
    """Return the whole page."""
    fast, runs = read(out / "fast.json", {}), read(out / "whole.json", [])
    where = fast.get("conditions") or (runs[-1]["conditions"] if runs else conditions())
    parts = [INTRODUCTION.format(command=fast.get("command", "make gpu"), folder=out, **where)]
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
    """Return milliseconds a step of one arm and the ratios beside their goals."""
    found, size = fast.get("ways", {}), fast.get("size", {})
    if "ms" not in found:
        return ""
    lines = [
        "## Fast\n",
        f"A whole step: {size['teacher']} → {size['student']}, {size['pixels']} × "
        f"{size['pixels']}, batch {size['batch']}, {size['samples']:,} samples, 16,384 negatives, "
        f"{size['precision']} networks. Ways take turns in one process, {size['rounds']} rounds of "
        f"{size['repeats']} steps; median (least to most). *plain*: one launch a kernel; "
        "*networks*: teacher and student as a graph each; *whole*: the step as one graph; "
        "*published*: an eager loop that gathers its own negatives for every anchor.\n",
        "| one arm, way | ms a step |",
        "|---|---|",
    ]
    lines += [f"| {name} | {spread(value)} |" for name, value in found["ms"].items()]
    lines += ["", "| ratio | | goal |", "|---|---|---|"]
    for name, value in found["ratios"].items():
        lines.append(f"| {name} | {spread(value)} | {GOALS.get(name, '')} |")
    if "wcord, whole" not in found["ms"]:
        return "\n".join(lines) + "\n"
    took = found["ms"]["wcord, whole"]["median"]
    minutes = took * EPOCH_STEPS * EPOCHS / 60e3
    lines += [
        "",
        f"At {took:.2f} ms, the {EPOCH_STEPS * EPOCHS:,} steps of 240 epochs take WCoRD "
        f"{minutes:.1f} minutes (goal: under 8; reckoned, not run). Device memory reserved with "
        f"all these ways in one process: {found['memory MiB']:,.0f} MiB. {replayed(found)}\n",
    ]
    if "note" in fast:
        lines.append(note(fast))
    return "\n".join(lines)


def replayed(found: dict[str, Any]) -> str:
    """Return how near three replayed steps came to three plain ones."""
    worst = max(found["replayed against plain"].values())
    if worst == 0:
        return "Three replayed steps gave the very numbers of three plain ones."
    return f"Three replayed steps differ from three plain ones by {worst:.2g} of what these change."


def arms(fast: dict[str, Any]) -> str:
    """Return what more arms cost."""
    lines = []
    for name in ("arms", "eight"):
        if "ms" in fast.get(name, {}):
            found = fast[name]
            lines += [f"\n{note(found)}| WCoRD arms | ms a step | over one |", "|---|---|---|"]
            for count, value in found["ms"].items():
                goal = ", goal at most 3" if count == "8" else ""
                over = spread(found["over one"][count])
                lines.append(f"| {count} | {spread(value)} | {over}{goal} |")
    return "\n".join(lines) + "\n"


def other(fast: dict[str, Any]) -> str:
    """Return seeds side by side, larger batches, and the teacher's own training."""
    lines = []
    if "ms" in fast.get("side by side", {}):
        found = fast["side by side"]
        lines += [f"{note(found)}| seeds side by side | ms for all | over one |", "|---|---|---|"]
        for count, value in found["ms"].items():
            lines.append(f"| {count} | {spread(value)} | {spread(found['over one'][count])} |")
        lines.append("")
    if "batches" in fast.get("sizes", {}):
        found = fast["sizes"]
        lines += [
            f"{note(found)}| nine arms, batch | ms a step | images a second |",
            "|---|---|---|",
        ]
        for count, value in found["batches"].items():
            lines.append(f"| {count} | {spread(value)} | {value['images/s']:,} |")
        lines.append("")
    if "teacher" in fast:
        lines += ["| the teacher's own training: batch, way | ms a step |", "|---|---|"]
        lines += [f"| {name} | {spread(value)} |" for name, value in fast["teacher"].items()]
        lines.append("")
    return "\n".join(lines)


def profile(fast: dict[str, Any]) -> str:
    """Return the share of each kind of kernel in a step."""
    found = fast.get("profile", {})
    if "wcord, whole" not in found:
        return ""
    names = [name for name in ("wcord, whole", "kd, whole") if name in found]
    kinds = list(found["wcord, whole"]["kinds_ms"])
    lines = [
        "### Where the time goes\n",
        "By torch's profiler over ten steps. Kernels of a graph run side by side, so their sum "
        "may exceed the step; *busy*: at least one runs.\n",
        f"| ms a step | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for label, key in (("step", "wall_ms"), ("busy", "busy_ms"), ("sum of kernels", "sum_ms")):
        lines.append(f"| {label} | {' | '.join(f'{found[n][key]:.2f}' for n in names)} |")
    for kind in kinds:
        cells = [f"{found[n]['kinds_ms'].get(kind, 0):.2f}" for n in names]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    counts = [f"{found[n]['kernels']:.0f}" for n in names]
    lines.append(f"| kernels | {' | '.join(counts)} |")
    step = found["wcord, whole"]
    lines.append(
        f"\nStep over sum of kernels: {step['wall_ms'] / step['sum_ms']:.2f} (goal: at most 1.5)."
    )
    return "\n".join(lines) + "\n"


def sinkhorn(fast: dict[str, Any]) -> str:
    """Return Sinkhorn against other libraries on the same card."""
    rows = fast.get("sinkhorn", [])
    timed = [row for row in rows if "ms" in row]
    if not timed:
        return ""
    lines = [
        "### Sinkhorn\n",
        "Forward and backward on a given cost, ε = 0.05, 100 updates, float32; ms, and times ours "
        "in the same round (median; quartiles). Up to 256 × 256 ours is one kernel (`wcord`); "
        "*kernel form* is ours without it. Small problems are bound by the host that launches "
        "them, so their milliseconds move with it: trust the ratios.\n",
        "| n | solver | ms | times ours | row error |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(timed, key=lambda row: row["size"]):
        ratio = f"{row['ratio']:.1f} ({row['ratio_low']:.1f} to {row['ratio_high']:.1f})"
        lines.append(
            f"| {row['size']} | {row['solver']} | {row['ms']:.2f} | {ratio} | "
            f"{row['row_error']:.0e} |"
        )
    left = sorted({f"{row['solver']}: {row['left_out']}" for row in rows if "left_out" in row})
    lines += ["", *(f"Left out: {text}\n" for text in left)]
    return "\n".join(lines)


def whole(records: list[dict[str, Any]]) -> str:
    """Return the tables of the short recipe, clean and with wrong pairs."""
    records = alike(records, "data", "teacher", "student", "epochs", "batch", "optimizer")
    asked = records[0]["settings"]
    recipe = asked["optimizer"]
    teacher = asked["teacher"]
    accuracy = sorted({r["summary"]["teacher"]["test_accuracy"] for r in records})
    lines = [
        "## The short recipe\n",
        f"Tiny-ImageNet-100 at 32 × 32 (every second class of Tiny-ImageNet-200; it is not "
        f"CIFAR-100), {teacher['model']} → {asked['student']['model']}, all labels, "
        f"{records[0]['summary']['samples']['train']:,} training images, {asked['epochs']} epochs, "
        f"batch {asked['batch']}, SGD at {recipe['lr']} divided by 10 at epochs "
        f"{', '.join(map(str, recipe['milestones']))}; last epoch, test accuracy in per cent. One "
        f"teacher for all seeds, {teacher['epochs']} epochs, {' and '.join(map(str, accuracy))} % "
        "on the test part. Networks in bfloat16, the step as one graph. Nothing was tuned here.\n",
    ]
    for preset in PRESETS:
        found = alike([r for r in records if r["preset"] == preset])
        rows = {
            r["seed"]: {arm: v["test_accuracy"] for arm, v in r["summary"]["arms"].items()}
            for r in found
        }
        if not rows:
            continue
        values = pd.DataFrame.from_dict(rows, orient="index").astype(float)
        times = [r["summary"]["seconds"] for r in found]
        lines += [
            f"### `{preset}`\n",
            tabulate(values, AGAINST[preset], "test accuracy").to_markdown(),
            f"\nA seed of these {len(values.columns)} arms took {min(times):.0f} to "
            f"{max(times):.0f} s, teacher apart.\n",
        ]
    return "\n".join(lines)


def alike(records: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Return the runs that were asked for what the last one was, but for the seed.

    Args:
        records: of runs, oldest first.
        keys: settings that count; all where none is named.
    """

    def asked(record: dict[str, Any]) -> dict[str, Any]:
        settings = record["settings"]
        return {key: settings[key] for key in keys or settings if key != "seed"}

    return [record for record in records if asked(record) == asked(records[-1])]


def spread(value: dict[str, Any]) -> str:
    """Return median (least to most), or why there is none.

    >>> spread({"median": 2.0, "least": 1.5, "most": 2.5})
    '2.00 (1.50 to 2.50)'
    """
    if "failed" in value:
        return str(value["failed"])
    return f"{value['median']:.2f} ({value['least']:.2f} to {value['most']:.2f})"


def note(found: dict[str, Any]) -> str:
    """Return what is to be known of a measurement, as a paragraph of its own."""
    return f"*{found['note'][0].upper()}{found['note'][1:]}.*\n\n" if "note" in found else ""


def main(arguments: list[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="what `benchmarks.gpu` left")
    parser.add_argument("--to", type=Path, required=True, help="the page, such as gpu.md")
    asked = parser.parse_args(arguments)
    asked.to.write_text(page(asked.out), encoding="utf-8")
    print(asked.to)


if __name__ == "__main__":
    main()
