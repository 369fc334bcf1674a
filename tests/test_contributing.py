"""CONTRIBUTING.md is true: its code runs as it stands there, its table names all folders."""

from __future__ import annotations

import re
import sys
from ast import literal_eval
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from app_pages import open_page
from torch.nn import functional as F

import wcord
from lab import dashboard
from wcord.data import DataSettings, load
from wcord.data.sources import SOURCES, Source
from wcord.objectives import TERMS
from wcord.objectives.term import TermSettings
from wcord.views import VIEWS, View

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def block(heading: str) -> str:
    """Return the code under a heading."""
    section = TEXT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)[0]


def defined(heading: str, name: str) -> Any:
    """Run the code under a heading and return what it defines."""
    names: dict[str, Any] = {"__name__": "contributed"}
    exec(compile(block(heading), heading, "exec"), names)
    return names[name]


def test_a_term(monkeypatch: pytest.MonkeyPatch, short: wcord.Experiment, tmp_path: Path) -> None:
    cosine = defined("How to add a term", "Cosine")
    monkeypatch.setitem(TERMS, "cosine", cosine)
    changes = {"epochs": 3, "arms": {"it": {"ce": 1, "cosine": 0.5}}, "student.model": "small:4-64"}
    run = wcord.distill(short.replace(changes | {"teacher.model": "small:8-64"}), tmp_path / "run",
                        progress=False)  # fmt: skip
    losses = run.metrics().query("arm == 'it' and name == 'cosine'").value
    assert len(losses) and losses.between(0, 2).all() and losses.iloc[-1] < losses.iloc[0]
    with pytest.raises(ValueError, match="cosine needs features of equal dimension"):
        wcord.distill(short.replace({"arms": {"it": {"cosine": 1}}}), tmp_path / "x", False)


def test_the_terms_loss_is_its_formula() -> None:
    from wcord.models import Output
    from wcord.objectives.term import Batch, Shapes

    t, s = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(1)).double()
    term = defined("How to add a term", "Cosine")(TermSettings(), Shapes(5, 5, 2, 2, True, 9), 0)
    index = torch.arange(9)
    batch = Batch(index, index % 2, index > 0, index % 2, 0, 0)
    cosines = [float(a @ b / a.norm() / b.norm()) for a, b in zip(t, s, strict=True)]
    loss = term(batch, Output(t, t), Output(s, s), {})
    assert float(loss) == pytest.approx(1 - np.mean(cosines))
    assert not torch.equal(F.normalize(t), F.normalize(s))


def test_a_data_set(
    monkeypatch: pytest.MonkeyPatch, short: wcord.Experiment, tmp_path: Path
) -> None:
    monkeypatch.setitem(SOURCES, "stripes", Source(defined("How to add a data set", "stripes")))
    data = load(DataSettings(source="stripes"), seed=0)
    assert (len(data.train) + len(data.held_out), len(data.test)) == (300, 100)
    stripes = data.test.images[data.test.labels == 0].float().mean((0, 1))  # (8, 8)
    assert stripes.std(0).max() < 10 < stripes.std(1).min()  # equal down a column: vertical
    changes = {"data": {"source": "stripes"}, "epochs": 4, "arms": {"it": {"ce": 1, "lckt": 0.1}}}
    run = wcord.distill(short.replace(changes), tmp_path / "run", progress=False)
    assert run.summary is not None and run.summary["arms"]["it"]["test_accuracy"] > 90


def test_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VIEWS, "darker", defined("How to add a view", "Darker"))
    data = load(DataSettings(), seed=0)
    view = View.parse([{"darker": {"factor": 0.25}}])
    view.check(data)
    assert torch.equal(view(data.test, 0), data.test.images.float() / 255 * 0.25)
    with pytest.raises(ValueError, match="factor"):
        View.parse([{"darker": {"factor": 2}}])


def test_a_preset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from wcord.settings import preset_files

    text = block("How to add a preset")
    for preset in preset_files.PRESETS.glob("*.yaml"):
        (tmp_path / preset.name).write_bytes(preset.read_bytes())
    (tmp_path / "digits-noisy.yaml").write_text(text)
    monkeypatch.setattr(preset_files, "PRESETS", tmp_path)
    preset_files.presets.cache_clear()
    try:
        assert "digits-noisy" in wcord.presets()
        experiment = wcord.load("digits-noisy")
    finally:
        monkeypatch.undo()
        preset_files.presets.cache_clear()
    assert experiment.student.view == yaml.safe_load(text)["student.view"]
    assert experiment.teacher.view == ["identity"] and experiment.epochs == 20


def test_a_picture(finished: wcord.Run, tmp_path: Path) -> None:
    snapshot = finished.snapshot()
    cost = snapshot.arm("wcord").cost
    figure = defined("How to add a picture", "cost_histogram")(cost, snapshot.labels[: len(cost)])
    figure.savefig(tmp_path / "figure.png")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "same class",
        "other",
    ]


def test_a_page(monkeypatch: pytest.MonkeyPatch, finished: wcord.Run, tmp_path: Path) -> None:
    entry = re.search(r"The line is `(\(.*?\))`", TEXT)
    assert entry
    line = literal_eval(entry[1])
    page = SimpleNamespace(page=defined("How to add a page", "page"))
    monkeypatch.setitem(sys.modules, f"lab.pages.{line[0]}", page)
    monkeypatch.setattr(dashboard, "PAGES", (*dashboard.PAGES, line))
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    assert open_page(line[0]).info[0].value == "No run has finished yet."
    monkeypatch.setenv("WCORD_RUNS", str(finished.path.parent))
    assert "wcord" in open_page(line[0]).dataframe[0].value.index


def test_the_table_has_the_folders_that_exist() -> None:
    table = TEXT.split("## Folders and the order of imports")[1].split("The data flow")[0]
    rooms = re.findall(r"`((?:wcord|lab|app|notebooks|studies|results|benchmarks)[\w/.]*)`", table)
    assert len(rooms) > 15
    for room in rooms:
        assert (ROOT / room).exists(), room
    shown = {room.split("/")[1] for room in rooms if room.startswith("wcord/") and room[-1] == "/"}
    assert shown == {path.parent.name for path in (ROOT / "wcord").glob("*/__init__.py")}
    for file in re.findall(r"`((?:wcord|tests|lab|docs)/[\w/.]+\.\w+)`", TEXT):
        assert (ROOT / file).exists(), file
