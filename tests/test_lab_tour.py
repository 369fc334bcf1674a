"""The guided tour: its stops against the presets and a real run, its recordings, its page."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app_pages import Canvas, in_address, open_page, rerun, text
from hypothesis import given
from hypothesis import strategies as hs
from made_up_run import write_run
from streamlit.testing.v1 import AppTest

import wcord
import wcord.training.launch
from lab.course import notebook_section, tour_recordings, tour_stops
from lab.course.tour_stops import PHASES, STOPS, Stop
from lab.reading.watch import Watch
from lab.viewer import packing
from lab.viewer.frames import Part
from lab.words.panels import PANELS
from lab.words.vocabulary import METRICS
from wcord.runs import Run


def write_tour_run(folder: Path, stop: Stop, **more: Any) -> Path:
    """Write a made-up run that has the arms of a stop's preset."""
    experiment = wcord.load(stop.preset)
    arms = {
        arm: {term: settings.model_dump() for term, settings in terms.items()}
        for arm, terms in experiment.arms.items()
    }
    broken = experiment.pairing.broken
    return write_run(folder / tour_stops.run_name(stop), arms=arms, broken=broken, **more)


# ------------------------------------------------------------------------------------ the stops


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
def test_a_stop_names_what_there_is(stop: Stop) -> None:
    arms = wcord.load(stop.preset).arms
    assert set(stop.watched) <= set(stop.cured) <= set(arms)
    assert stop.cured[: len(stop.watched)] == stop.watched != stop.cured
    assert 0 <= stop.right < len(stop.answers) == len(set(stop.answers))
    assert set(stop.curves) <= set(METRICS) and set(stop.pictures) <= set(PANELS)
    assert set(stop.beside) <= set(arms) - set(stop.cured)
    assert len(notebook_section.markdown_of(stop.section)) > 100
    assert all(line == "$$" for line in stop.explanation.splitlines() if "$$" in line)
    assert tour_stops.experiment(stop).replace(
        {"probe": wcord.load(stop.preset).probe}
    ) == wcord.load(stop.preset)


@given(hs.integers(0, len(STOPS) - 1), hs.integers(0, 3), hs.integers(-24, 24))
def test_back_undoes_next_inside_of_the_tour(stop: int, phase: int, step: int) -> None:
    there = tour_stops.place(stop, phase, step)
    assert 0 <= there[0] < len(STOPS) and 0 <= there[1] < len(PHASES)
    if (there not in ((0, 0), (len(STOPS) - 1, len(PHASES) - 1))) or step == 0:
        assert tour_stops.place(*there, -step) == (stop, phase)


def test_the_answers_are_what_the_runs_do(tmp_path: Path) -> None:
    """A third of the way is enough for all three failures to show in a real run."""
    short = {"epochs": 9, "linear_probe": False, "teacher.epochs": 8}
    seen = {}
    for stop in STOPS[:3]:
        experiment = tour_stops.experiment(stop)
        arms = {arm: experiment.arms[arm] for arm in stop.cured}
        experiment = experiment.replace({**short, "arms": arms})
        run = wcord.distill(experiment, tmp_path / stop.key, progress=False)
        seen[stop.key] = [{arm: run.snapshot(s).values(arm) for arm in arms} for s in run.steps]
    first, last = seen["unpaired"][0], seen["unpaired"][-1]
    assert last["unpaired"]["plan_cost"] < 0.5 * first["unpaired"]["plan_cost"]
    assert last["unpaired"]["same_class_mass"] < 0.3 < 0.6 < last["cured"]["same_class_mass"]
    last = seen["collapse"][-1]
    assert last["collapse"]["plan_cost"] < 0.05
    assert last["collapse"]["same_class_mass"] == pytest.approx(0.1, abs=0.03)
    assert last["teacher fixed"]["plan_cost"] > 0.1
    last = seen["shrunk"][-1]
    assert last["shrunk"]["variance_ratio"] < 0.6 < 0.85 < last["debiased"]["variance_ratio"]
    assert last["shrunk"]["same_class_mass"] > 0.6


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
def test_what_to_look_for_holds_the_live_values(stop: Stop) -> None:
    now = {"plan_cost": 0.125, "same_class_mass": 0.37, "variance_ratio": 0.47}
    first = {"plan_cost": 0.9, "variance_ratio": 1.0, "true_partner_mass": 0.01}
    said = stop.hint(first, now | {"true_partner_mass": 0.2})
    assert "37 %" in said and "nan" not in said
    assert stop.hint({}, {})  # not measured: said so, no exception


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
def test_guidance_speaks_of_every_step(tmp_path: Path, stop: Stop) -> None:
    watch = Watch(write_tour_run(tmp_path, stop))
    note, *scenes = tour_recordings.guidance(stop, watch, stop.cured, finished=True)
    first = watch.values_at(stop.cured[0], 0)
    at = {str(step): watch.values_at(stop.cured[0], step) for step in watch.run.steps}
    assert list(note.about["at"]) == ["0", "14", "28", "42"]
    for step, said in note.about["at"].items():
        assert said == f"Look now. {stop.hint(first, at[step]).replace('**', '')}"
    assert bool(scenes) == ("lines" in stop.pictures)
    for scene in scenes:  # steps of equal cost, one a side
        assert scene.about["scene"]["stepOf"] == [42] * len(stop.cured)
    assert len(tour_recordings.guidance(stop, watch, stop.cured, finished=False)) == 1


