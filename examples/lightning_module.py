"""WCoRD in a LightningModule: `python examples/lightning_module.py`."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from digits import accuracy, digits, network, trained_teacher
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

import wcord


class Distilled(lightning.LightningModule):
    """A student that learns from a teacher; the loss is a submodule, so checkpoints hold it."""

    def __init__(self, teacher: nn.Module, student: nn.Module, dataset: Dataset[Any]) -> None:
        super().__init__()
        self.teacher, self.student, self.dataset = teacher, student, dataset
        self.loss = wcord.WCoRDLoss(teacher_dim=64, student_dim=16, samples=len(dataset))  # type: ignore[arg-type]
        self.features_of_teacher = wcord.features(teacher)
        self.features_of_student = wcord.features(student)

    def on_fit_start(self) -> None:
        """Fill the banks; not again where training goes on from a checkpoint."""
        if not self.loss.primed:
            self.loss.prime(
                DataLoader(self.dataset, 256),
                teacher=self.features_of_teacher,
                student=self.features_of_student,
                progress=False,
            )

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the total of one batch."""
        index, images, labels = batch
        self.teacher.eval()  # Lightning sets all submodules to training mode
        logits, student_features = self.features_of_student.with_output(images)
        with torch.no_grad():
            teacher_features = self.features_of_teacher(images)
        total = cross_entropy(logits, labels)
        total = total + self.loss(teacher_features, student_features, index=index)
        self.log_dict(dict(self.loss.logs), batch_size=len(images))
        return total

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer of the student and of the loss's critics and projections."""
        return torch.optim.Adam([*self.student.parameters(), *self.loss.parameters()], 3e-3)


def main(epochs: int = 10, **trainer: Any) -> float:
    """Train a student and return its test accuracy, per cent."""
    train, test = digits()
    dataset = wcord.Indexed(train)
    teacher = trained_teacher(train)
    torch.manual_seed(1)
    module = Distilled(teacher, network(16), dataset)
    options: dict[str, Any] = {"devices": 1, "logger": False, "enable_checkpointing": False}
    fit = lightning.Trainer(max_epochs=epochs, **options | trainer)
    fit.fit(module, DataLoader(dataset, 64, shuffle=True, drop_last=True))
    print(f"student {accuracy(module.student.cpu(), test):.1f} %")
    return accuracy(module.student, test)


if __name__ == "__main__":
    main()
