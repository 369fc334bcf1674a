"""Networks by name; each is one line in `MODELS` or one rule in `FAMILIES`.

`build` returns a plain module with random weights; `wcord.models.network.Network` adds its features
and feature maps.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from wcord.compute.seeds import seed_of
from wcord.models.mlp import MLP
from wcord.models.mobilenet import MobileNetV2
from wcord.models.resnet import cifar_resnet, resnet50
from wcord.models.shufflenet import shufflenet_v1, shufflenet_v2
from wcord.models.small import SmallNet
from wcord.models.torchvision_models import torchvision_model
from wcord.models.vgg import VGG
from wcord.models.wide_resnet import WideResNet

Size = tuple[int, int]
Builder = Callable[[int, Any, int], nn.Module]  # channels, (height, width), classes

MODELS: dict[str, Builder] = {
    "digits-teacher": lambda c, s, k: SmallNet(c, s, k, (32, 64), 64),
    "digits-student": lambda c, s, k: SmallNet(c, s, k, (4, 8), 16),
    "resnet8": lambda c, s, k: cifar_resnet(8, c, k),
    "resnet14": lambda c, s, k: cifar_resnet(14, c, k),
    "resnet20": lambda c, s, k: cifar_resnet(20, c, k),
    "resnet32": lambda c, s, k: cifar_resnet(32, c, k),
    "resnet44": lambda c, s, k: cifar_resnet(44, c, k),
    "resnet56": lambda c, s, k: cifar_resnet(56, c, k),
    "resnet110": lambda c, s, k: cifar_resnet(110, c, k),
    "resnet8x4": lambda c, s, k: cifar_resnet(8, c, k, wide=True),
    "resnet32x4": lambda c, s, k: cifar_resnet(32, c, k, wide=True),
    "resnet50": lambda c, s, k: resnet50(c, k),
    "wrn-16-1": lambda c, s, k: WideResNet(16, 1, c, k),
    "wrn-16-2": lambda c, s, k: WideResNet(16, 2, c, k),
    "wrn-40-1": lambda c, s, k: WideResNet(40, 1, c, k),
    "wrn-40-2": lambda c, s, k: WideResNet(40, 2, c, k),
    "vgg8": lambda c, s, k: VGG(1, c, s, k),
    "vgg13": lambda c, s, k: VGG(2, c, s, k),
    "mobilenetv2": lambda c, s, k: MobileNetV2(0.5, c, k),
    "shufflenetv1": lambda c, s, k: shufflenet_v1(c, k),
    "shufflenetv2": lambda c, s, k: shufflenet_v2(c, k),
    "mlp": lambda c, s, k: MLP(c * math.prod(s), k, (512, 128)),
    "mlp-small": lambda c, s, k: MLP(c * math.prod(s), k, (32, 16)),
}
ANY_SHAPE = ("mlp", "mlp-small")  # models and families for inputs that are no pictures


def _small(argument: str, channels: int, size: Size, classes: int) -> nn.Module:
    *widths, features = map(int, argument.split("-"))
    return SmallNet(channels, size, classes, tuple(widths), features)


def _mlp(argument: str, channels: int, size: tuple[int, ...], classes: int) -> nn.Module:
    return MLP(channels * math.prod(size), classes, tuple(map(int, argument.split("-"))))


# by prefix of prefix:ARGUMENT: builder, pattern of the argument, example for messages
FAMILIES: dict[str, tuple[Callable[[str, int, Any, int], nn.Module], str, str]] = {
    "small": (_small, r"[1-9]\d*(-[1-9]\d*)+", "small:4-8-16 (convolutions 4 and 8, 16 features)"),
    "mlp": (_mlp, r"[1-9]\d*(-[1-9]\d*)*", "mlp:256-64 (hidden layers of 256 and 64, 64 features)"),
    "torchvision": (torchvision_model, r"\w+", "torchvision:NAME"),
}


def check_model(name: str) -> str:
    """Return a model's name in the spelling of `MODELS` (wrn-16-2 for wrn_16_2).

    Raises:
        ValueError: there is no such model; the nearest is named.
    """
    family, colon, argument = name.partition(":")
    if colon and family in FAMILIES:
        _, pattern, example = FAMILIES[family]
        if not re.fullmatch(pattern, argument):
            raise ValueError(f"model {name!r} is not understood: write {example}")
        return name
    plain = name.lower().replace("_", "-")
    if plain in MODELS:
        return plain
    near = difflib.get_close_matches(plain, MODELS, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(MODELS)}"
    raise ValueError(f"unknown model {name!r}: {hint}")


def build(
    name: str, channels: int, size: tuple[int, ...], classes: int, seed: int = 0
) -> nn.Module:
    """Return a new network whose weights are a pure function of (name, sizes, seed).

    Args:
        name: a name in `MODELS`, or small:WIDTHS-FEATURES, or mlp:WIDTHS, or torchvision:NAME.
        channels: number of channels of the images; the first number of the shape of other inputs,
            such as 64 for tables of 64 columns.
        size: (height, width) of the images in pixels; the rest of the shape of other inputs, such
            as () for tables.
        classes: number of logits.
        seed: seed of the initial weights; callers give teacher and student different seeds.

    Raises:
        ValueError: unknown name, or the network cannot be built for such inputs.
    """
    name = check_model(name)
    family, colon, argument = name.partition(":")
    if len(size) != 2 and family not in ANY_SHAPE:
        form = "×".join(map(str, (channels, *size)))
        raise ValueError(
            f"the model {name} is for pictures (channels×height×width), not for inputs of {form}: "
            f"use one of {', '.join(ANY_SHAPE)}, or give modules of your own (teacher=, student=)"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "weights"))
        if colon:
            return FAMILIES[family][0](argument, channels, size, classes)
        return MODELS[name](channels, size, classes)


def parameter_count(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
