"""gckt and crd against loops over single scores, and every trap of the two."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from wcord.critic import DotCritic
from wcord.models import Output
from wcord.objectives import TERMS
from wcord.objectives.contrastive import Contrastive
from wcord.objectives.critic_losses import Scores, difference, infonce, nce, wasserstein
from wcord.objectives.negatives import NegativeSampler, NegativeSet
from wcord.objectives.normalising_constant import Normaliser
from wcord.objectives.term import Batch, FirstPassBatch, Shapes

N, TEACHER, STUDENT, CLASSES, BATCH = 40, 7, 5, 4, 6
SHAPES = Shapes(TEACHER, STUDENT, CLASSES, CLASSES, True, N)
seeds = st.integers(0, 2**31)
quick = settings(max_examples=40)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


H_T, H_S = draw(1, N, TEACHER).relu(), draw(2, N, STUDENT).relu() + 0.1
LABEL = torch.arange(N) % CLASSES
LOGITS = torch.zeros(N, CLASSES)


def first_pass() -> Iterator[FirstPassBatch]:
    for index in torch.arange(N).flip(0).split(11):
        teacher, student = Output(H_T[index], LOGITS[index]), Output(H_S[index], LOGITS[index])
        yield FirstPassBatch(index, LABEL[index], teacher, student)


def build(name: str, seed: int = 0, **changes: Any) -> Contrastive:
    torch.manual_seed(seed)
    term = TERMS[name](TERMS[name].Settings.model_validate(changes), SHAPES, seed)
    assert isinstance(term, Contrastive)
    term.fill_banks(first_pass)
    return term


def batch_at(step: int) -> tuple[Batch, Output, Output]:
    index = torch.randperm(N, generator=torch.Generator().manual_seed(step))[:BATCH]
    labelled = torch.ones(BATCH, dtype=torch.bool)
    batch = Batch(index, LABEL[index], labelled, LABEL[index], step, 0)
    teacher = Output(H_T[index] + 0.3 * draw(step + 50, BATCH, TEACHER), LOGITS[index])
    student = Output(H_S[index] + 0.3 * draw(step + 90, BATCH, STUDENT), LOGITS[index])
    return batch, teacher, student


# ------------------------------------------------------------------- whole terms against loops


def negatives_by_loop(negatives: NegativeSet, anchor: int) -> list[int]:
    """The bank rows that an anchor is compared with, as a plain list."""
    if negatives.rows is not None:
        return negatives.rows[anchor].tolist()
    columns = range(N) if negatives.columns is None else negatives.columns.tolist()
    assert negatives.allowed is not None
    return [c for k, c in enumerate(columns) if negatives.allowed[anchor, k]]


def loss_by_loop(term: Contrastive, batch: Batch, teacher: Output, student: Output) -> float:
    """The formulas of the docstrings, score by score, in Python floats."""
    critic, tau = term.critic, term.settings.temperature
    z_t, z_s = term.embed(teacher.features, student.features)
    negatives = term.negatives.draw(batch, f"{term.name}-negatives")
    over = tau if getattr(term.settings, "critic", "dot") == "joint" else 1.0

    def g(anchor: int, row: int, side: str) -> float:
        u = term.teacher_bank.embeddings[row] if side == "student" else z_t[anchor]
        v = z_s[anchor] if side == "student" else term.student_bank.embeddings[row]
        return critic.pair(u[None], v[None]).item() / over  # type: ignore[operator]

    total = 0.0
    for side in ("student", "teacher"):
        plus = [g(i, int(batch.index[i]), side) for i in range(BATCH)]
        minus = [[g(i, r, side) for r in negatives_by_loop(negatives, i)] for i in range(BATCH)]
        everything = [x for row in minus for x in row]
        if term.normalisers[side].kind == "first_batch":
            everything += plus
        c = sum(map(math.exp, everything)) / len(everything)
        for p, row in zip(plus, minus, strict=True):
            total += LOOPS[term.form](p, row, c, tau, term.summed) / BATCH
    return total


def wasserstein_by_loop(p: float, row: list[float], c: float, tau: float, summed: bool) -> float:
    return -tau * (p - (sum(row) if summed else sum(row) / len(row)))


def nce_by_loop(p: float, row: list[float], c: float, tau: float, summed: bool) -> float:
    def q(x: float) -> float:
        return math.exp(x) / (math.exp(x) + len(row) * c)

    return -math.log(q(p)) - sum(math.log(1 - q(x)) for x in row)


def infonce_by_loop(p: float, row: list[float], c: float, tau: float, summed: bool) -> float:
    return -(p - math.log(sum(math.exp(x) for x in [p, *row]) / (len(row) + 1)))


LOOPS = {"wasserstein": wasserstein_by_loop, "nce": nce_by_loop, "infonce": infonce_by_loop}
CASES = [
    {"form": form, "critic": critic, "negatives": kind, "negatives_count": count}
    for form, critic, kind, count in itertools.product(
        LOOPS, ("dot", "joint"), ("any", "other_class"), (None, 13)
    )
]
CASES += [{"scale": "sum"}, {"form": "nce", "normalise": "after", "normaliser": "first_batch"}]
CASES += [{"scale": "sum", "negatives": "other_class", "negatives_count": 9}]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_gckt_equals_loops(case: dict[str, Any]) -> None:
    term = build("gckt", dim=4, temperature=0.3, width=8, **case)
    batch, teacher, student = batch_at(0)
    expected = loss_by_loop(term, batch, teacher, student)
    assert term(batch, teacher, student, {}).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("count", [None, 13, 10_000])
def test_crd_equals_the_published_formula(count: int | None) -> None:
    """P = e^g / Z with Z = N mean(e^g), Pn = 1 / N, and the code's eps of 1e-7, by loops."""
    term = build("crd", dim=4, negatives_count=count)
    batch, teacher, student = batch_at(0)
    z_t, z_s = term.embed(teacher.features, student.features)
    negatives = term.negatives.draw(batch, "crd-negatives")
    total, eps = 0.0, 1e-7
    sides = ((z_s, term.teacher_bank.embeddings), (z_t, term.student_bank.embeddings))
    for anchors, bank in sides:
        rows = [[int(batch.index[i]), *negatives_by_loop(negatives, i)] for i in range(BATCH)]
        powers = [[math.exp(anchors[i] @ bank[r] / 0.07) for r in rows[i]] for i in range(BATCH)]
        flat = [x for row in powers for x in row]
        z = N * sum(flat) / len(flat)
        for row in powers:
            m = len(row) - 1
            total -= math.log(row[0] / z / (row[0] / z + m / N + eps)) / BATCH
            total -= sum(math.log(m / N / (x / z + m / N + eps)) for x in row[1:]) / BATCH
    assert term(batch, teacher, student, {}).item() == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("count", [None, 13])
