"""Features, logits and feature maps of any classifier, whose code is not changed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from wcord.models.copy_module import copy_module, memo_without_graphs
from wcord.models.feature_layers import (
    MapShape,
    Shape,
    combined,
    find_feature_layers,
    first_argument,
    map_ranks,
)
from wcord.models.logits import logits_of
from wcord.models.output import Output


class Recorder:
    """A hook that stores the inputs or outputs of one layer between `start` and `stop`.

    Hooks are bound methods of plain objects, so the hooks of a deep copy or a pickle of a network
    record the copy and not the original.
    """

    def __init__(self) -> None:
        self.on = False
        self.values: list[Any] = []

    def start(self) -> None:
        """Store values from now on, in an empty list."""
        self.on, self.values = True, []

    def record_input(
        self, layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        """Store the input of a layer (a forward pre-hook)."""
        if self.on:
            self.values.append(first_argument(inputs, options))

    def record_output(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Store the output of a layer (a forward hook)."""
        if self.on:
            self.values.append(output)

    def stop(self) -> list[Any]:
        """Return the stored values, one for each call, and stop storing."""
        values = self.values
        self.on, self.values = False, []
        return values


class Network(nn.Module):
    """A classifier with its penultimate features and feature maps: forward(x) -> Output.

    A copy of the module is run on noise (at the first batch, or at once if `shape` is given) to
    find its classifier: the last linear (or convolutional) layer whose output is the logits.
    Features are the input of that layer, averaged over positions if it is a convolution. If the
    module calls it several times for an image, with inputs hᵢ,

        features = Σᵢ cᵢ hᵢ / Σᵢ |cᵢ|,   logits = Σᵢ cᵢ classifier(hᵢ)

    so that features are averaged as logits are. cᵢ is measured on the noise in each mode; if the
    logits are no such sum, all cᵢ are equal. Feature maps are the last output at each spatial size
    before the classifier, shallow to deep, of layers that are called once.

    The module gets hooks that only read; its code, weights, statistics and modes do not change.
    Layers that were frozen before the module was wrapped stay frozen under `train`: layers in
    evaluation mode while the module is in training mode, and normalisation layers whose weights do
    not require a gradient. `state_dict` has the module's own names, without a prefix. A deep copy
    is possible at any time and holds no graph.

    Args:
        module: takes (n, C, H, W), or inputs (n, ...) of any shape, and returns logits
            (n, classes), or a tuple that begins with them, or a dict or an object with `logits`. A
            compiled or parallel module is unwrapped.
        shape: (C, H, W) of the images, or the shape of any other input. Give it before compiling
            or exporting.
        classifier: name of the final layer; None: found as above.

    Attributes:
        feature_dim: length of the features; 0 until the layers are found.
        classes: number of logits; 0 until the layers are found.
        map_shapes: (channels, height, width) of each feature map; () until the layers are found,
            and for inputs that are not images.

    Raises:
        ValueError: the module does not take inputs of this shape, no final layer is found, or (in
            `forward`) the final layer is called a different number of times than on the noise.
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
        self.map_shapes: tuple[MapShape, ...] = ()
        self._frozen: list[str] = frozen + _frozen_layers(self.module)
        self._map_ranks: tuple[int, ...] = (4,)
        self._shares: dict[bool, tuple[float, ...]] = {}
        self._features: Recorder | None = None
        self._maps: tuple[Recorder, ...] = ()
        if shape is not None:
            self._attach_recorders(shape)

    def _attach_recorders(self, shape: Shape) -> Recorder:
        """Find classifier and stages and record them; return the recorder of the classifier."""
        layers = find_feature_layers(self.module, shape, self.classifier)
        self.classifier, self._shares = layers.classifier, layers.shares
        self.feature_dim, self.classes = layers.feature_dim, layers.classes
        self.map_shapes = tuple(layers.stages.values())
        self._features, self._maps = Recorder(), tuple(Recorder() for _ in layers.stages)
        classifier = self.module.get_submodule(layers.classifier)
        self._map_ranks = map_ranks(classifier)
        classifier.register_forward_pre_hook(self._features.record_input, with_kwargs=True)
        for recorder, stage in zip(self._maps, layers.stages, strict=True):
            self.module.get_submodule(stage).register_forward_hook(recorder.record_output)
        return self._features

    def forward(self, images: Tensor, maps: bool = False) -> Output:
        """Return features (n, feature_dim), logits (n, classes) and, with `maps`, feature maps."""
        recorder = self._features
        if recorder is None:
            recorder = self._attach_recorders(tuple(images.shape[1:]))
        recorders = (recorder, *(self._maps if maps else ()))
        for each in recorders:
            each.start()
        try:
            output = self.module(images)
        finally:
            inputs, *stages = [each.stop() for each in recorders]
        kind = type(self.module).__name__
        logits = logits_of(output, len(images), kind)
        if not all(stages):
            raise ValueError(f"{kind} did not call a layer that ends a stage: feature maps missing")
        name, training = str(self.classifier), self.module.training
        features = combined(inputs, self._shares, training, kind, name, self._map_ranks)
        return Output(features, logits, tuple(values[-1] for values in stages))

    def train(self, mode: bool = True) -> Network:
        """Set the mode; frozen layers stay in evaluation mode."""
        super().train(mode)
        for name in self._frozen:
            self.module.get_submodule(name).training = False
        return self

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Return the state of the module, without a prefix."""
        return self.module.state_dict(*args, **options)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **options: Any
    ) -> None:
        for key in [key for key in state_dict if key.startswith(prefix)]:
            state_dict[f"{prefix}module.{key[len(prefix) :]}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        memo |= memo_without_graphs(self)
        copy = memo[id(self)] = type(self).__new__(type(self))
        copy.__setstate__(deepcopy(self.__getstate__(), memo))
        return copy


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside a `Network`, `torch.compile`, or (distributed) data parallel."""
    inner = getattr(module, "_orig_mod", None)  # of torch.compile
    if isinstance(module, Network | nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return module if inner is None else unwrapped(inner)


def plain_module(module: nn.Module) -> nn.Module:
    """Return a copy of a module on the CPU, without the hooks that `Network` adds.

    Args:
        module: of a user, or a network; hooks of the user are kept.

    Raises:
        ValueError: the module cannot be copied.
    """
    copy = copy_module(unwrapped(module)).cpu().to(memory_format=torch.contiguous_format)
    for layer in copy.modules():
        for hooks in (layer._forward_pre_hooks, layer._forward_hooks):
            for key, hook in list(hooks.items()):
                if isinstance(getattr(hook, "__self__", None), Recorder):
                    del hooks[key]
                    layer._forward_pre_hooks_with_kwargs.pop(key, None)
    return copy


def _frozen_layers(module: nn.Module) -> list[str]:
    """Return the names of the layers that stay in evaluation mode (see `Network`)."""
    names = []
    for name, layer in module.named_modules():
        frozen = module.training and not layer.training
        if isinstance(layer, _NormBase):
            weights = list(layer.parameters(recurse=False))
            frozen |= bool(weights) and not any(weight.requires_grad for weight in weights)
        if name and frozen:
            names.append(name)
    return names
