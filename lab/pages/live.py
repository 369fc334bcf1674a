"""The live page: start a run, steer it, scrub through its time, and follow samples through it.

The page only reads the run directory and writes its control.json; training is another process,
which goes on when the browser is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from lab import address, panels, presenting, sample, selection, timeline
from lab.control import data_card, exporting, start_form, steering
from lab.control.warm_up import is_loaded
from lab.echoes import moved
from lab.panels import Place, View
from lab.pictures import MEASURES, NAMES, PANELS, objective
from lab.reading import map_worker, registry
from lab.reading.watch import Watch
from lab.words import literal
from wcord.runs import list_runs

TICK = 0.5  # seconds between looks at a run that moves
WAITING = 2.0  # seconds between looks while only a map is awaited
MOST = 100  # runs to choose from here; the page of runs has them all
LIT = ["pictures", "pick"]  # what is drawn anew when time or the selection changes


def chosen_run() -> Path | None:
    """Return the run that the address names, else the newest, else the demo."""
    if asked := st.query_params.get("run", ""):
        try:
            return registry.find(asked)
        except ValueError as error:
            panels.error(error)
    newest = list_runs()
    return newest[0].path if newest else next(iter(registry.demo_runs().values()), None)


def run_chooser(current: Path | None) -> None:
    """Let another run be looked at; the choice is part of the address."""
    names = [run.name for run in list_runs()[:MOST]]
    names += [*registry.attached(), *registry.demo_runs()]
    shown = "" if current is None else registry.name_of(current)
    if shown and shown not in names:
        names.append(shown)
    if not names:
        return

    def take(name: str) -> None:
        st.query_params["run"] = name
        timeline.ask(None)
        selection.choose([])

    # The address is the truth: the widget follows it, and changes it when somebody chooses.
    st.selectbox("Run", names, **moved("run", shown or names[0], taken=take))


def favourite(arms: list[str]) -> str:
    """Return the arm to show first: the one the lab is about, else the first of the settings."""
    return "wcord" if "wcord" in arms else arms[0]


def asked(name: str, options: Sequence[str]) -> str | None:
    """Return the option that the address names: as it is written, or as Streamlit binds it."""
    wanted = st.query_params.get(name, "")
    return next((o for o in options if wanted in (o, literal.markdown(o))), None)


def choose(name: str, options: list[str], default: str, label: str) -> str:
    """Show a choice that is part of the address; what another run does not have is forgotten."""
    if st.session_state.get(name) not in options:
        st.session_state.pop(name, None)
        if (wanted := asked(name, options)) is not None:
            st.session_state[name] = wanted
    chosen = st.segmented_control(
        label,
        options,
        default=default,
        required=True,
        format_func=literal.markdown,
        key=name,
        bind="query-params",
    )
    return str(chosen)


def choose_curves(watch: Watch) -> tuple[str, str]:
    """Show which loss and which measure are drawn as curves; return both."""
    losses = ["total", *dict.fromkeys(term for arm in watch.arms for term in watch.terms(arm))]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        loss = choose("loss", losses, "total", "Loss drawn for every arm")
        measure = st.selectbox(
            "Measure drawn for every arm",
            watch.measured(MEASURES),
            format_func=lambda name: NAMES[name],
            key="measure",
            bind="query-params",
            width=330,
        )
    return loss, str(measure)


def view_of(watch: Watch, arm: str, phase: str, loss: str = "total", measure: str = "") -> View:
    """Return what the page shows now.

    Raises:
        ValueError: there is no picture yet, or the newest cannot be read.
    """
    step = timeline.shown(watch)
    if step is None:
        raise ValueError("no picture has been taken yet")
    return View(
        watch,
        arm,
        step,
        panels.page_theme(),
        selection.chosen(len(watch.snapshot(step).labels)),
        loss,
        measure or MEASURES[0],
        follow=timeline.asked() is None and not timeline.is_playing(),
        moving=phase == "running" or timeline.is_playing(),
    )


class Places(NamedTuple):
    """Where the part of the page that ticks writes, and which loss and measure are its curves.

    Nothing is laid out before the first picture.
    """

    top: Any
    strip: Any
    pictures: list[Place]
    card: Any
    rows: list[Place]
    curves: tuple[str, str]


def tick(watch: Watch, arm: str, drawn_in: str, places: Places) -> None:
    """Read the run and draw its pictures; ask for a whole new page when its state has changed."""
    if not (watch.run.path / "settings.yaml").is_file():
        gone = f"{watch.run.name} is gone: its directory was deleted or moved."
        places.top.error(literal.markdown(gone))
        return
    status = watch.run.status
    if status.phase != drawn_in:
        st.rerun()
    steering.keep_promised_pace(watch, status)
    with places.top:
        steering.progress(watch, status)
        if timeline.shown(watch) is None:
            st.info(waiting(status["state"]), icon=":material/hourglass_top:")
            return
    if not places.pictures:
        st.rerun()  # the first picture: now there is something to lay out
    try:
        view = view_of(watch, arm, drawn_in, *places.curves)
        view.watch.picture(view.step, arm)  # all or nothing
    except ValueError as error:
        places.top.error(literal.markdown(error))
        for empty in (places.strip, places.card):
            empty.empty()
        for place in (*places.pictures, *places.rows):
            place.blank()
    else:
        draw(view, places)


def draw(view: View, places: Places) -> None:
    """Draw the objective, the pictures, the card of what is selected, and the curves."""
    line = objective(view)
    for place in (*places.pictures, *places.rows):
        place.panel.picture(view)  # kept; now all is sent at once, which the browser draws at once
    places.strip.latex(line.latex, help=line.words)
    for place in places.pictures:
        place.draw(view, LIT)
    with places.card:
        if view.selected:
            sample.card(view)
        else:
            st.empty()  # every place is written to on every run
    for place in places.rows:
        place.draw(view, LIT)


def pick(watch: Watch, arm: str, phase: str) -> None:
    """Show which samples are selected, and let a number be typed."""
    with suppress(ValueError):  # said above the pictures
        view = view_of(watch, arm, phase)
        selection.controls(len(watch.snapshot(view.step).labels), LIT)


def waiting(state: str) -> str:
    """Say what happens before the first picture."""
    return {
        "starting": "The trainer is starting; importing torch takes a few seconds.",
        "training-teacher": "The teacher is being trained. It is kept for later runs.",
    }.get(state, "No picture has been taken yet.")


def lay_out(names: Sequence[str], export: Callable[[str], None]) -> list[Place]:
    """Lay out empty panels side by side."""
    places = []
    for column, name in zip(st.columns(len(names), gap="small"), names, strict=True):
        with column:
            places.append(Place.made(PANELS[name], presenting.begin, export))
    return places


def exporter(watch: Watch, arm: str, curves: tuple[str, str]) -> Callable[[str], None]:
    """Return what lets a panel's picture be taken away, as it is when that is asked for."""
    pictures = {
        "plan": exporting.of_plan,
        "scores": exporting.of_scores,
        "map": exporting.of_map,
    }
    metrics = {"accuracy": "test_accuracy", "losses": curves[0], "measures": curves[1]}

    def export(name: str) -> None:
        step = timeline.shown(watch)
        if step is None:
            return
        if name in pictures:
            exporting.dialog(pictures[name](watch, arm, step), watch)
        else:
            metric = metrics[name]
            exporting.dialog(exporting.of_curves(watch, metric, NAMES.get(metric, metric)), watch)

    return export


