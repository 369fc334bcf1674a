"""Choosing what to train and starting it: the live page's side panel, the editor of settings."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import streamlit as st

from wcord.runs import run_path

from ..reading import settings_text
from ..words import literal
from . import data_card, page_parts, run_time
from .steering import PACES, TALK, pace_in_words

if TYPE_CHECKING:
    from wcord.settings.experiment import Experiment

TICK = 0.5  # seconds between looks for what a run will take
IN_A_ROW = 4  # weights side by side
MONOSPACE = "<style>[class*=st-key-settings-] textarea{font-family:monospace}</style>"
SYMBOLS = {"gckt": "λ1 · GCKT", "lckt": "λ2 · LCKT", "ce": "CE", "kd": "KD", "crd": "CRD"}


@lru_cache(maxsize=32)
def preset(name: str) -> Experiment:
    """Return a preset's experiment, read once."""
    from wcord import load

    return load(name)


def weight_groups(experiment: Experiment) -> dict[str, list[tuple[str, str]]]:
    """Return the weights that can be set: a name, and the (arm, term) pairs that share it.

    Arms that have a term with the same weight are set together; a weight of 0 is a control and
    stays one, as does the cross-entropy.
    """
    groups: dict[tuple[str, float], list[tuple[str, str]]] = {}
    for arm, terms in experiment.arms.items():
        for term, settings in terms.items():
            if term != "ce" and settings.weight > 0:
                groups.setdefault((term, settings.weight), []).append((arm, term))
    named = {}
    for (term, _), members in groups.items():
        name = SYMBOLS.get(term, term)
        alone = sum(key[0] == term for key in groups) == 1
        arms = ", ".join(arm for arm, _ in members)
        named[name if alone else f"{name} in {arms}"] = members
    return named


def changed(
    experiment: Experiment,
    arms: list[str],
    weights: Mapping[str, float],
    others: Mapping[str, Any],
) -> Experiment:
    """Return the experiment with the arms chosen and the weights set, validated.

    Raises:
        ValueError: nothing is left to train, or a value is out of range, in one line.
    """
    if not arms:
        raise ValueError("choose at least one arm")
    groups = weight_groups(experiment)
    changes: dict[str, Any] = dict(others)
    for name, weight in weights.items():
        for arm, term in groups[name]:
            if arm in arms and weight != experiment.arms[arm][term].weight:
                changes[f"arms.{arm}.{term}.weight"] = weight
    for arm in experiment.arms:
        if arm not in arms:
            changes[f"arms.{arm}"] = None
    return experiment.replace(changes) if changes else experiment


def watched(experiment: Experiment) -> dict[str, Any]:
    """Return the changes that make a slowed run worth watching: a probe every epoch at least.

    Probes touch no number of training; at full speed the preset's thrift is kept.
    """
    probe = experiment.probe
    return {"probe.every": min(probe.every, 1.0), "probe.losses": max(probe.losses, 4)}


def dialog() -> None:
    """Open the form over the page."""

    @st.dialog("New run", width="large")
    def opened() -> None:
        with st.spinner("Loading torch; then a run can be started.", show_time=False):
            import wcord.training.launch  # noqa: F401
        form()

    opened()


def form() -> None:
    """Show the choices, what they will cost, and the button that starts a run."""
    from wcord import presets

    name = st.selectbox(
        "Preset",
        presets(),
        key="preset",
        help="A task, its arms and its weights. Some are broken on purpose, to learn from.",
    )
    experiment = preset(name)
    if experiment.description:
        st.caption(literal.markdown(experiment.description))
    data_card.offer(experiment)
    arms = st.pills(
        "Arms",
        list(experiment.arms),
        selection_mode="multi",
        default=list(experiment.arms),
        format_func=literal.markdown,
        key=f"arms-{name}",
        help="Students that are trained side by side on the same batches.",
    )
    weights = {}
    groups = weight_groups(experiment)
    shown = [label for label, members in groups.items() if any(arm in arms for arm, _ in members)]
    for number, label in enumerate(shown):
        if number % IN_A_ROW == 0:
            columns = st.columns(IN_A_ROW)
        members = groups[label]
        with columns[number % IN_A_ROW]:
            weights[label] = st.number_input(
                literal.markdown(label),
                value=float(experiment.arms[members[0][0]][members[0][1]].weight),
                step=0.05,
                format="%g",
                key=f"weight-{name}-{label}",
                help=literal.markdown(
                    f"Weight of this term in {', '.join(arm for arm, _ in members)}."
                ),
            )
    left, right, wide = st.columns([1, 1, 2])
    epochs = left.number_input("Epochs", value=experiment.epochs, step=1, key=f"epochs-{name}")
    seed = right.number_input("Seed", value=experiment.seed, step=1, key=f"seed-{name}")
    is_small = experiment.data.source == "digits"
    pace = wide.select_slider(
        "Pace",
        PACES,
        value=TALK if is_small else 0.0,
        format_func=pace_in_words,
        key=f"start-pace-{name}",
    )
    try:
        others = {"epochs": epochs, "seed": seed} | (watched(experiment) if pace else {})
        chosen = changed(experiment, arms, weights, others)
        show_cost(chosen, pace)
    except ValueError as error:
        page_parts.error(error)
        chosen = None
    if st.button(
        "Start",
        key="start",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=chosen is None,
    ):
        start(chosen, pace)
        st.rerun()
    if chosen is not None:
        with st.expander("The same on the command line"):
            st.code(settings_text.command(name, chosen), language="bash", wrap_lines=True)


