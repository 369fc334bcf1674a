"""Wrong pairs: which sample the teacher sees, what banks hold, and what a plan recovers of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_faster_networks import FREE, settings_of
from test_step_graph import Anywhere, step_of
from torch import Tensor

import wcord
from wcord.compute.random_draws import WrongPairs
from wcord.compute.seeds import generator
from wcord.data.augment import augment_split, draws
from wcord.models import Output
from wcord.objectives import TERMS
from wcord.objectives.lckt import LCKT
from wcord.objectives.partner_masses import partner_masses
from wcord.objectives.term import Batch, Shapes
from wcord.settings.messages import SettingsError
from wcord.training.loop import Training
from wcord.transport import cosine_cost, sinkhorn

seeds = st.integers(0, 10**6)
TERMS_OF_ALL: dict[str, Any] = {"ce": {}, "kd": {}, "gckt": {"dim": 16}, "lckt": {"weight": 2}}
CROPPED = {"data.augment": "crop-flip"}


def wrong_step(terms: dict[str, Any], **changes: Any) -> Anywhere:
    dotted = {key.replace("_", ".", 1): value for key, value in changes.items()}
    return step_of(settings_of(terms).replace(dotted))


# --- the permutation -------------------------------------------------------------------------


@given(st.integers(1, 40), st.floats(0, 1), seeds)
def test_wrong_pairs_by_counting(size: int, broken: float, seed: int) -> None:
    """A permutation in which the right number of rows have another's partner."""
    partners = WrongPairs(size, broken)(torch.Generator().manual_seed(seed)).tolist()
    assert sorted(partners) == list(range(size))
    wrong = sum(row != partner for row, partner in enumerate(partners))
    expected = round(broken * size)
    assert wrong == expected or (expected == 1 and wrong == min(2, size) * (size > 1))


def test_every_wrong_pairing_is_drawn_equally_often() -> None:
    """By listing them: of 5 rows 3 are broken, which exchange partners in one of two cycles."""
    possible = {
        tuple(partners)
        for partners in itertools.permutations(range(5))
        if sum(row != partner for row, partner in enumerate(partners)) == 3
    }
    assert len(possible) == 20
    counts = dict.fromkeys(possible, 0)
    for seed in range(4000):
        counts[tuple(WrongPairs(5, 0.6)(torch.Generator().manual_seed(seed)).tolist())] += 1
    statistic = sum((n - 200) ** 2 / 200 for n in counts.values())
    assert statistic < 43.8  # chi-square with 19 degrees of freedom, p = 0.001


# --- what the networks see -------------------------------------------------------------------


def test_within_the_batch_rows_get_the_teachers_answer_of_a_drawn_row() -> None:
    terms = TERMS_OF_ALL | {"at": {}}  # at needs feature maps
    clean, wrong = wrong_step(terms).task, wrong_step(terms, pairing_broken=0.8).task
    orders = []
    for step in (0, 7):
        a, b = clean.at(step), wrong.at(step)
        partners = WrongPairs(64, 0.8)(generator(0, "pairing", step))
        assert int((partners != torch.arange(64)).sum()) == 51
        assert torch.equal(a.images, b.images) and torch.equal(a.batch.index, b.batch.index)
        assert torch.equal(a.batch.label, b.batch.label) and a.batch.teacher_row is None
        for row, partner in enumerate(partners.tolist()):
            assert torch.equal(b.teacher.features[row], a.teacher.features[partner])
            assert torch.equal(b.teacher.logits[row], a.teacher.logits[partner])
            assert b.teacher.maps
            for got, known in zip(b.teacher.maps, a.teacher.maps, strict=True):
                assert torch.equal(got[row], known[partner])
        assert b.batch.teacher_row is not None and torch.equal(b.batch.teacher_row, partners)
        orders.append(partners)
    assert not torch.equal(*orders)


