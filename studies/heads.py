"""Students at their last step, and the same features under a classifier that is fitted to the end.

The last layer of a student is its head. If a head is fitted on the frozen features with the same
labels and predicts much better, the features are good and the student's own head has not converged.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from wcord.analysis.sweep_cells import Cell
from wcord.models import Network
from wcord.runs.writer import FileWriter, create
from wcord.training.arm import Arm
from wcord.training.devices import choose_device, chosen_threads
from wcord.training.evaluation import accuracy, outputs
from wcord.training.linear_probe import linear_probe
from wcord.training.optimizer import build_optimizer, learning_rate, set_learning_rate
from wcord.training.prepare import Overrides, Prepared, prepare


def trained_heads(cell: Cell, head_rates: dict[str, float]) -> dict[str, dict[str, float]]:
    """Train every arm of a run as `wcord.distill` does, and return its values by `head_values`.

    Args:
        cell: the settings.
        head_rates: arm -> factor of the learning rate of its head.
    """
    experiment = cell.experiment
    with tempfile.TemporaryDirectory() as folder, chosen_threads(experiment):
        writer = FileWriter(create(Path(folder) / cell.name, experiment.yaml()))
        prepared = prepare(experiment, writer, choose_device(experiment.device), Overrides(), False)
        task = prepared.task
        heads = {
            arm.name: separate_head(arm, prepared)
            for arm in prepared.arms
            if arm.name in head_rates
        }
        for step in range(task.total):
            inputs = task.at(step)
            rate = learning_rate(experiment.optimizer, step, task.total, task.epoch_steps)
            for arm in prepared.arms:
                head = heads.get(arm.name)
                if head is not None:
                    head.zero_grad()
                arm.step(inputs.batch, inputs.teacher, inputs.images, rate, experiment.precision)
                if head is not None:
                    set_learning_rate(head, head_rates[arm.name] * rate)
                    head.step()
        writer.close()
    return {arm.name: head_values(prepared, arm) for arm in prepared.arms}


def head_of(network: Network) -> nn.Module:
    """Return the last layer of a network."""
    return network.module.get_submodule(str(network.classifier))


def separate_head(arm: Arm, prepared: Prepared) -> torch.optim.Optimizer:
    """Give an arm's head an optimizer of its own and return it; the arm keeps the other weights.

    `arm.step` then computes the gradient of the head and does not change the head.
    """
    settings, head = prepared.experiment.optimizer, list(head_of(arm.student).parameters())
    ids = {id(parameter) for parameter in head}
    others = [parameter for parameter in arm.parameters if id(parameter) not in ids]
    arm.optimizer = build_optimizer(settings, others)
    return build_optimizer(settings, head)


def head_values(prepared: Prepared, arm: Arm) -> dict[str, float]:
    """Return an arm's accuracy, that of a fitted head, and how well its own head fits its labels.

    test_accuracy     of the student, per cent
    fitted_accuracy   of a logistic regression on the student's features and labels (`linear_probe`)
    label_accuracy    of the student on its labelled training samples, per cent
    label_loss        cross-entropy of these samples, nats
    feature_norm      mean norm of the test features
    head_norm         Frobenius norm of the head's matrix
    """
    task, labelled = prepared.task, prepared.task.data.labelled
    images = task.student_input.all_images(task.data.train)[labelled]
    train, test = outputs(arm.student, images), outputs(arm.student, prepared.test_images)
    labels = task.labels[labelled]
    matrix = head_of(arm.student).get_parameter("weight")
    return prepared.test_values(arm) | {
        "fitted_accuracy": linear_probe(
            train.features, labels, test.features, prepared.test_labels
        ),
        "label_accuracy": accuracy(train.logits, labels),
        "label_loss": F.cross_entropy(train.logits, labels).item(),
        "feature_norm": test.features.norm(dim=1).mean().item(),
        "head_norm": matrix.norm().item(),
    }
