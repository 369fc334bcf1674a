"""WCoRD in a plain training loop: `python examples/plain_loop.py`."""

from __future__ import annotations

import torch
from digits import accuracy, digits, network, trained_teacher
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import wcord


def main(epochs: int = 10) -> float:
    """Train a student and return its test accuracy, per cent."""
    train, test = digits()
    teacher = trained_teacher(train)
    torch.manual_seed(1)
    student = network(16)
    features_of_teacher, features_of_student = wcord.features(teacher), wcord.features(student)

    dataset = wcord.Indexed(train)  # samples are (index, image, label)
    loader = DataLoader(dataset, batch_size=64, shuffle=True, drop_last=True)
    loss = wcord.WCoRDLoss(teacher_dim=64, student_dim=16, samples=len(dataset))
    loss.prime(DataLoader(dataset, 256), teacher=features_of_teacher, student=features_of_student)
    optimizer = torch.optim.Adam([*student.parameters(), *loss.parameters()], 3e-3)

    student.train()
    for epoch in range(epochs):
        for index, images, labels in loader:
            logits, student_features = features_of_student.with_output(images)
            total = cross_entropy(logits, labels)
            total = total + loss(features_of_teacher(images), student_features, index=index)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        parts = ", ".join(f"{name} {value:.3f}" for name, value in loss.logs.items())
        print(f"epoch {epoch + 1}: total {total.item():.3f}, {parts}")
    print(f"teacher {accuracy(teacher, test):.1f} %, student {accuracy(student, test):.1f} %")
    return accuracy(student, test)


if __name__ == "__main__":
    main()
