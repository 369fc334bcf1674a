"""The laboratory: change a setting of an arm, train it from the same start, compare the two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from wcord.runs.storage import StorageError

from ..control import arm_variants, page_parts, start_form
from ..control.arm_variants import Knob
from ..control.steering import PACES, TALK, pace_in_words
from ..reading import registry
from ..reading.watch import Watch
from ..words import literal

if TYPE_CHECKING:
    from wcord.settings.experiment import Experiment

GRID = (0.005, 0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)


def page() -> None:
    """Draw the page: which arm to begin from, its knobs, and the button that starts the new one."""
    page_parts.begin()
    st.markdown(
        "Change a setting and train the arm again, **paired** with the old one: same seed, same "
        "teacher, same batches in the same order, same first weights. What differs afterwards "
        "comes from what you changed."
    )
    if (chosen := choose()) is None:
        return
    watch, arm = chosen
    with st.spinner("Loading the settings…", show_time=False):
        try:
            experiment = watch.run.settings
            stood = arm_variants.settings_of(experiment, arm)
        except (ValueError, OSError) as error:
            page_parts.error(error)
            return
    turned = knobs(watch, arm, experiment, stood)
    begin(watch, arm, experiment, turned)


def choose() -> tuple[Watch, str] | None:
    """Show which run and arm to begin from; both are part of the address."""
    names = [row.name for row in registry.rows(registry.attached()) if not row.trouble]
    if not names:
        st.info("No run yet: start one on the live page.")
        return None
    name = st.query_params.get("run", "") or names[0]
    try:
        watch = registry.watch_of(registry.find(name))
    except ValueError as error:
        page_parts.error(error)
        return None
    options = names if name in names else [name, *names]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        run = st.selectbox("Begin from run", options, index=options.index(name), width=420)
        given = st.query_params.get("arm", "")
        first = given if given in watch.arms else _favourite(watch.arms)
        arm = st.selectbox("and arm", watch.arms, index=watch.arms.index(first), width=240)
    if (run, arm) != (name, first):
        st.query_params["run"], st.query_params["arm"] = run, arm
        st.rerun()
    return watch, arm


def _favourite(arms: list[str]) -> str:
    return "wcord" if "wcord" in arms else arms[-1]


def knobs(watch: Watch, arm: str, experiment: Experiment, stood: dict[str, Any]) -> dict[str, Any]:
    """Show the knobs, global term left and local term right; return where they stand now."""
    turned: dict[str, Any] = {}
    columns = dict(zip(("gckt", "lckt"), st.columns(2, gap="medium"), strict=True))
    titles = {
        "gckt": ("Global term, GCKT", "dual form: pays for dependence"),
        "lckt": ("Local term, LCKT", "primal form: cost of moving a batch"),
    }
    for term, column in columns.items():
        with column.container(border=True, height="stretch"):
            page_parts.title(*titles[term], "Where the arm has no such term, its weight is 0.")
            for knob in arm_variants.KNOBS:
                if knob.term == term:
                    absent = term not in experiment.arms[arm] and not turned.get(f"{term}.weight")
                    off = absent and knob.setting != "weight"
                    key = f"{knob.key}-{watch.run.name}-{arm}"
                    turned[knob.key] = control(knob, stood[knob.key], key, disabled=off)
    return turned


def control(knob: Knob, stood: Any, key: str, *, disabled: bool) -> Any:
    """Show one knob where the arm has it, and return where it stands now."""
    if knob.kind == "choice":
        known = arm_variants.options(knob)
        return st.selectbox(
            knob.label,
            known,
            index=known.index(stood),
            format_func=lambda value: arm_variants.VALUES.get(value, value),
            key=key,
            help=knob.words,
            disabled=disabled,
        )
    if knob.kind == "weight":
        return st.slider(
            knob.label,
            knob.least,
            max(knob.most, float(stood)),
            float(stood),
            step=0.05,
            key=key,
            help=knob.words,
            disabled=disabled,
        )
    grid = sorted({value for value in GRID if knob.least <= value <= knob.most} | {float(stood)})
    return st.select_slider(
        knob.label,
        grid,
        value=float(stood),
        format_func=lambda value: f"{value:g}",
        key=key,
        help=knob.words,
        disabled=disabled,
    )


def begin(watch: Watch, arm: str, experiment: Experiment, turned: dict[str, Any]) -> None:
    """Say what will be trained and what it costs, start it, and go on to compare the two."""
    new, problem = None, ""
    try:
        new = arm_variants.variant(experiment, arm, turned)
    except ValueError as error:
        problem = literal.markdown(str(error)[0].upper() + str(error)[1:])
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pace = st.select_slider(
            "Pace",
            PACES,
            value=TALK if experiment.data.source == "digits" else 0.0,
            format_func=pace_in_words,
            key="begin-pace",
            width=260,
        )
        pressed = st.button(
            "Train the paired arm, then compare",
            key="begin",
            type="primary",
            icon=":material/play_arrow:",
            disabled=new is None,
        )
    if new is None:
        (st.error if arm_variants.changed(experiment, arm, turned) else st.info)(problem)
        return
    name = next(iter(new.arms))
    shown = literal.markdown(name)
    st.markdown(f"New arm: **{shown}**, {experiment.epochs} epochs, seed {experiment.seed}.")
    try:
        start_form.show_cost(new, pace)
        if pressed:
            run, name = arm_variants.start(watch.run, arm, turned)
            if (
                steps := watch.run.status["total"] // experiment.epochs
            ):  # the new epochs are as long
                run.pace(pace / steps)
            old = registry.name_of(watch.run.path)
            st.switch_page(
                page_parts.page_named("compare"),
                query_params={"a": old, "arm_a": arm, "b": run.name, "arm_b": name},
            )
    except (ValueError, OSError, RuntimeError, StorageError) as error:
        page_parts.error(str(error).splitlines()[0])
