"""Tests of results/: every table follows from its values, and its settings still run."""

from __future__ import annotations

import itertools
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from statsmodels.stats.multitest import multipletests

import wcord
from lab.course.tour_stops import STOPS
from studies import measure
from studies.__main__ import main
from studies.heads import head_of, head_values
from studies.picture import PICTURES, SHOWN, draw_pictures, shares
from studies.report import by_arm, chosen_trials, difference_text, differences, report
from studies.study import Study, find_studies, load_studies, run_label
from wcord.runs.writer import FileWriter, create
from wcord.training.prepare import Overrides, prepare
from wcord.training.probe import gradient_norms

RESULTS = Path(__file__).parents[1] / "results"
STUDIES = load_studies()


@pytest.mark.parametrize("name", STUDIES)
def test_settings_of_a_study_are_valid_in_its_presets(name: str) -> None:
    study = STUDIES[name]
    for preset in study.presets:
        assert preset in wcord.presets()
        cells = study.cells(preset)
        assert [(label, cell.experiment.seed) for label, cell in cells] == [
            (run_label(run), seed) for run in study.runs for seed in study.seeds
        ]
        arms = set(cells[0][1].variants)
        assert study.against is None or study.against in arms
        if study.experiment(preset).same_labels:
            assert arms.issuperset(arm for pair in study.differences for arm in pair)


@pytest.mark.parametrize("name", STUDIES)
def test_a_table_has_every_seed_and_arm_and_gives_the_text(name: str) -> None:
    study, table = STUDIES[name], pd.read_csv(RESULTS / f"{name}.csv")
    for preset in study.presets:
        values = table[table["preset"] == preset]
        arms = set(study.cells(preset)[0][1].variants)
        if study.measure == "gradients":
            arms = {f"{arm}, epoch {epoch}" for arm in arms for epoch in study.epochs}
        runs = [run_label(run) for run in study.runs]
        run_of_row = values.get("run", pd.Series("", values.index))
        assert sorted(zip(run_of_row, values["seed"], values["arm"], strict=True)) == sorted(
            itertools.product(runs, study.seeds, arms)
        )
    assert set(table["preset"]) == set(study.presets)
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert text == report(name, study, table)


@pytest.mark.parametrize(
    "name", [n for n, s in STUDIES.items() if s.measure in ("results", "heads")]
)
def test_means_in_the_text_are_means_of_the_values(name: str) -> None:
    """By plain arithmetic, without the code that wrote the text."""
    study, table = STUDIES[name], pd.read_csv(RESULTS / f"{name}.csv")
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    sections = text.split("\n## ")[1:] if len(study.presets) > 1 else [text]
    for preset, section in zip(study.presets, sections, strict=True):
        values = table[table["preset"] == preset]
        for arm, rows in values.groupby("arm"):
            match = re.search(rf"^\| {re.escape(str(arm))} \|(.*)$", section, re.M)
            assert match, arm
            cells = [cell.strip() for cell in match[1].split("|")]
            for run, cell in zip(study.runs, cells, strict=False):
                of_run = rows[rows["run"] == run_label(run)] if run else rows
                numbers = [float(v) for v in of_run[study.metrics[0]]]
                mean = sum(numbers) / len(numbers)
                spread = (sum((v - mean) ** 2 for v in numbers) / (len(numbers) - 1)) ** 0.5
                assert [float(part) for part in cell.split(" ± ")] == [
                    pytest.approx(mean, abs=0.00501),
                    pytest.approx(spread, abs=0.00501),
                ]


NUMBER = re.compile(r"[+−]?\d+\.\d+ ± \d+\.\d+|[+−]\d+\.\d+")


def numbers_of(text: str) -> set[str]:
    """Return the numbers with a sign, a spread or both, whole."""
    return set(NUMBER.findall(" ".join(text.replace("*", "").replace("-", "−").split())))


@pytest.mark.parametrize("name", STUDIES)
def test_figures_of_the_index_are_figures_of_the_tables(name: str) -> None:
    index = (RESULTS / "README.md").read_text(encoding="utf-8")
    link = f"]({name}.md)"
    assert index.count(link) == 1
    section = index.split(link)[1].split("\n## ")[0]
    table = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert not numbers_of(section) - numbers_of(table)


