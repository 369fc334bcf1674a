"""Checks of the teacher before the students are trained: its accuracy and possible problems."""

from __future__ import annotations

import math

import torch

from wcord.data import Data, Split
from wcord.data.teacher_outputs import TeacherOutputs
from wcord.models import Network
from wcord.settings.experiment import Experiment
from wcord.training.evaluation import accuracy, teacher_output
from wcord.training.inputs import NetworkInput
from wcord.training.measures import MEASURES
from wcord.views.normalise import common_normalisations


class TeacherWarning(UserWarning):
    """The teacher does not seem to fit the data or its normalisation."""


def measure(
    teacher: Network | TeacherOutputs, data: Data, teacher_input: NetworkInput
) -> dict[str, float]:
    """Return the teacher's accuracy (per cent) on test samples and held-out samples (`choices`).

    Where labels are no classes, it is the measure of `MEASURES`. Of a teacher without logits
    nothing is measured.
    """
    if isinstance(teacher, TeacherOutputs) and teacher.logits is None:
        return {}

    measured = MEASURES[data.targets]

    def value_on(split: Split) -> float:
        output = teacher_output(teacher, teacher_input, split)
        return measured.of(output.logits, teacher_input.labels(split.labels))

    return {
        f"teacher_test_{measured.name}": value_on(data.test),
        f"teacher_held_out_{measured.name}": value_on(data.held_out.take(data.choices)),
    }


def teacher_problems(
    teacher: Network | TeacherOutputs,
    data: Data,
    experiment: Experiment,
    teacher_input: NetworkInput,
) -> list[str]:
    """Return the problems of a teacher that was trained elsewhere, each in one sentence.

    1. The teacher is near chance: its accuracy on the held-out part is at most c + 2 s(c), and at
       most (1 + c) / 2, where c is the share of the largest class.
    2. Its images are not normalised as in its training: with one of `common_normalisations` its
       accuracy is higher by two standard errors of the difference. Of outputs in place of a teacher
       this is unknown.

        s(p) = sqrt(p (1 - p) / n), the standard error of a share p of n samples
    """
    if data.targets != "classes":
        return _problems_without_classes(teacher, data, teacher_input)
    labels = teacher_input.labels(data.held_out.labels)
    n, settings = len(labels), experiment.teacher

    def share_right(network_input: NetworkInput) -> float:
        return accuracy(teacher_output(teacher, network_input, data.held_out).logits, labels) / 100

    def standard_error(p: float) -> float:
        return math.sqrt(p * (1 - p) / n)

    if isinstance(teacher, TeacherOutputs) and teacher.logits is None:
        return []
    share, problems = share_right(teacher_input), []
    chance = int(torch.bincount(labels).max()) / n
    if share <= min(chance + 2 * standard_error(chance), (1 + chance) / 2) < 1:
        problems.append(
            f"the teacher is near chance: {100 * share:.1f} % of the {n} held-out samples, where "
            f"the largest class has {100 * chance:.1f} %; check its classes, its view and normalise"
        )
    if isinstance(teacher, TeacherOutputs):
        return problems
    others = {}
    candidates = common_normalisations(teacher_input.shape[0])
    if not data.pictures:  # the others are for levels of pictures
        candidates = {name: candidates[name] for name in ("measured", "none")}
    for text, normalise in candidates.items():
        if normalise != settings.normalise:
            changed = settings.model_copy(update={"normalise": normalise})
            others[text] = share_right(NetworkInput(changed, data, experiment.seed))
    best = max(others, key=lambda text: others[text])
    if others[best] - share > 2 * math.hypot(standard_error(share), standard_error(others[best])):
        problems.append(
            f"the teacher has {100 * share:.1f} % of the held-out samples right as its images are "
            f"normalised, and {100 * others[best]:.1f} % with teacher.normalise set to {best}: "
            "set that, if the teacher was trained with it"
        )
    return problems


def _problems_without_classes(
    teacher: Network | TeacherOutputs, data: Data, teacher_input: NetworkInput
) -> list[str]:
    """Return whether a teacher of regression targets is no better than their mean (R² ≤ 0)."""
    output = teacher_output(teacher, teacher_input, data.held_out)
    if data.targets != "regression" or not output.logits.shape[1]:
        return []
    share = MEASURES[data.targets].of(output.logits, data.held_out.labels)
    if share > 0:
        return []
    return [
        f"the teacher is no better than the mean of the targets: R² is {share:.2f} on the "
        f"{len(data.held_out)} held-out samples; check the units of its outputs and of the "
        "targets (order 1 trains best), its training, its view and normalise"
    ]
