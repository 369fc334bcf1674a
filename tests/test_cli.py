"""The command line: exit codes, and one clear line for what went wrong."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import torch

import wcord
from wcord.cli import dotted, main
from wcord.runs.storage import StorageError
from wcord.runs.writer import create

WRONG = [
    (["train", "digits-compresion"], "did you mean 'digits-compression'"),
    (["train", "digits-compression", "--epoch", "3"], "did you mean '--epochs'"),
    (["train", "digits-compression", "--quite"], "did you mean '--quiet'"),
    (["train", "--quite", "digits-compression"], "did you mean '--quiet'"),
    (["train", "digits-compression", "--optimiser.lr=1"], "did you mean '--optimizer.lr'"),
    (["train", "digits-compression", "--optimizer.lrr", "1"], "did you mean 'lr'"),
    (["train", "digits-compression", "--xyzzy", "1"], "unknown option or setting '--xyzzy'"),
    (["train", "digits-compression", "-q"], "unknown option '-q'"),
    (["train", ""], "argument preset: the name is empty"),
    (["train", "digits-compression", "--run-dir", ""], "argument --run-dir: the name is empty"),
    (["resume", ""], "argument RUN: the name is empty"),
    (
        ["train", "digits-compression", "--arms.wcord.gckt", "[1]"],
        "arms.wcord.gckt is a weight or a table",
    ),
    (["train", "digits-compression", "--"], "unknown option or setting '--'"),
    (["train"], "the following arguments are required: preset"),
    (["train", "--epochs", "-3", "digits-compression"], "epochs: input should be greater"),
    (["train", "digits-compression", "--epochs", "3", "--epochs=4"], "--epochs is given twice"),
    (["train", "digits-compression", "--epochs="], "--epochs needs a value"),
    (["train", "digits-compression", "--epochs", ""], "--epochs needs a value"),
    (["train", "digits-compression", "--epochs", "--quiet"], "--epochs needs a value"),
    (["train", "digits-compression", "--arms.wcord", "gckt"], "arm 'wcord' is a table of terms"),
    (["train", "digits-compression", "--arms.wcord", "{gckt: [1"], "is not YAML"),
    (["train", "digits-compression", "--name", "2024-13-01"], "is not YAML"),
    (["train", "digits-compression", "--data.labels_per_class", "9999"], "use at most 69"),
    (["train", "absent.yaml"], "there is no file 'absent.yaml'"),
    (["train", "digits-halt.yaml"], "there is no file 'digits-halt.yaml'; did you mean 'digits-"),
    (["train", "no/where"], "there is no file 'no/where'"),
    (["train", "x" * 5000], "unknown preset"),
    (["train", "/"], "the folder '/' is no run"),
    (["trian", "digits-compression"], "no command 'trian'; did you mean 'train'"),
    (["zzz"], "no command 'zzz'; there are presets, show"),
    (["--quiet", "train"], "unknown option '--quiet'"),
    (["show", "gkct"], "'gkct' is no preset, file, run or term; did you mean 'gckt'"),
    (["show", "gckt", "--epochs", "3"], "gckt is a term"),
    (["show", "--epochs", "3"], "name a preset"),
    (["runs", "--jsn"], "unknown option '--jsn'; did you mean '--json'"),
    (["completion", "tcsh"], "invalid choice: 'tcsh'"),
    (["train", "digits-compression", "--arms.wcord.gckt.weight", "-1"], "gckt.weight"),
    (["train", "digits-compression", "--epochs"], "--epochs needs a value"),
    (["train", "digits-compression", "stray"], "unexpected 'stray'"),
    (["presets", "stray"], "unexpected 'stray'"),
    (["train", "digits-compression", "--device", "abacus"], "device 'abacus'"),
    (["train", "digits-compression", "--data.source", "npz:absent.npz"], "absent.npz"),
    (["train", "digits-compression", "--data.source", "folder:absent"], "absent"),
    (["train", "digits-compression", "--device", "meta"], "device 'meta' cannot be used here"),
    (["train", "digits-compression", "--data.source", "npz:"], "write npz:PATH"),
    (["train", "digits-compression", "--data.size", "5000"], "data.size: input should be less"),
    (["train", "digits-compression", "--arms", "{}"], "arms: at least one is needed"),
    (["train", "digits-compression", "--batch", "1000"], "batch is 1000"),
    (["train", "digits-compression", "--pairing", "0.8"], "pairing: a table of settings is needed"),
    (["train", "digits-compression", "--teacher.normalise", "all"], 'use "measured", "none" or'),
    (
        ["train", "digits-compression", "--student.normalise", "{mean: [0.5, 0.5], std: 1}"],
        "normalise.mean holds 2 numbers, but the network sees 1 channel",
    ),
    (["train", "digits-compression", "--teacher.weights", "absent.pth"], "absent.pth"),
    (["train", "digits-compression", "--run-dir", "/proc/nowhere"], "cannot make a run"),
    (["resume", "absent"], "settings.yaml is missing"),
    (["report", "absent"], "settings.yaml is missing"),
    (["runs", "--all"], "unknown option '--all'"),
    (["sweep", "digits-compression", "--seeds", "few"], "--seeds: a number (10) or a list"),
    (["sweep", "digits-compression", "--seeds", "1,1"], "a seed twice"),
    (["sweep", "digits-compression", "--seeds", "0"], "a number from 1 to"),
    (["sweep", "digits-compression", "--over", "epochs"], "SETTING=a,b,c"),
    (["sweep", "digits-compression", "--over", "epochs=[]"], "needs a list of values"),
    (["sweep", "digits-compression", "--over", "epoch=1"], "did you mean 'epochs'"),
    (["sweep", "digits-compression", "--over", "epochs=[1"], "no list of YAML values"),
    (["sweep", "digits-compression", "--backend", "cloud"], "unknown backend 'cloud'"),
]


def printed_json(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what was printed on stdout: strict JSON, and nothing else."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(capsys.readouterr().out, parse_constant=refuse)


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_the_users_mistakes_exit_with_2_and_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    assert main(words) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error and error.startswith("wcord: ")
    assert wcord.list_runs() == []  # a run that was refused leaves no directory behind


def test_train_resume_runs_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = ["--epochs", "1", "--teacher.epochs", "4"]
    for seed in ("0", "1"):
        path = str(tmp_path / seed)
        assert main(["train", "digits-compression", "--run-dir", path, "--seed", seed, *quick]) == 0
    assert "wcord+kd" in capsys.readouterr().out
    assert main(["resume", str(tmp_path / "0")]) == 0
    both = ["report", str(tmp_path / "0"), str(tmp_path / "1"), "--against", "plain"]
    assert main(both) == 0
    assert "against plain" in capsys.readouterr().out
    assert main([*both, "--json"]) == 0
    record = printed_json(capsys)
    assert record["seeds"] == 2 and record["against"] == "plain"
    arms = {row["arm"]: row for row in record["arms"]}
    accuracies = [wcord.Run(tmp_path / s).summary["arms"]["kd"]["test_accuracy"] for s in "01"]  # type: ignore[index]
    assert arms["kd"]["mean"] == pytest.approx(sum(accuracies) / 2)
    assert arms["plain"]["difference"] is None  # nan in Python
    assert main(["report", str(tmp_path / "0"), "--json"]) == 0
    assert {row["verdict"] for row in printed_json(capsys)["arms"]} == {None}
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    assert main(["runs"]) == 0
    assert "finished at step 11 of 11" in capsys.readouterr().out
    assert main(["runs", "--json"]) == 0
    found = printed_json(capsys)
    assert {(run["name"], run["phase"], run["step"]) for run in found} == {
        ("0", "finished", 11),
        ("1", "finished", 11),
    }


QUICK = ["--epochs", "1", "--teacher.epochs", "4", "--arms.wcord+kd", "null", "--arms.crd", "null"]


def test_a_sweep_prints_a_report_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["sweep", "digits-compression", "--seeds", "2", *QUICK, "--folder", str(tmp_path)]
    words += ["--over", "arms.wcord.gckt.weight=1,5", "--over", "data.labels_per_class=5"]
    assert main([*words, "--against", "plain (data.labels_per_class=5)"]) == 0
    printed = capsys.readouterr()
    row = "| wcord (gckt.weight=1, data.labels_per_class=5) | "
    assert (
        row in printed.out
        and "against plain (data" in printed.out
        and "over 2 seeds" in printed.out
    )
    assert "2 of 2: seed1" in printed.err
    monkeypatch.setattr(
        "wcord.analysis.sweep_runs.distill", lambda *_, **__: pytest.fail("run again")
    )
    assert main([*words, "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(table) == 2 * (1 + 1 + 2)
    assert main([*words, "--json"]) == 0
    assert len(printed_json(capsys)) == len(table)
    mine = table[(table["arm"] == "wcord") & (table["arms.wcord.gckt.weight"] == 1)]
    assert f"{row}{mine.test_accuracy.mean():.2f} ± {mine.test_accuracy.std():.2f}" in printed.out


def test_a_sweep_with_a_failed_run_reports_the_others_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", "digits-compression", "--seeds", "3", *QUICK, "--folder", str(tmp_path)]
    assert main([*words, "--over", "data.labels_per_class=5,10000"]) == 1
    printed = capsys.readouterr()
    assert "| plain (data.labels_per_class=5) |" in printed.out
    assert "failed: " in printed.err and "labels_per_class is 10000" in printed.err
    assert main([*words, "--over", "data.labels_per_class=10000"]) == 1
    assert "every run of the sweep failed" in capsys.readouterr().err


def test_presets_and_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in wcord.presets())
    assert main(["presets", "--json"]) == 0
    for preset in printed_json(capsys):
        experiment = wcord.load(preset["name"])
        assert preset["title"] == experiment.title
        assert preset["description"] == experiment.description.strip()
    assert main(["doctor"]) == 0
    assert "ok  torch" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    found = printed_json(capsys)
    assert found["passed"] is True
    assert {"state": "ok", "name": "torch", "detail": version("torch")} in found["checks"]


def test_a_doctor_that_finds_a_fault_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path / "file" / "runs"))
    assert main(["doctor", "--json"]) == 1
    found = printed_json(capsys)
    assert not found["passed"]
    assert [check["name"] for check in found["checks"] if check["state"] == "no"] == [
        "runs (WCORD_RUNS)"
    ]


def test_values_are_read_as_a_user_means_them() -> None:
    words = [
        "--arms.x",
        "{ce: 1, gckt: {weight: 2}}",
        "--arms.x.kd",
        "1e-3",
        "--name",
        "2024-01-01",
    ]
    words += ["--data.source", "npz:", "--optimizer.lr=1e-4", "--arms.plain", "null"]
    experiment = wcord.load("digits-compression")
    changes = dotted(words)
    assert changes["data.source"] == "npz:" and changes["name"] == "2024-01-01"
    del changes["data.source"]
    changed = experiment.replace(changes)
    assert changed.arms["x"]["kd"].weight == 1e-3 and changed.arms["x"]["gckt"].weight == 2
    assert changed.optimizer.lr == 1e-4 and "plain" not in changed.arms


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: wcord") and "train a preset" in printed


@pytest.mark.parametrize("existing", ["none", "empty", "inside"])
@pytest.mark.parametrize(
    "refused",
    [
        ["--batch", "1000"],
        ["--data.source", "npz:absent.npz"],
        ["--teacher.weights", "{folder}/wrong.safetensors"],
        ["--device", "meta"],
        ["--data.labels_per_class", "9999"],
        ["--linear_probe", "[npz:absent.npz]"],
    ],
)
def test_a_refused_run_leaves_no_folder(
    refused: list[str], existing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safetensors.torch.save_file({"x": torch.zeros(3)}, tmp_path / "wrong.safetensors")
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "there"
    if existing != "none":
        path.mkdir()
    before = sorted(tmp_path.rglob("*"))
    words = [word.format(folder=tmp_path) for word in refused]
    inside = path / "a" / "b" if existing == "inside" else path
    assert main(["train", "digits-compression", *words, "--run-dir", str(inside)]) == 2
    assert main(["train", "digits-compression", *words]) == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_is_refused_after_its_teacher_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "digits-compression", "--teacher.epochs", "4", "--data.train_size", "64"]
    words += ["--batch", "16", "--arms", "{w: {wkd_l: 1}}", "--data.labels_per_class", "null"]
    changes = ["--student.labels", "[0,0,0,0,0,0,0,0,0,1]"]
    changes += ["--teacher.labels", "[0,0,0,0,0,0,0,0,0,1]"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wcord.objectives.wkd.WKDLogit.fill_banks", _refuse)
        assert main([*words, *changes, "--run-dir", str(tmp_path / "a" / "run")]) == 2
    assert "refused here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def _refuse(*_: object) -> None:
    raise ValueError("refused here")


def test_a_full_disk_while_a_run_is_made_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("wcord.runs.writer.write_json", full)
    assert main(["train", "digits-compression", "--run-dir", str(tmp_path / "a" / "run")]) == 2
    assert "the disk is full" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_with_files_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["train", "digits-compression", "--run-dir", str(tmp_path)]) == 2
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path / "runs"))
    assert main(["train", "digits-compression", "--epochs", "3", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "33 steps" in printed and "MiB on disk" in printed
    assert not list(tmp_path.iterdir())
    assert main(["train", "digits-compression", "--batch", "1000", "--dry-run"]) == 2


def test_training_estimates_nothing_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data are read once, and no step is timed."""
    from wcord.training import prepare

    reads: list[object] = []
    real = prepare.read_data
    monkeypatch.setattr(prepare, "read_data", lambda *a: (reads.append(a), real(*a))[1])
    monkeypatch.setattr("wcord.analysis.estimate.estimate", _refuse)
    words = ["train", "digits-compression", "--epochs", "1", "--teacher.epochs", "4"]
    assert main([*words, "--run-dir", str(tmp_path / "run")]) == 0
    assert len(reads) == 1


