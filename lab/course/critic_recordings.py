"""A recording of critics that learn, which ships with the lab.

    python -m lab.course.critic_recordings

Two pairs of clouds, a shift on a line and a ring inside a larger ring, and for each of them a
critic under every constraint. `viewer/recorded_critics.js` moves them through their steps.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wcord.transport import CloudCritic

from ..reading.cloud_critic import LONGEST, critic_of, landscape, on_the_line
from ..reading.clouds import ExactDistance, exact_distance, line_of
from ..reading.named_run import DEMO
from ..reading.shapes import SIDE, shape
from ..viewer.cloud_scene import CONSTRAINTS
from ..viewer.frames import Part, pack

Array = NDArray[np.float64]

FILE = DEMO / "critics.frames"
POINTS = 32
STEPS = (
    *range(0, 100, 10), *range(100, 200, 20), *range(200, 500, 50), *range(500, LONGEST + 1, 100),
)  # fmt: skip
EVERY = 10  # steps between two points of the curves


def clouds() -> dict[str, tuple[str, Array, Array]]:
    """Return both pairs by their names: title, source (n, d), target (n, d)."""
    blob = shape("one blob", POINTS, 0)[:, :1] - 1
    rings = [shape(name, POINTS, seed) for seed, name in enumerate(("ring", "larger ring"))]
    return {
        "shift": ("a shift on a line", blob, blob + 2),
        "rings": ("a ring in a larger ring", rings[0], rings[1]),
    }


def clouds_part(name: str, title: str, source: Array, target: Array) -> Part:
    """Return two clouds with their exact distance; of a line also the best critic."""
    best, flat = exact_distance(source, target), source.shape[1] == 1
    about = {"name": name, "title": title, "flat": flat, "reach": SIDE, "distance": best.value}
    arrays = {"source": _in_the_plane(source), "target": _in_the_plane(target)}
    if flat:
        across = line_of(source, target)
        arrays |= {"across": across[:, 0], "best": best.critic(across)}
        arrays["best"] = arrays["best"] - arrays["best"].mean()
    return Part("critic clouds", about, {key: array.astype("f4") for key, array in arrays.items()})


def _in_the_plane(points: Array) -> Array:
    return points if points.shape[1] == 2 else np.concatenate([points, 0 * points], axis=1)


def steps_part(
    name: str, constraint: str, source: Array, target: Array, last: int = LONGEST
) -> Part:
    """Train a critic, and return what is seen of it at every step of `STEPS` up to `last`.

    The heights, on a line or over the plane, are whole numbers between the least and the largest
    height of their step: u2 on a line, u1 over the plane.
    """
    critic, best = critic_of(source, target, constraint), exact_distance(source, target)
    steps = [step for step in STEPS if step <= last]
    numbers, seen, guides = [], [], []
    for step in range(0, last + 1, EVERY):
        if step:
            critic.step(EVERY)
        fit = critic.fit()
        if step not in steps:
            continue
        numbers.append((fit.raw, fit.slope, fit.bound))
        heights, touching = _heights(critic, best)
        seen.append(heights)
        guides.append(touching)
    heights = np.stack(seen)
    spans = np.stack([heights.min(axis=1), heights.max(axis=1)], axis=1)  # (steps, 2)
    flat = source.shape[1] == 1
    most = 65535 if flat else 255
    levels = (heights - spans[:, :1]) / np.maximum(spans[:, 1:] - spans[:, :1], 1e-12)
    arrays = {
        "steps": np.array(steps, "i4"),
        "numbers": np.array(numbers, "f4"),
        "history": np.array([[s, value.raw, value.bound] for s, value in fit.history], "f4"),
        "heights": np.rint(most * levels).astype("u2" if flat else "u1"),
        "spans": spans.astype("f4"),
    }
    if flat:
        arrays["guides"] = np.stack(guides).astype("f4")
    return Part("critic steps", {"clouds": name, "constraint": constraint}, arrays)


def _heights(critic: CloudCritic, best: ExactDistance) -> tuple[Array, Array]:
    """Return the heights (places,) of a critic as they are drawn, and guides of slope ±1."""
    if critic.x.shape[1] == 2:
        return landscape(critic, SIDE).ravel(), np.zeros((3, 3))
    line = on_the_line(critic, best)
    return line.learnt, line.guides


def parts(last: int = LONGEST) -> Iterator[Part]:
    """Train all critics for `last` steps, and return the parts of their recording."""
    pairs = clouds()
    for name, (title, source, target) in pairs.items():
        yield clouds_part(name, title, source, target)
    for name, (_, source, target) in pairs.items():
        for constraint in CONSTRAINTS:
            yield steps_part(name, constraint, source, target, last)


def main() -> int:
    """Train all critics, and write the recording."""
    content = gzip.compress(pack(list(parts())), mtime=0)
    FILE.write_bytes(content)
    print(f"{FILE.name}: {len(content) / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
