"""The view's modules as one text: names unlike, nothing from elsewhere, words those of Python."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lab import palette
from lab.viewer import frames, module
from lab.words import panels
from lab.words.panels import PANELS
from lab.words.vocabulary import METRICS

HOSTS = ("streamlit", "page", "notebook", "figure")
FILES = {path.stem: path.read_text("utf-8") for path in sorted(module.FOLDER.glob("*.js"))}
STYLES = {path.stem: path.read_text("utf-8") for path in sorted(module.FOLDER.glob("*.css"))}
DECLARED = re.compile(
    r"^(?:export )?(?:default )?(?:async )?(?:function\*?|class|const|let|var) +(\w+|[\[{][^=]*)",
    re.MULTILINE,
)


def names_of(text: str) -> list[str]:
    """Return the names that a module declares at its top level."""
    found = []
    for declared in DECLARED.findall(text):
        if declared[0] in "[{":  # several at once
            found += re.findall(r"(?<![\w:])\w+(?=\s*[,}\]])", declared)
        else:
            found.append(declared)
    return found


def words_in(script: str) -> dict[str, Any]:
    """Return the words that the script begins with."""
    line = script.splitlines()[0]
    return json.loads(line.removeprefix("const LAB = ").removesuffix(";"))


def test_names_are_found() -> None:
    text = (
        "const A = 1;\nexport async function b() {\n  const inner = 2;\n}\nlet [c, d] = [1, 2];\n"
    )
    assert names_of(text) == ["A", "b", "c", "d"]
    assert module.plain_script(f'import {{ x }} from "./y.js";\n{text}').startswith("const A = 1;")


def test_every_file_is_a_module_or_a_host() -> None:
    assert set(FILES) == {*module.MODULES, *HOSTS}
    assert len(set(module.MODULES)) == len(module.MODULES)


@pytest.mark.parametrize("host", [None, *HOSTS])
def test_top_level_names_are_unlike(host: str | None) -> None:
    files = [*module.MODULES, *([host] if host else [])]
    names = Counter(name for file in files for name in names_of(FILES[file]))
    assert [name for name, count in names.items() if count > 1] == []
    assert "LAB" not in names and len(names) > 150
    script = module.script(host)
    assert all(re.search(rf"\b{name}\b", script) for name in names)


@pytest.mark.parametrize("host", [None, *HOSTS])
def test_the_script_is_one_module_that_can_be_read(host: str | None, tmp_path: Path) -> None:
    script = module.script(host)
    assert not re.findall(r"^import .*", script, re.MULTILINE)
    for named in re.findall(r"^export \{([^}]*)\}", script, re.MULTILINE):
        for name in re.findall(r"\w+", named):
            assert re.search(rf"^(async )?(function|class|const) {name}\b", script, re.MULTILINE)
    if (node := shutil.which("node")) is None:
        pytest.skip("no node here")
    file = tmp_path / "view.mjs"
    file.write_text(script)
    done = subprocess.run([node, "--check", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [*FILES, *STYLES])
def test_nothing_comes_from_elsewhere_and_nothing_is_made_of_text(name: str) -> None:
    """A page that forbids inline styles, foreign addresses and code from text shows the view."""
    for text in (FILES.get(name, ""), STYLES.get(name, "")):
        text = text.replace("http://www.w3.org/", "")
        assert not re.search(r"https?:|//[a-z]+\.[a-z]|@import|\burl\((?!['\"]?data:)", text)
        assert not re.search(r"\beval\(|new Function|document\.write|insertAdjacentHTML", text)
        assert not re.search(r"\bstyle\s*=\s*[\"'`\\{]|\bstyle: |\"style\"|cssText|outerHTML", text)


def test_only_equations_are_markup() -> None:
    """Names that somebody chose stay text: only MathML, which Python makes, is read as markup."""
    found = [
        (name, line.strip())
        for name, text in FILES.items()
        for line in text.splitlines()
        if "innerHTML" in line
    ]
    allowed = re.compile(r"this\.(equation|objective)\.innerHTML = (mathml|equation\[0\]).*")
    assert found and all(allowed.fullmatch(line) for _, line in found), found


def test_words_colours_and_metrics_are_those_of_python() -> None:
    words = words_in(module.script())
    assert words == words_in(module.script("streamlit"))
    assert words["version"] == frames.VERSION
    assert words["palette"] == json.loads(json.dumps(palette.plain()))
    assert {k: words[k] for k in panels.plain()} == json.loads(json.dumps(panels.plain()))
    assert words["panels"]["plan"]["title"] == PANELS["plan"].title
    assert words["metrics"]["cka"]["meaning"] == METRICS["cka"].meaning


def test_the_view_reads_no_word_that_is_not_there() -> None:
    words = words_in(module.script())
    for name, text in FILES.items():
        for place in set(re.findall(r"\bLAB((?:\.\w+)+)", text)):
            found: Any = words
            for part in place.split(".")[1:3]:
                assert part in found, f"{name}.js reads LAB{place}"
                found = found[part]


def test_the_view_has_a_picture_for_every_panel() -> None:
    drawn = re.search(r"PICTURES = \(\) => \(\{(.*?)\}\)", FILES["panel"], re.DOTALL)
    assert drawn
    names = {entry.partition(":")[0].strip() for entry in drawn[1].split(",")}
    assert names == set(PANELS) - {"card"}


def test_braces_of_the_styles_match() -> None:
    assert ".view " in module.style() and ".playground " in module.style()
    for name, text in STYLES.items():
        assert text.count("{") == text.count("}") > 0, name
