"""The guided tour: failures of the local term, their cures, and when transport helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st

from lab import charts, differences, heat_maps, joined, palette, panels, timeline
from lab.control.steering import TALK, attempt, keep_promised_pace
from lab.course import notebook_section
from lab.course.tour_stops import PHASES, STOPS, Stop, experiment, place, run_name
from lab.options import Option
from lab.palette import Theme
from lab.pictures import NAMES
from lab.reading import registry
from lab.reading.registry import Row
from lab.reading.watch import Watch
from lab.words import descriptions, literal
from wcord.runs import Run, run_path
from wcord.runs.storage import StorageError

HEIGHT = 320
TICK = 0.5  # seconds between looks at a run that moves
TITLES = {"plan": "Transport plan", "cosines": "Cosines", "map": "Map", "lines": "Plan as lines"}
PREDICT, WATCH, EXPLAIN, CURE = range(len(PHASES))
Chart = Callable[[Watch, str, int, Theme], tuple[Option, str]]


def page() -> None:
    """Draw the page: where one is, then as much of the stop as this phase shows."""
    panels.begin()
    number, phase = where()
    stop = STOPS[number]
    signposts(number, phase)
    st.markdown(f"#### {stop.title}\n\n{stop.setting}")
    if phase >= EXPLAIN:
        st.markdown(answer(stop))
    else:
        guess(stop)
    if phase == PREDICT:
        return
    if (row := run_of(stop)) is not None and not row.trouble and row.state != "starting":
        watch = registry.watch_of(row.path)
        arms = stop.cured if phase >= CURE else stop.watched
        moving = row.moving
        timeline.controls(watch, redraws=("pictures",), moving=moving)
        every = TICK if moving or timeline.is_playing() else None
        st.fragment(tick, run_every=every, key="pictures")(watch, stop, arms, row.state)
    elif row is not None and not row.trouble:
        st.info("The trainer is starting.", icon=":material/hourglass_top:")
        st.fragment(_again_when_it_moves, run_every=TICK)(row)
    if phase >= EXPLAIN:
        explanation(stop, phase)


def where() -> tuple[int, int]:
    """Return the stop and the phase that the address names, the first ones where it does not."""
    keys = [stop.key for stop in STOPS]
    asked, said = st.query_params.get("stop", ""), st.query_params.get("phase", "")
    phases = [phase.lower() for phase in PHASES]
    return (
        keys.index(asked) if asked in keys else 0,
        phases.index(said.lower()) if said.lower() in phases else 0,
    )


def go(number: int, phase: int) -> None:
    """Put a stop and a phase into the address; a new stop begins at its newest picture."""
    if STOPS[number].key != st.query_params.get("stop", STOPS[0].key):
        timeline.ask(None)
    st.query_params["stop"] = STOPS[number].key
    st.query_params["phase"] = PHASES[phase].lower()


def signposts(number: int, phase: int) -> None:
    """Show back, the stops, the phases, next; the arrow keys go back and on."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for label, step, key, icon in (
            ("Back", -1, "Left", "arrow_back"),
            ("Next", 1, "Right", "arrow_forward"),
        ):
            st.button(
                label,
                key=label.lower(),
                icon=f":material/{icon}:",
                type="primary" if step > 0 else "secondary",
                shortcut=key,
                disabled=place(number, phase, step) == (number, phase),
                on_click=go,
                args=place(number, phase, step),
            )
        # Buttons: in a row of radio buttons the arrow keys would go from one to the next.
        for there, stop in enumerate(STOPS):
            is_here = there == number
            label = f"{there + 1} · {stop.title}"
            post(label, f"stop-{stop.key}", (there, phase if is_here else PREDICT), is_here)
        st.markdown(":gray[|]", width="content")
        for there, label in enumerate(PHASES):
            post(label, f"phase-{label.lower()}", (number, there), there == phase)


def post(label: str, key: str, target: tuple[int, int], is_here: bool) -> None:
    """Show one signpost; the one where one stands has a frame."""
    kind: Literal["secondary", "tertiary"] = "secondary" if is_here else "tertiary"
    st.button(label, key=key, type=kind, on_click=go, args=target)


