"""Pictures taken away: files that open, data that is the run's, cells that draw the same again."""

from __future__ import annotations

import ast
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from app_pages import Canvas, one_error, open_page
from made_up_run import NASTY_ARM, NASTY_ARMS, NASTY_CLASSES, write_run
from PIL import Image
from streamlit.testing.v1 import AppTest

from lab.control import exporting
from lab.control.exporting import Export
from lab.reading.pairing import Side
from lab.reading.watch import Watch

DEMO = exporting.DEMO / "digits-compression"


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    return Watch(write_run(tmp_path / "made-up"))


EXPORTS: dict[str, Callable[[Watch], Export]] = {
    "plan": lambda w: exporting.of_plan(w, "wcord+kd", 42),
    "scores": lambda w: exporting.of_scores(w, "crd", 14),
    "map": lambda w: exporting.of_map(w, "wcord", 42),
    "curves": lambda w: exporting.of_curves(w, "test_accuracy", "test accuracy, %"),
    "difference": lambda w: exporting.of_difference(Side(w, "crd"), Side(w, "wcord"), 42),
}


def run_cell(cell: str) -> object:
    """Execute a notebook cell and return the value of its last line, as a notebook shows it."""
    tree = ast.parse(cell)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    space: dict[str, object] = {}
    exec(compile(tree, "cell", "exec"), space)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), space)


def twin(export: Export) -> Export:
    """Return the export of what the cell draws."""
    figure = run_cell(export.cell)
    return export._replace(draw=lambda: figure)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("name", EXPORTS)
def test_the_cell_draws_the_very_picture(watch: Watch, name: str) -> None:
    export = EXPORTS[name](watch)
    assert twin(export).png() == export.png()
    assert str(watch.run.path.parent) not in export.cell  # a run of the folder goes by its name


def test_cells_of_a_run_with_named_classes_draw_the_very_picture(watch: Watch) -> None:
    path = watch.run.path.parent / "named"
    named = Watch(write_run(path, arms=NASTY_ARMS, classes=NASTY_CLASSES))
    for export in (
        exporting.of_plan(named, NASTY_ARM, 42),
        exporting.of_map(named, NASTY_ARM, 42),
        exporting.of_difference(Side(named, NASTY_ARM), Side(named, "_hidden_"), 42),
    ):
        assert twin(export).svg() == export.svg()


@pytest.mark.parametrize("name", EXPORTS)
def test_files_are_what_they_are_called(watch: Watch, name: str) -> None:
    export = EXPORTS[name](watch)
    image = Image.open(io.BytesIO(export.png()))
    assert image.format == "PNG" and min(image.size) > 500
    assert ElementTree.fromstring(export.svg()).tag.endswith("svg")
    assert export.svg() == export.svg()
    table = pd.read_csv(io.BytesIO(export.csv()))
    pd.testing.assert_frame_equal(table, export.table().reset_index(drop=True), check_dtype=False)
    assert not set(export.name) & set(" /\\")


def test_the_plans_data_can_be_put_together_again(watch: Watch) -> None:
    table = EXPORTS["plan"](watch).table()
    snapshot = watch.snapshot(42)
    plan = snapshot.arm("wcord+kd").plan
    wide = table.pivot(index="teacher_sample", columns="student_sample", values="mass")
    np.testing.assert_array_equal(wide.to_numpy(), plan)
    np.testing.assert_array_equal(table["student_class"][: len(plan)], snapshot.labels[: len(plan)])


def test_a_map_holds_both_sides_of_every_sample(watch: Watch) -> None:
    table = EXPORTS["map"](watch).table()
    assert table.groupby("side").size().to_dict() == {"teacher": 60, "student": 60}
    frame = watch.layout(42, "wcord").frame
    teacher = table[table.side == "teacher"].set_index("sample")
    np.testing.assert_array_equal(teacher[["x", "y"]].to_numpy(), frame.teacher)


@pytest.mark.parametrize("path", [DEMO, None])
def test_runs_elsewhere_are_named_so_that_a_notebook_finds_them(
    watch: Watch, tmp_path_factory: pytest.TempPathFactory, path: Path | None
) -> None:
    path = path or write_run(tmp_path_factory.mktemp("elsewhere") / "made-up")
    there = Watch(path)
    step = there.run.steps[0]  # both runs have it
    for export in (
        exporting.of_plan(there, there.arms[0], step),
        exporting.of_difference(Side(there, there.arms[0]), Side(watch, "wcord"), step),
    ):
        assert ast.parse(export.cell)
    assert "made-up" in export.cell
    export = exporting.of_plan(there, there.arms[0], step)
    assert twin(export).png() == export.png()


def test_the_dialog_offers_every_file_and_the_cell(watch: Watch, tmp_path: Path) -> None:
    def script(path: str, other: str) -> None:
        from pathlib import Path

        from lab.control import exporting
        from lab.reading.pairing import Side
        from lab.reading.watch import Watch

        a, b = (Watch(Path(run)) for run in (path, other))
        export = exporting.of_difference(Side(a, "crd"), Side(b, "wcord"), 14)
        exporting.dialog(export, a, b)

    other = write_run(tmp_path / "_other_")
    app = AppTest.from_function(script, args=(str(watch.run.path), str(other))).run()
    assert not app.exception
    labels = [button.proto.label for button in app.get("download_button")]
    settings = ["Settings of made-up", r"Settings of \_other\_"]
    assert labels == ["PNG", "SVG", "Data, CSV", *settings]
    expected = exporting.of_difference(Side(watch, "crd"), Side(Watch(other), "wcord"), 14)
    assert app.code[0].value == expected.cell


@pytest.mark.parametrize("name", ["plan", "scores", "map", "difference"])
def test_a_damaged_snapshot_is_refused_before_a_file_is_offered(watch: Watch, name: str) -> None:
    for step in watch.run.steps:
        (watch.run.path / "snapshots" / f"{step}.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read: it is empty"):
        EXPORTS[name](watch)


def test_damaged_metrics_are_refused_before_a_file_is_offered(watch: Watch) -> None:
    (watch.run.path / "metrics.jsonl").write_text("no metric\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged"):
        EXPORTS["curves"](watch)


@pytest.mark.parametrize("name", EXPORTS)
def test_what_is_offered_can_be_taken_after_the_snapshots_are_gone(watch: Watch, name: str) -> None:
    export = EXPORTS[name](watch)
    for step in watch.run.steps:
        (watch.run.path / "snapshots" / f"{step}.safetensors").unlink()
    assert export.csv() and export.svg()


@pytest.mark.parametrize("panel", ["plan", "scores@1", "map@0", "difference"])
def test_a_damaged_step_is_one_line_in_place_of_the_dialog(
    folder: Path, canvas: Canvas, panel: str
) -> None:
    path = write_run(folder / "made-up")
    app = open_page("compare", a="made-up", arm_a="crd", arm_b="wcord")
    (path / "snapshots" / "14.safetensors").write_bytes(b"")
    canvas.say(app, "export", panel=panel, metric=None, step=14)
    one_error(app, "14.safetensors cannot be read: it is empty")
    assert not app.get("download_button")


def test_a_run_that_is_deleted_beside_the_compare_page_is_one_line(
    folder: Path, canvas: Canvas
) -> None:
    write_run(folder / "kept")
    path = write_run(folder / "lost")
    app = open_page("compare", a="lost", b="kept")
    shutil.rmtree(path)
    canvas.say(app, "export", panel="plan@0", metric=None, step=14)
    one_error(app, "lost")
    assert not app.get("download_button")
