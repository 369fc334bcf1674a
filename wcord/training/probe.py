"""The probe: measurements of every arm during training, and the snapshots that pictures show.

The probe uses held-out samples only: a small class-balanced set for plan, cost and scores, and up
to a thousand for features. Their labels colour the pictures; training does not use them.
"""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor
from torch.nn import functional as F

from wcord.compute.random_draws import WrongPairs
from wcord.compute.seeds import generator
from wcord.data import order
from wcord.data.colours import Colours
from wcord.models import Output
from wcord.objectives.partner_masses import partner_masses
from wcord.settings.sections import PairingSettings, ProbeSettings
from wcord.training.arm import Arm
from wcord.training.evaluation import (
    centred,
    class_masses,
    feature_distance,
    linear_cka,
    neighbour_overlap,
    neighbours,
    outputs,
    within_class_variance,
)
from wcord.training.measures import MEASURES, Measure
from wcord.training.task import StepInputs
from wcord.transport import certified_bound, cosine_cost, dependency, sinkhorn

PLAN_TOLERANCE = 1e-3  # marginal error of the plans in snapshots
EPSILON, ITERATIONS = 0.05, 50  # of the plan of an arm without an lckt term
EXACT_SAMPLES = 32  # of the exact Wasserstein dependency: 3 ms; 64 take 40 ms


@dataclass
class Probe:
    """The samples of the probe, the same in the whole run, and the teacher's output of them.

    Args:
        settings: numbers of samples.
        student_images: all held-out images as the student's input.
        teacher: the teacher's output of all held-out samples.
        labels: of all held-out samples, in the student's label set; or (n, K), no classes.
        choices: index of the held-out samples whose accuracy is measured.
        pairing: of the training; its wrong pairs within the batch are applied to the plan's samples
            to measure what a plan recovers.
        measured_by: accuracy, or the measure of labels that are no classes.
        colours: the groups of samples that take the place of classes, if there are no classes.
    """

    settings: ProbeSettings
    student_images: Tensor
    teacher: Output
    labels: Tensor
    choices: Tensor
    pairing: PairingSettings
    measured_by: Measure = MEASURES["classes"]
    colours: Colours = field(default_factory=lambda: Colours(()))

    def __post_init__(self) -> None:
        # the samples of snapshots, in an order whose prefixes are class-balanced
        self.groups = self.colours.of_labels(self.labels)  # (n,) classes
        index = order(self.groups.cpu(), generator(0, "probe"))[: self.settings.features]
        self.index = index.to(self.labels.device)
        self.neighbours = neighbours(self.teacher.features[self.index])
        self.partner: Tensor | None = None
        if self.pairing.in_batch:
            wrong_pairs = WrongPairs(self.batch, self.pairing.broken)
            partner = wrong_pairs(generator(0, "probe-pairing"))
            if not torch.equal(partner, torch.arange(self.batch)):  # a share of few rows may be 0
                self.partner = partner.to(self.index.device)

    @property
    def batch(self) -> int:
        """Number of samples of plan, cost and scores."""
        return min(self.settings.batch, len(self.index))

    def measure(self, arms: list[Arm], step: int, epoch: float) -> tuple[dict[str, Any], bytes]:
        """Return the values of every arm, and the content of the snapshot file.

        Args:
            arms: to be measured.
            step: of the snapshot.
            epoch: of the snapshot.
        """
        labels = self.groups[self.index]
        arrays: dict[str, np.ndarray] = {
            "labels": labels.cpu().numpy().astype(np.int32),
            "index": self.index.cpu().numpy().astype(np.int32),
        }
        values: dict[str, dict[str, float]] = {}
        fitted: list[str] = []
        for arm in arms:
            measured = measure_arm(self, arm)
            values[arm.name] = measured.values | arm.last
            if measured.fitted:
                fitted.append(arm.name)
            for key, array in measured.arrays.items():
                arrays[f"{arm.name}/{key}"] = array
        header = {"step": step, "epoch": epoch, "values": finite(values), "fitted": fitted}
        return values, save(arrays, {"snapshot": json.dumps(header)})


