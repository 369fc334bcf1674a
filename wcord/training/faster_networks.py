"""Faster ways to compute the forward pass of a network: torch.compile and CUDA graphs.

Both help where launching kernels takes longer than computing them, as at batch 64 on a large GPU.
A graph of the whole step (`step_graph`) is faster where the step can be captured. Outputs differ
from those of the plain forward pass, because kernels are fused and sums have another order: on a
CPU by at most 1e-5. Where neither way is available, the plain pass is used, and one line on stderr
gives the reason.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from wcord.errors import first_line
from wcord.models import Network, Output

Forward = Callable[[Tensor], Output]


class PlainOutputs(nn.Module):
    """A network that returns plain tensors, as compilers and graphs need: features, logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, dim) and logits (n, classes)."""
        output = self.network(images)
        return output.features, output.logits


def faster_forward(
    network: Network, speed: str, images: Tensor, half: bool, **options: Any
) -> Forward | None:
    """Return a faster forward pass of a network; None where there is none.

    Args:
        network: on its device, in the mode (training or evaluation) of the pass; its weights and
            running statistics do not change here.
        speed: "compile", "graphs", or "plain", for which None is returned.
        images: an example batch (n, C, H, W); a graph takes batches of this size only.
        half: whether the pass runs under bfloat16 autocast.
        options: for torch.compile.
    """
    if speed == "plain":
        return None
    state = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        if speed == "compile":
            forward: Forward | None = _compile(network, images, half, options)
        else:
            forward = _capture(network, images, half)
    except Exception as error:
        reason = first_line(error)
        print_once(f"speed {speed!r} is not available here, plain steps are taken: {reason:.200}")
        forward = None
    network.load_state_dict(state)
    network.zero_grad(set_to_none=True)
    return forward


def _compile(network: Network, images: Tensor, half: bool, options: dict[str, Any]) -> Forward:
    compiled = torch.compile(PlainOutputs(network), dynamic=False, **options)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        features, logits = compiled(images)  # compiles, so that an error is raised here
    if logits.requires_grad:
        (features.float().sum() + logits.float().sum()).backward()
    return lambda images: Output(*compiled(images))


def _capture(network: Network, images: Tensor, half: bool) -> Forward:
    if images.device.type != "cuda":
        raise RuntimeError("CUDA graphs need a CUDA device")
    # the graph must contain the casts of weights, so autocast must not take them from its cache
    with torch.autocast("cuda", torch.bfloat16, enabled=half, cache_enabled=False):
        captured: Any = torch.cuda.make_graphed_callables(PlainOutputs(network), (images,))
    return lambda images: Output(*captured(images))


@torch.no_grad()
def cast_weights(network: Network, images: Tensor) -> Network:
    """Return a copy with the weights of convolutions and linear layers in bfloat16.

    Under autocast its outputs are equal to the network's to the bit, and no call casts weights.
    If outputs differ (for instance, a module disables autocast), the network itself is returned.

    Args:
        network: frozen, in evaluation mode; not changed.
        images: a few of its images, on which the outputs are compared.
    """
    copy = deepcopy(network)
    for layer in copy.modules():
        # a weight that is computed from others, as in weight normalisation, is not converted
        if type(layer) in (nn.Conv2d, nn.Linear) and "weight" in layer._parameters:
            layer.to(torch.bfloat16)
    with torch.autocast(images.device.type, torch.bfloat16):
        expected = network(images)
        try:
            cast = copy(images)
        except RuntimeError:
            return network
    equal = torch.equal(cast.features, expected.features)
    return copy if equal and torch.equal(cast.logits, expected.logits) else network


@cache
def print_once(line: str) -> None:
    """Print a line to stderr, only once per process and not for every arm."""
    print(line, file=sys.stderr)
