"""Every colour of the lab, in one place, chosen to be told apart with any kind of sight.

Arms take the colours of Okabe and Ito (2008), classes the ten of Petroff (2021, "petroff10"),
amounts a ramp whose lightness runs one way. Colour never stands alone: teachers are circles,
students diamonds, classes carry their number, arms their name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ARMS = {
    "plain": "#8a8f98",
    "kd": "#e69f00",
    "hint": "#b8a200",
    "crd": "#56b4e9",
    "gckt": "#009e73",
    "lckt": "#cc79a7",
    "wcord": "#d55e00",
    "wcord+kd": "#0072b2",
    "identity": "#cc79a7",
    "sinkhorn": "#d55e00",
    "exact": "#7a5195",
    "crd published": "#a96b59",
    "kd+sinkhorn": "#0072b2",
}
SPARE = ("#cc79a7", "#009e73", "#b8a200", "#7a5195", "#3f90da", "#a96b59", "#8a8f98", "#e69f00")
CLASSES = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
SOURCE, TARGET = "#0072b2", "#d55e00"  # the two clouds of the playground
GROUPS = {"congruent": "#d55e00", "same class": "#e69f00", "other class": "#0072b2"}
ON_DARK = {  # the same hues, lighter
    "#0072b2": "#8aa4ff",
    "#d55e00": "#ff8533",
    "#bd1f01": "#f2513a",
    "#832db6": "#b674e8",
}
EXACT, BOUND, RAW = "#009e73", "#0072b2", "#8a8f98"


@dataclass(frozen=True)
class Theme:
    """What a picture needs to know of the page it stands on: its ink and its ramp of amounts."""

    name: str
    ink: str
    faint: str
    paper: str
    ramp: tuple[str, ...]

    def lit(self, colour: str) -> str:
        """Return a colour of the palette as it stands out on this page."""
        return ON_DARK.get(colour, colour) if self.name == "dark" else colour


LIGHT = Theme(
    "light",
    ink="#1f2430",
    faint="#c9ced8",
    paper="#ffffff",
    ramp=("#ffffff", "#d9e6f4", "#a6cbe3", "#5ba3cf", "#2171b5", "#0b3d7d", "#041c3d"),
)
DARK = Theme(
    "dark",
    ink="#e8eaf0",
    faint="#454c5c",
    paper="#12151c",
    ramp=("#12151c", "#22305a", "#3b4f8f", "#6f6aa8", "#b9839d", "#f0b375", "#fff3c4"),
)


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """Return a colour for each arm: its own where its name is known, else the next spare one.

    >>> arm_colours(["plain", "wcord"])
    {'plain': '#8a8f98', 'wcord': '#d55e00'}
    """
    taken = {ARMS[arm] for arm in arms if arm in ARMS}
    spare = [colour for colour in SPARE if colour not in taken] or list(SPARE)
    unknown = [arm for arm in arms if arm not in ARMS]
    return {
        arm: ARMS[arm] if arm in ARMS else spare[unknown.index(arm) % len(spare)] for arm in arms
    }


def class_colour(label: int) -> str:
    """Return the colour of a class; beyond ten classes they repeat, and numbers tell them apart."""
    return CLASSES[label % len(CLASSES)]


def plain() -> dict[str, object]:
    """Return all colours as JSON, for the view."""
    themes = {
        theme.name: {
            "ink": theme.ink,
            "faint": theme.faint,
            "paper": theme.paper,
            "ramp": theme.ramp,
            "groups": {name: theme.lit(colour) for name, colour in GROUPS.items()},
            "source": theme.lit(SOURCE),
            "target": theme.lit(TARGET),
            "a": theme.lit(TARGET),
            "b": theme.lit(SOURCE),
            "classes": [theme.lit(colour) for colour in CLASSES],
        }
        for theme in (LIGHT, DARK)
    }
    colours = {"exact": EXACT, "bound": BOUND, "raw": RAW}
    return {"themes": themes, "classes": CLASSES, "distances": colours}
