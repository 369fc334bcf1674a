"""The live page: start a run, steer it, and watch every panel move.

The page only reads the run directory and writes its control.json; training is another process,
which goes on when the browser is closed.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

import lab
from lab import maps, panels, starting, steering, timeline
from lab.panels import View
from lab.reading import Watch
from wcord.runs import find_run, list_runs

DEMO = Path(lab.__file__).parent / "demo"
TICK = 0.5  # seconds between looks at a run that moves
WAITING = 2.0  # seconds between looks while only a map is awaited


@st.cache_resource(max_entries=16, show_spinner=False)
def watch_of(path: str, made: float) -> Watch:
    """Return the one watch of a run; `made` tells a new run from an old one of the same name."""
    return Watch(Path(path))


def demo_runs() -> dict[str, Path]:
    """Return the finished runs that ship with the project, by the name shown."""
    return {f"demo: {path.parent.name}": path.parent for path in DEMO.glob("*/settings.yaml")}


def chosen_run() -> Path | None:
    """Return the run that the address names, else the newest, else the demo."""
    asked = st.query_params.get("run", "")
    demos = demo_runs()
    if asked in demos:
        return demos[asked]
    if asked:
        try:
            return find_run(asked).path
        except ValueError as error:
            st.error(str(error))
    newest = list_runs()
    return newest[0].path if newest else next(iter(demos.values()), None)


def run_chooser(current: Path | None) -> None:
    """Let another run be looked at; the choice is part of the address."""
    names = [run.name for run in list_runs()[:100]] + list(demo_runs())
    shown = "" if current is None else current.name
    if current is not None and DEMO in current.parents:
        shown = f"demo: {shown}"
    if not names:
        return
    # The address is the truth: the widget follows it, and changes it when somebody chooses.
    st.session_state["run"] = shown if shown in names else names[0]

    def choose() -> None:
        st.query_params["run"] = st.session_state["run"]

    st.selectbox("Run", names, key="run", on_change=choose)


def favourite(arms: list[str]) -> str:
    """Return the arm to show first: the one the lab is about, else the first of the settings."""
    return "wcord" if "wcord" in arms else arms[0]


def choose(name: str, options: list[str], default: str, label: str) -> str:
    """Show a choice that is part of the address; what another run does not have is forgotten."""
    if st.session_state.get(name) not in options:
        st.session_state.pop(name, None)
    chosen = st.segmented_control(
        label, options, default=default, required=True, key=name, bind="query-params"
    )
    return str(chosen)


def choose_curves(watch: Watch) -> tuple[str, str]:
    """Show which loss and which measure are drawn as curves; return both."""
    losses = ["total", *dict.fromkeys(term for arm in watch.arms for term in watch.terms(arm))]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        loss = choose("loss", losses, "total", "Loss drawn for every arm")
        measure = st.selectbox(
            "Measure drawn for every arm",
            panels.MEASURES,
            format_func=lambda name: panels.NAMES[name],
            key="measure",
            bind="query-params",
            width=330,
        )
    return loss, str(measure)


def tick(watch: Watch, arm: str, drawn_in: str) -> None:
    """Read the run and draw its pictures; ask for a whole new page when its state has changed."""
    status = watch.run.status
    if steering.phase(status) != drawn_in:
        st.rerun()
    steering.keep_promised_pace(watch, status)
    share = min(max(status["step"] / status["total"], 0.0), 1.0) if status["total"] else 0.0
    epoch = f" · epoch {status['epoch']:.1f} of {watch.epochs}" if status["total"] else ""
    st.progress(share, text=f"{status.sentence}{epoch}")
    if status["error"]:
        st.error(status["error"])
    step = timeline.shown(watch)
    if step is None:
        st.info(waiting(status["state"]), icon=":material/hourglass_top:")
        return
    try:
        draw(View(watch, arm, step, panels.page_theme()), moving=drawn_in == "running")
    except ValueError as error:
        st.error(str(error))


def tick_curves(watch: Watch, arm: str, curves: tuple[str, str]) -> None:
    """Draw accuracy, the loss and the measure chosen, of every arm."""
    theme = panels.page_theme()
    names = (("accuracy", "test_accuracy"), ("losses", curves[0]), ("measures", curves[1]))
    for column, (key, name) in zip(st.columns(3, gap="small"), names, strict=True):
        with column.container(border=True):
            panels.curves(watch, arm, name, theme, key=key)


def waiting(state: str) -> str:
    """Say what happens before the first picture."""
    return {
        "starting": "The trainer is starting; importing torch takes a few seconds.",
        "training-teacher": "The teacher is being trained. It is kept for later runs.",
    }.get(state, "No picture has been taken yet.")


def draw(view: View, *, moving: bool) -> None:
    """Lay out the equation and the three pictures."""
    with st.container(border=True):
        panels.objective(view)
    columns = st.columns(3, gap="small")
    with columns[0].container(border=True, height="stretch"):
        panels.plan(view)
    with columns[1].container(border=True, height="stretch"):
        panels.scores(view)
    with columns[2].container(border=True, height="stretch"):
        panels.joint_map(view, moving=moving)


def tick_every(watch: Watch, phase: str) -> float | None:
    """Return how often to look: not at all once nothing can change any more."""
    if phase in ("preparing", "running", "paused") or timeline.is_playing():
        return TICK
    return WAITING if maps.is_working(watch.run.path) else None


def page() -> None:
    """Draw the page; what needs torch comes last, so that the run is seen first."""
    st.html(panels.WIDE)
    side = st.sidebar.container()
    if trouble := st.session_state.pop("trouble", None):
        st.error(trouble)
    path = chosen_run()
    with side:
        run_chooser(path)
    if path is None:
        st.info("No run yet: choose a preset on the left and press Start.")
    else:
        try:
            watch = watch_of(str(path), (path / "settings.yaml").stat().st_mtime)
        except (ValueError, OSError) as error:
            st.error(str(error))
        else:
            show(watch, is_demo=DEMO in path.parents)
    with st.sidebar:
        starting.panel()


def show(watch: Watch, *, is_demo: bool) -> None:
    """Show one run: its controls, the choosers, and the part that ticks."""
    status = watch.run.status
    phase = steering.phase(status)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        arm = choose("arm", watch.arms, favourite(watch.arms), "Arm, in every panel")
        steering.controls(watch, status, steerable=not is_demo)
    if not is_demo and not maps.all_drawn(watch.run, watch.arms):
        maps.want(watch.run.path, arm)
        if not maps.is_working(watch.run.path):
            maps.start(watch.run.path)
    every = tick_every(watch, phase)
    timeline.controls(watch, redraws=("pictures",), moving=phase == "running")
    st.fragment(tick, run_every=every, key="pictures")(watch, arm, phase)
    if watch.newest_step() is not None:
        curves = choose_curves(watch)
        st.fragment(tick_curves, run_every=every, key="curves")(watch, arm, curves)


page()
