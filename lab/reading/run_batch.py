"""The probe batch of an arm at a step as two clouds: features to transport, places to draw."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, NamedTuple

from numpy.typing import NDArray

from .layouts import Frame
from .watch import Watch

Array = NDArray[Any]
USUAL_EPSILON = 0.05  # of an arm whose plan has none


class Batch(NamedTuple):
    """The probe batch of an arm at a step.

    teacher, student: features (n, d) that the arm's plan transports; labels (n,), class numbers;
    frame: their first two principal components, (n, 2) a side; epsilon: of the arm's plan.
    """

    arm: str
    step: int
    teacher: Array
    student: Array
    labels: Array
    frame: Frame
    epsilon: float


def batch_of(watch: Watch, arm: str, step: int | None) -> Batch:
    """Return the batch of an arm at the last snapshot up to a step.

    Args:
        watch: the run.
        arm: its name; where there is no such arm, "wcord", or the last one.
        step: None for the newest.

    Raises:
        ValueError: the run has no snapshot yet, or it cannot be read.
    """
    if arm not in watch.arms:
        arm = "wcord" if "wcord" in watch.arms else watch.arms[-1]
    steps = watch.run.steps
    if not steps:
        raise ValueError(f"no snapshot of {watch.run.path.name} has been taken yet")
    shown = steps[-1] if step is None else steps[max(bisect_right(steps, step) - 1, 0)]
    picture, labels = watch.picture(shown, arm), watch.snapshot(shown).labels
    n = len(picture.plan)
    frame = watch.principal_components(shown, arm)
    return Batch(
        arm,
        shown,
        picture.teacher[:n],
        picture.student[:n],
        labels[:n],
        Frame(frame.teacher[:n], frame.student[:n]),
        float(picture.values.get("epsilon", USUAL_EPSILON)),
    )
