"""Where the features and maps of a module are, found by running a copy of it on noise."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wcord.models.deepcopy import copied
from wcord.models.logits import logits_of

Shape = tuple[int, int, int]


class Reading(NamedTuple):
    """Where features and maps of a module are read.

    `head` is the name of its classifier, and `shares` has a number for each of the calls of it,
    by mode (is it training?); `stages` has the (channels, height, width) of the output of every
    layer that ends a stage.
    """

    head: str
    shares: dict[bool, tuple[float, ...]]
    feature_dim: int
    classes: int
    stages: dict[str, Shape]


class Call(NamedTuple):
    """One call of one layer, in the order in which calls ended."""

    name: str
    layer: nn.Module
    input: Any
    output: Any


def read(module: nn.Module, shape: Shape, classifier: str | None = None) -> Reading:
    """Find the classifier and the stages of a module; the module itself is not run.

    Args:
        module: takes (n, *shape) and returns logits (see `wcord.models.logits`).
        shape: (C, H, W).
        classifier: name of the final layer, where it is not found.

    Raises:
        ValueError: the module does not take such images, or no final layer is found.
    """
    kind = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            f"{kind} is a torch.jit module, whose layers cannot be read: give the nn.Module that "
            "it was made from"
        )
    twin = copied(module)
    calls, logits = _trace(twin.eval(), shape)
    name = _classifier(calls, logits, kind) if classifier is None else _named(module, classifier)
    features, shares = _features(calls, logits, name, kind)
    modes = {False: shares}
    with suppress(ValueError):  # a teacher's training mode may need more than images
        modes[True] = _features(*_trace(twin.train(), shape), name, kind)[1]
    end = max(place for place, call in enumerate(calls) if call.name == name)
    stages = _stages(calls, end, shape)
    return Reading(name, modes, features.shape[1], logits.shape[1], stages)


def first_argument(inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return what a layer was called with, by place or by name."""
    return next(chain(inputs, options.values()), None)


def flat(features: Any) -> Any:
    """Return the mean over the positions of maps (n, C, H, W), and anything else as it is."""
    if isinstance(features, Tensor) and features.ndim == 4:
        return features.mean((2, 3))
    return features


def _trace(twin: nn.Module, shape: Shape) -> tuple[list[Call], Tensor]:
    """Run a module on two noise images; return the calls of its layers, and the logits.

    It must be a copy: statistics, and whatever the module's code stores, may change.
    """
    kind = type(twin).__name__
    calls: list[Call] = []
    handles = [
        layer.register_forward_hook(_listener(name, calls), with_kwargs=True)
        for name, layer in twin.named_modules()
        if name and not isinstance(layer, torch.jit.ScriptModule)  # which takes no hooks
    ]
    tensors = chain(twin.parameters(), twin.buffers())
    like = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
    noise = torch.rand((2, *shape), generator=torch.Generator().manual_seed(0))
    drawn = [like.device] if like.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(drawn), torch.no_grad():
            answer = twin(noise.to(like.device, like.dtype))
    except Exception as error:  # whatever a module's code may raise
        size, dtype = "×".join(map(str, shape)), str(like.dtype).removeprefix("torch.")
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{kind} cannot take images of {size} (channels×height×width; two {dtype} images were "
            f"tried): {reason}"
        ) from error
    for handle in handles:
        handle.remove()
    return calls, logits_of(answer, 2, kind)


def _listener(name: str, calls: list[Call]) -> Any:
    def hook(layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], out: Any) -> None:
        out = out.clone() if isinstance(out, Tensor) else out  # code may write into it later
        calls.append(Call(name, layer, first_argument(inputs, options), out))

    return hook


def _named(module: nn.Module, classifier: str) -> str:
    """Return the name by which calls of a layer are listed; a shared layer has several."""
    names = {layer: name for name, layer in module.named_modules()}
    try:
        return names[module.get_submodule(classifier)]
    except AttributeError:
        last = ", ".join([name for name in names.values() if name][-3:])
        raise ValueError(
            f"{type(module).__name__} has no layer {classifier!r}: check classifier= (its last "
            f"layers are {last})"
        ) from None


