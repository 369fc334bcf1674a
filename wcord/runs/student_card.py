"""The card of an exported student: what it is, how to use it, and how it was made."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wcord.runs.read_metrics import read_metrics
from wcord.runs.read_status import read_status
from wcord.runs.storage import plain, read_json
from wcord.runs.trained_students import TrainedStudent

CARD_VERSION = 1
INPUT = (
    "images in the student's view with pixels in [0, 1], not normalised: (x - mean) / std is "
    "computed inside; the view itself is not"
)
ARRAYS = "arrays as in the data, not normalised: (x - mean) / std is computed inside"


def student_card(
    run: Path, arm: str, student: TrainedStudent, mean: Tensor, std: Tensor
) -> dict[str, Any]:
    """Return the card of a student, of JSON's types only.

    card_version: of this schema. run, results: the run's state, step and epoch, and the accuracies
    (per cent) of arm and teacher with their conditions. Where `run.finished` is false, they are of
    the newest probe up to the exported step. classes: names in the order of the logits; null in
    runs that did not store them. input: of the file. network, data, settings, versions, date: of
    the model and of its training.

    Args:
        run: the run directory.
        arm: name of the arm.
        student: its trained student.
        mean, std: (C,), the normalisation.
    """
    experiment, built = student.experiment, student.built
    contents = read_json(run / "data.json", {})
    channels, size = built["channels"], tuple(built["size"])
    pictures = built.get("pictures", True)  # checkpoints of older versions are of pictures
    kind = type(student.module)
    call = f"({experiment.student.model!r}, {channels}, {size}, {built['classes']})"
    own = bool(built.get("own"))
    card = {
        "card_version": CARD_VERSION,
        "arm": arm,
        **_results(run, arm, student),
        "classes": contents.get("labels", {}).get("student"),
        "input": {
            "about": INPUT if pictures else ARRAYS,
            "shape": ["n", channels, *size],
            "dtype": "float32",
            "range": [0, 1] if pictures else None,
            "view": experiment.student.view,
            "mean": mean.tolist(),
            "std": std.tolist(),
        },
        "output": {"about": "logits", "shape": ["n", built["classes"]], "dtype": "float32"},
        "network": {
            "model": None if own else experiment.student.model,
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "source": "a module of the caller" if own else f"wcord.models.build{call}",
            "parameters": sum(p.numel() for p in student.module.parameters()),
        },
        "data": {key: contents.get(key) for key in ("name", "fingerprint", "inputs", "own")},
        "settings": experiment.plain(),
        "versions": {
            "wcord": sys.modules["wcord"].__version__,  # also of a copy that is not installed
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return plain(card)


def _results(run: Path, arm: str, student: TrainedStudent) -> dict[str, Any]:
    """Return the state of the run, and the results of an arm and of the teacher."""
    status, summary = read_status(run), read_json(run / "summary.json")
    step, epochs = student.step, student.experiment.epochs
    finished = isinstance(summary, dict) and summary.get("steps") == step
    epoch = step / status.total * epochs if status.total else None
    state = {
        "name": run.name,
        "state": status.phase,
        "finished": finished,
        "step": step,
        "steps": status.total,
        "epoch": epoch,
        "epochs": epochs,
        "seed": student.experiment.seed,
    }
    if finished:
        names = ("seed", "epochs", "samples", "seconds", "device", "threads", "versions")
        conditions = {"step": step, "epoch": epochs} | {name: summary[name] for name in names}
        results = {"arm": summary["arms"][arm], "teacher": summary["teacher"]}
        return {"run": state, "results": results | {"conditions": conditions}}
    metrics = read_metrics(run / "metrics.jsonl", run.name).query("step <= @step")
    measured = metrics[metrics.name.str.match("test_|held_out_")]
    rows = measured[measured.arm == arm]
    probed = rows[rows.step == rows.step.max()]
    teacher = metrics[(metrics.arm == "") & metrics.name.str.startswith("teacher_")]
    values = {
        "arm": dict(zip(probed.name, probed.value, strict=True)),
        "teacher": {
            name.removeprefix("teacher_"): value
            for name, value in zip(teacher.name, teacher.value, strict=True)
        },
        "conditions": {
            "step": None if probed.empty else int(probed.step.iloc[0]),
            "epoch": None if probed.empty else float(probed.epoch.iloc[0]),
            "seed": student.experiment.seed,
            "epochs": epochs,
        },
    }
    return {"run": state, "results": values}
