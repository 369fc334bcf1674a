"""The exercises of chapter 10."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from scipy import stats

from wcord.objectives.term import TermSettings
from wcord.settings.loading import load

from .checking import Exercise, draws, own, uniform

TRAINING_IMAGES = 718
STEPS = 440
PLANS = ("sinkhorn", "exact")


def _single(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    for seeds, comparisons in ((10, 7), (5, 4), (30, 2), (3, 1)):
        middle, half = (4 * uniform(2, draw=draw) + 0.1).tolist()
        low, high = middle - half, middle + half
        found = [float(number) for number in function(low, high, seeds, comparisons)]
        if len(found) != 2:
            return "two numbers are asked for: the standard error and half the width"
        error = half / float(stats.t.ppf(1 - 0.025 / comparisons, seeds - 1))
        single = error * float(stats.t.ppf(0.975, seeds - 1))
        if not math.isclose(found[0], error, rel_tol=1e-6):
            return f"for {seeds} seeds and {comparisons} comparisons the standard error is another"
        if not math.isclose(found[1], single, rel_tol=1e-6):
            return f"the standard error is right, half the width for {seeds} seeds is not"
    return ""


def _smallest_gap(function: Callable[..., Any]) -> str:
    function = own(function)
    draw = draws()
    for count in (1, 3, 7):
        stds = (0.1 + uniform(count, draw=draw)).tolist()
        runs = [int(number) for number in 1 + 5 * uniform(count, draw=draw)]
        variance = sum(2 * std**2 / number for std, number in zip(stds, runs, strict=True))
        expected = float(stats.norm.ppf(0.975)) * math.sqrt(variance) / count
        found = float(function(list(stds), list(runs)))
        if math.isclose(found, expected, rel_tol=1e-3):  # 1.96 is near enough
            continue
        if math.isclose(found, expected / math.sqrt(2), rel_tol=1e-3):
            return "both entries of a difference have errors"
        if math.isclose(
            found, expected * stats.norm.ppf(0.95) / stats.norm.ppf(0.975), rel_tol=1e-3
        ):
            return "in absolute value: the 5 % are divided between both sides"
        return f"for {count} pairs of networks it is another number"
    return ""


def _plan_of_a_test(answer: Any) -> str:
    if not isinstance(answer, Mapping):
        return "a dictionary of changes is asked for"
    planned = load("digits-compression").replace(dict(answer))
    if not planned.pairing.in_batch:
        return "no partner within the batch is wrong"
    if not 0.5 < planned.pairing.broken <= 0.9:
        return "the share of wrong pairs is not between a half and nine tenths"
    if planned.batch < 256:
        return "the batches are too small"
    steps = planned.epochs * (TRAINING_IMAGES // planned.batch)
    if steps < STEPS:
        return f"the arms take {steps} steps only"
    arms = {name: _switched_on(terms) for name, terms in planned.arms.items()}
    if not any(set(terms) == {"ce"} for terms in arms.values()):
        return "the plain student is missing"
    light = [
        a for a, t in arms.items() if "gckt" in t and "lckt" in t and t["lckt"]["weight"] < 0.5
    ]
    if light:
        return f"the weight of LCKT in the arm {light[0]} is below 0.5"
    tested = [t for t in arms.values() if "gckt" in t and t.get("lckt", {}).get("plan") in PLANS]
    if not tested:
        return "no arm has GCKT and a plan that is computed"
    if not any(
        _without_plan(terms) in map(_without_plan, _with(arms, "identity")) for terms in tested
    ):
        return "no arm differs from one with a computed plan in the plan alone"
    for terms in tested:
        alone = {name: value for name, value in terms.items() if name != "lckt"}
        same = [t for t in _with(arms, "identity") if _without_plan(t) == _without_plan(terms)]
        if same and alone in arms.values():
            return ""
    return "no arm differs from one with a computed plan in the missing LCKT alone"


def _switched_on(terms: Mapping[str, TermSettings]) -> dict[str, dict[str, Any]]:
    return {name: term.model_dump() for name, term in terms.items() if term.weight}


def _with(arms: Mapping[str, dict[str, Any]], plan: str) -> list[dict[str, Any]]:
    return [terms for terms in arms.values() if terms.get("lckt", {}).get("plan") == plan]


def _without_plan(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {**terms, "lckt": {key: v for key, v in terms["lckt"].items() if key != "plan"}}


EXERCISES = (
    Exercise(
        "10.1",
        "quick",
        _single,
        (
            "Half the width of any of these intervals is a quantile of Student's distribution, "
            "times the standard error.",
            "For the simultaneous interval, 0.05 is divided by the number of comparisons; for the "
            "single one it is not.",
            "Divide by the one quantile, and multiply by the other.",
        ),
    ),
    Exercise(
        "10.2",
        "derive",
        _smallest_gap,
        (
            "What is the variance of the mean of some runs, and of the difference of two such "
            "means?",
            "Variances of independent differences add up; the average over pairs divides the "
            "standard deviation of their sum by the number of pairs.",
            "A normal number exceeds 1.96 standard deviations, in absolute value, in 5 % of cases.",
        ),
    ),
    Exercise(
        "10.3",
        "explore",
        _plan_of_a_test,
        (
            "With 256 samples in a batch, how many complete batches have 718 images, and so how "
            "many epochs are 440 steps?",
            'Replace the whole table of arms by a table of your own, with the key "arms".',
            "Write the settings of one arm first; copy them, and change one word for the second "
            "arm; take LCKT out for the third.",
        ),
    ),
)
