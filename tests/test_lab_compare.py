"""The compare page: which sides, what is said of their difference, and what the view is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_pages import Canvas, in_address, open_page, rerun
from made_up_run import ARMS, NASTY_ARM, NASTY_ARMS, NASTY_CLASSES, write_run
from safetensors.numpy import load, save
from test_lab_pairing import change, summarise

from lab.control import comparing
from lab.course import notebook_section
from lab.reading.pairing import PairedAccuracy, Side
from lab.reading.watch import Watch
from lab.words.panels import PANELS

ONE_ARM = {"wcord": ARMS["wcord"]}


@pytest.fixture
def one(folder: Path) -> Path:
    """A finished run whose students are right on every sample."""
    return write_run(folder / "one")


def answer_wrong(path: Path, arm: str, count: int) -> None:
    """Let an arm's last answers be wrong on the first samples."""
    file = path / "snapshots" / "42.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])["__metadata__"]
    arrays = load(content)
    wrong = arrays[f"{arm}/prediction"].copy()
    wrong[:count] = (wrong[:count] + 1) % 10
    file.write_bytes(save(arrays | {f"{arm}/prediction": wrong}, header))


# ------------------------------------------------------------------------------------ the sides


def test_two_arms_of_the_newest_run_are_compared_at_first(one: Path) -> None:
    assert comparing.sides_of(["one"], [("", "")] * 2) == [("one", "wcord"), ("one", "plain")]
    asked = [("", "crd"), ("", "kd")]
    assert comparing.sides_of(["one"], asked) == [("one", "crd"), ("one", "kd")]
    assert comparing.sides_of(["one"], [("", "plain"), ("", "")])[1] == ("one", "crd")


def test_two_runs_are_compared_by_the_same_arm(one: Path, folder: Path) -> None:
    write_run(folder / "two")
    asked = [("one", "crd"), ("two", "")]
    assert comparing.sides_of(["two", "one"], asked) == [("one", "crd"), ("two", "crd")]
    assert comparing.sides_of(["two", "one"], [("one", ""), ("two", "")])[1] == ("two", "wcord")


def test_a_run_with_one_arm_is_not_compared_with_itself(one: Path, folder: Path) -> None:
    write_run(folder / "alone", arms=ONE_ARM)
    alone = ("alone", "wcord")
    assert comparing.sides_of(["alone", "one"], [("", "")] * 2) == [alone, ("one", "wcord")]
    assert comparing.sides_of(["alone"], [("", "")] * 2)[0] == alone  # there is no other
    asked = [("alone", ""), ("alone", "")]  # somebody wants it
    assert comparing.sides_of(["alone", "one"], asked) == [alone, alone]


def test_a_run_that_there_is_not_does_not_stop_the_other(one: Path) -> None:
    assert comparing.arms_of("absent") == []
    assert comparing.sides_of(["one"], [("absent", ""), ("", "")])[0] == ("absent", "wcord")


# ------------------------------------------------------------------------------------- in words


def test_a_difference_is_said_with_its_interval_and_of_whom_it_speaks(one: Path) -> None:
    answer_wrong(one, "plain", 12)
    watch = Watch(one)
    a, b = Side(watch, "wcord"), Side(watch, "plain")
    said = comparing.verdict(a, b, 42)
    assert said.startswith("A − B: +20.0 points of accuracy on the same 60 held-out samples")
    assert "from the 12 samples that only one of them gets right: A is better." in said
    assert "one pair of trained students" in said
    assert "−20.0 points" in comparing.verdict(b, a, 42) and "worse" in comparing.verdict(b, a, 42)
    same = comparing.verdict(a, b, 28)
    assert same == "A and B are right on the same of 60 held-out samples."


def test_a_difference_that_may_be_chance_is_called_so(one: Path) -> None:
    watch = Watch(one)
    few = PairedAccuracy(5.0, -3.0, 13.0, 0.2, 50, 6, 3, 1)
    said = comparing.sentence(Side(watch, "crd"), Side(watch, "plain"), few, 42)
    assert "they cannot be told apart" in said and "interval −3.0 to +13.0" in said


