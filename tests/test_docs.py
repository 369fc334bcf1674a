"""The site of guides and reference: it builds without a warning, is whole, and needs no network."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from site_pages import Page, broken_links, not_local, page_named, pages_of, text_of

import wcord
from wcord.cli.parser import build_parser
from wcord.objectives import TERMS
from wcord.settings.listing import settings_of, settings_of_model

ROOT = Path(__file__).parent.parent

pytest.importorskip("sphinx")


sys.path.insert(0, str(ROOT / "docs"))
docstring_markup, page_sources = map(importlib.import_module, ("docstring_markup", "page_sources"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a warning is an error."""
    out = tmp_path_factory.mktemp("site")
    options = ["-E", "-W", "--keep-going", "-q", "-b", "html", "-d", str(out / "doctrees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(out / "html")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return pages_of(site)


@pytest.mark.slow
def test_links_lead_to_pages_and_places_that_exist(pages: dict[Path, Page]) -> None:
    assert len(pages) > 25
    assert broken_links(pages) == []


@pytest.mark.slow
def test_every_page_loads_local_files_only(site: Path, pages: dict[Path, Page]) -> None:
    assert all(page.loads for page in pages.values())
    assert list(not_local(site, pages)) == []


@pytest.mark.slow
def test_every_setting_term_and_option_is_on_its_page(pages: dict[Path, Page]) -> None:
    settings = text_of(pages, "reference/settings.html")
    for setting in settings_of():
        if setting.key != "arms":
            assert setting.meaning.replace("`", "") in settings, setting.key
    terms = text_of(pages, "reference/terms.html")
    for name, term in TERMS.items():
        assert f"{term.__module__}. {term.__name__}".replace(" ", "") in terms.replace(" ", "")
        for setting in settings_of_model(term.Settings):
            assert setting.meaning in terms, f"{name}.{setting.key}"
            assert setting.suited_text in terms
    commands = text_of(pages, "reference/command-line.html")
    for name, command in build_parser().commands.items():
        assert f"wcord {name} " in commands
        assert all(option in commands for option in command.own_options if option != "--help")


@pytest.mark.slow
def test_names_in_code_lead_to_the_reference(pages: dict[Path, Page]) -> None:
    guide = page_named(pages, "use-the-loss.html")
    assert {"api/losses.html#wcord.losses.CRDLoss", "api/wcord.html#wcord.features"} <= {
        *guide.links
    }
    arguments = page_named(pages, "api/wcord.html")
    assert "data.html#module-wcord.data" not in arguments.links  # `data` is an argument there


@pytest.mark.slow
def test_equations_are_blocks_of_code_line_by_line(pages: dict[Path, Page]) -> None:
    """Every indented line of a term's docstring stands in one line of a code block."""
    page = page_named(pages, "reference/terms.html")
    lines = {line.strip() for code in page.code for line in code.splitlines()}
    for term in TERMS.values():
        equations = [
            line.strip().replace("`", "")
            for line in (term.__doc__ or "").splitlines()[1:]
            if line.startswith("        ")
        ]
        assert equations, term.__name__
        assert set(equations) <= lines, term.__name__


@pytest.mark.slow
def test_the_public_names_have_an_entry(pages: dict[Path, Page]) -> None:
    places: set[str] = set().union(*(page.places for page in pages.values()))
    for name in wcord.__all__:
        assert {f"wcord.{name}", f"wcord.losses.{name}"} & places, name
    assert {
        "wcord.Run.metrics",
        "wcord.lab.view",
        "wcord.lab.page",
        "wcord.models.MODELS",
    } <= places
    for module in ("transport", "data", "views", "runs", "models"):
        names = getattr(wcord, module).__all__
        listed = "".join(page_named(pages, f"api/{module}.html").places)
        documented = [name for name in names if f"wcord.{module}.{name}" in listed]
        assert len(documented) > len(names) / 2


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_open_from_disk_without_an_error(
    site: Path, browser: Any, scheme: str, width: int
) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda r: faults.append(r.url) if r.url.startswith("http") else None)
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    for name in ("index", "api/transport", "reference/settings", "reference/terms"):
        page.goto((site / f"{name}.html").as_uri())
        assert page.locator("h1").first.is_visible()
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{name} is {wider} pixels too wide"
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        levels = [int(level) for level in re.findall(r"\d+", paper)[:3]]
        assert (max(levels) < 60) if scheme == "dark" else (min(levels) > 200)
    assert faults == []
    page.close()


# ------------------------------------------------------------------------- the parts, fast

DOCSTRING = """Return ||a|| of *b*.

    L = sum over i of |a_i|
      + b

    E = 0 |b|

costs    every two points
plan     the result, `Transport`

Names, in any case:
    x_: (n,) images
    y_: (n,) labels
More prose with W_ and `x_`.

Numbers:
    Prose of two
    lines.

Args:
    a: |first|

        and more

Returns:
    `Plan`. Value: a bound.

Attributes:
    p, q: rows

>>> 1 * 2
2
"""


def test_docstrings_become_restructured_text() -> None:
    lines = list(docstring_markup.prepared(DOCSTRING.splitlines()))
    text = "\n".join(lines)
    literal = re.findall(r"\.\. code-block:: text\n\n((?:    .*\n|\n+(?=    ))+)", text + "\n")
    assert [block.rstrip() for block in literal] == [
        "    L = sum over i of |a_i|\n      + b\n\n    E = 0 |b|",
        "    costs    every two points\n    plan     the result, Transport",
    ]
    assert r"Return \|\|a\|\| of *b*." in lines
    assert r"- **x\_**: (n,) images" in lines and "Numbers:\n    Prose of two\n" in text
    assert ":returns: `Plan`. Value: a bound.\n" in text
    assert [line for line in lines if "rows" in line] == ["    p: rows", "    q: rows"]
    assert r"More prose with W\_ and `x_`." in lines
    assert r"    a: \|first\|" in lines and ">>> 1 * 2" in lines


def test_links_to_files_are_adapted() -> None:
    def adapted(text: str, folder: str = ".", page: str = "docs") -> str:
        return page_sources.adapted_links(text, (ROOT / folder).resolve(), (ROOT / page).resolve())

    assert adapted("[how](CONTRIBUTING.md#how)") == "[how](project/contributing.md#how)"
    assert adapted("![p](results/live.png)") == "![p](../results/live.png)"
    assert adapted("([w](results/weights.md))") == "(w: `results/weights.md`)"
    assert adapted("[w](results/weights.md)") == "w (`results/weights.md`)"
    assert adapted("[weights](results/weights.md)") == "`results/weights.md`"
    assert adapted("[results/gpu.md](results/gpu.md)") == "`results/gpu.md`"
    assert adapted("[a](docs/decisions/README.md)") == "[a](decisions/README.md)"
    assert adapted("[b](README.md)", "docs/decisions", "docs/decisions") == "[b](README.md)"
    for text in (
        "[x](#y)",
        "[x](https://example.org)",
        "[x](absent.md)",
        "```\n[a](README.md)\n```",
    ):
        assert adapted(text) == text


def test_guides_are_found_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_sources, "DOCS", tmp_path)
    (tmp_path / "index.md").write_text("")
    assert page_sources.guides() == ""
    for name in ("zebra", "callbacks", "use-the-loss"):
        (tmp_path / f"{name}.md").write_text("# x")
    assert page_sources.guides().split()[-4:-1] == ["use-the-loss", "callbacks", "zebra"]


def test_readme_is_cut_at_a_heading() -> None:
    whole = (ROOT / "README.md").read_text("utf-8")
    front = page_sources.readme_part(before="## What was measured")
    rest = page_sources.readme_part(after="## What was measured")
    assert front.startswith("# wcord") and "## Start" in front
    assert rest.startswith("## What was measured") and front[:-1] + rest[:-1] == whole
