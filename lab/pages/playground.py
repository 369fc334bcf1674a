"""The transport playground: two clouds, a plan between them, a critic; no training of networks.

The clouds are drawn by hand, or are the batch of a run: `?run=NAME&arm=ARM&step=STEP`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from lab import batches, cloud_charts, drawing, heat_maps, joined, panels
from lab.batches import Batch
from lab.options import Option
from lab.palette import Theme
from lab.reading.arrange import heaviest, plan_masses
from lab.reading.shapes import SIDE
from lab.words import descriptions

if TYPE_CHECKING:
    from lab.transporting import Solved  # torch is imported once the page stands

EPSILONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ITERATIONS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
HEIGHT = 430
BATCH = "a run's batch"
LIFT = 1.2  # how far apart the clouds of the line are drawn


def choose_space() -> str:
    """Show where the clouds come from: drawn in the plane, on a line, or the batch of a run."""
    st.subheader("Two clouds")
    if "space" not in st.session_state and "space" not in st.query_params and batches.asked_for():
        st.session_state["space"] = BATCH
    return str(
        st.segmented_control(
            "Space",
            ["plane", "line", BATCH],
            default="plane",
            required=True,
            key="space",
            bind="query-params",
        )
    )


def choices(*, flat: bool) -> tuple[int, int]:
    """Show the choices of the clouds; return their size and the seed."""
    count = st.slider("Points in each", 2, 64, 24, key="points", bind="query-params")
    for cloud in drawing.CLOUDS:
        drawing.cloud_controls(cloud, flat=flat)
    seed = st.number_input("Seed", 0, 9999, 0, key="cloud-seed", bind="query-params")
    return int(count), int(seed)


def solver_choices(batch: Batch | None = None) -> tuple[str, str, float, int]:
    """Show cost, solver, ε and iterations in a row; return the four.

    A batch begins with the cost and the ε of its run's own plan.
    """
    from lab.transporting import COSTS, SOLVERS

    costs, mark = list(COSTS), "" if batch is None else "-batch"
    first = min(EPSILONS, key=lambda e: abs(e - (0.1 if batch is None else batch.epsilon)))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        cost = st.selectbox(
            "Cost C",
            costs,
            index=0 if batch is None else costs.index("1 − cosine"),
            key=f"cost{mark}",
            bind="query-params",
            width=200,
        )
        solver = st.segmented_control(
            "Solver",
            list(SOLVERS),
            default="sinkhorn",
            required=True,
            key="solver",
            bind="query-params",
        )
        epsilon = st.select_slider(
            "β, strength of a step" if solver == "ipot" else "ε, strength of the entropy",
            EPSILONS,
            value=first,
            key=f"epsilon{mark}",
            disabled=solver == "exact",
            bind="query-params",
            width=280,
        )
        iterations = st.select_slider(
            "Iterations",
            ITERATIONS,
            value=100,
            key="iterations",
            disabled=solver == "exact",
            bind="query-params",
            width=280,
        )
    return str(cost), str(solver), float(epsilon), int(iterations)


def numbers(solved: Solved) -> None:
    """Show value, exact value, bias and marginal error in one row."""
    panels.facts(
        [
            ("cost ⟨P, C⟩", f"{solved.value:.4f}", "What moving the mass by this plan costs."),
            ("exact cost", f"{solved.exact_value:.4f}", "The least possible, by network simplex."),
            (
                "bias",
                f"{solved.bias:+.4f}",
                "Plan's cost less the exact one. It grows with ε; below 0 the plan does not have "
                "the right marginals yet.",
            ),
            (
                "marginal error",
                f"{solved.marginal_error:.1e}",
                "How much mass sits at the wrong source point (L1). It falls with iterations.",
            ),
            (
                "objective",
                f"{solved.objective:.4f}",
                "⟨P, C⟩ − ε·H(P), what Sinkhorn minimises; its gradient in C is the plan.",
            ),
        ]
    )


def cloud_picture(source: np.ndarray, target: np.ndarray, plan: np.ndarray, *, flat: bool) -> None:
    """Show the clouds and the lines of the plan; on the plane, clicks add and remove points."""
    lines = heaviest(plan)
    theme = panels.page_theme()
    words = descriptions.of_lines(float(plan.sum()), len(lines.rows), lines.covered)
    panels.title(
        "Clouds and plan",
        f"{100 * lines.covered:.0f} % of mass drawn",
        "Lines are the heaviest entries of the plan; thick means that most of a source point's "
        "mass goes there.",
    )
    if flat:
        up, down = (
            np.stack([p[:, 0], np.full(len(p), s * LIFT)], 1)
            for p, s in ((source, 1), (target, -1))
        )
        option = cloud_charts.lines_chart(up, down, lines, theme, reach=SIDE)
        st.echarts_chart(option, height=HEIGHT, key="clouds", alt=words)
        st.caption("On the line the source is drawn above and the target below.")
        return
    option = cloud_charts.lines_chart(source, target, lines, theme, reach=SIDE, net=drawing.NET)
    key = f"clouds-{drawing.edits()}"
    clouds = {"source": source, "target": target}

    def click() -> None:
        selected = st.session_state[key]["selection"]["selected"]
        drawing.clicked(selected, clouds, st.session_state.get("adding") or "")

    st.echarts_chart(option, height=HEIGHT, key=key, alt=words, on_select=click)
    st.segmented_control(
        "A click on the plane adds a point to the",
        drawing.CLOUDS,
        default="source",
        required=True,
        key="adding",
        help="A click on a point removes it.",
    )


def potential_picture(
    source: np.ndarray,
    target: np.ndarray,
    solved: Solved,
    *,
    flat: bool,
) -> None:
    """Show the potentials: over the line as functions, in the plane against the exact ones."""
    theme = panels.page_theme()
    option: Option
    if flat:
        panels.title(
            "Potentials f and g",
            "over the line",
            "plan = exp((f + g − C)/ε): prices of taking mass up at x and putting it down at y.",
        )
        option = on_the_line(source[:, 0], target[:, 0], solved, theme)
        words = "The potentials f over the source's points and g over the target's."
    else:
        panels.title(
            "Potentials f and g",
            "against the exact ones",
            "plan = exp((f + g − C)/ε). As ε falls the entropic potentials approach a solution "
            "of the exact dual; where that has several solutions, they pick one.",
        )
        option = cloud_charts.agreement_chart(
            {"f, source": (solved.exact_f, solved.f), "g, target": (solved.exact_g, solved.g)},
            theme,
        )
        words = "Entropic potentials against exact ones; equal ones lie on the diagonal."
    st.echarts_chart(option, height=HEIGHT, key=f"potentials-{flat}", alt=words)


def on_the_line(x: np.ndarray, y: np.ndarray, solved: Solved, theme: Theme) -> Option:
    """Return the chart of potentials over a line, interpolated between the points."""
    from lab.transporting import line_of

    across = line_of(x, y)[:, 0]
    functions = {}
    for name, places, values in (("f", x, solved.f), ("g", y, solved.g)):
        order = np.argsort(places)
        functions[name] = np.interp(across, places[order], values[order], left=np.nan, right=np.nan)
    return cloud_charts.potentials_chart(
        across, functions, x, y, theme, name="potential, units of cost"
    )


def page() -> None:
    """Draw the page: choices at the side, the primal form above, the dual form below."""
    panels.begin()
    with st.sidebar:
        space = choose_space()
    if space == BATCH:
        with st.sidebar:
            batch = batches.choose()
        if batch is not None:
            of_batch(batch)
        return
    with st.sidebar:
        count, seed = choices(flat=space == "line")
    of_clouds(count, seed, flat=space == "line")


def load() -> None:
    """Import what solves, with a word for who waits."""
    with st.spinner("Loading the solvers…", show_time=False):
        import lab.critics
        import lab.transporting  # noqa: F401


def of_clouds(count: int, seed: int, *, flat: bool) -> None:
    """Show the clouds that were drawn, and everything about them."""
    load()
    from lab import critics
    from lab.transporting import solve

    source, target = (drawing.points_of(cloud, count, seed, flat=flat) for cloud in drawing.CLOUDS)
    st.subheader("The primal form: a plan carries one cloud onto the other")
    cost, solver, epsilon, iterations = solver_choices()
    used = slice(0, 1) if flat else slice(0, 2)
    try:
        solved = solve(source[:, used], target[:, used], cost, solver, epsilon, iterations)
    except ValueError as error:
        panels.error(error)
        return
    numbers(solved)
    columns = st.columns(3, gap="small")
    with columns[0].container(border=True, height="stretch"):
        cloud_picture(source, target, solved.plan, flat=flat)
    with columns[1].container(border=True, height="stretch"):
        panels.title(
            "Plan P",
            "source rows, target columns",
            "Dark is where a source point's mass goes; each row is divided by its sum.",
        )
        option = heat_maps.cloud_plan_chart(solved.plan, panels.page_theme())
        shape = " by ".join(str(size) for size in solved.plan.shape)
        st.echarts_chart(option, height=HEIGHT, key="cloud-plan", alt=f"The plan, {shape} points.")
    with columns[2].container(border=True, height="stretch"):
        potential_picture(source, target, solved, flat=flat)
    critics.panel(source[:, used], target[:, used])
    with st.expander("Edit the points as tables"):
        for column, cloud, points in zip(
            st.columns(2), drawing.CLOUDS, (source, target), strict=True
        ):
            with column:
                drawing.table(cloud, points, flat=flat)


def of_batch(batch: Batch) -> None:
    """Show transport of a run's batch: solved in full dimension, drawn in two."""
    load()
    from lab import critics
    from lab.transporting import solve

    st.subheader("The primal form: a plan carries the teacher's features onto the student's")
    cost, solver, epsilon, iterations = solver_choices(batch)
    try:
        solved = solve(batch.teacher, batch.student, cost, solver, epsilon, iterations)
    except ValueError as error:
        panels.error(error)
        return
    numbers(solved)
    theme = panels.page_theme()
    words = descriptions.of_plan(solved.plan, batch.labels)
    same, diagonal = plan_masses(solved.plan, batch.labels)
    columns = st.columns(3, gap="small")
    with columns[0].container(border=True, height="stretch"):
        panels.title(
            "Teacher and student",
            batch.name,
            "Teacher samples left, student samples right, at their first two principal "
            "components; the plan is solved in full dimension. Lines have the colour of the "
            "teacher sample's class, and are dashed where they end in another one.",
        )
        option = joined.joined_chart(batch.frame, solved.plan, batch.labels, theme)
        st.echarts_chart(option, height=HEIGHT, key="batch-lines", alt=words)
    with columns[1].container(border=True, height="stretch"):
        panels.title(
            "Plan P",
            f"in class {same:.2f}, diagonal {diagonal:.2f}",
            "Both sides sorted by class. At the run's own cost and ε, with enough iterations, it "
            "is the plan of the live page.",
        )
        option = heat_maps.plan_chart(solved.plan, batch.labels, theme, names=batch.class_names)
        st.echarts_chart(option, height=HEIGHT, key="batch-plan", alt=words)
    with columns[2].container(border=True, height="stretch"):
        potential_picture(batch.teacher, batch.student, solved, flat=False)
    st.caption("The critic below learns on the two principal components, not in full dimension.")
    critics.panel(batch.frame.teacher, batch.frame.student)


page()
