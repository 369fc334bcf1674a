"""Find the layers of a module that give features and feature maps, by running a copy on noise."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wcord.errors import first_line
from wcord.models.copy_module import copy_module
from wcord.models.logits import logits_of

Shape = tuple[int, ...]  # (channels, height, width) of an image, or that of any other input
MapShape = tuple[int, int, int]
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
BY_CLASSIFIER = ": name another final layer by classifier="  # end of a message


class FeatureLayers(NamedTuple):
    """The layers of a module that give features and feature maps.

    Args:
        classifier: name of the final layer; features are its input.
        shares: for each mode (True: training), the share of each classifier call in the logits.
        feature_dim, classes: widths of features and logits.
        stages: name of each layer that ends a stage, with the (channels, height, width) of its
            output.
    """

    classifier: str
    shares: dict[bool, tuple[float, ...]]
    feature_dim: int
    classes: int
    stages: dict[str, MapShape]


class Call(NamedTuple):
    """One call of one layer, in the order in which calls ended."""

    name: str
    layer: nn.Module
    input: Any
    output: Any


def find_feature_layers(
    module: nn.Module, shape: Shape, classifier: str | None = None
) -> FeatureLayers:
    """Find the classifier and the stages of a module. A copy is run, not the module itself.

    Args:
        module: takes inputs (n, *shape) and returns logits (see `wcord.models.logits`).
        shape: (C, H, W) of an image, or the shape of any other input.
        classifier: name of the final layer; None: the last layer whose output is the logits.

    Raises:
        ValueError: the module does not take inputs of this shape, or no final layer is found.
    """
    kind = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            f"{kind} is a torch.jit module, whose layers cannot be read: give the nn.Module from "
            "which it was made"
        )
    copy = copy_module(module)
    calls, logits = _trace_noise(copy.eval(), shape)
    name = _classifier(calls, logits, kind) if classifier is None else _named(module, classifier)
    features, shares = _features(calls, logits, name, kind)
    modes = {False: shares}
    with suppress(ValueError):  # in training mode, a module may need more inputs than images
        modes[True] = _features(*_trace_noise(copy.train(), shape), name, kind)[1]
    end = max(index for index, call in enumerate(calls) if call.name == name)
    stages = _stages(calls, end, shape)
    return FeatureLayers(name, modes, features.shape[1], logits.shape[1], stages)


def first_argument(inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return the first argument of a call of a layer, positional or by keyword."""
    return next(chain(inputs, options.values()), None)


def mean_over_positions(features: Any, ranks: tuple[int, ...] = (4,)) -> Any:
    """Average maps (n, C, H, W) to (n, C); return anything else unchanged.

    Args:
        features: the input or output of a layer.
        ranks: of the maps that are averaged (see `map_ranks`).
    """
    if isinstance(features, Tensor) and features.ndim in ranks:
        return features.mean(tuple(range(2, features.ndim)))
    return features


def find_classifier(
    module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], count: int
) -> FeatureLayers:
    """Find the classifier of a module as `find_feature_layers` does, on inputs of the caller.

    A layer is the classifier only if its output is the module's output (or a multiple or a sum of
    its outputs is). No stages are searched.

    Args:
        module: returns logits (see `wcord.models.logits`); a copy of it is run.
        inputs, options: arguments of its forward, for `count` samples.
        count: number of samples, at least 1.

    Raises:
        ValueError: no linear layer gives the output; one line.
    """
    kind = type(module).__name__
    copy = copy_module(module)
    calls, logits = _trace(copy.eval(), inputs, options, count)
    name = _classifier(calls, logits, kind, exact=True)
    later = [call.name for call in calls if _is_input(call, logits)]
    if later:
        raise ValueError(
            f"the first tensor that {kind} returns is no output of a final layer, but the input of "
            f"its layer {later[0]!r}"
        )
    features, shares = _features(calls, logits, name, kind)
    modes = {False: shares}
    with suppress(Exception):  # modules of any kind may fail in training mode
        modes[True] = _features(*_trace(copy.train(), inputs, options, count), name, kind)[1]
    return FeatureLayers(name, modes, features.shape[1], logits.shape[1], {})


