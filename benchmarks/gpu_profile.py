"""Which kernels a step consists of, by torch's profiler; for `benchmarks.gpu_steps`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def profiled(once: Callable[[], Any], device: torch.device, steps: int = 10) -> dict[str, Any]:
    """Return the kernels of a step: their time by kind, and the wall time beside their sum."""
    wait(device)
    began = time.perf_counter()
    for _ in range(steps):
        once()
    wait(device)
    wall = 1e3 * (time.perf_counter() - began) / steps
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as seen:
        for _ in range(steps):
            once()
        wait(device)
    kinds: dict[str, float] = {}
    names: dict[str, list[float]] = {}
    kernels, spans = 0, []
    for event in seen.events():
        if device.type == "cuda" and event.device_type != torch.autograd.DeviceType.CUDA:
            continue
        took = event.time_range.elapsed_us()
        kernels += 1
        spans.append((event.time_range.start, event.time_range.end))
        kinds[kind_of(event.name)] = kinds.get(kind_of(event.name), 0) + took / 1e3 / steps
        entry = names.setdefault(event.name[:90], [0.0, 0])
        entry[0] += took / 1e3 / steps
        entry[1] += 1 / steps
    top = sorted(names.items(), key=lambda item: -item[1][0])[:25]
    return {
        "wall_ms": wall,
        "kernels": kernels / steps,
        "sum_ms": sum(kinds.values()),
        "busy_ms": covered(spans) / 1e3 / steps,
        "kinds_ms": dict(sorted(kinds.items(), key=lambda item: -item[1])),
        "top": [[name, round(took, 4), round(count, 1)] for name, (took, count) in top],
    }


def covered(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of intervals.

    >>> covered([(0, 2), (1, 3), (5, 6)])
    4.0
    """
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
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
    """Return the kind of work that a kernel's name tells of."""
    small = name.lower()
    return next((k for k, words in KINDS.items() if any(w in small for w in words)), "elementwise")
