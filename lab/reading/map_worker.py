"""The map worker: `python -m wcord.lab.maps RUN` lays out every snapshot of a run with UMAP.

One worker a run (held by a lock), beside training and never inside it. For every arm and
snapshot it fits teacher and student features jointly, starts from the nearest layout it has,
turns the result onto it, and writes `maps/<arm>/<step>.safetensors`: the newest snapshot first,
then the older ones. It ends when the run has ended and every map exists, or the run is gone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from wcord.runs import Run
from wcord.runs.storage import StorageError, numbered, read_json, write_bytes, write_json

from .layouts import Frame, aligned, on_sphere, pca

Array = NDArray[Any]
Fit = Callable[[Array, Array, "Frame | None"], Frame]

NEIGHBOURS = 15
LONGEST_NAME = 200  # of a folder; file systems take 255
MIN_DIST = 0.5  # wide enough that circles and diamonds of one class do not hide one another
EPOCHS_COLD, EPOCHS_WARM = 200, 50
MOST_STEPS = 64  # of a run whose maps are drawn; between them the view shows the one before


def folder_name(arm: str) -> str:
    """Return a folder name for an arm that is safe on every file system and unlike any other's.

    >>> folder_name("wcord+kd"), folder_name(".."), len(folder_name("λ" * 128))
    ('wcord%2Bkd', '%2E%2E', 197)
    """
    name = quote(arm, safe="").replace(".", "%2E").replace("~", "%7E")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 20]}~{hashlib.blake2b(arm.encode(), digest_size=8).hexdigest()}"


def frame_path(run: Path, arm: str, step: int) -> Path:
    """Return where the map of an arm at a step lies."""
    return run / "maps" / folder_name(arm) / f"{step}.safetensors"


def read_frame(run: Path, arm: str, step: int) -> Frame | None:
    """Return the stored map of an arm at a step, or None where there is none that can be read."""
    try:
        arrays = load(frame_path(run, arm, step).read_bytes())
        frame = Frame(arrays["teacher"].astype(np.float32), arrays["student"].astype(np.float32))
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    shape = frame.teacher.shape
    right = len(shape) == 2 and shape[1] == 2 and shape == frame.student.shape
    return frame if right and np.isfinite(frame).all() else None


def write_frame(run: Path, arm: str, step: int, frame: Frame) -> None:
    """Write the map of an arm at a step, whole or not at all, in half precision."""
    path = frame_path(run, arm, step)
    path.parent.parent.mkdir(exist_ok=True)  # without parents: a deleted run does not come back
    path.parent.mkdir(exist_ok=True)
    arrays = {
        name: np.ascontiguousarray(side, np.float16) for name, side in frame._asdict().items()
    }
    write_bytes(path, save(arrays, {"method": "umap"}))


def drawn_steps(run: Path, arm: str) -> list[int]:
    """Return the steps of an arm that have a map, ascending."""
    return numbered(run / "maps" / folder_name(arm), ".safetensors")


def knn(points: Array, neighbours: int) -> tuple[Array, Array]:
    """Return each point's nearest neighbours, itself first: indices and distances (n, k).

    Euclidean distances from one matrix product, which beats a search tree at a few thousand
    points of many dimensions.
    """
    squares = (points**2).sum(axis=1)
    distance = squares[:, None] + squares[None, :] - 2 * points @ points.T
    np.fill_diagonal(distance, -1.0)  # a twin must not take a point's own first place
    nearest = np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours]
    heights = np.take_along_axis(distance, nearest, axis=1)
    order = np.argsort(heights, axis=1)
    heights = np.take_along_axis(heights, order, axis=1)
    return np.take_along_axis(nearest, order, axis=1), np.sqrt(np.maximum(heights, 0))


def fit(teacher: Array, student: Array, start: Frame | None) -> Frame:
    """Return the joint UMAP layout of both sides' directions, in common units.

    Args:
        teacher: features (m, d).
        student: features (m, d), in the same space.
        start: a layout of the same samples to start from (fewer epochs are needed then, and the
            picture stays where it was); else the principal components.
    """
    import umap

    both = np.concatenate([on_sphere(teacher), on_sphere(student)])
    warm = start is not None and start.teacher.shape[0] == len(teacher)
    first = start if warm and start is not None else pca(teacher, student)
    neighbours = min(NEIGHBOURS, len(both) - 1)
    warnings.filterwarnings("ignore", message="precomputed_knn.*transform", module="umap")
    flat = umap.UMAP(
        n_neighbors=neighbours,
        min_dist=MIN_DIST,
        metric="euclidean",
        precomputed_knn=knn(both, neighbours),
        init=np.concatenate(first).astype(np.float32),
        n_epochs=EPOCHS_WARM if warm else EPOCHS_COLD,
        learning_rate=0.5 if warm else 1.0,  # calm from frame to frame
        random_state=0,
        n_jobs=1,
    ).fit_transform(both)
    return aligned(Frame(flat[: len(teacher)], flat[len(teacher) :]), first)


def nearest_frame(run: Path, arm: str, arms: list[str], step: int) -> Frame | None:
    """Return the stored map closest in time: of this arm, else of any other."""
    for name in [arm, *(other for other in arms if other != arm)]:
        steps = drawn_steps(run, name)
        if steps:
            return read_frame(run, name, min(steps, key=lambda s: (abs(s - step), -s)))
    return None


def wanted_steps(steps: Sequence[int]) -> list[int]:
    """Return the steps whose maps are drawn: every one of few, of many every second, fourth, ….

    The first and the last are always among them; a run that grows keeps most of what was drawn.

    >>> wanted_steps(range(0, 1000, 10))[:3], len(wanted_steps(range(0, 1000, 10)))
    ([0, 20, 40], 51)
    """
    stride = 1
    while len(steps) > MOST_STEPS * stride:
        stride *= 2
    return sorted({*steps[::stride], *steps[-1:]})


def next_job(
    run: Run, arms: list[str], skipped: Collection[tuple[int, str]] = ()
) -> tuple[int, str] | None:
    """Return the newest snapshot and arm without a map; the arm being watched comes first."""
    done = {arm: set(drawn_steps(run.path, arm)) for arm in arms}
    preferred = (read_json(run.path / "maps" / "preferred.json", {}) or {}).get("arm")
    ranked = sorted(arms, key=lambda arm: arm != preferred)
    for step in reversed(wanted_steps(run.steps)):
        for arm in ranked:
            if step not in done[arm] and (step, arm) not in skipped:
                return step, arm
    return None


def draw(run: Run, arms: list[str], step: int, arm: str, fitter: Fit = fit) -> None:
    """Lay out one arm of one snapshot and write it."""
    picture = run.snapshot(step).arm(arm)
    start = nearest_frame(run.path, arm, arms, step)
    frame = fitter(picture.teacher, picture.student, start)
    write_frame(run.path, arm, step, aligned(frame, start))


def forget_thinned(run: Run, arms: list[str]) -> None:
    """Remove maps whose snapshot was thinned out since."""
    steps = set(run.steps)
    for arm in arms:
        for step in set(drawn_steps(run.path, arm)) - steps:
            frame_path(run.path, arm, step).unlink(missing_ok=True)


def is_over(run: Run) -> bool:
    """Return whether no more snapshots are to be expected."""
    return not run.status.active


def work(path: Path, fitter: Fit = fit, every: float = 0.3) -> int:
    """Draw maps until the run has ended and all exist; return how many were drawn.

    A snapshot that cannot be read (thinned a moment ago, damaged) is passed over.
    """
    run, drawn = Run(path), 0
    arms = run.arms
    skipped: set[tuple[int, str]] = set()
    while (path / "settings.yaml").is_file():
        over = is_over(run)  # read before the steps, so that no snapshot is missed
        job = next_job(run, arms, skipped)
        if job is None:
            forget_thinned(run, arms)
            if over:
                break
            time.sleep(every)
            continue
        try:
            draw(run, arms, *job, fitter=fitter)
            drawn += 1
        except (ValueError, FileNotFoundError):
            skipped.add(job)
        except StorageError:
            if path.is_dir():
                raise
    return drawn


def lock_of(run: Path) -> FileLock:
    """Return the lock that the one worker of a run holds."""
    return FileLock(run / "maps" / "lock", timeout=0)


def is_working(run: Path) -> bool:
    """Return whether a worker of this machine is drawing maps of the run."""
    if not (run / "maps" / "lock").exists():
        return False
    try:
        with lock_of(run):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def all_drawn(run: Run, arms: list[str]) -> bool:
    """Return whether every snapshot has a map for every arm."""
    steps = set(wanted_steps(run.steps))
    return bool(steps) and all(steps <= set(drawn_steps(run.path, arm)) for arm in arms)


def start(run: Path) -> subprocess.Popen[bytes] | None:
    """Start a worker for a run in its own session, gently; None where it could not be.

    A second worker ends at once, so this may be called as often as one likes.
    """
    gentle = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        return subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.map_worker", str(run)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | gentle,
        )
    except OSError:
        return None


def prefer(run: Path, arm: str) -> None:
    """Tell the worker which arm is being watched; where that cannot be written, never mind."""
    wish = {"arm": arm}
    try:
        (run / "maps").mkdir(exist_ok=True)
        if read_json(run / "maps" / "preferred.json") != wish:
            write_json(run / "maps" / "preferred.json", wish)
    except (OSError, StorageError):
        return


def main(arguments: list[str] | None = None) -> int:
    """Draw the maps of one run; return 0, or 1 where they cannot be written."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}.map_worker", description=__doc__
    )
    parser.add_argument("run", type=Path, help="a run directory")
    try:
        run = Run(parser.parse_args(arguments).run)
        (run.path / "maps").mkdir(exist_ok=True)
        with lock_of(run.path):
            if hasattr(os, "nice"):
                os.nice(15)
            work(run.path)
    except Timeout:
        return 0
    except (ValueError, OSError, StorageError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
