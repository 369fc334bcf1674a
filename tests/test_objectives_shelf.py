"""The terms of other papers, each against its formula written as loops or a closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wcord import models
from wcord.models import Output
from wcord.objectives import TERMS
from wcord.objectives.dkd import without_target
from wcord.objectives.term import Batch, FirstPassBatch, Shapes, Term
from wcord.transport import sinkhorn

N, TEACHER, STUDENT, CLASSES = 7, 6, 4, 5
MAPS_T, MAPS_S = ((3, 8, 8), (6, 4, 4)), ((2, 8, 8), (4, 4, 4), (5, 2, 2))
SHAPES = Shapes(TEACHER, STUDENT, CLASSES, CLASSES, True, 40, MAPS_T, MAPS_S)
seeds = st.integers(0, 2**31)
quick = settings(max_examples=15)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def output(seed: int, dim: int, maps: tuple[tuple[int, int, int], ...]) -> Output:
    stages = tuple(draw(seed + 5 + k, N, *shape) for k, shape in enumerate(maps))
    return Output(draw(seed, N, dim), 2 * draw(seed + 1, N, CLASSES), stages)


def setting(seed: int) -> tuple[Batch, Output, Output]:
    label = torch.randint(CLASSES, (N,), generator=torch.Generator().manual_seed(seed))
    batch = Batch(torch.arange(N), label, torch.ones(N, dtype=torch.bool), label, 0, 0)
    return batch, output(seed, TEACHER, MAPS_T), output(seed + 50, STUDENT, MAPS_S)


def build(name: str, shapes: Shapes = SHAPES, **changes: Any) -> Term:
    torch.manual_seed(0)
    return TERMS[name](TERMS[name].Settings.model_validate(changes), shapes, 0)


def value(name: str, seed: int, **changes: Any) -> float:
    batch, teacher, student = setting(seed)
    return float(build(name, **changes)(batch, teacher, student, {}).detach())


def arrays(seed: int) -> tuple[np.ndarray, ...]:
    """Labels, teacher features, student features, teacher logits, student logits in float64."""
    batch, teacher, student = setting(seed)
    tensors = (teacher.features, student.features, teacher.logits, student.logits)
    return batch.label.numpy(), *(t.double().numpy() for t in tensors)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()


# -------------------------------------------------------------------------------- defaults

# WKD: configs/cifar100/wkd_l and wkd_f, res32x4_res8x4.yaml. mdistiller: engine/cfg.py, which
# configs/cifar100/dkd/res32x4_res8x4.yaml leaves as it is. RepDistiller: train_student.py and
# scripts/run_cifar_distill.sh. ITRD: the command of its README, WRN-40-2 to WRN-16-2.
RELEASED = {
    "wkd_l": {"others": 600, "temperature": 8, "sharpness": 1, "epsilon": 0.05, "iterations": 10},
    "wkd_f": {"weight": 0.08, "means": 4},
    "dkd": {"target": 1, "others": 8, "temperature": 4},
    "kd": {"weight": 0.9, "temperature": 4},
    "crd": {
        "weight": 0.8,
        "dim": 128,
        "temperature": 0.07,
        "negatives_count": 16384,
        "bank_momentum": 0.5,
    },
    "at": {"weight": 1000},
    "sp": {"weight": 3000},
    "vid": {"weight": 1},
    "rkd": {"weight": 1, "distance": 25, "angle": 50},
    "pkt": {"weight": 30000},
    "itrd": {"weight": 1, "correlation": 2, "mutual": 1, "alpha": 1.01},
}


@pytest.mark.parametrize("name", RELEASED)
def test_defaults_are_the_released_ones(name: str) -> None:
    defaults = TERMS[name].Settings().model_dump()
    assert {key: defaults[key] for key in RELEASED[name]} == RELEASED[name]


# ---------------------------------------------------------------------------------- logits


@quick
@given(seed=seeds)
def test_dkd(seed: int) -> None:
    label, _, _, t, s = arrays(seed)
    total = 0.0
    for i in range(N):
        p, q = softmax(t[i] / 4), softmax(s[i] / 4)
        k = label[i]
        binary = p[k] * math.log(p[k] / q[k])
        binary += (1 - p[k]) * math.log((1 - p[k]) / (1 - q[k]))
        others = 0.0
        for c in range(CLASSES):
            if c != k:
                a, b = p[c] / (1 - p[k]), q[c] / (1 - q[k])
                others += a * math.log(a / b)
        total += 16 * (0.5 * binary + 3 * others) / N
    assert value("dkd", seed, target=0.5, others=3) == pytest.approx(total, rel=1e-3, abs=1e-4)


@quick
@given(seed=seeds)
def test_dkd_recombines_to_kd(seed: int) -> None:
    """KL = KL of the target part + (1 - p_t) KL of the others, sample by sample."""
    batch, teacher, student = setting(seed)
    one = [Batch(*(getattr(batch, k)[i : i + 1] for k in FIELDS), 0, 0) for i in range(N)]
    for i in range(N):
        pair = [Output(o.features[i : i + 1], o.logits[i : i + 1]) for o in (teacher, student)]
        rest = 1 - (pair[0].logits / 4).softmax(1)[0, batch.label[i]].item()
        parts = build("dkd", target=1, others=rest)(one[i], *pair, {})
        torch.testing.assert_close(parts, build("kd")(one[i], *pair, {}), rtol=1e-3, atol=1e-4)


FIELDS = ("index", "label", "labelled", "group")


@quick
@given(seed=seeds)
def test_dist(seed: int) -> None:
    *_, t, s = arrays(seed)
    p, q = (np.array([softmax(row / 4) for row in x]) for x in (t, s))
    rows = np.mean([1 - np.corrcoef(p[i], q[i])[0, 1] for i in range(N)])
    columns = np.mean([1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(CLASSES)])
    loss = value("dist", seed, inter=2, intra=3)
    assert loss == pytest.approx(16 * (2 * rows + 3 * columns), rel=1e-3, abs=1e-3)


def test_without_target_leaves_out_one_column() -> None:
    x, target = draw(0, 4, 3), torch.tensor([0, 2, 1, 0])
    for row, rest, k in zip(x, without_target(x, target), target, strict=True):
        assert rest.tolist() == [v for c, v in enumerate(row.tolist()) if c != k]


# ---------------------------------------------------------------------------------- wkd


def wkd_l(**changes: Any) -> tuple[Any, Tensor, Tensor]:
    term: Any = build("wkd_l", **changes)
    features, group = draw(3, 40, TEACHER), torch.arange(40) % CLASSES
    nothing = Output(torch.zeros(40, STUDENT), torch.zeros(40, CLASSES))
    teacher = Output(features, torch.zeros(40, CLASSES))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))

    def first_pass() -> list[FirstPassBatch]:
        return [
            FirstPassBatch(k, group[k], Output(teacher.features[k], teacher.logits[k]), nothing)
            for k in order.split(9)
        ]

    term.fill_banks(first_pass)
    return term, features, group


def test_wkd_l_cost_is_cka_by_centring_matrices() -> None:
    term, features, group = wkd_l(sharpness=2)
    h = np.eye(8) - 1 / 8
    for c in range(CLASSES):
        for d in range(CLASSES):
            x, y = (features[group == k].double().numpy() for k in (c, d))
            k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
            cka = np.trace(k @ m) / math.sqrt(np.trace(k @ k) * np.trace(m @ m))
            expected = 0 if c == d else 1 - math.exp(-2 * (1 - cka))
            assert term.cost[c, d].item() == pytest.approx(expected, abs=1e-5)


def test_wkd_l_equals_pot_sample_by_sample() -> None:
    term, *_ = wkd_l(iterations=300, others=7, temperature=3)
    batch, teacher, student = setting(0)
    label, _, _, t, s = arrays(0)
    total = 0.0
    for i in range(N):
        rest = [c for c in range(CLASSES) if c != label[i]]
        cost = term.cost.double().numpy()[np.ix_(rest, rest)].copy()
        plan = ot.sinkhorn(softmax(t[i][rest] / 3), softmax(s[i][rest] / 3), cost, 0.05)
        target = softmax(t[i])[label[i]] * math.log(softmax(s[i])[label[i]])
        total += (7 * (plan * cost).sum() - target) / N
    assert term(batch, teacher, student, {}).item() == pytest.approx(total, rel=1e-3)


def test_wkd_l_makes_ten_plain_iterations_from_equal_scalings() -> None:
    """The released solver: scale the teacher's side, then the student's, ten times."""
    term, *_ = wkd_l()
    batch, teacher, student = setting(1)
    label, _, _, t, s = arrays(1)
    total = 0.0
    for i in range(N):
        rest = [c for c in range(CLASSES) if c != label[i]]
        cost = term.cost.double().numpy()[np.ix_(rest, rest)]
        kernel, u = np.exp(-cost / 0.05), np.ones(CLASSES - 1)
        for _ in range(10):
            v = softmax(t[i][rest] / 8) / (kernel @ u)
            u = softmax(s[i][rest] / 8) / (kernel.T @ v)
        target = softmax(t[i])[label[i]] * math.log(softmax(s[i])[label[i]])
        total += (600 * (v[:, None] * kernel * u * cost).sum() - target) / N
    assert term(batch, teacher, student, {}).item() == pytest.approx(total, rel=1e-4)


def test_wkd_l_gradient_is_that_of_the_regularised_objective() -> None:
    term, *_ = wkd_l(iterations=400, others=1)
    p_t, cost = softmax_rows(draw(0, 3, CLASSES)), term.cost.expand(3, -1, -1)
    logits = draw(1, 3, CLASSES).requires_grad_()
    (gradient,) = torch.autograd.grad(term._transport(cost, p_t, logits.softmax(1)), logits)
    step = 1e-2 * draw(2, 3, CLASSES)

    def objective(x: Tensor) -> float:
        solved = sinkhorn(
            cost.double(),
            0.05,
            source=p_t.double() / p_t.double().sum(1, keepdim=True),
            target=x.double().softmax(1),
            iterations=400,
        )
        return solved.objective.mean().item()

    rise = (objective(logits.detach() + step) - objective(logits.detach() - step)) / 2
    assert (gradient * step).sum().item() == pytest.approx(rise, rel=0.01)


def softmax_rows(x: Tensor) -> Tensor:
    return x.softmax(1)


def test_wkd_l_needs_two_samples_of_each_class() -> None:
    term: Any = build("wkd_l")
    one = Output(draw(0, 9, TEACHER), torch.zeros(9, CLASSES))
    with pytest.raises(ValueError, match=r"^wkd_l [^\n]+remove wkd_l"):
        term.fill_banks(lambda: [FirstPassBatch(torch.arange(9), torch.arange(9) % 5, one, one)])


@quick
@given(seed=seeds)
def test_wkd_f(seed: int) -> None:
    batch, teacher, student = setting(seed)
    term: Any = build("wkd_f", means=3)
    maps = term.project(student.maps[-1]).detach().double().numpy()
    total = 0.0
    for x, y in zip(teacher.maps[-1].double().numpy(), maps, strict=True):
        for c in range(MAPS_T[-1][0]):
            total += 3 * (x[c].mean() - y[c].mean()) ** 2 / N
            spread = (math.sqrt(v.var(ddof=1) + 1e-5) for v in (x[c], y[c]))
            total += (next(spread) - next(spread)) ** 2 / N
    assert term(batch, teacher, student, {}).item() == pytest.approx(total, rel=1e-3)


# ---------------------------------------------------------------------------- information


@quick
@given(seed=seeds)
def test_vid(seed: int) -> None:
    _, t, s, *_ = arrays(seed)
    batch, teacher, student = setting(seed)
    term: Any = build("vid")
    weight, bias = (p.detach().double().numpy() for p in term.regress.parameters())
    error = (t - s @ weight.T - bias) ** 2  # every variance starts at 5
    expected = np.mean(np.log(5) / 2 + error / 10)
    assert term(batch, teacher, student, {}).item() == pytest.approx(expected, rel=1e-4)


def test_vid_variances_are_learnt() -> None:
    """The best variance of a channel is its mean squared error."""
    batch, teacher, student = setting(0)
    term: Any = build("vid")
    term.regress.requires_grad_(False)
    optimizer = torch.optim.Adam([term.spread], 0.05)
    for _ in range(600):
        optimizer.zero_grad()
        term(batch, teacher, student, {}).backward()
        optimizer.step()
    variance = torch.nn.functional.softplus(term.spread)
    error = (teacher.features - term.regress(student.features)).square().mean(0)
    torch.testing.assert_close(variance, error, rtol=0.02, atol=1e-2)


@quick
@given(seed=seeds)
@pytest.mark.parametrize("width", [STUDENT, TEACHER])
def test_itrd(width: int, seed: int) -> None:
    """The embedding serves the correlation, and the Gram matrix only where widths differ."""
    batch, teacher, _ = setting(seed)
    student = output(seed + 50, width, ())
    shapes = Shapes(TEACHER, width, CLASSES, CLASSES, True, 40)
    term: Any = build("itrd", shapes, correlation=2, mutual=3, alpha=1.5)
    weight, bias = (p.detach().double().numpy() for p in term.project.parameters())
    t, s = (o.features.double().numpy() for o in (teacher, student))
    z = s @ weight.T + bias
    r = np.array([np.corrcoef(t[:, v], z[:, v])[0, 1] for v in range(TEACHER)])
    off = abs((1 - 1 / N) * r - 1) ** 3  # deviations divide by n - 1, the product's mean by n
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (t, s if width == TEACHER else z)]
    gram_t, gram_s = (u @ u.T for u in unit)
    purity = [np.sum((g / np.trace(g)) ** 2) for g in (gram_s, gram_t * gram_s)]
    expected = 2 * math.log2(sum(off)) + 3 * (purity[0] - purity[1])
    loss = term(batch, teacher, student, {}).item()
    assert loss == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_itrd_is_finite_for_a_perfect_student_and_for_constant_channels() -> None:
    shapes = Shapes(3, 3, CLASSES, CLASSES, True, 40)
    term: Any = build("itrd", shapes, correlation=1, mutual=0, alpha=1)
    torch.nn.init.eye_(term.project.weight)
    same = Output(draw(0, N, 3), torch.zeros(N, CLASSES))
    value = term(setting(0)[0], same, same, {}).item()
    assert value == pytest.approx(math.log2(3 / N**2), rel=1e-4)  # |c_v - 1| is 1/n at least
    still = Output(same.features * torch.tensor([1.0, 1.0, 0.0]), same.logits)
    value = term(setting(0)[0], still, same, {}).item()
    assert value == pytest.approx(math.log2(2 / N**2 + 1), rel=1e-4)


# ------------------------------------------------------------------------------- relations


def huber(a: float, b: float) -> float:
    return (a - b) ** 2 / 2 if abs(a - b) <= 1 else abs(a - b) - 0.5


@quick
@given(seed=seeds)
def test_rkd(seed: int) -> None:
    _, t, s, *_ = arrays(seed)
    distances, angles = [], []
    for x in (t, s):
        pairs = [np.linalg.norm(x[i] - x[j]) for i in range(N) for j in range(N) if i != j]
        distances.append([d / np.mean(pairs) for d in pairs])
        angles.append(
            [
                (x[i] - x[j]) @ (x[k] - x[j])
                / np.linalg.norm(x[i] - x[j])
                / np.linalg.norm(x[k] - x[j])
                for i in range(N)
                for j in range(N)
                for k in range(N)
                if len({i, j, k}) == 3
            ]
        )  # fmt: skip
    expected = 2 * np.mean([huber(a, b) for a, b in zip(*distances, strict=True)])
    expected += 3 * np.mean([huber(a, b) for a, b in zip(*angles, strict=True)])
    assert value("rkd", seed, distance=2, angle=3) == pytest.approx(expected, rel=1e-3)


def test_rkd_is_the_released_loss_but_for_the_number_of_terms() -> None:
    """Released: plain means over all n^2 pairs and n^3 triples, equal samples included."""
    _, t, s, *_ = arrays(0)
    pairs, triples = [], []
    for x in (t, s):
        edges = x[None] - x[:, None]
        length = np.linalg.norm(edges, axis=2)
        pairs.append(length / length[length > 0].mean())
        unit = edges / np.maximum(length, 1e-12)[..., None]
        triples.append(np.einsum("jid,jkd->jik", unit, unit))
    for values, changes, share in (
        (pairs, {"distance": 1, "angle": 0}, (N - 1) / N),
        (triples, {"distance": 0, "angle": 1}, (N - 1) * (N - 2) / N**2),
    ):
        released = np.mean([huber(a, b) for a, b in zip(*map(np.ravel, values), strict=True)])
        assert share * value("rkd", 0, **changes) == pytest.approx(released, rel=1e-3)


def test_rkd_survives_equal_samples() -> None:
    batch, teacher, student = setting(0)
    h = torch.zeros(N, STUDENT).requires_grad_()
    build("rkd")(batch, teacher, Output(h, student.logits), {}).backward()
    assert h.grad is not None and h.grad.isfinite().all()


@quick
@given(seed=seeds)
def test_sp(seed: int) -> None:
    _, t, s, *_ = arrays(seed)
    g = []
    for x in (t, s):
        q = np.array([[x[i] @ x[j] for j in range(N)] for i in range(N)])
        g.append(q / np.linalg.norm(q, axis=1, keepdims=True))
    expected = np.linalg.norm(g[0] - g[1]) ** 2 / N**2
    assert value("sp", seed) == pytest.approx(expected, rel=1e-3)


@quick
@given(seed=seeds)
def test_pkt(seed: int) -> None:
    _, t, s, *_ = arrays(seed)

    def kernel(x: np.ndarray, i: int, j: int) -> float:
        return (x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) + 1) / 2

    total = 0.0
    for i in range(N):
        mass = [sum(kernel(x, i, k) for k in range(N)) for x in (t, s)]
        for j in range(N):
            a, b = (kernel(x, i, j) / m for x, m in zip((t, s), mass, strict=True))
            total += a * math.log((a + 1e-7) / (b + 1e-7)) / N**2
    assert value("pkt", seed) == pytest.approx(total, rel=1e-3, abs=1e-7)


@quick
@given(seed=seeds)
def test_at_pairs_stages_from_the_deepest(seed: int) -> None:
    _, teacher, student = setting(seed)
    total = 0.0
    for a, b in ((teacher.maps[1], student.maps[2]), (teacher.maps[0], student.maps[1])):
        x, y = a.double().numpy(), b.double().numpy()
        x = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).mean((3, 5))
        flat = [(v**2).sum(1).reshape(N, -1) for v in (x, y)]
        q = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in flat]
        total += np.mean((q[0] - q[1]) ** 2) / 2
    assert value("at", seed) == pytest.approx(total, rel=1e-3)


@pytest.mark.parametrize("name", ["sp", "rkd", "pkt", "at", "dkd", "dist"])
def test_a_perfect_student_has_no_loss(name: str) -> None:
    """These compare the two sides directly, so that equal outputs are the optimum, 0."""
    batch, teacher, _ = setting(0)
    assert build(name)(batch, teacher, teacher, {}).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", ["sp", "rkd", "pkt"])
def test_relations_do_not_see_rotation_or_scale(name: str) -> None:
    batch, teacher, _ = setting(0)
    rotation = torch.linalg.qr(draw(9, TEACHER, TEACHER))[0]
    turned = Output(3 * teacher.features @ rotation, teacher.logits)
    assert build(name)(batch, teacher, turned, {}).item() == pytest.approx(0, abs=1e-5)


# ------------------------------------------------------------------------------------ maps

# RepDistiller, models: the stages whose outputs are feat[1:-1], of which WKD-F takes the last
STAGES = {
    "resnet8x4": (0, 1, 2),
    "wrn-16-1": (0, 1, 2),
    "mobilenetv2": (1, 2, 4, 6),
    "shufflenetv1": (0, 1, 2),
    "shufflenetv2": (0, 1, 2),
}


@pytest.mark.parametrize("name", STAGES)
def test_maps_are_those_that_the_released_code_compares(name: str) -> None:
    module: Any = models.build(name, 3, (32, 32), 10).eval()
    images = draw(0, 2, 3, 32, 32)
    outputs = [module.stem(images)]
    for stage in module.stages:
        outputs.append(stage(outputs[-1]))
    output = models.Network(module)(images, maps=True)
    released = [outputs[1 + stage] for stage in STAGES[name]]
    for maps, expected in zip(output.maps[-len(released) :], released, strict=True):
        assert torch.equal(maps, expected)
    if name == "wrn-16-1":
        assert (output.maps[-1] < 0).any()  # before the last normalisation and ReLU
    output.maps[-1].sum().backward()
    assert all(p.grad is not None for p in module.stages.parameters())


@pytest.mark.parametrize("name", ["wrn-16-1", "mobilenetv2", "shufflenetv1", "shufflenetv2"])
def test_reading_the_last_stage_changes_neither_weights_nor_logits(name: str) -> None:
    module: Any = models.build(name, 3, (32, 32), 10).eval()
    rest = module.after if name == "wrn-16-1" else module.last
    named = {"stem", "stages", "classifier"} | ({"after"} if name == "wrn-16-1" else {"last"})
    parts = {key.split(".")[0] for key in module.state_dict()}
    assert parts == named - ({"last"} if name == "shufflenetv1" else set())
    images = draw(0, 2, 3, 32, 32)
    features = rest(module.stages(module.stem(images))).mean((2, 3))
    assert torch.equal(module(images), module.classifier(features))
