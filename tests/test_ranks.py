"""Two ranks compute what one process does: gradients, banks and weights of a shared batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.multiprocessing as processes
from torch import Tensor, nn

import wcord
import wcord.training.loop
from wcord.compute import ranks
from wcord.models import Network, Output
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, FirstPassBatch, Shapes
from wcord.runs import checkpoints
from wcord.settings.sections import OptimizerSettings
from wcord.training.arm import Arm

RANKS, SAMPLES, BATCH, CLASSES, STEPS = 2, 48, 12, 4, 4
SHAPE = (3, 6, 6)
ARMS: dict[str, dict[str, dict[str, Any]]] = {
    "wcord+kd": {"ce": {}, "kd": {}, "gckt": {"dim": 8}, "lckt": {"weight": 0.5}},
    "nce": {"ce": {}, "gckt": {"form": "nce", "dim": 8, "negatives_count": 20}},
    "crd": {"ce": {}, "crd": {"dim": 8, "negatives_count": 20}},
    # weights at which no gradient explodes in a few steps of plain descent
    "shelf": {"ce": {}}
    | {t: {"weight": 0.01} for t in ("hint", "sp", "rkd", "pkt", "vid", "dist")},
    "maps": {"ce": {}, "at": {"weight": 1}},
}

DIFFERENT_CROPS: dict[str, Any] = {"data.augment": "crop-flip", "augment.shared": False}


class Net(nn.Module):
    """A small network, with or without batch normalisation."""

    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.second = nn.Conv2d(width, width, 3, padding=1, stride=2)
        self.classifier = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        inner = self.norm(self.first(images)).relu()
        return self.classifier(self.second(inner).relu().mean((2, 3)))


def network(width: int, norm: bool, seed: int) -> Network:
    torch.manual_seed(seed)
    return Network(Net(width, norm), SHAPE).double()


def train(norm: str = "none", **lckt: Any) -> dict[str, Tensor]:
    """Take a few steps of every arm on this rank's rows; return the state of all arms.

    norm: "none", or batch normalisation "per rank" or over "all ranks".
    """
    draw = torch.Generator().manual_seed(0)
    images = torch.randn((SAMPLES, *SHAPE), generator=draw, dtype=torch.float64)
    labels = torch.randint(CLASSES, (SAMPLES,), generator=draw)
    labelled = torch.rand(SAMPLES, generator=draw) < 0.6  # unevenly over the ranks
    teacher, student = network(10, False, 1).eval(), network(6, norm != "none", 2)
    if norm == "all ranks":
        ranks.synchronise_norms(student)
    with torch.no_grad():
        outputs = teacher(images, maps=True), student.eval()(images, maps=True)
    shapes = Shapes(10, 6, CLASSES, CLASSES, True, SAMPLES, teacher.map_shapes, student.map_shapes)
    arms = []
    for name, terms in ARMS.items():
        changed = terms | {"lckt": terms["lckt"] | lckt} if "lckt" in terms else terms
        settings = {t: TERMS[t].Settings.model_validate(s) for t, s in changed.items()}
        optimizer = OptimizerSettings(name="sgd", lr=0.05, weight_decay=1e-3)
        arm = Arm(name, settings, student, shapes, optimizer, 3, torch.device("cpu"))
        arm._parts().double()
        arm.fill_banks(lambda: [FirstPassBatch(torch.arange(SAMPLES), labels, *outputs)])
        arms.append(arm)
    for step in range(STEPS):
        index = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(step))[:BATCH]
        batch = Batch(index, labels[index], labelled[index], labels[index], step, 3)
        own = ranks.own_rows(index)
        with torch.no_grad():
            output = ranks.gather(teacher(images[own], maps=True))
        for arm in arms:
            arm.compute_gradients(batch, output, images[own], "float32")
        ranks.sum_gradients([(arm.student, arm.objective) for arm in arms])
        for arm in arms:
            arm.optimizer_step(0.05)
    assert not any(arm.frozen for arm in arms)
    return {f"{a.name}/{key}": value.clone() for a in arms for key, value in a.state().items()}


def one_rank(rank: int, folder: str, action: Callable[[int], None]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(RANKS)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    store = torch.distributed.FileStore(f"{folder}/store", RANKS)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    action(rank)
    torch.distributed.destroy_process_group()


def on_ranks(folder: Path, action: Callable[[int], None]) -> None:
    """Run an action on two forked processes, the ranks of one group."""
    folder.mkdir(exist_ok=True)
    processes.start_processes(one_rank, (str(folder), action), nprocs=RANKS, start_method="fork")


def together(folder: Path, norm: str = "none", **lckt: Any) -> list[dict[str, Tensor]]:
    def action(rank: int) -> None:
        torch.save(train(norm, **lckt), folder / f"{rank}.pt")
        assert ranks.broadcast_bool(rank == 0)  # true on the first rank, so on all
        assert ranks.broadcast_text(lambda: f"rank {ranks.rank()}") == "rank 0"

    on_ranks(folder, action)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def farthest(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Return the largest difference; NaN (a normaliser not in use) equals NaN."""
    assert a.keys() == b.keys()
    assert all(bool((a[key].isnan() == b[key].isnan()).all()) for key in a)
    differences = [(a[key].double() - b[key].double()).abs() for key in a if a[key].numel()]
    return max(float(difference.nan_to_num(0.0).max()) for difference in differences)


