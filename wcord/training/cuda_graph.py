"""Capture a CUDA graph: the memory of its inputs, the capture itself, and side streams."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

AHEAD = 4  # steps that the host may be ahead of the device
ALIGNMENT = 16  # bytes; the first byte of a tensor in a block is a multiple of this


class CaptureError(RuntimeError):
    """A step cannot be captured; the message gives the reason in one line."""


class InputBlock:
    """The inputs of a CUDA graph: tensors in one block of device memory, filled by one copy a step.

    Args:
        examples: CPU tensors with the types and shapes of the inputs.
        device: of the block.
    """

    def __init__(self, examples: Mapping[Any, Tensor], device: torch.device) -> None:
        self._fields: dict[Any, tuple[int, Tensor]] = {}  # key -> first byte, example
        size = 0
        for key, value in examples.items():
            self._fields[key] = size, value
            size += math.ceil(value.nbytes / ALIGNMENT) * ALIGNMENT
        size = max(size, ALIGNMENT)
        pinned = device.type == "cuda"
        self._host = torch.zeros(AHEAD, size, dtype=torch.uint8, pin_memory=pinned)
        self._device = torch.zeros(size, dtype=torch.uint8, device=device)
        self._copied = [torch.cuda.Event() for _ in range(AHEAD)] if pinned else []
        self._fills = 0
        self.tensors = self._tensors_in(self._device)
        self._slots = [self._tensors_in(memory) for memory in self._host]

    def _tensors_in(self, memory: Tensor) -> dict[Any, Tensor]:
        return {
            key: memory[first : first + value.nbytes].view(value.dtype).view(value.shape)
            for key, (first, value) in self._fields.items()
        }

    def fill(self, values: Mapping[Any, Tensor]) -> None:
        """Send values to the device; the host waits only if it is `AHEAD` steps ahead."""
        slot = self._fills % AHEAD
        if self._copied and self._fills >= AHEAD:
            self._copied[slot].synchronize()
        for key, tensor in self._slots[slot].items():
            tensor.copy_(values[key])
        self._device.copy_(self._host[slot], non_blocking=True)
        if self._copied:
            self._copied[slot].record()
        self._fills += 1


def capture(body: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Capture the kernels of a function as a CUDA graph; return the function that replays them."""
    if device.type != "cuda":
        raise CaptureError("CUDA graphs need a CUDA device")
    graph = torch.cuda.CUDAGraph()
    # thread_local: other threads (pinned memory, a data loader) may call CUDA during the capture
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        body()
    return graph.replay


class SideStreams:
    """CUDA streams beside the current one, so that a captured graph runs their work in parallel.

    Outside of a capture all work stays on the current stream.

    Args:
        device: of the work.
        count: number of side streams.
    """

    def __init__(self, device: torch.device, count: int) -> None:
        self._streams: list[torch.cuda.Stream] = []
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            self._main = torch.cuda.current_stream(device)
            self._streams = [torch.cuda.Stream(device) for _ in range(count)]

    @contextmanager
    def on(self, number: int) -> Iterator[None]:
        """Run the block on a side stream, after all work so far on the main stream."""
        if not self._streams:
            yield
            return
        self._streams[number].wait_stream(self._main)
        with torch.cuda.stream(self._streams[number]):
            yield

    def wait_for(self, number: int) -> None:
        """Make the current stream wait for a side stream."""
        if self._streams:
            torch.cuda.current_stream().wait_stream(self._streams[number])

    def join(self) -> None:
        """Make the main stream wait for every side stream."""
        for stream in self._streams:
            self._main.wait_stream(stream)


def has_dropout(network: nn.Module) -> bool:
    """Return whether a network has dropout, which draws from torch's own generator."""
    return any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in network.modules())
