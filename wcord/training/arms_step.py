"""A training step of every arm."""

from __future__ import annotations

from torch import Tensor

from wcord.compute import ranks
from wcord.training.arm import Arm
from wcord.training.cuda_graph import SideStreams
from wcord.training.optimizer import learning_rate
from wcord.training.step_graph import StepArguments
from wcord.training.task import Task


class ArmsStep:
    """A training step of every arm: batch, teacher, students, objectives, weights, banks.

    Args:
        task: gives samples and the teacher's outputs.
        arms: all arms of the run; frozen arms are skipped.
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
        """Why the step cannot be captured as a CUDA graph; None where it can."""
        if self.device.type != "cuda":
            return "CUDA graphs need a CUDA device"
        if ranks.size() > 1:
            return "several processes exchange messages in the step"
        return next(filter(None, (arm.capture_obstacle for arm in self.arms)), None)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        task = self.task
        return learning_rate(task.experiment.optimizer, step, task.total, task.epoch_steps)

    def compute(self, arguments: StepArguments) -> None:
        """Take the step; in a CUDA graph teacher and arms run in parallel.

        Stream 0 computes the teacher. Arm `number` computes its student on stream `number` and
        its `precompute` on stream `-number`, counted from the end.
        """
        task, arms = self.task, [arm for arm in self.arms if not arm.frozen]
        batch = task.batch(arguments.index, arguments.step, arguments.draws, arguments.step_tensor)
        split, images = task.student_images(batch)
        streams = SideStreams(self.device, 1 + 2 * len(arms))
        with streams.on(0):
            teacher = task.teacher_output(batch, split)
        for number, arm in enumerate(arms, 1):
            with streams.on(-number):
                arm.objective.precompute(batch)
            with streams.on(number):
                student = arm.student_forward(batch, images, self.precision)
                streams.wait_for(0)
                streams.wait_for(-number)
                arm.backward(batch, teacher, student)
        streams.join()
        ranks.sum_gradients([(arm.student, arm.objective) for arm in arms])
        for number, arm in enumerate(arms, 1):
            with streams.on(number):
                arm.optimizer_step(arguments.rate)
        streams.join()

    def changed_tensors(self) -> dict[str, Tensor]:
        """Return every tensor that a step changes in place, as ARM/NAME."""
        arms = [arm for arm in self.arms if not arm.frozen]
        return {
            f"{arm.name}/{key}": value
            for arm in arms
            for key, value in arm.changed_tensors().items()
        }
