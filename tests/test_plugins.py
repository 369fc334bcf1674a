"""Plugins: terms in modules of a user's own, known to every process that trains."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import wcord
from wcord.objectives import TERMS
from wcord.objectives.term import Term
from wcord.settings.messages import SettingsError
from wcord.settings.plugins import plugin_folders

MODULE = """
from torch.nn import functional as F

from wcord.objectives import TERMS
from wcord.objectives.term import Term


class MeanLogits(Term):
    name = "mean_logits"

    def forward(self, batch, teacher, student, shared):
        return F.mse_loss(student.logits.mean(0), teacher.logits.mean(0))


TERMS["mean_logits"] = MeanLogits
"""
ARMS = {"mine": {"ce": 1, "mean_logits": 0.5}}
MISSING = (
    "plugins: my_terms cannot be imported (there is no module my_terms): put my_terms.py into the "
    "working directory or add its folder to PYTHONPATH"
)


@pytest.fixture(autouse=True)
def forget_plugins() -> Iterator[None]:
    """Restore terms, modules and search path after each test."""
    terms, modules, path = dict(TERMS), set(sys.modules), list(sys.path)
    yield
    TERMS.clear()
    TERMS.update(terms)
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("my_terms", "my_package"):
            del sys.modules[name]
    sys.path[:] = path
    importlib.invalidate_caches()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with my_terms.py, on the search path of this process alone."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "my_terms.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    return folder


def with_plugin(experiment: wcord.Experiment) -> wcord.Experiment:
    return experiment.replace({"plugins": ["my_terms"], "arms": ARMS, "epochs": 1})


def wcord_command(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as an installed script does: without the working directory on the path.

    It sees the caller's working directory, and no variable PYTHONPATH unless one is given.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "wcord", *words],
        cwd=cwd, env=inherited | environment, capture_output=True, text=True,
    )  # fmt: skip


def test_settings_with_a_plugin_are_validated_and_read_back(
    short: wcord.Experiment, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="name its module in the setting plugins"):
        short.replace({"arms": ARMS})
    experiment = with_plugin(short)
    assert experiment.arms["mine"]["mean_logits"].weight == 0.5
    (tmp_path / "settings.yaml").write_text(experiment.yaml())
    assert wcord.load(tmp_path / "settings.yaml") == experiment
    assert "plugins" not in short.plain()  # settings without plugins keep their digests


def test_a_plugin_survives_launch_and_resume(
    short: wcord.Experiment, folder: Path, tmp_path: Path
) -> None:
    """The folder is on the path of this process alone; the new process still trains the term."""
    run = wcord.launch(with_plugin(short), tmp_path / "run")
    status = run.wait(timeout=300)
    assert status.phase == "finished", (run.path / "log.txt").read_text()
    metrics = run.metrics()
    assert "mean_logits" in set(metrics[metrics["arm"] == "mine"]["name"])

    (run.path / "summary.json").unlink()
    words = ("resume", str(run.path), "--quiet")
    shutil.copytree(run.path, tmp_path / "copy")
    missing = wcord_command(*words, cwd=tmp_path)
    assert (missing.returncode, missing.stderr) == (2, f"wcord: {MISSING}\n")
    found = wcord_command(*words, cwd=tmp_path, PYTHONPATH=str(folder))
    assert found.returncode == 0, found.stderr
    assert run.summary is not None and "mine" in run.summary["arms"]


def test_the_command_line_finds_a_plugin_in_the_working_directory(
    short: wcord.Experiment, folder: Path, tmp_path: Path
) -> None:
    (folder / "settings.yaml").write_text(with_plugin(short).yaml())
    words = ("train", "settings.yaml", "--quiet", "--run-dir", str(tmp_path / "run"))
    done = wcord_command(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    summary = wcord.Run(tmp_path / "run").summary
    assert summary is not None and list(summary["arms"]) == ["mine"]


def test_a_sweep_varies_a_term_of_a_plugin(
    short: wcord.Experiment, folder: Path, tmp_path: Path
) -> None:
    over = {"arms.mine.mean_logits.weight": [0.1, 1]}
    table = wcord.sweep(with_plugin(short), over, seeds=1, folder=tmp_path / "s", progress=False)
    assert len(table) == 2 and table["error"].isna().all()


class Here(Term):
    """A term in a module that no setting names."""

    name = "here"

    def forward(self, batch: Any, teacher: Any, student: Any, shared: Any) -> torch.Tensor:
        return F.mse_loss(student.logits, teacher.logits)


@pytest.mark.parametrize(
    ("module", "words"),
    [("__main__", "this notebook or script"), (__name__, f"module {__name__}")],
)
def test_terms_that_a_new_process_does_not_know_are_only_trained_here(
    short: wcord.Experiment,
    module: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Here, "__module__", module)
    TERMS["here"] = Here
    experiment = short.replace({"arms": {"mine": {"ce": 1, "here": 1}}, "epochs": 1})
    with pytest.raises(SettingsError, match=words) as caught:
        wcord.launch(experiment, tmp_path / "run")
    assert "\n" not in str(caught.value) and "wcord.distill" in str(caught.value)
    assert not (tmp_path / "run").exists()
    run = wcord.distill(experiment, tmp_path / "run", progress=False)
    assert run.status.phase == "finished"


def test_modules_that_cannot_be_imported_are_refused_in_one_line(
    short: wcord.Experiment, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "my_package").mkdir()  # without __init__.py, as the folder of runs
    (folder / "my_package" / "terms.py").write_text("raise SystemExit('imported')")
    (folder / "broken.py").write_text("raise OSError('two\\nlines')")
    for name, words in {
        "absent": "there is no module absent",
        "__main__": "there is no module __main__",
        "my_package.terms": "there is no module my_package",
        "broken": r"broken cannot be imported \(two\)",
        "": "cannot be imported",
    }.items():
        with pytest.raises(SettingsError, match=words) as caught:
            short.replace({"plugins": [name]})
        assert "\n" not in str(caught.value) and str(caught.value).startswith("plugins: ")


def test_folders_of_modules_and_packages(folder: Path) -> None:
    package = folder / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "terms.py").touch()
    importlib.invalidate_caches()
    assert plugin_folders(["my_terms", "my_package.terms"]) == [str(folder)]