@pytest.mark.parametrize("terms", [{"ce": {}, "kd": {}}, {"ce": {}, "at": {}}], ids=["kd", "maps"])
def test_within_the_data_every_sample_keeps_its_wrong_partner(terms: dict[str, Any]) -> None:
    clean = wrong_step(terms).task
    wrong = wrong_step(terms, pairing_broken=0.8, pairing_within="data").task
    partner = WrongPairs(718, 0.8)(generator(0, "pairing-data"))
    for step in (0, 3, 12):  # the last is in the second epoch
        a, b = clean.at(step), wrong.at(step)
        assert torch.equal(a.images, b.images) and b.batch.teacher_row is None
        index = partner[a.batch.index]
        split = clean._sampler.augmented(clean.data.train.take(index), index)
        expected = clean.teacher_output(clean.batch(index, step), split)
        torch.testing.assert_close(b.teacher.features, expected.features)
        torch.testing.assert_close(b.teacher.logits, expected.logits)
        for got, known in zip(b.teacher.maps, expected.maps, strict=True):
            torch.testing.assert_close(got, known)


def test_different_crops_are_independent_and_leave_the_students_images_as_they_were() -> None:
    terms = {"ce": {}, "kd": {}}
    shared = wrong_step(terms, data_augment="crop-flip").task
    apart = wrong_step(terms, data_augment="crop-flip", augment_shared=False).task
    for step in (0, 12):
        a, b = shared.at(step), apart.at(step)
        assert torch.equal(a.images, b.images)
        assert not torch.equal(a.teacher.logits, b.teacher.logits)
        index, epoch = b.batch.index, step // 11
        padding = apart.experiment.data.padding
        offsets, flips = draws(0, epoch, 718, padding, "augment-teacher")
        crop = augment_split(
            apart.data.train.take(index), offsets[index], flips[index], padding,
            apart.experiment.data.border,
        )  # fmt: skip
        expected = apart.teacher(apart.teacher_input.images_of(crop))
        torch.testing.assert_close(b.teacher.logits, expected.logits)
    names = ("augment", "augment-teacher")
    of_student, of_teacher = (draws(0, 0, 4000, 2, name)[0] for name in names)
    agreement = (of_student == of_teacher).float().mean()  # five offsets: one in five by chance
    assert agreement == pytest.approx(0.2, abs=0.02)


def test_the_negatives_class_of_a_sample_without_a_label_is_that_of_its_partner() -> None:
    terms = {"ce": {}, "kd": {}}
    for changes in ({}, {"pairing_within": "data"}):
        task = wrong_step(terms, pairing_broken=0.8, **changes).task
        predicted = task.cached.logits.argmax(1)
        inputs = task.at(0)
        seen = task.pairing.partner[inputs.batch.index]
        if inputs.batch.teacher_row is not None:
            seen = seen[inputs.batch.teacher_row]
        for row, sample in enumerate(inputs.batch.index.tolist()):
            known = bool(task.data.labelled[sample])
            expected = task.labels[sample] if known else predicted[seen[row]]
            assert inputs.batch.group[row] == expected


@pytest.mark.parametrize("within", ["batch", "data"])
def test_banks_begin_with_the_pairs_that_training_sees(within: str) -> None:
    banks = []
    for broken in (0.0, 0.8):
        step = wrong_step({"ce": {}, "gckt": {}}, pairing_broken=broken, pairing_within=within)
        bank: Any = step.arms[0].objective.terms["gckt"]
        banks.append((bank.teacher_bank.embeddings, bank.student_bank.embeddings))
    (teacher, student), (wrong, same) = banks
    purpose = "pairing-bank" if within == "batch" else "pairing-data"
    partner = WrongPairs(718, 0.8)(generator(0, purpose))
    torch.testing.assert_close(student, same)
    torch.testing.assert_close(wrong, teacher[partner])


# --- what a plan recovers --------------------------------------------------------------------


