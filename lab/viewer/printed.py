"""Panels of the view as one printed figure, for those who read without a browser or a kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..palette import LIGHT
from ..reading.watch import Watch
from ..words import descriptions
from ..words.class_names import name_points, name_ticks
from ..words.literal import mathtext
from ..words.vocabulary import metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 4  # panels of a figure


def figure_of(watch: Watch, arm: str, step: int, scene: Mapping[str, Any]) -> Figure:
    """Return the first four panels of a scene that can be printed, two side by side.

    Raises:
        ValueError: the snapshot is gone or damaged.
    """
    from ..figures import illustrations

    names = _printed(scene)
    columns = min(len(names), 2) or 1
    size = (4.6, 3.9) if columns == 2 else (5.4, 4.2)
    figure, axes = illustrations.panels(columns, -(-len(names) // 2) or 1, size=size)
    for ax, name in zip(axes, names, strict=False):
        DRAWN[name](watch, arm, step, scene, ax)
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    figure.suptitle(mathtext(f"{arm}, step {step}"), fontsize=12)
    return figure


def words_of(watch: Watch, arm: str, step: int, scene: Mapping[str, Any]) -> str:
    """Return what the panels of `figure_of` show, in words.

    Raises:
        ValueError: the snapshot is gone or damaged.
    """
    picture, labels = watch.picture(step, arm), watch.snapshot(step).labels
    few = labels[: len(picture.plan)]
    found = []
    for name in _printed(scene):
        if name in ("plan", "lines"):
            found.append(descriptions.of_plan(picture.plan, few))
        elif name == "scores":
            found.append(descriptions.of_scores(picture.scores, few))
        elif name == "map":
            method = watch.layout(step, arm).method
            found.append(descriptions.of_map(labels, picture.values, method))
        elif name in CURVES:
            metric_name = CURVES[name](watch, scene)
            value = watch.values_at(arm, step).get(metric_name, np.nan)
            if np.isfinite(value):
                label = metric(metric_name).label
                found.append(f"Curves of every arm: {label}, {arm} at {value:.2f}.")
    return " ".join(dict.fromkeys(found))


def _printed(scene: Mapping[str, Any]) -> list[str]:
    return [name for name in scene["panels"] if name in DRAWN][:MOST]


CURVES: dict[str, Callable[[Watch, Mapping[str, Any]], str]] = {
    "accuracy": lambda watch, scene: watch.result,
    "losses": lambda watch, scene: str(scene["loss"]),
    "measures": lambda watch, scene: str(scene["measure"]),
}
Draw = Callable[[Watch, str, int, Mapping[str, Any], "Axes"], None]


def _plan(watch: Watch, arm: str, step: int, scene: Mapping[str, Any], ax: Axes) -> None:
    from .. import figures

    plan = watch.picture(step, arm).plan
    labels = watch.snapshot(step).labels[: len(plan)]
    figures.plan(plan, labels, title="transport plan", ax=ax, scale=False)
    name_ticks(ax, labels, watch.class_names)


def _scores(watch: Watch, arm: str, step: int, scene: Mapping[str, Any], ax: Axes) -> None:
    from .. import figures

    picture = watch.picture(step, arm)
    labels = watch.snapshot(step).labels[: len(picture.plan)]
    figures.scores(picture.scores, labels, picture.values, ax=ax)


def _cosines(watch: Watch, arm: str, step: int, scene: Mapping[str, Any], ax: Axes) -> None:
    from .. import figures

    cosines = 1 - watch.picture(step, arm).cost
    labels = watch.snapshot(step).labels[: len(cosines)]
    figures.scores(cosines, labels, title="cosines of all pairs", ax=ax)


def _map(watch: Watch, arm: str, step: int, scene: Mapping[str, Any], ax: Axes) -> None:
    from .. import figures

    layout, snapshot = watch.layout(step, arm), watch.snapshot(step)
    values = snapshot.values(arm)
    figures.joint_map(layout.frame, snapshot.labels, values, title=layout.method, ax=ax)
    name_points(ax, watch.class_names)


def _lines(watch: Watch, arm: str, step: int, scene: Mapping[str, Any], ax: Axes) -> None:
    from .. import figures

    plan, frame = watch.picture(step, arm).plan, watch.layout(step, arm).frame
    n = len(plan)
    labels = watch.snapshot(step).labels[:n]
    sides = frame.teacher[:n], frame.student[:n]
    figures.transport_lines(*sides, plan, labels, labels, title="plan as lines", ax=ax)


def _curve(of: Callable[[Watch, Mapping[str, Any]], str]) -> Draw:
    def draw(watch: Watch, arm: str, step: int, scene: Mapping[str, Any], ax: Axes) -> None:
        from .. import figures

        name = of(watch, scene)
        table = watch.curves(name)[1].melt("epoch", var_name="arm").dropna()
        if len(table):
            figures.curves(table, name=metric(name).label, ax=ax)
        ax.axvline(watch.snapshot(step).epoch, color=LIGHT.ink, lw=1, ls=":")

    return draw


DRAWN: dict[str, Draw] = {
    "plan": _plan,
    "scores": _scores,
    "map": _map,
    "lines": _lines,
    "cosines": _cosines,
    **{name: _curve(of) for name, of in CURVES.items()},
}