def combined(
    values: list[Any],
    shares: dict[bool, tuple[float, ...]],
    training: bool,
    kind: str,
    name: str,
    ranks: tuple[int, ...] = (4,),
) -> Tensor:
    """Return the features (n, d) of the inputs of all calls of the classifier.

        features = sum over calls of c_i h_i / sum of |c_i|

    Args:
        values: h_i, the inputs of the calls.
        shares: c_i / sum of |c_i| in each mode (see `FeatureLayers`).
        training: the mode.
        kind, name: of module and classifier, for the message.
        ranks: of the maps that are averaged (see `map_ranks`).

    Raises:
        ValueError: the classifier was called another number of times than when it was found.
    """
    if len(values) == 1:
        return mean_over_positions(values[0], ranks)
    expected = shares.get(training, ())
    if len(values) != len(expected):
        mode = "training" if training else "evaluation"
        raise ValueError(
            f"{kind} in {mode} mode calls its classifier {name!r} {len(values)} times, and not "
            f"{len(expected)} times as when it was wrapped{BY_CLASSIFIER}"
        )
    pairs = zip(expected, values, strict=True)
    scaled = [share * mean_over_positions(h, ranks) for share, h in pairs if share]
    return torch.stack(scaled).sum(0)


def map_ranks(layer: nn.Module) -> tuple[int, ...]:
    """Return the ranks of a layer's maps: 3 (series) and 5 (volumes) only if it convolves them."""
    if isinstance(layer, nn.Conv1d):
        return (4, 3)
    return (4, 5) if isinstance(layer, nn.Conv3d) else (4,)


def described(shape: Shape) -> str:
    """Return a shape in words for messages.

    >>> described((3, 8, 8)), described((64,))
    ('images of 3×8×8', 'inputs of 64')
    """
    return f"{'images' if len(shape) == 3 else 'inputs'} of {'×'.join(map(str, shape))}"


def _trace_noise(copy: nn.Module, shape: Shape) -> tuple[list[Call], Tensor]:
    """Run a copy of a module on two inputs of noise; return its layers' calls, and the logits.

    The run may change statistics and other attributes of the copy.
    """
    kind = type(copy).__name__
    tensors = chain(copy.parameters(), copy.buffers())
    reference = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((2, *shape), generator=generator, device="cpu")
    try:
        return _trace(copy, (noise.to(reference.device, reference.dtype),), {}, 2)
    except ForwardFailed as error:
        dtype = str(reference.dtype).removeprefix("torch.")
        noun, axes = ("images", "channels×height×width; ") if len(shape) == 3 else ("inputs", "")
        raise ValueError(
            f"{kind} cannot take {described(shape)} ({axes}tried with two {dtype} {noun}): {error}"
        ) from error


class ForwardFailed(Exception):
    """The forward pass of a module raised an error; its first line."""


def _trace(
    copy: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], count: int
) -> tuple[list[Call], Tensor]:
    """Run a copy of a module; return the calls of its layers, and the logits of `count` samples."""
    kind = type(copy).__name__
    calls: list[Call] = []
    handles = [
        layer.register_forward_hook(_recorder(name, calls), with_kwargs=True)
        for name, layer in copy.named_modules()
        if name and not isinstance(layer, torch.jit.ScriptModule)  # which takes no hooks
    ]
    device = next((t.device for t in chain(copy.parameters(), copy.buffers())), None)
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            output = copy(*inputs, **options)
    except Exception as error:  # a user's module may raise any error
        raise ForwardFailed(first_line(error)) from error
    for handle in handles:
        handle.remove()
    return calls, logits_of(output, count, kind)


def _recorder(name: str, calls: list[Call]) -> Any:
    def hook(layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], out: Any) -> None:
        out = out.clone() if isinstance(out, Tensor) else out  # later code may write into it
        calls.append(Call(name, layer, first_argument(inputs, options), out))

    return hook


def _named(module: nn.Module, classifier: str) -> str:
    """Return the name under which `_trace` lists a layer; a shared layer has several names."""
    names = {layer: name for name, layer in module.named_modules()}
    try:
        return names[module.get_submodule(classifier)]
    except AttributeError:
        last = ", ".join([name for name in names.values() if name][-3:])
        raise ValueError(
            f"{type(module).__name__} has no layer {classifier!r}: check classifier= (its last "
            f"layers are {last})"
        ) from None


def _classifier(calls: list[Call], logits: Tensor, kind: str, exact: bool = False) -> str:
    """Return the name of the last layer whose output is the logits, or has their shape.

    With `exact`, a layer whose output only has their shape counts if the logits are a weighted sum
    of its outputs.
    """
    layers = [call for call in calls if isinstance(call.layer, nn.Linear | Convolution)]
    fitting = [call for call in layers if _output(call).shape == logits.shape]
    equal = [call for call in fitting if torch.equal(_output(call), logits)]
    if exact and not equal:
        fitting = [call for call in fitting if _is_sum(calls, call.name, logits)]
    for candidates in (equal, fitting):
        if candidates:
            return candidates[-1].name
    if exact:
        raise ValueError(f"no linear layer's output is the output of {kind}")
    raise ValueError(
        f"no linear layer gives the logits of {kind}: name its final layer by classifier="
    )


def _output(call: Call) -> Any:
    return mean_over_positions(call.output, map_ranks(call.layer))


