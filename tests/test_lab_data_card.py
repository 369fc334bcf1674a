"""The card of a data set: of a run, before a run, and where it cannot be read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from app_pages import Canvas, one_error, open_page
from made_up_run import write_run
from PIL import Image
from streamlit.testing.v1 import AppTest

import wcord
from lab.control import data_card
from lab.control.data_card import by_statement, enlarged


@pytest.fixture
def data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data, with two classes and two files more."""
    inside = folder.parent / "data"
    monkeypatch.setenv("WCORD_DATA", str(inside))
    rng = np.random.default_rng(0)
    for name in ("_cat_", "dog $x$"):
        (inside / "pets" / name).mkdir(parents=True)
        for k in range(40):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(inside / "pets" / name / f"{k}.png")
        (inside / "pets" / name / "notes.txt").write_text("no picture")
    return inside


def test_the_live_page_opens_what_the_run_found(folder: Path, canvas: Canvas) -> None:
    write_run(folder / "run", classes=[f"class_{k}_" for k in range(14)])
    app = open_page("live", run="run")
    assert not app.dataframe
    canvas.say(app, "data")
    table = app.dataframe[0].value
    assert table["class"].tolist() == [f"class_{k}_" for k in range(14)]
    assert table["training"].tolist() == [100 + k for k in range(14)]
    said = "\n".join(text.value for text in app.markdown)
    assert r"**folder:/my_data\_/x_y\_** · 14 classes".replace(":", ":\u2060") in said
    assert "1,491 training, 140 held out, 280 test" in said
    assert "**6 files passed over**" in said
    assert r"- no picture that \$Pillow\$ reads (5): \*c\*/0.heic" in said
    assert app.get("image")


def test_a_run_without_a_record_opens_nothing(folder: Path, canvas: Canvas) -> None:
    write_run(folder / "old")
    app = open_page("live", run="old")
    canvas.say(app, "data")
    assert not app.dataframe and not app.error


def test_a_label_set_of_the_student_is_named() -> None:
    def script() -> None:
        from lab.control.data_card import card
        from lab.words.class_names import ClassNames

        classes = [{"name": n, "train": 1, "held_out": 1, "test": 1} for n in ("cat", "dog")]
        card({"name": "x", "classes": classes}, None, ClassNames(("_pet_",)))

    app = AppTest.from_function(script).run()
    assert not app.exception
    assert app.caption[0].value == r"The student's label set: \_pet\_."


def test_data_are_read_before_a_run_and_what_is_wrong_is_one_line(data: Path) -> None:
    app = open_page("runs", view="Start from settings")
    (text,) = (area for area in app.text_area if area.key.startswith("settings-"))
    text.set_value("extends: digits-compression\ndata.source: folder:pets\nbatch: 32").run()
    app.button(key="look-at-data").click().run()
    assert not app.exception and not app.error
    expected = wcord.data.load(wcord.data.DataSettings(source="folder:pets"), seed=0)
    table = app.dataframe[0].value
    assert table["class"].tolist() == list(expected.classes) == ["_cat_", "dog $x$"]
    assert table[["training", "held out", "test"]].sum().tolist() == [
        len(part) for part in (expected.train, expected.held_out, expected.test)
    ]
    assert any("notes.txt" in text.value for text in app.markdown)
    text.set_value("extends: digits-compression\ndata.source: folder:no_where_").run()
    app.button(key="look-at-data").click().run()
    (error,) = app.error
    assert r"no_where\_" in error.value and not app.dataframe


def test_a_batch_that_does_not_fit_does_not_hide_the_data(data: Path) -> None:
    settings = {"data.source": "folder:pets", "batch": 4096}
    found, picture = data_card.read(wcord.load("digits-compression").replace(settings))
    assert [each["name"] for each in found["classes"]] == ["_cat_", "dog $x$"]
    assert Image.open(io.BytesIO(picture)).format == "PNG"


def test_small_pictures_are_enlarged_without_blur() -> None:
    row = np.random.default_rng(0).integers(0, 256, (10, 30, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(row).save(content, "PNG")
    large = np.asarray(enlarged(content.getvalue()))
    np.testing.assert_array_equal(large, row.repeat(6, axis=0).repeat(6, axis=1))


def test_many_statements_are_counted_not_listed() -> None:
    lines = by_statement([(f"{k}.png", f"reason {k}") for k in range(30)]).splitlines()
    assert len(lines) == 21 and lines[-1] == "- and 10 other statements"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("classes", None),
        ("classes", {"cat": 3}),
        ("classes", [["cat", 1, 1, 1]]),
        ("classes", [{"name": "cat", "train": "many", "held_out": 1, "test": 1}]),
        ("name", None),
        ("name", 3),
        ("passed_over", [{"file": "a.png"}]),
        ("passed_over_count", "many"),
        ("remarks", "none"),
    ],
)
def test_a_damaged_record_is_one_line(
    folder: Path, canvas: Canvas, part: str, value: object
) -> None:
    path = write_run(folder / "run", classes=["cat", "dog"])
    record = json.loads((path / "data.json").read_text()) | {part: value}
    if value is None:
        del record[part]
    (path / "data.json").write_text(json.dumps(record))
    app = open_page("live", run="run")
    canvas.say(app, "data")
    one_error(app, "data.json of this run is damaged", part, "written again")
    assert not app.dataframe


def test_a_damaged_row_of_pictures_costs_the_pictures_only(folder: Path, canvas: Canvas) -> None:
    path = write_run(folder / "run", classes=["cat", "dog"])
    content = (path / "pictures.png").read_bytes()
    for damaged in (b"no picture", content[: len(content) // 2]):
        (path / "pictures.png").write_bytes(damaged)
        app = open_page("live", run="run")
        canvas.say(app, "data")
        assert app.dataframe and not app.get("image") and not app.error