def claims_about_wrong_pairs(place: str) -> list[str]:
    """Return the sections of a text that report results on wrong pairs."""
    root = RESULTS.parent
    if place == "tour":
        return [next(stop.cure for stop in STOPS if stop.key == "wrong-pairs")]
    if place == "notebook":
        file = root / "notebooks" / "08_when_transport_helps.ipynb"
        cells = nbformat.read(file, as_version=4).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        return [text for text in texts if numbers_of(text)]
    if place == "README":
        readme = (root / "README.md").read_text(encoding="utf-8")
        return [readme.split("### When transport helps")[1].split("\n#")[0]]
    return (RESULTS / "pairing.md").read_text(encoding="utf-8").split("\n## ")[1:]


@pytest.mark.parametrize("place", ["README", "notebook", "tour", "page"])
def test_claims_about_wrong_pairs_are_in_the_tables_that_they_name(place: str) -> None:
    tables = {
        path.stem: numbers_of(path.read_text(encoding="utf-8"))
        for path in RESULTS.glob("pairing-*.md")
    }
    claims = 0
    for section in claims_about_wrong_pairs(place):
        names = set(re.findall(r"\bpairing-[a-z-]+\b", section))
        known = set().union(*(table for name, table in tables.items() if name in names))
        numbers = numbers_of(section)
        assert not numbers - known
        claims += len(numbers)
    assert claims


@pytest.mark.parametrize(
    ("weights_of", "preset", "name"),
    [
        *[("weights", preset, "tasks") for preset in STUDIES["weights"].presets],
        *[("pairing-weights", preset, "pairing-shares") for preset in STUDIES["weights"].presets],
        ("pairing-weights", "digits-wrong-pairs", None),
        ("pairing-image-weights", "cifar10-wrong-pairs", None),
    ],
)
def test_arms_have_the_chosen_weights(weights_of: str, preset: str, name: str | None) -> None:
    study, table = STUDIES[weights_of], pd.read_csv(RESULTS / f"{weights_of}.csv")
    chosen = chosen_trials(study, table)
    arms = (STUDIES[name].experiment(preset) if name else wcord.load(preset)).arms
    compared = set()
    for trial, (arm, weights) in study.cells(next(iter(study.presets)))[0][1].variants.items():
        if chosen[arm] == trial and arm in arms:
            actual = {key: arms[arm][key.split(".")[-2]].weight for key in weights}
            assert actual == weights, f"{preset}: {arm}"
            compared.add(arm)
    assert compared >= set(arms) - {"plain", "crd published"}


def test_crd_published_has_the_weight_chosen_with_right_pairs() -> None:
    study = STUDIES["weights"]
    chosen = chosen_trials(study, pd.read_csv(RESULTS / "weights.csv"))["crd"]
    assert chosen == "crd crd.weight=0.8"
    for name in ("digits-wrong-pairs", "cifar10-wrong-pairs"):
        crd = wcord.load(name).arms["crd published"]["crd"]
        assert crd.weight == 0.8


@pytest.mark.parametrize("name", [n for n, s in STUDIES.items() if s.measure == "weights"])
def test_weights_are_chosen_without_test_samples_and_on_other_seeds(name: str) -> None:
    study = STUDIES[name]
    assert study.metrics in (["held_out_accuracy"], ["probe_accuracy"])
    assert "test_accuracy" not in pd.read_csv(RESULTS / f"{name}.csv")
    others = [set(s.seeds) for s in STUDIES.values() if s.measure != "weights"]
    assert all(not set(study.seeds) & seeds for seeds in others)
    variants = study.cells(next(iter(study.presets)))[0][1].variants
    counts = pd.Series([arm for arm, _ in variants.values()])
    assert counts.value_counts().nunique() == 1  # as many trials for every arm


SMALL = Study(
    title="Small",
    question="Which?",
    presets={"digits-other-task": {"epochs": 2, "teacher.epochs": 3}},
    seeds=[0, 1],
    change={
        "probe.every": 2,
        "arms": {"plain": {"ce": 1}, "kd": {"ce": 1, "kd": 1}, "lckt": {"ce": 1, "lckt": 0.05}},
    },
    over={"arms.lckt.lckt.weight": [0.05, 1], "arms.kd.kd.weight": [1, 2]},
    metrics=["test_accuracy", "same_class_mass"],
    against="plain",
)


