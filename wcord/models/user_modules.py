"""A user's own module, taken into an experiment: copied, run once, and refused in one line."""

from __future__ import annotations

import torch
from torch import nn

from wcord.models.deepcopy import copied
from wcord.models.feature_layers import Shape
from wcord.models.network import Network, unwrapped
from wcord.models.output import Output
from wcord.models.weights import not_finite


def adopted(
    module: nn.Module,
    shape: Shape,
    classes: int,
    side: str,
    classifier: str | None = None,
) -> Network:
    """Return a copy of a user's module as a network, once it is known to do for its side.

    Only copies run: the module keeps its modes, hooks, statistics, gradients and whatever its
    code stores, and the network is in the state in which the module was.

    Args:
        module: takes float32 images (n, *shape) and returns logits (see `Network`).
        shape: (C, H, W).
        classes: number of logits that the side's labels need.
        side: "teacher" or "student"; a student must have weights that training can move.
        classifier: name of the final layer, where it is not found by itself.

    Raises:
        ValueError: what is wrong, in one line that begins with the side.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"{side}: a torch.nn.Module is needed, not {type(module).__name__}")
    try:
        return _examined(module, shape, classes, side == "student", classifier)
    except ValueError as error:
        raise ValueError(f"{side}: {error}") from error


def _examined(
    module: nn.Module,
    shape: Shape,
    classes: int,
    trains: bool,
    classifier: str | None,
) -> Network:
    twin = copied(module if isinstance(module, Network) else unwrapped(module))
    kind = type(unwrapped(twin)).__name__
    weights = dict(twin.named_parameters())
    if any(weight.is_meta for weight in weights.values()):
        raise ValueError(f"the weights of {kind} are on the meta device and have no values")
    network = Network(twin, shape, classifier)
    if broken := not_finite(weights | dict(twin.named_buffers()), weights):
        raise ValueError(f"{kind} has {broken}: give it finite weights")
    answer = _run(network, shape, training=False)
    if answer.logits.shape[1] != classes:
        raise ValueError(
            f"{kind} answers {answer.logits.shape[1]} numbers an image, but its label set has "
            f"{classes} classes"
        )
    for name, values in (("logits", answer.logits), ("features", answer.features)):
        if not values.isfinite().all():
            raise ValueError(f"the {name} of {kind} are NaN or infinite for pixels in [0, 1]")
    if trains and not any(weight.requires_grad for weight in weights.values()):
        raise ValueError(f"no weight of {kind} has requires_grad, so none can move")
    if trains and not _run(network, shape, training=True).logits.requires_grad:
        raise ValueError(
            f"the logits of {kind} carry no gradient: its forward detaches them or uses no_grad"
        )
    return network


def _run(network: Network, shape: Shape, training: bool) -> Output:
    """Return what a copy of a network gives for two images of random pixels in [0, 1]."""
    trial = copied(network).train(training)
    first = next(network.parameters(), torch.empty(0))
    pixels = torch.rand((2, *shape), generator=torch.Generator().manual_seed(1)).to(first.device)
    drawn = [first.device] if first.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(drawn), torch.set_grad_enabled(training):
            return trial(pixels)
    except Exception as error:  # whatever a user's code may raise
        kind = type(network.module).__name__
        if first.dtype != torch.float32:
            reason = f"its weights are {first.dtype}, so give module.float()"
        else:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        mode = "training" if training else "evaluation"
        size = "×".join(map(str, shape))
        raise ValueError(
            f"{kind} in {mode} mode does not take float32 images of {size}: {reason}"
        ) from error
