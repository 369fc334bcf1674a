"""The registry of runs: rows, notes, search, deletion, attaching; settings as typed; its page."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from app_pages import in_address, one_error, open_page, rerun
from filelock import FileLock
from hypothesis import example, given, settings
from hypothesis import strategies as hs
from made_up_run import write_run
from streamlit.testing.v1 import AppTest

import wcord
import wcord.training.launch
from lab.reading import registry, settings_text
from lab.reading.pairing import siblings
from wcord.cli import dotted
from wcord.runs import Run
from wcord.settings.experiment import SCHEMA_VERSION

OUTSIDE = ["..", ".", "../outside", "a/b", "/etc", "", ".hidden", "a/../..", "a\\b", "x\n"]


@pytest.fixture
def outside(folder: Path) -> Path:
    """Something precious beside the folder of runs."""
    return write_run(folder.parent / "outside", epochs=1)


@pytest.fixture
def going(folder: Path) -> Iterator[Path]:
    """A run whose writer seems alive, a third of the way."""
    path = write_run(folder / "going", epochs=3, upto=1, state="running")
    said = json.loads((path / "status.json").read_text()) | {"eta": 75.4}
    (path / "status.json").write_text(json.dumps(said))
    with FileLock(path / "lock"):
        yield path


def by_name(found: list[registry.Row]) -> dict[str, registry.Row]:
    return {row.name: row for row in found}


# ------------------------------------------------------------------------------ what there is


def test_rows_say_state_progress_and_time_left(going: Path, folder: Path) -> None:
    write_run(folder / "done", epochs=1)
    write_run(folder / "dead", epochs=4, upto=1, state="running")
    (folder / ".teachers").mkdir()
    (folder / "sweeps").mkdir()
    (folder / "note.txt").write_text("no run")
    found = by_name(registry.rows())
    assert [name for name in found if not name.startswith("demo")] == ["dead", "done", "going"]
    assert found["going"].state == "running" and found["going"].moving
    assert found["going"].share == pytest.approx(1 / 3) and found["going"].left == 75.4
    assert found["done"].state == "finished" and found["done"].share == 1
    assert found["dead"].state == "interrupted" and found["dead"].resumable
    assert not found["done"].resumable and not found["going"].resumable


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("settings.yaml", b"arms: [", "settings.yaml cannot be read"),
        ("settings.yaml", b"\xff\xfe", "settings.yaml cannot be read"),
        ("settings.yaml", b"just words", "names no arms"),
        ("settings.yaml", None, "settings.yaml is missing"),
        ("settings.yaml", b"schema_version: 9\narms: {a: {ce: 1}}", "newer than 1: update wcord"),
        ("status.json", b"{half", "status.json is damaged"),
        ("status.json", None, "status.json is missing"),
    ],
)
def test_a_broken_directory_is_a_row_that_says_what_is_wrong(
    folder: Path, file: str, content: bytes | None, said: str
) -> None:
    path = write_run(folder / "broken", epochs=1)
    (path / file).unlink() if content is None else (path / file).write_bytes(content)
    row = by_name(registry.rows())["broken"]
    assert row.state == "broken" and said in row.trouble and "\n" not in row.trouble
    registry.delete("broken")
    assert not path.exists()


def test_a_badly_named_directory_is_told_and_never_deleted(folder: Path) -> None:
    path = write_run(folder / "two words", epochs=1)
    assert "cannot name a run" in by_name(registry.rows())["two words"].trouble
    with pytest.raises(ValueError, match="cannot name a run"):
        registry.delete("two words")
    assert path.exists()


def test_the_schema_it_knows_is_wcords() -> None:
    assert registry.KNOWN_SCHEMA == SCHEMA_VERSION


def test_search_takes_all_words_in_any_case(folder: Path) -> None:
    Run(write_run(folder / "alpha", epochs=1)).note("Negatives from OTHER classes")
    write_run(folder / "beta", epochs=1, state="failed", error="x")
    assert set(by_name(registry.rows(search="ALPHA"))) == {"alpha"}
    assert set(by_name(registry.rows(search="other negatives"))) == {"alpha"}
    assert set(by_name(registry.rows(search="failed made-up"))) == {"beta"}
    assert registry.rows(search="nothing like it") == []


def test_a_hundred_runs_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_run(folder / "run-0", epochs=1)
    for place in range(1, 100):
        path = folder / f"run-{place}"
        path.mkdir()
        for name in ("settings.yaml", "status.json"):
            (path / name).write_bytes((first / name).read_bytes())
    assert len(registry.rows()) == 101
    monkeypatch.setattr(yaml, "load", lambda *_: pytest.fail("settings are parsed again"))
    assert sum(row.state == "finished" for row in registry.rows()) == 101


def test_notes_are_kept_beside_the_numbers(folder: Path) -> None:
    run = Run(write_run(folder / "made-up", epochs=1))
    assert run.notes == ""
    run.note("ε = 0.02 seems better\n")
    assert Run(run.path).notes == "ε = 0.02 seems better\n"
    assert by_name(registry.rows())["made-up"].notes == run.notes


# ------------------------------------------------------------- nothing outside is ever touched


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out_of_the_folder(outside: Path, folder: Path, name: str) -> None:
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(ValueError):
        registry.delete(name)
    assert sorted(folder.parent.rglob("*")) == before


@given(hs.text(hs.sampled_from("./\\ab~"), max_size=12))
def test_deletion_stays_in_the_folder_whatever_is_asked(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    home = tmp_path_factory.mktemp("home")
    write_run(home / "b", epochs=1)
    (home / "runs").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WCORD_RUNS", str(home / "runs"))
        with pytest.raises(ValueError):
            registry.delete(name)
    assert (home / "b" / "settings.yaml").exists()


def test_links_strangers_and_living_runs_are_not_deleted(
    going: Path, outside: Path, folder: Path
) -> None:
    (folder / "link").symlink_to(outside)
    (folder / "sweeps").mkdir()
    for name, why in (("link", "a link"), ("sweeps", "no run"), ("going", "stop it first")):
        with pytest.raises(ValueError, match=why):
            registry.delete(name)
    assert (outside / "settings.yaml").exists() and going.exists()
    assert not registry.is_ours(folder / "link")


def test_find_knows_names_demos_and_whole_paths_only(outside: Path, folder: Path) -> None:
    inside = write_run(folder / "made-up", epochs=1)
    assert registry.find("made-up") == inside and registry.name_of(inside) == "made-up"
    assert registry.find(str(outside)) == outside and registry.name_of(outside) == str(outside)
    for name, path in registry.demo_runs().items():
        assert registry.find(name) == path and registry.name_of(path) == name
    for name in ("../outside", "absent", "a/b", "", str(folder), "demo: none", "/nowhere"):
        with pytest.raises(ValueError) as refused:
            registry.find(name)
        assert "\n" not in str(refused.value)


# ---------------------------------------------------------------------------- settings as typed


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("epochs: 3\narms: {a: {ce: 1}}\nbatch: 1\n", "line 3: batch: input should be greater"),
        ("extends: digits-half\n\nepoch: 3\n", "line 3: unknown setting 'epoch'"),
        ("extends: digits-half\narms.kd.kd.weight: -1\n", "line 2: arms.kd.kd.weight"),
        ("arms:\n  a:\n    ce: 1\n    gkct: 5\n", "line 4: arm 'a': unknown term 'gkct'"),
        ("data:\n  source: digits\n  held_out: 2\narms: {a: {ce: 1}}", "line 3: data.held_out"),
        ("extends: digits-hlaf\n", "unknown preset 'digits-hlaf'"),
        ("epochs: [3\nseed: 1", "line 2"),
        ("a: b: c", "line 1, column 5"),
        ("just words", "line 1: a table of settings was expected"),
        ("", "line 1: a table"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
    ],
)
def test_what_is_wrong_with_settings_is_one_line_with_its_place(text: str, line: str) -> None:
    with pytest.raises(ValueError) as refused:
        settings_text.read(text)
    assert line in str(refused.value) and "\n" not in str(refused.value)


def test_settings_read_as_wcord_loads_them(tmp_path: Path) -> None:
    text = "extends: digits-half\nepochs: 7\narms.kd: null\nstudent.view: [right]\n"
    (tmp_path / "mine.yaml").write_text(text)
    assert settings_text.read(text) == wcord.load(tmp_path / "mine.yaml")


CHANGES: dict[str, hs.SearchStrategy[Any]] = {
    "epochs": hs.integers(1, 99),
    "seed": hs.integers(0, 9),
    "title": hs.text(max_size=20),
    "student.view": hs.sampled_from([["left"], [{"downsample": {"factor": 2}}]]),
    "data.labels_per_class": hs.sampled_from([None, 3]),
    "linear_probe": hs.booleans(),
    "arms.kd": hs.none(),
    "arms.wcord.gckt.weight": hs.floats(0, 9),
    "arms.wcord.lckt": hs.just({"weight": 1.0, "plan": "identity"}),
    "arms.new arm": hs.just({"ce": 1, "hint": 2.5}),
    "arms": hs.sampled_from([{"plain": {"ce": 2}, "other": {"kd": 1}}, {"a.b": {"ce": 1}}]),
}


@settings(max_examples=40)
@given(hs.fixed_dictionaries({}, optional=CHANGES))
@example({"title": "a\x85b"})
@example({"title": "\xa0"})
def test_the_command_line_says_the_same(asked: dict[str, Any]) -> None:
    preset = wcord.load("digits-half")
    if "arms" in asked:  # the whole table replaces what is said of single arms
        asked = {key: value for key, value in asked.items() if not key.startswith("arms.")}
    wanted = preset.replace(asked)
    words = shlex.split(settings_text.command("digits-half", wanted))
    assert words[:3] == ["wcord", "train", "digits-half"]
    assert preset.replace(dotted(words[3:])) == wanted


# ------------------------------------------------------------------------------------- the page


def listed(app: AppTest) -> Any:
    """Return the rows of the table by name."""
    return app.dataframe[0].value.set_index("run").to_dict("index")


def test_the_table_lists_every_run_and_what_is_wrong(going: Path, folder: Path) -> None:
    (write_run(folder / "broken", epochs=1) / "settings.yaml").write_text("arms: [")
    app = open_page("runs")
    rows = listed(app)
    assert rows["going"]["progress"] == pytest.approx(100 / 3)
    assert rows["going"]["left"] == "0:01:15" and "running" in rows["going"]["state"]
    assert "cannot be read" in rows["broken"]["what"]
    assert "demo: digits-compression" in rows
    assert any("answers to this machine only" in c.value for c in app.caption)


def test_search_on_the_page(folder: Path) -> None:
    for name in ("alpha", "beta"):
        write_run(folder / name, epochs=1)
    app = open_page("runs", search="alph")
    assert set(listed(app)) == {"alpha"}
    app.text_input(key="search").set_value("zzz")
    rerun(app)
    assert not app.dataframe and "zzz" in app.info[0].value


def test_notes_are_written_and_read_on_the_page(folder: Path) -> None:
    path = write_run(folder / "made-up", epochs=1)
    app = open_page("runs", run="made-up")
    app.text_area(key="notes-made-up").set_value("try ε = 0.02")
    rerun(app)
    assert Run(path).notes == "try ε = 0.02"
    assert listed(app)["made-up"]["notes"] == "try ε = 0.02"
    assert open_page("runs", run="made-up").text_area(key="notes-made-up").value == "try ε = 0.02"


def test_deleting_needs_a_second_click_and_takes_this_run_only(folder: Path) -> None:
    for name in ("alpha", "beta"):
        write_run(folder / name, epochs=1)
    app = open_page("runs", run="beta")
    assert app.button(key="delete").label == "Delete beta"
    app.button(key="delete").click()
    rerun(app)
    assert [path.name for path in folder.iterdir()] == ["alpha"]
    assert "run" not in app.query_params and "beta" not in listed(app)


def test_a_living_run_can_be_stopped_not_deleted(going: Path) -> None:
    app = open_page("runs", run="going")
    keys = {button.key for button in app.button}
    assert "stop" in keys and not keys & {"delete", "resume"}
    app.button(key="stop").click()
    rerun(app)
    assert json.loads((going / "control.json").read_text())["stop"] is True


def test_an_interrupted_run_is_resumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(folder / "dead", epochs=4, upto=2, state="running")
    asked: list[str] = []
    monkeypatch.setattr(wcord.training.launch, "relaunch", lambda run: asked.append(run.name))
    app = open_page("runs", run="dead")
    app.button(key="resume").click()
    rerun(app)
    assert asked == ["dead"]


def test_a_run_elsewhere_is_attached_looked_at_and_left_alone(outside: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in outside.rglob("*")}
    app = open_page("runs")
    app.text_input(key="attach-path").set_value(str(outside))
    app.button(key="attach").click()
    rerun(app)
    assert str(outside) in listed(app)
    assert in_address(app, "at") == in_address(app, "run") == str(outside)
    assert not {button.key for button in app.button} & {"delete", "resume", "stop"}
    assert not [area for area in app.text_area if str(area.key).startswith("notes")]
    assert any("never changed" in caption.value for caption in app.caption)
    assert str(outside) in listed(open_page("runs", at=str(outside)))  # a link shows it, too
    assert {path: path.stat().st_mtime_ns for path in outside.rglob("*")} == before


def test_an_attached_run_that_has_gone_is_a_row(folder: Path) -> None:
    rows = listed(open_page("runs", at=str(folder.parent / "gone")))
    assert rows[str(folder.parent / "gone")]["what"] == "the directory is gone"


@pytest.mark.parametrize("text", ["", "/nowhere", "relative", "\0", "x" * 5000])
def test_a_path_without_a_run_is_one_line(folder: Path, text: str) -> None:
    app = open_page("runs")
    app.text_input(key="attach-path").set_value(text)
    app.button(key="attach").click()
    rerun(app)
    one_error(app)


@pytest.mark.parametrize("name", ["../outside", "a/b", "absent"])
def test_an_address_that_is_no_run_is_one_line(folder: Path, name: str) -> None:
    app = open_page("runs", run=name)
    one_error(app)


def editor(folder: Path) -> AppTest:
    app = open_page("runs", view="Start from settings", base="digits-half")
    assert not app.error
    return app


def test_settings_are_edited_checked_and_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    def launch(experiment: wcord.Experiment, path: Path | None = None) -> Run:
        started.append(experiment)
        return Run(write_run(folder / "started", upto=0, state="running"))

    monkeypatch.setattr(wcord.training.launch, "launch", launch)
    app = editor(folder)
    area = app.text_area(key="settings-digits-half")
    area.set_value(f"{area.value}epochs: 0\n")
    rerun(app)
    (error,) = app.error
    assert error.value.startswith("line ") and "epochs" in error.value
    assert not [button for button in app.button if button.key == "start-settings"]
    area = app.text_area(key="settings-digits-half")
    area.set_value("extends: digits-half\nepochs: 2\narms.kd: null\n")
    rerun(app)
    assert not app.error, app.error[0].value
    assert app.code[0].value == "wcord train digits-half --epochs 2 --arms.kd null"
    app.button(key="start-settings").click()
    rerun(app)
    assert started == [wcord.load("digits-half").replace({"epochs": 2, "arms.kd": None})]


@pytest.mark.parametrize("name", ["../outside", "a/b", "..", ""])
def test_a_name_in_settings_leads_nowhere(folder: Path, name: str) -> None:
    app = editor(folder)
    app.text_area(key="settings-digits-half").set_value(f"extends: digits-half\nname: '{name}'\n")
    rerun(app)
    assert "cannot name a run" in app.error[0].value
    assert not [button for button in app.button if button.key == "start-settings"]


def upload(app: AppTest, content: bytes) -> None:
    uploader: Any = app.get("file_uploader")[0]
    uploader.upload("mine.yaml", content)


def test_an_uploaded_file_comes_into_the_editor(folder: Path) -> None:
    app = editor(folder)
    upload(app, b"extends: digits-half\nseed: 5\n")
    rerun(app)
    assert "--seed 5" in app.code[0].value
    upload(app, b"\xff\xfe\x00")
    rerun(app)
    assert "no text file" in app.error[0].value


def test_time_left_is_not_told_where_it_is_not_known(folder: Path) -> None:
    path = write_run(folder / "far", epochs=4, upto=1, state="running")
    said = json.loads((path / "status.json").read_text())
    said |= {"host": "elsewhere", "heartbeat": time.time() - 100}
    (path / "status.json").write_text(json.dumps(said))
    row = by_name(registry.rows())["far"]
    assert row.state == "silent" and row.left is None and not row.resumable


def test_a_folder_in_place_of_the_settings_is_a_row(folder: Path) -> None:
    write_run(folder / "made-up", epochs=1)
    (folder / "x" / "settings.yaml").mkdir(parents=True)
    found = by_name(registry.rows())
    assert found["made-up"].state == "finished" and found["x"].state == "broken"
    assert found["x"].trouble.startswith("settings.yaml is a folder")
    open_page("runs")


def test_a_run_that_is_deleted_while_it_is_read_is_a_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(folder / "made-up", epochs=1)

    def delete(path: Path) -> str:
        if path.name == "made-up":
            shutil.rmtree(path)
        return ""

    monkeypatch.setattr(registry, "_untold", delete)
    row = by_name(registry.rows())["made-up"]
    assert (row.state, row.trouble) == ("broken", "the directory is gone")


def test_a_sibling_that_is_deleted_while_it_is_read_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        path = write_run(folder / f"run-{seed}", epochs=1)
        (path / "summary.json").write_text("{}")
    run = Run(folder / "run-0")
    assert [other.name for other in siblings(run)] == ["run-0", "run-1", "run-2"]
    is_file = Path.is_file

    def delete(path: Path) -> bool:
        there = is_file(path)
        if path.parent.name == "run-1":
            shutil.rmtree(path.parent, ignore_errors=True)
        return there

    monkeypatch.setattr(Path, "is_file", delete)
    assert [other.name for other in siblings(run)] == ["run-0", "run-2"]
