"""Any classifier as features, logits and stage maps, without editing it."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wcord.objectives.term import Output


class Tap:
    """A hook that keeps what passes it while it is on, until that is taken.

    Hooks are bound methods of plain objects, so a deep copy or a pickle of a network listens to
    itself and not to the original.
    """

    def __init__(self) -> None:
        self.on = False
        self.value: Any = None

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Keep a module's input."""
        if self.on:
            self.value = inputs[0]

    def after(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep a module's output."""
        if self.on:
            self.value = output

    def take(self) -> Any:
        """Return what was kept, forget it, and stop listening."""
        value, self.value, self.on = self.value, None, False
        return value


class Network(nn.Module):
    """A classifier whose penultimate features can be read: forward(x) -> Output.

    The module is run once on noise (in evaluation mode, without gradients; on the first batch,
    or at once where `shape` is given) to find its classifier: the last linear (or
    convolutional) layer whose output is the logits. Features are what enters that layer,
    averaged over positions where it is a convolution. Maps are the last outputs at each spatial
    size before it, shallow to deep. The module's code and weights are not touched; `state_dict`
    has the module's own names, without a prefix.

    Args:
        module: takes (n, C, H, W) and returns logits (n, classes), or a tuple that begins with
            them, or an object with `.logits`.
        shape: (C, H, W) of the images it will see. Give it before compiling or exporting.
        classifier: name of the final layer, where it is not found by itself.

    Attributes:
        feature_dim, classes, map_shapes: sizes of features, logits and maps, once it has run.

    Raises:
        ValueError: the module does not take such images, or no final layer is found.
    """

    def __init__(
        self,
        module: nn.Module,
        shape: tuple[int, int, int] | None = None,
        classifier: str | None = None,
    ) -> None:
        super().__init__()
        self.module: nn.Module = module.module if isinstance(module, Network) else module
        self.classifier = classifier
        self.feature_dim = self.classes = 0
        self.map_shapes: tuple[tuple[int, int, int], ...] = ()
        self._features: Tap | None = None
        self._maps: tuple[Tap, ...] = ()
        if shape is not None:
            self._listen(shape)

    def _listen(self, shape: tuple[int, int, int]) -> Tap:
        """Find classifier and stages, and put a tap on each."""
        calls, logits = _trace(self.module, shape)
        name = self.classifier or _classifier(calls, logits)
        kind = type(self.module).__name__
        found = [call for call in calls if call.name == name]
        if not found:
            raise ValueError(f"{kind} calls no layer {name!r}: check classifier=")
        features = _flat(found[-1].input)
        if features.ndim != 2 or len(features) != len(logits):
            raise ValueError(
                f"the layer {name!r} of {kind} takes {tuple(features.shape)} for a batch of 2: "
                "name the final layer by classifier="
            )
        self.feature_dim, self.classes = features.shape[1], logits.shape[1]
        stages = _stages(calls, calls.index(found[-1]), shape)
        self.map_shapes = tuple((s[1], s[2], s[3]) for s in stages.values())
        self._features, self._maps = Tap(), tuple(Tap() for _ in stages)
        self.module.get_submodule(name).register_forward_pre_hook(self._features.before)
        for tap, stage in zip(self._maps, stages, strict=True):
            self.module.get_submodule(stage).register_forward_hook(tap.after)
        return self._features

    def forward(self, images: Tensor, maps: bool = False) -> Output:
        """Return features (n, feature_dim), logits (n, classes) and, if asked for, maps."""
        tap = self._features
        if tap is None:
            tap = self._listen((images.shape[1], images.shape[2], images.shape[3]))
        stages = self._maps if maps else ()
        for listener in (tap, *stages):
            listener.on = True
        logits = _logits(self.module(images))
        return Output(_flat(tap.take()), logits, tuple(stage.take() for stage in stages))

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Return the module's own state, under its own names."""
        return self.module.state_dict(*args, **options)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **options: Any
    ) -> None:
        for key in [key for key in state_dict if key.startswith(prefix)]:
            state_dict[f"{prefix}module.{key[len(prefix) :]}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **options)


class _Call(NamedTuple):
    """One call of one submodule, in the order in which calls ended."""

    name: str
    module: nn.Module
    input: Any
    output: Any


def _flat(features: Tensor) -> Tensor:
    return features.mean((2, 3)) if features.ndim == 4 else features


def _logits(answer: Any) -> Tensor:
    if isinstance(answer, Tensor):
        return answer
    return answer.logits if hasattr(answer, "logits") else answer[0]


def _trace(module: nn.Module, shape: tuple[int, int, int]) -> tuple[list[_Call], Tensor]:
    """Run the module on two noise images and return every submodule's call, and the logits."""
    calls: list[_Call] = []

    def listen(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            calls.append(_Call(name, layer, inputs[0] if inputs else None, output))

        return hook

    handles = [
        layer.register_forward_hook(listen(name)) for name, layer in module.named_modules() if name
    ]
    modes = {layer: layer.training for layer in module.modules()}
    first = next(module.parameters(), torch.empty(0))
    noise = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0))
    try:
        module.eval()
        with torch.no_grad():
            logits = _logits(module(noise.to(first.device, first.dtype)))
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:
        size = "×".join(map(str, shape))
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{type(module).__name__} cannot take images of {size} (channels×height×width): "
            f"{reason}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for layer, mode in modes.items():
            layer.training = mode
    if logits.ndim != 2 or len(logits) != 2:
        raise ValueError(
            f"{type(module).__name__} must return logits (n, classes), not {tuple(logits.shape)} "
            "for a batch of 2"
        )
    return calls, logits


