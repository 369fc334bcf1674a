"""Two arms compared: intervals against their definitions, pictures against arrays, the page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as hs
from made_up_run import ARMS, write_run
from scipy.stats import beta, binom, ttest_rel
from shown import shown
from streamlit.testing.v1 import AppTest

from lab import differences, palette
from lab.reading import layouts, pairing
from lab.reading.arrange import sorted_plan
from lab.reading.pairing import Side, paired_accuracy
from lab.reading.watch import Watch
from wcord.analysis import report

APP = str(Path(__file__).parents[1] / "app.py")
CHARTS = {"plan-a", "plan-b", "difference", "scores-a", "scores-b", "answers", "map-a", "map-b"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one finished run."""
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    write_run(tmp_path / "one")
    return tmp_path


def change(path: Path, **settings: Any) -> None:
    """Change settings of a run."""
    said = yaml.safe_load((path / "settings.yaml").read_text())
    (path / "settings.yaml").write_text(yaml.safe_dump(said | settings, sort_keys=False))


def summarise(path: Path, seed: int, **accuracies: float) -> None:
    """Write the results of a finished run of one seed."""
    change(path, seed=seed)
    arms = {arm: {"test_accuracy": value, "frozen": None} for arm, value in accuracies.items()}
    (path / "summary.json").write_text(json.dumps({"seed": seed, "arms": arms}))


# --------------------------------------------------------------------------------- intervals

ANSWERS = hs.lists(hs.tuples(hs.booleans(), hs.booleans()), min_size=1, max_size=60)


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


def test_seeds_are_paired_and_other_experiments_left_out(folder: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal([80, 82], 1, size=(4, 2))
    for seed, (plain, crd) in enumerate(values):
        path = write_run(folder / f"seed-{seed}")
        summarise(path, seed, plain=plain, crd=crd)
    other = write_run(folder / "longer", epochs=4)
    summarise(other, 9, plain=0.0, crd=99.0)
    watch = Watch(folder / "seed-2")
    table = pairing.over_seeds(Side(watch, "crd"), Side(watch, "plain"))
    assert list(table.index) == [0, 1, 2, 3]
    np.testing.assert_allclose(table[["b", "a"]].to_numpy(), values)
    interval = ttest_rel(values[:, 1], values[:, 0]).confidence_interval(0.95)
    found = report.compare(table, "b")["a"]
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert len(pairing.over_seeds(Side(watch, "wcord"), Side(watch, "plain"))) == 0


# ---------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("theme", [palette.LIGHT, palette.DARK])
def test_the_difference_is_drawn_with_its_sign(theme: palette.Theme) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 3)
    a, b = rng.dirichlet(np.ones(144), size=2).reshape(2, 12, 12)
    option = differences.difference_chart(a, b, labels, theme)
    table = option["dataset"]["source"].to_pandas()
    drawn = np.zeros((12, 12))
    drawn[table["teacher"], table["student"]] = table["share"]
    expected = sorted_plan(a, labels) - sorted_plan(b, labels)
    np.testing.assert_allclose(drawn, expected, atol=1 / 255**2)
    assert (np.sign(table["shade"]) == np.sign(table["share"])).all()
    scale = option["visualMap"]
    assert scale["min"] == -scale["max"] and scale["inRange"]["color"][1] == theme.paper
    again = differences.difference_chart(b, a, labels, theme)["dataset"]["source"].to_pandas()
    np.testing.assert_array_equal(again["shade"], -table["shade"])
    assert len(differences.difference_chart(a, a, labels)["dataset"]["source"]) == 0


def test_the_printed_twin_shows_the_same_numbers() -> None:
    labels = np.arange(6) % 2
    a, b = np.eye(6) / 6, np.ones((6, 6)) / 36
    image = differences.difference_figure(a, b, labels, "x", "y").axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), differences.difference(a, b, labels))
    np.testing.assert_array_equal(image.norm(np.array([-1.0, 0.0, 1.0])), [0, 0.5, 1])