def test_guidance_waits_for_the_first_step(tmp_path: Path) -> None:
    path = write_tour_run(tmp_path, STOPS[0])
    for snapshot in (path / "snapshots").iterdir():
        snapshot.unlink()
    assert tour_recordings.guidance(STOPS[0], Watch(path), ["unpaired"], finished=True) == []


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
def test_the_recording_that_ships_shows_the_answer(stop: Stop) -> None:
    content = (tour_recordings.FOLDER / f"{stop.key}.frames").read_bytes()
    assert len(content) < 4e6 and b"/home" not in gzip.decompress(content)
    parts: dict[str, list[Part]] = {}
    for part in tour_recordings.parts(stop):
        parts.setdefault(part.kind, []).append(part)
    (run,), (status,) = parts["run"], parts["status"]
    arms = [arm["name"] for arm in run.about["arms"]]
    assert run.about["run"] == tour_recordings.name_of(stop)
    assert set(arms) == {*stop.cured, *stop.beside} and status.about["phase"] == "finished"
    steps = status.about["steps"]
    equal = [step for part in parts.get("scene", []) for step in part.about["scene"]["stepOf"]]
    assert len(set(steps) - set(equal)) <= tour_recordings.STEPS and len(steps) > 20
    assert steps[0] == 0 and steps[-1] == status.about["total"]
    frames = {(part.about["arm"], part.about["step"]): part.about for part in parts["frame"]}
    assert set(frames) == {(arm, step) for arm in arms for step in steps}
    assert {frame["method"] for frame in frames.values()} == {"UMAP"}
    assert len(equal) == ("lines" in stop.pictures) * len(stop.cured)
    costs = [frames[at]["values"]["plan_cost"] for at in zip(stop.cured, equal, strict=False)]
    assert all(cost <= costs[0] * 1.001 for cost in costs)
    assert set(stop.curves) <= {part.about["name"] for part in parts["curve"]}
    assert set(map(str, steps)) <= set(parts["note"][0].about["at"])
    assert any("png" in part.arrays for part in parts["images"])
    first, last = (
        {arm: frames[arm, step]["values"] for arm in arms} for step in steps[:: len(steps) - 1]
    )
    shows(stop.key)(first, last)


Values = dict[str, dict[str, float]]


def shows(stop: str) -> Callable[[Values, Values], None]:
    """Return what the first and the last values of a stop's arms must show."""

    def unpaired(first: Values, last: Values) -> None:
        assert last["unpaired"]["plan_cost"] < 0.5 * first["unpaired"]["plan_cost"]
        assert last["unpaired"]["same_class_mass"] < 0.3 < 0.6 < last["cured"]["same_class_mass"]

    def collapse(first: Values, last: Values) -> None:
        assert last["collapse"]["plan_cost"] < 0.05
        assert last["collapse"]["same_class_mass"] == pytest.approx(0.1, abs=0.03)
        assert last["teacher fixed"]["plan_cost"] > 0.1

    def shrunk(first: Values, last: Values) -> None:
        assert last["shrunk"]["variance_ratio"] < 0.6 < 0.85 < last["debiased"]["variance_ratio"]
        assert last["shrunk"]["same_class_mass"] > 0.6

    def wrong_pairs(first: Values, last: Values) -> None:
        assert last["sinkhorn"]["true_partner_mass"] > 2 * first["sinkhorn"]["true_partner_mass"]

    all_stops = {"unpaired": unpaired, "same-cost": unpaired, "collapse": collapse}
    return (all_stops | {"shrunk": shrunk, "wrong-pairs": wrong_pairs})[stop]


