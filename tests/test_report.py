"""Paired comparisons against scipy, statsmodels and simulation; tables against a renderer."""

from __future__ import annotations

import io
from html import unescape
from pathlib import Path
from typing import Any
from unittest import mock

import mistune
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

import wcord
from wcord.analysis.markdown import literal
from wcord.analysis.report import report, results, tabulate
from wcord.analysis.statistics import Paired, compare, holm


def by_statsmodels(p: Any, alpha: float = 0.05) -> Any:
    """Return Holm's decisions and adjusted p values."""
    with mock.patch("gc.collect"):  # called by statsmodels each time: slow beside all other tests
        return multipletests(p, alpha, "holm")


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


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    seeds=st.integers(2, 12),
    arms=st.integers(2, 8),
    gaps=st.sampled_from([0.0, 0.1, 0.4]),
    level=st.sampled_from([0.8, 0.95]),
)
def test_verdicts_are_holms_and_intervals_bonferronis(
    seed: int, seeds: int, arms: int, gaps: float, level: float
) -> None:
    """By scipy and statsmodels, on random tables with gaps."""
    rng = np.random.default_rng(seed)
    values = pd.DataFrame(rng.normal(size=(seeds, arms)) + rng.choice([0, 0, 1, 3], size=arms))
    values = values.mask(rng.random(values.shape) < gaps)
    ours = compare(values, 0, level)
    assert list(ours) == list(range(1, arms))
    pairs = {arm: values[[arm, 0]].dropna() for arm in ours}
    tests = {
        arm: stats.ttest_rel(both[arm], both[0]) for arm, both in pairs.items() if len(both) > 1
    }
    for arm in ours.keys() - tests.keys():
        assert ours[arm].verdict in ("no data", "no seed in common", "one seed, cannot be judged")
        assert np.isnan([ours[arm].p, ours[arm].low, ours[arm].high]).all()
    if not tests:
        return
    reject, adjusted, *_ = by_statsmodels([t.pvalue for t in tests.values()], 1 - level)
    for (arm, test), rejected, p in zip(tests.items(), reject, adjusted, strict=True):
        found, interval = ours[arm], test.confidence_interval(1 - (1 - level) / len(tests))
        assert found.pairs == len(pairs[arm]) and found.p == pytest.approx(p)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        side = "better" if test.statistic > 0 else "worse"
        assert found.verdict == (side if rejected else "cannot be told apart")


def test_an_arm_is_not_judged_after_one_that_failed() -> None:
    """Single p values of 0.03 and 0.04: Holm rejects neither."""
    noise = np.array([-1.0, 1, -2, 2, -1, 1])  # mean 0
    error = noise.std(ddof=1) / 6**0.5
    wide = [error * stats.t.isf(p / 2, 5) for p in (0.03, 0.04)]
    values = pd.DataFrame({"a": 0 * noise, "b": noise + wide[0], "c": noise + wide[1]})
    single = [stats.ttest_rel(values[k], values.a).pvalue for k in "bc"]
    assert single == pytest.approx([0.03, 0.04])
    found = compare(values, "a")
    assert [found[k].p for k in "bc"] == pytest.approx([0.06, 0.06])
    assert {found[k].verdict for k in "bc"} == {"cannot be told apart"}


def test_a_verdict_may_stand_beside_an_interval_that_holds_0() -> None:
    noise = np.array([-1.0, 1, -2, 2, -1, 1])
    error = noise.std(ddof=1) / 6**0.5
    wide = [error * stats.t.isf(p / 2, 5) for p in (0.001, 0.04)]
    found = compare(pd.DataFrame({"a": 0 * noise, "b": noise - wide[0], "c": noise + wide[1]}), "a")
    assert found["b"].verdict == "worse" and found["b"].high < 0
    assert found["c"].verdict == "better" and found["c"].low < 0 < found["c"].high


@pytest.mark.parametrize("p", [[0.04, 0.03], [0.2, 0.01, 0.01, 0.04], [0, 1, 0, 0.5], [0.3]])
def test_holm_is_statsmodels_holm(p: list[float]) -> None:
    np.testing.assert_allclose(holm(p), by_statsmodels(p)[1], atol=1e-15)


