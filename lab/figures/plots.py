"""The pictures of notebooks and print: pure functions from data to matplotlib figures.

Every function takes arrays, draws on `ax` where one is given and on a new figure otherwise, and
returns the figure. Nothing here touches pyplot's global state. The same pictures for the pages
are drawn by `lab.viewer`, what they say in words is in `lab.words.descriptions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import FuncNorm, LinearSegmentedColormap, PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from .. import palette
from ..palette import LIGHT
from ..reading.arrange import (
    class_blocks,
    heaviest,
    histogram,
    plan_masses,
    score_groups,
    sorted_plan,
)
from ..reading.layouts import REACH, Frame
from ..words.literal import mathtext

Array = NDArray[Any]

RAMP = LinearSegmentedColormap.from_list("amount", LIGHT.ramp)
SIZE = (5.6, 4.6)


def _axes(ax: Axes | None, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    if ax is not None:
        return cast(Figure, ax.figure), ax
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _titled(title: str, words: Mapping[str, str], values: Mapping[str, float] | None) -> str:
    known = values or {}
    facts = ", ".join(f"{word} {known[key]:.3f}" for key, word in words.items() if key in known)
    return "\n".join(part for part in (title, facts) if part)


def _part_classes(axes: Axes, labels: Array) -> None:
    """Draw lines between the classes of a plan (n, n) that is sorted by them; name all axes."""
    blocks = class_blocks(labels)
    alpha = min(0.4, 5 / len(blocks.names))  # the lines of many classes would hide the plan
    for cut in blocks.starts[1:]:
        axes.axhline(cut - 0.5, color=LIGHT.ink, lw=0.6, alpha=alpha)
        axes.axvline(cut - 0.5, color=LIGHT.ink, lw=0.6, alpha=alpha)
    middles = [middle - 0.5 for middle in blocks.middles]
    axes.set_xticks(middles, [str(name) for name in blocks.names])
    axes.set_yticks(middles, [str(name) for name in blocks.names])
    axes.tick_params(length=0)
    axes.set(xlabel="student samples, by class", ylabel="teacher samples, by class")


def plan(
    plan: Array, labels: Array, *, title: str = "", ax: Axes | None = None, scale: bool = True
) -> Figure:
    """Draw a plan (n, n), rows teacher and columns student, both sorted by class.

    Colour is the share of a teacher sample's mass, 0 to 1, on a square-root scale; lines part
    the classes. Under the title stand the masses that stay in the class and on the diagonal.
    """
    figure, axes = _axes(ax)
    share = sorted_plan(plan, labels)
    picture = axes.imshow(share, cmap=RAMP, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    _part_classes(axes, labels)
    same, diagonal = plan_masses(plan, labels)
    axes.set_title(
        (f"{title}\n" if title else "") + f"same class {same:.2f}, diagonal {diagonal:.2f}",
        fontsize=11,
    )
    if scale:
        figure.colorbar(picture, ax=axes, label="share of a teacher sample's mass", shrink=0.8)
    return figure


def difference(
    plan_a: Array,
    plan_b: Array,
    labels: Array,
    *,
    names: tuple[str, str] = ("A", "B"),
    ax: Axes | None = None,
) -> Figure:
    """Draw what of a teacher sample's mass goes elsewhere: rows of plan A less rows of plan B.

    Both plans (n, n) are sorted by class and each row is divided by its sum, so that entries lie
    between −1 (all of it in B only) and 1; colours follow signed square roots.
    """
    figure, axes = _axes(ax)
    ramp = LinearSegmentedColormap.from_list(
        "difference", (palette.TARGET, LIGHT.paper, palette.SOURCE)[::-1]
    )
    root = FuncNorm(
        (lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * np.square(x)), -1, 1
    )
    apart = sorted_plan(plan_a, labels) - sorted_plan(plan_b, labels)
    shown = axes.imshow(apart, cmap=ramp, norm=root, interpolation="nearest")
    _part_classes(axes, labels)
    axes.set_title(mathtext(f"{names[0]} less {names[1]}"), fontsize=11)
    figure.colorbar(
        shown, ax=axes, label="share of a teacher sample's mass", ticks=[-1, -0.25, 0, 0.25, 1]
    )
    return figure


def transport_lines(
    source: Array,
    target: Array,
    plan: Array,
    source_labels: Array | None = None,
    target_labels: Array | None = None,
    *,
    title: str = "",
    most: int = 300,
    ax: Axes | None = None,
) -> Figure:
    """Draw two clouds in the plane and the plan's heaviest entries as lines between them.

    Args:
        source: points (n, 2), circles; with `source_labels` (n,) coloured by class.
        target: points (m, 2), diamonds.
        plan: masses (n, m).
        source_labels: true classes; lines take the colour of their source's class, and a line
            is dashed where it ends in another class. Wider lines carry more mass.
        target_labels: true classes of the targets (m,); the sources' where None and n = m.
        title: what the panel shows.
        most: how many lines at most.
    """
    figure, axes = _axes(ax)
    source, target = np.asarray(source), np.asarray(target)
    lines = heaviest(plan, most)
    if target_labels is None:
        target_labels = source_labels
    ends = np.stack([source[lines.rows], target[lines.columns]], axis=1)
    share = lines.mass * len(source)  # 1 where a source sends all of its mass one way
    colours = [LIGHT.ink] * len(ends)
    wrong = np.zeros(len(ends), dtype=bool)
    if source_labels is not None and target_labels is not None:
        colours = [palette.class_colour(int(source_labels[i])) for i in lines.rows]
        wrong = np.asarray(source_labels)[lines.rows] != np.asarray(target_labels)[lines.columns]
    for chosen, style in ((~wrong, "solid"), (wrong, (0, (3, 2)))):
        axes.add_collection(
            LineCollection(
                list(ends[chosen]),
                colors=[
                    to_rgba(colour, min(0.15 + 0.75 * float(amount), 0.9))
                    for colour, amount, take in zip(colours, share, chosen, strict=True)
                    if take
                ],
                linewidths=0.4 + 2.2 * share[chosen].clip(0, 1),
                linestyles=style,
            )
        )
    kinds: list[tuple[str, Any]] = [("mass", "solid")]
    if wrong.any():
        kinds = [("mass, same class", "solid"), ("mass, other class", (0, (3, 2)))]
    clouds = ((source, source_labels, "o", "source"), (target, target_labels, "D", "target"))
    for points, labels, marker, name in clouds:
        plain = palette.SOURCE if name == "source" else palette.TARGET
        colour = plain if labels is None else [palette.class_colour(int(k)) for k in labels]
        axes.scatter(
            points[:, 0], points[:, 1], c=colour, marker=marker, s=34, label=name, zorder=3
        ).set_edgecolor(LIGHT.paper)
    for name, style in kinds:
        axes.plot([], [], color=LIGHT.ink, lw=1.6, ls=style, label=name)
    axes.set_title(title)
    axes.set_aspect("equal", adjustable="box")
    axes.legend(frameon=False, loc="best")
    return figure


def scores(
    scores: Array,
    labels: Array,
    values: Mapping[str, float] | None = None,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw the critic's scores (n, n) as histograms of congruent, same- and other-class pairs.

    `values` may hold `exact_iw`, `certified_iw` and `raw_iw`, printed under the title: the
    exact Wasserstein dependency of the batch, what the critic certifies of it, and the plain
    difference of its means.
    """
    figure, axes = _axes(ax)
    bins = histogram(score_groups(scores, labels))
    for name, share in bins.shares.items():
        colour = palette.GROUPS[name]
        axes.stairs(100 * share, bins.edges, fill=True, color=colour, alpha=0.22)
        axes.stairs(100 * share, bins.edges, color=colour, lw=1.6, label=name)
        axes.axvline(bins.means[name], color=colour, ls="--", lw=1.4)
    axes.plot([], [], color=LIGHT.ink, ls="--", lw=1.4, label="mean of a group")
    words = {"exact_iw": "exact $I_W$", "certified_iw": "certified ≥", "raw_iw": "raw"}
    axes.set_title(_titled(title, words, values), fontsize=11)
    axes.set_xlabel("critic's score φ(teacher, student)")
    axes.set_ylabel("share of pairs, %")
    axes.legend(frameon=False)
    return figure


