"""A run as one file of HTML: whole, sealed, small, silent about the machine; and its command."""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_up_run import NASTY_ARMS, NASTY_CLASSES, STEPS_AN_EPOCH, write_run

import lab
from lab.viewer import in_page, module
from lab.viewer.in_page import document, page
from lab.viewer.packing import packed, unpacked
from wcord import cli
from wcord.runs import Run

DEMO = Path(lab.__file__).parent / "demo" / "digits-compression"
DEFINED = re.compile(
    r"^(?:export )?(?:default )?(?:async )?(?:const|let|var|class|function\*?) (\w+)", re.M
)


class Reader(HTMLParser):
    """Collects what a page consists of: tags with attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag in ("script", "style", "pre", "td", "th", "dd", "p", "h1"):
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.texts:
            self.texts[self._open[-1]][-1] += data


@pytest.fixture(scope="module")
def demo() -> str:
    return document(Run(DEMO))[0]


def policy(text: str) -> dict[str, list[str]]:
    """Return the directives of a page's policy."""
    (content,) = [
        attributes["content"]
        for tag, attributes in Reader(text).tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    parts = [part.split() for part in str(content).split(";")]
    return {name: sources for name, *sources in parts}


def sha(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_names_its_own_script_and_style_and_nothing_else(demo: str) -> None:
    read = Reader(demo)
    allowed = policy(demo)
    _, script = read.texts["script"]
    (style,) = read.texts["style"]
    assert allowed.pop("script-src") == [sha(script)]
    assert allowed.pop("style-src") == [sha(style)]
    assert allowed.pop("img-src") == ["data:", "blob:"]
    assert allowed and all(sources == ["'none'"] for sources in allowed.values())
    assert "default-src" in allowed
    assert demo.index("Content-Security-Policy") < demo.index("<style>")


def test_nothing_is_fetched_and_nothing_needs_an_exception(demo: str) -> None:
    for tag, attributes in Reader(demo).tags:
        assert tag not in ("link", "iframe", "img", "object", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("style", "src")
            assert name != "href" or str(value).startswith("data:application/yaml;base64,")
    script = Reader(demo).texts["script"][1].replace("http://www.w3.org/1998/Math/MathML", "")
    assert not re.search(
        r"\beval\(|new Function|\bfetch\(|XMLHttpRequest|import\(|https?://", script
    )


def test_the_view_of_every_host_sets_no_style_by_markup() -> None:
    for path in module.FOLDER.glob("*.js"):
        assert not re.search(r"style=\"|setAttribute\(\"style\"|\bstyle: ", path.read_text()), path


@pytest.mark.parametrize("host", ["page", "notebook", "figure"])
def test_names_of_the_joined_modules_are_unlike(host: str) -> None:
    names = DEFINED.findall(module.script(host))
    assert len(names) > 50 and sorted(names) == sorted(set(names))


def test_it_has_the_recording_of_the_run(demo: str) -> None:
    coded = Reader(demo).texts["script"][0]
    content = base64.b64decode(coded)
    assert content == packed(Run(DEMO), None, in_page.STEPS)
    steps = next(part for part in unpacked(content) if part.kind == "status").about["steps"]
    assert steps == Run(DEMO).steps
    (main,) = [attributes for tag, attributes in Reader(demo).tags if tag == "main"]
    scene = json.loads(str(main["data-scene"]))
    assert scene["sides"] == [["digits-compression", "wcord"]] and scene["step"] is None


def test_results_conditions_settings_and_the_way_to_repeat_stand_below(demo: str) -> None:
    run, read = Run(DEMO), Reader(demo)
    assert run.summary is not None
    cells = [cell.strip() for cell in read.texts["td"]]
    for row in run.summary["arms"].values():
        assert f"{row['test_accuracy']:.2f}" in cells
        assert f"{row['held_out_accuracy']:.2f}" in cells
    assert {"teacher", *run.arms} <= set(read.texts["th"])
    command, settings = read.texts["pre"]
    assert yaml.safe_load(settings) == run.plain_settings
    words = command.split()[3:]
    from wcord.cli import dotted
    from wcord.settings.loading import load

    assert load("digits-compression").replace(dotted(words)) == run.settings
    facts = " ".join(read.texts["dd"])
    for fact in ("digits, 5 labels a class", "440 steps", run.summary["versions"]["torch"]):
        assert fact in facts
    assert "one seed" in " ".join(read.texts["p"])


def test_the_demo_is_small_and_always_the_same(demo: str) -> None:
    assert len(demo.encode()) < 1_000_000
    assert document(Run(DEMO))[0] == demo


def test_nothing_of_the_machine_is_in_it(tmp_path: Path) -> None:
    run = Run(
        write_run(tmp_path / "run", classes=["a", "b"], state="failed", error=f"{tmp_path}/x")
    )
    settings = run.plain_settings
    settings |= {"title": f"of {tmp_path}/cats", "plugins": [f"{tmp_path}/mine.py"]}
    settings["data"] = {"source": f"folder:{tmp_path}/my cats"}
    (run.path / "settings.yaml").write_text(yaml.safe_dump(settings))
    record = json.loads((run.path / "data.json").read_text())
    record |= {"name": f"folder:{tmp_path}/my cats"}
    record |= {"inputs": {f"test images of folder:{tmp_path}/c": "12ab"}, "own": ["teacher"]}
    (run.path / "data.json").write_text(json.dumps(record))
    text, _ = document(run)
    status = json.loads((run.path / "status.json").read_text())
    status |= {"host": "a-host-of-mine", "pid": 987654}
    (run.path / "status.json").write_text(json.dumps(status))
    assert document(run)[0] == text
    expanded = text + "".join(
        json.dumps(part.about, ensure_ascii=False)
        for part in unpacked(base64.b64decode(Reader(text).texts["script"][0]))
    )
    for private in (str(tmp_path), str(Path.home()), "a-host-of-mine"):
        assert private not in expanded, private
    assert "folder:…/my cats" in text and "…/mine.py" in text and "12ab" in text
    assert "objects of a Python program" in text and "wcord train settings.yaml" in text


def test_names_full_of_marks_stay_text(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path / "run", arms=NASTY_ARMS, classes=NASTY_CLASSES))
    settings = run.plain_settings | {"title": "</script><script>alert(1)<!--"}
    (run.path / "settings.yaml").write_text(yaml.safe_dump(settings))
    summary = {"teacher": {"test_accuracy": 1.0}, "arms": {arm: {} for arm in NASTY_ARMS}}
    for arm in NASTY_ARMS:
        summary["arms"][arm] = {"test_accuracy": 50.0, "held_out_accuracy": None}
    (run.path / "summary.json").write_text(json.dumps(summary))
    text, _ = document(run)
    read = Reader(text)
    assert [tag for tag, _ in read.tags].count("script") == 2
    assert set(NASTY_ARMS) <= set(read.texts["th"])
    assert html.escape(settings["title"]) in text
    assert {tag for tag, _ in read.tags}.isdisjoint({"b", "br", "img", "em", "title/"})


def test_a_run_that_goes_on_is_whole_and_damage_is_named(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path / "run", epochs=6, upto=4, state="running"))
    damaged = run.path / "snapshots" / f"{2 * STEPS_AN_EPOCH}.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-3])
    text, remarks = document(run)
    (remark,) = remarks
    assert remark.startswith("step 28 is left out: ") and "\n" not in remark
    words = " ".join(Reader(text).texts["p"])
    assert "Step 28 is left out" in words and "No results yet: recorded at step 56 of 84" in words


def test_it_is_thinned_to_its_room_and_refused_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(write_run(tmp_path / "run", epochs=20))
    whole, remarks = document(run)
    assert not remarks
    room = len(whole) - 150_000
    monkeypatch.setattr(in_page, "LARGEST", room)
    text, (remark,) = document(run)
    kept = Reader(text).texts["script"][0]
    steps = next(p for p in unpacked(base64.b64decode(kept)) if p.kind == "status").about["steps"]
    assert 0.85 * room < len(text.encode()) <= room
    assert steps[0] == 0 and steps[-1] == run.steps[-1] and 2 < len(steps) < 21
    assert re.fullmatch(rf"21 steps would take \d\.\d MB: {len(steps)} are kept", remark)
    monkeypatch.setattr(in_page, "LARGEST", 100_000)
    with pytest.raises(ValueError, match="choose fewer arms") as refused:
        document(run)
    assert "\n" not in str(refused.value)


def test_it_is_a_function_of_the_lab(tmp_path: Path) -> None:
    made = lab.page("digits-compression", tmp_path / "a.html", arms=["kd"], steps=2)
    assert made.path.stat().st_size == made.size and not made.remarks
    with pytest.raises(ValueError, match="exists"):
        page(Run(DEMO), made.path)
    assert page(Run(DEMO), made.path, ["kd"], 3, force=True).size > made.size


@pytest.mark.parametrize(
    "odd",
    [
        {"pairing": [1]},
        {"classes": "many"},
        {"arms": {}},
        {"arms": None},
        {"epochs": None},
        {"pairing": {"broken": "x"}},
    ],
)
def test_odd_settings_are_refused_in_one_line(tmp_path: Path, odd: dict[str, Any]) -> None:
    run = Run(write_run(tmp_path / "run", epochs=1))
    (run.path / "settings.yaml").write_text(yaml.safe_dump(run.plain_settings | odd))
    with pytest.raises(ValueError, match=r"run cannot be packed|settings of run") as refused:
        document(run)
    assert "\n" not in str(refused.value)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path / "run", epochs=1))
    (run.path / "data.json").write_text('{"labels": {"student": ["a", "b"]}, "own": 5}')
    with pytest.raises(
        ValueError, match=r"run cannot be packed: its files are damaged .*data\.json"
    ):
        document(run)


