"""Losses on two ranks, with the student inside DistributedDataParallel: as in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_losses import CLASSES, D_S, D_T, N_BATCH, N, Small, inputs
from test_ranks import farthest, on_ranks
from torch import Tensor, nn
from torch.nn import functional as F

import wcord
from wcord.compute import ranks

TERMS: dict[str, Any] = {
    "wcord": {"gckt": 2, "lckt": 0.5},
    "crd": {"crd": {"weight": 0.3, "negatives_count": 20}},
    "shelf": {"hint": 1, "sp": 3, "rkd": 0.5, "pkt": 10, "vid": 0.1},
}


def train(terms: dict[str, Any], steps: int = 6) -> dict[str, Tensor]:
    """Train on this rank's rows of every batch; return the state of student and loss."""
    x, teacher, labels = inputs()
    x, teacher = x.double(), teacher.double()
    student: nn.Module = Small().double()
    if ranks.size() > 1:
        student = nn.parallel.DistributedDataParallel(student)
    take = wcord.features(student)
    loss = wcord.FeatureLoss(D_T, D_S, terms, samples=N, classes=CLASSES).double()
    loss.prime(teacher=teacher, student=take(x).detach(), labels=labels)
    optimizer = torch.optim.SGD([*student.parameters(), *loss.parameters()], lr=0.05)
    for step in range(steps):
        index = torch.randperm(N, generator=torch.Generator().manual_seed(step))[:N_BATCH]
        own = ranks.own_rows(index)
        logits, h = take.with_output(x[own])
        total = F.cross_entropy(logits, labels[own]) + loss(teacher[own], h, own)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    state = {key.removeprefix("module."): value for key, value in student.state_dict().items()}
    return state | {f"loss.{key}": value for key, value in loss.state_dict().items()}


@pytest.mark.parametrize("name", TERMS)
def test_two_ranks_learn_what_one_process_learns(name: str, tmp_path: Path) -> None:
    def action(rank: int) -> None:
        torch.save(train(TERMS[name]), tmp_path / f"{rank}.pt")

    on_ranks(tmp_path, action)
    first, second = (torch.load(tmp_path / f"{r}.pt", weights_only=True) for r in range(2))
    assert farthest(first, second) < 1e-12
    assert farthest(first, train(TERMS[name])) < 1e-8


def test_batches_of_different_sizes_are_refused_on_every_rank(tmp_path: Path) -> None:
    def action(rank: int) -> None:
        loss = wcord.LCKTLoss(D_T, D_S)
        n = 4 + rank
        with pytest.raises(ValueError, match=r"batches of 4 and 5 samples.*drop_last=True"):
            loss(torch.randn(n, D_T), torch.randn(n, D_S, requires_grad=True))

    on_ranks(tmp_path, action)


def test_ranks_with_the_same_samples_are_refused(tmp_path: Path) -> None:
    """As without a DistributedSampler."""

    def action(rank: int) -> None:
        x, teacher, _ = inputs()
        loss, take = wcord.GCKTLoss(D_T, D_S, N), wcord.features(Small())
        loss.prime(teacher=teacher, student=take(x).detach())
        own, overlapping = torch.arange(4) + 4 * rank, torch.arange(4) + 3 * rank + 10
        loss(teacher[own], take(x[own]), own)
        with pytest.raises(ValueError, match=r"sample 13 is twice.*DistributedSampler"):
            loss(teacher[overlapping], take(x[overlapping]), overlapping)

    on_ranks(tmp_path, action)


class Distilled(nn.Module):
    """Student and loss in one module, all of it inside DistributedDataParallel."""

    def __init__(self) -> None:
        super().__init__()
        self.student = Small().double()
        self.loss = wcord.FeatureLoss(D_T, D_S, {"gckt": {"form": "nce"}}, samples=N).double()

    def forward(self, x: Tensor, teacher: Tensor, index: Tensor) -> Tensor:
        logits, h = wcord.features(self.student).with_output(x)
        return logits.square().mean() + self.loss(teacher, h, index)


@pytest.mark.parametrize("broadcast", [True, False])
def test_a_loss_inside_data_parallel_learns_the_same(broadcast: bool, tmp_path: Path) -> None:
    def trained() -> dict[str, Tensor]:
        x, teacher, _ = inputs()
        x, teacher, module = x.double(), teacher.double(), Distilled()
        h = wcord.features(module.student)(x).detach()
        module.loss.prime(teacher=teacher, student=h)
        outer: nn.Module = module
        if ranks.size() > 1:
            outer = nn.parallel.DistributedDataParallel(module, broadcast_buffers=broadcast)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
        for step in range(5):
            index = torch.randperm(N, generator=torch.Generator().manual_seed(step))[:N_BATCH]
            own = ranks.own_rows(index)
            optimizer.zero_grad()
            outer(x[own], teacher[own], own).backward()
            optimizer.step()
        return module.state_dict()

    on_ranks(tmp_path, lambda rank: torch.save(trained(), tmp_path / f"{rank}.pt"))
    first, second = (torch.load(tmp_path / f"{r}.pt", weights_only=True) for r in range(2))
    assert farthest(first, second) < 1e-12
    assert farthest(first, trained()) < 1e-8


def test_without_gathering_a_rank_is_alone(tmp_path: Path) -> None:
    def action(rank: int) -> None:
        torch.manual_seed(rank)
        teacher, student = torch.randn(6, D_T), torch.randn(6, D_S, requires_grad=True)
        whole, own = wcord.LCKTLoss(D_T, D_S), wcord.LCKTLoss(D_T, D_S, gather=False)
        everyone = [torch.zeros(()) for _ in range(2)]
        torch.distributed.all_gather(everyone, own(teacher, student).detach())
        assert not torch.equal(*everyone)
        torch.distributed.all_gather(everyone, whole(teacher, student).detach())
        assert torch.equal(*everyone)

    on_ranks(tmp_path, action)
