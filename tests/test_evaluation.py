"""Measurements against brute force and independent libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors

from wcord.training.evaluation import (
    accuracy,
    class_masses,
    feature_distance,
    linear_cka,
    neighbour_overlap,
    neighbours,
    within_class_variance,
)
from wcord.training.linear_probe import linear_probe
from wcord.training.probe import ridge_map

seeds = st.integers(0, 2**32 - 1)


def features(seed: int, n: int = 40, d: int = 5) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@given(seeds)
@settings(max_examples=20)
def test_cka_is_the_ratio_of_gram_matrices(seed: int) -> None:
    """Oracle: HSIC of centred n × n kernels, from which the feature form is derived."""
    x, y = features(seed, d=5).double(), features(seed + 1, d=3).double()
    centre = torch.eye(40, dtype=torch.float64) - 1 / 40
    k, l = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre  # noqa: E741
    expected = (k * l).sum() / ((k * k).sum() * (l * l).sum()).sqrt()
    assert linear_cka(x, y) == pytest.approx(expected.item(), rel=1e-9)
    rotation = torch.linalg.qr(features(seed + 2, 5, 5).double()).Q
    assert linear_cka(x, 3 * x @ rotation + 1) == pytest.approx(1, rel=1e-9)


@given(seeds)
@settings(max_examples=20)
def test_neighbour_overlap_by_scikit_learn(seed: int) -> None:
    x, y = features(seed), features(seed + 1)
    near = [
        NearestNeighbors(n_neighbors=8).fit(z.numpy()).kneighbors(return_distance=False)
        for z in (x, y)
    ]
    shared = np.mean([len(set(a) & set(b)) / 8 for a, b in zip(*near, strict=True)])
    assert neighbour_overlap(x, y, 8) == pytest.approx(shared)
    assert neighbour_overlap(x, 2 * x + 1) == 1


@given(seeds, st.sampled_from([0.0, -3.0, 1e4, -1e6]), st.sampled_from([1e-6, 1.0, 1e3]))
@settings(max_examples=40)
def test_measurements_survive_an_offset_and_a_unit(seed: int, offset: float, unit: float) -> None:
    """By brute force in float64 on the same float32 features, offset and all."""
    x = (features(seed) + offset) * unit
    y = features(seed + 1, d=3)
    labels = torch.randint(0, 4, (40,), generator=torch.Generator().manual_seed(seed))
    exact = x.double().numpy()
    apart = ((exact[:, None] - exact) ** 2).sum(-1)
    np.fill_diagonal(apart, np.inf)
    near, farthest = neighbours(x, 8).numpy(), np.sort(apart, 1)[:, 7:8]
    assert (near.sum(1) == 8).all()
    assert (apart[near] <= (farthest * np.ones((1, 40)))[near] * (1 + 1e-9)).all()
    means = np.stack([exact[labels == label].mean(0) for label in labels])
    variance = ((exact - means) ** 2).sum(1).mean()
    assert within_class_variance(x, labels).item() == pytest.approx(variance, rel=1e-5)
    t, s = exact - exact.mean(0), y.double().numpy() - y.double().numpy().mean(0)
    below = np.linalg.norm(t.T @ t) * np.linalg.norm(s.T @ s)
    assert linear_cka(x, y) == pytest.approx(np.linalg.norm(s.T @ t) ** 2 / below, rel=1e-6)
    mean = np.linalg.norm(exact - (2 * x).double().numpy(), axis=1).mean()
    assert feature_distance(x, 2 * x) == pytest.approx(mean, rel=1e-5)


def test_neighbours_in_clusters_far_from_each_other() -> None:
    """The mean of all is near none of them, so centring alone would not do in float32."""
    x = features(0, 60, 4)
    x[:30] += 3000
    x[30:] -= 3000
    near = neighbours(x, 5)
    expected = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(x.double().numpy())
    for row, found in zip(near, expected.kneighbors(return_distance=False), strict=True):
        assert set(row.nonzero().flatten().tolist()) == set(found.tolist())


def test_features_that_are_all_equal_or_not_finite() -> None:
    x, same = features(0), torch.full((40, 3), 0.1)
    assert linear_cka(x, same) == linear_cka(same, x) == 0
    assert within_class_variance(same, torch.zeros(40, dtype=torch.long)).item() == 0
    assert torch.equal(ridge_map(same, x), x.mean(0).expand(40, 5))
    broken = x.clone()
    broken[3, 2] = math.nan
    assert math.isnan(neighbour_overlap(x, broken)) and math.isnan(linear_cka(x, broken))
    for k in (0, 2.5, True):
        with pytest.raises(ValueError, match="k must be at least 1"):
            neighbours(x, k)  # type: ignore[arg-type]


@given(seeds)
@settings(max_examples=20)
def test_variance_and_masses_by_loops(seed: int) -> None:
    x = features(seed)
    labels = torch.randint(0, 4, (40,), generator=torch.Generator().manual_seed(seed))
    expected = 0.0
    for i in range(40):
        mean = x[labels == labels[i]].mean(0)
        expected += float((x[i] - mean).square().sum()) / 40
    assert within_class_variance(x, labels).item() == pytest.approx(expected, rel=1e-4)
    plan = torch.softmax(features(seed, 40, 40).flatten(), 0).view(40, 40)
    same = sum(float(plan[i, j]) for i in range(40) for j in range(40) if labels[i] == labels[j])
    assert class_masses(plan, labels) == pytest.approx((same, float(plan.trace())), rel=1e-4)


def test_ridge_map_is_scikit_learns() -> None:
    s, t = features(0, 50, 4).double(), features(1, 50, 7).double()
    gram = (s - s.mean(0)).T @ (s - s.mean(0))
    ridge = Ridge(alpha=1e-2 * float(gram.diagonal().mean())).fit(s.numpy(), t.numpy())
    assert np.allclose(ridge_map(s, t).numpy(), ridge.predict(s.numpy()))
    assert np.allclose(ridge_map(1e-9 * s + 1e-3, t).numpy(), ridge.predict(s.numpy()))


def test_a_linear_probe_finds_what_is_linear() -> None:
    x = features(0, 400, 6)
    labels = (x[:, 0] > 0).long()
    assert linear_probe(x[:300], labels[:300], x[300:], labels[300:]) > 95
    shuffled = labels[torch.randperm(400, generator=torch.Generator().manual_seed(1))]
    assert linear_probe(x[:300], shuffled[:300], x[300:], shuffled[300:]) < 70


def test_accuracy_counts() -> None:
    logits = features(3, 100, 4)
    labels = torch.randint(0, 4, (100,), generator=torch.Generator().manual_seed(0))
    right = sum(int(max(range(4), key=lambda k: logits[i, k]) == labels[i]) for i in range(100))
    assert accuracy(logits, labels) == pytest.approx(right)