def _classifier(calls: list[_Call], logits: Tensor) -> str:
    """Return the name of the last layer whose output is the logits, or is as wide as they are."""
    layers = [c for c in calls if isinstance(c.module, nn.Linear | nn.Conv2d)]
    wide = [c for c in layers if _flat(c.output).shape == logits.shape]
    exact = [c for c in wide if torch.equal(_flat(c.output), logits)]
    for found in (exact, wide):
        if found:
            return found[-1].name
    raise ValueError(
        "no linear layer gives the logits of this module: name its final layer by classifier="
    )


def _positions(value: Any) -> tuple[int, int] | None:
    """Return height and width of a stack of maps, None for anything else."""
    if isinstance(value, Tensor) and value.ndim == 4:
        return value.shape[2], value.shape[3]
    return None


def _halved(call: _Call) -> tuple[int, int] | None:
    """Return the size to which a block (not a plain sequence of blocks) halves a picture."""
    before, after = _positions(call.input), _positions(call.output)
    if type(call.module) is nn.Sequential or before is None or after is None or before == after:
        return None
    return after if all(a <= b <= 2 * a for b, a in zip(before, after, strict=True)) else None


def _stages(calls: list[_Call], end: int, shape: tuple[int, int, int]) -> dict[str, torch.Size]:
    """Return the last module at each spatial size, in order, with the shape of its output.

    Passed over: pooling layers and what a block does before it halves the picture (both belong
    to the next stage), modules called more than once, outputs of a single position, and sizes
    that grow (channels-last arrays inside some networks).
    """
    times = Counter(call.name for call in calls)
    halved = {f"{call.name}.": _halved(call) for call in calls if _halved(call)}
    last: dict[tuple[int, int], _Call] = {}
    for call in calls[:end]:
        size = _positions(call.output)
        if size is None or size == (1, 1) or times[call.name] > 1:
            continue
        early = any(call.name.startswith(block) and size != to for block, to in halved.items())
        if early or "Pool" in type(call.module).__name__:
            continue
        last.pop(size, None)  # the order is that of the last output at each size
        last[size] = call
    stages: dict[str, torch.Size] = {}
    _, height, width = shape
    for (rows, columns), call in last.items():
        if rows <= height and columns <= width:
            height, width = rows, columns
            stages[call.name] = call.output.shape
    return stages
