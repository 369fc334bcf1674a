"""WCoRD in the Trainer of Hugging Face: `python examples/hugging_face_trainer.py`."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from digits import accuracy, digits, network, trained_teacher
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, TensorDataset
from transformers import Trainer, TrainingArguments

import wcord


class Named(Dataset[dict[str, Any]]):
    """Samples as dictionaries, as the Trainer needs them."""

    def __init__(self, dataset: TensorDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = self.dataset[index]
        return {"images": image, "labels": label}


class Distilled(nn.Module):
    """Student, teacher and loss in one module, which the Trainer moves, trains and saves."""

    def __init__(self, teacher: nn.Module, student: nn.Module, samples: int) -> None:
        super().__init__()
        self.teacher, self.student = teacher, student
        self.loss = wcord.WCoRDLoss(teacher_dim=64, student_dim=16, samples=samples)
        self.features_of_teacher = wcord.features(teacher)
        self.features_of_student = wcord.features(student)

    def train(self, mode: bool = True) -> Distilled:
        """Set the mode; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, images: Tensor, labels: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Return loss and logits of a batch."""
        logits, student_features = self.features_of_student.with_output(images)
        with torch.no_grad():
            teacher_features = self.features_of_teacher(images)
        total = cross_entropy(logits, labels)
        total = total + self.loss(teacher_features, student_features, index=index)
        return {"loss": total, "logits": logits}


def main(epochs: int = 10, **arguments: Any) -> float:
    """Train a student and return its test accuracy, per cent."""
    train, test = digits()
    dataset = wcord.Indexed(Named(train))  # adds "index" to every sample
    teacher = trained_teacher(train)
    torch.manual_seed(1)
    module = Distilled(teacher, network(16), len(dataset))
    module.loss.prime(
        DataLoader(wcord.Indexed(train), 256),
        teacher=module.features_of_teacher,
        student=module.features_of_student,
    )
    options: dict[str, Any] = {"report_to": "none", "save_strategy": "no"} | arguments
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=64,
            learning_rate=3e-3,
            dataloader_drop_last=True,
            remove_unused_columns=False,  # else "index" is removed
            **options,
        )
        Trainer(module, settings, train_dataset=dataset).train()
    print(f"student {accuracy(module.student.cpu(), test):.1f} %")
    return accuracy(module.student, test)


if __name__ == "__main__":
    main()
