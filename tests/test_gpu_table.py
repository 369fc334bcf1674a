"""Two epochs of `make gpu-table` without a GPU: the command, not the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import wcord
from benchmarks import table
from wcord.runs import runs_folder


def test_two_epochs_make_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "table.md"
    table.main(["--small", "--out", str(out)])
    printed = capsys.readouterr().out
    assert not out.exists()  # numbers of random images are not written
    for arm in ("teacher", *table.ARMS):
        assert f"| {arm} | " in printed
    assert "nothing was written" in printed and "not CIFAR-100" in printed
    runs = [wcord.Run(path) for path in runs_folder().glob("gpu-table-small-*")]
    assert len(runs) == 3  # two seeds of nine arms, and WCoRD alone
    for run in runs:
        assert run.status.state == "finished" and run.settings.epochs == 2
        assert run.settings.name == "gpu-table-small"


def test_on_a_gpu_it_is_the_whole_recipe() -> None:
    """The settings on CUDA: the paper's pair, all epochs, bfloat16, graphs."""
    settings = table.experiment("npz:images.npz", False, torch.device("cuda"))
    assert (settings.epochs, settings.teacher.epochs, settings.batch) == (240, 240, 64)
    assert (settings.teacher.model, settings.student.model) == ("resnet32x4", "resnet8x4")
    assert (settings.precision, settings.speed) == ("bfloat16", "graphs")
    assert list(settings.arms) == list(table.ARMS) and len(settings.arms) == 9
    assert all("gckt" in settings.arms[name] for name in ("wcord", "wcord+kd"))


def test_without_images_the_message_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        table.main([])
    assert end.value.code == 2
    assert "DATA=file.npz" in capsys.readouterr().err
