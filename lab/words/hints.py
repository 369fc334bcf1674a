"""What to look for now: one sentence a picture, said from its numbers.

Pure functions; they compare with chance and with the teacher, and never name a winner: one run
of one seed cannot.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

CLEAR = 2.0  # times chance before mass inside classes is called more than chance
SHRUNK = 0.6  # variance ratio below which classes are called shrunk
COLLAPSED = 1e-2  # plan cost below which all directions are nearly one


def at_plan(values: Mapping[str, float], chance: float) -> str:
    """Say what the plan shows now; `chance` is the mass that a uniform plan keeps in class."""
    mass, ratio = (values.get(key, np.nan) for key in ("same_class_mass", "variance_ratio"))
    cost = values.get("plan_cost", np.nan)
    if not np.isfinite(mass):
        return "The plan is not defined here: the student's features are not finite."
    if cost < COLLAPSED and mass < CLEAR * chance:
        return "Collapse: carrying costs nothing because all features point one way."
    if mass < CLEAR * chance:
        return f"Close to chance ({mass:.2f} in class, {chance:.2f} by chance): no squares yet."
    if ratio < SHRUNK:
        return (
            f"Beware: each class has shrunk to {ratio:.2f} of the teacher's spread, which makes "
            "the plan look better than the student is."
        )
    if mass <= 0.8:
        return (
            f"Squares begin to show: {mass:.2f} of the mass stays in its class, {chance:.2f} by "
            "chance."
        )
    diagonal = values.get("diagonal_mass", np.nan)
    if diagonal < mass / 2:
        return "Mass finds its class, but not its own sample: blocks, not yet a diagonal."
    own = ", and most of it its own sample" if np.isfinite(diagonal) else ""
    return f"Squares on the diagonal: mass finds its class{own}."


def at_lines(values: Mapping[str, float], chance: float) -> str:
    """Say what the plan shows now where it is drawn as lines."""
    mass = values.get("same_class_mass", np.nan)
    if not np.isfinite(mass):
        return at_plan(values, chance)
    return (
        f"Whole lines stay in their class: {mass:.2f} of the mass, {chance:.2f} by chance. Dashed "
        "ones leave it."
    )


def at_scores(values: Mapping[str, float]) -> str:
    """Say how much of the exact dependency the critic certifies now."""
    exact, bound = (values.get(key, np.nan) for key in ("exact_iw", "certified_iw"))
    if not np.isfinite(bound):
        return "No critic here: compare how far these cosines part with an arm that has one."
    if not exact > 0:
        return "There is no dependency to certify yet."
    share = max(bound, 0.0) / exact
    reach = "most" if share > 0.8 else "part" if share > 0.3 else "little"
    return f"The critic certifies {share:.0%} of the exact dependency: {reach} of it.".replace(
        "%", " %"
    )


def at_map(values: Mapping[str, float]) -> str:
    """Say whether nearness on the map can be trusted now."""
    distance, overlap = (values.get(k, np.nan) for k in ("feature_distance", "neighbour_overlap"))
    if not np.isfinite(distance):
        return "The features are not finite here."
    if distance < 0.7 and overlap < 0.4:
        return "Near does not mean alike: the sides are close, yet their neighbours differ."
    if overlap >= 0.6 and distance >= 0.7:
        return "Neighbours mostly agree, but the student's features lie elsewhere."
    if overlap >= 0.6:
        return "Diamonds sit on their circles, and neighbours mostly agree."
    return "Watch diamonds move to the circles of their own colour; overlap follows later."
