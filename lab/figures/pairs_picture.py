"""The pictures of wrong pairs: a batch with its given and true partners, and measured means.

Pure functions from data to matplotlib figures, as in `lab.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ..palette import LIGHT, arm_colours
from ..words.literal import mathtext
from .illustrations import DASHES, MARKERS, panels

Array = NDArray[Any]

RIGHT, WRONG = "#009e73", "#d55e00"
SIDES = (0.27, 0.15)  # half the width and height of a picture of a sample, units of the axes


def partners(partner: Array, images: Array) -> Figure:
    """Draw a batch: above, what the student sees; below, whose output the teacher's row holds.

    A given pair stands in one column, joined by a solid line if it is right and by a dashed line
    with a cross if it is wrong. A thin arc leads from the teacher's row of a wrong pair to its true
    partner.

    Args:
        partner: (n,) integers, a permutation: the teacher's row j holds the output of
            partner[j].
        images: (n, H, W), the samples.
    """
    n = len(partner)
    figure, (ax,) = panels(1, size=(1.0 + 1.05 * n, 3.6))
    high, low = 1.0, 0.0
    styles = {
        "right pair": {"color": RIGHT, "lw": 3.0},
        "wrong pair": {"color": WRONG, "lw": 3.0, "ls": (0, (2, 1.5))},
        "to the true partner": {"color": LIGHT.ink, "lw": 1.1},
    }
    for name, style in styles.items():
        marker = "X" if name == "wrong pair" else None
        ax.plot([], [], label=name, marker=marker, ms=9, **style)
    for row, sample in enumerate(partner):
        wrong = int(sample) != row
        ax.plot([row, row], [low, high], **styles["wrong pair" if wrong else "right pair"])
        if wrong:
            ax.plot(row, 0.5, "X", color=WRONG, ms=9)
            ax.annotate(
                "",
                xy=(int(sample), high - SIDES[1]),
                xytext=(row, low + SIDES[1]),
                arrowprops={"arrowstyle": "-|>", **styles["to the true partner"]},
            )
        _picture(ax, images[row], (row, high), f"student, row {row}", above=True)
        _picture(ax, images[int(sample)], (row, low), f"output of {int(sample)}", above=False)
    ax.set(xlim=(-0.6, n - 0.4), ylim=(-0.45, 1.45), xticks=[])
    ax.set_yticks([low, high], ["teacher's\nrow holds", "student\nsees"])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.legend(frameon=False, ncols=3, loc="outside lower center")
    return figure


def _picture(ax: Axes, image: Array, place: tuple[float, float], words: str, above: bool) -> None:
    """Put a small grey picture on a place, and words above or below it."""
    (across, up), (wide, high) = place, SIDES
    edges = (across - wide, across + wide, up - high, up + high)
    ax.imshow(image, cmap="gray_r", extent=edges, aspect="auto", zorder=3)
    frame = Rectangle((edges[0], edges[2]), 2 * wide, 2 * high, fill=False, ec=LIGHT.faint)
    ax.add_patch(frame).set_zorder(4)
    at = edges[3] + 0.04 if above else edges[2] - 0.04
    ax.text(across, at, words, ha="center", va="bottom" if above else "top", fontsize=9)


def means_with_intervals(
    across: Sequence[float],
    means: Mapping[str, Array],
    halves: Mapping[str, Array],
    *,
    x: str,
    y: str,
    title: str = "",
    named: Mapping[str, str] | None = None,
    even: bool = False,
    zero: bool = False,
    beside: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Draw measured means (k,) by name over k places, each with half the width of its interval.

    Args:
        across: places (k,).
        means: heights (k,) by name.
        halves: half widths of intervals (k,) by name.
        x, y: what the axes hold, with units.
        title: what the picture shows.
        named: words for the legend by name; the name where there are none.
        even: places at equal distances, whatever their values.
        zero: whether a line is drawn at 0.
        beside: whether the legend stands beside the picture.
        ax: where it is drawn.
    """
    if ax is None:
        figure, (ax,) = panels(1, size=(8.6 if beside else 6.4, 4.2))
    else:
        figure = ax.figure
    places = np.arange(len(across)) if even else np.asarray(across, dtype=float)
    step = 0.04 * (places[-1] - places[0]) / len(means)  # so that intervals do not cover each other
    colours = arm_colours(list(means))
    for place, (name, heights) in enumerate(means.items()):
        ax.errorbar(
            places + (place - (len(means) - 1) / 2) * step,
            heights,
            yerr=halves[name],
            color=colours[name],
            ls=DASHES[place % len(DASHES)],
            marker=MARKERS[place % len(MARKERS)],
            ms=5,
            lw=1.8,
            elinewidth=1.2,
            capsize=2.5,
            label=mathtext((named or {}).get(name, name)),
        )
    if zero:
        ax.axhline(0, color=LIGHT.ink, lw=1)
    ax.set_xticks(places, [f"{value:g}" for value in across])
    ax.set(xlabel=x, ylabel=y, title=title)
    ax.grid(alpha=0.25)
    if beside:
        ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        ax.legend(frameon=False, fontsize=9)
    return figure
