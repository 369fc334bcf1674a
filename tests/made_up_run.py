"""A small run directory of random numbers, for tests of readers."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from safetensors.numpy import save

ARMS = {
    "plain": {"ce": {"weight": 1.0}},
    "crd": {"ce": {"weight": 1.0}, "crd": {"weight": 0.8}},
    "wcord": {"ce": {"weight": 1.0}, "gckt": {"weight": 5.0}, "lckt": {"weight": 0.5}},
    "wcord+kd": {"ce": {"weight": 1.0}, "kd": {"weight": 0.9}, "gckt": {"weight": 5.0}},
}
STEPS_AN_EPOCH = 14

# Names with Markdown, formulas, HTML, icons and letters, all of which must be shown literally.
NASTY_ARM = "**a** $x^2$ :red[b] <b>c<br> [l](u) _d_ ~e~ | f"
NASTY_ARMS = {
    NASTY_ARM: ARMS["wcord"],
    "_hidden_": ARMS["crd"],
    "-- :smile: `x` # 1": ARMS["plain"],
    "1. {a|b} {c} $& & &lt; www.a.org": ARMS["plain"],
}
NASTY_CLASSES = (
    "_cat_ $x$ **bold**",
    "a class name that is longer than any axis has room for, by far",
    "<b>dog</b> &lt;",
    "猫と犬と鳥と魚と馬",
    "قطة",
    "{c} $& {a|b}",
    ":material/home: \\",
    "7",
)


def arrays_of(
    rng: np.random.Generator, labels: np.ndarray, batch: int, progress: float
) -> dict[str, np.ndarray]:
    """Return the arrays of an arm; classes separate as `progress` goes from 0 to 1."""
    m, d = len(labels), 16
    centres = rng.normal(size=(max(10, labels.max() + 1), d))
    teacher = centres[labels] + 0.4 * rng.normal(size=(m, d))
    student = progress * teacher + (1.2 - progress) * rng.normal(size=(m, d))
    unit_t = teacher / np.linalg.norm(teacher, axis=1, keepdims=True)
    unit_s = student / np.linalg.norm(student, axis=1, keepdims=True)
    scores = unit_t[:batch] @ unit_s[:batch].T
    plan = np.exp(scores / 0.1)
    for _ in range(50):
        plan /= plan.sum(1, keepdims=True)
        plan /= plan.sum(0)
    arrays = {"plan": plan, "cost": 1 - scores, "scores": scores / 0.07}
    arrays |= {"teacher": teacher, "student": student}
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    return halves | {"prediction": labels.astype(np.int16)}


def values_of(terms: dict[str, Any], progress: float, arm: int) -> dict[str, float]:
    """Return the metrics of an arm."""
    values = dict.fromkeys(terms, 2.0 - progress) | {"total": 3.0 - 2 * progress}
    values |= {"held_out_accuracy": 40 + 50 * progress + arm, "same_class_mass": progress}
    values |= {"diagonal_mass": progress / 2, "variance_ratio": 1.0, "exact_iw": 0.4}
    values |= {"feature_distance": 1.0 - progress, "neighbour_overlap": progress, "cka": progress}
    values |= {"plan_cost": 1 - progress, "epsilon": 0.05, "marginal_error": 1e-4}
    return values | ({"certified_iw": 0.3, "raw_iw": 1.2} if "gckt" in terms else {})


def write_run(
    path: Path,
    *,
    epochs: int = 3,
    upto: int | None = None,
    state: str = "finished",
    samples: int = 60,
    batch: int = 32,
    seed: int = 0,
    error: str | None = None,
    arms: dict[str, Any] = ARMS,
    classes: Sequence[str] = (),
    broken: float = 0,
) -> Path:
    """Write a run of `epochs` epochs with a snapshot per epoch, up to epoch `upto`.

    Where `classes` are given, the run has a record of its data, with these names. A share `broken`
    of the pairs is wrong.
    """
    rng = np.random.default_rng(seed)
    upto = epochs if upto is None else upto
    labels = np.arange(samples) % (len(classes) or 10)
    (path / "snapshots").mkdir(parents=True, exist_ok=True)
    settings = {"name": "made-up", "epochs": epochs, "batch": 64, "arms": arms}
    settings["pairing"] = {"broken": broken}
    (path / "settings.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    if classes:
        write_data(path, classes, rng)
    lines = []
    for epoch in range(upto + 1):
        step, progress = epoch * STEPS_AN_EPOCH, epoch / epochs
        arrays = {"labels": labels.astype(np.int32), "index": np.arange(samples, dtype=np.int32)}
        values = {}
        for number, (arm, terms) in enumerate(arms.items()):
            of_arm = arrays_of(rng, labels, batch, progress)
            arrays |= {f"{arm}/{name}": array for name, array in of_arm.items()}
            values[arm] = values_of(terms, progress, number)
            if broken:
                values[arm] |= {"true_partner_mass": progress / 3, "wrong_partner_mass": 0.01}
            for name, value in values[arm].items():
                lines.append(line_of(step, epoch, arm, name, value))
            lines.append(line_of(step, epoch, arm, "test_accuracy", 40 + 50 * progress + number))
        header = {
            "step": step,
            "epoch": float(epoch),
            "values": values,
            "fitted": ["plain"] if "plain" in arms else [],
        }
        content = save(arrays, {"snapshot": json.dumps(header)})
        (path / "snapshots" / f"{step}.safetensors").write_bytes(content)
    (path / "metrics.jsonl").write_text("".join(lines))
    total = epochs * STEPS_AN_EPOCH
    status = {"state": state, "step": upto * STEPS_AN_EPOCH, "total": total, "epoch": float(upto)}
    status |= {"eta": None, "pid": None, "host": None, "heartbeat": time.time(), "error": error}
    (path / "status.json").write_text(json.dumps(status))
    control = {"pause_at": None, "stop": False, "delay": 0.0}
    (path / "control.json").write_text(json.dumps(control))
    return path


def write_data(path: Path, classes: Sequence[str], rng: np.random.Generator) -> None:
    """Write a run's record of its data: data.json and a row of images."""
    files = [{"file": f"*c*/{k}.heic", "why": "no picture that $Pillow$ reads"} for k in range(5)]
    record = {
        "name": "folder:/my_data_/x_y_",
        "fingerprint": "0f",
        "classes": [
            {"name": name, "train": 100 + k, "held_out": 10, "test": 20}
            for k, name in enumerate(classes)
        ],
        "labels": {"teacher": list(classes), "student": list(classes)},
        "passed_over": [*files, {"file": "b/1.png", "why": "a *broken* file"}],
        "passed_over_count": 6,
    }
    (path / "data.json").write_text(json.dumps(record))
    row = rng.integers(0, 256, (10, 10 * min(len(classes), 16), 3), dtype=np.uint8)
    Image.fromarray(row).save(path / "pictures.png")


def line_of(step: int, epoch: float, arm: str, name: str, value: float | None) -> str:
    """Return one line of metrics.jsonl."""
    values = {"step": step, "epoch": epoch, "arm": arm, "name": name, "value": value}
    return json.dumps(values) + "\n"
