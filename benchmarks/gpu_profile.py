"""The kernels of a training step, by torch's profiler; for `benchmarks.gpu_steps`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all work that was launched."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def profile_step(
    step: Callable[[], Any], device: torch.device, repeats: int = 10
) -> dict[str, Any]:
    """Return the kernels of a step: wall time, number, sum of their times, and time by kind."""
    synchronize(device)
    began = time.perf_counter()
    for _ in range(repeats):
        step()
    synchronize(device)
    wall = 1e3 * (time.perf_counter() - began) / repeats
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        for _ in range(repeats):
            step()
        synchronize(device)
    kinds: dict[str, float] = {}
    names: dict[str, list[float]] = {}
    kernels, intervals = 0, []
    for event in profiler.events():
        if device.type == "cuda" and event.device_type != torch.autograd.DeviceType.CUDA:
            continue
        duration = event.time_range.elapsed_us()
        kernels += 1
        intervals.append((event.time_range.start, event.time_range.end))
        kinds[kind_of(event.name)] = kinds.get(kind_of(event.name), 0) + duration / 1e3 / repeats
        entry = names.setdefault(event.name[:90], [0.0, 0])
        entry[0] += duration / 1e3 / repeats
        entry[1] += 1 / repeats
    top = sorted(names.items(), key=lambda item: -item[1][0])[:25]
    return {
        "wall_ms": wall,
        "kernels": kernels / repeats,
        "sum_ms": sum(kinds.values()),
        "busy_ms": union_length(intervals) / 1e3 / repeats,
        "kinds_ms": dict(sorted(kinds.items(), key=lambda item: -item[1])),
        "top": [[name, round(ms, 4), round(count, 1)] for name, (ms, count) in top],
    }


def union_length(intervals: list[tuple[float, float]]) -> float:
    """Return the length of the union of intervals.

    >>> union_length([(0, 2), (1, 3), (5, 6)])
    4.0
    """
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


KINDS = {
    "convolution": ("conv", "fprop", "dgrad", "wgrad", "implicit", "winograd"),
    "matrix product": ("gemm", "gemv", "cublas", "cutlass", "splitk", "nvjet", "dot_kernel"),
    "batch normalisation": ("batch_norm", "bn_", "batchnorm"),
    "Sinkhorn": ("sinkhorn",),
    "optimizer": ("multi_tensor", "fused", "foreach"),
    "copy": ("memcpy", "memset", "copy"),
    "reduction": ("reduce", "softmax", "norm"),
    "gather and scatter": ("index", "gather", "scatter"),
}


def kind_of(name: str) -> str:
    """Return the kind of work of a kernel, found by words in its name."""
    name = name.lower()
    for kind, words in KINDS.items():
        if any(word in name for word in words):
            return kind
    return "elementwise"
