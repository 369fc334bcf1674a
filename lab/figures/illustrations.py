"""The pictures that only the notebooks need: pure functions from data to matplotlib figures.

As in `lab.figures`: arrays in, a figure out, drawn on `ax` where one is given. Lines differ by
colour, by dash and by marker, so that no reader depends on colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .. import figures, palette
from ..palette import LIGHT
from ..words.literal import mathtext

Array = NDArray[Any]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b8a200")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
MARKERS = ("o", "D", "s", "^", "v", "P")


def panels(columns: int, rows: int = 1, size: tuple[float, float] = (4.0, 3.4)) -> tuple[Any, Any]:
    """Return an empty figure and its axes (rows * columns,), each panel of a size in inches."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _panel(ax: Axes | None, size: tuple[float, float]) -> tuple[Any, Axes]:
    if ax is not None:
        return ax.figure, ax
    figure, axes = panels(1, size=size)
    return figure, axes[0]


def lines(
    across: Any,
    curves: Mapping[str, Any],
    *,
    x: str,
    y: str,
    title: str = "",
    logx: bool = False,
    logy: bool = False,
    levels: Mapping[str, float] | None = None,
    markers: bool = True,
    among: Sequence[str] | None = None,
    ax: Axes | None = None,
    size: tuple[float, float] = (6.4, 3.6),
) -> Figure:
    """Draw named curves over common places, and named levels as thin horizontal lines.

    Args:
        across: places (k,).
        curves: heights (k,) by name.
        x, y: what the axes hold, with units.
        levels: heights of horizontal lines by name.
        markers: whether each place is marked.
        among: all names of a figure with several panels, so that a name looks alike in each of
            them, whatever else the panel shows. Those of `curves` where None.
    """
    figure, axes = _panel(ax, size)
    names = list(curves if among is None else among)
    for name, heights in curves.items():
        place = names.index(name)
        axes.plot(
            across,
            heights,
            color=COLOURS[place % len(COLOURS)],
            ls=DASHES[place % len(DASHES)],
            marker=MARKERS[place % len(MARKERS)] if markers else None,
            ms=4.5,
            lw=2,
            label=name,
        )
    for place, (name, height) in enumerate((levels or {}).items()):
        axes.axhline(height, color=LIGHT.ink, lw=1.2, ls=DASHES[(place + 1) % 4], label=name)
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.set_xscale("log" if logx else "linear")
    axes.set_yscale("log" if logy else "linear")
    if logx and len(np.atleast_1d(across)) <= 10:
        axes.set_xticks(across, [f"{place:g}" for place in across])
        axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    return figure


def matrices(
    named: Mapping[str, Array],
    *,
    bar: str | Sequence[str],
    x: str = "target j",
    y: str = "source i",
    diverging: bool = False,
) -> Figure:
    """Draw matrices side by side on one scale, beginning at 0 (or symmetric about it).

    Args:
        named: matrices by title.
        bar: what the colours hold, with its unit. Several of them, one a matrix, give each
            matrix a scale of its own.
        x, y: what columns and rows are.
        diverging: whether the scale is symmetric about 0.
    """
    alone = not isinstance(bar, str)
    figure, axes = panels(len(named), size=(3.7 if alone else 3.1, 3.0))
    common = max(float(np.abs(matrix).max()) for matrix in named.values()) or 1.0
    picture = None
    for place, (ax, (name, matrix)) in enumerate(zip(axes, named.items(), strict=True)):
        most = float(np.abs(matrix).max()) or 1.0 if alone else common
        picture = ax.imshow(
            matrix,
            cmap="PuOr" if diverging else figures.RAMP,
            vmin=-most if diverging else 0,
            vmax=most,
            interpolation="nearest",
        )
        ax.set(title=name, xlabel=x)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        ax.tick_params(length=0)
        ax.title.set_fontsize(11)
        if alone:
            figure.colorbar(picture, ax=ax, label=bar[place], shrink=0.8)
    axes[0].set_ylabel(y)
    if not alone:
        figure.colorbar(picture, ax=list(axes), label=str(bar), shrink=0.8)
    return figure


