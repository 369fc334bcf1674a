"""The metric by which runs are compared: accuracy, or that of labels that are no classes."""

from __future__ import annotations

from collections.abc import Iterable

METRICS = ("test_accuracy", "test_r2", "test_average_precision")


def result_metric(names: Iterable[str], metric: str | None = None) -> str:
    """Return `metric`, or by default the metric of the test part that results have.

    Args:
        names: of the results of the arms.
        metric: None for the default.

    >>> result_metric(["test_r2", "held_out_r2"]), result_metric([]), result_metric([], "a")
    ('test_r2', 'test_accuracy', 'a')
    """
    known = set(names)
    return metric or next((name for name in METRICS if name in known), METRICS[0])
