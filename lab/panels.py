"""The panels of the live page: each puts one picture and its numbers where it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from lab import charts, describe, equations, heat_maps, maps, palette
from lab.palette import Theme
from lab.reading import Watch

HEIGHT = 340
# The theme has no setting for the margins beside the page, which pictures need more.
WIDE = "<style>[data-testid=stMainBlockContainer]{padding-left:2rem;padding-right:2rem}</style>"
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
    "same_class_mass": "mass that stays in its class",
    "diagonal_mass": "mass on the diagonal",
    "variance_ratio": "within-class variance, student / teacher",
    "plan_cost": "transport cost ⟨P, C⟩",
    "exact_iw": "exact dependency I_W",
    "certified_iw": "certified bound of I_W",
    "raw_iw": "critic's difference of means",
    "feature_distance": "mean feature distance",
    "neighbour_overlap": "neighbour overlap",
    "cka": "linear CKA",
}
MEASURES = tuple(NAMES)[list(NAMES).index("same_class_mass") :]
MEANINGS = {
    "test_accuracy": "Share of the test set that each student gets right. It is reported, never "
    "used to choose; the thick curve is the arm chosen above.",
    "same_class_mass": "Look for arms whose transport cost is equal while this is not.",
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


def title(name: str, note: str, what: str) -> None:
    """Show a panel's name, a short note, and what to look for behind a question mark."""
    st.markdown(f"**{name}** · {note}" if note else f"**{name}**", help=what)


def plan(view: View) -> None:
    """Show the transport plan of the probe batch and the masses that it keeps together."""
    title(
        "Transport plan",
        view.arm,
        "Each row is a teacher sample, each column a student sample, both sorted by class; dark "
        "is where a row's mass goes. Look for mass inside the squares on the diagonal: samples "
        "that are carried onto their own class.",
    )
    picture, labels = view.watch.picture(view.step, view.arm), view.batch_labels
    option, words = view.kept(
        "plan",
        lambda: (
            heat_maps.plan_chart(picture.plan, labels, view.theme),
            describe.of_plan(picture.plan, labels),
        ),
    )
    st.echarts_chart(option, height=HEIGHT, key="plan", alt=words)
    values = view.values
    facts(
        [
            (
                "in class",
                number(values.get("same_class_mass")),
                "Share of the plan's mass that joins samples of one class. One in the number of "
                "classes is chance; 1 is perfect.",
            ),
            (
                "diagonal",
                number(values.get("diagonal_mass")),
                "Share of the mass that joins a sample to itself.",
            ),
            (
                "variance ×",
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
    title(
        "Critic" if has_critic else "Cosines: no critic",
        view.arm,
        "Scores of congruent pairs (teacher and student saw the same sample), of pairs of one "
        "class and of pairs of two classes. The further the groups lie apart, the more the "
        "student depends on the teacher. An arm without a critic shows cosines.",
    )
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
    title(
        "Map",
        f"{note}{', fitted for the picture' if fitted else ''}",
        "Teacher circles and student diamonds of the same samples, laid out together. Only "
        "closeness means something; the numbers below are measured in full dimension. An arm "
        "without a projection gets a linear one, fitted for the picture.",
    )
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


def curves(watch: Watch, arm: str, name: str, theme: Theme, key: str) -> None:
    """Show one metric of every arm over the epochs, the chosen arm drawn thicker."""
    words = NAMES.get(name, name.replace("_", " "))
    title(words[0].upper() + words[1:], "", MEANINGS.get(name, "One curve an arm."))
    version, table = watch.curves(name)
    option = watch.kept(
        ("chart", name, version, arm, theme.name),
        lambda: charts.curves_chart(
            table,
            palette.arm_colours(watch.arms),
            theme,
            name=words,
            percent=name.endswith("accuracy"),
            bold=arm,
            last=watch.epochs,
        ),
    )
    st.echarts_chart(option, height=HEIGHT, key=key, alt=describe.of_curves(table, words))


def objective(view: View) -> None:
    """Show the arm's objective as an equation with the live value of every symbol."""
    lines = equations.objective(view.watch.terms(view.arm), view.values)
    with st.container(horizontal=True, horizontal_alignment="distribute", gap="large"):
        for line in lines:
            st.latex(line.latex, help=line.words, width="content")