def test_intervals_hold_all_differences_and_verdicts_err_as_rarely_as_stated() -> None:
    """Five comparisons, three real effects, six seeds.

    Of 200,000 tables such intervals hold all differences in 0.951 (those of Holm's single steps in
    0.918), and 0.049 have a verdict that is wrong. Here within three standard deviations.
    """
    rng, count = np.random.default_rng(0), 1000
    true = {"b": 0.0, "c": 0.0, "d": 3.0, "e": 5.0, "f": -8.0}
    scale = [0.3, 1, 1, 1, 1, 1]
    held = wrong = 0
    for _ in range(count):
        values = rng.normal([0, *true.values()], scale, (6, 6))
        found = compare(pd.DataFrame(values, columns=["a", *true]), "a")
        held += all(found[arm].low <= effect <= found[arm].high for arm, effect in true.items())
        wrong += any(found[arm].verdict in ("better", "worse") for arm in "bc")
    deviation = (0.05 * 0.95 / count) ** 0.5
    assert held / count > 0.95 - 3 * deviation
    assert wrong / count < 0.05 + 3 * deviation


def test_noise_is_rarely_called_a_difference() -> None:
    """Of 300 tables of three equal arms at most about 5 % hold a verdict (family-wise)."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        values = pd.DataFrame(rng.normal(size=(8, 4)), columns=list("abcd"))
        wrong += any(p.verdict != "cannot be told apart" for p in compare(values, "a").values())
    assert wrong <= 27  # 15 expected; 27 is three standard deviations away


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 0.1, 3.0])
def test_a_difference_without_spread_is_not_judged(offset: float, kind: type) -> None:
    """Beyond rounding: 80.3 + 0.1 − 80.3 is not always the same number."""
    values = table(arms=2).astype(kind)
    values["same"] = values["arm0"] + kind(offset)
    found = compare(values, "arm0")
    same = found["same"]
    assert same.verdict == "no spread, cannot be judged"
    assert same.difference == pytest.approx(offset, abs=1e-5) and same.error == 0
    assert np.isnan([same.p, same.low, same.high]).all()
    # It counts: whether a comparison is one of the family must not depend on its outcome.
    alone = stats.ttest_rel(values.arm1, values.arm0)
    assert found["arm1"].p == pytest.approx(min(1, 2 * alone.pvalue))


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e6])
def test_verdicts_do_not_depend_on_the_unit(unit: float) -> None:
    values = table()
    one, other = compare(values, "arm0"), compare(values * unit, "arm0")
    assert [other[arm].verdict for arm in one] == [found.verdict for found in one.values()]
    assert [other[arm].low for arm in one] == pytest.approx([unit * f.low for f in one.values()])


def test_one_seed_gives_no_verdict() -> None:
    row = compare(table(seeds=1), "arm0")["arm3"]
    assert np.isnan(row.low) and row.verdict == "one seed, cannot be judged"
    text = tabulate(table(seeds=1), "arm0", "x").to_markdown()
    assert "nan" not in text and "a difference may be chance" in text
    assert not any(word in text for word in ("interval", "verdict", "judged", "better", "95"))
    values = table(seeds=1)
    assert f"{values.arm3[0] - values.arm0[0]:+.2f}" in text


def test_arms_without_data_do_not_count() -> None:
    values = table(arms=2)
    other = values.assign(empty=np.nan, apart=np.nan)
    other.loc[0, "arm0"] = np.nan
    other.loc[0, "apart"] = 81.0
    found = compare(other, "arm0")
    assert found["arm1"] == compare(values[1:], "arm0")["arm1"]
    # as text, because from Python 3.13 on records that hold nan differ from themselves
    assert str(found["empty"]) == str(Paired(verdict="no data"))
    assert str(found["apart"]) == str(Paired(verdict="no seed in common"))
    text = tabulate(other, "arm0", "x").to_markdown()
    assert "| empty | – |  |  |  | no data |" in text
    assert "| apart | 81.00 (n = 1) |  |  |  | no seed in common |" in text
    assert "one t-test" in text and "nan" not in text


def test_gaps_are_left_out_of_their_pair() -> None:
    values = table()
    values.loc[0, "arm1"] = np.nan
    ours = compare(values, "arm0")["arm1"]
    assert ours.difference == pytest.approx((values.arm1 - values.arm0)[1:].mean())
    assert tabulate(values, "arm0", "x").to_markdown().count("(n = 11)") == 2


@pytest.mark.parametrize(("names", "against"), [((0, 1), 0), ((0.5, 2.0), "0.5"), (("0", "1"), 0)])
def test_numbers_are_names(names: tuple[object, object], against: object) -> None:
    values = table(arms=2)
    plain = tabulate(values, "arm0", "x")
    ours = tabulate(values.set_axis(list(names), axis=1), against, "x")
    pd.testing.assert_frame_equal(
        ours.frame.reset_index(drop=True), plain.frame.reset_index(drop=True)
    )
    assert ours.against == names[0]
    assert f"| {names[1]} |" in ours.to_markdown()
    assert tabulate(values.set_axis(list(names), axis=1), None, "x").against == names[0]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (pd.DataFrame(), "no arm or no seed"),
        (pd.DataFrame({"a": [], "b": []}), "no arm or no seed"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), "arm a is in the table twice"),
        (pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=[7, 7]), "seed 7 is in the table twice"),
        (pd.DataFrame({"a": [1, 2], "b": [3, np.inf]}), "arm 'b' is infinite at seed 1"),
        (pd.DataFrame({"a": [1, 2], "b": [3, "x"]}), "arm 'b' has a value that is not a number"),
        (pd.DataFrame({"b": [1, 2], "c": [3, 4]}), "no arm 'a' to compare with; there are b, c"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(values: pd.DataFrame, line: str) -> None:
    for refuse in (lambda: compare(values, "a"), lambda: tabulate(values, "a", "x")):
        with pytest.raises(ValueError, match=line):
            refuse()


def test_a_level_is_a_share() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, not 95"):
        compare(table(), "arm0", 95)


def test_missing_values_of_any_kind_are_gaps() -> None:
    values = pd.DataFrame({"a": [1, 2, 4, None], "b": pd.array([2, 5, None, 1], dtype="Int64")})
    assert compare(values.astype({"a": object}), "a")["b"].pairs == 2


NAMES = st.text(st.sampled_from("ab_*|\\`[]()<>$~&;#!. \n"), min_size=1).filter(str.strip)


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, min_size=2, max_size=3, unique_by=lambda name: " ".join(name.split())))
def test_names_are_shown_as_they_are(names: list[str]) -> None:
    """A renderer of Markdown gives back every name in a cell of its own."""
    values = table(seeds=3, arms=len(names)).set_axis(names, axis=1)
    text = tabulate(values, names[0], "x").to_markdown()
    html = str(mistune.create_markdown(plugins=["table", "strikethrough", "math"])(text))
    cells = [line.split("</td>")[0] for line in html.split("<tr>\n  <td>")[1:]]
    assert [unescape(cell) for cell in cells] == [" ".join(name.split()) for name in names]


def test_settings_in_names_are_not_escaped() -> None:
    name = "W gckt.negatives_count=None, plan=2.5"
    assert literal(name) == name


def test_tables_read_well() -> None:
    text = tabulate(table(), "arm0", "test_accuracy").to_markdown()
    assert "| arm3 |" in text and "better" in text and "over 12 seeds" in text
    assert "corrected for 3 comparisons (Holm)" in text and "(Bonferroni)" in text
    again = pd.read_csv(io.StringIO(tabulate(table(), "arm0", "x").to_csv()))
    assert list(again.arm) == ["arm0", "arm1", "arm2", "arm3"]


def test_reports_read_runs(finished: wcord.Run, short: wcord.Experiment, tmp_path: Path) -> None:
    plain = short.replace({"seed": 1, "epochs": 1})
    other = wcord.distill(plain, tmp_path / "run", progress=False)
    result = report([finished, other])
    assert result.against == "crd" and result.seeds == 2
    assert list(result.frame.index) == list(short.arms)
    assert results([finished]).loc[0, "kd"] == finished.summary["arms"]["kd"]["test_accuracy"]  # type: ignore[index]
    with pytest.raises(ValueError, match="two runs have the seed 0"):
        report([finished, finished])
    with pytest.raises(ValueError, match="no arm 'x'"):
        report([finished], against="x")
    with pytest.raises(ValueError, match="no arm of these runs has 'beauty'"):
        report([finished], metric="beauty")


@pytest.mark.parametrize("values", [{"a": [1, 2]}, [[1, 2]], None])
def test_what_is_no_table_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="a table is needed"):
        compare(values, "a")


def test_a_table_in_which_nothing_is_judged_speaks_of_no_test() -> None:
    constant = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [2.0, 3.0, 4.0]})
    text = tabulate(constant, "a", "x").to_markdown()
    assert "no spread, cannot be judged" in text and "t-test" not in text
