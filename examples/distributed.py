"""WCoRD on several processes: `torchrun --nproc-per-node 2 examples/distributed.py`.

The student is inside DistributedDataParallel, the loss is not: it gathers the features of all
ranks, so that critic, banks and plan see the whole batch and stay equal on all ranks.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from digits import accuracy, digits, network, trained_teacher
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

import wcord


def main(epochs: int = 10) -> torch.nn.Module:
    """Train a student on this rank's share of every batch, and return it."""
    torch.set_num_threads(1)
    train, test = digits()
    teacher = trained_teacher(train)
    torch.manual_seed(1)
    student = DistributedDataParallel(network(16))
    features_of_teacher, features_of_student = wcord.features(teacher), wcord.features(student)

    dataset = wcord.Indexed(train)
    sampler: DistributedSampler[object] = DistributedSampler(
        dataset, drop_last=True
    )  # so that no sample is in a batch twice
    loader = DataLoader(dataset, 64 // dist.get_world_size(), sampler=sampler, drop_last=True)
    loss = wcord.WCoRDLoss(teacher_dim=64, student_dim=16, samples=len(dataset))
    everything = DataLoader(dataset, 256)  # every rank fills its banks with all samples
    loss.prime(everything, teacher=features_of_teacher, student=features_of_student, progress=False)
    optimizer = torch.optim.Adam([*student.parameters(), *loss.parameters()], 3e-3)

    student.train()
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for index, images, labels in loader:
            logits, student_features = features_of_student.with_output(images)
            total = cross_entropy(logits, labels)
            total = total + loss(features_of_teacher(images), student_features, index=index)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    if dist.get_rank() == 0:
        print(f"{dist.get_world_size()} processes: student {accuracy(student.module, test):.1f} %")
    return student.module


if __name__ == "__main__":
    dist.init_process_group("gloo")
    main()
    dist.destroy_process_group()
