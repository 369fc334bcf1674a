"""Two sides of the compare page: which ones, and what their difference means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from wcord.analysis import report

from ..reading import pairing, registry
from ..reading.pairing import PairedAccuracy, Side
from ..viewer.frames import Part
from ..words.vocabulary import RESULTS
from ..words.vocabulary import metric as words_of
from .steering import STEERED


def sides_of(names: Sequence[str], given: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the (run, arm) pairs to compare: those given, else two that differ.

    Args:
        names: of the runs there are, newest first.
        given: run and arm of each side as an address names them, "" where it does not.
    """
    run_a = given[0][0] or names[0]
    run_b = given[1][0] or run_a
    arms = arms_of(run_a)
    arm_a = given[0][1] or _first(arms, "wcord")
    others = [arm for arm in arms_of(run_b) if run_b != run_a or arm != arm_a]
    if not others and not given[1][0]:  # one arm alone: beside the next run that has another
        for name in names:
            if name != run_a and (found := arms_of(name)):
                run_b, others = name, found
                break
    same = arm_a if run_b != run_a and arm_a in others else "plain"
    return [(run_a, arm_a), (run_b, given[1][1] or _first(others or arms, same))]


def arms_of(run: str) -> list[str]:
    """Return the arms of a run, none where it cannot be read."""
    try:
        return registry.watch_of(registry.find(run)).arms
    except ValueError:
        return []


def _first(arms: Sequence[str], favourite: str) -> str:
    return favourite if favourite in arms or not arms else arms[0]


def moving(scene: Mapping[str, Any]) -> bool:
    """Return whether any run of a scene is being trained."""
    for run in {run for run, _ in scene["sides"]}:
        try:
            if registry.watch_of(registry.find(run)).run.status.phase in STEERED:
                return True
        except ValueError:
            continue
    return False


def parts(scene: Mapping[str, Any]) -> list[Part]:
    """Return parts about two sides: a verdict for every step, or why there is none."""
    try:
        a, b = (Side(registry.watch_of(registry.find(run)), arm) for run, arm in scene["sides"])
    except ValueError:
        return []  # the feed reports it
    steps = pairing.common_steps(a, b)
    if a.arm not in a.watch.arms or b.arm not in b.watch.arms:
        return []
    if not steps:
        missing = [side.watch.run.name for side in (a, b) if not side.watch.run.steps]
        why = (
            f"No picture has been taken of {missing[0]} yet." if missing else "The two runs have "
            "no picture of one step in common: choose runs of equal batch size."
        )  # fmt: skip
        return [Part("unpaired", {"why": why})]
    try:
        pairing.check_pairing(a, b, steps[-1])
    except ValueError as error:
        why = str(error)
        return [Part("unpaired", {"why": f"{why[0].upper()}{why[1:]}."})]
    sentences = {str(step): verdict(a, b, step) for step in steps}
    seeds = a.watch.kept_words(
        ("seeds", a.arm, b.watch.run.path, b.arm, len(steps)), lambda: over_seeds(a, b)
    )
    return [
        Part("unpaired", {"why": ""}),
        Part("note", {"text": "", "at": sentences, "after": seeds}),
    ]


def verdict(a: Side, b: Side, step: int) -> str:
    """Return in words how the accuracies of two sides differ at a step, made once."""

    def made() -> str:
        try:
            return sentence(a, b, pairing.accuracy_of(a, b, step), step)
        except ValueError as error:
            return str(error)

    return a.watch.kept_words(("verdict", step, a.arm, b.watch.run.path, b.arm), made)


def sentence(a: Side, b: Side, paired: PairedAccuracy, step: int) -> str:
    """Return the paired accuracy of two students in words."""
    if a.watch.result != RESULTS["classes"]:
        return "The data have no classes, so no answer is right or wrong: compare the curves."
    n = paired.both + paired.only_a + paired.only_b + paired.neither
    apart = paired.only_a + paired.only_b
    if not (a.answers or b.answers):
        return (
            "Neither student was trained to answer, so their answers say nothing; compare plans "
            "and maps, or linear probes at the end."
        )
    if not apart:
        return f"A and B are right on the same of {n} held-out samples."
    return (
        f"A − B: {signed(paired.difference)} points of accuracy on the same {n} held-out samples "
        f"at step {step}; 95 % interval {signed(paired.low)} to {signed(paired.high)}, from the "
        f"{apart} samples that only one of them gets right: {judged(paired.verdict)}. This is one "
        "pair of trained students."
    )


def over_seeds(a: Side, b: Side) -> str:
    """Return in words how two arms differ over the seeds that both were finished with."""
    metric = a.watch.result if a.answers or b.answers else "linear_probe_accuracy"
    table = pairing.over_seeds(a, b, metric)
    if len(table) < 2:
        return (
            "Other seeds are not known yet: train the same settings with another seed, and the "
            "difference over seeds stands here."
        )
    found = report.compare(table, "b")["a"]
    digits = 3 if metric == RESULTS["regression"] else 1
    low, high = signed(found.low, digits), signed(found.high, digits)
    interval = f", 95 % interval {low} to {high}"
    known = "" if pd.isna(found.low) else interval
    return (
        f"Over {len(table)} seeds: {signed(found.difference, digits)} points of "
        f"{words_of(metric).short}{known}: {judged(found.verdict)}."
    )


def signed(points: float, digits: int = 1) -> str:
    """Return a difference with its sign, as people write it.

    >>> signed(-2.25), signed(0.04)
    ('−2.2', '+0.0')
    """
    return f"{points:+.{digits}f}".replace("-", "−")


def judged(verdict: str) -> str:
    """Return a verdict as the end of a sentence."""
    return f"A is {verdict}" if verdict in ("better", "worse") else f"they {verdict}"