def plan_view(
    plan: Array,
    source: Array | None = None,
    target: Array | None = None,
    labels: Array | None = None,
    title: str = "",
    *,
    required: tuple[Array, Array] | None = None,
) -> Figure:
    """Draw a plan (n, m) as a picture with its row and column sums, and as lines where points are.

    Args:
        plan: masses; the darkest entry is the largest one.
        source, target: points in the plane (n, 2) and (m, 2), or None.
        labels: true classes (n,) of both sides, where n = m, for the colour of lines.
        title: what the figure shows.
        required: the masses a (n,) and b (m,) that rows and columns should sum to, drawn as marks
            on the bars; uniform where None.
    """
    plane = source is not None and target is not None  # the plan is drawn as lines too
    n, m = plan.shape
    a, b = (np.full(n, 1 / n), np.full(m, 1 / m)) if required is None else required
    figure = Figure(figsize=(9.4 if plane else 4.8, 4.3), layout="constrained")
    grid = figure.add_gridspec(
        2,
        4 if plane else 2,
        width_ratios=(4, 1.3, 0.2, 5) if plane else (4, 1.3),
        height_ratios=(1.2, 4),
    )
    picture = figure.add_subplot(grid[1, 0])
    picture.imshow(plan, cmap=figures.RAMP, vmin=0, interpolation="nearest", aspect="auto")
    picture.set(xlabel="target j", ylabel="source i")
    for axis in (picture.xaxis, picture.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    above = figure.add_subplot(grid[0, 0], sharex=picture)
    above.bar(np.arange(m), plan.sum(0), color=palette.TARGET, width=0.8, label="column sums")
    above.hlines(b, np.arange(m) - 0.5, np.arange(m) + 0.5, color=LIGHT.ink, lw=1.6)
    above.set_title("column sums", fontsize=10)
    beside = figure.add_subplot(grid[1, 1], sharey=picture)
    beside.barh(np.arange(n), plan.sum(1), color=palette.SOURCE, height=0.8, label="row sums")
    beside.vlines(a, np.arange(n) - 0.5, np.arange(n) + 0.5, color=LIGHT.ink, lw=1.6)
    beside.set_title("row sums", fontsize=10)
    for ax in (above, beside):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelleft=ax is above, labelbottom=ax is beside, length=0)
    above.yaxis.set_major_locator(MaxNLocator(2))
    beside.xaxis.set_major_locator(MaxNLocator(2))
    corner = figure.add_subplot(grid[0, 1])
    corner.set_axis_off()
    corner.plot([], [], color=LIGHT.ink, lw=1.6, label="required\nsum")
    corner.legend(loc="center", frameon=False, fontsize=8, handlelength=1.2)
    if source is not None and target is not None:
        ax = figure.add_subplot(grid[:, 3])
        figures.transport_lines(source, target, plan, labels if n == m else None, ax=ax)
        ax.set(xticks=[], yticks=[], title="as lines between the points")
        columns = 3 if len(ax.get_legend_handles_labels()[1]) == 3 else 2
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=columns, frameon=False)
    figure.suptitle(title, fontsize=12)
    return figure


def intervals(
    frame: pd.DataFrame,
    against: str,
    unit: str = "percentage points",
    ax: Axes | None = None,
) -> Figure:
    """Draw paired differences with their intervals: filled where the verdict is better or worse.

    Args:
        frame: one row an arm with columns difference, low, high and verdict
            (`wcord.analysis.report.Report`). An interval that is not known is not drawn.
        against: the arm that is subtracted.
    """
    rows = frame[frame.index.map(str) != str(against)].iloc[::-1]
    figure, ax = _panel(ax, (6.4, 1.0 + 0.42 * max(len(rows), 1)))
    colours = palette.arm_colours([str(arm) for arm in frame.index])
    for place, (arm, row) in enumerate(rows.iterrows()):
        sure = row["verdict"] in ("better", "worse")
        colour = colours[str(arm)]
        ax.plot([row["low"], row["high"]], [place, place], color=colour, lw=2.4)
        ax.plot(
            row["difference"], place, "o", ms=8, color=colour, mfc=colour if sure else LIGHT.paper
        )
    ax.axvline(0, color=LIGHT.ink, lw=1)
    ax.set_yticks(range(len(rows)), [mathtext(arm) for arm in rows.index])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlabel(
        f"difference to {mathtext(against)}, {unit}"
        "\n(line: 95 % interval; filled: better or worse, Holm)"
    )
    ax.grid(alpha=0.25, axis="x")
    return figure


def pictures(
    rows: Mapping[str, Array], captions: list[str] | None = None, side: float = 0.78
) -> Figure:
    """Draw rows of small gray pictures (k, H, W), each row under its name.

    Args:
        rows: pictures by the name of the row; rows are of one length.
        captions: a word under each column.
    """
    count = max(len(images) for images in rows.values())
    figure = Figure(figsize=(1.2 + side * count, 0.25 + side * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), count, squeeze=False)
    for row, (name, images) in zip(axes, rows.items(), strict=True):
        for place, ax in enumerate(row):
            ax.imshow(images[place], cmap="gray_r", interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            if captions and ax.get_subplotspec().is_last_row():
                ax.set_xlabel(captions[place], fontsize=10)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=11)
    return figure


def critic_view(
    x: Array,
    y: Array,
    grid: Array,
    values: Array,
    history: list[tuple[int, float, float]],
    exact: float,
) -> Figure:
    """Draw a critic of two clouds beside the distance it has found so far.

    Args:
        x, y: clouds (n, d) and (m, d).
        grid: where the critic was read off: (k,) for d = 1, (k, k, 2) for d = 2; else unused.
        values: its values there; for d > 2 its values at x, then at y.
        history: (step, raw, bound) of every evaluation.
        exact: exact W1.
    """
    figure, (left, right) = panels(2, size=(4.8, 3.7))
    dim = x.shape[1]
    if dim == 1:
        figures.critic_1d(grid, {"φ": values}, x, y, ax=left)
    elif dim == 2:
        shades = left.contourf(grid[..., 0], grid[..., 1], values, levels=14, cmap=figures.RAMP)
        figure.colorbar(shades, ax=left, label="critic φ(x)")
        for points, marker, colour, name in (
            (x, "o", palette.SOURCE, "x: φ high"),
            (y, "D", palette.TARGET, "y: φ low"),
        ):
            left.scatter(points[:, 0], points[:, 1], s=13, c=colour, marker=marker, label=name)
        left.legend(fontsize=8, loc="upper right")
    else:
        for part, colour, name in (
            (values[: len(x)], palette.SOURCE, "at x"),
            (values[len(x) :], palette.TARGET, "at y"),
        ):
            left.hist(part, bins=20, color=colour, alpha=0.5, label=name)
        left.set(xlabel="critic φ", ylabel="number of points")
        left.legend(frameon=False)
    steps = [step for step, _, _ in history]
    found = {
        "raw value": [raw for _, raw, _ in history],
        "certified bound": [b for _, _, b in history],
    }
    lines(steps, found, x="step", y="distance", levels={"exact $W_1$": exact}, ax=right)
    return figure