def tick_every(watch: Watch, phase: str) -> float | None:
    """Return how often to look: not at all once nothing can change any more."""
    if phase in steering.STEERED or timeline.is_playing():
        return TICK
    return WAITING if map_worker.is_working(watch.run.path) else None


def page() -> None:
    """Draw the page; what needs torch is not waited for."""
    panels.begin()
    path = chosen_run()
    watch = None
    try:
        if path is not None:
            watch = registry.watch_of(path)
    except ValueError as error:
        panels.error(error)
    if st.session_state.setdefault("looked_at", path) != path:  # a link to another run
        st.session_state["looked_at"] = path
        address.forget(timeline.KEY, selection.KEY)
    if watch is not None and presenting.asked():
        present(watch)
        return
    with st.sidebar:
        run_chooser(path)
        if watch is not None:
            data_card.of_run(watch.run)
    if path is None:
        st.info("No run yet: choose a preset on the left and press Start.")
    elif watch is not None:
        show(watch, ours=registry.is_ours(path))
    with st.sidebar:
        if is_loaded():
            start_form.panel()
        else:
            st.fragment(await_torch, run_every=TICK, key="torch")()


def await_torch() -> None:
    """Draw the whole page once a run can be started."""
    if is_loaded():
        st.rerun()
    st.caption("Loading torch; then a run can be started here.")


def draw_maps(watch: Watch, arm: str) -> None:
    """See to it that a worker draws the maps that are missing, those of this arm first."""
    if not map_worker.all_drawn(watch.run, watch.arms):
        map_worker.want(watch.run.path, arm)
        if not map_worker.is_working(watch.run.path):
            map_worker.start(watch.run.path)


def show(watch: Watch, *, ours: bool) -> None:
    """Show one run: its controls, its time, its pictures, what is selected, its curves.

    Of what lies outside of the runs folder nothing is changed, not even maps are added.
    """
    phase = watch.run.status.phase
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        arm = choose("arm", watch.arms, favourite(watch.arms), "Arm, in every panel")
        steering.controls(watch, watch.run.status, steerable=ours)
    if ours:
        draw_maps(watch, arm)
    has_pictures = watch.newest_step() is not None
    timeline.controls(watch, redraws=LIT if has_pictures else [], moving=phase == "running")
    top, strip = st.container(), st.container(border=has_pictures)
    places = Places(top, strip, [], None, [], ("total", MEASURES[0]))
    if has_pictures:
        pictures = lay_out(("plan", "scores", "map"), exporter(watch, arm, places.curves))
        st.fragment(pick, key="pick")(watch, arm, phase)
        card, curves = st.container(), choose_curves(watch)
        rows = lay_out(("accuracy", "losses", "measures"), exporter(watch, arm, curves))
        places = Places(top, strip, pictures, card, rows, curves)
    every = tick_every(watch, phase)
    st.fragment(tick, run_every=every, key="pictures")(watch, arm, phase, places)


def present(watch: Watch) -> None:
    """Show one panel on the full screen."""
    phase = watch.run.status.phase
    arm = asked("arm", watch.arms) or favourite(watch.arms)
    every = tick_every(watch, phase)
    loss, measure = (st.query_params.get(name, "") for name in ("loss", "measure"))
    names = {words: name for name, words in NAMES.items()}
    presenting.stage(
        watch,
        every,
        lambda: view_of(watch, arm, phase, loss or "total", names.get(measure, measure)),
        steerable=registry.is_ours(watch.run.path),
    )


page()
