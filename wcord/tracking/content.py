"""What every tracker gets of a run: settings, results, tags; and the import of its package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from wcord.errors import first_line
from wcord.runs import Run
from wcord.settings.messages import SettingsError


def import_tracker(package: str) -> Any:
    """Return a package, which is imported only if its tracker is used.

    Raises:
        SettingsError: it is not installed, or cannot be imported.
    """
    try:
        return import_module(package)
    except ImportError as error:
        if error.name == package:
            reason = f"this tracker needs the package {package}: pip install 'wcord[trackers]' "
            reason += "(all trackers), or that package alone"
        else:
            reason = f"the package {package} is damaged or too old: {first_line(error)}"
        raise SettingsError(reason) from error


def tags_of(run: Run) -> list[str]:
    """Return the tags of a run: the name of its experiment, and its arms."""
    return [str(run.plain_settings.get("name")), *run.arms]


def results_of(summary: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the results of a run as final/ARM/NAME and final/teacher_NAME; {} without any.

    >>> results_of({"teacher": {"test_accuracy": 98.0}, "arms": {"kd": {"frozen": None}}})
    {'final/teacher_test_accuracy': 98.0}
    """
    if summary is None:
        return {}
    rows = {"teacher_": summary["teacher"]}
    rows |= {f"{arm}/": values for arm, values in summary["arms"].items()}
    return {
        f"final/{row}{name}": float(value)
        for row, values in rows.items()
        for name, value in values.items()
        if isinstance(value, int | float)
    }


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings with dotted names.

    >>> flat({"epochs": 3, "student": {"view": ["left"]}})
    {'epochs': 3, 'student.view': ['left']}
    """
    entries: dict[str, Any] = {}
    for name, value in tree.items():
        inside = isinstance(value, Mapping) and value
        entries |= flat(value, f"{prefix}{name}.") if inside else {f"{prefix}{name}": value}
    return entries
