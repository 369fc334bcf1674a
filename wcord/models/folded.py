"""A frozen network with fewer kernels: the same function, for a teacher that only answers."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wcord.models.network import Network

FOLDED_TO = 1e-2  # relative norm up to which outputs may change: TF32 rounds to 5e-4 a layer


@torch.no_grad()
def folded(network: Network, images: Tensor, half: bool = False) -> Network:
    """Return a copy whose normalisations are folded into the convolutions before them.

        BN(W * x) = (gamma / sigma) W * x + beta - gamma mu / sigma

    A third of the kernels of a residual network in evaluation mode are normalisations. A pair is
    a convolution whose output is the very input of a normalisation, each called once.

    Args:
        network: frozen, in evaluation mode; unchanged.
        images: some of what it will see, (n, C, H, W), by which the copy is checked.
        half: keep the weights of convolutions and linear layers in bfloat16, for use under
            autocast, which would cast them at every call.

    Returns:
        The copy, without maps; the network itself where a copy would say something else.
    """
    copy = deepcopy(network).eval()
    names = {layer: name for name, layer in copy.module.named_modules()}
    for conv, norm in _pairs(copy.module, images):
        fused = fuse_conv_bn_eval(conv, norm).requires_grad_(False)
        copy.module.set_submodule(names[conv], fused)
        copy.module.set_submodule(names[norm], nn.Identity())
    wanted, got = network(images).logits, copy(images).logits
    if not (got - wanted).norm() <= FOLDED_TO * wanted.norm():
        return network
    if half:
        for layer in copy.module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.to(torch.bfloat16)
    return copy


def _pairs(module: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return convolutions and the normalisations that follow each."""
    times: Counter[nn.Module] = Counter()
    outputs: list[tuple[nn.Conv2d, Tensor]] = []  # kept, so that no other tensor can be at a place
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def listen(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        times[layer] += 1
        if isinstance(layer, nn.Conv2d):
            outputs.append((layer, output))
        elif isinstance(layer, nn.BatchNorm2d):
            pairs.extend((conv, layer) for conv, out in outputs if out is inputs[0])

    handles = [
        layer.register_forward_hook(listen)
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)
    ]
    try:
        module(images[:2])
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if times[pair[0]] == times[pair[1]] == 1]