def test_a_file_without_its_script_says_what_it_may_lack(demo: str) -> None:
    assert "The pictures need JavaScript, or the file is incomplete." in demo


# --------------------------------------------------------------------------------- the command


def test_the_command_writes_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "mine")
    assert cli.main(["page", "mine", "--arms", "plain,wcord", "--steps", "2"]) == 0
    assert capsys.readouterr().out.startswith("mine.html: 0.")
    text = (tmp_path / "mine.html").read_text()
    assert "2 snapshots" in text and "2 of 4 snapshots" in text


WRONG = [
    (["absent"], "no run at absent"),
    (["mine", "--arms", "wcrd"], "no arm 'wcrd'; it has plain, crd, wcord, wcord+kd"),
    (["mine", "--steps", "0"], "steps is 0"),
    (["mine", "-o", "there.html"], "there.html exists"),
    (["mine", "-o", "no/a.html"], "cannot write no/a.html: the folder no does not exist; make it"),
    (["mine", "--epochs", "3"], "unknown option '--epochs'"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_mistakes_exit_with_2_and_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "mine")
    (tmp_path / "there.html").write_text("mine")
    assert cli.main(["page", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error and error.startswith("wcord: ")
    assert (tmp_path / "there.html").read_text() == "mine"
    assert not (tmp_path / "mine.html").exists()


def test_help_lists_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    assert re.search(r"page\s+write a run into one HTML file", capsys.readouterr().out)


def missing(parser: argparse.ArgumentParser) -> Any:
    """Do something."""

    def run(options: argparse.Namespace) -> int:
        raise ModuleNotFoundError("No module named 'x'", name="x")

    return run


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (f"{__name__}:missing [lab]", "wcord extra needs the package x: pip install 'wcord[lab]'"),
        ("not_there.at_all:command [lab]", "needs the package not_there: pip install 'wcord[lab]'"),
        ("json:not_there", "wcord extra is damaged"),
    ],
)
def test_a_command_that_cannot_be_used_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    value: str,
    message: str,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _module())
    point = EntryPoint("extra", value, cli.package_commands.GROUP)
    monkeypatch.setattr(cli.package_commands, "entry_points", lambda group: [point])
    assert cli.main(["extra", "words"] if "missing" not in value else ["extra"]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert cli.main(["runs"]) == 0  # the other commands work


def _module() -> Any:
    return argparse.Namespace(missing=missing)


def test_without_the_lab_an_unknown_command_says_how_to_get_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.package_commands, "entry_points", lambda group: [])
    assert cli.main(["page", "run"]) == 2
    error = capsys.readouterr().err.strip()
    assert "no command 'page'" in error and "pip install 'wcord[lab]'" in error
    assert "\n" not in error
