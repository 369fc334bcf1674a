"""A critic that learns while one watches, beside the exact answer: a panel of the playground."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from lab import cloud_charts, heat_maps
from lab.panels import facts, number, page_theme, title
from lab.reading.shapes import SIDE
from lab.transporting import ExactDistance, exact_distance, line_of
from wcord.transport import CloudCritic

Array = NDArray[Any]

NAMES = {
    "spectral_groupsort": "spectral norm + GroupSort",
    "spectral_relu": "spectral norm + ReLU",
    "orthogonal": "orthogonal + GroupSort",
    "gradient_penalty": "gradient penalty",
    "clipping": "weight clipping",
    "linear": "linear",
}
LONGEST = 2000  # steps of a critic
TICK = 0.3  # seconds between looks
BUDGET = 0.12  # seconds of training a look
HEIGHT = 380
CELLS = 48


def critic_of(source: Array, target: Array, constraint: str, again: int) -> CloudCritic:
    """Return this session's critic of two clouds; other clouds or another constraint begin anew."""
    key = (source.tobytes(), target.tobytes(), source.shape, constraint, again)
    kept = st.session_state.get("critic")
    if kept is None or kept[0] != key:
        kept = (key, CloudCritic(torch.from_numpy(source), torch.from_numpy(target), constraint))
        # Kept in one piece: a newer run of the page may interrupt this one anywhere.
        st.session_state["critic"] = kept
    return kept[1]


def learn(critic: CloudCritic, budget: float = BUDGET) -> None:
    """Take steps for about `budget` seconds, ten at a time, and look once."""
    end = time.monotonic() + budget
    while critic.steps < LONGEST and time.monotonic() < end:
        critic.step(min(10, LONGEST - critic.steps))
    critic.fit()


def panel(source: Array, target: Array) -> None:
    """Show the constraint chooser, then a critic that learns in the part that ticks.

    Args:
        source: points (n, d) with d = 1 or 2.
        target: points (m, d).
    """
    st.subheader("The dual form: a critic learns")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        constraint = st.selectbox(
            "What keeps the critic's slope at most 1",
            list(NAMES),
            format_func=lambda name: NAMES[name],
            key="constraint",
            bind="query-params",
            width=340,
        )
        learning = st.toggle("Learn", key="learn", help="Let the critic take steps.")
        st.button("Begin anew", key="again-button", icon=":material/replay:", on_click=_again)
    critic = critic_of(source, target, constraint, int(st.session_state.get("again", 0)))
    best = exact_distance(source, target)
    moving = learning and critic.steps < LONGEST
    st.fragment(_tick, run_every=TICK if moving else None)(critic, best, moving)


def _again() -> None:
    st.session_state["again"] = int(st.session_state.get("again", 0)) + 1


def _tick(critic: CloudCritic, best: ExactDistance, moving: bool) -> None:
    if moving:
        learn(critic)
    left, right = st.columns(2, gap="small")
    with left.container(border=True, height="stretch"):
        landscape(critic, best)
    with right.container(border=True, height="stretch"):
        progress(critic, best)
    if moving and critic.steps >= LONGEST:
        st.rerun()


def landscape(critic: CloudCritic, best: ExactDistance) -> None:
    """Show the critic as a function: on a line beside the best one, in the plane as a map."""
    source, target = critic.x.numpy(), critic.y.numpy()
    theme = page_theme()
    if source.shape[1] == 1:
        title(
            "Critic on the line",
            "high on the source, low on the target",
            "The best critic rises and falls with slope ±1 wherever mass must cross. The dashed "
            "guides touch the critic and have slope exactly ±1. Both curves are centred.",
        )
        across = line_of(source, target)
        learnt = critic.scores(torch.from_numpy(across)).numpy()
        ideal = best.critic(across)
        learnt, ideal = learnt - learnt.mean(), ideal - ideal.mean()
        option = cloud_charts.potentials_chart(
            across[:, 0],
            {"critic g": learnt, "best critic": ideal},
            source,
            target,
            theme,
            name="g(x)",
            slopes=slope_guides(across[:, 0], learnt, ideal),
        )
        words = "The critic over the line, beside the best critic, with guides of slope ±1."
    else:
        title(
            "Critic over the plane",
            "high on the source, low on the target",
            "The colour is the height of g; the scale runs from its lowest to its highest value.",
        )
        line = np.linspace(-SIDE, SIDE, CELLS)
        across, up = np.meshgrid(line, line)
        points = torch.from_numpy(np.stack([across.ravel(), up.ravel()], 1))
        field = critic.scores(points).numpy().reshape(CELLS, CELLS)
        option = heat_maps.field_chart(field, source, target, theme, reach=SIDE)
        words = f"The critic's height over the plane, from {field.min():.2f} to {field.max():.2f}."
    st.echarts_chart(option, height=HEIGHT, key="landscape", alt=words)


def slope_guides(across: Array, learnt: Array, ideal: Array) -> list[tuple[float, float, float]]:
    """Return guides (x, y, slope) that touch the learnt critic, with the best critic's slope."""
    slopes = np.sign(np.gradient(ideal, across))
    chosen = [int(place * (len(across) - 1)) for place in (0.25, 0.5, 0.75)]
    return [(float(across[at]), float(learnt[at]), float(slopes[at])) for at in chosen]


def progress(critic: CloudCritic, best: ExactDistance) -> None:
    """Show the critic's raw value and certified bound over its steps, under the exact W1."""
    title(
        "Distance it has found",
        f"step {critic.steps} of {LONGEST}",
        "The raw value is no bound: a critic that is too steep passes the exact distance. Divided "
        "by its steepest slope between the clouds it is certified, and never passes it.",
    )
    fit = critic.fit()
    steps = [step for step, _ in fit.history]
    option = cloud_charts.progress_chart(
        steps,
        [look.raw for _, look in fit.history],
        [look.bound for _, look in fit.history],
        best.value,
        page_theme(),
    )
    words = (
        f"After {critic.steps} steps the raw value is {fit.raw:.3f}, the certified bound "
        f"{fit.bound:.3f}, the exact distance {best.value:.3f}."
    )
    st.echarts_chart(option, height=HEIGHT - 90, key="progress", alt=words)
    facts(
        [
            ("exact W1", number(best.value, "{:.3f}"), "By linear programming."),
            ("certified ≥", number(fit.bound, "{:.3f}"), "Raw value over steepest slope."),
            ("raw value", number(fit.raw, "{:.3f}"), "Difference of the critic's means."),
            ("slope", number(fit.slope, "{:.2f}"), "Steepest between the two clouds."),
        ]
    )
