"""The compare page: two arms, of one run or of two, on the same samples, axes and step."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from lab import charts, differences, heat_maps, panels, timeline
from lab.control import exporting
from lab.echoes import moved
from lab.palette import Theme
from lab.reading import layouts, pairing, registry
from lab.reading.layouts import Frame
from lab.reading.pairing import PairedAccuracy, Side
from lab.words import descriptions, literal
from wcord.analysis import report

HEIGHT = 330
TICK = 0.5  # seconds between looks at runs that move
SIDES = ("a", "b")
Panel = Callable[[], None]


def page() -> None:
    """Draw the page: the two sides' choosers, time, and the part that ticks."""
    panels.begin()
    names = [row.name for row in registry.rows(registry.attached()) if not row.trouble]
    if not names:
        st.info("No run yet: start one on the live page.")
        return
    sides: list[Side | None] = []
    with st.container(horizontal=True, gap="large"):
        for key in SIDES:
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                sides.append(choose(key, names, sides))
    if any(side is None for side in sides):
        return
    a, b = (side for side in sides if side is not None)
    show(a, b)


def choose(key: str, names: list[str], before: list[Side | None]) -> Side | None:
    """Show the choosers of one side; the address is the truth. None where it cannot be read."""
    asked = st.query_params.get(key, "")
    first = before[0] if before else None
    fallback = registry.name_of(first.watch.run.path) if first else names[0]
    name = asked or fallback
    try:
        watch = registry.watch_of(registry.find(name))
    except ValueError as error:
        panels.error(error)
        if not asked:
            return None
        watch = registry.watch_of(registry.find(fallback))
        name = fallback
    options = names if name in names else [name, *names]
    _chooser(key, "run", options, name, width=330)
    taken = first.arm if first is not None and watch is first.watch else None
    arms = [arm for arm in watch.arms if arm != taken]
    arm_key = f"arm_{key}"
    wanted = st.query_params.get(arm_key, "")
    arm = wanted if wanted in watch.arms else _default(key, arms or watch.arms, first)
    _chooser(arm_key, "arm", watch.arms, arm, width=270)
    return Side(watch, arm)


def _chooser(part: str, what: str, options: list[str], chosen: str, *, width: int) -> None:
    """Show a choice that is a part of the address."""

    def take(name: str) -> None:
        st.query_params[part] = name

    label = f"{part[-1].upper()}: {what}"
    st.selectbox(label, options, width=width, **moved(part, chosen, taken=take))


def _default(key: str, arms: list[str], first: Side | None) -> str:
    """Return the arm to begin with: the lab's own against the plain baseline."""
    if first is not None and first.arm in arms:
        return first.arm
    wanted = "wcord" if key == "a" else "plain"
    return wanted if wanted in arms else arms[0]


def show(a: Side, b: Side) -> None:
    """Show two sides: time once, then the part that ticks while one of them trains."""
    rows = [registry.row(side.watch.run.path) for side in (a, b)]
    watches = (a.watch,) if a.watch is b.watch else (a.watch, b.watch)
    moving = any(row.moving for row in rows)
    timeline.controls(*watches, redraws=("pictures",), moving=moving)
    every = TICK if moving or timeline.is_playing() else None
    st.fragment(tick, run_every=every, key="pictures")(a, b, tuple(row.state for row in rows))


def tick(a: Side, b: Side, drawn_in: tuple[str, ...]) -> None:
    """Draw the comparison at the step shown, or say in one line why there is none."""
    rows = [registry.row(side.watch.run.path) for side in (a, b)]
    if tuple(row.state for row in rows) != drawn_in:
        st.rerun()
    if trouble := next((row.trouble for row in rows if row.trouble), ""):
        panels.error(trouble)
        return
    common = pairing.common_steps(a, b)
    step = timeline.latest(common, timeline.shown(a.watch, b.watch))
    if step is None:
        st.info(literal.markdown(_no_common_step(a, b)), icon=":material/hourglass_top:")
        return
    try:
        pairing.check_pairing(a, b, step)
        draw(a, b, step)
    except ValueError as error:
        panels.error(error)


