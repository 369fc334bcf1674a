"""The command line: exit codes, and one clear line for what went wrong."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import wcord
from wcord.cli import main

WRONG = [
    (["train", "digits-compresion"], "did you mean 'digits-compression'"),
    (["train", "digits-compression", "--epoch", "3"], "did you mean 'epochs'"),
    (["train", "digits-compression", "--arms.wcord.gckt.weight", "-1"], "gckt.weight"),
    (["train", "digits-compression", "--epochs"], "--epochs needs a value"),
    (["train", "digits-compression", "stray"], "unexpected 'stray'"),
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
    printed = capsys.readouterr().out
    assert "about" in printed and "MiB on disk" in printed and "wcord+kd" in printed
    assert main(["resume", str(tmp_path / "0")]) == 0
    assert main(["report", str(tmp_path / "0"), str(tmp_path / "1"), "--against", "plain"]) == 0
    assert "against plain" in capsys.readouterr().out
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    assert main(["runs"]) == 0
    assert "finished at step 11 of 11" in capsys.readouterr().out


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
    assert main(["doctor"]) == 0
    assert "ok  torch" in capsys.readouterr().out


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