@given(st.integers(2, 12), st.floats(0.2, 1), seeds)
def test_partner_masses_by_loops(n: int, broken: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    plan = draw.dirichlet(np.ones(n), n) / n
    partner = WrongPairs(n, broken)(torch.Generator().manual_seed(seed)).tolist()
    rows = [row for row in range(n) if partner[row] != row]
    got = partner_masses(torch.from_numpy(plan), torch.tensor(partner))
    if not rows:
        assert all(mass.isnan() for mass in got)
        return
    true = sum(plan[row, partner[row]] for row in rows) / sum(plan[row].sum() for row in rows)
    wrong = sum(plan[row, row] for row in rows) / sum(plan[row].sum() for row in rows)
    assert [float(mass) for mass in got] == pytest.approx([true, wrong])


def test_the_plan_of_clear_features_finds_the_true_partners() -> None:
    """The plan does not know the pairing: it recovers what the features say, 0 or 1."""
    features = torch.eye(16, dtype=torch.float64)
    partner = WrongPairs(16, 0.75)(torch.Generator().manual_seed(0))
    plan = sinkhorn(cosine_cost(features[partner], features), 0.02, iterations=200).plan
    true, wrong = partner_masses(plan, partner)
    assert float(true) == pytest.approx(1) and float(wrong) == pytest.approx(0, abs=1e-6)


@given(seeds)
def test_masses_of_the_probe_are_those_of_a_plan_of_wrong_pairs(seed: int) -> None:
    """The probe permutes the plan of right pairs: solving with permuted rows gives the same."""
    draw = torch.Generator().manual_seed(seed)
    t, s = (torch.randn(12, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    partner = WrongPairs(12, 0.7)(draw)
    right = sinkhorn(cosine_cost(t, s), 0.1, iterations=300).plan
    wrong = sinkhorn(cosine_cost(t[partner], s), 0.1, iterations=300).plan
    torch.testing.assert_close(
        partner_masses(right[partner], partner), partner_masses(wrong, partner)
    )


@pytest.mark.parametrize("plan", ["sinkhorn", "ipot", "exact", "identity"])
def test_lckt_logs_the_masses_of_its_plan_and_no_loss_reads_the_partner(plan: str) -> None:
    draw = torch.Generator().manual_seed(0)
    shapes = Shapes(6, 6, 3, 3, True, 20)
    teacher, student = (
        Output(torch.randn(8, 6, generator=draw), torch.randn(8, 3, generator=draw))
        for _ in range(2)
    )
    rows = torch.arange(8)
    right = Batch(rows, rows % 3, rows < 5, rows % 3, 0, 0)
    partner = WrongPairs(8, 0.75)(draw)
    wrong = Batch(rows, rows % 3, rows < 5, rows % 3, 0, 0, teacher_row=partner)
    term = LCKT(LCKT.Settings(plan=plan), shapes, 0)  # type: ignore[arg-type]
    loss = term(right, teacher, student, {})
    assert not any("partner" in name for name in term.logs)
    assert torch.equal(term(wrong, teacher, student, {}), loss)
    names = {"true_partner_mass", "wrong_partner_mass"}
    assert (names <= term.logs.keys()) == (plan != "identity")
    if plan == "exact":  # a permutation: a row's mass is on one column
        cost = cosine_cost(teacher.features, term.embed(teacher.features, student.features)[1])
        found = min(
            itertools.permutations(range(8)), key=lambda p: sum(cost[i, j] for i, j in enumerate(p))
        )
        broken = [row for row in range(8) if partner[row] != row]
        expected = sum(found[row] == int(partner[row]) for row in broken) / len(broken)
        assert float(term.logs["true_partner_mass"]) == pytest.approx(expected)


@pytest.mark.parametrize("terms", FREE.values(), ids=FREE)
def test_no_loss_depends_on_the_pairing_that_only_measurements_know(terms: dict[str, Any]) -> None:
    """The same outputs with and without the rows they came from."""
    losses = []
    for known in (True, False):
        step = wrong_step({"ce": {}} | terms, pairing_broken=0.8)
        inputs = step.task.at(0)
        batch = inputs.batch if known else replace(inputs.batch, teacher_row=None)
        assert (batch.teacher_row is not None) == known
        (arm,) = step.arms
        student = arm.student(inputs.images, maps=arm.maps)
        losses.append(arm.objective(batch, inputs.teacher, student)[0])
    assert torch.equal(*losses)


# --- runs ------------------------------------------------------------------------------------


WRONG: list[dict[str, Any]] = [
    {"pairing.broken": 0.8},
    {"pairing.broken": 0.8, "pairing.within": "data"},
    CROPPED | {"augment.shared": False, "pairing.broken": 0.5},
]


def weights(run: wcord.Run, arm: str) -> dict[str, Tensor]:
    return dict(run.student(arm).state_dict())


@pytest.mark.parametrize("changes", WRONG, ids=["batch", "data", "crops"])
def test_arms_are_equal_alone_and_together_and_a_resumed_run_is_as_never_stopped(
    changes: dict[str, Any], short: wcord.Experiment, tmp_path: Path, monkeypatch: Any
) -> None:
    arms = {
        "crd": {"ce": 1, "crd": {"dim": 16, "negatives_count": 50}},
        "wcord": {"ce": 1, "gckt": {"dim": 16}, "lckt": 2},
    }
    settings = short.replace(changes | {"arms": arms})
    whole = wcord.distill(settings, tmp_path / "whole", progress=False)
    for arm, terms in arms.items():
        one = settings.replace({"arms": {arm: terms}})
        alone = wcord.distill(one, tmp_path / arm, progress=False)
        assert all(torch.equal(w, weights(whole, arm)[k]) for k, w in weights(alone, arm).items())

    log_due = Training.log_due

    def stop(training: Training) -> None:
        log_due(training)
        if training.step == 17:
            training.write_checkpoint()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "log_due", stop)
        wcord.distill(settings, tmp_path / "stopped", progress=False)
    resumed = wcord.resume(tmp_path / "stopped", progress=False)
    pd.testing.assert_frame_equal(resumed.metrics(), whole.metrics())
    for arm in arms:
        assert all(torch.equal(w, weights(whole, arm)[k]) for k, w in weights(resumed, arm).items())
    names = set(whole.metrics()["name"])
    assert ("true_partner_mass" in names) == ("pairing.within" not in changes)
    assert ("lckt.true_partner_mass" in names) == ("pairing.within" not in changes)


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairing.broken": -0.1}, "pairing.broken: input should be greater than or equal to 0"),
        ({"pairing.broken": 1.5}, "pairing.broken: input should be less than or equal to 1"),
        ({"pairing.broken": "most"}, "pairing.broken: input should be a valid number"),
        ({"pairing.brokn": 0.5}, "did you mean 'broken'"),
        ({"pairing.within": "epoch"}, "pairing.within: input should be 'batch' or 'data'"),
        ({"pairing.broken": 0.001}, "pairing.broken: 0.001 of a batch of 64 rounds to no sample"),
        (
            {"augment.shared": False, "data.augment": "none"},
            "augment.shared is false, but data.augment is 'none'",
        ),
        ({"augment.shard": False}, "did you mean 'shared'"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of({"ce": {}}).replace(changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_share_of_no_sample_in_the_whole_data_is_refused(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    settings = short.replace({"pairing.broken": 0.0005, "pairing.within": "data"})
    with pytest.raises(SettingsError) as caught:
        wcord.distill(settings, tmp_path / "run", progress=False)
    assert "0.0005 of 718 samples rounds to no sample" in str(caught.value)


def test_a_probe_too_small_for_wrong_pairs_measures_no_masses(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    changes = {"pairing.broken": 0.02, "probe.batch": 10, "epochs": 1, "arms": {"a": {"ce": 1}}}
    run = wcord.distill(short.replace(changes), tmp_path / "run", progress=False)
    assert "true_partner_mass" not in run.snapshot().values("a")
    assert not run.metrics()["value"].isna().any()


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of({"ce": {}}).replace({"batch": 1, "pairing.broken": 0.8})
    assert "\n" not in str(caught.value) and "batch" in str(caught.value)


def test_a_term_that_needs_the_right_partner_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(term.needs_right_pairs for term in TERMS.values())
    monkeypatch.setattr(LCKT, "needs_right_pairs", True)
    experiment = settings_of({"ce": {}, "lckt": {}})
    with pytest.raises(SettingsError, match="lckt needs the right partner of every sample: set"):
        experiment.replace({"pairing.broken": 0.5})
