"""A training step of every arm."""

from __future__ import annotations

from torch import Tensor

from wcord.compute import ranks
from wcord.training.arm import Arm
from wcord.training.graph_capture import Branches
from wcord.training.optimizer import learning_rate
from wcord.training.step_graph import Inputs
from wcord.training.task import Task


class ArmsStep:
    """A training step of every arm: batch, teacher, students, objectives, weights, banks.

    Args:
        task: gives samples and the teacher's answers.
        arms: those that are frozen stand still.
    """

    def __init__(self, task: Task, arms: list[Arm]) -> None:
        self.task, self.arms = task, arms
        self.seed, self.precision = task.experiment.seed, task.experiment.precision
        self.device, self.rows = task.labels.device, task.rows

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the arms that are trained."""
        return tuple(arm.name for arm in self.arms if not arm.frozen)

    @property
    def capture_obstacle(self) -> str | None:
        """Why the step cannot be replayed without the host; None where it can."""
        if self.device.type != "cuda":
            return "CUDA graphs need a CUDA device"
        if ranks.size() > 1:
            return "several processes exchange messages in it"
        return next((why for arm in self.arms if (why := arm.capture_obstacle)), None)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        task = self.task
        return learning_rate(task.experiment.optimizer, step, task.total, task.epoch_steps)

    def compute(self, inputs: Inputs) -> None:
        """Take the step; in a graph teacher and arms run side by side."""
        task, arms = self.task, [arm for arm in self.arms if not arm.frozen]
        batch = task.batch(inputs.index, inputs.step, inputs.draws, inputs.step_tensor)
        split, images = task.student_images(batch)
        streams = Branches(self.device, 1 + 2 * len(arms))
        with streams.branch(0):
            teacher = task.teacher_output(batch, split)
        for place, arm in enumerate(arms, 1):
            with streams.branch(-place):
                arm.objective.precompute(batch)
            with streams.branch(place):
                student = arm.student_forward(batch, images, self.precision)
                streams.after(0)
                streams.after(-place)
                arm.backward(batch, teacher, student)
        streams.join()
        ranks.sum_gradients([(arm.student, arm.objective) for arm in arms])
        for place, arm in enumerate(arms, 1):
            with streams.branch(place):
                arm.optimizer_step(inputs.rate)
        streams.join()

    def changed_tensors(self) -> dict[str, Tensor]:
        """Return all that a step moves, the name of the arm and a slash first."""
        arms = [arm for arm in self.arms if not arm.frozen]
        return {
            f"{arm.name}/{key}": value
            for arm in arms
            for key, value in arm.changed_tensors().items()
        }