def test_scores_share_limits_that_hold_all_of_them() -> None:
    labels = np.arange(8) % 2
    rng = np.random.default_rng(0)
    pair = [rng.normal(size=(8, 8)), 5 + 3 * rng.normal(size=(8, 8))]
    pair[0][0, 0] = np.nan
    (low, high), up = differences.shared_scores(pair, labels)
    assert low <= np.nanmin(pair[0]) and high >= pair[1].max() and 0 < up <= 100
    option = differences.on_axes({"xAxis": {"scale": True}, "yAxis": {}}, (low, high), up)
    assert option["yAxis"]["max"] >= up and not option["xAxis"]["scale"]


def test_maps_face_one_another() -> None:
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 30, 2))
    frame = layouts.in_units(layouts.Frame(teacher, student))
    turned = layouts.Frame(frame.teacher[:, ::-1] * [1, -1], frame.student[:, ::-1] * [1, -1])
    np.testing.assert_allclose(differences.facing(frame, turned).student, frame.student)


def test_sides_of_one_name_are_called_by_their_runs(folder: Path) -> None:
    write_run(folder / "two")
    one, two = (Watch(folder / name) for name in ("one", "two"))
    assert pairing.names(Side(one, "crd"), Side(two, "plain")) == ("crd", "plain")
    names = pairing.names(Side(one, "crd"), Side(two, "crd"))
    assert names == ("crd of one", "crd of two")
    colours = differences.colours(Side(one, "crd"), Side(two, "crd"))
    assert colours[0] != colours[1]


# ------------------------------------------------------------------------------------ the page


def page(**address: str) -> AppTest:
    """Open the compare page, without any exception."""
    app = AppTest.from_file(APP, default_timeout=60).run()
    for name, value in address.items():
        app.query_params[name] = value
    app.switch_page("lab/pages/compare.py").run()
    assert not app.exception, app.exception
    return app


def rerun(app: AppTest) -> None:
    app.run()
    assert not app.exception, app.exception


def said(app: AppTest, key: str) -> str:
    """Return what the address says of a key."""
    value: Any = app.query_params[key]
    return str(value[-1] if isinstance(value, list) else value)


def text(app: AppTest) -> str:
    return " ".join(element.value for element in app.markdown)


def test_two_arms_of_a_run_side_by_side(folder: Path) -> None:
    app = page(a="one", arm_a="crd", arm_b="wcord+kd")
    charts = app.get("echarts_chart")
    assert len(charts) == 9 and all(element.proto.alt for element in charts)
    ids = " ".join(element.proto.id for element in charts)
    assert all(f"-{key}" in ids for key in CHARTS)
    assert not app.error
    assert "right on the same of 60 held-out samples" in text(app)  # the made-up run is perfect
    assert shown(app.selectbox, "b").value == "one"


def test_choices_go_into_the_address_and_come_from_it(folder: Path) -> None:
    write_run(folder / "two", seed=1)
    app = page(a="one")
    assert (shown(app.selectbox, "arm_a").value, shown(app.selectbox, "arm_b").value) == (
        "wcord",
        "plain",
    )
    shown(app.selectbox, "b").set_value("two")
    rerun(app)
    shown(app.selectbox, "arm_b").set_value("crd")
    rerun(app)
    assert all(said(app, key) == value for key, value in (("b", "two"), ("arm_b", "crd")))
    again = page(a="one", b="two", arm_b="crd")
    assert (
        shown(again.selectbox, "b").value == "two"
        and shown(again.selectbox, "arm_b").value == "crd"
    )


def test_one_step_for_both(folder: Path) -> None:
    write_run(folder / "two", epochs=2, seed=1)
    app = page(a="one", b="two", step="42")
    assert not app.error  # the later steps of the one are not compared with anything
    expected = Watch(folder / "one").snapshot(28).values("wcord")["same_class_mass"]
    assert app.metric[0].value == f"{expected:.2f}"


def test_paired_accuracy_counts_the_stored_predictions(folder: Path) -> None:
    from safetensors.numpy import load, save

    file = folder / "one" / "snapshots" / "42.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])["__metadata__"]
    arrays = load(content)
    wrong = arrays["plain/prediction"].copy()
    wrong[:12] = (wrong[:12] + 1) % 10
    file.write_bytes(save(arrays | {"plain/prediction": wrong}, header))
    app = page(a="one", arm_a="wcord", arm_b="plain")
    assert "+20.0 points" in text(app) and "A is better" in text(app)
    assert "from the 12 samples" in text(app)