def test_a_study_reports_the_values_of_its_runs_and_reuses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    table = measure.run_study(SMALL)
    arms = ["plain", "lckt lckt.weight=0.05", "lckt lckt.weight=1"]  # kd is not defined here
    assert list(by_arm(table, "test_accuracy")) == arms
    for _, cell in SMALL.cells("digits-other-task"):
        run = wcord.Run(tmp_path / "studies" / "digits-other-task" / cell.name)
        assert run.summary is not None
        last = run.snapshot(run.steps[-1])
        for _, row in table[table["seed"] == cell.experiment.seed].iterrows():
            assert row["test_accuracy"] == run.summary["arms"][row["arm"]]["test_accuracy"]
            assert row["same_class_mass"] == last.values(row["arm"])["same_class_mass"]

    def refuse(*_: object) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr("wcord.analysis.sweep_runs.distill", refuse)
    pd.testing.assert_frame_equal(measure.run_study(SMALL), table)
    text = report("small", SMALL, table)
    assert "`python -m studies small`" in text
    assert len(re.findall(r"\d ± \d", text)) == 6


def made_up_shares(seeds: int = 6) -> pd.DataFrame:
    """Return accuracies of the arms of the picture at two shares, with a common part per seed."""
    rng = np.random.default_rng(5)
    common = rng.normal(80, 4, seeds)
    rows = [
        {"run": f"pairing.broken={share}", "seed": seed, "arm": arm}
        | {"test_accuracy": common[seed] + 2 * place * share + rng.normal(0, 1.5)}
        for share in (0, 0.75)
        for seed in range(seeds)
        for place, arm in enumerate(SHOWN)
    ]
    return pd.DataFrame(rows)


def test_differences_are_paired_t_tests_corrected_by_holm() -> None:
    values = made_up_shares()
    values = values[values["run"] == "pairing.broken=0.75"]
    pairs = [("sinkhorn", "crd"), ("gckt", "identity"), ("sinkhorn", "gckt"), ("crd", "plain")]
    found = differences(values, pairs, "test_accuracy")
    wide = values.pivot(index="seed", columns="arm", values="test_accuracy")
    tests = {(a, b): scipy.stats.ttest_rel(wide[a], wide[b]) for a, b in pairs}
    rejected, adjusted, _, _ = multipletests([t.pvalue for t in tests.values()], method="holm")
    assert 0 < sum(rejected) < len(pairs)
    for (pair, test), p, is_other in zip(tests.items(), adjusted, rejected, strict=True):
        interval = test.confidence_interval(0.95)
        assert found[pair].low == pytest.approx(interval.low)
        assert found[pair].high == pytest.approx(interval.high)
        assert found[pair].p == pytest.approx(p)
        assert (found[pair].verdict in ("better", "worse")) == is_other


def test_a_comparison_without_spread_counts_in_holms_correction() -> None:
    values = made_up_shares()
    values = values[values["run"] == "pairing.broken=0.75"]
    twin = values[values["arm"] == "gckt"].assign(arm="twin")
    pairs = [("gckt", "twin"), ("sinkhorn", "crd")]
    found = differences(pd.concat([values, twin]), pairs, "test_accuracy")
    alone = differences(values, pairs[1:], "test_accuracy")[pairs[1]]
    assert found[pairs[1]].p == pytest.approx(2 * alone.p)
    assert np.isnan(found[pairs[0]].p) and found[pairs[0]].difference == 0


def test_a_difference_without_spread_has_no_interval() -> None:
    values = pd.DataFrame({"seed": [0, 1] * 2, "arm": ["a", "a", "b", "b"], "x": [1.0, 2, 3, 4]})
    found = differences(values, [("b", "a")], "x")["b", "a"]
    assert difference_text(found) == "+2.00"


def test_the_right_answer_of_the_tour_is_what_the_preset_does() -> None:
    """CRD is not better than the plain student at 80 % wrong pairs, and 12 points without."""
    table = pd.read_csv(RESULTS / "pairing-presets.csv")
    pair = ("crd published", "plain")
    wrong, right = (
        differences(table[table["run"] == f"pairing.broken={share}"], [pair], "test_accuracy")
        for share in ("0.8", "0")
    )
    assert wrong[pair].verdict != "better"
    assert right[pair].verdict == "better" and round(right[pair].difference) == 12


