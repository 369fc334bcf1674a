"""Faster ways to compute a network that say the same: torch.compile and CUDA graphs.

Both are of use where a step is bound by launching kernels and not by arithmetic, as at batch 64
on a large GPU; a graph of the whole step (`step_graph`) is faster where it can be had.
Neither is bit for bit what the plain way computes (kernels are fused and summed in another order);
on a CPU outputs agree to 1e-5. Where one cannot be had, the plain way is taken and the reason is
said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from wcord.models import Network, Output

Forward = Callable[[Tensor], Output]


class PlainOutputs(nn.Module):
    """A network that gives plain tensors, as compilers and graphs want: features, logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, dim) and logits (n, classes)."""
        output = self.network(images)
        return output.features, output.logits


def accelerated(
    network: Network, speed: str, images: Tensor, half: bool, **options: Any
) -> Forward | None:
    """Return a faster forward pass of a network; None where there is none.

    Args:
        network: on its device, in the mode (training or evaluation) that the pass is for; its
            weights and statistics are as before afterwards.
        speed: "compile", "graphs", or "plain" (None).
        images: a batch such as it will be given, (n, C, H, W); graphs take no other size.
        half: whether it runs under bfloat16 autocast.
        options: for torch.compile.
    """
    if speed == "plain":
        return None
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        forward = (_compiled if speed == "compile" else _graphed)(network, images, half, options)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print_once(f"speed {speed!r} cannot be had here, going on plainly: {reason:.200}")
        forward = None
    network.load_state_dict(before)
    network.zero_grad(set_to_none=True)
    return forward


@torch.no_grad()
def cast_weights(network: Network, images: Tensor) -> Network:
    """Return a copy that keeps the weights of convolutions and linear layers in bfloat16.

    Under autocast it answers as the network does, to the bit, without casting them at every call.
    Where it does not (a module that leaves autocast, say), the network itself is returned.

    Args:
        network: frozen, in evaluation mode. It keeps its weights.
        images: a few that it will see, by which the copy is checked.
    """
    copy = deepcopy(network)
    for layer in copy.modules():
        # not where a weight is computed from others, as by weight normalisation
        if type(layer) in (nn.Conv2d, nn.Linear) and "weight" in layer._parameters:
            layer.to(torch.bfloat16)
    with torch.autocast(images.device.type, torch.bfloat16):
        wanted = network(images)
        try:
            got = copy(images)
        except RuntimeError:
            return network
    same = torch.equal(got.features, wanted.features) and torch.equal(got.logits, wanted.logits)
    return copy if same else network


@cache
def print_once(line: str) -> None:
    """Print a line to stderr once, not again for every arm."""
    print(line, file=sys.stderr)


def _output(straight: Any) -> Forward:
    def forward(images: Tensor) -> Output:
        features, logits = straight(images)
        return Output(features, logits)

    return forward


def _compiled(network: Network, images: Tensor, half: bool, options: Any) -> Forward:
    straight = torch.compile(PlainOutputs(network), dynamic=False, **options)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        features, logits = straight(images)  # compiled here, so that failing is found out here
    if logits.requires_grad:
        (features.float().sum() + logits.float().sum()).backward()
    return _output(straight)


def _graphed(network: Network, images: Tensor, half: bool, options: Any) -> Forward:
    if images.device.type != "cuda":
        raise RuntimeError("CUDA graphs need a CUDA device")
    # a graph replays casts with everything else: nothing may be cached outside of it
    with torch.autocast("cuda", torch.bfloat16, enabled=half, cache_enabled=False):
        straight = torch.cuda.make_graphed_callables(PlainOutputs(network), (images,))
    return _output(straight)
