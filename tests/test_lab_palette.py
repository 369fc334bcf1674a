"""Colours: told apart from the page and from one another, on light pages and on dark ones."""

from __future__ import annotations

import json
import re

import pytest

import wcord
from lab import palette
from lab.palette import DARK, LIGHT, Theme


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.1)."""

    def light(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_colours_stand_out_from_the_page_and_the_ramp_runs_one_way(theme: Theme) -> None:
    assert contrast(theme.ink, theme.paper) > 7
    for colour in (*palette.GROUPS.values(), palette.SOURCE, palette.TARGET):
        assert contrast(theme.lit(colour), theme.paper) > 2.2
    steps = [contrast(colour, theme.paper) for colour in theme.ramp]
    assert steps == sorted(steps) and theme.ramp[0] == theme.paper


def test_arms_of_a_run_have_colours_of_their_own() -> None:
    for preset in wcord.presets():
        arms = list(wcord.load(preset).arms)
        colours = palette.arm_colours(arms)
        assert list(colours) == arms and len(set(colours.values())) == len(arms), preset
    assert palette.arm_colours(["wcord", "mine"])["wcord"] == palette.ARMS["wcord"]
    many = palette.arm_colours([f"arm {k}" for k in range(30)])
    assert len(set(many.values())) == len(palette.SPARE)


def test_classes_have_colours_of_their_own_until_they_repeat() -> None:
    assert len(set(palette.CLASSES)) == 10
    assert palette.class_colour(13) == palette.class_colour(3)


def test_the_view_gets_every_colour_as_six_digits() -> None:
    told = json.loads(json.dumps(palette.plain()))
    assert set(told["themes"]) == {"light", "dark"} and len(told["classes"]) == 10
    light, dark = told["themes"]["light"], told["themes"]["dark"]
    assert list(light["groups"]) == list(dark["groups"]) == list(palette.GROUPS)
    assert light["a"] != light["b"] and dark["groups"]["congruent"] == DARK.lit("#d55e00")
    colours = re.findall(r'"(#[^"]*)"', json.dumps(told))
    assert len(colours) > 40 and all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_arms_of_other_colours_stay_apart_on_a_dark_page() -> None:
    colours = set(palette.ARMS.values())
    assert len({palette.DARK.lit(colour) for colour in colours}) == len(colours)
    assert len({palette.DARK.lit(colour) for colour in palette.CLASSES}) == 10