# ------------------------------------------------------------------------------------ the page


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up recordings of all stops, of two steps each."""
    shipped, runs = (tmp_path_factory.mktemp(name) for name in ("tour", "runs"))
    for stop in STOPS:
        watch = Watch(write_tour_run(runs, stop, epochs=1, samples=16, batch=8))
        name = tour_recordings.name_of(stop)
        content = packing.packed(watch, name=name, images=False)
        (shipped / f"{stop.key}.frames").write_bytes(content)
    return shipped


@pytest.fixture
def recorded(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The made-up recordings in place of those that ship."""
    monkeypatch.setattr(tour_recordings, "FOLDER", recordings)
    tour_recordings._read.cache_clear()
    yield
    tour_recordings._read.cache_clear()


def place_of(app: AppTest) -> tuple[str, str]:
    """Return the stop whose signpost has a frame, and the phase that is named beside it."""
    (stop,) = (
        str(button.key).removeprefix("stop-")
        for button in app.button
        if str(button.key).startswith("stop-") and button.proto.type == "secondary"
    )
    (phase,) = (said.value for said in app.markdown if said.value.endswith(f" of {len(PHASES)}"))
    return stop, phase.partition(" ")[0].lower()


def test_next_and_back_go_through_every_phase_and_the_address_follows(
    folder: Path, canvas: Canvas, recorded: None
) -> None:
    app = open_page("tour")
    seen = [place_of(app)]
    while not app.button(key="next").disabled:
        app.button(key="next").click()
        rerun(app)
        assert not app.error
        seen.append(place_of(app))
    wanted = [(stop.key, phase.lower()) for stop in STOPS for phase in PHASES]
    assert seen == wanted
    assert (in_address(app, "stop"), in_address(app, "phase")) == wanted[-1]
    again = open_page("tour", stop="wrong-pairs", phase="cure")
    assert place_of(again) == seen[-1]
    again.button(key="back").click()
    rerun(again)
    assert place_of(again) == seen[-2]


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.key)
@pytest.mark.parametrize("own", [False, True], ids=["recorded", "own"])
def test_every_phase_shows_its_panels(
    folder: Path, canvas: Canvas, recorded: None, stop: Stop, own: bool
) -> None:
    if own:
        write_tour_run(folder, stop)
    name = tour_stops.run_name(stop) if own else tour_recordings.name_of(stop)
    for phase in PHASES:
        canvas.packets.clear()
        app = open_page("tour", stop=stop.key, phase=phase.lower())
        assert bool(canvas.packets) == (phase != "Predict") and not app.error
        said = text(app)
        assert (stop.explanation.strip()[:40] in said) == (phase in ("Explain", "Cure"))
        assert (stop.cure in said) == (phase == "Cure")
        if phase == "Predict":
            assert app.subheader[0].value == stop.question
            continue
        arms = stop.cured if phase == "Cure" else stop.watched
        kinds = stop.pictures if len(arms) == 1 else stop.pictures[:1]
        sides = range(len(arms))
        panels = [f"{kind}@{side}" for side in sides for kind in kinds]
        assert canvas.scene["sides"] == [[name, arm] for arm in arms] and canvas.scene["fixed"]
        assert canvas.scene["panels"] == panels + [f"curve:{metric}" for metric in stop.curves]
        sent = {part.about["arm"] for part in canvas.all("frame")}
        assert set(arms) <= sent and canvas.all("run")[0].about["run"] == name
        assert bool(canvas.last("note")) == own  # the made-up recordings have none
        assert ("start-stop" in {button.key for button in app.button}) == (not own)


def test_a_recording_is_sent_once_a_view(folder: Path, canvas: Canvas, recorded: None) -> None:
    app = open_page("tour", phase="watch")
    rerun(app)
    assert [any(p.kind == "frame" for p in packet) for packet in canvas.packets] == [True, False]
    canvas.say(app, "hello")  # a view that begins again has everything anew
    assert canvas.last("frame")


