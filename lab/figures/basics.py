"""The pictures of chapter 0: pure functions from data to matplotlib figures.

As in `lab.figures.illustrations`: arrays in, a figure out, drawn on `ax` where one is given. Lines
differ by colour and by dash, so that no reader depends on colour.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .. import palette
from ..palette import LIGHT
from .illustrations import COLOURS, DASHES, panels

Array = NDArray[Any]

SHADE = "#d9e6f4"  # of a region
ROUNDING = 1e-9


def _panel(ax: Axes | None, size: tuple[float, float]) -> tuple[Any, Axes]:
    if ax is not None:
        return ax.figure, ax
    figure, axes = panels(1, size=size)
    return figure, axes[0]


def jensen(
    grid: Array, curve: Array, tangent: Array, points: Array, weights: Array, heights: Array
) -> Figure:
    """Draw a convex function over its tangent at the mean of some weighted points.

    Args:
        grid: places (k,).
        curve: the function there (k,).
        tangent: the tangent at the mean there (k,).
        points: places of the weighted points (m,).
        weights: their weights (m,), of sum 1; a larger weight is a larger mark.
        heights: the function at the points (m,).
    """
    figure, ax = _panel(None, (6.4, 3.9))
    mean, average = float(weights @ points), float(weights @ heights)
    below = float(np.interp(mean, grid, curve))
    ax.plot(grid, curve, color=COLOURS[0], lw=2, label=r"convex function $\psi$")
    ax.plot(grid, tangent, color=COLOURS[1], lw=1.8, ls="--", label=r"tangent at the mean")
    ax.scatter(points, heights, s=450 * weights, color=COLOURS[0], alpha=0.6, zorder=3)
    ax.plot([mean, mean], [below, average], color=LIGHT.ink, lw=1.4, ls=":")
    ax.plot(mean, average, "s", ms=8, color=COLOURS[2], label=r"mean of $\psi(x)$")
    ax.plot(mean, below, "D", ms=8, color=COLOURS[1], label=r"$\psi$(mean of x)")
    ax.set(xlabel="x (no unit)", ylabel=r"$\psi(x)$", title="The average lies above the function")
    ax.grid(alpha=0.25)
    ax.legend(frameon=False, fontsize=9, loc="upper center")
    return figure


def pinsker(variation: Array, divergence: Array) -> Figure:
    """Draw pairs of distributions by total variation and KL divergence, and Pinsker's bound.

    Args:
        variation: total variation (k,), 0 to 1.
        divergence: KL divergence (k,), nats.
    """
    figure, ax = _panel(None, (6.4, 3.9))
    ax.scatter(
        variation, divergence, s=14, color=COLOURS[0], alpha=0.6, label="random pairs (μ, ν)"
    )
    across = np.linspace(0, 1, 101)
    ax.plot(across, 2 * across**2, color=COLOURS[1], lw=2, label=r"$2\,\mathrm{TV}^2$ (Pinsker)")
    top = float(np.quantile(divergence, 0.95))  # a few pairs are far above
    ax.set(
        xlim=(0, 1),
        ylim=(0, top),
        xlabel="total variation TV (no unit)",
        ylabel="KL divergence, nats",
        title="No pair lies below the curve",
    )
    ax.grid(alpha=0.25)
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def double_cones(
    grid: Array,
    values: Array,
    places: Sequence[float],
    constant: float,
    ax: Axes | None = None,
) -> Figure:
    """Draw a function, and at some of its points the double cone that its graph cannot leave.

    Args:
        grid: places (k,).
        values: the function there (k,).
        places: where the cones have their tips.
        constant: L, the slope of the edges of a cone.
    """
    figure, ax = _panel(ax, (4.8, 3.9))
    for number, place in enumerate(places):
        tip = float(np.interp(place, grid, values))
        across = np.array([grid[0], place, grid[-1]])
        reach = constant * np.abs(across - place)
        colour, dash = COLOURS[number + 1], DASHES[number + 1]
        ax.fill_between(across, tip - reach, tip + reach, color=colour, alpha=0.12, lw=0)
        for sign in (-1, 1):
            edge = tip + sign * constant * (across - place)
            ax.plot(across, edge, color=colour, lw=1.2, ls=dash)
        ax.plot(place, tip, "o", color=colour, ms=6, zorder=4, label=f"cone at x = {place:g}")
    ax.plot(grid, values, color=COLOURS[0], lw=2.4, label=r"$\psi$", zorder=3)
    middle, half = float(values.mean()), 0.75 * constant * float(np.ptp(grid)) / 2
    ax.set(
        xlim=(grid[0], grid[-1]),
        ylim=(middle - half, middle + half),
        xlabel="x",
        ylabel=r"$\psi(x)$",
        title=f"L = {constant:g}: the graph stays in every cone",
    )
    ax.legend(fontsize=9, loc="upper left", framealpha=0.92)
    return figure


def steep_between(
    grid: Array, values: Array, tested: Array, at_tested: Array, ax: Axes | None = None
) -> Figure:
    """Draw a function that is flat wherever it was tested, and steep in between.

    Args:
        grid: places (k,).
        values: the function there (k,).
        tested: where the derivative was measured (m,).
        at_tested: the function there (m,).
    """
    figure, ax = _panel(ax, (4.8, 3.9))
    ax.plot(grid, values, color=COLOURS[0], lw=2.4, label=r"$\psi$")
    ax.plot(tested, at_tested, "o", color=COLOURS[2], ms=6, label="derivative measured here")
    slopes = np.abs(np.diff(at_tested)) / np.diff(tested)
    first = int(slopes.argmax())
    pair = slice(first, first + 2)
    name = f"slope {slopes[first]:.1f} between two of them"
    ax.plot(tested[pair], at_tested[pair], color=COLOURS[1], lw=1.8, ls="--", label=name)
    room = 0.6 * float(np.ptp(values))  # above the curve, for the legend
    ax.set(
        ylim=(values.min() - 0.1 * room, values.max() + room),
        xlabel="x",
        ylabel=r"$\psi(x)$",
        title="Flat at each tested point",
    )
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def programme(
    rows: Array,
    limits: Array,
    objective: Array,
    best: Array,
    *,
    least: bool,
    box: float,
    levels: Sequence[float],
    letter: str,
    title: str,
    arrows: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Draw a linear programme of two unknowns that are at least 0.

    Args:
        rows: coefficients of the constraints (k, 2).
        limits: their right-hand sides (k,).
        objective: coefficients of the objective (2,).
        best: the optimal point (2,).
        least: the objective is minimised and the constraints are "at least"; else it is maximised
            and they are "at most".
        box: both axes run from 0 to this.
        levels: values of the objective whose level lines are drawn.
        letter: of the unknowns, for the axes and the legend.
        title: of the panel.
        arrows: draw the objective and its parts along the constraints as arrows at `best`.
    """
    figure, ax = _panel(ax, (5.0, 4.8))
    corners = _corners(rows, limits, least, box)
    ax.fill(*corners.T, color=SHADE, label="feasible points")
    across = np.linspace(0, box, 2)
    for number, (row, limit) in enumerate(zip(rows, limits, strict=True)):
        sign = r"\geq" if least else r"\leq"
        left = " + ".join(
            f"{'' if c == 1 else f'{c:g}'}{letter}_{place + 1}" for place, c in enumerate(row)
        )
        ax.plot(
            across,
            (limit - row[0] * across) / row[1],
            color=COLOURS[number],
            lw=2,
            ls=DASHES[number],
            label=f"${left} {sign} {limit:g}$",
        )
    for level in levels:
        at_best = abs(level - float(objective @ best)) < ROUNDING
        ax.plot(
            across,
            (level - objective[0] * across) / objective[1],
            color=LIGHT.ink,
            lw=2.0 if at_best else 0.9,
            ls="-" if at_best else ":",
            label="level lines of the objective" if at_best else None,
        )
        _name_level(ax, objective, level, box)
    ax.plot(*best, "o", ms=10, color=COLOURS[2], zorder=5, label="the optimum")
    if arrows:
        _arrows(ax, rows, objective, best, letter="C", length=0.2)
    ax.set(
        xlim=(0, box),
        ylim=(0, box),
        xlabel=f"${letter}_1$",
        ylabel=f"${letter}_2$",
        title=title,
        aspect="equal",
    )
    ax.legend(fontsize=8.5, loc="upper right", framealpha=0.92)
    return figure


