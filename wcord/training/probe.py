"""What is measured for the pictures: plan, cost, scores and projected features of each arm.

The probe sees held-out samples only: a class-balanced batch for plan, cost and scores, and up
to a thousand for maps. Labels of the held-out part colour the pictures and reach no training.
"""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor
from torch.nn import functional as F

from wcord.compute.seeds import generator
from wcord.data import order
from wcord.models import Output
from wcord.settings.sections import ProbeSettings
from wcord.training.arm import Arm, to_float32
from wcord.training.evaluation import (
    accuracy,
    centred,
    class_masses,
    feature_distance,
    linear_cka,
    neighbour_overlap,
    neighbours,
    outputs,
    within_class_variance,
)
from wcord.training.task import StepInputs
from wcord.transport import certified_bound, cosine_cost, dependency, sinkhorn

DRAWN_TO = 1e-3  # marginal error to which plans are converged before they are drawn
EPSILON = 0.05  # of the plan of an arm that has no lckt term
ITERATIONS = 50  # likewise, for the marginal error at the training iterations
DEPENDENCY = 32  # samples of the exact Wasserstein dependency: 1 ms; 64 take 20 ms on features


@dataclass
class Probe:
    """The fixed samples that are looked at, with the teacher's view of them computed once.

    Args of `build`: held-out images as the student sees them, the teacher's output of the same
    samples, labels in the student's label set, the places on which choices are made.
    """

    settings: ProbeSettings
    student_images: Tensor
    teacher: Output
    labels: Tensor
    choices: Tensor
    index: Tensor

    def __post_init__(self) -> None:
        count = min(self.settings.features, len(self.labels))
        # every prefix of the order is spread over the classes
        self.index = self.index[:count]
        self.neighbours = neighbours(self.teacher.features[self.index])

    @staticmethod
    def build(
        settings: ProbeSettings,
        student_images: Tensor,
        teacher: Output,
        labels: Tensor,
        choices: Tensor,
    ) -> Probe:
        """Choose the samples: an order of the held-out part whose prefixes are class-balanced."""
        index = order(labels.cpu(), generator(0, "probe")).to(labels.device)
        return Probe(settings, student_images, teacher, labels, choices, index)

    @property
    def batch(self) -> int:
        """Number of samples of plan, cost and scores."""
        return min(self.settings.batch, len(self.index))

    def measure(self, arms: list[Arm], step: int, epoch: float) -> tuple[dict[str, Any], bytes]:
        """Return every arm's values and the snapshot file that holds its pictures."""
        labels = self.labels[self.index]
        arrays: dict[str, np.ndarray] = {
            "labels": labels.cpu().numpy().astype(np.int32),
            "index": self.index.cpu().numpy().astype(np.int32),
        }
        values: dict[str, dict[str, float]] = {}
        fitted: list[str] = []
        for arm in arms:
            picture = measure_arm(self, arm)
            values[arm.name] = picture.values | arm.last
            if picture.fitted:
                fitted.append(arm.name)
            for key, array in picture.arrays.items():
                arrays[f"{arm.name}/{key}"] = array
        header = {"step": step, "epoch": epoch, "values": finite(values), "fitted": fitted}
        return values, save(arrays, {"snapshot": json.dumps(header)})