def test_nothing_is_told_before_it_is_asked(folder: Path, canvas: Canvas, recorded: None) -> None:
    app = open_page("tour", phase="watch")
    app.button(key="guess-unpaired-0").click()
    rerun(app)
    assert "what happens" not in text(app) and STOPS[0].explanation[:40] not in text(app)
    app.button(key="next").click()
    rerun(app)
    right = "what happens: **it stays near chance.**"
    assert f"You predicted “it rises towards 1”; {right}" in text(app)
    assert "guess-unpaired-0" not in {button.key for button in app.button}
    other = open_page("tour", phase="explain")
    assert f"{STOPS[0].question} **It stays near chance.**" in text(other)
    other = open_page("tour", phase="predict")
    other.button(key="guess-unpaired-1").click()
    rerun(other)
    assert other.button(key="guess-unpaired-1").proto.icon.endswith("radio_button_checked:")
    for _ in range(2):
        other.button(key="next").click()
        rerun(other)
    assert "You predicted it: **it stays near chance.**" in text(other)


def test_the_stop_can_be_chosen_and_begins_with_its_question(
    folder: Path, canvas: Canvas, recorded: None
) -> None:
    app = open_page("tour", stop="unpaired", phase="watch", step="14")
    app.button(key="stop-shrunk").click()
    rerun(app)
    assert place_of(app) == ("shrunk", "predict") and "step" not in app.query_params


def test_a_stops_run_is_started_once_and_used_again(
    folder: Path, canvas: Canvas, recorded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def launch(experiment: wcord.Experiment, path: Path) -> Run:
        started.append((experiment, path))
        return Run(write_tour_run(folder, STOPS[0], upto=1, state="running"))

    monkeypatch.setattr(wcord.training.launch, "launch", launch)
    app = open_page("tour", phase="watch")
    app.button(key="start-stop").click()
    rerun(app)
    assert started == [(tour_stops.experiment(STOPS[0]), folder / "tour-digits-unpaired")]
    sides = [["tour-digits-unpaired", "unpaired"]]
    assert canvas.scene["sides"] == sides and canvas.last("frame")
    assert not [button for button in app.button if button.key == "start-stop"]
    other = open_page("tour", stop="same-cost", phase="watch")  # of the same preset
    assert canvas.scene["sides"] == [*sides, ["tour-digits-unpaired", "cured"]]
    canvas.say(other, "steer", run=sides[0][0], action="stop", value=None)
    assert Run(folder / "tour-digits-unpaired").control["stop"] is True


def test_a_broken_run_and_a_nonsense_address_are_one_line(
    folder: Path, canvas: Canvas, recorded: None
) -> None:
    path = write_tour_run(folder, STOPS[0])
    (path / "snapshots" / "42.safetensors").write_bytes(b"half")
    open_page("tour", phase="watch")
    assert "cannot be read" in canvas.last("missing")[0].about["why"]
    (path / "settings.yaml").write_text("arms: [")
    open_page("tour", phase="watch")
    (trouble,) = canvas.last("trouble")
    assert "cannot be read" in trouble.about["why"] and "\n" not in trouble.about["why"]
    assert place_of(open_page("tour", stop="../x", phase="\0")) == ("unpaired", "predict")


def test_failing_to_start_is_one_line(
    folder: Path, canvas: Canvas, recorded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(experiment: wcord.Experiment, path: Path) -> Run:
        raise ValueError("no space left\nand more")

    monkeypatch.setattr(wcord.training.launch, "launch", refuse)
    app = open_page("tour", phase="watch")
    app.button(key="start-stop").click()
    rerun(app)
    assert [error.value for error in app.error] == ["no space left"]


def test_the_notebooks_section_opens(folder: Path, canvas: Canvas, recorded: None) -> None:
    app = open_page("tour", stop="collapse", phase="explain")
    app.button(key="why").click()
    rerun(app)
    assert "A loss curve that falls to nothing" in text(app)
    canvas.say(app, "why", panel="plan@0")
    section = PANELS["plan"].section
    assert section is not None
    assert notebook_section.markdown_of(section).splitlines()[0] in text(app)