def editor() -> None:
    """Show a settings file to edit or to upload, what is wrong with it, its command line, start."""
    with st.spinner("Loading…", show_time=False):
        from wcord import presets
        from wcord.settings.preset_files import preset_path
    st.html(MONOSPACE)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        name = str(
            st.selectbox("Begin with", presets(), key="base", bind="query-params", width=420)
        )
        with st.popover("Upload a settings file", icon=":material/upload_file:"):
            st.file_uploader(
                "A settings.yaml",
                type=["yaml", "yml"],
                key="uploaded",
                max_upload_size=1,
                on_change=_take_upload,
                args=(f"settings-{name}",),
            )
    text = st.text_area(
        "Settings (YAML). `extends` takes over everything that is not said here; dotted names "
        "change one setting.",
        preset_path(name).read_text("utf-8"),
        key=f"settings-{name}",
        height=420,
    )
    try:
        chosen = settings_text.read(text)
    except ValueError as error:
        page_parts.error(error)
        return
    terms = {arm: " + ".join(terms) for arm, terms in chosen.arms.items()}
    st.markdown(
        f":material/check: {chosen.epochs} epochs, {len(terms)} arms: "
        + ", ".join(f"**{literal.markdown(arm)}** ({text})" for arm, text in terms.items())
    )
    with st.container(horizontal=True, gap="small"):
        pressed = st.button(
            "Start", key="start-settings", type="primary", icon=":material/play_arrow:"
        )
        data_card.offer(chosen)
    st.caption("The same on the command line:")
    st.code(settings_text.command(name, chosen), language="bash", wrap_lines=True)
    if pressed:
        start(chosen, 0.0)
        if "trouble" in st.session_state:
            st.rerun()
        st.switch_page(page_parts.page_named("live"), query_params={"run": st.query_params["run"]})
    try:
        show_cost(chosen, 0.0)
    except ValueError as error:
        page_parts.error(error)


def _take_upload(key: str) -> None:
    """Put an uploaded file's text into the editor; what is no text is reported."""
    if (file := st.session_state.get("uploaded")) is None:
        return
    try:
        st.session_state[key] = file.getvalue().decode("utf-8")
    except UnicodeDecodeError:
        st.session_state["trouble"] = f"{file.name} is no text file: a YAML file was expected"


def cost(experiment: Experiment, pace: float) -> str | None:
    """Say what a run will take; None while its first steps are timed.

    Weights and seed change nothing, so they cost no new timing.

    Raises:
        ValueError: the run cannot be run.
    """
    from wcord.analysis.estimate import duration

    same = {f"arms.{arm}.{t}.weight": 1.0 for arm in experiment.arms for t in experiment.arms[arm]}
    plain = experiment.replace(same | {"seed": 0, "title": "", "description": ""})
    if (timed := run_time.stopwatch().ask(plain.yaml())) is None:
        return None
    slowed = max(timed.student_seconds, pace * experiment.epochs)
    teacher = f", and {duration(timed.teacher_seconds)} for a teacher that is not kept yet"
    return (
        f"About {duration(slowed)} for {timed.steps} steps{teacher}; "
        f"{timed.disk / 2**20:.0f} MB on disk."
    )


def show_cost(experiment: Experiment, pace: float) -> None:
    """Show what a run will take, now or as soon as it is known.

    Raises:
        ValueError: the run cannot be run.
    """
    if words := cost(experiment, pace):
        st.caption(words)
    else:
        st.fragment(_await_cost, run_every=TICK, key="cost")(experiment, pace)


def _await_cost(experiment: Experiment, pace: float) -> None:
    with suppress(ValueError):  # the page reports it
        if cost(experiment, pace) is None:
            st.caption(":material/timer: Timing a few steps…")
            return
    st.rerun()


def start(experiment: Experiment | None, pace: float, name: str | None = None) -> None:
    """Start a run and put its name into the address; a failure is shown by the next page.

    Args:
        experiment: what to train; None starts nothing.
        pace: seconds an epoch, 0 for full speed.
        name: of the run; made from the settings where None.
    """
    from wcord import launch

    if experiment is None:
        return
    try:
        run = launch(experiment, run_path(name) if name else None)
    except (ValueError, OSError, RuntimeError) as error:
        st.session_state["trouble"] = str(error).splitlines()[0]
        return
    if pace:
        st.session_state["pace_due"] = (run.name, pace)
    st.query_params["run"] = run.name
