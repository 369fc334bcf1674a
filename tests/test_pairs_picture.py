"""The pictures of wrong pairs show which pairs are wrong, and the numbers that they are given."""

from __future__ import annotations

import numpy as np
import pytest

from lab.figures import pairs_picture, small_svg

IMAGES = np.linspace(0, 1, 5 * 64).reshape(5, 8, 8)


@pytest.mark.parametrize("partner", [[0, 1, 2, 3, 4], [1, 2, 0, 3, 4], [4, 0, 1, 2, 3]])
def test_partners_marks_every_wrong_pair_and_leads_to_its_true_partner(partner: list[int]) -> None:
    figure = pairs_picture.partners(np.array(partner), IMAGES)
    (axes,) = figure.axes
    wrong = [row for row, sample in enumerate(partner) if sample != row]
    crosses = [line for line in axes.lines if line.get_marker() == "X" and len(line.get_xdata())]
    assert [line.get_xdata()[0] for line in crosses] == wrong
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    assert [(arrow.xyann[0], arrow.xy[0]) for arrow in arrows] == [(r, partner[r]) for r in wrong]
    below = [picture.get_array() for picture in axes.images[1::2]]
    assert np.array_equal(below, IMAGES[partner])
    assert "output of 3" in small_svg.svg(figure)


def test_means_stand_where_they_were_measured_with_their_intervals() -> None:
    means = {"plain": [1.0, 2.0, 3.0], "gckt": [2.0, 1.0, 0.0]}
    halves = {"plain": [0.5, 0.25, 0.5], "gckt": [0.0, 1.0, 2.0]}
    for even in (False, True):
        figure = pairs_picture.means_with_intervals(
            [0, 0.5, 2], means, halves, x="share", y="%", named={"gckt": "GCKT"}, even=even
        )
        (axes,) = figure.axes
        for container, name in zip(axes.containers, means, strict=True):
            (line, _, (bars,)) = container
            assert list(line.get_ydata()) == means[name]
            places = [0, 1, 2] if even else [0, 0.5, 2]
            assert line.get_xdata() == pytest.approx(places, abs=0.05)
            heights = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
            assert heights == pytest.approx(halves[name])
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["plain", "GCKT"]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.5", "2"]