def _corners(rows: Array, limits: Array, least: bool, box: float) -> Array:
    """Return the corners of the feasible region inside of the box, in order (k, 2)."""
    sign = 1.0 if least else -1.0
    unit = np.eye(2)
    all_rows = np.vstack([sign * rows, unit, -unit])
    all_limits = np.concatenate([sign * limits, [0, 0, -box, -box]])
    found = []
    for pair in itertools.combinations(range(len(all_rows)), 2):
        two = all_rows[list(pair)]
        if abs(np.linalg.det(two)) > ROUNDING:
            point = np.linalg.solve(two, all_limits[list(pair)])
            if (all_rows @ point >= all_limits - ROUNDING).all():
                found.append(point)
    corners = np.unique(np.round(found, 9), axis=0)
    centre = corners.mean(0)
    return corners[np.argsort(np.arctan2(*(corners - centre).T[::-1]))]


def _name_level(ax: Axes, objective: Array, level: float, box: float) -> None:
    """Write a level beside its line, where the line leaves the box below or to the right."""
    across = min(level / objective[0], box)
    up = (level - objective[0] * across) / objective[1]
    shift = (-4, 6) if across == box else (3, 5)
    ax.annotate(
        f"{level:g}",
        (across, up),
        xytext=shift,
        textcoords="offset points",
        fontsize=8.5,
        color=LIGHT.ink,
        ha="right" if across == box else "left",
        clip_on=True,
    )