def finite(values: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return the values with None in place of NaN and infinity, which JSON does not have."""
    return {
        arm: {name: value if np.isfinite(value) else None for name, value in scalars.items()}
        for arm, scalars in values.items()
    }


@dataclass
class Measurement:
    """Arrays of one arm for the snapshot, in the types of the file, and its scalars.

    `fitted` is true if the arm has no embeddings of equal dimension. Then a ridge map takes the
    student's features to the dimension of the teacher's.
    """

    arrays: dict[str, np.ndarray]
    values: dict[str, float]
    fitted: bool


@torch.no_grad()
def measure_arm(probe: Probe, arm: Arm) -> Measurement:
    """Measure one arm on the probe's samples."""
    student = outputs(arm.student, probe.student_images)
    measure, choices, index = probe.measured_by, probe.choices, probe.index
    values = {
        f"held_out_{measure.name}": measure.of(student.logits[choices], probe.labels[choices])
    }
    h_t, h_s = probe.teacher.features[probe.index], student.features[probe.index]
    labels = probe.groups[index]
    values[f"probe_{measure.name}"] = measure.of(student.logits[index], probe.labels[index])
    embedded = arm.objective.embed(h_t, h_s)
    if embedded is not None and embedded[0].shape != embedded[1].shape:
        embedded = None  # a joint critic does not project, so dimensions may differ
    z_t, z_s = embedded if embedded is not None else (h_t, ridge_map(h_s, h_t))
    n = probe.batch
    plan, cost, transport_values = _plan(arm, z_t[:n], z_s[:n], labels[:n])
    if probe.partner is not None:  # rows in another order have the plan's rows in that order
        true, wrong = partner_masses(plan[probe.partner], probe.partner)
        values |= {"true_partner_mass": true.item(), "wrong_partner_mass": wrong.item()}
    scores, score_values = _scores(arm, h_t[:n], h_s[:n], z_t[:n], z_s[:n])
    values |= transport_values | score_values | _similarity(probe, z_t, z_s, h_t, h_s, labels)
    arrays = {
        "plan": (plan * n).half(),  # × n: entries near 1 keep three digits in fp16
        "cost": cost.half(),
        "scores": scores.half(),
        "teacher": z_t.half(),
        "student": z_s.half(),
        "prediction": probe.colours.of_outputs(student.logits[index]).to(torch.int16),
    }
    numpy = {key: value.contiguous().cpu().numpy() for key, value in arrays.items()}
    return Measurement(numpy, values, embedded is None)


def _plan(
    arm: Arm, z_t: Tensor, z_s: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Return the converged entropic plan of the samples at the arm's ε, its cost, and scalars."""
    lckt = arm.objective.settings.get("lckt")
    epsilon = getattr(lckt, "epsilon", EPSILON)
    iterations = getattr(lckt, "iterations", ITERATIONS)
    cost = cosine_cost(z_t, z_s)
    in_training = converged = sinkhorn(cost, epsilon, iterations=iterations, validate=False)
    if float(in_training.marginal_error) > PLAN_TOLERANCE:
        converged = sinkhorn(
            cost, epsilon, iterations=2000, tolerance=PLAN_TOLERANCE, validate=False
        )
    same, diagonal = class_masses(converged.plan, labels)
    return converged.plan, cost, {
        "plan_cost": converged.value.item(),
        "same_class_mass": same,
        "diagonal_mass": diagonal,
        "marginal_error": float(converged.marginal_error),
        "marginal_error_in_training": float(in_training.marginal_error),
        "epsilon": epsilon,
    }  # fmt: skip


def _scores(
    arm: Arm, h_t: Tensor, h_s: Tensor, z_t: Tensor, z_s: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Return the critic's score of every pair (the cosine where an arm has none), and scalars.

    The exact dependency is that of centred unit features, the same ground space for every arm. It
    is NaN where an arm's features are not finite, so that the other arms are still measured.
    """
    critic: Any = arm.objective.critic
    first = slice(EXACT_SAMPLES)
    if critic is None:
        t, s = F.normalize(centred(h_t), dim=1), F.normalize(centred(h_s), dim=1)
        scores = F.normalize(z_t, dim=1) @ F.normalize(z_s, dim=1).T
        broken = not bool(s[first].isfinite().all())
        return scores, {"exact_iw": math.nan if broken else float(dependency(t[first], s[first]))}
    t, s = critic.on_sphere(h_t, critic.teacher_mean), critic.on_sphere(h_s, critic.student_mean)
    scores = critic.scores(h_t, h_s)
    if not (s[first].isfinite().all() and scores[first, first].isfinite().all()):
        return scores, dict.fromkeys(("exact_iw", "certified_iw", "raw_iw", "slope"), math.nan)
    bound = certified_bound(scores[first, first], t[first], s[first])
    return scores, {
        "exact_iw": float(dependency(t[first], s[first])),
        "certified_iw": float(bound.bound),
        "raw_iw": float(bound.raw),
        "slope": float(bound.slope),
    }


def _similarity(
    probe: Probe, z_t: Tensor, z_s: Tensor, h_t: Tensor, h_s: Tensor, labels: Tensor
) -> dict[str, float]:
    """Return measures of similarity: distances of embeddings z, the others of features h."""
    u_t, u_s = F.normalize(z_t, dim=1), F.normalize(z_s, dim=1)
    spread = within_class_variance(u_t, labels).clamp_min(1e-12)
    return {
        "variance_ratio": (within_class_variance(u_s, labels) / spread).item(),
        "feature_distance": feature_distance(u_t, u_s),
        "neighbour_overlap": neighbour_overlap(probe.neighbours, h_s),
        "cka": linear_cka(h_t, h_s),
    }


def gradient_norms(arm: Arm, inputs: StepInputs) -> dict[str, float]:
    """Return the norm of the gradient of each term and of the loss, in the student's features.

        ‖∂(w_k L_k) / ∂h_S‖_F,   h_S (n, dim) of one batch, with the gradient through the classifier

    Args:
        arm: copied, so that it does not change; the copy is in training mode.
        inputs: batch, teacher's output and student's images of a training step.

    Returns:
        Norms by term, and "total"; 0 for a term of weight 0 or without the student's features.
    """
    student, objective = deepcopy((arm.student, arm.objective))
    output = student.train()(inputs.images, maps=arm.maps).at_least_float32()
    total, losses = objective(inputs.batch, inputs.teacher, output)
    weighted = {term: objective.weights[term] * loss for term, loss in losses.items()}
    norms = {}
    for name, loss in (weighted | {"total": total}).items():
        gradient = None
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(
                loss, output.features, retain_graph=True, allow_unused=True
            )
        norms[name] = 0.0 if gradient is None else gradient.norm().item()
    return norms


def ridge_map(source: Tensor, target: Tensor, strength: float = 1e-2) -> Tensor:
    """Return `source` features mapped linearly onto `target` features, for pictures only.

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