def _no_common_step(a: Side, b: Side) -> str:
    for side in (a, b):
        if not side.watch.run.steps:
            return f"No picture has been taken of {side.watch.run.name} yet."
    return "The two runs have no picture of one step in common: choose runs of equal batch size."


def draw(a: Side, b: Side, step: int) -> None:
    """Lay out what was found in words, then A, B and their difference in three rows."""
    theme = panels.page_theme()
    verdict(a, b, step)
    for row in (plans, scores, maps):
        for column, panel in zip(st.columns(3, gap="small"), row(a, b, step, theme), strict=True):
            with column.container(border=True, height="stretch"):
                panel()


def verdict(a: Side, b: Side, step: int) -> None:
    """Say how the accuracies differ, sample by sample and over seeds, each with its interval."""
    paired = pairing.accuracy_of(a, b, step)
    with st.container(border=True):
        st.markdown(
            sentence(a, b, paired, step),
            help="Both students answer the same held-out samples, so only those count on which "
            "just one is right. The interval is exact (Clopper-Pearson) given how many there "
            "are, and agrees with McNemar's exact test. It speaks of these two trained "
            "students; other seeds may differ.",
        )
        st.markdown(
            seeds_sentence(a, b),
            help="Finished runs with the same settings but for the seed, found in the same "
            "folder; differences of test accuracy at the last epoch, paired by seed; the "
            "interval is Student's.",
        )


def sentence(a: Side, b: Side, paired: PairedAccuracy, step: int) -> str:
    """Return the paired accuracy of two students in words."""
    name_a, name_b = map(literal.markdown, pairing.names(a, b))
    n = paired.both + paired.only_a + paired.only_b + paired.neither
    apart = paired.only_a + paired.only_b
    if not (a.answers or b.answers):
        return (
            f"**{name_a}** and **{name_b}**: neither student was trained to answer, so their "
            "answers say nothing; compare plans and maps, or linear probes at the end."
        )
    if not apart:
        return f"**{name_a}** and **{name_b}** are right on the same of {n} held-out samples."
    return (
        f"**{name_a} less {name_b}: {signed(paired.difference)} points** of accuracy on the same "
        f"{n} held-out samples at step {step}; 95 % interval {signed(paired.low)} to "
        f"{signed(paired.high)}, from the {apart} samples that only one of them gets right: "
        f"{said(paired.verdict)}."
    )


def signed(points: float) -> str:
    """Return a difference with its sign, as people write it.

    >>> signed(-2.25), signed(0.04)
    ('−2.2', '+0.0')
    """
    return f"{points:+.1f}".replace("-", "−")


def said(verdict: str) -> str:
    """Return a verdict as the end of a sentence."""
    return f"A is {verdict}" if verdict in ("better", "worse") else verdict


def seeds_sentence(a: Side, b: Side) -> str:
    """Return in words how two arms differ over the seeds that both were finished with."""
    metric = "test_accuracy" if a.answers or b.answers else "linear_probe_accuracy"
    table = pairing.over_seeds(a, b, metric)
    if len(table) < 2:
        return (
            "Over seeds nothing is known: fewer than two finished runs differ from these in the "
            "seed alone."
        )
    found = report.compare(table, "b")["a"]
    interval = f", 95 % interval {signed(found.low)} to {signed(found.high)}"
    known = "" if pd.isna(found.low) else interval
    return (
        f"Over {len(table)} seeds: {signed(found.difference)} points of "
        f"{metric.replace('_', ' ')}{known}, correlation of the two "
        f"{panels.number(found.correlation).replace('-', '−')}: {said(found.verdict)}."
    )


