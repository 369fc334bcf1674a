"""The live page: what it sends of runs in every state, and what it does when the view speaks."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_pages import ROOT, Canvas, in_address, one_error, open_page, rerun
from filelock import FileLock
from made_up_run import NASTY_ARM, NASTY_ARMS, NASTY_CLASSES, write_run
from safetensors.numpy import load, save

import wcord
import wcord.training.launch
from lab.control import start_form, steering
from lab.course import notebook_section
from lab.reading import map_worker, registry
from lab.reading.watch import KNOWN_SCHEMA
from lab.viewer.frames import unpack
from lab.words.panels import PANELS
from wcord.settings.experiment import SCHEMA_VERSION

DEMO = "demo: digits-compression"


def control(path: Path) -> dict[str, Any]:
    """Return what is asked of a run."""
    return json.loads((path / "control.json").read_text())


# ---------------------------------------------------------------------------------- what is sent


def test_the_component_gets_script_style_and_packet(folder: Path) -> None:
    write_run(folder / "made-up")
    (element,) = open_page("live").get("bidi_component")
    proto = element.proto
    assert proto.isolate_styles and ".view" in proto.css_content
    assert "export default function" in proto.js_content
    _, parts = unpack(proto.bytes)
    sent = {part.kind for part in parts}
    assert sent == {"setup", "choices", "note", "run", "status", "samples", "frame", "curve"}


@pytest.mark.parametrize(
    ("state", "alive", "phase"),
    [
        ("finished", False, "finished"),
        ("running", True, "running"),
        ("paused", True, "paused"),
        ("starting", True, "starting"),
        ("training-teacher", True, "training-teacher"),
        ("running", False, "interrupted"),
        ("stopped", False, "stopped"),
        ("failed", False, "failed"),
    ],
)
def test_a_run_is_sent_in_the_state_it_is_in(
    folder: Path, canvas: Canvas, state: str, alive: bool, phase: str
) -> None:
    path = write_run(folder / "made-up", epochs=4, upto=2, state=state, error="it froze")
    lock = FileLock(path / "lock")
    if alive:
        lock.acquire()
    try:
        app = open_page("live")
    finally:
        lock.release()
    assert not app.error
    (status,), (frame,) = canvas.last("status"), canvas.last("frame")
    assert status.about["phase"] == phase and status.about["steps"] == [0, 14, 28]
    assert "it froze" in status.about["sentence"] or phase not in ("failed", "stopped")
    assert (frame.about["arm"], frame.about["step"]) == ("wcord", 28)
    (setup,) = canvas.last("setup")
    assert {"ask", "steer", "start", "runs", "export", "why"} <= set(setup.about["can"])
    assert canvas.scene["sides"] == [["made-up", "wcord"]] and canvas.scene["step"] is None


@pytest.mark.parametrize("name", ["../outside", "a/b", "..", "absent", "/nowhere"])
def test_an_address_that_is_no_run_is_one_line(folder: Path, canvas: Canvas, name: str) -> None:
    write_run(folder / "made-up")
    assert not open_page("live", run=name).error
    (trouble,) = canvas.last("trouble")
    assert trouble.about["run"] == name and len(trouble.about["why"].splitlines()) == 1
    assert not canvas.last("frame")


def write_newer(path: Path) -> None:
    newer = f"schema_version: {KNOWN_SCHEMA + 1}\n"
    (path / "settings.yaml").write_text(newer + (path / "settings.yaml").read_text())


def write_half(path: Path) -> None:
    for part in path.iterdir():
        if part.name != "settings.yaml":
            shutil.rmtree(part) if part.is_dir() else part.unlink()


def write_nan(path: Path) -> None:
    file = path / "snapshots" / "42.safetensors"
    length = int.from_bytes(file.read_bytes()[:8], "little")
    header = json.loads(file.read_bytes()[8 : 8 + length])["__metadata__"]
    arrays = load(file.read_bytes())
    for part in ("plan", "cost", "scores", "teacher", "student"):
        arrays[f"wcord/{part}"][3:] = np.nan
    said = json.loads(header["snapshot"])
    said["values"]["wcord"] = dict.fromkeys(said["values"]["wcord"])
    file.write_bytes(save(arrays, {"snapshot": json.dumps(said)}))


BROKEN = {
    "newer": (write_newer, "trouble", "update"),
    "settings": (lambda p: (p / "settings.yaml").write_text("arms: ["), "trouble", "cannot be"),
    "gone": (shutil.rmtree, "trouble", "made-up"),
    "snapshot": (
        lambda p: (p / "snapshots" / "42.safetensors").write_bytes(b"half"),
        "missing",
        "42.safetensors cannot be read",
    ),
    "half": (write_half, "status", ""),
    "metrics": (lambda p: (p / "metrics.jsonl").write_bytes(b'{"step": 0}\n\xff{'), "frame", ""),
    "nan": (write_nan, "frame", ""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_costs_one_line_and_no_exception(
    folder: Path, canvas: Canvas, what: str
) -> None:
    spoil, kind, why = BROKEN[what]
    spoil(write_run(folder / "made-up"))
    app = open_page("live", run="made-up", samples="3")
    assert not app.error
    (part,) = canvas.last(kind)
    assert why in part.about.get("why", "") and "\n" not in part.about.get("why", "")
    assert not canvas.last("trouble") or kind == "trouble"


def test_names_of_all_kinds_pass(folder: Path, canvas: Canvas) -> None:
    write_run(folder / "made-up", arms=NASTY_ARMS, classes=NASTY_CLASSES)
    open_page("live", arm=NASTY_ARM)
    (run,), (frame,) = canvas.last("run"), canvas.last("frame")
    assert [arm["name"] for arm in run.about["arms"]] == list(NASTY_ARMS)
    assert frame.about["arm"] == NASTY_ARM


def test_the_newest_run_comes_first_and_the_demo_last(folder: Path, canvas: Canvas) -> None:
    for place, name in enumerate(("old", "new")):
        os.utime(write_run(folder / name) / "settings.yaml", (place, place))
    open_page("live")
    assert canvas.scene["sides"][0][0] == "new"
    (choices,) = canvas.last("choices")
    assert choices.about == {"runs": ["new", "old", DEMO], "own": True}
    assert not canvas.last("play") and canvas.last("note")[0].about["text"] == ""


def test_without_a_run_the_demo_is_played_once_and_explained(folder: Path, canvas: Canvas) -> None:
    app = open_page("live")
    assert canvas.scene["sides"] == [[DEMO, "wcord"]]
    assert not canvas.last("run")[0].about["ours"] and not canvas.last("choices")[0].about["own"]
    assert "(a recording)" in canvas.last("note")[0].about["text"]
    rerun(app)
    assert len(canvas.all("play")) == 1 and len(canvas.packets) == 2
    canvas.packets.clear()
    open_page("live", step="50")  # a link to a step is not played away from
    assert not canvas.all("play") and canvas.last("frame")[0].about["step"] == 50


def test_maps_are_drawn_of_runs_that_are_ours(
    folder: Path, canvas: Canvas, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(map_worker, "start", lambda path: asked.append(path.name))
    path = write_run(folder / "made-up")
    elsewhere = write_run(folder.parent / "elsewhere")
    open_page("live", run="made-up", arm="crd")
    assert asked == ["made-up"]
    assert json.loads((path / "maps" / "preferred.json").read_text()) == {"arm": "crd"}
    for name in (str(elsewhere), DEMO):
        open_page("live", run=name)
    assert asked == ["made-up"] and not (elsewhere / "maps").exists()


def test_the_schema_known_without_torch_is_the_one_that_is_written() -> None:
    assert KNOWN_SCHEMA == registry.KNOWN_SCHEMA == SCHEMA_VERSION


def test_settings_of_the_server_keep_it_at_home() -> None:
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config["browser"]["gatherUsageStats"] is False
    assert config["server"]["address"] == "localhost"
    assert config["server"]["fileWatcherType"] == "none"
    assert "enableAgentApi" not in config["server"]


# ----------------------------------------------------------------------------- scene and address


def test_an_address_leads_to_a_scene_and_the_scene_back(folder: Path, canvas: Canvas) -> None:
    write_run(folder / "made-up")
    write_run(folder / "other")
    address = {"run": "made-up", "arm": "crd", "step": "14", "samples": "3,17"}
    app = open_page("live", **address, present="plan", measure="cka", loss="ce")
    scene = canvas.scene
    assert scene["sides"] == [["made-up", "crd"]] and scene["step"] == 14
    assert (scene["selected"], scene["present"]) == ([3, 17], "plan")
    assert (scene["measure"], scene["loss"]) == ("cka", "ce")
    assert canvas.last("frame")[0].about["step"] == 14
    new = scene | {"sides": [["other", "kd"]], "step": None, "selected": [5], "present": None}
    canvas.say(app, "scene", scene=new)
    assert (in_address(app, "run"), in_address(app, "arm")) == ("other", "kd")
    assert in_address(app, "samples") == "5"
    assert "step" not in app.query_params and "present" not in app.query_params
    assert canvas.scene["sides"] == [["other", "kd"]] and canvas.scene["step"] is None


def test_a_link_to_another_run_moves_a_view_that_is_open(folder: Path, canvas: Canvas) -> None:
    write_run(folder / "made-up")
    write_run(folder / "other")
    app = open_page("live", run="made-up", step="14")
    app.query_params["run"] = "other"
    rerun(app)
    assert canvas.scene["sides"][0][0] == "other" and canvas.scene["moves"] == 1
    assert "step" not in app.query_params  # it was one of the run before
    assert canvas.last("run")[0].about["run"] == "other"
    late = canvas.scene | {"sides": [["made-up", "wcord"]], "moves": 0}
    canvas.say(app, "scene", scene=late)  # said before the view had followed
    assert canvas.scene["sides"][0][0] == "other" and in_address(app, "run") == "other"


# --------------------------------------------------------------------------- what the view asks


@pytest.fixture
def going(folder: Path) -> Iterator[Path]:
    """A run whose writer seems alive."""
    path = write_run(folder / "going", epochs=4, upto=2, state="running")
    with FileLock(path / "lock"):
        yield path


def test_the_view_steers_runs_that_are_ours(going: Path, canvas: Canvas) -> None:
    app = open_page("live")
    canvas.say(app, "steer", run="going", action="pause", value=None)
    assert control(going)["pause_at"] == 0 and not app.error
    canvas.say(app, "steer", run="going", action="pace", value=2.0)
    assert control(going)["delay"] == pytest.approx(2 / 14)


@pytest.mark.parametrize("action", ["pause", "stop", "relaunch", "delete", "__class__"])
def test_runs_elsewhere_and_unknown_actions_are_refused(
    going: Path, canvas: Canvas, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = write_run(going.parents[1] / "elsewhere")
    before = control(elsewhere), control(going)
    app = open_page("live")
    name = "going" if action in ("delete", "__class__") else str(elsewhere)
    canvas.say(app, "steer", run=name, action=action, value=1)
    one_error(app, "steered" if name == "going" else "it is looked at, not steered")
    rerun(app)
    assert not app.error  # said once
    assert (control(elsewhere), control(going)) == before


def test_the_form_opens_and_closes_again(folder: Path, canvas: Canvas) -> None:
    write_run(folder / "made-up")
    app = open_page("live")
    canvas.say(app, "new")
    assert app.button(key="start").label == "Start"
    rerun(app)
    assert "start" not in {button.key for button in app.button}


@pytest.mark.parametrize("panel", PANELS)
def test_why_opens_the_section_of_every_panel(folder: Path, canvas: Canvas, panel: str) -> None:
    write_run(folder / "made-up")
    app = open_page("live")
    canvas.say(app, "why", panel=panel)
    section = PANELS[panel].section
    assert section is not None
    opening = notebook_section.markdown_of(section).splitlines()[0]
    assert any(said.value.startswith(opening) for said in app.markdown)
    assert any(section.notebook in caption.value for caption in app.caption)


@pytest.mark.parametrize(
    ("panel", "metric", "drawn"),
    [
        ("plan", None, "figures.plan(picture.plan"),
        ("scores", None, "figures.scores(picture.scores"),
        ("map", None, "figures.joint_map(layout.frame"),
        ("losses", "gckt", "== 'gckt'"),
    ],
)
def test_a_picture_is_taken_away_as_it_is_shown(
    folder: Path, canvas: Canvas, panel: str, metric: str | None, drawn: str
) -> None:
    write_run(folder / "made-up")
    app = open_page("live", step="28", arm="crd")
    canvas.say(app, "export", panel=panel, metric=metric, step=28)
    (cell,) = [code.value for code in app.code]
    assert "Run('made-up')" in cell and drawn in cell
    assert ("snapshot(28)" in cell) == (metric is None)
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels == ["PNG", "SVG", "Data, CSV", "Settings, YAML"]


def test_the_runs_of_the_recording_can_be_trained_here(
    folder: Path, canvas: Canvas, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[wcord.Experiment] = []

    def launch(experiment: wcord.Experiment, path: Path | None = None) -> wcord.Run:
        started.append(experiment)
        return wcord.Run(write_run(folder / "started", upto=1, state="running"))

    monkeypatch.setattr(wcord.training.launch, "launch", launch)
    app = open_page("live", arm="crd", step="50")
    canvas.say(app, "train")
    preset = wcord.load("digits-compression")
    assert started == [preset.replace(start_form.watched(preset))]
    assert canvas.scene["sides"] == [["started", "crd"]] and canvas.scene["step"] is None
    assert in_address(app, "run") == "started" and "step" not in app.query_params
    # the pace of a talk, promised before the length of an epoch was known
    assert control(folder / "started")["delay"] == pytest.approx(steering.TALK / 14)


@pytest.mark.parametrize("kind", ["export", "data"])
def test_a_dialog_of_a_run_that_is_deleted_is_one_line(
    folder: Path, canvas: Canvas, kind: str
) -> None:
    path = write_run(folder / "made-up", classes=["cat", "dog"])
    app = open_page("live", run="made-up")
    shutil.rmtree(path)
    canvas.say(app, kind, panel="plan", metric=None, step=42)
    one_error(app, "made-up")
    rerun(app)
    assert not app.error  # said once


def test_a_damaged_step_is_one_line_in_place_of_the_dialog(folder: Path, canvas: Canvas) -> None:
    path = write_run(folder / "made-up")
    app = open_page("live", run="made-up")
    (path / "snapshots" / "42.safetensors").write_bytes(b"half")
    canvas.say(app, "export", panel="plan", metric=None, step=42)
    one_error(app, "42.safetensors cannot be read: it is cut off")
    assert not app.get("download_button")


def test_a_run_that_cannot_be_shown_is_not_chosen(folder: Path, canvas: Canvas) -> None:
    for place, name in enumerate(("good", "newer", "two words", "broken")):
        os.utime(write_run(folder / name) / "settings.yaml", (place, place))
    write_newer(folder / "newer")
    (folder / "broken" / "settings.yaml").write_text("arms: [")
    (folder / "x" / "settings.yaml").mkdir(parents=True)
    open_page("live")
    assert canvas.scene["sides"][0][0] == "good" and not canvas.last("trouble")
    shutil.rmtree(folder / "good")
    open_page("live")
    assert canvas.scene["sides"][0][0] == DEMO
