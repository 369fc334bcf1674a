"""Two-dimensional layouts of teacher and student features: PCA at once, rigid alignment, units.

A frame of the map holds teacher points (m, 2) and student points (m, 2). Frames are put in
common units: the teacher's points are centred and have root mean square radius 1, so that axes
never move. Frames follow one another by a rigid Procrustes alignment on the teacher's points.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

REACH = 2.0  # half the side of the map's fixed axes, in units of the teacher's radius


class Frame(NamedTuple):
    """One layout: teacher points (m, 2) and student points (m, 2), in the same units."""

    teacher: Array
    student: Array


def on_sphere(features: Array) -> Array:
    """Return features (m, d) scaled to unit length, in float32; zero and NaN rows become zero.

    Maps are drawn of directions, because the local term's cost is 1 − cos.
    """
    features = np.nan_to_num(np.asarray(features, dtype=np.float32))
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.divide(features, norms, out=np.zeros_like(features), where=norms > 1e-12)


def nearest(features: Array, samples: int, count: int) -> Array:
    """Return the samples nearest in direction to each of the first `samples`, nearest first.

    Args:
        features: (m, d) of one side.
        samples: the number of rows to return, at most m.
        count: how many neighbours, at most m − 1; a sample is not its own neighbour.
    """
    unit = on_sphere(features)
    closeness = unit[:samples] @ unit.T  # (samples, m)
    np.fill_diagonal(closeness, -np.inf)
    count = min(count, len(unit) - 1)
    near = np.argpartition(-closeness, count - 1, axis=1)[:, :count] if count else closeness[:, :0]
    order = np.argsort(-np.take_along_axis(closeness, near.astype(int), axis=1), axis=1)
    return np.take_along_axis(near, order, axis=1)


def in_units(frame: Frame) -> Frame:
    """Return the frame with the teacher's points centred and of root mean square radius 1."""
    centre = frame.teacher.mean(axis=0)
    radius = float(np.sqrt(((frame.teacher - centre) ** 2).sum(axis=1).mean()))
    scale = 1.0 / radius if radius > 1e-12 else 1.0
    return Frame((frame.teacher - centre) * scale, (frame.student - centre) * scale)


def rotation(points: Array, reference: Array) -> Array:
    """Return the orthogonal matrix R (2, 2) that brings centred points closest to a reference.

    min over RᵀR = 1 of ‖points R − reference‖, the orthogonal Procrustes problem
    (Schönemann 1966). Reflections are allowed.
    """
    left, _, right = np.linalg.svd(points.T @ reference)
    return left @ right


def aligned(frame: Frame, reference: Frame | None) -> Frame:
    """Return the frame in common units, turned onto the teacher's points of a reference frame.

    The student is moved by the teacher's motion only, so nothing pulls it towards the teacher.
    Without a reference, or one of another size, the frame is only put in units.
    """
    frame = in_units(frame)
    if reference is None or reference.teacher.shape != frame.teacher.shape:
        return frame
    reference = in_units(reference)
    turn = rotation(frame.teacher, reference.teacher)
    return Frame(frame.teacher @ turn, frame.student @ turn)


def pca(teacher: Array, student: Array) -> Frame:
    """Return the joint principal components of both sides' directions, in common units.

    The first two right singular vectors of the stacked, centred points, signs fixed so that
    the largest coefficient of each is positive.
    """
    both = np.concatenate([on_sphere(teacher), on_sphere(student)])
    both = both - both.mean(axis=0)
    values, vectors = np.linalg.eigh(both.T @ both)
    axes = vectors[:, np.argsort(values)[::-1][:2]]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    flat = both @ (axes * signs)
    if flat.shape[1] < 2:
        flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    return in_units(Frame(flat[: len(teacher)], flat[len(teacher) :]))