def plans(a: Side, b: Side, step: int, theme: Theme) -> list[Panel]:
    """Return the panels of both plans and of their difference."""
    labels = a.watch.snapshot(step).labels[: len(a.watch.picture(step, a.arm).plan)]

    def plan(key: str, side: Side) -> None:
        panels.title("Plan", f"{key.upper()}, {side.arm}", PLAN)
        picture = side.watch.picture(step, side.arm)
        option = side.watch.kept(
            ("compared plan", step, side.arm, theme.name),
            lambda: heat_maps.plan_chart(picture.plan, labels, theme, names=a.watch.class_names),
        )
        words = descriptions.of_plan(picture.plan, labels)
        st.echarts_chart(option, height=HEIGHT, key=f"plan-{key}", alt=words)
        masses(side, step)

    def difference() -> None:
        panels.title("Difference of plans", "A − B", DIFFERENCE)
        plan_a, plan_b = (side.watch.picture(step, side.arm).plan for side in (a, b))
        moved = abs(differences.difference(plan_a, plan_b, labels)).sum() / 2 / len(labels)
        option = differences.difference_chart(plan_a, plan_b, labels, theme, a.watch.class_names)
        words = f"Difference of the plans: {100 * moved:.0f} % of the mass goes elsewhere."
        st.echarts_chart(option, height=HEIGHT, key="difference", alt=words)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            panels.facts(
                [
                    (
                        "mass that goes elsewhere",
                        f"{100 * moved:.0f} %",
                        "Half the sum of all differences: 0 where the plans are equal, 100 where "
                        "they share no entry.",
                    )
                ]
            )
            export = differences.export(a, b, step)
            exporting.popover(export, *dict.fromkeys((a.watch, b.watch)), key="difference")

    return [lambda: plan("a", a), lambda: plan("b", b), difference]


PLAN = (
    "Rows are teacher samples, columns student samples, both sorted by class; dark is where a "
    "row's mass goes. A and B show the same samples on the same scale."
)
DIFFERENCE = (
    "Share of each teacher sample's mass in A less the share in B. Orange: more of it in A; blue: "
    "more of it in B. Look for the squares of the classes: the side whose colour fills them keeps "
    "more mass in its class."
)


def masses(side: Side, step: int) -> None:
    """Show the masses that a plan keeps together, and what it costs."""
    values = side.watch.snapshot(step).values(side.arm)
    panels.facts(
        [
            ("in class", panels.number(values.get("same_class_mass")), "Share in the own class."),
            ("diagonal", panels.number(values.get("diagonal_mass")), "Share on the own sample."),
            ("cost ⟨P, C⟩", panels.number(values.get("plan_cost")), "What the plan costs."),
        ]
    )


def scores(a: Side, b: Side, step: int, theme: Theme) -> list[Panel]:
    """Return the panels of both critics' scores on the same axes, and who is right where."""
    pictures = [side.watch.picture(step, side.arm) for side in (a, b)]
    labels = a.watch.snapshot(step).labels[: len(pictures[0].scores)]
    critics = ["raw_iw" in side.watch.snapshot(step).values(side.arm) for side in (a, b)]
    limits = differences.shared_scores([p.scores for p in pictures], labels)

    def score(key: str, side: Side, place: int) -> None:
        kind = "Critic" if critics[place] else "Cosines: no critic"
        panels.title(kind, f"{key.upper()}, {side.arm}", SCORES)
        name = "critic's score g(teacher, student)" if critics[place] else "cosine of the pair"
        option = differences.still(
            charts.scores_chart(pictures[place].scores, labels, theme, name=name)
        )
        if critics[0] == critics[1]:
            option = differences.on_axes(option, *limits)
        words = descriptions.of_scores(pictures[place].scores, labels)
        st.echarts_chart(option, height=HEIGHT, key=f"scores-{key}", alt=words)

    def answers() -> None:
        paired = pairing.accuracy_of(a, b, step)
        panels.title("Who is right", f"{a.arm} and {b.arm}", ANSWERS)
        option = differences.answers_chart(paired, *pairing.names(a, b), theme)
        words = (
            f"Both right on {paired.both} samples, only A on {paired.only_a}, only B on "
            f"{paired.only_b}, neither on {paired.neither}."
        )
        st.echarts_chart(option, height=HEIGHT, key="answers", alt=words)

    return [lambda: score("a", a, 0), lambda: score("b", b, 1), answers]


