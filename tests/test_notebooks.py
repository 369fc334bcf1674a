"""Every notebook runs, and the outputs beside its sources are theirs, clean and small."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lab.course.execute_notebooks import digest, execute, normalise, notebooks, read
from lab.course.exercises import EXERCISES

LARGEST = 250_000  # bytes of a notebook with its outputs
MACHINE = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|var|usr|opt|work|Users|mnt|private)/\w")
NOTEBOOKS = notebooks()


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def outputs(notebook: Any) -> list[Any]:
    return [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]


def test_they_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:2]) for path in NOTEBOOKS] == list(range(len(NOTEBOOKS)))


@pytest.mark.slow
def test_it_runs(path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    runs = tmp_path_factory.getbasetemp() / "notebooks"  # shared, and with it the teachers
    notebook = normalise(execute(read(path), runs, quick=True))
    assert "error" not in {output.output_type for output in outputs(notebook)}
    if path.stem.endswith("solutions"):
        said = "".join(output.text for output in outputs(notebook) if "text" in output)
        assert {*re.findall(r"^([\d.]+): right$", said, re.MULTILINE)} == {*EXERCISES}


def test_its_outputs_are_of_its_code(path: Path) -> None:
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.metadata["wcord"]["source"] == digest(notebook), "run `make notebooks`"
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "error" not in {output.output_type for output in outputs(notebook)}


def test_it_is_fit_to_commit(path: Path) -> None:
    notebook = read(path)
    assert path.stat().st_size <= LARGEST
    again = normalise(nbformat.from_dict(json.loads(json.dumps(notebook))))
    assert again == notebook  # nothing that normalising would take away
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        texts = [cell.source]
        for output in cell.get("outputs", []):
            texts += [output.get("text", "")]
            texts += [t for kind, t in output.get("data", {}).items() if kind.startswith("text")]
        for text in texts:
            assert not MACHINE.search(text), text
            assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)


def test_its_figures_are_vectors_with_captions(path: Path) -> None:
    numbers = []
    for cell in read(path).cells:
        shown = outputs(nbformat.v4.new_notebook(cells=[cell]))
        for output, below in zip(shown, [*shown, None][1:], strict=True):
            data = output.get("data", {})
            assert not {"image/png", "image/jpeg"} & {*data}
            if "image/svg+xml" in data and "lab.view(" not in cell.source:
                assert len(data["text/plain"]) > 20
                assert below is not None and data["text/plain"] in below.data["text/markdown"]
                numbers += re.findall(r"^\*\*Figure ([\d.]+)\.\*\* ", below.data["text/markdown"])
    chapter = int(path.name[:2])
    assert numbers == [f"{chapter}.{place + 1}" for place in range(len(numbers))]


def test_its_links_lead_somewhere(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!http)([^)#]+)", cell.source):
                assert (path.parent / target).exists(), target


def test_normalising_drops_what_changes() -> None:
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox"}
    cell = nbformat.v4.new_code_cell(
        "f",
        metadata={"execution": {"started": "now"}, "tags": ["kept"]},
        outputs=[
            nbformat.v4.new_output("stream", name="stderr", text="50 %|███"),
            nbformat.v4.new_output("display_data", data=widget),
            nbformat.v4.new_output("execute_result", data={"text/plain": "<f at 0x7f00aa>"}),
        ],
    )
    notebook = normalise(nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"a": 1}}))
    (kept,) = notebook.cells[0].outputs
    assert kept.data["text/plain"] == "<f>"
    assert notebook.cells[0].metadata == {"tags": ["kept"]}
    assert set(notebook.metadata) == {"kernelspec", "language_info", "wcord"}
    changed = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("g")])
    assert digest(changed) != digest(notebook)
