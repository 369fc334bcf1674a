"""The panels of the live page: each puts one picture and its numbers where it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from lab import charts, describe, equations, maps, palette
from lab.palette import Theme
from lab.reading import Watch

HEIGHT = 340
NAMES = {
    "test_accuracy": "test accuracy, %",
    "held_out_accuracy": "held-out accuracy, %",
    "total": "total loss",
    "ce": "cross-entropy",
    "kd": "KD loss",
    "hint": "hint loss",
    "crd": "CRD loss",
    "gckt": "GCKT loss (global, dual)",
    "lckt": "LCKT loss (local, primal)",
}


class View(NamedTuple):
    """What is being looked at: a run, one of its arms, a step, on a light or dark page."""

    watch: Watch
    arm: str
    step: int
    theme: Theme

    @property
    def values(self) -> dict[str, float]:
        """The scalars of the arm at this step."""
        return self.watch.snapshot(self.step).values(self.arm)

    @property
    def batch_labels(self) -> Any:
        """Classes of the samples of plan and scores."""
        n = len(self.watch.picture(self.step, self.arm).plan)
        return self.watch.snapshot(self.step).labels[:n]

    def kept(self, what: str, make: Any) -> Any:
        """Return a chart made once for this view."""
        key = (what, self.step, self.arm, self.theme.name)
        return self.watch.kept(key, make)


def page_theme() -> Theme:
    """Return the theme that fits the page's background."""
    return palette.DARK if st.context.theme.type == "dark" else palette.LIGHT


def number(value: float | None, pattern: str = "{:.2f}") -> str:
    """Return a number for people; a dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else pattern.format(value)


def facts(shown: Sequence[tuple[str, str, str]]) -> None:
    """Show a row of numbers: name, value, and what it means."""
    with st.container(horizontal=True, gap="small"):
        for name, value, meaning in shown:
            st.metric(name, value, help=meaning, width="stretch")


def plan(view: View) -> None:
    """Show the transport plan of the probe batch and the masses that it keeps together."""
    st.markdown("**Transport plan** · where each teacher sample's mass goes")
    picture, labels = view.watch.picture(view.step, view.arm), view.batch_labels
    option, words = view.kept(
        "plan",
        lambda: (
            charts.plan_chart(picture.plan, labels, view.theme),
            describe.of_plan(picture.plan, labels),
        ),
    )
    st.echarts_chart(option, height=HEIGHT, key="plan", alt=words)
    values = view.values
    facts(
        [
            (
                "in its class",
                number(values.get("same_class_mass")),
                "Share of the plan's mass that joins samples of one class. One in the number of "
                "classes is chance; 1 is perfect.",
            ),
            (
                "on the diagonal",
                number(values.get("diagonal_mass")),
                "Share of the mass that joins a sample to itself.",
            ),
            (
                "variance ratio",
                number(values.get("variance_ratio")),
                "Variance within classes, student over teacher. Towards 0 the student has shrunk "
                "each class to a point, even where the plan looks perfect.",
            ),
        ]
    )


def scores(view: View) -> None:
    """Show the critic's scores by kind of pair, with the exact dependency and its bounds."""
    values = view.values
    has_critic = "raw_iw" in values
    what = "critic's scores" if has_critic else "cosines (this arm has no critic)"
    st.markdown(f"**Critic** · {what} of matching and other pairs")
    picture, labels = view.watch.picture(view.step, view.arm), view.batch_labels
    name = "critic's score g(teacher, student)" if has_critic else "cosine of the pair"
    option, words = view.kept(
        "scores",
        lambda: (
            charts.scores_chart(picture.scores, labels, view.theme, name=name),
            describe.of_scores(picture.scores, labels),
        ),
    )
    st.echarts_chart(option, height=HEIGHT, key="scores", alt=words)
    facts(
        [
            (
                "exact I_W",
                number(values.get("exact_iw"), "{:.3f}"),
                "Wasserstein dependency of 64 probe samples: the exact distance between matching "
                "pairs and all pairs, by linear programming.",
            ),
            (
                "certified ≥",
                number(values.get("certified_iw"), "{:.3f}"),
                "The critic's difference of means over its steepest slope on these pairs: a true "
                "lower bound of exact I_W.",
            ),
            (
                "raw value",
                number(values.get("raw_iw"), "{:.3f}"),
                "The critic's plain difference of means. It is no distance until it is divided "
                "by the critic's slope.",
            ),
        ]
    )


def joint_map(view: View, *, moving: bool) -> None:
    """Show the joint map of teacher and student features and the numbers it cannot flatter."""
    layout = view.watch.layout(view.step, view.arm)
    fitted = view.watch.picture(view.step, view.arm).fitted
    note = "features"
    if layout.method == "UMAP":
        note = f"UMAP of step {layout.step}"
    elif maps.is_working(view.watch.run.path):
        note = "PCA, while UMAP is compiling"
    else:
        note = "PCA"
    st.markdown(f"**Map** · {note}{' · fitted for the picture' if fitted else ''}")
    labels = view.watch.snapshot(view.step).labels
    key = ("map", layout.step, layout.method, view.arm, view.theme.name, moving)
    option = view.watch.kept(
        key, lambda: charts.map_chart(layout.frame, labels, view.theme, moving=moving)
    )
    words = describe.of_map(labels, view.values, layout.method)
    st.echarts_chart(option, height=HEIGHT, key="map", alt=words)
    values = view.values
    facts(
        [
            (
                "true distance",
                number(values.get("feature_distance")),
                "Mean distance of a sample's teacher and student features, in full dimension. A "
                "flat map shows no more gap long before this is small.",
            ),
            (
                "neighbours",
                number(values.get("neighbour_overlap")),
                "Share of a sample's nearest neighbours that teacher and student agree on.",
            ),
            (
                "CKA",
                number(values.get("cka")),
                "Linear centred kernel alignment of raw features: 1 where they are equal up to "
                "rotation and scale.",
            ),
        ]
    )


def curves(view: View, name: str, key: str) -> None:
    """Show one metric of every arm over the epochs, the chosen arm drawn thicker."""
    title = NAMES.get(name, name.replace("_", " "))
    st.markdown(f"**{title[0].upper()}{title[1:]}**")
    version, table = view.watch.curves(name)
    colours = palette.arm_colours(view.watch.arms)
    percent = name.endswith("accuracy")
    option = view.watch.kept(
        ("chart", name, version, view.arm, view.theme.name),
        lambda: charts.curves_chart(
            table, colours, view.theme, name=title, percent=percent, bold=view.arm
        ),
    )
    st.echarts_chart(option, height=HEIGHT, key=key, alt=describe.of_curves(table, title))


def objective(view: View) -> None:
    """Show the arm's objective as an equation with the live value of every symbol."""
    st.markdown(f"**Objective** of *{view.arm}* · with its values now")
    for line in equations.objective(view.watch.terms(view.arm), view.values):
        st.latex(line)
    st.caption(equations.in_words(view.watch.terms(view.arm)))
