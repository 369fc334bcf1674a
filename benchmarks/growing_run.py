"""A made-up run directory that grows, for `benchmarks.watching`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import yaml
from filelock import FileLock
from safetensors.numpy import save

from lab.reading import map_worker
from lab.reading.layouts import Frame
from wcord.runs.storage import write_bytes, write_json
from wcord.transport import sinkhorn

ARM = "wcord"
SAMPLES, BATCH, EVERY = 1000, 128, 0.5
VARIANTS = 8  # different snapshots, written in turn
METRICS = (
    "ce", "gckt", "lckt", "total", "same_class_mass", "diagonal_mass", "variance_ratio",
    "plan_cost", "exact_iw", "certified_iw", "raw_iw", "feature_distance", "neighbour_overlap",
    "cka", "test_accuracy",
)  # fmt: skip


def arrays_of(seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of a snapshot: ten classes, about as far apart as after training."""
    rng = np.random.default_rng(seed)
    labels = np.arange(SAMPLES) % 10
    teacher = rng.normal(size=(10, 32))[labels] + 0.5 * rng.normal(size=(SAMPLES, 32))
    student = teacher + 0.8 * rng.normal(size=(SAMPLES, 32))
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (teacher, student)]
    cosine = unit[0][:BATCH] @ unit[1][:BATCH].T
    plan = sinkhorn(torch.from_numpy(1 - cosine), 0.05, iterations=500).plan.numpy() * BATCH
    arrays = {"plan": plan, "cost": 1 - cosine, "scores": 14 * cosine}
    arrays |= {"teacher": teacher, "student": student}
    result = {f"{ARM}/{name}": array.astype(np.float16) for name, array in arrays.items()}
    result[f"{ARM}/prediction"] = labels.astype(np.int16)
    return result | {"labels": labels.astype(np.int32), "index": np.arange(SAMPLES, dtype=np.int32)}


class GrowingRun:
    """A made-up run directory: every `grow` adds a snapshot."""

    def __init__(self, path: Path) -> None:
        self.path, self.step, self.written = path, 0, {0: time.time()}
        self.writes_metrics = True
        (path / "snapshots").mkdir(parents=True)
        (path / "maps").mkdir()
        terms = {"ce": {"weight": 1.0}, "gckt": {"weight": 5.0}, "lckt": {"weight": 0.5}}
        settings = {"name": "watched", "epochs": 10**5, "batch": 64, "arms": {ARM: terms}}
        (path / "settings.yaml").write_text(yaml.safe_dump(settings))
        write_json(path / "control.json", {"pause_at": None, "stop": False, "delay": 0.0})
        self.snapshots = [arrays_of(seed) for seed in range(VARIANTS)]
        rng = np.random.default_rng(0)
        self.frames = [Frame(*rng.normal(0, 0.7, (2, SAMPLES, 2))) for _ in range(VARIANTS)]
        self.grow()

    def grow(self, keep: int = 300) -> None:
        """Write the next snapshot, its map, a value of each metric and the status."""
        self.step += 10
        rng = np.random.default_rng(self.step)
        values = {name: float(rng.random()) for name in METRICS}
        header = {"step": self.step, "epoch": self.step / 10, "values": {ARM: values}, "fitted": []}
        content = save(self.snapshots[self.step // 10 % VARIANTS], {"snapshot": json.dumps(header)})
        map_worker.write_frame(self.path, ARM, self.step, self.frames[self.step // 10 % VARIANTS])
        with open(self.path / "metrics.jsonl", "a") as file:
            for name, value in values.items() if self.writes_metrics else ():
                line = {"step": self.step, "epoch": self.step / 10, "arm": ARM, "name": name}
                file.write(json.dumps(line | {"value": value}) + "\n")
        status = {"state": "running", "step": self.step, "total": 10**6, "epoch": self.step / 10}
        write_json(self.path / "status.json", status | {"heartbeat": time.time()})
        write_bytes(self.path / "snapshots" / f"{self.step}.safetensors", content)
        self.written[self.step] = time.time()
        old = self.step - 10 * keep
        for path in (self.path / "snapshots" / f"{old}.safetensors",
                     map_worker.frame_path(self.path, ARM, old)):  # fmt: skip
            path.unlink(missing_ok=True)


@contextmanager
def growing(path: Path) -> Iterator[GrowingRun]:
    """Let a run grow in a thread until the block ends."""
    run, ended = GrowingRun(path), threading.Event()

    def grow() -> None:
        while not ended.wait(EVERY):
            run.grow()

    thread = threading.Thread(target=grow)
    with FileLock(path / "lock"), FileLock(path / "maps" / "lock"):
        thread.start()
        try:
            yield run
        finally:
            ended.set()
            thread.join()
