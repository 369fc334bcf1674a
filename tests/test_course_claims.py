"""The figures that chapters 7 and 10 take from `results` are those of its tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

ROOT = Path(__file__).parents[1]
TIE = "cannot be told apart"


def cells(name: str) -> list[Any]:
    return nbformat.read(ROOT / "notebooks" / name, as_version=4).cells


def page(name: str) -> str:
    return (ROOT / "results" / f"{name}.md").read_text("utf-8")


def claims() -> list[dict[str, Any]]:
    (source,) = [c.source for c in cells("10_what_to_use_when.ipynb") if c.id == "claims"]
    known: dict[str, Any] = {"pd": pd}
    exec(source, known)
    return known["claims"].to_dict("records")


def test_every_claim_is_in_its_table_with_its_verdict() -> None:
    found = claims()
    assert len(found) > 15
    for claim in found:
        difference = f"{claim['difference']:+.2f}"
        if claim["interval"] == "simultaneous":
            interval = f"{claim['low']:+.2f} to {claim['high']:+.2f}"
            row = f"| {difference} | {interval} | {claim['verdict']} |"
        else:
            half = f"{(claim['high'] - claim['low']) / 2:.2f}"
            bold = "" if claim["verdict"] == TIE else "**"
            row = f"| {bold}{difference} ± {half}{bold} |"
        assert row in page(claim["page"]), (claim, row)


def test_the_table_of_ten_seeds_in_chapter_7_is_that_of_the_tasks() -> None:
    text = "\n".join(c.source for c in cells("07_four_tasks.ipynb") if c.cell_type == "markdown")
    text = text.replace("−", "-")
    known = page("tasks")
    rows = re.findall(r"([+-]\d+\.\d\d) \(([+-]\d+\.\d\d to [+-]\d+\.\d\d)\)", text)
    assert len(rows) == 15
    for difference, interval in rows:
        assert f"| {difference} | {interval} |" in known
    for mean in re.findall(r"\d\d\.\d\d ± \d\.\d\d", text):
        assert mean in known


def test_the_figures_of_short_trainings_in_chapter_10_are_those_of_the_studies() -> None:
    (start,) = [
        place
        for place, cell in enumerate(cells("10_what_to_use_when.ipynb"))
        if cell.source.startswith("## Thirty epochs")
    ]
    section = ""
    for cell in cells("10_what_to_use_when.ipynb")[start:]:
        if section and cell.source.startswith("## "):
            break
        section += f"{cell.source}\n" if cell.cell_type == "markdown" else "\n"
    pages = " ".join(page(f"epochs{part}") for part in ("", "-heads", "-cause", "-weights"))
    pair = re.compile(r"([+-]?\d+\.\d+) ± (\d+\.\d+)")
    known = [tuple(map(float, found)) for found in pair.findall(pages)]
    found = pair.findall(section.replace("−", "-"))
    assert len(found) > 40
    for mean, spread in found:
        digits = len(mean.split(".")[1])
        near = 0.51 * 10**-digits
        ok = (abs(m - float(mean)) < near and abs(s - float(spread)) < near for m, s in known)
        assert any(ok), (mean, spread)