SCORES = (
    "Scores of pairs of one sample, of one class, of two classes. Two critics share their axes, "
    "and so do two arms without one, which show cosines; a critic and cosines have no unit in "
    "common."
)
ANSWERS = (
    "The same held-out samples, answered by both students. Only the two middle bars tell the "
    "students apart; the interval above is made of them."
)


def maps(a: Side, b: Side, step: int, theme: Theme) -> list[Panel]:
    """Return the panels of both maps, turned onto one another, and the accuracies over time."""
    labels = a.watch.snapshot(step).labels
    frames, method = facing_maps(a, b, step)

    def drawn(key: str, side: Side, frame: Frame) -> None:
        panels.title("Map", f"{key.upper()}, {side.arm}, {method}", MAP)
        option = differences.still(
            charts.map_chart(frame, labels, theme, names=a.watch.class_names)
        )
        values = side.watch.snapshot(step).values(side.arm)
        words = descriptions.of_map(labels, values, method)
        st.echarts_chart(option, height=HEIGHT, key=f"map-{key}", alt=words)
        panels.facts(
            [
                (
                    "true distance",
                    panels.number(values.get("feature_distance")),
                    "Mean distance of a sample's teacher and student features.",
                ),
                (
                    "neighbours",
                    panels.number(values.get("neighbour_overlap")),
                    "Share of nearest neighbours that teacher and student agree on.",
                ),
                ("CKA", panels.number(values.get("cka")), "Linear, of raw features."),
            ]
        )

    def accuracy() -> None:
        panels.title("Test accuracy", "A and B", "At every look; the last epoch is what counts.")
        names = pairing.names(a, b)
        table = pd.concat(
            [
                side.watch.curves("test_accuracy")[1]
                .reindex(columns=["epoch", side.arm])
                .rename(columns={side.arm: name})
                .set_index("epoch")
                for side, name in zip((a, b), names, strict=True)
            ],
            axis=1,
        )
        table = table.sort_index().rename_axis("epoch").reset_index()
        option = charts.curves_chart(
            table,
            dict(zip(names, differences.colours(a, b), strict=True)),
            theme,
            name="test accuracy, %",
            percent=True,
            last=max(a.watch.epochs, b.watch.epochs),
        )
        words = descriptions.of_curves(table, "Test accuracy, %")
        st.echarts_chart(option, height=HEIGHT, key="accuracies", alt=words)

    return [lambda: drawn("a", a, frames[0]), lambda: drawn("b", b, frames[1]), accuracy]


MAP = (
    "Teacher circles and student diamonds of the same samples. B is turned onto A by the "
    "teacher's points, so that places compare. Only closeness means something; the numbers below "
    "are measured in full dimension."
)


def facing_maps(a: Side, b: Side, step: int) -> tuple[tuple[Frame, Frame], str]:
    """Return both maps, made in the same way, B turned onto A; and how they were made."""
    of_a, of_b = (side.watch.layout(step, side.arm) for side in (a, b))
    if of_a.method == of_b.method == "UMAP" and of_a.step == of_b.step:
        frames, method = (of_a.frame, of_b.frame), f"UMAP of step {of_a.step}"
    else:
        pictures = [side.watch.picture(step, side.arm) for side in (a, b)]
        one, other = (layouts.pca(p.teacher, p.student) for p in pictures)
        frames, method = (one, other), "PCA"
    return (frames[0], differences.facing(*frames)), method


page()