@pytest.mark.parametrize("norm", ["none", "all ranks"])
def test_two_ranks_equal_one_process(tmp_path: Path, norm: str) -> None:
    """Weights, critics, banks, normalisers and moments; synchronised statistics with a norm."""
    alone = train(norm)
    first, second = together(tmp_path, norm)
    assert farthest(first, second) == 0.0  # identical on every rank
    assert any("bank" in key for key in alone) and any("optimizer" in key for key in alone)
    assert farthest(first, alone) < 1e-8


def test_statistics_of_each_rank_are_not_those_of_the_batch(tmp_path: Path) -> None:
    """`norms: per rank`: weights are equal on both ranks, and not those of one process."""
    first, second = together(tmp_path, "per rank")
    assert farthest(first, second) == 0.0
    assert farthest(first, train("per rank")) > 1e-4


@pytest.mark.parametrize("wrong", ["a plain gather", "averaged gradients"])
def test_two_easy_mistakes_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """A plain gather carries no gradient; averaging divides a term of the whole batch."""
    alone, sum_gradients = train(), ranks.sum_gradients

    def averaged(arms: Any) -> None:
        sum_gradients(arms)
        for student, _ in arms:
            for parameter in student.parameters():
                if parameter.grad is not None:
                    parameter.grad /= RANKS

    def plain(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.zeros_like(ranks.own_rows(gradient))

    if wrong == "a plain gather":
        monkeypatch.setattr(ranks._Gather, "backward", staticmethod(plain))
    else:
        monkeypatch.setattr(ranks, "sum_gradients", averaged)
    first, second = together(tmp_path)
    assert farthest(first, second) == 0.0
    assert farthest(first, alone) > 1e-4


@pytest.mark.parametrize(
    "pairs",
    [{}, {"pairing.broken": 0.8}, {"pairing": {"broken": 0.5, "within": "data"}} | DIFFERENT_CROPS],
    ids=["right pairs", "wrong pairs", "wrong pairs and crops"],
)
def test_ranks_write_one_run_and_resume_it(
    pairs: dict[str, Any], short: wcord.Experiment, tmp_path: Path
) -> None:
    """Killed on both ranks after a checkpoint and resumed on both: the numbers do not change."""
    terms = {"plain": {"ce": 1}, "wcord": {"ce": 1, "gckt": {"dim": 16}, "lckt": 0.05}}
    settings = short.replace({"arms": terms, "norms": "all ranks", "probe.losses": 11} | pairs)
    paths = [tmp_path / "whole", tmp_path / "killed", tmp_path / "alone"]

    def whole(rank: int) -> None:
        wcord.distill(settings, paths[0], progress=False)

    def killed(rank: int) -> None:
        log_due = wcord.training.loop.Training.log_due

        def last(training: Any) -> None:
            log_due(training)
            if training.step == 20:
                training.write_checkpoint()
                torch.distributed.barrier()
                raise KeyboardInterrupt

        wcord.training.loop.Training.log_due = last  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            wcord.distill(settings, paths[1], progress=False)

    def resumed(rank: int) -> None:
        wcord.resume(paths[1], progress=False)

    for number, action in enumerate((whole, killed, resumed)):
        on_ranks(tmp_path / f"group {number}", action)
    first, second = ((path / "metrics.jsonl").read_bytes() for path in paths[:2])
    assert first == second
    alone = wcord.distill(settings, paths[2], progress=False).metrics()
    frame = wcord.Run(paths[0]).metrics()
    assert len(list(paths[0].glob("events.out.tfevents.*"))) == 1  # one writer
    assert wcord.Run(paths[1]).status.state == "finished"
    keys = ["step", "arm", "name"]
    pd.testing.assert_frame_equal(frame[keys], alone[keys])
    early = (frame.name == "total") & (frame.step <= 5)  # float32: rounding has not grown yet
    assert early.any()
    np.testing.assert_allclose(frame.value[early], alone.value[early], rtol=1e-4)


class OnOneRank(wcord.Callback):
    """Writes down its rank, and fails at one step."""

    def __init__(self, file: Path, at: int) -> None:
        self.file, self.at = file, at

    def on_step(self, run: wcord.Run, step: int, values: dict[str, float]) -> None:
        with self.file.open("a") as file:
            file.write(f"{ranks.rank()} {step}\n")
        if step == self.at:
            raise LookupError("no tracker")


def test_callbacks_are_called_by_the_first_rank(short: wcord.Experiment, tmp_path: Path) -> None:
    """An error in one ends both ranks with a checkpoint, and the first rank raises it."""
    settings = short.replace({"arms": {"kd": {"ce": 1, "kd": 1}}})
    calls = tmp_path / "calls"

    def failing(rank: int) -> None:
        arguments = (settings, tmp_path / "run", False)
        if rank:
            wcord.distill(*arguments, callbacks=[OnOneRank(calls, 22)])
        else:
            with pytest.raises(LookupError, match="no tracker"):
                wcord.distill(*arguments, callbacks=[OnOneRank(calls, 22)])

    def resumed(rank: int) -> None:
        wcord.resume(tmp_path / "run", False, callbacks=[OnOneRank(calls, -1)])
        assert wcord.Run(tmp_path / "run").summary is not None  # on both ranks

    on_ranks(tmp_path / "first", failing)
    assert calls.read_text() == "0 11\n0 22\n"
    run = wcord.Run(tmp_path / "run")
    assert run.status.error == "callback OnOneRank.on_step: no tracker"
    assert checkpoints.steps(run.path / "checkpoints")[-1] == 22
    on_ranks(tmp_path / "second", resumed)
    assert run.status.state == "finished" and calls.read_text() == "0 11\n0 22\n0 33\n"


def test_a_plan_of_each_rank_is_another_loss(tmp_path: Path) -> None:
    """`over: rank` solves one problem a rank: weights are equal on both, not those of one plan."""
    first, second = together(tmp_path, over="rank")
    assert farthest(first, second) == 0.0
    assert farthest(first, train()) > 1e-6


def test_alone_nothing_is_gathered() -> None:
    output = Output(torch.zeros(4, 2), torch.zeros(4, 3))
    assert ranks.gather(output) is output
    assert ranks.size() == 1 and ranks.rank() == 0
    assert ranks.own_rows(torch.arange(4)).tolist() == [0, 1, 2, 3]
    assert ranks.broadcast_text(lambda: "x") == "x"


@pytest.mark.slow
def test_torchrun_trains_one_run(tmp_path: Path, runs_of_the_session: Path) -> None:
    """From the command line: one writer, one run directory."""
    settings = ["--epochs", "1", "--teacher.epochs", "1", "--threads", "1"]
    arms = ["--arms", "{plain: {ce: 1}, wcord: {ce: 1, gckt: {dim: 16}, lckt: 0.05}}"]
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += [str(RANKS), "-m", "wcord", "train", "digits-compression", "--quiet"]
    done = subprocess.run(
        [*command, "--run-dir", str(run), *settings, *arms], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = wcord.Run(run)
    assert two.status.state == "finished"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    keys = [(line["step"], line["arm"], line["name"]) for line in lines]
    assert len(set(keys)) == len(keys)  # nothing was written twice
    assert two.steps[-1] == two.status["total"]
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
