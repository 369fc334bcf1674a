"""The panels of the live page: what each draws, says and explains.

A new panel is one entry of `PANELS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from lab import charts, heat_maps, palette, selection
from lab.course.notebook_section import Section
from lab.options import Option
from lab.panels import Fact, Panel, View, number
from lab.reading import map_worker
from lab.reading.arrange import entropy, plan_masses
from lab.words import descriptions, equations, hints
from lab.words.equations import Line
from lab.words.literal import markdown

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
    "true_partner_mass": "wrong pairs: mass at the true partner",
    "wrong_partner_mass": "wrong pairs: mass at the wrong partner",
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
    "true_partner_mass": "The probe's samples get wrong partners as in a training batch, and an "
    "entropic plan is computed for every arm, also for arms that train without one. This is the "
    "share of a wrong pair's mass that the plan gives to the true partner.",
    "wrong_partner_mass": "The probe's samples get wrong partners as in a training batch, and an "
    "entropic plan is computed for every arm, also for arms that train without one. This is the "
    "share of a wrong pair's mass that the plan gives to the wrong partner.",
}


def _fact(view: View, name: str, key: str, meaning: str, pattern: str = "{:.2f}") -> Fact:
    return Fact(name, number(view.values.get(key), pattern), meaning)


def plan_picture(view: View) -> tuple[Option, str]:
    """Return the heat map of the probe batch's plan, and its words."""
    picture, labels = view.watch.picture(view.step, view.arm), view.batch_labels
    return view.kept(
        "plan",
        lambda: (
            heat_maps.plan_chart(
                picture.plan,
                labels,
                view.theme,
                selected=view.selected,
                names=view.watch.class_names,
            ),
            descriptions.of_plan(picture.plan, labels),
        ),
    )


def plan_look(view: View) -> str:
    """Say what to look for in the plan."""
    labels = view.batch_labels
    chance, _ = plan_masses(np.ones((len(labels), len(labels))), labels)
    return hints.at_plan(view.values, chance)


def plan_facts(view: View) -> list[Fact]:
    """Return what of the mass is kept together, and the trap beside it."""
    recovered = _fact(view, "true partner", "true_partner_mass", MEANINGS["true_partner_mass"])
    return [
        _fact(
            view,
            "in class",
            "same_class_mass",
            "Share of the plan's mass that joins samples of one class. One in the number of "
            "classes is chance; 1 is perfect.",
        ),
        _fact(
            view, "diagonal", "diagonal_mass", "Share of the mass that joins a sample to itself."
        ),
        _fact(
            view,
            "variance ×",
            "variance_ratio",
            "Variance within classes, student over teacher. Towards 0 the student has shrunk "
            "each class to a point, even where the plan looks perfect.",
        ),
        *([recovered] if "true_partner_mass" in view.values else []),
    ]


def plan_equation(view: View) -> Line:
    """Return the primal form with its values."""
    plan = view.watch.picture(view.step, view.arm).plan
    return equations.transport(view.values, view.kept("entropy", lambda: entropy(plan)))


def scores_picture(view: View) -> tuple[Option, str]:
    """Return the histograms of the critic's scores, and their words."""
    picture, labels = view.watch.picture(view.step, view.arm), view.batch_labels
    has_critic = "raw_iw" in view.values
    name = "critic's score g(teacher, student)" if has_critic else "cosine of the pair"
    return view.kept(
        "scores",
        lambda: (
            charts.scores_chart(
                picture.scores, labels, view.theme, name=name, selected=view.selected
            ),
            descriptions.of_scores(picture.scores, labels),
        ),
    )


def scores_facts(view: View) -> list[Fact]:
    """Return the exact dependency and what the critic says of it."""
    return [
        _fact(
            view,
            "exact I_W",
            "exact_iw",
            "Wasserstein dependency of a few dozen probe samples: the exact distance between "
            "matching pairs and all pairs, by linear programming.",
            "{:.3f}",
        ),
        _fact(
            view,
            "certified ≥",
            "certified_iw",
            "The critic's difference of means over its steepest slope on these pairs: a true "
            "lower bound of exact I_W.",
            "{:.3f}",
        ),
        _fact(
            view,
            "raw value",
            "raw_iw",
            "The critic's plain difference of means. It is no distance until it is divided "
            "by the critic's slope.",
            "{:.3f}",
        ),
    ]


def map_title(view: View) -> str:
    """Return the map's title: how it was laid out, and of which step."""
    layout = view.watch.layout(view.step, view.arm)
    note = "PCA"
    if layout.method == "UMAP":
        note = f"UMAP of step {layout.step}"
    elif map_worker.is_working(view.watch.run.path):
        note = "PCA, while UMAP is compiling"
    fitted = view.watch.picture(view.step, view.arm).fitted
    return f"**Map** · {note}{', fitted for the picture' if fitted else ''}"


def map_picture(view: View) -> tuple[Option, str]:
    """Return the joint map of teacher and student features, and its words."""
    layout = view.watch.layout(view.step, view.arm)
    labels = view.watch.snapshot(view.step).labels
    option = view.kept(
        ("map", layout.step, layout.method),
        lambda: charts.map_chart(
            layout.frame,
            labels,
            view.theme,
            moving=view.moving,
            selected=view.selected,
            names=view.watch.class_names,
        ),
    )
    return option, descriptions.of_map(labels, view.values, layout.method)


