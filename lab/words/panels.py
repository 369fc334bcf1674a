"""The panels of the view, one record each: title, help, equation, numbers, notebook section.

How a panel is drawn is in `lab/viewer/NAME.js`, its printed figure in `lab.figures`, what to look
for now in `lab.words.hints`, its description for those who do not see it in
`lab.words.descriptions`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .vocabulary import GLOSSARY, METRICS


class Section(NamedTuple):
    """A section of a notebook, by file and heading."""

    notebook: str
    heading: str


class Panel(NamedTuple):
    """One panel.

    title: over the picture. help: how it is read. section: where it is derived. facts: metrics
    whose values stand below it. picks: how samples can be picked in it, in words.
    """

    title: str
    help: str
    section: Section | None = None
    facts: tuple[str, ...] = ()
    picks: str = ""


TRANSPORT = Section("03_entropic_transport.ipynb", "The problem")
DEPENDENCE = Section("04_dependence_and_gckt.ipynb", "The Wasserstein dependency measure")
FEATURES = Section("01_start_here.ipynb", "What the method looks at")
CURES = Section("05_lckt.ipynb", "What cures what")

PANELS = {
    "plan": Panel(
        "Transport plan",
        "Each row is a teacher sample, each column a student sample, both sorted by class; the "
        "stronger a cell, the more of a row's mass goes there.",
        TRANSPORT,
        ("same_class_mass", "diagonal_mass", "variance_ratio", "true_partner_mass"),
        "Click a row.",
    ),
    "scores": Panel(
        "Critic's scores",
        "Scores of matching pairs (teacher and student saw the same sample), of pairs of one class "
        "and of pairs of two classes. The further the groups lie apart, the more the student "
        "depends on the teacher. An arm without a critic shows cosines. Each tick below is a "
        "sample's own score.",
        DEPENDENCE,
        ("exact_iw", "certified_iw", "raw_iw"),
        "Click a tick, or draw a range.",
    ),
    "map": Panel(
        "Map of features",
        "Circles are samples as the teacher sees them, diamonds the same samples as the student "
        "sees them, laid out together. Only closeness means something; the numbers below are "
        "measured in full dimension. An arm without a projection gets a linear one, fitted for the "
        "picture.",
        FEATURES,
        ("feature_distance", "neighbour_overlap", "cka"),
        "Click a point, or draw a box.",
    ),
    "lines": Panel(
        "Plan as lines",
        "Teacher samples left, student samples right, joined by the plan's heaviest entries. A "
        "line has the colour of its teacher sample's class, and is dashed where it ends in another "
        "class.",
        TRANSPORT,
        ("plan_cost", "same_class_mass"),
        "Click a point.",
    ),
    "cosines": Panel(
        "Cosines of all pairs",
        "Cosine of teacher and student features, for matching pairs, pairs of one class and pairs "
        "of two classes. At 1 all features point one way.",
        DEPENDENCE,
        ("plan_cost",),
    ),
    "difference": Panel(
        "Difference of plans",
        "Share of each teacher sample's mass in A less the share in B. Orange: more of it in A; "
        "blue: more of it in B. Look at the squares of the classes: the side whose colour fills "
        "them keeps more mass in its class.",
        TRANSPORT,
        (),
        "Click a row.",
    ),
    "answers": Panel(
        "Who is right",
        "The same held-out samples, answered by both students. Only those on which just one of "
        "them is right tell the students apart.",
        Section("01_start_here.ipynb", "What you may conclude, and what not"),
    ),
    "accuracy": Panel(
        "Test accuracy",
        METRICS["test_accuracy"].meaning + " The thick curve is the arm that is shown.",
        Section("01_start_here.ipynb", "What you may conclude, and what not"),
    ),
    "losses": Panel(
        "Losses", "One curve an arm.", Section("06_wcord.ipynb", "One step by hand")
    ),
    "measures": Panel("Measures", "One curve an arm.", CURES),
    "card": Panel(
        "Sample",
        "What teacher and student see of the selected sample, who is nearest to it for each of "
        "them, where its mass goes, how the critic scores it, and what the student answered.",
        FEATURES,
    ),
}  # fmt: skip


def plain() -> dict[str, Any]:
    """Return panels, metrics and glossary as JSON, for the view."""
    return {
        "panels": {
            name: panel._asdict() | {"section": panel.section and panel.section._asdict()}
            for name, panel in PANELS.items()
        },
        "metrics": {name: metric._asdict() for name, metric in METRICS.items()},
        "glossary": GLOSSARY,
    }
