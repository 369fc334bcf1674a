"""Names are text: what escapes them, and every page with a run whose names are full of marks."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mistune
import pytest
from app_pages import Canvas, one_error, open_page
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import NASTY_ARM, NASTY_ARMS, NASTY_CLASSES, write_run
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lab.control import exporting
from lab.reading.pairing import Side
from lab.reading.watch import Watch
from lab.words.literal import markdown, mathtext
from wcord.runs.tensorboard import TensorBoardFile

RUN = "nasty.run_-_x--y"
PAGES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {  # an address; what the view then says
    "live": ({"run": RUN, "samples": "3"}, {"kind": "data"}),
    "live ": ({"run": RUN}, {"kind": "export", "panel": "plan", "step": 42, "metric": None}),
    "compare": ({"a": RUN}, {"kind": "export", "panel": "difference", "step": 42, "metric": None}),
    "laboratory": ({"run": RUN}, {}),
    "runs": ({"run": RUN}, {}),
}
PLAIN = {  # what the browser shows as it is written, by element and field
    "selectbox": {"options", "raw_values", "default", "value", "raw_value"},
    "code": {"code_text"},
    "arrow_data_frame": {"alt"},
    "text_area": {"default", "value"},
    "page_link": {"query_string"},
}
MARKS = r"*_~`$#>-+=|:[]()<>{}!&\."
parse = mistune.create_markdown(escape=True, plugins=["strikethrough", "table", "url", "math"])


def shown(text: str) -> str:
    """Return what a reader of rendered Markdown sees, with the tags that are no paragraph."""
    rendered = str(parse(text)).strip().removeprefix("<p>").removesuffix("</p>")
    return html.unescape(rendered).replace("\u2060", "")


@given(st.text(st.sampled_from(MARKS + "ab1 \u00e9"), min_size=1))
def test_an_independent_renderer_shows_every_text_as_it_is(text: str) -> None:
    assert shown(markdown(text)) == text.strip(" ")


@pytest.mark.parametrize("text", ["wcord+kd", "digits-compression-2", "labels_per_class is 5: x"])
def test_ordinary_names_are_left_alone(text: str) -> None:
    assert markdown(text) == mathtext(text) == text


@pytest.mark.parametrize("text", [":smile:", "->", "a -- b", "https://a.org", "www.a.org", "x@a.b"])
def test_what_streamlit_replaces_after_parsing_is_broken_by_a_joiner(text: str) -> None:
    assert "\u2060" in markdown(text) and shown(markdown(text)) == text


@pytest.mark.parametrize("name", [*NASTY_ARMS, *NASTY_CLASSES, "$", "a$b$c", "__x"])
def test_matplotlib_shows_names_as_they_are_and_leaves_none_out(name: str) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([0, 1], label=mathtext(name))
    (text,) = axes.legend().get_texts()
    line, is_math = text._preprocess_math(text.get_text())  # type: ignore[attr-defined]
    assert not is_math and line.lstrip("\u2060") == name


def strings(proto: Any, plain: set[str]) -> Iterator[str]:
    """Return every text in an element that is not shown as it is written."""
    for field, value in proto.ListFields():
        if field.name in plain | {"id", "element_id", "form_id"}:
            continue
        for part in value if field.is_repeated else [value]:
            if field.message_type is not None and hasattr(part, "ListFields"):
                yield from strings(part, plain)
            elif isinstance(part, str):
                yield part


@pytest.mark.parametrize("page", PAGES)
def test_pages_pass_names_on_as_text(folder: Path, canvas: Canvas, page: str) -> None:
    error = f"arm {NASTY_ARM!r} froze"
    write_run(folder / RUN, arms=NASTY_ARMS, classes=NASTY_CLASSES, state="failed", error=error)
    address, said = PAGES[page]
    app = open_page(page.strip(), **address)
    if said:
        canvas.say(app, **said)
        assert app.get("dialog") and not app.error
    found = [
        text
        for element in app._tree
        if (proto := getattr(element, "proto", None)) is not None
        for text in strings(proto, PLAIN.get(element.type, set()))
    ]
    whole = "\n".join(found)
    if page == "runs":
        assert markdown(NASTY_ARM) in whole
    for name in (*NASTY_ARMS, *NASTY_CLASSES, RUN):
        if markdown(name) != name:
            assert not re.search(re.escape(name), whole), name


def test_a_name_that_is_no_run_is_said_as_text(folder: Path, canvas: Canvas) -> None:
    app = open_page("runs", run="**bold** $x$")
    one_error(app, markdown("**bold** $x$"))


def test_exported_figures_show_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    seen = Watch(write_run(tmp_path / RUN, arms=NASTY_ARMS, classes=NASTY_CLASSES))
    plan, on_map, curves = (
        export.draw().axes[0]
        for export in (
            exporting.of_plan(seen, NASTY_ARM, 42),
            exporting.of_map(seen, NASTY_ARM, 42),
            exporting.of_curves(seen, "total"),
        )
    )
    short = {mathtext(seen.class_names.short(label)) for label in range(len(NASTY_CLASSES))}
    assert {tick.get_text() for tick in plan.get_xticklabels()} == short
    assert {text.get_text() for text in on_map.texts} == short
    assert plan.get_title().startswith(mathtext(NASTY_ARM))
    legend = curves.get_legend()
    assert legend is not None and len(legend.get_texts()) == len(NASTY_ARMS)
    sides = Side(seen, NASTY_ARM), Side(seen, "_hidden_")
    apart = exporting.of_difference(*sides, 42).draw()
    assert {tick.get_text() for tick in apart.axes[0].get_yticklabels()} == short


def test_the_mirror_keeps_the_names_of_arms(tmp_path: Path) -> None:
    mirror = TensorBoardFile(tmp_path)
    for arm in NASTY_ARMS:
        mirror.add(f"{arm}/", 1, {"total": 2.0})
    mirror.flush()
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    assert reader.Tags()["scalars"] == [f"{arm}/total" for arm in NASTY_ARMS]
