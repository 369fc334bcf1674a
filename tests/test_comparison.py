"""Paired comparisons against scipy and a hand-worked Holm correction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import wcord
from wcord.comparison import compare, report, results, tabulate


def table(seeds: int = 12, arms: int = 4, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 2, seeds)
    shifts = [0, 0.2, 1.5, 4][:arms]
    columns = {f"arm{k}": 80 + common + s + rng.normal(0, 1, seeds) for k, s in enumerate(shifts)}
    return pd.DataFrame(columns)


def test_one_comparison_is_scipys_paired_t_test() -> None:
    values = table(arms=2)
    ours = compare(values, "arm0")["arm1"]
    test = stats.ttest_rel(values.arm1, values.arm0)
    interval = test.confidence_interval(0.95)
    assert ours.p == pytest.approx(test.pvalue)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.correlation == pytest.approx(np.corrcoef(values.arm0, values.arm1)[0, 1])


def test_holm_by_hand() -> None:
    values = table()
    raw = {a: stats.ttest_rel(values[a], values.arm0).pvalue for a in ("arm1", "arm2", "arm3")}
    order = sorted(raw, key=raw.__getitem__)
    adjusted, largest = {}, 0.0
    for rank, arm in enumerate(order):
        largest = max(largest, min(1, (3 - rank) * raw[arm]))
        adjusted[arm] = largest
    ours = compare(values, "arm0")
    assert {a: ours[a].p for a in order} == pytest.approx(adjusted)
    widest = stats.ttest_rel(values[order[0]], values.arm0).confidence_interval(1 - 0.05 / 3)
    assert ours[order[0]].low == pytest.approx(widest.low)


def test_noise_is_rarely_called_a_difference() -> None:
    """Of 300 tables of three equal arms at most about 5 % hold a verdict (family-wise)."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        values = pd.DataFrame(rng.normal(size=(8, 4)), columns=list("abcd"))
        wrong += any(p.verdict != "cannot be told apart" for p in compare(values, "a").values())
    assert wrong <= 27  # 15 expected; 27 is three standard deviations away


def test_one_seed_gives_no_verdict() -> None:
    row = compare(table(seeds=1), "arm0")["arm3"]
    assert np.isnan(row.low) and row.verdict == "cannot be told apart"


def test_gaps_are_left_out_of_their_pair() -> None:
    values = table()
    values.loc[0, "arm1"] = np.nan
    ours = compare(values, "arm0")["arm1"]
    assert ours.difference == pytest.approx((values.arm1 - values.arm0)[1:].mean())


def test_tables_read_well() -> None:
    text = tabulate(table(), "arm0", "test_accuracy").to_markdown()
    assert "| arm3 |" in text and "better" in text and "over 12 seeds" in text
    again = pd.read_csv(__import__("io").StringIO(tabulate(table(), "arm0", "x").to_csv()))
    assert list(again.arm) == ["arm0", "arm1", "arm2", "arm3"]


def test_reports_read_runs(finished: wcord.Run, short: wcord.Experiment, tmp_path: Path) -> None:
    plain = short.replace({"seed": 1, "epochs": 1})
    other = wcord.distill(plain, tmp_path / "run", progress=False)
    told = report([finished, other])
    assert told.against == "crd" and told.seeds == 2
    assert list(told.frame.index) == list(short.arms)
    assert results([finished]).loc[0, "kd"] == finished.summary["arms"]["kd"]["test_accuracy"]  # type: ignore[index]
    with pytest.raises(ValueError, match="two runs have the seed 0"):
        report([finished, finished])
    with pytest.raises(ValueError, match="no arm 'x'"):
        report([finished], against="x")
    with pytest.raises(ValueError, match="no arm of these runs has 'beauty'"):
        report([finished], metric="beauty")