def finite(values: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return the values with None for what is not finite, as JSON wants it."""
    return {
        arm: {name: value if np.isfinite(value) else None for name, value in inner.items()}
        for arm, inner in values.items()
    }


@dataclass
class Picture:
    """Arrays of one arm in the types they are stored in, and its scalars."""

    arrays: dict[str, np.ndarray]
    values: dict[str, float]
    fitted: bool


@torch.no_grad()
def measure_arm(probe: Probe, arm: Arm) -> Picture:
    """Measure one arm on the probe's samples."""
    student = outputs(arm.student, probe.student_images)
    values = {
        "held_out_accuracy": accuracy(student.logits[probe.choices], probe.labels[probe.choices])
    }
    h_t, h_s = probe.teacher.features[probe.index], student.features[probe.index]
    labels = probe.labels[probe.index]
    embedded = arm.objective.embed(h_t, h_s)
    if embedded is not None and embedded[0].shape != embedded[1].shape:
        embedded = None  # the sides of a joint critic are as long as the features are
    z_t, z_s = embedded if embedded is not None else (h_t, ridge_map(h_s, h_t))
    n = probe.batch
    plan, cost, transport_values = _plan(arm, z_t[:n], z_s[:n], labels[:n])
    scores, score_values = _scores(arm, h_t[:n], h_s[:n], z_t[:n], z_s[:n])
    values |= transport_values | score_values | _similarity(probe, z_t, z_s, h_t, h_s, labels)
    arrays = {
        "plan": (plan * n).half(),  # × n: entries near 1 keep three digits in fp16
        "cost": cost.half(),
        "scores": scores.half(),
        "teacher": z_t.half(),
        "student": z_s.half(),
        "prediction": student.logits[probe.index].argmax(1).to(torch.int16),
    }
    numpy = {key: value.contiguous().cpu().numpy() for key, value in arrays.items()}
    return Picture(numpy, values, embedded is None)


def _plan(
    arm: Arm, z_t: Tensor, z_s: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """The entropic plan of the probe batch at the arm's ε, converged, and what it says."""
    asked = arm.objective.settings.get("lckt")
    epsilon = getattr(asked, "epsilon", EPSILON)
    trained = getattr(asked, "iterations", ITERATIONS)
    cost = cosine_cost(z_t, z_s)
    early = drawn = sinkhorn(cost, epsilon, iterations=trained, validate=False)
    if float(early.marginal_error) > DRAWN_TO:
        drawn = sinkhorn(cost, epsilon, iterations=2000, tolerance=DRAWN_TO, validate=False)
    same, diagonal = class_masses(drawn.plan, labels)
    return drawn.plan, cost, {
        "plan_cost": drawn.value.item(),
        "same_class_mass": same,
        "diagonal_mass": diagonal,
        "marginal_error": float(drawn.marginal_error),
        "marginal_error_in_training": float(early.marginal_error),
        "epsilon": epsilon,
    }  # fmt: skip


def _scores(
    arm: Arm, h_t: Tensor, h_s: Tensor, z_t: Tensor, z_s: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """The critic's score of every pair (the cosine where an arm has none), and the gap.

    The exact dependency lives on centred unit features, the same ground space for every arm. It
    is NaN where the student's features are not finite: that arm has broken, the others have not.
    """
    critic: Any = arm.objective.critic
    few = slice(DEPENDENCY)
    if critic is None:
        t, s = F.normalize(centred(h_t), dim=1), F.normalize(centred(h_s), dim=1)
        scores = F.normalize(z_t, dim=1) @ F.normalize(z_s, dim=1).T
        sound = bool(s[few].isfinite().all())
        return scores, {"exact_iw": float(dependency(t[few], s[few])) if sound else math.nan}
    t, s = critic.on_sphere(h_t, critic.teacher_mean), critic.on_sphere(h_s, critic.student_mean)
    scores = critic.scores(h_t, h_s)
    if not (s[few].isfinite().all() and scores[few, few].isfinite().all()):
        return scores, dict.fromkeys(("exact_iw", "certified_iw", "raw_iw", "slope"), math.nan)
    gap = certified_bound(scores[few, few], t[few], s[few])
    return scores, {
        "exact_iw": float(dependency(t[few], s[few])),
        "certified_iw": float(gap.bound),
        "raw_iw": float(gap.raw),
        "slope": float(gap.slope),
    }


def _similarity(
    probe: Probe, z_t: Tensor, z_s: Tensor, h_t: Tensor, h_s: Tensor, labels: Tensor
) -> dict[str, float]:
    u_t, u_s = F.normalize(z_t, dim=1), F.normalize(z_s, dim=1)
    spread = within_class_variance(u_t, labels).clamp_min(1e-12)
    return {
        "variance_ratio": (within_class_variance(u_s, labels) / spread).item(),
        "feature_distance": feature_distance(u_t, u_s),
        "neighbour_overlap": neighbour_overlap(probe.neighbours, h_s),
        "cka": linear_cka(h_t, h_s),
    }


def gradient_norms(arm: Arm, given: StepInputs) -> dict[str, float]:
    """Return how hard each term pulls at the student's features, and all of them together.

        ‖∂(w_k L_k) / ∂h_S‖_F,   h_S (n, dim) of one batch, the classifier's gradient included

    Args:
        arm: looked at on a copy, in training mode; nothing of it changes.
        given: batch, teacher's output and student's images of a training step.

    Returns:
        By term, and "total"; 0 for a term of weight 0 or without a path to the features.
    """
    student, objective = deepcopy((arm.student, arm.objective))
    output = to_float32(student.train()(given.images, maps=arm.maps))
    total, losses = objective(given.batch, given.teacher, output)
    pulls = {term: objective.weights[term] * loss for term, loss in losses.items()}
    norms = {}
    for name, pull in (pulls | {"total": total}).items():
        gradient = None
        if pull.requires_grad:
            (gradient,) = torch.autograd.grad(
                pull, output.features, retain_graph=True, allow_unused=True
            )
        norms[name] = 0.0 if gradient is None else gradient.norm().item()
    return norms


def ridge_map(source: Tensor, target: Tensor, strength: float = 1e-2) -> Tensor:
    """Return `source` features mapped linearly onto `target` features, for a picture only.

        argmin_W ‖(S − mean S) W − (T − mean T)‖² + strength · tr(SᵀS)/d · ‖W‖²

    Args:
        source: (n, d_s), target: (n, d_t), paired.

    Returns:
        (n, d_t), with the mean of `target`.
    """
    s, t = centred(source), centred(target)
    gram = s.T @ s
    ridge = strength * gram.diagonal().mean()
    ridge = torch.where(ridge == 0, torch.ones_like(ridge), ridge)  # features all equal: s is 0
    identity = torch.eye(len(gram), dtype=s.dtype, device=s.device)
    weights = torch.linalg.solve(gram + ridge * identity, s.T @ t)
    return (s @ weights).to(target) + target.mean(0)
