"""What a CUDA graph is captured with: inputs at fixed places, and streams side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

AHEAD = 4  # steps that the host may be ahead of the device
ALIGNED = 16  # bytes; where a field of a block may begin


class CaptureError(RuntimeError):
    """A step that cannot be replayed, and why in one line."""


class Block:
    """Fixed places on a device for numbers of several types, filled by one copy a step.

    Args:
        examples: values on the CPU whose types and shapes the fields take.
        device: where the places are.
    """

    def __init__(self, examples: Mapping[Any, Tensor], device: torch.device) -> None:
        self._fields: dict[Any, tuple[int, Tensor]] = {}  # key -> first byte, example
        size = 0
        for key, value in examples.items():
            self._fields[key] = size, value
            size += math.ceil(value.nbytes / ALIGNED) * ALIGNED
        pinned = device.type == "cuda"
        self._here = torch.zeros(AHEAD, max(size, ALIGNED), dtype=torch.uint8, pin_memory=pinned)
        self._there = torch.zeros(max(size, ALIGNED), dtype=torch.uint8, device=device)
        self._copied = [torch.cuda.Event() for _ in range(AHEAD)] if pinned else []
        self._filled = 0
        self.places = self._views(self._there)
        self._slots = [self._views(memory) for memory in self._here]

    def _views(self, memory: Tensor) -> dict[Any, Tensor]:
        return {
            key: memory[first : first + value.nbytes].view(value.dtype).view(value.shape)
            for key, (first, value) in self._fields.items()
        }

    def fill(self, values: Mapping[Any, Tensor]) -> None:
        """Send values to their places; the host waits only if it is `AHEAD` steps ahead."""
        slot = self._filled % AHEAD
        if self._copied and self._filled >= AHEAD:
            self._copied[slot].synchronize()
        for key, place in self._slots[slot].items():
            place.copy_(values[key])
        self._there.copy_(self._here[slot], non_blocking=True)
        if self._copied:
            self._copied[slot].record()
        self._filled += 1


def captured(body: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Capture what a function computes as a CUDA graph; return what replays it."""
    if device.type != "cuda":
        raise CaptureError("CUDA graphs need a CUDA device")
    graph = torch.cuda.CUDAGraph()
    # other threads (pinning memory, a data loader) may go on calling CUDA meanwhile
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        body()
    return graph.replay


class Branches:
    """Streams that leave the current one and come back, so that a graph runs them side by side.

    Outside of a capture everything stays on the current stream.

    Args:
        device: where the work is.
        count: number of branches.
    """

    def __init__(self, device: torch.device, count: int) -> None:
        self._streams: list[torch.cuda.Stream] = []
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            self._main = torch.cuda.current_stream(device)
            self._streams = [torch.cuda.Stream(device) for _ in range(count)]

    @contextmanager
    def branch(self, number: int) -> Iterator[None]:
        """Let what is done inside begin when the current stream is where it is now."""
        if not self._streams:
            yield
            return
        self._streams[number].wait_stream(self._main)
        with torch.cuda.stream(self._streams[number]):
            yield

    def after(self, number: int) -> None:
        """Let the branch that is open wait for another one."""
        if self._streams:
            torch.cuda.current_stream().wait_stream(self._streams[number])

    def join(self) -> None:
        """Let the main stream wait for every branch."""
        for stream in self._streams:
            self._main.wait_stream(stream)


def has_dropout(network: nn.Module) -> bool:
    """Return whether a network draws numbers of its own in a training step."""
    return any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in network.modules())