def guess(stop: Stop) -> None:
    """Show the question and take a prediction; it can be changed until all is explained."""
    st.markdown(f"**Predict.** {stop.question}")

    def predict(said: str) -> None:
        st.session_state[f"said-{stop.key}"] = said

    made = st.session_state.get(f"said-{stop.key}")
    with st.container(horizontal=True, gap="small"):
        for number, said in enumerate(stop.answers):
            icon = "radio_button_checked" if said == made else "radio_button_unchecked"
            st.button(
                said,
                key=f"guess-{stop.key}-{number}",
                icon=f":material/{icon}:",
                on_click=predict,
                args=(said,),
            )


def answer(stop: Stop) -> str:
    """Return what was asked, what was predicted, and what happens."""
    made, right = st.session_state.get(f"said-{stop.key}"), stop.answers[stop.right]
    if made is None:
        return f"{stop.question} **{right[0].upper()}{right[1:]}.**"
    if made == right:
        return f"{stop.question} You predicted it: **{right}.**"
    return f"{stop.question} You predicted “{made}”; what happens: **{right}.**"


def run_of(stop: Stop) -> Row | None:
    """Return the run of a stop, with a button that starts or resumes it; None where there is none.

    A run that an earlier visit has started is used again.
    """
    path = run_path(run_name(stop))
    if not path.exists():
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            st.button(
                "Start the run",
                key="start-stop",
                type="primary",
                icon=":material/play_arrow:",
                on_click=start,
                args=(stop,),
            )
            st.caption(
                f"Trains the preset {stop.preset}, an epoch a second: {len(stop.cured)} arms or "
                "more side by side, under a minute and a half. It is kept for later visits."
            )
        return None
    row = registry.row(path)
    if row.trouble:
        panels.error(f"{row.name}: {row.trouble}. Delete it on the page of runs, then start again.")
    elif row.resumable:
        st.warning(literal.markdown(row.sentence))
        st.button(
            "Resume",
            key="resume-stop",
            icon=":material/play_arrow:",
            on_click=attempt,
            args=(lambda: _relaunch(row),),
        )
    return row


def start(stop: Stop) -> None:
    """Start the run of a stop at the pace of a talk; one that somebody else just began is used."""
    from wcord import launch

    path = run_path(run_name(stop))
    try:
        launch(experiment(stop), path)
    except (ValueError, OSError, RuntimeError, StorageError) as error:
        if not path.exists():
            st.session_state["trouble"] = str(error).splitlines()[0]
        return
    st.session_state["pace_due"] = (path.name, TALK)


def _relaunch(row: Row) -> None:
    from wcord import relaunch

    relaunch(Run(row.path))


def _again_when_it_moves(row: Row) -> None:
    if registry.row(row.path).state != row.state:
        st.rerun()


def tick(watch: Watch, stop: Stop, arms: Sequence[str], drawn_in: str) -> None:
    """Draw the stop's pictures at the step shown, and say what to look for now."""
    row = registry.row(watch.run.path)
    if row.state != drawn_in:
        st.rerun()
    status = watch.run.status
    keep_promised_pace(watch, status)
    if row.moving:
        st.progress(row.share, text=literal.markdown(status.sentence))
    step = timeline.shown(watch)
    if step is None:
        st.info("No picture has been taken yet.", icon=":material/hourglass_top:")
        return
    try:
        steps = steps_of(watch, stop, arms, step, finished=row.state == "finished")
        first = watch.snapshot(watch.run.steps[0]).values(arms[0])
        now = watch.snapshot(steps[arms[0]]).values(arms[0])
        st.markdown(f"**Look now.** {stop.look(first, now)}")
        draw(watch, stop, steps)
    except ValueError as error:
        panels.error(error)


def steps_of(
    watch: Watch, stop: Stop, arms: Sequence[str], step: int, *, finished: bool
) -> dict[str, int]:
    """Return the step at which each arm is shown: of lines, where their costs are equal."""
    if "lines" in stop.pictures and finished and timeline.asked() is None:
        from lab.figures.same_cost import same_cost_steps

        equal = watch.kept("same cost", lambda: same_cost_steps(watch.run))
        return {arm: equal[arm] for arm in arms}
    return dict.fromkeys(arms, step)