def test_students_that_answer_nothing_are_not_compared_by_their_answers(folder: Path) -> None:
    arms = {arm: {"lckt": {"weight": 1.0}} for arm in ARMS}
    summary = {arm: {"linear_probe_accuracy": 80.0 + k} for k, arm in enumerate(ARMS)}
    for seed in (0, 1):
        path = write_run(folder / f"seed-{seed}", arms=arms)
        change(path, seed=seed)
        (path / "summary.json").write_text(json.dumps({"seed": seed, "arms": summary}))
    watch = Watch(folder / "seed-0")
    a, b = Side(watch, "wcord"), Side(watch, "plain")
    assert comparing.verdict(a, b, 42).startswith("Neither student was trained to answer")
    said = comparing.over_seeds(a, b)
    assert said.startswith("Over 2 seeds: +2.0 points of linear probe accuracy:")
    assert "interval" not in said  # one difference twice: no spread


def test_seeds_are_told(folder: Path) -> None:
    for seed, gain in enumerate((2.0, 2.1, 1.9)):
        path = write_run(folder / f"seed-{seed}")
        summarise(path, seed, plain=80.0 + seed, wcord=80.0 + seed + gain)
    watch = Watch(folder / "seed-1")
    said = comparing.over_seeds(Side(watch, "wcord"), Side(watch, "plain"))
    assert said.startswith("Over 3 seeds: +2.0 points of test accuracy, 95 % interval +1.")
    assert said.endswith("A is better.")
    longer = Watch(write_run(folder / "longer", epochs=4))
    unknown = comparing.over_seeds(Side(longer, "wcord"), Side(longer, "plain"))
    assert unknown.startswith("Other seeds are not known yet")


# ------------------------------------------------------------------------------------ the page


def test_two_arms_of_a_run_side_by_side(one: Path, canvas: Canvas) -> None:
    answer_wrong(one, "plain", 12)
    app = open_page("compare", a="one", arm_a="wcord", arm_b="plain", step="28")
    assert not app.error and canvas.scene["letters"] and canvas.scene["step"] == 28
    assert canvas.scene["sides"] == [["one", "wcord"], ["one", "plain"]]
    assert {panel.partition("@")[0] for panel in canvas.scene["panels"]} <= set(PANELS)
    frames = canvas.last("frame")
    assert [(f.about["arm"], f.about["step"]) for f in frames] == [("wcord", 28), ("plain", 28)]
    (note,), (unpaired,) = canvas.last("note"), canvas.last("unpaired")
    assert list(note.about["at"]) == ["0", "14", "28", "42"] and unpaired.about["why"] == ""
    assert "+20.0 points" in note.about["at"]["42"] and "seeds" in note.about["after"]


def test_choices_go_into_the_address_and_come_from_it(
    one: Path, folder: Path, canvas: Canvas
) -> None:
    write_run(folder / "two", seed=1)
    app = open_page("compare", a="one")
    assert canvas.scene["sides"] == [["one", "wcord"], ["one", "plain"]]
    assert set(canvas.last("choices")[0].about["runs"]) >= {"one", "two"}
    canvas.say(app, "scene", scene=canvas.scene | {"sides": [["one", "kd"], ["two", "crd"]]})
    said = [in_address(app, name) for name in ("a", "arm_a", "b", "arm_b")]
    assert said == ["one", "kd", "two", "crd"]
    assert canvas.scene["sides"] == [["one", "kd"], ["two", "crd"]]
    rerun(app)
    assert canvas.scene["sides"] == [["one", "kd"], ["two", "crd"]]


def test_no_run_at_all_leads_to_the_demo_alone(folder: Path, canvas: Canvas) -> None:
    open_page("compare")
    demo = "demo: digits-compression"
    assert canvas.scene["sides"] == [[demo, "wcord"], [demo, "plain"]]
    assert canvas.last("note")[0].about["at"]["440"].startswith("A − B:")