def test_the_picture_shows_means_and_their_intervals() -> None:
    values = made_up_shares()
    figure = shares({"digits-compression": values})
    above, below = figure.axes
    for container, arm in zip(above.containers, SHOWN, strict=True):
        line, _, (bars,) = container.lines
        segments = np.array(bars.get_segments())
        for place, share in enumerate((0, 0.75)):
            chosen = (values["run"] == f"pairing.broken={share}") & (values["arm"] == arm)
            numbers = values[chosen]["test_accuracy"]
            interval = scipy.stats.t.interval(
                0.95, len(numbers) - 1, numbers.mean(), scipy.stats.sem(numbers)
            )
            assert line.get_xydata()[place] == pytest.approx([share, numbers.mean()])
            assert segments[place, :, 1] == pytest.approx(interval)
    assert [text.get_text() for text in above.get_legend().get_texts()] == list(SHOWN.values())
    line, _, (bars,) = below.containers[0].lines
    wide = by_arm(values[values["run"] == "pairing.broken=0.75"], "test_accuracy")
    test = scipy.stats.ttest_rel(wide["sinkhorn"], wide["identity"])
    assert line.get_ydata()[1] == pytest.approx((wide["sinkhorn"] - wide["identity"]).mean())
    interval = test.confidence_interval(0.95)
    assert np.array(bars.get_segments())[1, :, 1] == pytest.approx([interval.low, interval.high])


def test_pictures_are_drawn_from_the_tables_of_a_folder(tmp_path: Path) -> None:
    assert draw_pictures(tmp_path) == []
    for name in ("pairing-shares", "pairing-images"):
        table = (RESULTS / f"{name}.csv").read_bytes()
        (tmp_path / f"{name}.csv").write_bytes(table)
    assert [path.name for path in draw_pictures(tmp_path)] == list(PICTURES)
    assert all((RESULTS / name).exists() for name in PICTURES)


def test_a_study_with_several_runs_has_a_column_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    changes: dict[str, Any] = {
        "runs": [{"batch": 32}, {"batch": 64, "pairing.broken": 0.5}],
        "differences": [("lckt", "plain"), ("kd", "plain")],
        "over": {},
        "metrics": ["test_accuracy", "lckt.true_partner_mass"],
    }
    study = SMALL.model_copy(update=changes)
    table = measure.run_study(study)
    labels = ["batch=32", "batch=64, pairing.broken=0.5"]
    assert list(dict.fromkeys(table["run"])) == labels
    for label, cell in study.cells("digits-other-task"):
        run = wcord.Run(tmp_path / "studies" / "digits-other-task" / cell.name)
        assert run.settings.batch == (32 if label == labels[0] else 64)
        assert run.summary is not None
        rows = table[(table["run"] == label) & (table["seed"] == cell.experiment.seed)]
        for _, row in rows.iterrows():
            assert row["test_accuracy"] == run.summary["arms"][row["arm"]]["test_accuracy"]
    masses = table.dropna()["lckt.true_partner_mass"]
    assert len(masses) == 2 and masses.between(0, 1).all()  # two seeds of lckt, wrong pairs
    text = report("small", study, table)
    assert "| test accuracy | batch=32 | batch=64, pairing.broken=0.5 |" in text
    assert "| lckt − plain | " in text and "kd − plain" not in text  # not defined here
    assert "| lckt | – | " in text


def test_a_metric_that_no_arm_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    study = SMALL.model_copy(update={"metrics": ["test_accuracy", "true_partner_mas"]})
    with pytest.raises(ValueError, match="no arm has the metrics true_partner_mas"):
        measure.run_study(study)


def test_differences_need_runs() -> None:
    settings = SMALL.model_dump() | {"differences": [["gckt", "plain"]]}
    with pytest.raises(ValueError, match="list the runs"):
        Study.model_validate(settings)
    assert Study.model_validate(settings | {"runs": [{"epochs": 2}]}).differences


def test_a_first_word_names_several_studies() -> None:
    found = find_studies("pairing")
    assert len(found) > 3 and all(name.startswith("pairing-") for name in found)
    assert list(find_studies("plans")) == ["plans"]
    assert set(find_studies("all")) == set(STUDIES)


