"""Two arms paired: intervals against their definitions, samples that must be the same, seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as hs
from made_up_run import write_run
from scipy.stats import beta, binom, ttest_rel

from lab.reading import pairing
from lab.reading.pairing import Side, paired_accuracy
from lab.reading.watch import Watch
from wcord.analysis import report
from wcord.runs import Run

ANSWERS = hs.lists(hs.tuples(hs.booleans(), hs.booleans()), min_size=1, max_size=60)


def change(path: Path, **settings: Any) -> None:
    """Change settings of a run."""
    said = yaml.safe_load((path / "settings.yaml").read_text())
    (path / "settings.yaml").write_text(yaml.safe_dump(said | settings, sort_keys=False))


def summarise(path: Path, seed: int, **accuracies: float) -> None:
    """Write the results of a finished run of one seed."""
    change(path, seed=seed)
    arms = {arm: {"test_accuracy": value, "frozen": None} for arm, value in accuracies.items()}
    (path / "summary.json").write_text(json.dumps({"seed": seed, "arms": arms}))


@given(ANSWERS)
def test_the_paired_interval_is_clopper_pearsons_on_the_disagreements(
    answers: list[tuple[bool, bool]],
) -> None:
    a, b = np.array(answers).T
    found = paired_accuracy(a, b)
    assert found.difference == pytest.approx(100 * (a.mean() - b.mean()))
    assert found.both + found.only_a + found.only_b + found.neither == len(a)
    assert found.low <= found.difference + 1e-9 and found.difference <= found.high + 1e-9
    k, n = found.only_a, found.only_a + found.only_b
    assume(n)
    lowest = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    highest = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    assert found.low == pytest.approx(100 * n / len(a) * (2 * lowest - 1))
    assert found.high == pytest.approx(100 * n / len(a) * (2 * highest - 1))
    # McNemar's exact test, by summing the binomial tails
    p = min(1.0, 2 * binom.cdf(min(k, n - k), n, 0.5))
    assert found.p == pytest.approx(p)
    assert (found.verdict == "cannot be told apart") == (p > 0.05)
    other = paired_accuracy(b, a)
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        kind = rng.choice(4, p=[0.5, 0.25, 0.1, 0.15], size=120)  # both, only a, only b, neither
        found = paired_accuracy(kind <= 1, (kind == 0) | (kind == 2))
        covered.append(found.low <= 15 <= found.high)
    assert np.mean(covered) > 0.93


def test_equal_answers_and_answers_that_cannot_be_paired() -> None:
    same = paired_accuracy(np.ones(5, bool), np.ones(5, bool))
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    for a, b in ((np.ones(3), np.ones(4)), (np.ones(0), np.ones(0)), (np.ones((2, 2)),) * 2):
        with pytest.raises(ValueError, match="cannot be paired"):
            paired_accuracy(a, b)


def test_seeds_are_paired_and_other_experiments_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal([80, 82], 1, size=(4, 2))
    for seed, (plain, crd) in enumerate(values):
        path = write_run(tmp_path / f"seed-{seed}")
        summarise(path, seed, plain=plain, crd=crd)
    other = write_run(tmp_path / "longer", epochs=4)
    summarise(other, 9, plain=0.0, crd=99.0)
    watch = Watch(tmp_path / "seed-2")
    table = pairing.over_seeds(Side(watch, "crd"), Side(watch, "plain"))
    assert list(table.index) == [0, 1, 2, 3]
    np.testing.assert_allclose(table[["b", "a"]].to_numpy(), values)
    interval = ttest_rel(values[:, 1], values[:, 0]).confidence_interval(0.95)
    found = report.compare(table, "b")["a"]
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert len(pairing.over_seeds(Side(watch, "wcord"), Side(watch, "plain"))) == 0


@pytest.mark.parametrize(
    ("settings", "run", "why"),
    [
        ({"seed": 5}, {}, "seed is None in one and 5 in two"),
        ({"data": {"source": "cifar10"}}, {}, "data.source is"),
        ({"data": {"train_size": 0.5}}, {}, "data.train_size is"),
        ({}, {"samples": 50}, "looked at on 60 and 50 samples"),
        ({}, {"classes": ("cat", "dog")}, "have other labels"),
        ({}, {"batch": 16}, "probe.batch"),
    ],
)
def test_other_samples_are_refused_in_one_line(
    tmp_path: Path, settings: dict[str, Any], run: dict[str, Any], why: str
) -> None:
    one, two = write_run(tmp_path / "one"), write_run(tmp_path / "two", **run)
    change(two, **settings)
    with pytest.raises(ValueError) as refused:
        pairing.check_pairing(Side(Watch(one), "crd"), Side(Watch(two), "crd"), 42)
    assert why in str(refused.value) and "\n" not in str(refused.value)


def test_a_seed_of_its_own_decides_who_is_held_out(tmp_path: Path) -> None:
    sides = []
    for place, name in enumerate(("one", "two")):
        change(write_run(tmp_path / name), seed=place, data={"subset_seed": 3})
        sides.append(Side(Watch(tmp_path / name), "crd"))
    pairing.check_pairing(*sides, 42)
    assert pairing.common_steps(*sides) == [0, 14, 28, 42]


def test_sides_of_one_name_are_called_by_their_runs(tmp_path: Path) -> None:
    one, two = (Watch(write_run(tmp_path / name)) for name in ("one", "two"))
    assert pairing.names(Side(one, "crd"), Side(two, "plain")) == ("crd", "plain")
    assert pairing.names(Side(one, "crd"), Side(two, "crd")) == ("crd of one", "crd of two")


def test_the_terms_that_train_answers_are_those_that_see_logits() -> None:
    from wcord.objectives import TERMS

    seen = {name for name, term in TERMS.items() if term.needs_logits or term.targets}
    assert seen == set(pairing.ANSWERING)


def test_equal_cost_is_reached_at_the_first_step_that_is_as_cheap(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path / "run"))  # costs of all arms fall alike
    assert pairing.equal_cost_steps(run, ["crd", "wcord"], "crd") == {"crd": 42, "wcord": 42}
    costs = {"crd": [1.0, 0.5, 0.6, 0.7], "wcord": [0.9, 0.4, 0.3, 0.2], "plain": [2, 2, 2, 2]}

    class Made:
        steps = (0, 14, 28, 42)

        def snapshot(self, step: int) -> Any:
            values = {arm: {"plan_cost": of[step // 14]} for arm, of in costs.items()}
            return type("Snapshot", (), {"values": staticmethod(values.get)})

    found = pairing.equal_cost_steps(Made(), list(costs), "crd")  # type: ignore[arg-type]
    assert found == {"crd": 14, "wcord": 14, "plain": 42}
