"""The bank: its rows after a write, and when a write is allowed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from wcord.bank import FeatureBank
from wcord.critic import DotCritic


@given(momentum=st.floats(0, 0.99), normalise=st.booleans(), seed=st.integers(0, 2**31))
def test_write_mixes_rows_one_by_one(momentum: float, normalise: bool, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    bank = FeatureBank(7, 3, momentum, normalise)
    start = torch.randn(7, 3, generator=draw)
    bank.fill(torch.arange(7), start)
    expected = F.normalize(start, dim=1) if normalise else start.clone()
    torch.testing.assert_close(bank.embeddings, expected)
    index, new = torch.tensor([5, 0, 3]), torch.randn(3, 3, generator=draw)
    bank.write(index, new)
    for sample, row in zip(index.tolist(), new, strict=True):
        mixed = momentum * expected[sample] + (1 - momentum) * row
        expected[sample] = mixed / mixed.norm() if normalise else mixed
    torch.testing.assert_close(bank.embeddings, expected, rtol=1e-4, atol=1e-5)


def test_writing_before_backward_breaks_and_after_it_works() -> None:
    critic = DotCritic(4, 4, 3)
    bank = FeatureBank(10, 3)
    bank.fill(torch.arange(10), torch.randn(10, 3))
    for write_first in (True, False):
        z = critic.embed_student(torch.randn(2, 4))
        loss = critic.pair_student(z, bank.rows()).square().sum()
        if write_first:
            bank.write(torch.arange(2), z)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()
        else:
            loss.backward()
            bank.write(torch.arange(2), z)
    assert not bank.embeddings.requires_grad


def test_rows_are_copies_and_state_is_whole() -> None:
    bank = FeatureBank(4, 2, 0.5)
    bank.fill(torch.arange(4), torch.arange(8.0).view(4, 2))
    bank.rows(torch.tensor([1])).zero_()
    assert bank.embeddings[1].tolist() == [2, 3]
    other = FeatureBank(4, 2, 0.5)
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.embeddings, bank.embeddings)
    assert len(bank) == 4


def test_mean_of_others() -> None:
    bank = FeatureBank(6, 2)
    bank.fill(torch.arange(6), torch.randn(6, 2))
    means = bank.mean_of_others(torch.tensor([4, 0]))
    for mean, own in zip(means, (4, 0), strict=True):
        rest = [bank.embeddings[k] for k in range(6) if k != own]
        torch.testing.assert_close(mean, torch.stack(rest).mean(0))


@pytest.mark.parametrize(("size", "dim", "momentum"), [(0, 1, 0), (1, 0, 0), (1, 1, 1), (1, 1, -1)])
def test_invalid_arguments_are_errors_of_one_line(size: int, dim: int, momentum: float) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        FeatureBank(size, dim, momentum)


@given(count=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_mean_of_drawn_others(count: int, seed: int) -> None:
    """Repeated rows count again, a sample's own row never; against a loop."""
    draw = torch.Generator().manual_seed(seed)
    bank = FeatureBank(5, 3)
    bank.fill(torch.arange(5), torch.randn(5, 3, generator=draw))
    drawn = torch.randint(5, (count,), generator=draw)
    index = torch.tensor([4, 0])
    means = bank.mean_of_others(index, drawn)
    for own, mean in zip(index.tolist(), means, strict=True):
        others = [bank.embeddings[row] for row in drawn.tolist() if row != own]
        expected = torch.stack(others).mean(0) if others else torch.zeros(3)
        torch.testing.assert_close(mean, expected, rtol=1e-4, atol=1e-5)