def _arrows(
    ax: Axes, rows: Array, objective: Array, best: Array, letter: str, length: float
) -> None:
    """Draw the objective as the sum of multiples of the rows, as arrows from the optimum."""
    multiples = np.linalg.solve(rows.T, objective)
    start = np.asarray(best, dtype=float)
    for number, (row, multiple) in enumerate(zip(rows, multiples, strict=True)):
        end = start + length * multiple * row
        _arrow(ax, start, end, COLOURS[number], f"{multiple:g} × row {number + 1}", 1.8, (7, -9))
        start = end
    tip = best + length * objective
    _arrow(ax, np.asarray(best), tip, LIGHT.ink, f"${letter}$", 2.4, (-9, 6))


def _arrow(
    ax: Axes, start: Array, end: Array, colour: str, name: str, width: float, shift: Any
) -> None:
    line = {"arrowstyle": "-|>", "color": colour, "lw": width, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", tuple(end), xytext=tuple(start), arrowprops=line, zorder=6)
    middle = tuple((start + end) / 2)
    ax.annotate(
        name, middle, xytext=shift, textcoords="offset points", fontsize=9, color=colour, zorder=6
    )


def meeting_bounds(lower: Array, upper: Array, optimum: float, ax: Axes | None = None) -> Figure:
    """Draw the values of feasible points of a programme and of its dual on one axis.

    Args:
        lower: values of the dual's feasible points (k,).
        upper: values of the programme's feasible points (m,).
        optimum: where the two meet.
    """
    figure, ax = _panel(ax, (5.0, 4.8))
    groups = (
        ("dual: lower bounds", lower, palette.SOURCE, "o"),
        ("programme: upper bounds", upper, palette.TARGET, "D"),
    )
    for name, values, colour, marker in groups:
        places = np.arange(1, len(values) + 1)
        ax.plot(places, values, marker, ms=4, color=colour, alpha=0.75, label=name)
    ax.axhline(optimum, color=LIGHT.ink, lw=1.6, label=f"common optimum {optimum:g}")
    ax.set(
        xlabel="number of the random feasible point",
        ylabel="value of its objective",
        title="Each point is a bound for all others",
    )
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8.5, framealpha=0.92, loc="upper right")
    return figure


def softened(shares: Mapping[str, Array], classes: Sequence[str]) -> Figure:
    """Draw probabilities of classes as bars, a panel for each temperature.

    Args:
        shares: probabilities (k,) by the name of the panel.
        classes: names of the classes (k,).
    """
    figure, axes = panels(len(shares), size=(2.9, 2.9))
    for place, (ax, (name, heights)) in enumerate(zip(axes, shares.items(), strict=True)):
        bars = ax.bar(classes, heights, color=COLOURS[0], width=0.7)
        ax.bar_label(bars, fmt="%.2f", fontsize=9, padding=2)
        ax.set(ylim=(0, 1.1), xlabel="class", title=name)
        if place == 0:
            ax.set_ylabel("probability")
        else:
            ax.tick_params(labelleft=False)
    return figure
