"""The figures of chapter 0 draw the numbers given, and pictures in SVG keep every colour."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lab.figures import basics, illustrations, small_svg

rng = np.random.default_rng(0)
A, REQUIRED, COST = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([4.0, 5.0]), np.array([5.0, 4.0])


def drawn(figure: Figure) -> str:
    """Return the figure as SVG that can be parsed."""
    text = small_svg.svg(figure)
    ElementTree.fromstring(text)
    return text


def line(figure: Figure, name: str, panel: int = 0) -> np.ndarray:
    """Return the points of the line of this name."""
    lines = figure.axes[panel].get_lines()
    (found,) = [one for one in lines if str(one.get_label()).startswith(name)]
    return np.asarray(found.get_xydata())


def test_jensen_marks_both_sides_of_the_inequality() -> None:
    grid, points, weights = np.linspace(-1, 2, 301), np.array([-0.5, 1.5]), np.array([0.25, 0.75])
    mean = 1.0
    figure = basics.jensen(grid, grid**2, 2 * grid - 1, points, weights, points**2)
    drawn(figure)
    np.testing.assert_allclose(line(figure, "mean of"), [[mean, 1.75]])
    np.testing.assert_allclose(line(figure, r"$\psi$(mean"), [[mean, 1.0]], atol=1e-4)


def test_pinsker_draws_all_pairs_and_the_bound() -> None:
    variation = rng.random(20)
    figure = basics.pinsker(variation, 3 * variation**2)
    drawn(figure)
    offsets = np.asarray(figure.axes[0].collections[0].get_offsets())
    np.testing.assert_allclose(offsets, np.stack([variation, 3 * variation**2], 1))
    bound = line(figure, r"$2")
    np.testing.assert_allclose(bound[:, 1], 2 * bound[:, 0] ** 2)


def test_a_double_cone_has_its_tip_on_the_graph() -> None:
    grid = np.linspace(-2, 2, 401)
    figure = basics.double_cones(grid, np.sin(grid), (0.5,), 1.0)
    drawn(figure)
    np.testing.assert_allclose(line(figure, "cone"), [[0.5, np.sin(0.5)]], atol=1e-5)
    edges = [np.asarray(one.get_xydata()) for one in figure.axes[0].get_lines()[:2]]
    assert [edge[-1, 1] - edge[0, 1] for edge in edges] == pytest.approx([-4, 4])


def test_the_steepest_pair_of_tested_points_is_named() -> None:
    tested, heights = np.array([0.0, 1.0, 1.5, 3.0]), np.array([0.0, 0.5, 2.0, 2.0])
    figure = basics.steep_between(tested, heights, tested, heights)
    drawn(figure)
    np.testing.assert_allclose(line(figure, "slope 3.0"), [[1.0, 0.5], [1.5, 2.0]])


def test_a_programme_shades_its_feasible_corners() -> None:
    best = np.array([1.0, 2.0])
    figure = basics.programme(
        A, REQUIRED, COST, best, least=True, box=5.0, levels=(13.0,), letter="P", title="t",
        arrows=True,
    )  # fmt: skip
    text = drawn(figure)
    assert "2 × row 1" in text and "1 × row 2" in text
    corners = {tuple(point) for point in figure.axes[0].patches[0].get_path().vertices.round(6)}
    assert corners == {(1.0, 2.0), (0.0, 4.0), (0.0, 5.0), (5.0, 5.0), (5.0, 0.0)}
    np.testing.assert_allclose(line(figure, "level") @ COST, [13.0, 13.0])
    np.testing.assert_allclose(line(figure, "$2P_1") @ A[0], [4.0, 4.0])


def test_the_dual_shades_what_lies_below_its_constraints() -> None:
    figure = basics.programme(
        A.T, COST, REQUIRED, np.array([2.0, 1.0]), least=False, box=3.0, levels=(), letter="f",
        title="t",
    )  # fmt: skip
    drawn(figure)
    corners = {tuple(point) for point in figure.axes[0].patches[0].get_path().vertices.round(6)}
    assert corners == {(0.0, 0.0), (2.5, 0.0), (2.0, 1.0), (0.0, 2.0)}


def test_bounds_and_shares_are_drawn_as_given() -> None:
    figure = basics.meeting_bounds(np.array([1.0, 2.0]), np.array([3.0]), 2.5)
    drawn(figure)
    np.testing.assert_allclose(line(figure, "dual")[:, 1], [1.0, 2.0])
    np.testing.assert_allclose(line(figure, "programme")[:, 1], [3.0])
    figure = basics.softened({"a": np.array([0.75, 0.25])}, ["x", "y"])
    drawn(figure)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.75, 0.25]


@pytest.mark.parametrize("levels", [3, 256])
def test_a_picture_with_a_palette_keeps_every_colour(levels: int) -> None:
    values = rng.integers(levels, size=(40, 30))
    figure = illustrations.matrices({"m": values / levels}, bar="share")
    found = re.findall(r"base64,([A-Za-z0-9+/=\s]+)", drawn(figure))
    pictures = [Image.open(io.BytesIO(base64.b64decode(content))) for content in found]
    (kept,) = [one for one in pictures if one.size == (30, 40)]
    image = figure.axes[0].images[0]
    expected = image.cmap(image.norm(values / levels), bytes=True)[..., :3]
    shown = np.asarray(kept.convert("RGB"))
    assert (shown == expected).all() or (shown[::-1] == expected).all()


def test_marks_of_one_artist_share_a_group() -> None:
    figure, axes = illustrations.panels(1)
    axes[0].scatter(*rng.random((2, 50)), c=rng.random(50))
    text = drawn(figure)
    (run,) = re.findall(r"<g clip-path=[^>]*>((?:\s*<use [^>]*/>)+)\s*</g>", text)
    assert run.count("<use") == 50