DAMAGE = {
    "summary.json": ["not JSON", "[]", '{"seed": "x"}', '{"seed": 0, "arms": {"a": 3}}'],
    "status.json": ["not JSON", "[]", '{"state": 5}'],
    "settings.yaml": [": [", "5"],
    "metrics.jsonl": ["\x00"],
}


@pytest.mark.parametrize(
    ("file", "content"), [(name, text) for name, texts in DAMAGE.items() for text in texts]
)
def test_a_damaged_run_is_listed_and_never_a_traceback(
    file: str,
    content: str,
    finished: wcord.Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    shutil.copytree(finished.path, tmp_path / "mine")
    (tmp_path / "mine" / file).write_text(content)
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.startswith("mine ")
    assert main(["runs", "--json"]) == 0
    assert [run["name"] for run in printed_json(capsys)] == ["mine"]
    expected = 2 if file == "summary.json" else 0
    assert main(["report", "mine"]) == expected
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and (not expected or "summary.json is missing or damaged" in error)


def test_a_run_that_is_no_run_is_named_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    create(tmp_path / "digits-1", wcord.load("digits-half").yaml())
    for command in ("report", "resume", "page"):
        assert main([command, "digit-1"]) == 2
        assert "no run at digit-1" in (error := capsys.readouterr().err)
        assert "did you mean 'digits-1'?" in error
    assert main(["report", "digits-1"]) == 2
    assert "has no results yet" in capsys.readouterr().err


def test_runs_with_different_settings_are_named_in_one_line(
    finished: wcord.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished.path, tmp_path / "other")
    other = finished.settings.replace({"seed": 1, "batch": 32})
    (tmp_path / "other" / "settings.yaml").write_text(other.yaml())
    summary = tmp_path / "other" / "summary.json"
    summary.write_text(summary.read_text().replace('"seed": 0', '"seed": 1'))
    assert main(["report", str(finished.path), str(tmp_path / "other")]) == 0
    error = capsys.readouterr().err.strip()
    assert error.startswith("wcord: ") and error.endswith("different settings: batch")
    assert "\n" not in error


@pytest.mark.parametrize(
    "words", [["presets"], ["presets", "--json"], ["--help"], ["show", "gckt"]]
)
def test_a_closed_pipe_leaves_no_traceback(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = [sys.executable, "-m", "wcord", *words]
    done = subprocess.run(code, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 141 or words == ["--help"]  # argparse ignores the closed pipe


def test_a_broken_arm_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "digits-compression", "--quiet", "--run-dir", str(tmp_path / "run")]
    words += ["--epochs", "1", "--teacher.epochs", "4", "--arms.kd.kd.weight", "1e38"]
    assert main([*words, "--arms.kd.kd.temperature", "1e3"]) == 1
    assert "arm 'kd' froze at step" in capsys.readouterr().err


def test_no_traceback_reaches_the_user() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wcord", "train", "nothing"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
