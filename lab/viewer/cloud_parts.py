"""What the playground's view is sent: shapes of clouds, a run's batch, exact answers, a critic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..reading.run_batch import Batch
from ..reading.shapes import SHAPES, shape
from ..words.class_names import ClassNames
from .frames import Part

if TYPE_CHECKING:
    from wcord.transport import CloudCritic

    from ..reading.clouds import Dual, ExactDistance, Solved


def shapes_part(points: int, seed: int) -> Part:
    """Return every shape around the origin: (shapes, points, 2) for the source and the target.

    The target has the next seed, so that equal shapes are not equal clouds.
    """
    arrays = {
        cloud: np.stack([shape(name, points, seed + more) for name in SHAPES])
        for more, cloud in enumerate(("source", "target"))
    }
    return Part("shapes", {"points": points, "seed": seed}, arrays)


def batch_part(
    batch: Batch, name: str, arms: Sequence[str], steps: Sequence[int], classes: ClassNames
) -> Part:
    """Return a run's batch as two clouds in the plane, and which arms and steps there are besides.

    Args:
        batch: with its principal components.
        name: by which the host knows the run.
        arms, steps: of the run.
        classes: names of the run's classes.
    """
    labels = range(max(len(classes.known), 1 + int(batch.labels.max(initial=0))))
    about = {
        "run": name,
        "arm": batch.arm,
        "step": batch.step,
        "arms": list(arms),
        "steps": list(steps),
        "epsilon": batch.epsilon,
        "classes": [[classes.short(k), classes(k)] for k in labels] if classes.known else [],
    }
    arrays = {
        "labels": batch.labels.astype("i4"),
        "source": batch.frame.teacher.astype("f8"),
        "target": batch.frame.student.astype("f8"),
    }
    return Part("batch", about, arrays)


def answer_part(
    about: dict[str, Any],
    dual: Dual | None,
    solved: Solved | None,
    matrix: np.ndarray | None,
) -> Part:
    """Return the answer to a question about two clouds.

    Args:
        about: what the view knows the question by.
        dual: the exact answer.
        solved: a plan that the view does not compute itself.
        matrix: the cost (n, m), where the view does not know the points.
    """
    arrays: dict[str, np.ndarray] = {}
    if dual is not None:
        about["exact"] = dual.value
        arrays |= {"exact_f": dual.f, "exact_g": dual.g}
    if solved is not None:
        about |= {"value": solved.value, "objective": solved.objective}
        about["error"] = solved.marginal_error
        arrays |= {"plan": solved.plan, "f": solved.f, "g": solved.g}
    if matrix is not None:
        arrays["matrix"] = matrix
    return Part("clouds", about, {name: array.astype("f8") for name, array in arrays.items()})


def critic_part(
    about: dict[str, Any], critic: CloudCritic, best: ExactDistance, reach: float
) -> Part:
    """Return a critic as it is now: its numbers, their history, and its landscape.

    Args:
        about: what the view knows the question by.
        critic: of two clouds in the plane or on a line.
        best: the exact distance of the clouds.
        reach: half the side of the plane that is drawn.
    """
    from ..reading import cloud_critic

    fit = critic.fit()
    about |= {
        "steps": fit.steps,
        "longest": cloud_critic.LONGEST,
        "raw": fit.raw,
        "slope": fit.slope,
        "bound": fit.bound,
        "distance": best.value,
        "flat": critic.x.shape[1] == 1,
        "reach": reach,
    }
    arrays = {
        "history": np.array([[step, value.raw, value.bound] for step, value in fit.history]),
    }
    if critic.x.shape[1] == 1:
        line = cloud_critic.on_the_line(critic, best)
        arrays["line"] = np.stack([line.across, line.learnt, line.best], axis=1)
        arrays["guides"] = line.guides
    else:
        arrays["landscape"] = cloud_critic.landscape(critic, reach)
    return Part("critic", about, {name: array.astype("f4") for name, array in arrays.items()})