@pytest.mark.parametrize(
    ("settings", "samples", "why"),
    [
        ({"seed": 5}, 60, "seed is"),
        ({"data": {"source": "cifar10"}}, 60, "data.source is"),
        ({}, 50, "looked at on 60 and 50 samples"),
    ],
)
def test_other_samples_are_refused_in_one_line(
    folder: Path, settings: dict[str, Any], samples: int, why: str
) -> None:
    path = write_run(folder / "two", samples=samples)
    change(path, **settings)
    app = page(a="one", b="two")
    assert len(app.error) == 1 and why in app.error[0].value and "\n" not in app.error[0].value
    assert not app.get("echarts_chart")


def test_batches_of_unlike_size_are_refused(folder: Path) -> None:
    write_run(folder / "two", batch=16)
    (error,) = page(a="one", b="two").error
    assert "probe.batch" in error.value


@pytest.mark.parametrize("name", ["../one", "absent", "a/b", "/nowhere"])
def test_an_address_that_is_no_run_is_one_line(folder: Path, name: str) -> None:
    for side in ("a", "b"):
        app = page(**{side: name})
        assert len(app.error) == 1 and "\n" not in app.error[0].value
        assert len(app.get("echarts_chart")) == 9


def test_an_unknown_arm_is_forgotten(folder: Path) -> None:
    app = page(a="one", arm_a="nonsense")
    assert shown(app.selectbox, "arm_a").value in ARMS


def test_a_damaged_snapshot_and_a_run_without_any_are_one_line(folder: Path) -> None:
    (folder / "one" / "snapshots" / "42.safetensors").write_bytes(b"half")
    (error,) = page(a="one").error
    assert "cannot be read" in error.value
    for file in (folder / "one" / "snapshots").iterdir():
        file.unlink()
    assert "No picture" in page(a="one").info[0].value


def test_students_that_answer_nothing_are_not_compared_by_their_answers(folder: Path) -> None:
    path = folder / "one"
    change(path, arms={arm: {"lckt": {"weight": 1.0}} for arm in ARMS})
    summary = {arm: {"linear_probe_accuracy": 80.0 + k} for k, arm in enumerate(ARMS)}
    for seed in (0, 1):
        other = write_run(folder / f"seed-{seed}")
        change(other, arms={arm: {"lckt": {"weight": 1.0}} for arm in ARMS}, seed=seed)
        (other / "summary.json").write_text(json.dumps({"seed": seed, "arms": summary}))
    app = page(a="one")
    assert "neither student was trained to answer" in text(app)
    assert "points** of accuracy" not in text(app)
    assert "+2.0 points of linear probe accuracy, correlation of the two –: no spread" in text(app)


def test_the_terms_that_train_answers_are_those_that_see_logits() -> None:
    from wcord.objectives import TERMS

    seen = {name for name, term in TERMS.items() if term.needs_logits}
    assert seen | {"ce"} == set(pairing.ANSWERING)


def test_seeds_are_told_on_the_page(folder: Path) -> None:
    for seed, gain in enumerate((2.0, 2.1, 1.9)):
        path = write_run(folder / f"seed-{seed}")
        summarise(path, seed, plain=80.0 + seed, wcord=80.0 + seed + gain)
    assert "Over 3 seeds: +2.0 points" in text(page(a="seed-1"))
    write_run(folder / "longer", epochs=4)
    assert "Over seeds nothing is known" in text(page(a="longer"))


@pytest.mark.parametrize("name", ["compare", "tour"])
def test_the_first_picture_does_not_wait_for_torch(folder: Path, name: str) -> None:
    path = str(Path(APP).parent / "lab" / "pages" / f"{name}.py")
    code = (
        "import sys; from streamlit.testing.v1 import AppTest; "
        f"app = AppTest.from_file({path!r}, default_timeout=60).run(); "
        "assert not app.exception; "
        "sys.exit(', '.join({'torch', 'ot', 'umap', 'sklearn'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
