"""What the view is sent of a run: its settings, samples, state, frames, maps, curves, images.

Each function reads one `Watch` and returns one `Part` (or several); all arrays are small numbers:
plans and scores in 8 bits, positions in 16.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import palette
from ..reading.arrange import (
    Histogram,
    entropy,
    histogram,
    plan_masses,
    score_groups,
    share_of_rows,
    spread_evenly,
)
from ..reading.layouts import REACH, Frame, nearest
from ..reading.watch import Watch
from ..words import descriptions, equations, hints
from ..words.vocabulary import MEASURES, RESULTS, held_out, metric
from .frames import Part

Array = NDArray[Any]

LEVELS = 255
NEAR = 6  # neighbours of a sample that are sent
MOST_POINTS = 400  # of a curve, at first
FINEST = 32767  # of a position in 16 bits
IMAGES_WIDE = 32  # samples side by side in the one image that holds them


def run_part(watch: Watch, name: str, *, ours: bool) -> Part:
    """Return what does not change in a run: its arms, classes, equations and measures.

    Args:
        watch: the run.
        name: by which the host knows it.
        ours: whether it may be steered.
    """
    colours = palette.arm_colours(watch.arms)
    arms = []
    for arm in watch.arms:
        terms = watch.terms(arm)
        found = {
            "objective": equations.objective(terms),
            "plan": equations.transport(),
            "scores": equations.dependency(critic=True),
            "cosines": equations.dependency(critic=False),
            "map": equations.distance(),
        }
        plain = {key: [line.mathml, line.words] for key, line in found.items()}
        both = [theme.lit(colours[arm]) for theme in (palette.LIGHT, palette.DARK)]
        arms.append({"name": arm, "colours": both, "equations": plain, "terms": list(terms)})
    losses = ["total", *dict.fromkeys(term for arm in watch.arms for term in watch.terms(arm))]
    measures = watch.measured(MEASURES)
    names = watch.class_names
    classes = range(max(len(names.known), 1 + int(watch.settings.get("classes", 0) or 0)))
    about = {
        "run": name,
        "title": str(watch.settings.get("title") or watch.settings.get("name") or name),
        "epochs": watch.epochs,
        "arms": arms,
        "losses": losses,
        "measures": measures,
        "words": {key: metric(key)._asdict() for key in (*losses, *measures)},
        "definitions": {
            key: equations.curve(key, metric(key).latex, metric(key).form).mathml
            for key in (*RESULTS.values(), *losses, *measures)
        },
        "classes": [[names.short(label), names(label)] for label in classes if names.known],
        "ours": ours,
    }
    return Part("run", about)


def samples_part(watch: Watch, name: str) -> Part | None:
    """Return the samples of a run's snapshots: classes and places; None before the first."""
    for step in reversed(watch.run.steps):
        try:
            snapshot = watch.snapshot(step)
        except ValueError:
            continue
        arrays = {"labels": snapshot.labels.astype("i4"), "index": snapshot.index.astype("i4")}
        return Part("samples", {"run": name}, arrays)
    return None


def status_part(watch: Watch, name: str, *, maps_working: bool = False) -> Part:
    """Return how far a run is, and the steps that it has snapshots of."""
    status = watch.run.status
    return Part(
        "status",
        {
            "run": name,
            "phase": status.phase,
            "sentence": status.sentence,
            "error": status.error,
            "step": status.step,
            "total": status.total,
            "epoch": status.epoch,
            "speed": watch.speed(status) if status.phase == "running" else None,
            "delay": watch.run.control["delay"] or 0,
            "steps": watch.run.steps,
            "maps_working": maps_working,
            "result": watch.result,
            "data": (watch.run.path / "data.json").exists(),
        },
    )


def frame_part(watch: Watch, name: str, arm: str, step: int) -> Part:
    """Return one arm at one step: plan, scores, places on the map, values, words.

    A plan's entry is the share of its row, 255 √share; scores run from `low` to `high`.

    Raises:
        ValueError: the snapshot is gone or damaged.
    """
    snapshot, picture = watch.snapshot(step), watch.picture(step, arm)
    n = len(picture.plan)
    labels, values = snapshot.labels[:n], dict(picture.values)
    values["entropy"] = entropy(picture.plan)
    values["chance"], _ = plan_masses(np.ones((n, n)), labels)
    if not np.isfinite(picture.plan).all():
        values["same_class_mass"] = np.nan
    if not (np.isfinite(picture.teacher).all() and np.isfinite(picture.student).all()):
        values["feature_distance"] = np.nan
    scores, low, high = in_bytes(picture.scores)
    layout = watch.layout(step, arm)
    exact = layout.method == "UMAP" and layout.step == step
    frame = layout.frame if exact else watch.principal_components(step, arm)
    shares = histogram(score_groups(picture.scores, labels))
    cosines = histogram(score_groups(1 - picture.cost, labels), span=(-1.0, 1.0))
    about = {
        "run": name,
        "arm": arm,
        "step": step,
        "epoch": snapshot.epoch,
        "values": values,
        "critic": "raw_iw" in values,
        "fitted": picture.fitted,
        "low": low,
        "high": high,
        "method": "UMAP" if exact else "PCA",
        "bins": _ends(shares),
        "means": shares.means,
        "cosine_means": cosines.means,
        "hints": {
            "plan": hints.at_plan(values, values["chance"]),
            "lines": hints.at_lines(values, values["chance"]),
            "scores": hints.at_scores(values),
            "map": hints.at_map(values),
        },
        "words": {
            "plan": descriptions.of_plan(picture.plan, labels),
            "lines": descriptions.of_plan(picture.plan, labels),
            "scores": descriptions.of_scores(picture.scores, labels),
            "map": descriptions.of_map(snapshot.labels, values, "joint"),
        },
    }
    arrays = {
        "plan": plan_in_bytes(picture.plan),
        "scores": scores,
        "own": np.diag(picture.scores).astype("f4"),
        "shares": _stacked(shares),
        "cosines": _stacked(cosines),
        "answers": picture.prediction.clip(0, 2**16 - 1).astype("u2"),
        "near_teacher": nearest(picture.teacher, n, NEAR).astype("u2"),
        "near_student": nearest(picture.student, n, NEAR).astype("u2"),
        **places_in_bytes(frame),
    }
    return Part("frame", about, arrays)