def _features(
    calls: list[Call], logits: Tensor, name: str, kind: str
) -> tuple[Tensor, tuple[float, ...]]:
    """Return the input of the classifier in its last call, and the share of each of its calls.

    Raises:
        ValueError: the classifier is not called, or its input does not have one row per image.
    """
    own_calls = [call for call in calls if call.name == name]
    if not own_calls:
        raise ValueError(f"{kind} does not call its layer {name!r}: check classifier=")
    for call in own_calls:
        features = mean_over_positions(call.input, map_ranks(call.layer))
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(logits):
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(
                f"the layer {name!r} of {kind} takes {got} for a batch of {len(logits)}, which is "
                f"not one row per image{BY_CLASSIFIER}"
            )
    return features, _shares(own_calls, logits)


def _is_input(call: Call, logits: Tensor) -> bool:
    """Return whether a linear layer takes the logits: then they are features."""
    linear = isinstance(call.layer, nn.Linear | nn.Conv2d) and isinstance(call.input, Tensor)
    return linear and call.input.shape == logits.shape and torch.equal(call.input, logits)


def _shares(calls: list[Call], logits: Tensor) -> tuple[float, ...]:
    """Return c / Σ|c|, where logits = Σᵢ cᵢ outputᵢ over the calls of the classifier.

    If several c fit, the one nearest to equal numbers is used; if none fits, equal numbers.
    """
    equal = torch.full((len(calls),), 1 / len(calls), dtype=torch.float64, device="cpu")
    shares = _fitted(calls, logits, equal) if len(calls) > 1 else None
    if shares is None or not shares.any():
        shares = equal
    return tuple((shares / shares.abs().sum()).tolist())


def _is_sum(calls: list[Call], name: str, logits: Tensor) -> bool:
    """Return whether the logits are a weighted sum of the outputs of a layer."""
    own_calls = [call for call in calls if call.name == name]
    equal = torch.full((len(own_calls),), 1 / len(own_calls), dtype=torch.float64, device="cpu")
    shares = _fitted(own_calls, logits, equal)
    return shares is not None and bool(shares.any())


def _fitted(calls: list[Call], logits: Tensor, start: Tensor) -> Tensor | None:
    """Return the c nearest to `start` with logits = Σᵢ cᵢ outputᵢ; None if none fits."""
    outputs = [_output(call) for call in calls]
    if any(getattr(out, "shape", None) != logits.shape for out in outputs):
        return None
    columns = torch.stack([out.cpu().double().flatten() for out in outputs], 1)  # (n K, calls)
    target = logits.cpu().double().flatten()
    if not (columns.isfinite().all() and target.isfinite().all()):
        return None
    shares = start + torch.linalg.pinv(columns, rtol=1e-5) @ (target - columns @ start)
    if (columns @ shares - target).norm() > 1e-3 * target.norm():
        return None
    return shares.round(decimals=5)  # outputs are float32: further digits are noise


def _positions(value: Any) -> tuple[int, int] | None:
    """Return height and width of feature maps, None for anything else."""
    if isinstance(value, Tensor) and value.ndim == 4:
        return value.shape[2], value.shape[3]
    return None


def _halved(call: Call) -> tuple[int, int] | None:
    """Return the size to which a block (not a plain sequence of blocks) halves feature maps."""
    before, after = _positions(call.input), _positions(call.output)
    if type(call.layer) is nn.Sequential or before is None or after is None or before == after:
        return None
    return after if all(a <= b <= 2 * a for b, a in zip(before, after, strict=True)) else None


def _stages(calls: list[Call], end: int, shape: Shape) -> dict[str, MapShape]:
    """Return the last layer at each spatial size, in order, with the shape of its output.

    Not counted: pooling layers, and layers of a block that come before it halves the feature maps
    (both belong to the next stage); layers called more than once; outputs of a single position;
    sizes that grow (channels-last arrays inside some networks). Inputs that are no images have no
    stages.
    """
    if len(shape) != 3:
        return {}
    counts = Counter(call.name for call in calls)
    halved = {f"{call.name}.": _halved(call) for call in calls if _halved(call)}
    last: dict[tuple[int, int], Call] = {}
    for call in calls[:end]:
        size = _positions(call.output)
        if size is None or size == (1, 1) or counts[call.name] > 1:
            continue
        before = any(call.name.startswith(block) and size != to for block, to in halved.items())
        if before or "Pool" in type(call.layer).__name__:
            continue
        last.pop(size, None)  # the order is that of the last output at each size
        last[size] = call
    stages: dict[str, MapShape] = {}
    _, height, width = shape
    for (rows, columns), call in last.items():
        if rows <= height and columns <= width:
            height, width = rows, columns
            stages[call.name] = (call.output.shape[1], rows, columns)
    return stages
