"""Losses against formulas in numpy: five steps with bank, running means, normaliser and draws.

Nothing of `wcord` computes the expected numbers. Gradients are central differences, and the
formulas take their own steps of gradient descent with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import ot
import pytest
import torch

import wcord

N, N_BATCH, D_IN, D_T, D_S, CLASSES, RATE, SEED = 14, 5, 4, 4, 3, 3, 0.1, 7
RANDOM = np.random.default_rng(3)
INPUTS, TEACHER = RANDOM.normal(size=(N, D_IN)), RANDOM.normal(size=(N, D_T))
STUDENT = RANDOM.normal(size=(D_IN, D_S))  # weights of a linear student: h_S = x W
LABELS = np.arange(N) % CLASSES
BATCHES = [np.random.default_rng(step).permutation(N)[:N_BATCH] for step in range(5)]
SIDES = ("student", "teacher")  # of the anchors

Arrays = dict[str, Any]
Scores = dict[str, list[tuple[float, Any]]]  # (positive, negatives) of each anchor of a side


def unit(x: Any) -> Any:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def norm_bound(v: Any) -> float:
    """Return b = (1 + 1e-5) ||(V'V)^8||_F^(1/16), V the matrix or its transpose: the tall one."""
    tall = v if v.shape[0] >= v.shape[1] else v.T
    return float((1 + 1e-5) * np.linalg.norm(np.linalg.matrix_power(tall.T @ tall, 8)) ** (1 / 16))


def orthogonal(v: Any, bound: float) -> Any:
    """Return V / b after three steps X <- 3/2 X - 1/2 X X' X."""
    x = v / bound
    for _ in range(3):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x


# -- losses of one anchor: score phi of its positive, scores of its negatives, zeta ---------------


def wasserstein(g: float, negative: Any, c: float) -> float:
    return float(negative.mean() - g)


def infonce(g: float, negative: Any, c: float) -> float:
    return float(np.log(np.exp([g, *negative]).mean()) - g)


def nce(g: float, negative: Any, c: float) -> float:
    q, q_negative = (np.exp(score) / (np.exp(score) + len(negative) * c) for score in (g, negative))
    return float(-np.log(q) - np.log(1 - q_negative).sum())


def crd(g: float, negative: Any, c: float) -> float:
    """Return -log P+ / (P+ + M/N) - sum of log (M/N) / (P- + M/N), with P = e^g / Z, Z = N c."""
    ratio, p, p_negative = len(negative) / N, np.exp(g) / (N * c), np.exp(negative) / (N * c)
    return float(-np.log(p / (p + ratio)) - np.log(ratio / (p_negative + ratio)).sum())


class DotForm:
    """GCKT and CRD with the dot critic: state, loss, and what a step writes."""

    matrices: tuple[str, ...] = ("v_t", "v_s")  # of norm at most 1

    def __init__(self, form: Callable[..., float], weights: Arrays, tau: float, **options: Any):
        self.form, self.tau, self.options = form, tau, options
        self.mean_t, self.mean_s = TEACHER.mean(0), (INPUTS @ STUDENT).mean(0)
        self.c: dict[str, float] = {}
        self.bank_t, self.bank_s = self.embed(self.bounded(weights), TEACHER, INPUTS @ STUDENT)

    def bounds(self, weights: Arrays) -> Arrays:
        return {key: norm_bound(weights[key]) for key in self.matrices if key in weights}

    def bounded(self, weights: Arrays, bounds: Arrays | None = None) -> Arrays:
        """Return the weights, matrices made semi-orthogonal; b is a constant of the gradient."""
        bounds = self.bounds(weights) if bounds is None else bounds
        return weights | {key: orthogonal(weights[key], bound) for key, bound in bounds.items()}

    def embed(self, weights: Arrays, h_t: Any, h_s: Any) -> tuple[Any, Any]:
        t, s = unit(h_t - self.mean_t), unit(h_s - self.mean_s)
        return t @ weights["v_t"].T, s @ weights["v_s"].T

    def critic(self, weights: Arrays, z_t: Any, z_s: Any) -> Any:
        return (z_t * z_s).sum(-1) / self.tau

    def negatives(self, step: int, sample: int) -> list[int]:
        """Return the rows of a sample's negatives; draws come from a hash of seed and step."""
        if self.options.get("other_class"):
            return [row for row in range(N) if LABELS[row] != LABELS[sample]]
        rows = list(range(N))
        if "count" in self.options:
            digest = hashlib.blake2b(f"{SEED}/gckt-negatives/{step}".encode(), digest_size=8)
            generator = torch.Generator().manual_seed(
                int.from_bytes(digest.digest(), "little") >> 1
            )
            rows = torch.randint(N, (self.options["count"],), generator=generator).tolist()
        return [row for row in rows if row != sample]

    def scores(self, weights: Arrays, z_t: Any, z_s: Any, step: int) -> Scores:
        found: Scores = {side: [] for side in SIDES}
        for row, sample in enumerate(BATCHES[step]):
            rows = [sample, *self.negatives(step, sample)]  # of the bank, the positive too
            of_student = self.critic(weights, self.bank_t[rows], z_s[row])
            of_teacher = self.critic(weights, z_t[row], self.bank_s[rows])
            found["student"].append((of_student[0], of_student[1:]))
            found["teacher"].append((of_teacher[0], of_teacher[1:]))
        return found

    def normalisers(self, scores: Scores) -> dict[str, float]:
        """Return c = mean e^g of the negatives, averaged over batches; or of the first batch."""
        c = {}
        for side, anchors in scores.items():
            batch = np.exp(np.concatenate([negative for _, negative in anchors])).mean()
            c[side] = 0.9 * self.c[side] + 0.1 * batch if self.c else batch
            if self.options.get("first_batch"):
                first = np.exp(np.concatenate([[g, *negative] for g, negative in anchors])).mean()
                c[side] = self.c.get(side, first)
        return c

    def loss(self, scores: Scores, c: dict[str, float]) -> float:
        total = 0.0
        for side, anchors in scores.items():
            total += float(np.mean([self.form(g, negative, c[side]) for g, negative in anchors]))
        return total * (self.tau if self.form is wasserstein else 1)

    def write(self, step: int, z: tuple[Any, Any], h_s: Any, c: dict[str, float]) -> None:
        """Write b <- (b + z) / 2, mean <- 0.9 mean + 0.1 mean of the batch."""
        index = BATCHES[step]
        for bank, new in zip((self.bank_t, self.bank_s), z, strict=True):
            bank[index] = (bank[index] + new) / 2
            if self.options.get("after"):
                bank[index] = unit(bank[index])
        self.mean_t = 0.9 * self.mean_t + 0.1 * TEACHER[index].mean(0)
        self.mean_s = 0.9 * self.mean_s + 0.1 * h_s.mean(0)
        self.c = c

    def state(self) -> Arrays:
        return {
            "teacher_bank.embeddings": self.bank_t,
            "student_bank.embeddings": self.bank_s,
            "critic.teacher_mean": self.mean_t,
            "critic.student_mean": self.mean_s,
        } | (
            {f"normalisers.{side}.log_c": np.log(self.c[side]) for side in SIDES}
            if self.form in (nce, crd)
            else {}
        )


class AfterForm(DotForm):
    """The critic of CRD: features are projected first and then scaled to unit length."""

    matrices = ()

    def embed(self, weights: Arrays, h_t: Any, h_s: Any) -> tuple[Any, Any]:
        z_t = unit(h_t @ weights["v_t"].T + weights["b_t"])
        return z_t, unit(h_s @ weights["v_s"].T + weights["b_s"])


class JointForm(DotForm):
    """A network of one hidden layer on the pair, with sorted neighbours as activation."""

    matrices = ("first", "last")

    def embed(self, weights: Arrays, h_t: Any, h_s: Any) -> tuple[Any, Any]:
        return unit(h_t - self.mean_t), unit(h_s - self.mean_s)

    def critic(self, weights: Arrays, z_t: Any, z_s: Any) -> Any:
        from_t, from_s = np.split(weights["first"], [D_T], axis=1)
        x = z_t @ from_t.T + z_s @ from_s.T + weights["bias"]  # one of both sides is a single row
        x = np.sort(x.reshape(len(x), -1, 2), -1).reshape(len(x), -1)
        return (x @ weights["last"].T)[:, 0] / self.tau


def transport(z_t: Any, z_s: Any, epsilon: float) -> tuple[float, float]:
    """Return <P, C> and <P, C> - e H(P) of POT's entropic plan, C = 1 - cos."""
    cost, masses = 1 - unit(z_t) @ unit(z_s).T, np.full(len(z_t), 1 / len(z_t))
    plan = ot.bregman.sinkhorn_log(masses, masses, cost, epsilon, 10_000, 1e-13, warn=False)
    value = (plan * cost).sum()
    return float(value), float(value + epsilon * (plan * np.log(plan)).sum())


def gradient_of(function: Callable[[Arrays], float], weights: Arrays, step: float = 1e-4) -> Arrays:
    """Return a gradient by central differences of fourth order."""
    gradient = {key: np.zeros_like(value) for key, value in weights.items()}
    for key, value in weights.items():
        for place in np.ndindex(value.shape):
            for factor, move in ((8, step), (-8, -step), (-1, 2 * step), (1, -2 * step)):
                moved = value.copy()
                moved[place] += move
                gradient[key][place] += factor * function(weights | {key: moved}) / (12 * step)
    return gradient


def step_of(
    dual: DotForm | None, weights: Arrays, step: int, weight: float, lckt: float
) -> tuple[float, Arrays]:
    """Return value and gradient of weight * dual form + lckt * LCKT, and write the state.

    With a dual form, LCKT uses its embeddings; alone, z_T = h_T and z_S = W h_S + b.
    """
    x, h_t = INPUTS[BATCHES[step]], TEACHER[BATCHES[step]]

    def embed(changed: Arrays) -> tuple[Any, Any]:
        if dual is None:
            return h_t, x @ changed["w"] @ changed["p"].T + changed["p_b"]
        return dual.embed(changed, h_t, x @ changed["w"])

    bounds = dual.bounds(weights) if dual else {}
    fixed = dual.bounded(weights) if dual else weights
    z_t, z_s = embed(fixed)
    scores = dual.scores(fixed, z_t, z_s, step) if dual else {}
    c = dual.normalisers(scores) if dual else {}

    def descending(changed: Arrays) -> float:
        """Return what descends: b, c and LCKT's teacher side are constants."""
        changed = dual.bounded(changed, bounds) if dual else changed
        own_t, own_s = embed(changed)
        total = lckt * transport(z_t, own_s, 0.5)[1] if lckt else 0.0
        if dual:
            total += weight * dual.loss(dual.scores(changed, own_t, own_s, step), c)
        return total

    value = lckt * transport(z_t, z_s, 0.5)[0] if lckt else 0.0
    value += weight * dual.loss(scores, c) if dual else 0.0
    gradient = gradient_of(descending, weights)
    if dual:
        dual.write(step, (z_t, z_s), x @ weights["w"], c)
    return value, gradient


LCKT = {"weight": 0.7, "epsilon": 0.5, "iterations": 2000}
FREE = {"v_t": "critic.project_teacher.free", "v_s": "critic.project_student.free"}
AFFINE = {
    f"{letter}_{side[0]}": f"critic.project_{side}.{kind}"
    for side in SIDES
    for letter, kind in (("v", "weight"), ("b", "bias"))
}
JOINT = {"first": "critic.first.free", "bias": "critic.first.bias", "last": "critic.last.free"}
GCKT: dict[str, tuple[dict[str, Any], dict[str, str], Any]] = {
    "wasserstein": ({"form": "wasserstein"}, FREE, lambda w: DotForm(wasserstein, w, 0.07)),
    "infonce": ({"form": "infonce"}, FREE, lambda w: DotForm(infonce, w, 0.07)),
    "nce": ({"form": "nce"}, FREE, lambda w: DotForm(nce, w, 0.07)),
    "drawn": (
        {"form": "nce", "negatives_count": 6, "temperature": 0.2},
        FREE,
        lambda w: DotForm(nce, w, 0.2, count=6),
    ),
    "drawn means": ({"negatives_count": 6}, FREE, lambda w: DotForm(wasserstein, w, 0.07, count=6)),
    "after": (
        {"form": "infonce", "normalise": "after", "temperature": 0.5},
        AFFINE,
        lambda w: AfterForm(infonce, w, 0.5, after=True),
    ),
    "joint": (
        {"form": "infonce", "critic": "joint", "width": 6, "depth": 1, "temperature": 0.3},
        JOINT,
        lambda w: JointForm(infonce, w, 0.3),
    ),
}


def farthest(
    terms: dict[str, Any], names: dict[str, str], dual: Any, weight: float = 0, lckt: float = 0
) -> dict[str, float]:
    """Take five steps by the library and by the formulas; return the largest differences."""
    loss = wcord.FeatureLoss(D_T, D_S, terms, samples=N, classes=CLASSES, seed=SEED).double()
    student = torch.tensor(STUDENT, requires_grad=True)
    features = torch.tensor(INPUTS @ STUDENT)
    loss.prime(teacher=TEACHER, student=features, labels=LABELS if loss.needs_labels else None)
    prefix = f"objective.terms.{next(iter(terms))}."
    found = dict(loss.named_parameters())
    parameters = {"w": student} | {key: found[prefix + name] for key, name in names.items()}
    weights = {key: value.detach().numpy().copy() for key, value in parameters.items()}
    form = dual(weights) if dual else None
    worst = {"loss": 0.0, "gradient": 0.0, "weights": 0.0, "state": 0.0}
    for step, index in enumerate(BATCHES):
        total = loss(torch.tensor(TEACHER[index]), torch.tensor(INPUTS[index]) @ student, index)
        gradients = torch.autograd.grad(total, list(parameters.values()))
        value, expected = step_of(form, weights, step, weight, lckt)
        worst["loss"] = max(worst["loss"], abs(total.item() - value))
        for (key, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            far = np.abs(gradient.numpy() - expected[key]).max()
            worst["gradient"] = max(worst["gradient"], float(far))
            with torch.no_grad():
                parameter -= RATE * gradient
            weights[key] = weights[key] - RATE * expected[key]
            off = np.abs(parameter.detach().numpy() - weights[key]).max()
            worst["weights"] = max(worst["weights"], float(off))
    state = loss.state_dict()
    for key, value in (form.state() if form else {}).items():
        far = np.abs(state[prefix + key].numpy() - value).max()
        worst["state"] = max(worst["state"], float(far))
    return worst


def small(worst: dict[str, float]) -> bool:
    print(" ".join(f"{key} {value:.1e}" for key, value in worst.items()))
    return max(worst.values()) < 1e-8


@pytest.mark.parametrize("name", GCKT)
def test_gckt_takes_the_steps_of_its_formula(name: str) -> None:
    settings, names, dual = GCKT[name]
    assert small(farthest({"gckt": settings | {"weight": 0.8, "dim": 3}}, names, dual, 0.8))


def test_crd_takes_the_steps_of_its_formula() -> None:
    settings = {"weight": 0.8, "dim": 5, "temperature": 0.3, "negatives_count": None}
    dual = lambda w: AfterForm(crd, w, 0.3, after=True, other_class=True, first_batch=True)  # noqa: E731
    assert small(farthest({"crd": settings}, AFFINE, dual, 0.8))


@pytest.mark.slow
def test_wcord_takes_the_steps_of_both_formulas() -> None:
    _, names, dual = GCKT["wasserstein"]
    assert small(farthest({"gckt": {"weight": 5, "dim": 3}, "lckt": LCKT}, names, dual, 5, 0.7))


@pytest.mark.slow
def test_lckt_takes_the_steps_of_its_formula() -> None:
    names = {"p": "project_student.weight", "p_b": "project_student.bias"}
    assert small(farthest({"lckt": LCKT}, names, None, lckt=0.7))