def joint_map(
    frame: Frame,
    labels: Array,
    values: Mapping[str, float] | None = None,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw the joint map: teacher circles, student diamonds, coloured and numbered by class.

    `values` may hold `feature_distance`, `neighbour_overlap` and `cka`, measured in full
    dimension and printed under the title, because a flat map can flatter.
    """
    figure, axes = _axes(ax)
    labels = np.asarray(labels)
    colours = [palette.class_colour(int(label)) for label in labels]
    teacher, student = (np.nan_to_num(side).clip(-REACH, REACH) for side in frame)
    rings = axes.scatter(teacher[:, 0], teacher[:, 1], s=16, marker="o", lw=0.9)
    rings.set(facecolors="none", edgecolors=colours)
    axes.scatter(student[:, 0], student[:, 1], s=16, marker="D", c=colours, lw=0)
    for label in np.unique(labels):
        middle = np.median(teacher[labels == label], axis=0)
        axes.annotate(
            str(label),
            (float(middle[0]), float(middle[1])),
            xytext=(0, 9),  # above its points, not over them
            textcoords="offset points",
            ha="center",
            fontsize=12,
            fontweight="bold",
            path_effects=[Stroke(linewidth=3, foreground=LIGHT.paper), Normal()],
        )
    for name, marker, face in (("teacher", "o", "none"), ("student", "D", LIGHT.ink)):
        axes.scatter([], [], marker=marker, facecolors=face, edgecolors=LIGHT.ink, label=name)
    words = {"feature_distance": "distance", "neighbour_overlap": "neighbours", "cka": "CKA"}
    axes.set_title(_titled(title, words, values), fontsize=11)
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(True)
    axes.legend(frameon=False, loc="upper right", fontsize=9)
    return figure


def curves(
    frame: pd.DataFrame,
    *,
    across: str = "epoch",
    value: str = "value",
    by: str = "arm",
    name: str = "",
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw curves over time: the mean over repeats, and a band of one standard deviation.

    Args:
        frame: long table with columns `across`, `by` and `value`; several rows with the same
            `across` and `by` (seeds, say) make the band.
        across: the column on the horizontal axis.
        value: the column on the vertical axis.
        by: the column that tells curves apart; arms keep their colours.
        name: title of the vertical axis, with its unit.
        title: what the picture shows.
    """
    figure, axes = _axes(ax)
    arms = [str(arm) for arm in pd.unique(frame[by])]
    banded = False
    for arm, colour in palette.arm_colours(arms).items():
        grouped = frame[frame[by] == arm].groupby(across)[value]
        mean, spread = grouped.mean(), grouped.std(ddof=1)
        axes.plot(mean.index, mean, color=colour, lw=2, label=mathtext(arm))
        if spread.notna().any():
            low, high = (mean - spread).to_numpy(), (mean + spread).to_numpy()
            axes.fill_between(mean.index.to_numpy(), low, high, color=colour, alpha=0.18, lw=0)
            banded = True
    if banded:
        axes.fill_between([], [], color=LIGHT.ink, alpha=0.18, lw=0, label="± 1 std. deviation")
    axes.set(xlabel=across, ylabel=name or value, title=title)
    axes.grid(alpha=0.25)
    if arms:
        axes.legend(frameon=False)
    return figure


def potentials(
    source: Array,
    target: Array,
    f: Array,
    g: Array,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw the potentials of clouds of numbers: f (n,) over source (n,), g (m,) over target (m,).

    Both in units of cost; they are fixed up to (f + c, g − c).
    """
    figure, axes = _axes(ax)
    for name, points, values, marker, colour in (
        ("f, source", source, f, "o", palette.SOURCE),
        ("g, target", target, g, "D", palette.TARGET),
    ):
        points, values = np.ravel(points), np.ravel(values)
        order = np.argsort(points)
        axes.plot(points[order], values[order], marker=marker, color=colour, lw=1.5, label=name)
    axes.set(xlabel="x", ylabel="potential, units of cost", title=title)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def critic_1d(
    across: Array,
    functions: Mapping[str, Array],
    source: Array,
    target: Array,
    *,
    value: float | None = None,
    exact: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw critics on a line, with guides of slope ±1 and the two clouds on the floor.

    Args:
        across: places (k,), ascending.
        functions: critic values (k,) by name.
        source: numbers (n,) at which the critic is to be high in the mean.
        target: numbers (m,) at which it is to be low in the mean.
        value: difference of the critic's means, printed beside `exact`, the exact W1.
    """
    figure, axes = _axes(ax)
    colours = (LIGHT.ink, palette.EXACT, palette.SPARE[0], palette.SPARE[3])
    for place, (name, heights) in enumerate(functions.items()):
        axes.plot(across, heights, lw=2.4, color=colours[place % 4], label=name)
    first = np.asarray(next(iter(functions.values())), dtype=float)
    low, high = np.nanmin(first), np.nanmax(first)
    room = 0.1 * max(high - low, 1e-6)
    length = 0.08 * float(across[-1] - across[0])
    middle = float(across[-1]) - length  # in the corner where the curve is not
    height = high if first[-1] < (low + high) / 2 else low + length
    for slope in (1, -1):
        xs = np.array([middle - length, middle + length])
        axes.plot(
            xs,
            height + slope * (xs - middle),
            ls="--",
            lw=1.4,
            color=palette.TARGET,
            label="slopes +1 and −1" if slope == 1 else None,
        )
    for name, points, marker, colour, down in (
        ("source points", source, "o", palette.SOURCE, 1),
        ("target points", target, "D", palette.TARGET, 2),
    ):
        heights = np.full(np.size(points), low - down * room)
        axes.scatter(np.ravel(points), heights, s=22, c=colour, marker=marker, label=name)
    parts = [f"critic {value:.3f}"] if value is not None else []
    parts += [f"exact $W_1$ {exact:.3f}"] if exact is not None else []
    axes.set_title("\n".join(part for part in (title, ", ".join(parts)) if part), fontsize=11)
    axes.set(xlabel="x", ylabel="critic φ(x)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def same_cost(
    panels: Sequence[tuple[str, Frame, Array, Array]],
    curves: pd.DataFrame,
    *,
    names: tuple[str, str] = ("cost", "same_class_mass"),
) -> Figure:
    """Draw "same cost, different student": plans coloured by true class, and what tells them apart.

    Args:
        panels: (title, frame with teacher and student points (n, 2), plan (n, n), labels (n,))
            of each arm, drawn side by side on the same axes.
        curves: long table with columns epoch, arm, name, value; the two `names` are drawn under
            the panels: the costs, which overlap, and the same-class mass, which does not.
        names: the two metrics.
    """
    points = np.abs(np.concatenate([side for _, frame, _, _ in panels for side in frame]))
    across, up = 1.08 * points.max(axis=0)
    width = 4.8
    height = width * up / across
    figure = Figure(figsize=(width * len(panels), height + 3.6), layout="constrained")
    grid = figure.add_gridspec(2, 2 * len(panels), height_ratios=(height, 2.4))
    for place, (title, frame, plan, labels) in enumerate(panels):
        ax = figure.add_subplot(grid[0, 2 * place : 2 * place + 2])
        transport_lines(frame.teacher, frame.student, plan, labels, title=title, most=140, ax=ax)
        for marks in ax.collections:
            marks.set_clip_on(False)  # nothing lies outside, and files of vectors are smaller
            if isinstance(marks, LineCollection):
                _join_lines_of_one_look(marks)
        same, _ = plan_masses(plan, labels)
        ax.set(xticks=[], yticks=[], xlabel=f"same-class mass {same:.2f}")
        ax.set(xlim=(-across, across), ylim=(-up, up))
        legend = ax.get_legend()
        assert legend is not None
        legend.remove()
        if not place:
            names_of_marks = ["teacher", "student", *(t.get_text() for t in legend.get_texts()[2:])]
            figure.legend(
                [mark for mark in legend.legend_handles if mark is not None],
                names_of_marks,
                loc="outside upper center",
                ncols=len(names_of_marks),
                frameon=False,
            )
    titles = {"cost": "transport cost ⟨P, C⟩", "same_class_mass": "mass that stays in its class"}
    for place, metric in enumerate(names):
        half = slice(place * len(panels), (place + 1) * len(panels))
        ax = figure.add_subplot(grid[1, half])
        _curves_on(ax, curves[curves["name"] == metric], titles.get(metric, metric))
    return figure


def _join_lines_of_one_look(lines: LineCollection, levels: int = 5) -> None:
    """Make one path of all lines of one colour and strength: far smaller in a file of vectors.

    Widths, and the opacity that goes with them, are rounded to `levels` values.
    """
    looks: dict[tuple[float, float, float, float, float], list[Array]] = {}
    segments, widths = lines.get_segments(), np.asarray(lines.get_linewidth())
    if not segments:
        return
    steps = np.linspace(widths.min(), widths.max(), levels)
    colours = np.asarray(lines.get_colors())
    level = np.abs(widths[:, None] - steps).argmin(1)
    gap = np.full((1, 2), np.nan)
    for place, segment in enumerate(segments):
        red, green, blue = (float(part) for part in colours[place, :3])
        opacity = float(colours[level == level[place], 3].mean())
        look = (red, green, blue, opacity, float(steps[level[place]]))
        looks.setdefault(look, []).extend([segment, gap])
    lines.set_segments([np.concatenate(joined) for joined in looks.values()])
    lines.set_color([look[:4] for look in looks])
    lines.set_linewidth([look[4] for look in looks])


def _curves_on(ax: Axes, frame: pd.DataFrame, name: str) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    curves(frame, name=name, ax=ax)