@pytest.mark.parametrize(
    ("settings", "run", "why"),
    [
        ({"seed": 5}, {}, "Not the same samples, so nothing can be paired: seed is"),
        ({}, {"batch": 16}, "probe.batch"),
        ({}, {"epochs": 5, "steps": {0, 14, 28, 42}}, "no picture of one step in common"),
        ({}, {"steps": set(range(99))}, "No picture has been taken of two yet"),
    ],
)
def test_sides_that_cannot_be_paired_are_one_line(
    one: Path,
    folder: Path,
    canvas: Canvas,
    settings: dict[str, Any],
    run: dict[str, Any],
    why: str,
) -> None:
    removed = run.pop("steps", set())
    path = write_run(folder / "two", **run)
    change(path, **settings)
    for step in removed:
        (path / "snapshots" / f"{step}.safetensors").unlink(missing_ok=True)
    app = open_page("compare", a="one", b="two")
    (unpaired,) = canvas.last("unpaired")
    assert why in unpaired.about["why"] and "\n" not in unpaired.about["why"]
    assert not canvas.last("note") and not app.error


@pytest.mark.parametrize("name", ["../one", "absent", "a/b", "/nowhere"])
@pytest.mark.parametrize("side", ["a", "b"])
def test_an_address_that_is_no_run_is_one_line(
    one: Path, canvas: Canvas, side: str, name: str
) -> None:
    open_page("compare", **{side: name})
    (trouble,) = canvas.last("trouble")
    assert trouble.about["run"] == name and "\n" not in trouble.about["why"]
    assert not canvas.last("note")


def test_damage_is_said_at_its_step(one: Path, canvas: Canvas) -> None:
    (one / "snapshots" / "42.safetensors").write_bytes(b"half")
    open_page("compare", a="one", arm_a="nonsense")
    assert not canvas.last("note")  # of an arm that there is not
    open_page("compare", a="one")
    (note,) = canvas.last("note")
    assert "cannot be read" in note.about["at"]["42"] and "right on" in note.about["at"]["28"]
    assert len(canvas.last("missing")) == 2


def test_names_of_all_kinds_pass(folder: Path, canvas: Canvas) -> None:
    write_run(folder / "nasty", arms=NASTY_ARMS, classes=NASTY_CLASSES)
    open_page("compare", a="nasty", arm_a=NASTY_ARM)
    assert [frame.about["arm"] for frame in canvas.last("frame")] == [NASTY_ARM, "_hidden_"]


def test_pictures_are_taken_away_and_explained(one: Path, canvas: Canvas) -> None:
    app = open_page("compare", a="one", arm_a="crd", arm_b="wcord")
    canvas.say(app, "export", panel="difference", metric=None, step=42)
    assert "figures.difference(plan_a, plan_b" in app.code[0].value
    canvas.say(app, "export", panel="scores@1", metric=None, step=14)
    assert "arm('wcord')" in app.code[0].value and "snapshot(14)" in app.code[0].value
    canvas.say(app, "export", panel="accuracy", metric="test_accuracy", step=14)
    assert "test_accuracy" in app.code[0].value
    canvas.say(app, "export", panel="answers", metric=None, step=14)
    assert not app.code
    canvas.say(app, "why", panel="map@1")
    section = PANELS["map"].section
    assert section is not None
    opening = notebook_section.markdown_of(section).splitlines()[0]
    assert any(said.value.startswith(opening) for said in app.markdown)


def test_the_first_pictures_do_not_wait_for_torch(one: Path) -> None:
    tests = str(Path(__file__).parent)
    code = f"""
import sys
sys.path.append({tests!r})
from app_pages import open_page
from lab.control import warm_up
warm_up.begin = lambda: None
for page in ("live", "compare", "tour"):
    open_page(page)
sys.exit(", ".join({{"torch", "ot", "umap", "sklearn"}} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_verdicts_are_made_once(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(one)
    a, b = Side(watch, "wcord"), Side(watch, "plain")
    before = [comparing.verdict(a, b, step) for step in watch.run.steps]
    monkeypatch.setattr(np, "asarray", lambda *_, **__: pytest.fail("read again"))
    assert [comparing.verdict(a, b, step) for step in watch.run.steps] == before
