"""The view in a notebook without a browser: traits, packets, steering, what a stored one shows."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import traitlets
import yaml
from filelock import FileLock
from made_up_run import ARMS, NASTY_ARM, NASTY_ARMS, NASTY_CLASSES, STEPS_AN_EPOCH, write_run

import lab
from lab.course.execute_notebooks import WIDGET, normalise
from lab.reading.watch import Watch
from lab.viewer import in_notebook
from lab.viewer.frames import Part, unpack
from lab.viewer.in_notebook import RunView
from lab.words.literal import mathtext
from wcord.runs import Run


class Browser:
    """What a browser would be sent of a view, and what it would say."""

    def __init__(self, view: RunView, monkeypatch: pytest.MonkeyPatch) -> None:
        self.view, self.numbers, self.said = view, [], 0
        self.parts: list[Part] = []
        monkeypatch.setattr(view, "send", self._take)

    def _take(self, content: Any, buffers: list[bytes]) -> None:
        (packet,) = buffers
        about, parts = unpack(packet)
        self.numbers.append(about["number"])
        self.parts += parts

    def say(self, **message: Any) -> list[Part]:
        """Say something, and return the answer."""
        self.said += 1
        before = len(self.parts)
        self.view._receive(self.view, {"number": self.said, "messages": [message]}, [])
        return self.parts[before:]

    def shows(self, **change: Any) -> list[Part]:
        """Say that the view shows something else."""
        return self.say(kind="scene", scene=self.view.scene | change)


def kinds(parts: list[Part]) -> list[str]:
    return [part.kind for part in parts]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """A run that a process writes."""
    path = write_run(tmp_path / "run", epochs=4, upto=2, state="running")
    with FileLock(path / "lock"):
        yield path


def test_it_begins_with_the_newest_step_of_one_arm(tmp_path: Path) -> None:
    view = lab.view(write_run(tmp_path / "run"))
    assert (view.arm, view.step, view.selected) == ("wcord", None, [])
    assert view.scene["sides"] == [["run", "wcord"]]
    assert lab.view(tmp_path / "run", "crd").arm == "crd"
    assert lab.view("digits-compression", "kd", panels=["plan"]).scene["panels"] == ["plan"]


def test_a_run_goes_by_itself_its_path_or_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    path = write_run(tmp_path / "mine")
    for run in (Run(path), path, str(path), "mine"):
        assert lab.view(run).run.path.resolve() == path.resolve()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent",), "no run at absent"),
        (("mine", "wcrd"), "no arm 'wcrd'; it has plain, crd, wcord"),
        (("mine", None, ["plam"]), "no panel 'plam'; there are plan, scores, map"),
        (("mine", None, ["difference"]), "no panel 'difference'"),
        (("mine", None, []), "panels is a list"),
        (("mine", None, "plan"), "panels is a list"),
        (("mine", None, 5), "panels is a list"),
        (("mine", 5), "no arm 5; it has plain"),
    ],
)
def test_mistakes_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, message: str
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    write_run(tmp_path / "mine")
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        lab.view(*arguments)
    assert "\n" not in str(refused.value)


def test_a_browser_is_sent_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = lab.view(write_run(tmp_path / "run"), panels=["plan"])
    browser = Browser(view, monkeypatch)
    view.step = 14
    assert not browser.parts  # nobody looks
    view.step = None
    found = browser.say(kind="hello")
    assert {"setup", "run", "status", "samples", "curve", "frame"} <= set(kinds(found))
    (setup,) = [part for part in found if part.kind == "setup"]
    assert setup.about["scene"] == view.scene and setup.about["can"]["steer"]
    wanted = [["run", arm, step] for arm in view.reader.arms for step in view.run.steps]
    found = browser.say(kind="frames", frames=wanted)
    assert len(found) == len(wanted) and set(kinds(found)) == {"frame"}  # sent before or not
    assert browser.numbers == list(range(1, len(browser.numbers) + 1))
    assert not view.refresh() and kinds(browser.parts[-1:]) == [
        "frame"
    ]  # nothing new, nothing sent
    assert set(kinds(browser.say(kind="hello"))) >= {"setup", "run", "frame"}  # it begins again


def test_setting_a_trait_moves_the_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = lab.view(write_run(tmp_path / "run"))
    browser = Browser(view, monkeypatch)
    browser.say(kind="hello")
    before = len(browser.parts)
    view.step = 14
    (moved,) = [part for part in browser.parts[before:] if part.kind == "scene"]
    assert moved.about["scene"] == {"sides": [["run", "wcord"]], "step": 14, "selected": []}
    assert [p.about["step"] for p in browser.parts[before:] if p.kind == "frame"] == [14]
    view.arm, view.selected = "crd", [3, 5]
    last = browser.parts[-1].about["scene"]
    assert last == {"sides": [["run", "crd"]], "step": 14, "selected": [3, 5]}
    with pytest.raises(traitlets.TraitError, match="no arm 'wcrd'; it has plain"):
        view.arm = "wcrd"
    with pytest.raises(traitlets.TraitError):
        view.selected = [-1]
    assert view.arm == "crd" and view.selected == [3, 5]


def test_what_somebody_does_in_the_view_is_read_from_its_traits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = lab.view(write_run(tmp_path / "run"))
    browser = Browser(view, monkeypatch)
    browser.say(kind="hello")
    seen: list[Any] = []
    view.observe(lambda change: seen.append((change["name"], change["new"])), ["step", "selected"])
    answer = browser.shows(sides=[["run", "plain"]], step=28, selected=[7], measure="cka")
    assert (view.arm, view.step, view.selected) == ("plain", 28, [7])
    assert view.scene["measure"] == "cka" and seen == [("step", 28), ("selected", [7])]
    assert kinds(answer) == ["frame"]  # the view is not told what it has said
    browser.shows(step=None, selected=[])
    assert view.step is None and view.selected == []


def test_it_follows_a_run_by_hand_where_there_is_no_loop(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = lab.view(running)
    browser = Browser(view, monkeypatch)
    browser.say(kind="hello")
    assert view.refresh() and view.goes_on
    before = len(browser.parts)
    write_run(running, epochs=4, upto=3, state="running")
    assert view.refresh()
    found = browser.parts[before:]
    assert [p.about["step"] for p in found if p.kind == "frame"] == [3 * STEPS_AN_EPOCH]
    assert "curve" in kinds(found) and "status" in kinds(found)
    write_run(running, epochs=4, upto=4, state="finished")
    assert not view.refresh()
    assert [p.about["phase"] for p in browser.parts if p.kind == "status"][-1] == "finished"


def test_it_follows_a_run_by_the_loop_until_the_run_ends(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_notebook, "TICK", 0.01)

    async def look() -> list[Part]:
        view = lab.view(running)
        browser = Browser(view, monkeypatch)
        browser.say(kind="hello")
        await asyncio.sleep(0.05)
        assert view._task is not None and not view._task.done()
        write_run(running, epochs=4, upto=4, state="finished")
        await asyncio.wait_for(view._task, 20)
        return browser.parts

    with ThreadPoolExecutor() as thread:  # of its own: a browser's loop may run in this one
        parts = thread.submit(asyncio.run, look()).result()
    assert [p.about["step"] for p in parts if p.kind == "frame"][-1] == 4 * STEPS_AN_EPOCH
    assert lab.view(running)._task is None


def test_a_run_is_steered(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(running)
    browser = Browser(lab.view(run), monkeypatch)
    browser.say(kind="hello")

    def steer(action: str, value: Any = None) -> str:
        notes = browser.say(kind="steer", run="run", action=action, value=value)
        (note,) = [part for part in notes if part.kind == "note"]
        return str(note.about["text"])

    assert steer("pause") == "" and run.control["pause_at"] == 0
    assert steer("step", 10) == "" and run.control["pause_at"] == 2 * STEPS_AN_EPOCH + 10
    assert steer("resume") == "" and run.control["pause_at"] is None
    assert steer("pace", 2.0) == ""
    assert run.control["delay"] == pytest.approx(2.0 / STEPS_AN_EPOCH)
    assert steer("stop") == "" and run.control["stop"] is True
    assert steer("step", 0) == "a run cannot be steered by step 0"
    assert steer("fly") == "a run cannot be steered by fly None"


def test_a_pace_waits_for_the_length_of_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(tmp_path / "run", epochs=4, upto=-1, state="starting")
    status = path / "status.json"
    status.write_text(re.sub(r'"total": \d+', '"total": 0', status.read_text()))
    view = lab.view(path)
    browser = Browser(view, monkeypatch)
    browser.say(kind="hello")
    browser.say(kind="steer", run="run", action="pace", value=1.0)
    assert view.run.control["delay"] == 0
    write_run(path, epochs=4, upto=0, state="running")
    view.refresh()
    assert view.run.control["delay"] == pytest.approx(1.0 / STEPS_AN_EPOCH)


def test_what_ships_with_the_lab_is_not_steered(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(lab.view("digits-compression"), monkeypatch)
    (about,) = [part.about for part in browser.say(kind="hello") if part.kind == "run"]
    assert not about["ours"]
    (note,) = browser.say(kind="steer", run="digits-compression", action="pause", value=None)
    assert "not steered" in note.about["text"]
    assert not (browser.view.run.path / "control.json").exists()


def test_a_run_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_run(tmp_path / "run")
    browser = Browser(lab.view(path), monkeypatch)
    browser.say(kind="hello")
    (path / "settings.yaml").unlink()
    browser.view.refresh()
    assert browser.parts[-1].about["why"] == "the run run is gone"
    assert browser.view.words == "the run run is gone"
    with pytest.raises(ValueError, match="the run run is gone"):
        browser.view.figure()


def test_another_run_of_the_same_name_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(tmp_path / "run")
    view = lab.view(path)
    browser = Browser(view, monkeypatch)
    browser.say(kind="hello")
    shutil.rmtree(path)
    view.refresh()
    before = len(browser.parts)
    write_run(path, epochs=2, arms={"kd": ARMS["plain"], "mine": ARMS["crd"]})
    view.refresh()
    found = browser.parts[before:]
    assert view.reader.arms == ["kd", "mine"] and view.arm == "mine"
    (about,) = [part.about for part in found if part.kind == "run"]
    assert about["epochs"] == 2 and [arm["name"] for arm in about["arms"]] == ["kd", "mine"]
    (frame,) = [part.about for part in found if part.kind == "frame"]
    assert (frame["arm"], frame["step"]) == ("mine", 2 * STEPS_AN_EPOCH)
    assert "mine at step 28" in view.words
    view.arm = "kd"


def test_a_new_run_of_a_name_is_followed_by_the_loop(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_notebook, "TICK", 0.01)

    async def look() -> bool:
        view = lab.view(running)
        browser = Browser(view, monkeypatch)
        browser.say(kind="hello")
        (running / "settings.yaml").unlink()
        write_run(running, epochs=4, upto=4, state="finished")
        await asyncio.wait_for(view._task, 20)
        write_run(running, epochs=4, upto=1, state="running")
        browser.say(kind="images", run="run")
        return not view._task.done()

    with ThreadPoolExecutor() as thread:
        assert thread.submit(asyncio.run, look()).result()


@pytest.mark.parametrize(
    "scene", [None, {}, [], {"sides": []}, {"sides": [["run", "crd"]]}, {"step": 14}]
)
def test_a_message_that_lacks_something_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Any
) -> None:
    view = lab.view(write_run(tmp_path / "run"))
    browser = Browser(view, monkeypatch)
    browser.say(kind="hello")
    before = view.scene
    browser.say(kind="scene", scene=scene)
    assert browser.say(kind="scene") == browser.say() == [] and view.scene == before
    browser.shows(sides=[["run", "absent"]], step=14)  # of a run that was there before
    assert (view.arm, view.step) == ("wcord", 14)
    (note,) = browser.say(kind="steer")
    assert note.about["text"] == "a run cannot be steered by None None"
    (note,) = browser.say(kind="steer", action="pace")
    assert note.about["text"] == "a run cannot be steered by pace None"


@pytest.mark.parametrize("arms", [{}, None, []])
def test_a_run_without_arms_is_refused_in_one_line(tmp_path: Path, arms: Any) -> None:
    path = write_run(tmp_path / "run")
    settings = Run(path).plain_settings | {"arms": arms}
    (path / "settings.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ValueError, match="the settings of run cannot be read") as refused:
        lab.view(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "no"), "its files cannot be read (PermissionError); check the disk"),
        (ValueError("a parser's words"), "its files are damaged (ValueError)"),
        (KeyError("x"), "its files are damaged (KeyError)"),
    ],
)
def test_a_browser_is_told_that_reading_fails_and_is_sent_all_when_it_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    view = lab.view(write_run(tmp_path / "run"))
    browser = Browser(view, monkeypatch)

    def fail(*_: Any) -> bytes:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(view._feed, "_answers", fail)
        trouble, setup = browser.say(kind="hello")
        assert (trouble.kind, setup.kind) == ("trouble", "setup")
        assert words in trouble.about["why"] and "parser" not in trouble.about["why"]
        assert browser.say(kind="frames", frames=[["run", "crd", 0]]) == []  # it is said once
        view.refresh()
        assert browser.numbers == [1]
    view.refresh()
    assert browser.numbers == [1, 1]  # of a feed that has begun again
    assert {"run", "status", "samples", "frame"} <= set(kinds(browser.parts[2:]))


# ------------------------------------------------------------------------- what is stored of it


def picture(view: RunView) -> tuple[str, dict[str, Any]]:
    """Return the stored picture of a view, SVG, and all of its data."""
    data, _ = view._repr_mimebundle_()
    assert data["image/svg+xml"].startswith("<svg ") and data["image/svg+xml"].count("<path") > 10
    return data["image/svg+xml"], data


def test_a_stored_notebook_shows_a_picture_and_its_words(tmp_path: Path) -> None:
    view = lab.view(write_run(tmp_path / "run"))
    first, data = picture(view)
    assert WIDGET in data and "<text" in first and "<image" in first
    assert data["text/plain"] == view.words
    assert view.words.startswith(
        "made-up: finished at step 42 of 42. wcord at step 42. Transport plan"
    )
    assert len(view.figure().axes) == 4
    view.step = 0
    assert "wcord at step 0" in view.words and picture(view)[0] != first
    view.arm = "plain"
    assert ". plain at step 0" in view.words


def test_the_picture_is_of_the_panels_that_were_asked_for(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run")
    for panels, count in ((["plan"], 1), (["lines", "cosines", "card"], 2), (["losses"], 1)):
        figure = lab.view(path, panels=panels).figure()
        assert sum(ax.get_visible() for ax in figure.axes) == count
    (accuracy,) = lab.view(path, panels=["accuracy"]).figure().axes
    found = {line.get_label(): line.get_ydata() for line in accuracy.get_lines()}
    table = Watch(path).curves("test_accuracy")[1]
    for arm in ("plain", "wcord+kd"):
        np.testing.assert_allclose(found[arm], table[arm])
    words = lab.view(path, panels=["accuracy"]).words
    assert words.endswith(f"test accuracy, %, wcord at {table['wcord'].iloc[-1]:.2f}.")
    assert "Transport plan" not in words
    (image,) = lab.view(path, panels=["plan"]).figure().axes[0].get_images()
    assert image.get_array().shape == (32, 32)


def test_without_a_snapshot_there_are_words_alone(tmp_path: Path) -> None:
    view = lab.view(write_run(tmp_path / "run", upto=-1, state="starting"))
    data, _ = view._repr_mimebundle_()
    assert "image/svg+xml" not in data
    assert data["text/plain"].endswith("nothing to see yet")


def test_a_damaged_snapshot_costs_the_picture_and_no_more(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run")
    (path / "snapshots" / "42.safetensors").write_bytes(b"cut")
    view = lab.view(path)
    data, _ = view._repr_mimebundle_()
    assert "image/svg+xml" not in data and "cannot be read" in data["text/plain"]
    view.step = 28
    picture(view)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_full_of_marks_are_drawn_as_they_are(tmp_path: Path) -> None:
    view = lab.view(write_run(tmp_path / "run", arms=NASTY_ARMS, classes=NASTY_CLASSES), NASTY_ARM)
    names = view.reader.class_names
    short = {mathtext(names.short(label)) for label in range(len(NASTY_CLASSES))}
    assert {tick.get_text() for tick in view.figure().axes[0].get_xticklabels()} == short
    assert f"{NASTY_ARM} at step 42" in view.words
    picture(view)


def test_of_an_executed_notebook_picture_and_words_are_kept(tmp_path: Path) -> None:
    data, metadata = lab.view(write_run(tmp_path / "run"), panels=["plan"])._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    cell = nbformat.v4.new_code_cell("lab.view(run)", outputs=[output])
    (kept,) = normalise(nbformat.v4.new_notebook(cells=[cell])).cells[0].outputs
    assert set(kept.data) == {"image/svg+xml", "text/plain"}
    assert len(kept.data["image/svg+xml"]) < 60_000


def test_neither_torch_nor_streamlit_is_waited_for() -> None:
    code = (
        "import sys, lab; assert 'numpy' not in sys.modules; import lab.viewer.in_notebook; "
        "lab.view('digits-compression')._repr_mimebundle_(); "
        "assert not {'torch', 'streamlit'} & set(sys.modules), 'loaded'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