def map_facts(view: View) -> list[Fact]:
    """Return the numbers that the map cannot flatter."""
    return [
        _fact(
            view,
            "true distance",
            "feature_distance",
            "Mean distance of a sample's teacher and student features, in full dimension. A "
            "flat map shows no more gap long before this is small.",
        ),
        _fact(
            view,
            "neighbours",
            "neighbour_overlap",
            "Share of a sample's nearest neighbours that teacher and student agree on.",
        ),
        _fact(
            view,
            "CKA",
            "cka",
            "Linear centred kernel alignment of raw features: 1 where they are equal up to "
            "rotation and scale.",
        ),
    ]


def _metric(view: View, panel: str) -> str:
    return {"accuracy": "test_accuracy", "losses": view.loss, "measures": view.measure}[panel]


def _words(name: str) -> str:
    return NAMES.get(name, name.replace("_", " "))


def curve_title(view: View, panel: str) -> str:
    """Return the title of a panel of curves."""
    words = _words(_metric(view, panel))
    return f"**{words[0].upper()}{words[1:]}**"


def curve_picture(view: View, panel: str) -> tuple[Option, str]:
    """Return one metric of every arm over the epochs, and its words."""
    name = _metric(view, panel)
    version, table = view.watch.curves(name)
    option = view.kept(
        ("curves", name, version),
        lambda: charts.curves_chart(
            table,
            palette.arm_colours(view.watch.arms),
            view.theme,
            name=_words(name),
            percent=name.endswith("accuracy"),
            bold=view.arm,
            last=view.watch.epochs,
            at=None if view.follow else view.watch.snapshot(view.step).epoch,
        ),
    )
    return option, descriptions.of_curves(table, _words(name))


def curve_equation(view: View, panel: str) -> Line:
    """Return what a curve measures, with the value of the arm chosen at the step shown."""
    name = _metric(view, panel)
    value = view.watch.value_at(view.arm, name, view.step)
    return Line(equations.curve(name, value), MEANINGS.get(name, _words(name)))


def curve_look(view: View, panel: str) -> str:
    """Say where the curve of the arm chosen goes."""
    name = _metric(view, panel)
    return hints.at_curve(view.watch.curves(name)[1], view.arm, _words(name))


def objective(view: View) -> Line:
    """Return the arm's objective with the live value of every symbol."""
    return equations.objective(view.watch.terms(view.arm), view.values)


def _curves(name: str, help: str, section: Section) -> Panel:
    of: dict[str, Callable[..., object]] = {
        "title": curve_title,
        "picture": curve_picture,
        "equation": curve_equation,
        "look": curve_look,
    }
    parts = {part: partial(function, panel=name) for part, function in of.items()}
    return Panel(name, help=help, why=section, **parts)  # type: ignore[arg-type]


PANELS = {
    panel.name: panel
    for panel in (
        Panel(
            "plan",
            lambda view: f"**Transport plan** · {markdown(view.arm)}",
            "Each row is a teacher sample, each column a student sample, both sorted by class; "
            "dark is where a row's mass goes. Click a row to follow its sample.",
            Section("03_entropic_transport.ipynb", "The problem"),
            plan_picture,
            plan_equation,
            plan_look,
            plan_facts,
            lambda view: partial(selection.in_plan, labels=view.batch_labels),
        ),
        Panel(
            "scores",
            lambda view: (
                f"**{'Critic' if 'raw_iw' in view.values else 'Cosines: no critic'}** · "
                f"{markdown(view.arm)}"
            ),
            "Scores of congruent pairs (teacher and student saw the same sample), of pairs of one "
            "class and of pairs of two classes. The further the groups lie apart, the more the "
            "student depends on the teacher. An arm without a critic shows cosines. Click a tick "
            "below to follow its sample.",
            Section("04_dependence_and_gckt.ipynb", "The Wasserstein dependency measure"),
            scores_picture,
            lambda view: equations.dependency(view.values),
            lambda view: hints.at_scores(view.values),
            scores_facts,
            lambda view: partial(
                selection.in_scores, scores=view.watch.picture(view.step, view.arm).scores
            ),
        ),
        Panel(
            "map",
            map_title,
            "Teacher circles and student diamonds of the same samples, laid out together. Only "
            "closeness means something; the numbers below are measured in full dimension. An arm "
            "without a projection gets a linear one, fitted for the picture.",
            Section("01_start_here.ipynb", "What the method looks at"),
            map_picture,
            lambda view: equations.distance(
                view.values, len(view.watch.snapshot(view.step).labels)
            ),
            lambda view: hints.at_map(view.values),
            map_facts,
            lambda view: selection.in_map,
        ),
        _curves(
            "accuracy",
            MEANINGS["test_accuracy"],
            Section("01_start_here.ipynb", "What you may conclude, and what not"),
        ),
        _curves("losses", "One curve an arm.", Section("06_wcord.ipynb", "One step by hand")),
        _curves(
            "measures",
            "One curve an arm. " + MEANINGS["same_class_mass"],
            Section("05_lckt.ipynb", "What cures what"),
        ),
    )
}
