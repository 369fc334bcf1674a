"""Check a user's module and wrap a copy of it as a `Network`; errors are one line."""

from __future__ import annotations

import torch
from torch import nn

from wcord.errors import first_line
from wcord.models.copy_module import copy_module
from wcord.models.feature_layers import Shape, described
from wcord.models.logits import are_probabilities
from wcord.models.network import Network, unwrapped
from wcord.models.output import Output
from wcord.models.weights import not_finite


def wrap_user_module(
    module: nn.Module,
    shape: Shape,
    classes: int,
    side: str,
    classifier: str | None = None,
    targets: str = "classes",
) -> Network:
    """Return a copy of a user's module as a network, after a trial run that checks it.

    Only copies are run: the module does not change, and the network has the state of the module.

    Args:
        module: takes float32 inputs (n, *shape) and returns logits (see `Network`).
        shape: (C, H, W) of an image, or the shape of any other input.
        classes: number of logits that its label set needs.
        side: "teacher" or "student"; a student must have trainable weights.
        classifier: name of the final layer; None: found by `Network`.
        targets: kind of the labels, as in `Data.targets`; with "classes" outputs that are
            probabilities are refused.

    Raises:
        ValueError: the module does not fit; one line that begins with the side.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"{side}: a torch.nn.Module is needed, not {type(module).__name__}")
    try:
        return _checked(module, shape, classes, side == "student", classifier, targets)
    except ValueError as error:
        raise ValueError(f"{side}: {error}") from error


def _checked(
    module: nn.Module,
    shape: Shape,
    classes: int,
    trained: bool,
    classifier: str | None,
    targets: str,
) -> Network:
    copy = copy_module(module if isinstance(module, Network) else unwrapped(module))
    kind = type(unwrapped(copy)).__name__
    weights = dict(copy.named_parameters())
    if any(weight.is_meta for weight in weights.values()):
        raise ValueError(f"the weights of {kind} are on the meta device and have no values")
    network = Network(copy, shape, classifier)
    if fault := not_finite(weights | dict(copy.named_buffers()), weights):
        raise ValueError(f"{kind} has {fault}: give it finite weights")
    output = _run(network, shape, training=False)
    if output.logits.shape[1] != classes:
        raise ValueError(
            f"{kind} returns {output.logits.shape[1]} logits an image, but its label set has "
            f"{classes} classes"
        )
    for name, values in (("logits", output.logits), ("features", output.features)):
        if not values.isfinite().all():
            inputs = "pixels" if len(shape) == 3 else "inputs"
            raise ValueError(f"the {name} of {kind} are NaN or infinite for {inputs} in [0, 1]")
    if targets == "classes" and are_probabilities(output.logits):
        raise ValueError(
            f"{kind} returns probabilities, which add up to 1 for each sample, and logits are "
            "needed: remove its softmax, or return the logarithm"
        )
    if trained and not any(weight.requires_grad for weight in weights.values()):
        raise ValueError(f"no weight of {kind} has requires_grad, so none can be trained")
    if trained and not _run(network, shape, training=True).logits.requires_grad:
        raise ValueError(
            f"the logits of {kind} carry no gradient: its forward detaches them or uses no_grad"
        )
    return network


def _run(network: Network, shape: Shape, training: bool) -> Output:
    """Return the output of a copy of a network for two inputs of random numbers in [0, 1]."""
    copy = copy_module(network).train(training)
    first = next(network.parameters(), torch.empty(0))
    pixels = torch.rand((2, *shape), generator=torch.Generator().manual_seed(1)).to(first.device)
    devices = [first.device] if first.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), torch.set_grad_enabled(training):
            return copy(pixels)
    except Exception as error:  # a user's module may raise any error
        kind = type(network.module).__name__
        if first.dtype != torch.float32:
            reason = f"its weights are {first.dtype}, so give module.float()"
        else:
            reason = first_line(error)
        mode = "training" if training else "evaluation"
        raise ValueError(
            f"{kind} in {mode} mode does not take float32 {described(shape)}: {reason}"
        ) from error