def test_crd_is_gckt_nce_normalised_after(count: int | None) -> None:
    """The same function and the same gradients, given the same negatives and normaliser."""
    crd = build("crd", seed=3, dim=4, negatives_count=count)
    gckt = build(
        "gckt",
        seed=4,
        dim=4,
        form="nce",
        normalise="after",
        negatives="other_class",
        negatives_count=count,
        normaliser="first_batch",
    )
    gckt.load_state_dict(crd.state_dict())
    gckt.name = "crd"  # type: ignore[misc]  # the name keys the draw
    for step in range(3):
        batch, teacher, student = batch_at(step)
        gradients = []
        for term in (crd, gckt):
            h = student.features.clone().requires_grad_()
            loss = term(batch, teacher, Output(h, student.logits), {})
            gradients.append((loss, *torch.autograd.grad(loss, h)))
            term.update()
        for left, right in zip(*gradients, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------------ forms and bounds


def random_scores(seed: int, n: int, m: int, scale: float) -> Scores:
    allowed = draw(seed + 2, n, m) > -0.5
    allowed[:, 0] = True
    return Scores(scale * draw(seed, n), scale * draw(seed + 1, n, m), allowed)


@quick
@given(seed=seeds, n=st.integers(1, 8), m=st.integers(1, 30), scale=st.floats(0, 50))
def test_infonce_never_exceeds_log_m_plus_one(seed: int, n: int, m: int, scale: float) -> None:
    scores = random_scores(seed, n, m, scale)
    form = infonce(scores, None, 1, False)
    assert form.bound <= (scores.count + 1).log().mean() + 1e-4
    assert form.bound.item() == pytest.approx(-form.loss.item())


def test_without_the_positive_infonce_bounds_nothing() -> None:
    """Gaussian pairs of correlation 0.5: I = -log(1 - 0.25) / 2 = 0.144 nats."""
    truth = -math.log(1 - 0.25) / 2
    x, noise, others = draw(0, 4000), draw(1, 4000), draw(2, 4000, 1)
    y = 0.5 * x + math.sqrt(0.75) * noise
    scores = Scores(4 * x * y, 4 * x[:, None] * others)
    assert infonce(scores, None, 1, False).bound < truth
    wrong = (scores.positive - scores.negative.logsumexp(1)).mean()  # M = 1
    assert wrong > 10 * truth


@quick
@given(seed=seeds, shift=st.floats(-20, 20))
def test_the_normaliser_takes_out_a_constant(seed: int, shift: float) -> None:
    scores = random_scores(seed, 5, 12, 3.0)
    moved = Scores(scores.positive + shift, scores.negative + shift, scores.allowed)
    for kind in ("moving_average", "first_batch"):
        left, right = (nce(s, Normaliser(kind)(s), 1, False).loss for s in (scores, moved))
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)


