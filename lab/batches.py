"""A run's batch in the playground: its features to transport, their places to draw.

batches.link(watch.run.path, arm, step, page="playground")
batches.link(watch.run.path, arm, step, page="laboratory")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import streamlit as st
from numpy.typing import NDArray

from lab import address, panels, timeline
from lab.reading import registry
from lab.reading.layouts import Frame, pca
from lab.words import literal
from lab.words.class_names import ClassNames

Array = NDArray[Any]


TAKEN = "take"
LINKS = {
    "playground": ("This batch in the playground", "scatter_plot"),
    "laboratory": ("Change this arm in the laboratory", "science"),
}


class Batch(NamedTuple):
    """The probe batch of an arm at a step.

    teacher, student: features (n, d) that the arm's plan transports; labels (n,), class numbers;
    frame: their first two principal components, (n, 2) a side; epsilon: of the arm's plan; name:
    of run, arm and step; class_names: of the run.
    """

    teacher: Array
    student: Array
    labels: Array
    frame: Frame
    epsilon: float
    name: str
    class_names: ClassNames


def asked_for() -> bool:
    """Return whether the address names a run."""
    return bool(st.query_params.get("run"))


def link(path: Path, arm: str, step: int, *, page: Literal["playground", "laboratory"]) -> None:
    """Show a link that takes an arm of a run, as it is at a step, to another page.

    Streamlit takes out of such a link whatever the page it stands on has bound to the address,
    so arm and step travel under a name of their own, and `take_over` gives them back theirs.
    """
    label, icon = LINKS[page]
    st.page_link(
        f"lab/pages/{page}.py",
        label=label,
        icon=f":material/{icon}:",
        query_params={"run": registry.name_of(path), TAKEN: f"{arm}@{step}"},
    )


def take_over() -> None:
    """Take the arm and the step that a link brings, before their choosers are shown."""
    arm, at, step = st.query_params.get(TAKEN, "").rpartition("@")
    if at:
        del st.query_params[TAKEN]
        st.session_state["arm"] = arm
        if step.isdecimal() and step.isascii():
            timeline.ask(int(step))


def choose() -> Batch | None:
    """Show run, arm and step, each a part of the address; None where there is nothing to show."""
    names = [row.name for row in registry.rows(registry.attached()) if not row.trouble]
    name = st.query_params.get("run", "") or (names[0] if names else "")
    take_over()
    try:
        watch = registry.watch_of(registry.find(name))
    except ValueError as error:
        panels.error(error)
        return None
    _run_chooser(name, names if name in names else [name, *names])
    arm = arm_chooser("Arm", watch.arms)
    steps = watch.run.steps
    if not steps:
        st.info(f"No picture has been taken of {literal.markdown(name)} yet.")
        return None
    step = _step_chooser(steps)
    try:
        picture, labels = watch.picture(step, arm), watch.snapshot(step).labels
    except ValueError as error:
        panels.error(error)
        return None
    n = len(picture.plan)
    teacher, student = picture.teacher[:n], picture.student[:n]
    return Batch(
        teacher,
        student,
        labels[:n],
        pca(teacher, student),
        picture.values.get("epsilon", 0.05),
        f"{name}, {arm}, step {step}",
        watch.class_names,
    )


def arm_chooser(label: str, arms: list[str]) -> str:
    """Show the choice of an arm, part of the address as on the live page; forget a strange one."""
    if st.session_state.get("arm") not in arms:
        st.session_state.pop("arm", None)
    first = arms.index("wcord") if "wcord" in arms else len(arms) - 1
    return str(
        st.selectbox(label, arms, index=first, key="arm", bind="query-params", width="stretch")
    )


def _step_chooser(steps: list[int]) -> int:
    address.show(timeline.KEY)
    step = timeline.latest(steps, timeline.asked()) or steps[0]
    if len(steps) == 1:
        return step
    st.session_state["batch-step"] = step
    st.select_slider(
        "Step",
        steps,
        key="batch-step",
        on_change=lambda: timeline.ask(st.session_state["batch-step"]),
    )
    return step


def _run_chooser(shown: str, known: list[str]) -> None:
    def choose() -> None:
        st.query_params["run"] = st.session_state["batch-run"]

    st.session_state["batch-run"] = shown
    st.selectbox("Run", known, key="batch-run", on_change=choose)
