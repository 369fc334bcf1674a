"""Orders, groups, layouts: against loops, numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from torch.nn import functional as F

from lab.reading import arrange, layouts
from lab.reading.layouts import Frame
from wcord.training.evaluation import neighbours

seeds = st.integers(0, 10_000)


@given(seeds, st.integers(2, 30))
def test_sorted_plan_is_the_plan_in_class_order_as_shares_of_rows(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    plan, labels = rng.random((n, n)), rng.integers(0, 4, n)
    order = sorted(range(n), key=lambda i: labels[i])  # Python's sort is stable
    expected = [[plan[i, j] / plan[i].sum() for j in order] for i in order]
    np.testing.assert_allclose(arrange.sorted_plan(plan, labels), expected, rtol=1e-12)


@given(seeds, st.integers(1, 40))
def test_blocks_cover_the_sorted_labels(seed: int, n: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, n)
    blocks = arrange.class_blocks(labels)
    ordered = labels[arrange.class_order(labels)]
    for name, start, end in zip(blocks.names, blocks.starts, blocks.ends, strict=True):
        assert (ordered[start:end] == name).all()
    assert blocks.ends[-1] == n and sorted(set(labels.tolist())) == blocks.names


@given(seeds, st.integers(2, 25))
def test_masses_and_groups_against_loops(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    plan, labels = rng.random((n, n)), rng.integers(0, 3, n)
    same = sum(plan[i, j] for i in range(n) for j in range(n) if labels[i] == labels[j])
    diagonal = sum(plan[i, i] for i in range(n))
    assert arrange.plan_masses(plan, labels) == pytest.approx(
        (same / plan.sum(), diagonal / plan.sum())
    )
    groups = arrange.score_groups(plan, labels)
    assert sum(values.size for values in groups.values()) == n * n
    assert groups["congruent"].tolist() == np.diag(plan).tolist()
    others = [plan[i, j] for i in range(n) for j in range(n) if labels[i] != labels[j]]
    assert sorted(groups["other class"]) == sorted(others)


def test_entropy_is_that_of_scipy() -> None:
    plan = np.random.default_rng(0).random((6, 5))
    plan[0, :3] = 0
    plan /= plan.sum()
    assert arrange.entropy(plan) == pytest.approx(scipy.stats.entropy(plan.ravel()))


def test_histogram_shares_sum_to_one_and_survive_nan_and_constants() -> None:
    groups = {"a": np.array([1.0, 2.0, np.nan]), "b": np.array([]), "c": np.array([1.5])}
    bins = arrange.histogram(groups, bins=8)
    assert bins.shares["a"].sum() == pytest.approx(1) and bins.shares["b"].sum() == 0
    assert bins.means["a"] == pytest.approx(1.5) and np.isnan(bins.means["b"])
    constant = arrange.histogram({"a": np.full(5, 3.0)})
    assert constant.shares["a"].sum() == pytest.approx(1)
    spanned = arrange.histogram(groups, bins=4, span=(-1.0, 3.0))
    assert spanned.edges.tolist() == [-1, 0, 1, 2, 3] == [c - 0.5 for c in spanned.centres] + [3]
    assert spanned.shares["a"].tolist() == [0, 0, 0.5, 0.5]


@given(seeds, st.integers(1, 50))
def test_heaviest_lines_are_the_largest_entries(seed: int, most: int) -> None:
    plan = np.random.default_rng(seed).random((8, 11)) ** 2
    lines = arrange.heaviest(plan, most)
    top = np.sort(plan.ravel())[-most:]
    expected = top[top > 0.01 * plan.max()]
    np.testing.assert_array_equal(lines.mass, expected)
    np.testing.assert_array_equal(plan[lines.rows, lines.columns], expected)
    assert lines.covered == pytest.approx(expected.sum() / plan.sum())


@given(seeds)
@settings(max_examples=30)
def test_alignment_undoes_any_turn_mirror_shift_and_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = Frame(rng.normal(size=(40, 2)), rng.normal(size=(40, 2)))
    turn, _ = np.linalg.qr(rng.normal(size=(2, 2)))
    scale, shift = rng.uniform(0.1, 9), rng.normal(size=2)
    moved = Frame(*(scale * side @ turn + shift for side in frame))
    back = layouts.aligned(moved, frame)
    expected = layouts.in_units(frame)
    np.testing.assert_allclose(back.teacher, expected.teacher, atol=1e-9)
    np.testing.assert_allclose(back.student, expected.student, atol=1e-9)


@given(seeds)
@settings(max_examples=30)
def test_rotation_is_scipys_procrustes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, reference = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    expected, _ = orthogonal_procrustes(points, reference)
    np.testing.assert_allclose(layouts.rotation(points, reference), expected, atol=1e-10)


def test_units_are_fixed_and_a_collapsed_teacher_is_no_trouble() -> None:
    rng = np.random.default_rng(0)
    teacher, _ = layouts.in_units(Frame(5 + 3 * rng.normal(size=(50, 2)), rng.normal(size=(50, 2))))
    assert np.sqrt((teacher**2).sum(1).mean()) == pytest.approx(1)
    assert np.abs(teacher.mean(0)).max() < 1e-12
    same = layouts.in_units(Frame(np.ones((5, 2)), np.ones((5, 2))))
    assert np.isfinite(same.teacher).all()


@given(seeds, st.integers(2, 12))
@settings(max_examples=30)
def test_pca_spans_the_first_right_singular_vectors(seed: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    teacher, student = (
        rng.normal(size=(30, dim)) * np.arange(1, dim + 1),
        rng.normal(size=(30, dim)),
    )
    frame = layouts.pca(teacher, student)
    both = np.concatenate([layouts.on_sphere(teacher), layouts.on_sphere(student)])
    centred = both - both.mean(0)
    _, _, axes = np.linalg.svd(centred.astype(float), full_matrices=False)
    flat = centred @ axes[:2].T
    expected = layouts.in_units(Frame(flat[:30], flat[30:]))
    for side, wanted in zip(frame, expected, strict=True):
        signs = np.sign((side * wanted).sum(0))
        np.testing.assert_allclose(side * signs, wanted, atol=2e-3)


def test_neighbours_are_those_of_the_metric() -> None:
    features = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    near = neighbours(F.normalize(torch.from_numpy(features)), 10)
    found = layouts.nearest(features, 25, 10)
    assert found.shape == (25, 10)
    for sample in range(25):
        assert set(found[sample]) == set(np.flatnonzero(near[sample].numpy()))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    closeness = np.take_along_axis(unit[:25] @ unit.T, found, axis=1)
    assert (np.diff(closeness, axis=1) <= 1e-6).all()  # nearest first
    few = layouts.nearest(features[:3], 3, 10)
    assert [sorted(row) for row in few.tolist()] == [[1, 2], [0, 2], [0, 1]]


def test_layouts_survive_nan_zero_and_one_dimension() -> None:
    features = np.array([[np.nan, 1.0], [0.0, 0.0], [3.0, 4.0]])
    assert np.isfinite(layouts.on_sphere(features)).all()
    np.testing.assert_allclose(layouts.on_sphere(features)[2], [0.6, 0.8], rtol=1e-6)
    assert layouts.pca(np.ones((4, 1)), -np.ones((4, 1))).teacher.shape == (4, 2)