def test_without_the_normaliser_random_negatives_are_taken_for_positives() -> None:
    """At tau = 0.07 and scores far above 0 (a cosine of 0.7): q = 0.7 for a random negative."""
    g = 0.7 / 0.07 + 0.1 * draw(0, 64, 897)
    scores = Scores(g[:, 0], g)
    plain = torch.sigmoid(g - math.log(897)).mean()
    log_c = Normaliser("moving_average")(scores)
    with_c = torch.sigmoid(g - math.log(897) - log_c).mean()
    assert plain > 0.7 and with_c == pytest.approx(1 / 898, rel=0.02)


@quick
@given(seed=seeds)
def test_nce_bound_is_the_printed_one(seed: int) -> None:
    scores = Scores(3 * draw(seed, 6), 3 * draw(seed + 1, 6, 20))
    form = nce(scores, torch.tensor(0.4), 1, False)
    q_plus = torch.sigmoid(scores.positive.double() - math.log(20) - 0.4)
    q_minus = torch.sigmoid(scores.negative.double() - math.log(20) - 0.4)
    bound = math.log(20) + q_plus.log().mean() + 20 * (1 - q_minus).log().mean()
    assert form.bound.item() == pytest.approx(bound.item(), rel=1e-4, abs=1e-4)


def test_only_averaged_negatives_ignore_a_constant() -> None:
    scores = random_scores(0, 5, 12, 1.0)
    moved = Scores(scores.positive + 3, scores.negative + 3, scores.allowed)
    averaged = [wasserstein(s, None, 2.0, False).loss.item() for s in (scores, moved)]
    summed = [wasserstein(s, None, 2.0, True).loss.item() for s in (scores, moved)]
    assert averaged[0] == pytest.approx(averaged[1], abs=1e-5)
    assert abs(summed[0] - summed[1]) > 1
    assert averaged[0] == pytest.approx(-difference(scores).item() / 2, abs=1e-6)


