"""The card of a data set: of a run, before a run, and where it cannot be read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from made_up_run import write_run
from PIL import Image
from streamlit.testing.v1 import AppTest

import wcord
from lab.control import data_card, run_time
from lab.control.data_card import by_statement, enlarged
from lab.reading import map_worker
from wcord.analysis.estimate import Estimate

APP = str(Path(__file__).parents[1] / "app.py")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the pages a folder of runs and one of data, with two classes and two files more."""
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("WCORD_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(map_worker, "start", lambda path: None)
    monkeypatch.setattr(run_time.Stopwatch, "ask", lambda *_: Estimate(2.0, 9.0, 2**25, "cpu", 440))
    rng = np.random.default_rng(0)
    for name in ("_cat_", "dog $x$"):
        inside = tmp_path / "data" / "pets" / name
        inside.mkdir(parents=True)
        for k in range(40):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(inside / f"{k}.png")
        (inside / "notes.txt").write_text("no picture")
    return tmp_path


def page(name: str, **address: str) -> AppTest:
    """Run a page with an address, without any exception."""
    app = AppTest.from_file(APP, default_timeout=60)
    for key, value in address.items():
        app.query_params[key] = value
    app.switch_page(f"lab/pages/{name}.py").run()
    assert not app.exception
    return app


def test_the_live_page_opens_what_the_run_found(folder: Path) -> None:
    write_run(folder / "runs" / "run", classes=[f"class_{k}_" for k in range(14)])
    app = page("live", run="run")
    assert not app.dataframe
    app.button(key="data").click().run()
    table = app.dataframe[0].value
    assert table["class"].tolist() == [f"class_{k}_" for k in range(14)]
    assert table["training"].tolist() == [100 + k for k in range(14)]
    said = "\n".join(text.value for text in app.markdown)
    assert r"**folder:/my_data\_/x_y\_** · 14 classes".replace(":", ":\u2060") in said
    assert "1,491 training, 140 held out, 280 test" in said
    assert "**6 files passed over**" in said
    assert r"- no picture that \$Pillow\$ reads (5): \*c\*/0.heic" in said
    assert app.get("image")


def test_a_run_without_a_record_has_no_such_button(folder: Path) -> None:
    write_run(folder / "runs" / "old")
    assert "data" not in {button.key for button in page("live", run="old").button}


def test_a_label_set_of_the_student_is_named(folder: Path) -> None:
    def script() -> None:
        from lab.control.data_card import card
        from lab.words.class_names import ClassNames

        classes = [{"name": n, "train": 1, "held_out": 1, "test": 1} for n in ("cat", "dog")]
        card({"name": "x", "classes": classes}, None, ClassNames(("_pet_",)))

    app = AppTest.from_function(script).run()
    assert not app.exception
    assert app.caption[0].value == r"The student's label set: \_pet\_."


def test_data_are_read_before_a_run_and_what_is_wrong_is_one_line(folder: Path) -> None:
    app = page("runs", view="Start from settings")
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


def test_a_batch_that_does_not_fit_does_not_hide_the_data(folder: Path) -> None:
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
