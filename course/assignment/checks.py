"""The checks of the assignment, which students do not get.

A task consists of criteria with points. A criterion looks at what the student handed in, on random
input that no student has seen, and returns "" or one sentence that says what is missing. The
eighth task is graded by a person, with the rubric.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import dependence_checks as dependence
from . import transport_checks as transport

Criterion = Callable[[Any], str]


class Task(NamedTuple):
    """One task: the name that the student defines, and its criteria with their points."""

    name: str
    title: str
    criteria: tuple[tuple[int, str, Criterion], ...]

    @property
    def points(self) -> int:
        """All points of the task."""
        return sum(points for points, _, _ in self.criteria)


TASKS = (
    Task(
        "dual_value",
        "The dual value of a potential",
        (
            (1, "equal masses", transport.dual_value_of_equal_masses),
            (1, "any masses, n ≠ m", transport.dual_value_of_any_masses),
        ),
    ),
    Task(
        "sinkhorn_plan",
        "Sinkhorn's algorithm",
        (
            (1, "equal masses", transport.sinkhorn_plan_of_equal_masses),
            (1, "any masses, n ≠ m", transport.sinkhorn_plan_of_any_masses),
            (1, "a very small ε", transport.sinkhorn_plan_of_small_epsilon),
        ),
    ),
    Task(
        "certificate",
        "A certified bound",
        (
            (1, "the bound", transport.certificate_is_the_bound),
            (
                1,
                "scale and constant of the critic",
                transport.certificate_is_scale_free,
            ),
        ),
    ),
    Task(
        "gckt_loss",
        "GCKT with banks and groups",
        (
            (1, "student anchors", dependence.gckt_loss_of_student_anchors),
            (1, "both directions, any τ", dependence.gckt_loss_of_both_directions),
            (1, "gradient", dependence.gckt_loss_has_a_gradient),
        ),
    ),
    Task(
        "debiased_gradient",
        "The gradient of debiased LCKT",
        (
            (1, "moderate ε", transport.debiased_gradient_of_unit_features),
            (1, "features of any length", transport.debiased_gradient_of_any_length),
            (
                1,
                "zero at the teacher, and only there",
                transport.debiased_gradient_rests_at_the_teacher,
            ),
        ),
    ),
    Task(
        "infonce_bound",
        "A bound that is one",
        (
            (1, "the formula", dependence.infonce_bound_is_the_formula),
            (1, "never above log n", dependence.infonce_bound_is_a_bound),
        ),
    ),
    Task(
        "blind_pair",
        "What a bilinear critic cannot see",
        (
            (1, "no cross-covariance", dependence.blind_pair_has_no_cross_covariance),
            (1, "a function, far beyond chance", dependence.blind_pair_depends),
        ),
    ),
)
BY_HAND = 3  # points of the eighth task, which a person grades with the rubric


def wrong_with(criterion: Criterion, answer: Any) -> str:
    """Return what a criterion misses in an answer, "" where nothing."""
    if answer is None or answer is ...:
        return "nothing was handed in"
    try:
        return criterion(answer)
    except Exception as error:
        return f"it could not be used ({type(error).__name__}: {error})".replace(
            "\n", " "
        )