@pytest.mark.parametrize("changes", [{}, {"critic": "joint"}], ids=["dot", "joint"])
def test_wasserstein_stays_below_exact_transport(changes: dict[str, Any]) -> None:
    """Kantorovich-Rubinstein: trained as hard as it may, tau (E_joint - E_product) <= W1."""
    n = 12
    shapes = Shapes(TEACHER, STUDENT, CLASSES, CLASSES, True, n)
    torch.manual_seed(0)
    term = TERMS["gckt"](TERMS["gckt"].Settings.model_validate({"dim": 6, **changes}), shapes, 0)
    assert isinstance(term, Contrastive)
    index, h_t = torch.arange(n), draw(5, n, TEACHER)
    h_s = h_t[:, :STUDENT] + 0.2 * draw(6, n, STUDENT)
    of_t, of_s = Output(h_t, LOGITS[:n]), Output(h_s, LOGITS[:n])
    everything = lambda: [FirstPassBatch(index, LABEL[:n], of_t, of_s)]  # noqa: E731
    critic: Any = term.critic
    batch = Batch(index, LABEL[:n], torch.ones(n, dtype=torch.bool), LABEL[:n], 0, 0)
    optimizer = torch.optim.Adam(term.parameters(), 0.02)
    values = []
    for _ in range(80):
        term.fill_banks(everything)
        loss = term(batch, of_t, of_s, {})
        values.append(-loss.item() / 2)  # two directions
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    t = critic.on_sphere(h_t, critic.teacher_mean).double().numpy()
    s = critic.on_sphere(h_s, critic.student_mean).double().numpy()
    others = [(i, j) for i in range(n) for j in range(n) if i != j]
    cost = [
        [np.linalg.norm(t[k] - t[i]) + np.linalg.norm(s[k] - s[j]) for i, j in others]
        for k in range(n)
    ]
    exact = ot.emd2(np.full(n, 1 / n), np.full(len(others), 1 / len(others)), np.array(cost))
    assert values[0] < max(values) <= exact * (1 + 1e-5)
    assert max(values) > 0.3 * exact