def map_part(watch: Watch, name: str, arm: str, step: int) -> Part | None:
    """Return the UMAP of an arm at a step, None where there is none (yet)."""
    layout = watch.layout(step, arm)
    if layout.method != "UMAP" or layout.step != step:
        return None
    return Part("map", {"run": name, "arm": arm, "step": step}, places_in_bytes(layout.frame))


def curve_parts(watch: Watch, name: str, sent: Mapping[tuple[str, str], int]) -> list[Part]:
    """Return what curves have grown by since `sent`: the points of (arm, metric) already sent.

    Of a curve of which nothing was sent at most 400 points are, evenly spread; points that were
    left out are never sent.
    """
    watch.metrics.poll()
    names = (watch.result, held_out(watch.result), *run_names(watch))
    parts = []
    for which in names:
        about: dict[str, Any] = {"run": name, "name": which, "counts": {}, "fresh": []}
        arrays: dict[str, Array] = {}
        for place, arm in enumerate(watch.arms):
            series = watch.metrics.series.get((arm, which))
            if series is None:
                continue
            begun, count = sent.get((arm, which), 0), len(series.values)
            if begun >= count:
                continue
            chosen = np.arange(begun, count)
            if not begun:
                about["fresh"].append(arm)
            if len(chosen) > MOST_POINTS:
                chosen = chosen[spread_evenly(len(chosen), MOST_POINTS)]
            about["counts"][arm] = count
            arrays[f"{place}.epochs"] = np.asarray(series.epochs)[chosen].astype("f4")
            arrays[f"{place}.values"] = np.asarray(series.values)[chosen].astype("f4")
        if arrays:
            parts.append(Part("curve", about, arrays))
    return parts


def run_names(watch: Watch) -> list[str]:
    """Return the losses and measures whose curves can be shown."""
    terms = dict.fromkeys(term for arm in watch.arms for term in watch.terms(arm))
    return ["total", *terms, *watch.measured(MEASURES)]


def image_parts(name: str, sides: Mapping[str, Array]) -> list[Part]:
    """Return what teacher and student see of the samples, each side as one PNG.

    Args:
        name: of the run.
        sides: images (m, h, w, 3) uint8 by side; equal ones are sent once.
    """
    from PIL import Image

    parts, first = [], None
    for side, images in sides.items():
        if first is not None and np.array_equal(images, first):
            parts.append(Part("images", {"run": name, "side": side, "same": True}))
            continue
        first = images if first is None else first
        count, height, width = images.shape[:3]
        rows = -(-count // IMAGES_WIDE)
        sheet = np.zeros((rows * height, IMAGES_WIDE * width, 3), np.uint8)
        for place, image in enumerate(images):
            y, x = divmod(place, IMAGES_WIDE)
            sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] = image
        content = io.BytesIO()
        Image.fromarray(sheet).save(content, "PNG", optimize=True)
        about = {"run": name, "side": side, "width": width, "height": height, "count": count}
        arrays = {"png": np.frombuffer(content.getvalue(), np.uint8)}
        parts.append(Part("images", about | {"across": IMAGES_WIDE}, arrays))
    return parts


def plan_in_bytes(plan: Array) -> Array:
    """Return 255 √share of each entry of a plan (n, n), a share being that of its row's mass."""
    return np.rint(LEVELS * np.sqrt(share_of_rows(plan).clip(0, 1))).astype("u1")


def in_bytes(scores: Array) -> tuple[Array, float, float]:
    """Return scores (n, n) in 8 bits, and the scores that 0 and 255 stand for."""
    finite = scores[np.isfinite(scores)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    width = high - low or 1.0
    return (
        np.rint(LEVELS * (np.nan_to_num(scores) - low).clip(0, width) / width).astype("u1"),
        low,
        high,
    )


def places_in_bytes(frame: Frame) -> dict[str, Array]:
    """Return both sides' places (m, 2) in 16 bits: ±32767 is the rim of the map."""
    return {
        side: np.rint(FINEST * (np.nan_to_num(points) / REACH).clip(-1, 1)).astype("i2")
        for side, points in frame._asdict().items()
    }


def _ends(shares: Histogram) -> list[float]:
    return [float(shares.edges[0]), float(shares.edges[-1])]


def _stacked(shares: Histogram) -> Array:
    return np.stack(list(shares.shares.values())).astype("f4")


def problem_part(name: str, arm: str, step: int, why: Sequence[str] | str) -> Part:
    """Return that one step of a run cannot be shown, and why."""
    return Part("missing", {"run": name, "arm": arm, "step": step, "why": str(why)})
