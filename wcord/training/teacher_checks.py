"""What is measured of a teacher before anything trains."""

from __future__ import annotations

import math

import torch

from wcord.data import Data
from wcord.models import Network
from wcord.settings.experiment import Experiment
from wcord.training.evaluation import accuracy, outputs
from wcord.training.network_input import NetworkInput
from wcord.views.normalise import usual


class TeacherWarning(UserWarning):
    """Something speaks against a teacher that was trained elsewhere."""


def measure(network: Network, data: Data, sight: NetworkInput) -> dict[str, float]:
    """Return the teacher's accuracy (per cent) on the test part and on the part for choices."""
    test = outputs(network, sight.all_images(data.test))
    kept = data.held_out.take(data.choices)
    held_out = outputs(network, sight.all_images(kept))
    return {
        "teacher_test_accuracy": accuracy(test.logits, sight.labels(data.test.labels)),
        "teacher_held_out_accuracy": accuracy(held_out.logits, sight.labels(kept.labels)),
    }


def teacher_problems(
    network: Network, data: Data, experiment: Experiment, sight: NetworkInput
) -> list[str]:
    """Return what speaks against a teacher that was trained elsewhere, in a sentence each.

    It is near chance where its accuracy on the held-out part is within two standard errors of
    the share of the largest class, and less than half of what that share leaves is gained. It is
    fed in another way than it was trained where one of the usual ways
    (`wcord.views.normalise.usual`) gives an accuracy two standard errors higher.

        standard error of p on n samples = sqrt(p (1 - p) / n)
    """
    labels = sight.labels(data.held_out.labels)
    n, setting = len(labels), experiment.teacher.normalise

    def share(asked: NetworkInput) -> float:
        return accuracy(outputs(network, asked.all_images(data.held_out)).logits, labels) / 100

    def error(p: float) -> float:
        return math.sqrt(p * (1 - p) / n)

    now, found = share(sight), []
    chance = int(torch.bincount(labels).max()) / n
    if now <= min(chance + 2 * error(chance), (1 + chance) / 2) < 1:
        found.append(
            f"the teacher is near chance: {100 * now:.1f} % of the {n} held-out samples, where the "
            f"largest class has {100 * chance:.1f} %; check its classes, its view and normalise"
        )
    ways = {
        text: share(
            NetworkInput(
                experiment.teacher.model_copy(update={"normalise": way}), data, experiment.seed
            )
        )
        for text, way in usual(sight.shape[0]).items()
        if way != setting
    }
    best = max(ways, key=lambda text: ways[text])
    if ways[best] - now > 2 * math.hypot(error(now), error(ways[best])):
        found.append(
            f"the teacher has {100 * now:.1f} % of the held-out samples as it is fed, and "
            f"{100 * ways[best]:.1f} % with teacher.normalise set to {best}: set that, if it was "
            "trained so"
        )
    return found