def _classifier(calls: list[Call], logits: Tensor, kind: str) -> str:
    """Return the name of the last layer whose output is the logits, or is as wide as they are."""
    layers = [call for call in calls if isinstance(call.layer, nn.Linear | nn.Conv2d)]
    wide = [call for call in layers if flat(call.output).shape == logits.shape]
    exact = [call for call in wide if torch.equal(flat(call.output), logits)]
    for found in (exact, wide):
        if found:
            return found[-1].name
    raise ValueError(
        f"no linear layer gives the logits of {kind}: name its final layer by classifier="
    )


def _features(
    calls: list[Call], logits: Tensor, name: str, kind: str
) -> tuple[Tensor, tuple[float, ...]]:
    """Return the input of the classifier at its last call, and the share of each call.

    Raises:
        ValueError: it is not called, or not with one row an image.
    """
    heads = [call for call in calls if call.name == name]
    if not heads:
        raise ValueError(f"no call of the layer {name!r} of {kind} is seen: check classifier=")
    for head in heads:
        features = flat(head.input)
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(logits):
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(
                f"the layer {name!r} of {kind} takes {got} for a batch of {len(logits)}, which is "
                "not one row an image: name another final layer by classifier="
            )
    return features, _shares(heads, logits)


def _shares(heads: list[Call], logits: Tensor) -> tuple[float, ...]:
    """Return c / Σ|c|, where the logits are Σᵢ cᵢ times the output of the i-th call.

    Of several such c it is the nearest to equal numbers; where there is none, equal numbers.
    """
    count = len(heads)
    equal = torch.full((count,), 1 / count, dtype=torch.float64)
    outputs = [flat(head.output) for head in heads]
    if count == 1 or any(getattr(out, "shape", None) != logits.shape for out in outputs):
        return tuple(equal.tolist())
    columns = torch.stack([out.cpu().double().flatten() for out in outputs], 1)  # (n K, calls)
    target = logits.cpu().double().flatten()
    if not (columns.isfinite().all() and target.isfinite().all()):
        return tuple(equal.tolist())
    shares = equal + torch.linalg.pinv(columns, rtol=1e-5) @ (target - columns @ equal)
    error = (columns @ shares - target).norm()
    shares = shares.round(decimals=5)  # of float32 outputs: the rest is noise
    if error > 1e-3 * target.norm() or not shares.any():
        shares = equal
    return tuple((shares / shares.abs().sum()).tolist())


def _positions(value: Any) -> tuple[int, int] | None:
    """Return height and width of a stack of maps, None for anything else."""
    if isinstance(value, Tensor) and value.ndim == 4:
        return value.shape[2], value.shape[3]
    return None


def _halved(call: Call) -> tuple[int, int] | None:
    """Return the size to which a block (not a plain sequence of blocks) halves a picture."""
    before, after = _positions(call.input), _positions(call.output)
    if type(call.layer) is nn.Sequential or before is None or after is None or before == after:
        return None
    return after if all(a <= b <= 2 * a for b, a in zip(before, after, strict=True)) else None


def _stages(calls: list[Call], end: int, shape: Shape) -> dict[str, Shape]:
    """Return the last layer at each spatial size, in order, with the shape of its output.

    Passed over: pooling layers and what a block does before it halves the picture (both belong
    to the next stage), layers called more than once, outputs of a single position, and sizes
    that grow (channels-last arrays inside some networks).
    """
    times = Counter(call.name for call in calls)
    halved = {f"{call.name}.": _halved(call) for call in calls if _halved(call)}
    last: dict[tuple[int, int], Call] = {}
    for call in calls[:end]:
        size = _positions(call.output)
        if size is None or size == (1, 1) or times[call.name] > 1:
            continue
        early = any(call.name.startswith(block) and size != to for block, to in halved.items())
        if early or "Pool" in type(call.layer).__name__:
            continue
        last.pop(size, None)  # the order is that of the last output at each size
        last[size] = call
    stages: dict[str, Shape] = {}
    _, height, width = shape
    for (rows, columns), call in last.items():
        if rows <= height and columns <= width:
            height, width = rows, columns
            stages[call.name] = (call.output.shape[1], rows, columns)
    return stages
