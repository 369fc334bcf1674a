"""lckt with plan "ipot": its inner projections, and the preset of the first author's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import wcord
from wcord import transport
from wcord.models import Output
from wcord.objectives.lckt import LCKT, LCKTSettings
from wcord.objectives.term import Batch, Shapes

AUTHORS = {"plan": "ipot", "beta": 0.5, "iterations": 20, "inner": 1}
seeds = st.integers(0, 2**31)
quick = settings(max_examples=20)


def embeddings(seed: int, n: int) -> tuple[Tensor, Tensor]:
    """Embeddings of teacher and student, of which some pairs are near each other."""
    draw = torch.randn(2, n, 5, generator=torch.Generator().manual_seed(seed)).double()
    return draw[0], draw[0] + 0.7 * draw[1]


def lckt(z_t: Tensor, z_s: Tensor, **changes: Any) -> Tensor:
    n = len(z_t)
    term = LCKT(LCKTSettings.model_validate(changes), Shapes(5, 5, 3, 3, True, n), seed=0)
    index = torch.arange(n)
    batch = Batch(index, index % 3, torch.ones(n, dtype=torch.bool), index % 3, step=0, seed=0)
    nothing = Output(torch.zeros(n, 5), torch.zeros(n, 3))
    return term(batch, nothing, nothing, {"embeddings": (z_t, z_s)})


def published(cost: np.ndarray, beta: float, steps: int, inner: int) -> np.ndarray:
    """Algorithm 1 of Xie et al. with masses 1/n."""
    n = len(cost)
    plan, q = np.ones((n, n)), np.full(n, 1 / n)
    for _ in range(steps):
        kernel = np.exp(-cost / beta) * plan
        for _ in range(inner):
            p = 1 / (n * kernel @ q)
            q = 1 / (n * kernel.T @ p)
        plan = p[:, None] * kernel * q
    return plan


@quick
@given(seed=seeds, n=st.integers(2, 12), steps=st.integers(1, 20), inner=st.integers(1, 4))
def test_loss_is_the_cost_under_the_published_plan(
    seed: int, n: int, steps: int, inner: int
) -> None:
    z_t, z_s = embeddings(seed, n)
    u, v = (z.numpy() / np.linalg.norm(z, axis=1, keepdims=True) for z in (z_t, z_s))
    cost = 1 - u @ v.T
    plan = published(cost, 0.5, steps, inner)
    loss = lckt(z_t, z_s, plan="ipot", beta=0.5, iterations=steps, inner=inner)
    assert loss.item() == pytest.approx((plan * cost).sum(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("inner", [1, 2, 5])
def test_inner_reaches_the_solver_to_the_bit(inner: int) -> None:
    z_t, z_s = (z.float() for z in embeddings(0, 16))
    cost = transport.cosine_cost(z_t, z_s)
    expected = transport.ipot(cost, 0.5, iterations=20, inner=inner)
    assert torch.equal(lckt(z_t, z_s, **AUTHORS | {"inner": inner}), expected.value)
    assert expected.iterations == 20 * inner
    if inner == 1:
        assert torch.equal(lckt(z_t, z_s, plan="ipot", beta=0.5, iterations=20), expected.value)


def test_more_projections_are_nearer_to_sinkhorn_at_beta_over_steps() -> None:
    z_t, z_s = embeddings(1, 32)
    limit = lckt(z_t, z_s, epsilon=0.5 / 20, iterations=20_000)
    apart = [abs(lckt(z_t, z_s, **AUTHORS | {"inner": k}) - limit).item() for k in (1, 4, 50)]
    assert apart[0] > apart[1] > apart[2] and apart[2] < 1e-6
    other = lckt(z_t, z_s, epsilon=0.05, iterations=20_000)
    assert apart[0] < abs(other - limit) / 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inner": 0, "plan": "ipot"}, "greater than or equal to 1"),
        *(
            ({"inner": 2, "plan": plan}, f"set inner to 1 for '{plan}'")
            for plan in ("sinkhorn", "exact", "identity", "uniform", "shuffled")
        ),
    ],
)
def test_inner_is_refused_for_other_plans(changes: dict[str, Any], words: str) -> None:
    arms = {"arm": {"ce": 1, "lckt": changes}}
    with pytest.raises(ValueError, match=words) as caught:
        wcord.load("digits-compression").replace({"arms": arms})
    assert str(caught.value).count("\n") == 0


def test_the_preset_runs(tmp_path: Path) -> None:
    experiment = wcord.load("digits-ipot")
    assert "inference" in experiment.title and "inference" in experiment.description
    assert AUTHORS.items() <= experiment.plain()["arms"]["ipot"]["lckt"].items()
    few = {"epochs": 1, "teacher.epochs": 1, "threads": 1, "probe.batch": 16, "probe.features": 16}
    run = wcord.distill(experiment.replace(few), tmp_path / "run", progress=False)
    assert run.status.state == "finished", run.status["error"]
    metrics = run.metrics()
    errors = metrics[(metrics["arm"] == "ipot") & (metrics["name"] == "marginal_error")]["value"]
    assert len(errors) and (errors < 0.1).all()
