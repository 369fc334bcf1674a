"""Any classifier as features, logits and stage maps, without editing it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from wcord.models.deepcopy import without_graphs
from wcord.models.feature_layers import Shape, first_argument, flat, read
from wcord.models.logits import logits_of
from wcord.models.output import Output


class Tap:
    """A hook that keeps what passes it while it is on, until that is taken.

    Hooks are bound methods of plain objects, so a deep copy or a pickle of a network listens to
    itself and not to the original.
    """

    def __init__(self) -> None:
        self.on = False
        self.values: list[Any] = []

    def start(self) -> None:
        """Forget what was kept, and keep what passes from here on."""
        self.on, self.values = True, []

    def before(self, layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Keep a layer's input."""
        if self.on:
            self.values.append(first_argument(inputs, options))

    def after(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep a layer's output."""
        if self.on:
            self.values.append(output)

    def take(self) -> list[Any]:
        """Return what was kept, one value a call, forget it, and keep nothing more."""
        values = self.values
        self.on, self.values = False, []
        return values


class Network(nn.Module):
    """A classifier whose penultimate features can be read: forward(x) -> Output.

    A copy of the module is run on noise (when the first batch comes, or at once where `shape` is
    given) to find its classifier: the last linear (or convolutional) layer whose output is the
    logits. Features are what enters that layer, averaged over positions where it is a
    convolution. Where the module calls it several times for an image, with inputs hᵢ,

        features = Σᵢ cᵢ hᵢ / Σᵢ |cᵢ|,   logits = Σᵢ cᵢ classifier(hᵢ)

    with cᵢ measured on the noise in either mode, and equal cᵢ where the logits are no such sum.
    So the mean of the logits of two views has the mean of their features. Maps are the last
    outputs at each spatial size before the classifier, shallow to deep, of layers that are
    called once.

    The module gets hooks that read; its code, weights, statistics and modes are not touched.
    What was frozen by hand when it was wrapped stays so under `train`: layers in evaluation mode
    while the module is in training mode, and normalisation layers whose weights do not require
    a gradient. `state_dict` has the module's own names, without a prefix. A deep copy can be
    made at any time; it holds no graph.

    Args:
        module: takes (n, C, H, W) and returns logits (n, classes), or a tuple that begins with
            them, or a dict or an object with `logits`. Of a compiled or parallel module, the
            module inside is used.
        shape: (C, H, W) of the images it will see. Give it before compiling or exporting.
        classifier: name of the final layer, where it is not found by itself.

    Attributes:
        feature_dim, classes, map_shapes: sizes of features, logits and maps, once it has run.

    Raises:
        ValueError: the module does not take such images, no final layer is found, or (when it
            runs) it calls that layer another number of times than on the noise.
    """

    def __init__(
        self, module: nn.Module, shape: Shape | None = None, classifier: str | None = None
    ) -> None:
        super().__init__()
        frozen: list[str] = []
        if isinstance(module, Network):
            classifier, frozen = classifier or module.classifier, module._frozen
        self.module: nn.Module = unwrapped(module)
        self.training = self.module.training
        self.classifier: str | None = classifier
        self.feature_dim = self.classes = 0
        self.map_shapes: tuple[Shape, ...] = ()
        self._frozen: list[str] = frozen + _frozen_by_hand(self.module)
        self._shares: dict[bool, tuple[float, ...]] = {}
        self._features: Tap | None = None
        self._maps: tuple[Tap, ...] = ()
        if shape is not None:
            self._listen(shape)

    def _listen(self, shape: Shape) -> Tap:
        """Find classifier and stages, and put a tap on each."""
        found = read(self.module, shape, self.classifier)
        self.classifier, self._shares = found.head, found.shares
        self.feature_dim, self.classes = found.feature_dim, found.classes
        self.map_shapes = tuple(found.stages.values())
        self._features, self._maps = Tap(), tuple(Tap() for _ in found.stages)
        head = self.module.get_submodule(found.head)
        head.register_forward_pre_hook(self._features.before, with_kwargs=True)
        for tap, stage in zip(self._maps, found.stages, strict=True):
            self.module.get_submodule(stage).register_forward_hook(tap.after)
        return self._features

    def forward(self, images: Tensor, maps: bool = False) -> Output:
        """Return features (n, feature_dim), logits (n, classes) and, if asked for, maps."""
        tap = self._features
        if tap is None:
            tap = self._listen((images.shape[1], images.shape[2], images.shape[3]))
        stages = self._maps if maps else ()
        for listener in (tap, *stages):
            listener.start()
        try:
            answer = self.module(images)
        finally:
            inputs, *kept = [listener.take() for listener in (tap, *stages)]
        kind = type(self.module).__name__
        logits = logits_of(answer, len(images), kind)
        if not all(kept):
            raise ValueError(f"{kind} leaves out a layer that ends a stage, so its maps are lost")
        return Output(self._combined(inputs), logits, tuple(values[-1] for values in kept))

    def _combined(self, inputs: list[Any]) -> Tensor:
        """Return the features, of the inputs of every call of the classifier."""
        if len(inputs) == 1:
            return flat(inputs[0])
        shares = self._shares.get(self.module.training, ())
        if len(inputs) != len(shares):
            mode = "training" if self.module.training else "evaluation"
            raise ValueError(
                f"{type(self.module).__name__} in {mode} mode calls its classifier "
                f"{self.classifier!r} {len(inputs)} times, and not {len(shares)} times as when it "
                "was read: name another final layer by classifier="
            )
        weighted = zip(shares, inputs, strict=True)
        return torch.stack([share * flat(value) for share, value in weighted if share]).sum(0)

    def train(self, mode: bool = True) -> Network:
        """Set the mode; what was frozen by hand stays in evaluation mode."""
        super().train(mode)
        for name in self._frozen:
            self.module.get_submodule(name).training = False
        return self

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Return the module's own state, under its own names."""
        return self.module.state_dict(*args, **options)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **options: Any
    ) -> None:
        for key in [key for key in state_dict if key.startswith(prefix)]:
            state_dict[f"{prefix}module.{key[len(prefix) :]}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        memo |= without_graphs(self)
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__setstate__(deepcopy(self.__getstate__(), memo))
        return twin


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside a `Network`, `torch.compile`, or (distributed) data parallel."""
    inner = getattr(module, "_orig_mod", None)  # of torch.compile
    if isinstance(module, Network | nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return module if inner is None else unwrapped(inner)


def _frozen_by_hand(module: nn.Module) -> list[str]:
    """Return the layers that stay in evaluation mode (see `Network`), by name."""
    frozen = []
    for name, layer in module.named_modules():
        stands = module.training and not layer.training
        if isinstance(layer, _NormBase):
            weights = list(layer.parameters(recurse=False))
            stands |= bool(weights) and not any(weight.requires_grad for weight in weights)
        if name and stands:
            frozen.append(name)
    return frozen