def test_gradient_norms_of_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    changes = {"measure": "gradients", "epochs": [0, 2], "metrics": ["ce", "lckt", "kd", "total"]}
    table = measure.run_study(SMALL.model_copy(update=changes))
    assert set(table["arm"]) == {
        f"{arm}, epoch {e}"
        for arm in ("plain", "lckt lckt.weight=0.05", "lckt lckt.weight=1")
        for e in (0, 2)
    }
    wide = table[table["seed"] == 0].set_index("arm")
    assert wide.loc["plain, epoch 0", "ce"] == pytest.approx(wide.loc["plain, epoch 0", "total"])
    assert wide["kd"].isna().all()
    weak, strong = (wide["lckt"][f"lckt lckt.weight={w}, epoch 0"] for w in (0.05, 1))
    assert strong == pytest.approx(20 * weak)  # at the same first batch
    assert (wide["ce"] > 0).all()


def test_gradient_norms_are_those_of_the_closed_form_and_change_nothing(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    settings = short.replace({"arms": {"hint": {"ce": 1, "hint": 3, "lckt": 0}}})
    writer = FileWriter(create(tmp_path / "run", settings.yaml()))
    prepared = prepare(settings, writer, torch.device("cpu"), Overrides(), False)
    (arm,), inputs = prepared.arms, prepared.task.at(0)
    before = {key: value.clone() for key, value in arm.state().items()}
    norms = gradient_norms(arm, inputs)
    writer.close()
    assert all(torch.equal(value, before[key]) for key, value in arm.state().items())
    hint: Any = arm.objective.terms["hint"]
    features = deepcopy(arm.student).train()(inputs.images).features
    residual = hint.regress(features) - inputs.teacher.features / hint.scale
    gradient = 3 * 2 / residual.numel() * residual @ hint.regress.weight
    assert norms["hint"] == pytest.approx(gradient.norm().item(), rel=1e-5)
    assert norms["lckt"] == 0
    assert norms["total"] <= norms["ce"] + norms["hint"]


def test_heads_are_those_of_a_run_and_only_the_head_learns_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path))
    arms = {
        "once": {"ce": 1, "hint": 1},
        "thrice": {"ce": 1, "hint": 1},
        "same": {"ce": 1, "hint": 1},
    }
    study = Study(
        title="", question="", measure="heads", presets=["digits-compression"], seeds=[0],
        change={"epochs": 2, "teacher.epochs": 2, "probe.enabled": False, "arms": arms},
        head_rates={"once": 1, "thrice": 3}, metrics=["test_accuracy", "head_norm", "label_loss"],
    )  # fmt: skip
    table = measure.run_study(study).set_index("arm")
    same, once, thrice = (table.loc[arm, study.metrics] for arm in ("same", "once", "thrice"))
    assert (once == same).all()  # an optimizer of its own changes nothing at the same rate
    assert thrice["label_loss"] < same["label_loss"]
    (_, cell), *_ = study.cells("digits-compression")
    run = wcord.distill(cell.experiment, progress=False)
    assert run.summary is not None
    assert run.summary["arms"]["same"]["test_accuracy"] == same["test_accuracy"]
    matrix = run.student("same").get_parameter("classifier.weight")
    assert matrix.norm().item() == pytest.approx(same["head_norm"])


def test_the_fitted_head_uses_the_labels_and_features_of_the_student(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    writer = FileWriter(create(tmp_path / "run", short.yaml()))
    prepared = prepare(short, writer, torch.device("cpu"), Overrides(), False)
    arm, labelled = prepared.arms[0], prepared.task.data.labelled
    with torch.no_grad():
        head_of(arm.student).get_parameter("weight").zero_()
        head_of(arm.student).get_parameter("bias").zero_()
    values = head_values(prepared, arm)
    writer.close()
    classes = len(prepared.task.labels[labelled].unique())
    assert values["label_loss"] == pytest.approx(np.log(classes))
    assert values["head_norm"] == 0
    assert values["fitted_accuracy"] > values["test_accuracy"] + 10  # without the student's head


def test_rates_of_heads_are_for_the_measure_heads() -> None:
    with pytest.raises(ValueError, match="the measure heads alone"):
        Study.model_validate(SMALL.model_dump() | {"head_rates": {"plain": 3}})


def test_unknown_studies_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weigths"]) == 2
    assert "did you mean 'weights'?" in capsys.readouterr().err
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in STUDIES)
