"""The notebooks' figures: the numbers drawn are the numbers given, and pyplot is left alone."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib._pylab_helpers as pylab
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from lab import figures, palette
from lab.figures import illustrations, plots, small_svg
from lab.palette import LIGHT
from lab.reading.arrange import sorted_plan
from lab.reading.layouts import Frame

rng = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 4)[rng.permutation(12)]
PLAN = rng.random((12, 12)) / 144
CLOUD = rng.normal(size=(12, 2))


def drawn(figure: Figure) -> Figure:
    """Render a figure, which fails where it cannot be drawn."""
    figure.savefig(io.BytesIO(), format="png", dpi=30)
    assert not pylab.Gcf.figs  # nothing for pyplot to leak
    return figure


def test_plan_shows_the_sorted_shares() -> None:
    axes = drawn(figures.plan(PLAN, LABELS, title="t")).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), sorted_plan(PLAN, LABELS))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "2"]
    assert "same class" in axes.get_title()


def test_a_difference_keeps_its_sign_and_its_places() -> None:
    other = rng.random((12, 12)) / 144
    figure = drawn(figures.difference(PLAN, other, LABELS, names=("x", "$y$")))
    image = figure.axes[0].images[0]
    expected = sorted_plan(PLAN, LABELS) - sorted_plan(other, LABELS)
    np.testing.assert_allclose(image.get_array(), expected)
    shades = [image.cmap(image.norm(np.array(at))) for at in (-1.0, 0.0, 1.0)]
    colours = [to_rgba(colour) for colour in (palette.SOURCE, LIGHT.paper, palette.TARGET)]
    np.testing.assert_allclose(shades, colours, atol=0.01)  # blue, paper, orange
    assert figure.axes[0].get_title() == r"x less \$y\$"


def test_lines_take_the_colour_of_their_class_and_break_where_they_leave_it() -> None:
    diagonal = np.eye(12) / 12
    figure = drawn(figures.transport_lines(CLOUD, CLOUD + 1, diagonal, LABELS))
    kept, left = figure.axes[0].collections[:2]
    assert len(kept.get_paths()) == 12 and len(left.get_paths()) == 0
    swapped = np.roll(LABELS, 4)
    figure = drawn(figures.transport_lines(CLOUD, CLOUD + 1, diagonal, LABELS, swapped))
    assert len(figure.axes[0].collections[1].get_paths()) == int((swapped != LABELS).sum())


def test_curves_draw_mean_and_one_standard_deviation() -> None:
    frame = pd.DataFrame({"epoch": [0, 0, 1, 1], "arm": "kd", "value": [1.0, 3.0, 2.0, 6.0]})
    axes = drawn(figures.curves(frame)).axes[0]
    assert axes.lines[0].get_ydata() == pytest.approx([2, 4])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(4 + 8**0.5) and band.min() == pytest.approx(2 - 2**0.5)


def test_the_other_figures_print_their_numbers() -> None:
    values = {"exact_iw": 0.4, "certified_iw": 0.3, "raw_iw": 1.2, "cka": 0.9}
    assert "0.400" in drawn(figures.scores(PLAN, LABELS, values)).axes[0].get_title()
    frame = Frame(CLOUD, CLOUD)
    assert "CKA 0.900" in drawn(figures.joint_map(frame, LABELS, values)).axes[0].get_title()
    x = np.sort(CLOUD[:, 0])
    assert drawn(figures.potentials(x, x, x, -x)).axes[0].lines[0].get_ydata() == pytest.approx(x)
    line = np.linspace(-2, 2, 9)
    figure = drawn(figures.critic_1d(line, {"φ": -line}, x, x, value=1.0, exact=1.1))
    assert "1.100" in figure.axes[0].get_title()
    guide = figure.axes[0].lines[1]
    rise = np.diff(guide.get_ydata()) / np.diff(guide.get_xdata())
    assert rise == pytest.approx(1)


def test_same_cost_has_a_panel_an_arm_and_two_curves() -> None:
    frame = Frame(CLOUD, CLOUD + 0.3)
    curves = pd.DataFrame(
        [
            (e, arm, name, 0.5)
            for e in range(3)
            for arm in "ab"
            for name in ("cost", "same_class_mass")
        ],
        columns=["epoch", "arm", "name", "value"],
    )
    panels = [(name, frame, PLAN, LABELS) for name in ("unpaired", "with GCKT")]
    figure = drawn(figures.same_cost(panels, curves))
    assert len(figure.axes) == 4
    assert [axes.get_title() for axes in figure.axes[:2]] == ["unpaired", "with GCKT"]


def test_lines_of_one_look_are_one_path_with_all_lines() -> None:
    lines = LineCollection(
        [[(0, i), (1, i)] for i in range(9)],
        colors=[(1, 0, 0, 0.1 * i) if i % 2 else (0, 0, 1, 0.1 * i) for i in range(9)],
        linewidths=[0.4 + 0.2 * i for i in range(9)],
    )
    plots._join_lines_of_one_look(lines, levels=2)
    assert len(lines.get_paths()) == 4  # two colours, two widths
    ends = np.concatenate([path.vertices for path in lines.get_paths()])
    assert sorted(ends[~np.isnan(ends[:, 1]), 1]) == sorted([*range(9)] * 2)
    assert sorted({*lines.get_linewidth()}) == pytest.approx([0.4, 2.0])


def test_a_name_keeps_its_look_where_a_panel_leaves_others_out() -> None:
    names = ["linear", "clipping", "orthogonal"]
    figure, axes = illustrations.panels(2)
    for ax, shown in zip(axes, (["linear", "orthogonal"], names), strict=True):
        curves = {name: [1.0, 2.0] for name in shown}
        illustrations.lines([0, 1], curves, x="step", y="value", among=names, ax=ax)
    looks = [
        {line.get_label(): (line.get_color(), line.get_linestyle(), line.get_marker())}
        for ax in drawn(figure).axes
        for line in ax.lines
        if line.get_label() == "orthogonal"
    ]
    assert len(looks) == 2 and looks[0] == looks[1]


def test_bars_of_a_plan_stand_beside_the_masses_that_are_required() -> None:
    a, b = np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.4])
    figure = drawn(illustrations.plan_view(np.outer(a, b) * 0.9, required=(a, b)))
    _, above, beside, corner = figure.axes
    assert [bar.get_height() for bar in above.patches] == pytest.approx(0.9 * b)
    assert [bar.get_width() for bar in beside.patches] == pytest.approx(0.9 * a)
    marks = above.collections[0].get_segments(), beside.collections[0].get_segments()
    assert [mark[0][1] for mark in marks[0]] == pytest.approx(b)
    assert [mark[0][0] for mark in marks[1]] == pytest.approx(a)
    assert [text.get_text() for text in corner.get_legend().get_texts()] == ["required\nsum"]


def test_matrices_share_a_scale_or_have_their_own() -> None:
    named = {"one": np.eye(3), "other": 5 * np.eye(3)}
    tops = [
        [ax.images[0].get_clim()[1] for ax in drawn(figure).axes if ax.images]
        for figure in (
            illustrations.matrices(named, bar="mass"),
            illustrations.matrices(named, bar=("mass", "cost")),
        )
    ]
    assert tops == [[5, 5], [1, 5]]


def test_a_legend_names_every_kind_of_line() -> None:
    line = np.linspace(-2, 2, 9)
    repeated = pd.DataFrame({"epoch": [0, 0, 1, 1], "arm": "kd", "value": [1.0, 3.0, 2.0, 6.0]})
    swapped = np.roll(LABELS, 4)
    for figure, names in (
        (figures.critic_1d(line, {"φ": line}, line, line), {"φ", "slopes +1 and −1"}),
        (figures.scores(PLAN, LABELS), {"congruent", "mean of a group"}),
        (figures.curves(repeated), {"kd", "± 1 std. deviation"}),
        (figures.transport_lines(CLOUD, CLOUD, PLAN), {"source", "target", "mass"}),
        (
            figures.transport_lines(CLOUD, CLOUD, PLAN, LABELS, swapped),
            {"mass, same class", "mass, other class"},
        ),
    ):
        legend = drawn(figure).axes[0].get_legend()
        assert names <= {text.get_text() for text in legend.get_texts()}


def test_levels_look_like_no_curve() -> None:
    names = [str(place) for place in range(len(illustrations.COLOURS))]
    figure = drawn(
        illustrations.lines(
            [0, 1], {name: [0, 1] for name in names}, x="x", y="y", levels={"exact": 1.0}
        )
    )
    colours = [line.get_color() for line in figure.axes[0].lines]
    assert len(set(colours)) == len(names) + 1


def test_intervals_are_filled_by_verdict_and_drawn_where_they_are_known() -> None:
    frame = pd.DataFrame(
        {
            "difference": [np.nan, 2.0, 1.0, 3.0],
            "low": [np.nan, -0.1, 0.2, np.nan],
            "high": [np.nan, 4.1, 1.8, np.nan],
            "verdict": ["", "better", "cannot be told apart", "no spread, cannot be judged"],
        },
        index=["crd", "costs $5 or $6", "wcord", "kd"],
    )
    ax = drawn(illustrations.intervals(frame, "crd")).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "kd",
        "wcord",
        r"costs \$5 or \$6",
    ]
    faces = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert [face == "#ffffff" for face in faces] == [True, True, False]


def test_a_stored_figure_is_the_same_text_each_time_and_keeps_its_words() -> None:
    def drawn_again() -> Figure:
        cloud = np.random.default_rng(1).normal(size=(3000, 2))
        curves = {"first": [0.005, 1.0, 2.0], "second": [3.0, 2.0, 0.12345]}
        figure = illustrations.lines([1, 2, 4], curves, x="epoch", y="loss", levels={"at 1.5": 1.5})
        figure.axes[0].scatter(*cloud.T, s=2, color="#0072b2")
        figure.axes[0].set_yticks([0.00512], ["0.00512"])
        return figure

    texts = [small_svg.svg(drawn_again()) for _ in range(2)]
    assert texts[0] == texts[1] and len(texts[0]) < 90_000
    assert all(f">{words}</text>" in texts[0] for words in ("first", "at 1.5", "epoch", "0.00512"))
    assert texts[0].count("<image") == 1  # the cloud; a few thousand marks are pixels
    assert not re.search(r'd="[^"]*\.\d{3}', texts[0])
    ElementTree.fromstring(texts[0])
