"""The rooms of the house: imports go one way, and no files import each other in a circle.

One import goes up, and only when it is requested: `from wcord import lab`. It has the name as a
text (`wcord/__init__.py`, `wcord/lab_of_repository.py`), and nothing in `wcord` uses it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import lab

LAB = Path(lab.__file__).parent

# lowest first; a file may import from its own room and from those above it in this list
ROOMS = [
    ("wcord.errors", "wcord.frozen"),
    ("wcord.compute", "wcord.models.output"),
    ("wcord.critic", "wcord.bank"),
    ("wcord.transport",),
    ("wcord.objectives",),
    ("wcord.models",),
    ("wcord.data",),
    ("wcord.views",),
    ("wcord.settings",),
    ("wcord.losses",),
    ("wcord.runs",),
    ("wcord.training",),
    ("wcord.tracking",),
    ("wcord.analysis",),
    ("wcord",),
    ("wcord.cli", "wcord.__main__"),
    ("lab.palette", "lab.demo", "lab.reading.arrange"),
    ("lab.words",),
    ("lab.reading", "lab.maps"),
    ("lab.figures",),
    ("lab.viewer",),
    ("lab.control",),
    ("lab.course",),
    ("lab.pages",),
    ("lab", "lab.demo.make_demo"),
]
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def level(module: str) -> int:
    """Return the level of the room that a file lies in: that of the longest name that fits."""
    while module not in LEVELS:
        module = module.rpartition(".")[0]
    return LEVELS[module]


@pytest.fixture(scope="module")
def imports() -> list[tuple[str, str, int]]:
    """Every import of one file by another, with its line; those inside functions count as well."""
    graph = grimp.build_graph("wcord", "lab", cache_dir=None)
    return [
        (
            importer,
            imported,
            graph.get_import_details(importer=importer, imported=imported)[0]["line_number"],
        )
        for importer in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(importer))
    ]


def test_imports_go_one_way(imports: list[tuple[str, str, int]]) -> None:
    wrong = [
        f"{importer}, line {line}, imports {imported}, which is a room above it"
        for importer, imported, line in imports
        if level(imported) > level(importer)
    ]
    assert len(imports) > 500 and not wrong, "\n".join(wrong)


def circles(imports: list[tuple[str, str, int]]) -> list[set[str]]:
    """Return the groups of files of which each imports every other, directly or through others."""
    reached: dict[str, set[str]] = {}
    for importer, imported, _ in imports:
        reached.setdefault(importer, set()).add(imported)
        reached.setdefault(imported, set())
    for _ in range(len(reached)):
        grown = False
        for module, known in reached.items():
            wider = known.union(*(reached[other] for other in known))
            grown |= len(wider) > len(known)
            reached[module] = wider
        if not grown:
            break
    in_circles = {m: {o for o in reached[m] if m in reached[o]} for m in reached if m in reached[m]}
    return [set(group) for group in {frozenset(group) for group in in_circles.values()}]


def test_no_files_import_each_other_in_a_circle(imports: list[tuple[str, str, int]]) -> None:
    found = circles(imports)
    print(f"files in import circles: {sum(map(len, found))}")
    assert not found, "\n".join(", ".join(sorted(group)) for group in found)


def test_pages_are_imported_by_nothing(imports: list[tuple[str, str, int]]) -> None:
    assert not [line for line in imports if line[1].startswith("lab.pages")]
    packages = {p.parent.name for p in LAB.glob("*/__init__.py")}
    assert {f"lab.{name}" for name in packages} <= set(LEVELS)
    # streamlit_app holds a script that Streamlit runs, and nothing imports
    assert packages | {"streamlit_app"} == {p.name for p in LAB.iterdir() if any(p.glob("*.py"))}


def test_modules_of_the_lab_know_no_name_of_it() -> None:
    """They import each other by relative names, and no text names one: an installed lab differs."""
    wrong = []
    for path in sorted(LAB.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            elif isinstance(node, ast.Constant) and re.fullmatch(r"lab(\.\w+)+", str(node.value)):
                names = [str(node.value)]
            if any(name.partition(".")[0] == "lab" for name in names):
                wrong.append(f"{path.relative_to(LAB)}, line {node.lineno}: {names}")
    assert not wrong, "\n".join(wrong)


def test_a_module_of_the_lab_is_run_under_both_names() -> None:
    for name in ("lab.maps", "wcord.lab.maps", "wcord.lab.reading.map_worker"):
        command = [sys.executable, "-m", name, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "UMAP" in done.stdout, done.stderr


FIRST = [
    "import lab",
    "from wcord import lab",
    "import wcord; wcord.lab",
    "from wcord.lab.viewer import in_page",
    "import lab.words.panels",
]


@pytest.mark.parametrize("first", FIRST)
def test_the_lab_is_one_whichever_name_is_imported_first(first: str) -> None:
    same_modules(first, ["wcord.lab", "wcord.lab.words.panels", "wcord.lab.reading.watch"])


@pytest.mark.slow
def test_all_of_the_lab_is_one() -> None:
    modules = grimp.build_graph("lab", cache_dir=None).modules
    same_modules("import wcord", [f"wcord.{name}" for name in sorted(modules)])


def same_modules(first: str, names: list[str]) -> None:
    """Check in a process of its own that modules are those of `lab`, and no file is read twice."""
    code = f"""
{first}
import sys
from importlib import import_module
for name in {names}:
    assert import_module(name) is import_module(name.removeprefix("wcord.")), name
import lab, wcord
assert wcord.lab is lab and lab.__spec__.name == "lab"
modules = {{id(module): module for module in sys.modules.values()}}.values()
files = [module.__file__ for module in modules if module.__name__.startswith(("lab", "wcord.lab"))]
assert len(files) == len(set(files)) >= {len(names)}, files
try:
    import wcord.lab.nowhere
except ModuleNotFoundError as error:
    assert error.name == "lab.nowhere"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_that_a_run_leaves_is_tracked() -> None:
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=LAB.parent, check=False)
    if done.returncode:
        pytest.skip("this is no repository of git")
    assert not done.stdout


def test_a_circle_is_found() -> None:
    assert circles([("a", "b", 1), ("b", "c", 1), ("c", "a", 1), ("c", "d", 1)]) == [
        {"a", "b", "c"}
    ]