def draw(watch: Watch, stop: Stop, steps: dict[str, int]) -> None:
    """Lay out the pictures of the arms, then their curves: in one row, or in two where many."""
    theme = panels.page_theme()
    kinds = stop.pictures if len(steps) == 1 else stop.pictures[:1]
    pictures = [(kind, arm) for arm in steps for kind in kinds]
    if len(pictures) + len(stop.curves) > 4:
        rows = [st.columns(len(pictures), gap="small"), st.columns(len(stop.curves), gap="small")]
        columns = [column for row in rows for column in row]
    else:
        columns = st.columns(len(pictures) + len(stop.curves), gap="small")
    for column, (kind, arm) in zip(columns, pictures, strict=False):
        with column.container(border=True, height="stretch"):
            step = steps[arm]
            st.markdown(f"**{TITLES[kind]}** · {literal.markdown(arm)}, step {step}")
            option, words = CHARTS[kind](watch, arm, step, theme)
            st.echarts_chart(option, height=HEIGHT, key=f"{kind}-{arm}", alt=words)
    for column, metric in zip(columns[len(pictures) :], stop.curves, strict=True):
        with column.container(border=True, height="stretch"):
            name = NAMES[metric]
            st.markdown(f"**{name[0].upper()}{name[1:]}**")
            curves(watch, [*steps, *stop.beside], metric, theme)


def curves(watch: Watch, arms: list[str], metric: str, theme: Theme) -> None:
    """Draw one measure of the arms shown, over the epochs of the whole run."""
    _, table = watch.curves(metric)
    table = table[["epoch", *(arm for arm in arms if arm in table)]]
    colours = {
        arm: theme.lit(palette.ARMS.get(arm, COLOURS[place % len(COLOURS)]))
        for place, arm in enumerate(arms)
    }
    name = NAMES[metric]
    option = charts.curves_chart(table, colours, theme, name=name, bold=arms[0], last=watch.epochs)
    if metric != "test_accuracy":
        top = {"max": 1} if metric == "same_class_mass" else {}
        option["yAxis"] = option["yAxis"] | {"min": 0, "scale": False} | top
    st.echarts_chart(
        option, height=HEIGHT, key=f"curve-{metric}", alt=descriptions.of_curves(table, name)
    )


# failing, cured, control, where an arm has no colour of its own
COLOURS = (palette.TARGET, palette.EXACT, palette.SOURCE)


def plan_picture(watch: Watch, arm: str, step: int, theme: Theme) -> tuple[Option, str]:
    """Return the heat map of an arm's plan, and its words."""
    plan = watch.picture(step, arm).plan
    labels = watch.snapshot(step).labels[: len(plan)]
    option = heat_maps.plan_chart(plan, labels, theme, names=watch.class_names)
    return option, descriptions.of_plan(plan, labels)


def cosines_picture(watch: Watch, arm: str, step: int, theme: Theme) -> tuple[Option, str]:
    """Return the histogram of the cosines of all pairs, and its words."""
    cosines = 1 - watch.picture(step, arm).cost
    labels = watch.snapshot(step).labels[: len(cosines)]
    option = differences.still(
        charts.scores_chart(cosines, labels, theme, name="cosine of the pair")
    )
    option["xAxis"] = option["xAxis"] | {"min": -1, "max": 1, "scale": False}
    return option, descriptions.of_scores(cosines, labels)


def map_picture(watch: Watch, arm: str, step: int, theme: Theme) -> tuple[Option, str]:
    """Return the joint map of an arm, and its words."""
    snapshot, layout = watch.snapshot(step), watch.layout(step, arm)
    words = descriptions.of_map(snapshot.labels, snapshot.values(arm), layout.method)
    option = charts.map_chart(layout.frame, snapshot.labels, theme, names=watch.class_names)
    return differences.still(option), words


def lines_picture(watch: Watch, arm: str, step: int, theme: Theme) -> tuple[Option, str]:
    """Return teacher and student joined by the plan's heaviest entries, and its words."""
    plan = watch.picture(step, arm).plan
    labels = watch.snapshot(step).labels[: len(plan)]
    frame = watch.layout(step, arm).frame
    return joined.joined_chart(frame, plan, labels, theme), descriptions.of_plan(plan, labels)


CHARTS: dict[str, Chart] = {
    "plan": plan_picture,
    "cosines": cosines_picture,
    "map": map_picture,
    "lines": lines_picture,
}


def explanation(stop: Stop, phase: int) -> None:
    """Show why it happens, what cures it, and the way to the notebook that derives both."""
    with st.container(border=True):
        st.markdown(stop.explanation)
        if phase >= CURE:
            st.markdown(f"**The cure.** {stop.cure}")
        if st.button(
            "Why: the notebook's section",
            key="why",
            icon=":material/menu_book:",
            type="tertiary",
            help=f"The section “{stop.section.heading}” of notebooks/{stop.section.notebook}",
        ):
            notebook_section.show(stop.section)


page()