def test_temperature_has_no_effect_on_wasserstein() -> None:
    losses = []
    for tau in (0.07, 1.0):
        term = build("gckt", dim=4, temperature=tau)
        losses.append(term(*batch_at(0), {}).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_mean_negative_is_enough_for_a_bilinear_critic() -> None:
    term = build("gckt", dim=4)
    batch, teacher, student = batch_at(0)
    assert term.mean_suffices
    short = term(batch, teacher, student, {})
    z_t, z_s = term.embed(teacher.features, student.features)
    scores = term.negatives.draw(batch, "").scores(
        term.critic.aligned(term.teacher_bank.rows(batch.index), z_s),
        lambda rows: term.critic.pair_student(z_s, term.teacher_bank.rows(rows)),
    )
    assert scores.negative.shape == (BATCH, N)
    torch.testing.assert_close(
        difference(term.scores(batch, z_t, z_s)["student"]), difference(scores)
    )
    assert short.isfinite()


# ------------------------------------------------------------------------------ normaliser


def test_moving_average_and_first_batch() -> None:
    batches = [Scores(draw(k, 3), draw(k + 9, 3, 5)) for k in range(3)]
    moving, first = Normaliser("moving_average"), Normaliser("first_batch")
    c = 0.0
    for k, scores in enumerate(batches):
        now = scores.negative.exp().mean().item()
        c = now if k == 0 else 0.9 * c + 0.1 * now
        assert moving(scores).exp().item() == pytest.approx(c, rel=1e-4)
        frozen = torch.cat([batches[0].positive, batches[0].negative.flatten()]).exp().mean()
        assert first(scores).exp().item() == pytest.approx(frozen.item(), rel=1e-4)
        moving.update()
        first.update()


def test_normaliser_survives_scores_beyond_the_range_of_exp() -> None:
    scores = Scores(torch.tensor([200.0]), torch.tensor([[190.0, 210.0]]))
    log_c = Normaliser("moving_average")(scores)
    assert log_c.item() == pytest.approx(210 - math.log(2), rel=1e-4)
    assert nce(scores, log_c, 1, False).loss.isfinite()


# ------------------------------------------------------------------------------- negatives


def sampler_of(
    kind: str, count: int | None, labels: Tensor, shared: bool = False
) -> NegativeSampler:
    sampler = NegativeSampler(len(labels), int(labels.max()) + 1, kind, count, shared)
    sampler.set_groups(torch.arange(len(labels)), labels)
    return sampler


@quick
@given(seed=seeds, count=st.sampled_from([None, 1, 7, 25]), shared=st.booleans())
def test_other_class_never_gives_the_own_class(seed: int, count: int | None, shared: bool) -> None:
    labels = torch.randint(5, (30,), generator=torch.Generator().manual_seed(seed))
    labels[:2] = torch.tensor([0, 4])
    index = torch.arange(30)[::3]
    batch = Batch(index, labels[index], torch.ones(10, dtype=torch.bool), labels[index], 3, seed)
    negatives = sampler_of("other_class", count, labels, shared).draw(batch, "x")
    if negatives.rows is not None:
        assert negatives.rows.shape == (10, count)
        assert (labels[negatives.rows] != labels[index][:, None]).all()
        return
    columns = torch.arange(30) if negatives.columns is None else negatives.columns
    assert negatives.allowed is not None
    for i, k in itertools.product(range(10), range(len(columns))):
        assert negatives.allowed[i, k] == (labels[columns[k]] != labels[index[i]])


def test_other_class_is_uniform_over_the_others() -> None:
    labels = torch.tensor([0, 1, 1, 2, 0, 2, 2, 1, 0, 3])
    sampler = sampler_of("other_class", 8, labels)
    counts = torch.zeros(2, 10)
    index = torch.tensor([0, 5])
    for step in range(3000):
        batch = Batch(index, labels[index], torch.ones(2, dtype=torch.bool), labels[index], step, 0)
        rows = sampler.draw(batch, "x").rows
        assert rows is not None
        counts += torch.stack([torch.bincount(r, minlength=10) for r in rows])
    for i in range(2):
        others = labels != labels[index[i]]
        share = counts[i][others] / counts[i].sum()
        torch.testing.assert_close(share, torch.full_like(share, 1 / 7), rtol=0, atol=0.01)


def test_any_leaves_out_the_own_sample_only() -> None:
    sampler = sampler_of("any", None, LABEL)
    negatives = sampler.draw(batch_at(0)[0], "x")
    assert negatives.allowed is not None and negatives.allowed.sum() == BATCH * (N - 1)
    few = sampler_of("any", 12, LABEL).draw(batch_at(0)[0], "x")
    assert few.columns is not None and few.columns.shape == (12,) and few.allowed is not None
    assert torch.equal(few.allowed, batch_at(0)[0].index[:, None] != few.columns)
    assert sampler_of("any", N + 5, LABEL).count is None


def test_draws_depend_on_seed_purpose_and_step_only() -> None:
    sampler = sampler_of("other_class", 9, LABEL)
    batch, *_ = batch_at(0)
    torch.manual_seed(1)
    first = sampler.draw(batch, "x").rows
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert first is not None and torch.equal(first, sampler.draw(batch, "x").rows)  # type: ignore[arg-type]
    assert torch.equal(before, torch.random.get_rng_state())
    later = Batch(*(getattr(batch, k) for k in ("index", "label", "labelled", "group")), 1, 0)
    for changed in (sampler.draw(batch, "y").rows, sampler.draw(later, "x").rows):
        assert changed is not None and not torch.equal(first, changed)


def test_other_class_needs_two_classes() -> None:
    with pytest.raises(ValueError, match="two classes"):
        sampler_of("other_class", None, torch.zeros(5, dtype=torch.long))


# --------------------------------------------------------------------- banks within a term


@pytest.mark.parametrize("name", ["gckt", "crd"])
def test_the_first_pass_fills_banks_and_centres(name: str) -> None:
    term = build(name, dim=4)
    z_t, z_s = term.embed(H_T, H_S)
    torch.testing.assert_close(term.teacher_bank.embeddings, z_t)
    torch.testing.assert_close(term.student_bank.embeddings, z_s)
    torch.testing.assert_close(term.critic.teacher_mean, H_T.mean(0))
    torch.testing.assert_close(term.critic.student_mean, H_S.mean(0))


def test_the_positive_comes_from_the_bank() -> None:
    """Student anchors see the stale teacher: its fresh features move the other direction only."""
    term = build("gckt", dim=4)
    batch, teacher, student = batch_at(0)
    h_t, h_s = teacher.features.clone().requires_grad_(), student.features.clone().requires_grad_()
    z_t, z_s = term.embed(h_t, h_s)
    positive = term.scores(batch, z_t, z_s)["student"].positive
    assert torch.autograd.grad(positive.sum(), h_t, allow_unused=True, retain_graph=True)[0] is None
    assert torch.autograd.grad(positive.sum(), h_s)[0].abs().sum() > 0
    expected = (term.teacher_bank.embeddings[batch.index] * z_s).sum(1) / 0.07
    torch.testing.assert_close(positive, expected)


@pytest.mark.parametrize("name", ["gckt", "crd"])
def test_banks_move_in_update_and_not_in_forward(name: str) -> None:
    term = build(name, dim=4)
    batch, teacher, student = batch_at(0)
    before = {k: v.clone() for k, v in term.state_dict().items()}
    term(batch, teacher, student, {}).backward()
    assert all(torch.equal(v, before[k]) or v.isnan().all() for k, v in term.state_dict().items())
    z_t, z_s = term.embed(teacher.features, student.features)
    term.update()
    for bank, z, key in (
        (term.teacher_bank, z_t, "teacher_bank.embeddings"),
        (term.student_bank, z_s, "student_bank.embeddings"),
    ):
        mixed = (before[key][batch.index] + z) / 2
        if name == "crd":
            mixed = F.normalize(mixed, dim=1)
        torch.testing.assert_close(bank.embeddings[batch.index], mixed)
        rest = torch.ones(N, dtype=torch.bool)
        rest[batch.index] = False
        assert torch.equal(bank.embeddings[rest], before[key][rest])


def test_logs_are_detached_scalars() -> None:
    for form, names in (
        ("wasserstein", {"difference", "bound"}),
        ("infonce", {"difference", "bound"}),
    ):
        term = build("gckt", dim=4, form=form)
        term(*batch_at(0), {})
        assert set(term.logs) == names
        assert all(v.ndim == 0 and not v.requires_grad for v in term.logs.values())
    term = build("gckt", dim=4, form="wasserstein", normalise="after")
    term(*batch_at(0), {})
    assert "bound" not in term.logs
    term = build("gckt", dim=4, form="nce")
    term(*batch_at(0), {})
    assert {"normaliser_student", "normaliser_teacher"} < set(term.logs)


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"critic": "joint", "negatives_count": 257}, "at most 256"),
        ({"critic": "joint", "normalise": "after"}, "set normalise to 'before'"),
        ({"scale": "sum", "form": "nce"}, "scale 'sum'"),
        ({"temperature": 0}, "greater than 0"),
        ({"weight": -1}, "greater than or equal to 0"),
        ({"form": "other"}, "wasserstein"),
        ({"bank_momentum": 1}, "less than 1"),
        ({"negatives_count": 0}, "greater than or equal to 1"),
        ({"lambda": 1}, "Extra inputs"),
    ],
)
def test_gckt_refuses_nonsense(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TERMS["gckt"].Settings.model_validate(changes)


def test_the_joint_critic_takes_256_negatives_by_default() -> None:
    settings = TERMS["gckt"].Settings.model_validate({"critic": "joint"})
    term = TERMS["gckt"](settings, Shapes(3, 3, 2, 2, True, 1000), 0)
    assert isinstance(term, Contrastive) and term.negatives.count == 256
    assert not isinstance(term.critic, DotCritic)
