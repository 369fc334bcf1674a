"""One run on several processes (`torchrun`): the same numbers as one process on the same batch.

Every rank holds all arms and all banks, and computes the networks on its own rows of the batch.
Features, logits and feature maps are gathered, so every rank evaluates the whole objective on the
whole batch, with the same negatives and plan, and has the same banks afterwards. The gradient is

    dL/dtheta_S = sum over ranks r of  (dL/dh_r) (dh_r/dtheta_S)

L is the same function on every rank. So the backward pass of `gather` returns a rank's own rows of
dL/dh, and the student's gradients are *added* over ranks: a mean would divide a term of the whole
batch by the number of ranks. For parameters of terms (critics, projections) every rank already has
the gradient of the whole batch. These gradients are averaged, which removes differences of rounding
between different machines.

The seed of a draw depends on sample and step, never on the rank. Rank 0 alone writes the run
directory, and every rank must be able to read it (one machine, or a shared folder).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from wcord.models.output import Output

TIMEOUT = timedelta(days=7)  # ranks wait while the first trains a teacher, or in a pause


class FirstRankEnded(Exception):
    """The first rank has ended, so this rank ends too."""


def size() -> int:
    """Return the number of ranks; 1 without torchrun."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, counted from 0."""
    return dist.get_rank() if size() > 1 else 0


def local_rank() -> int | None:
    """Return the number of this process on its machine, from 0; None without torchrun."""
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else None


@contextmanager
def process_group() -> Iterator[None]:
    """Join the group of ranks where torchrun started several; leave it at the end."""
    started = int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ
    if not started or dist.is_initialized():
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()


def broadcast_bool(value: bool) -> bool:
    """Return the value of the first rank, on every rank."""
    if size() == 1:
        return value
    message = torch.tensor([value], dtype=torch.uint8)
    dist.broadcast(message, 0)
    return bool(message.item())


@contextmanager
def first_rank_first() -> Iterator[None]:
    """Run the body on the first rank, then on the others, which read files of the first.

    Raises:
        FirstRankEnded: on the other ranks, if the first failed.
    """
    if rank() > 0:
        if not broadcast_bool(True):
            raise FirstRankEnded
        yield
        return
    try:
        yield
    except BaseException:
        broadcast_bool(False)
        raise
    broadcast_bool(True)


def broadcast_text(action: Callable[[], str]) -> str:
    """Run an action on the first rank and return its text on every rank.

    Raises:
        Exception: on the first rank, the exception of the action.
        FirstRankEnded: on the other ranks, if the first failed.
    """
    if size() == 1:
        return action()
    text = ""
    with first_rank_first():
        if rank() == 0:
            text = action()
    message = torch.frombuffer(bytearray(text.encode() or b"\0"), dtype=torch.uint8)
    length = torch.tensor([len(message)])
    dist.broadcast(length, 0)
    message = message if rank() == 0 else torch.empty(int(length), dtype=torch.uint8)
    dist.broadcast(message, 0)
    return bytes(message.tolist()).decode()


def own_rows(batch: Tensor) -> Tensor:
    """Return this rank's rows of a batch (n, ...): n / size consecutive rows."""
    count = len(batch) // size()
    return batch[rank() * count : (rank() + 1) * count]


class _Gather(torch.autograd.Function):
    """The rows of all ranks, in the order of ranks; backward returns a rank's own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [
            torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(size())
        ]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return own_rows(gradient).contiguous()


def gather(output: Output) -> Output:
    """Return the output of the whole batch (n, ...), gathered from every rank's (n / size, ...).

    Differentiation: backward gives the derivative of the loss of the whole batch with respect to
    this rank's rows.
    The student's gradients must then be added over ranks (`sum_gradients`).
    """
    if size() == 1:
        return output
    joined = torch.cat([output.features, output.logits], 1)  # one message, not two
    features, logits = _Gather.apply(joined).split(
        [output.features.shape[1], output.logits.shape[1]], 1
    )
    maps = tuple(_Gather.apply(stage) for stage in output.maps)
    return replace(output, features=features, logits=logits, maps=maps)


class _GatherForMean(torch.autograd.Function):
    """The rows of all ranks; backward returns a rank's own rows times the number of ranks."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return _Gather.forward(ctx, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return own_rows(gradient).contiguous() * size()


def gather_rows(index: Tensor, *features: Tensor) -> tuple[Tensor, ...]:
    """Return index and features of the whole batch, gathered from every rank's rows.

    Differentiation: every rank computes the same loss L of the whole batch, and gradients of the
    networks are averaged over ranks afterwards, as DistributedDataParallel does. So backward
    multiplies a rank's own rows of dL/dh by the number of ranks.

    Args:
        index: (n,) int64, on the device of the features.
        features: (n, d) each.

    Raises:
        ValueError: the ranks have batches of different sizes.
    """
    counts = [torch.zeros_like(index[:1]) for _ in range(size())]
    dist.all_gather(counts, torch.full_like(index[:1], len(index)))
    sizes = torch.cat(counts).tolist()  # the host waits once
    if len(set(sizes)) > 1:
        raise ValueError(
            f"the ranks have batches of {min(sizes)} and {max(sizes)} samples: give their loaders "
            "drop_last=True"
        )
    return _Gather.apply(index), *(_GatherForMean.apply(values) for values in features)


def sum_gradients(arms: Sequence[tuple[nn.Module, nn.Module]]) -> None:
    """Add the students' gradients over ranks, in one message for all arms.

    Gradients of objectives and running statistics of students are averaged.

    Args:
        arms: (student, objective) of each arm after its backward pass.
    """
    if size() == 1 or not arms:
        return
    added = [p.grad for student, _ in arms for p in student.parameters() if p.grad is not None]
    averaged = [p.grad for _, terms in arms for p in terms.parameters() if p.grad is not None]
    averaged += [b for student, _ in arms for b in student.buffers() if b.is_floating_point()]
    with torch.no_grad():
        flat = torch.cat(
            [t.reshape(-1) for t in added] + [t.reshape(-1) / size() for t in averaged]
        )
        dist.all_reduce(flat)
        tensors = added + averaged
        parts = flat.split([t.numel() for t in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


class _Sum(torch.autograd.Function):
    """The sum over ranks; backward adds the gradients over ranks."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class SynchronisedNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics of the whole batch: the rows of all ranks.

    torch's SyncBatchNorm runs on GPUs only; this layer also runs on CPUs.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (x - mean) / deviation per channel, (n, C, H, W)."""
        if not self.training or size() == 1:
            return super().forward(x)
        count = x.numel() // x.shape[1] * size()
        values = x if x.dtype == torch.float64 else x.float()
        mean = _Sum.apply(values.sum((0, 2, 3))) / count  # (C,)
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count  # (C,)
        if self.track_running_stats:
            self._update_running(mean.detach(), variance.detach() * count / max(count - 1, 1))
        out = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            out = out * self.weight[:, None, None] + self.bias[:, None, None]
        return out.to(x.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


def synchronise_norms(module: nn.Module) -> nn.Module:
    """Make each BatchNorm2d of a module use the rows of all ranks; weights keep their names."""
    for layer in module.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = SynchronisedNorm
    return module
