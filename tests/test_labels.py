"""Label sets: tables from a data set's classes to a network's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wcord.data import LabelMap

NAMES = ("cat", "car", "dog", "ship")


@given(st.integers(2, 12), st.integers(2, 12))
def test_modulo_is_the_remainder(classes: int, divisor: int) -> None:
    names = tuple(map(str, range(classes)))
    if divisor > classes:
        with pytest.raises(ValueError, match="from 2 to"):
            LabelMap.parse({"modulo": divisor}, names)
        return
    mapped = LabelMap.parse({"modulo": divisor}, names)(torch.arange(classes))
    assert mapped.tolist() == [c % divisor for c in range(classes)]


def test_groups_by_name_position_and_title_are_one() -> None:
    by_name = LabelMap.parse({"groups": [["cat", "dog"], ["car", "ship"]]}, NAMES)
    by_place = LabelMap.parse({"groups": [[0, 2], [1, 3]]}, NAMES)
    titled = LabelMap.parse({"groups": {"animal": [0, "dog"], "vehicle": [1, 3]}}, NAMES)
    listed = LabelMap.parse([0, 1, 0, 1], NAMES)
    for label_map in (by_name, by_place, titled, listed):
        assert label_map(torch.tensor([0, 1, 2, 3, 0])).tolist() == [0, 1, 0, 1, 0]
        assert label_map.classes == 2 and label_map.table == listed.table
    assert titled.names == ("animal", "vehicle")
    assert LabelMap.parse(None, NAMES).names == NAMES


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": [["cat"], ["car", "ship"]]}, "does not cover the class 'dog'"),
        ({"groups": [["cat", "dog", "cat"], ["car", "ship"]]}, "'cat' twice"),
        ({"groups": [["cat", "dog"], ["car", "shop"]]}, "'shop', which is no class"),
        ({"groups": [["cat", "dog", "car", "ship"]]}, "at least two classes"),
        ({"groups": [["cat", "dog", "car", "ship"], []]}, "empty group"),
        ({"groups": "cat"}, "list of lists"),
        ({"groups": [[["cat"]], ["dog"]]}, "no class"),
        ([0, 1, 0], "lists 3 classes, but the data set has 4"),
        ([0, 2, 0, 2], "every number from 0 to 2"),
        ([0, -1, 0, 1], "as a list"),
        ([], "as a list"),
        ({"modulo": True}, "whole number"),
        ({"modulus": 2}, "not understood"),
        ("parity", "not understood"),
        (3, "not understood"),
    ],
)
def test_maps_that_do_not_fit_are_refused_in_one_line(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        LabelMap.parse(settings, NAMES)
    assert "\n" not in str(caught.value)
