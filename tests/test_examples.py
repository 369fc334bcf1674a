"""The examples run, and their students learn."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from test_ranks import on_ranks

FOLDER = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import from the folder of examples, as `python examples/NAME.py` does."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").exists():
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("example", "needs", "options"),
    [
        ("plain_loop", "torch", {}),
        ("lightning_module", "lightning", {"accelerator": "cpu"}),
        ("hugging_face_trainer", "transformers", {"use_cpu": True}),
    ],
)
def test_the_student_of_an_example_learns(
    example: str, needs: str, options: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    pytest.importorskip(needs)
    monkeypatch.chdir(tmp_path)
    assert import_module(example).main(**options) > 70  # chance is 10
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_distributed_example_learns_the_same_on_both_ranks(tmp_path: Path) -> None:
    module, shared = import_module("distributed"), import_module("digits")

    def action(rank: int) -> None:
        torch.save(module.main().state_dict(), tmp_path / f"{rank}.pt")

    on_ranks(tmp_path, action)
    first, second = (torch.load(tmp_path / f"{r}.pt", weights_only=True) for r in range(2))
    weights = [key for key in first if "running" not in key]  # statistics are each rank's own
    assert all(torch.equal(first[key], second[key]) for key in weights)
    student = shared.network(16)
    student.load_state_dict(first)
    assert shared.accuracy(student, shared.digits()[1]) > 70


def test_every_example_is_tested() -> None:
    tested = {"plain_loop", "lightning_module", "hugging_face_trainer", "distributed", "digits"}
    assert {path.stem for path in FOLDER.glob("*.py")} == tested
