"""Any torchvision classifier by name, with random weights."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from torch import nn


def torchvision_model(name: str, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    """Return a torchvision classifier for images of `channels` × `size`.

    If `channels` is not 3, its first convolution is replaced by one for `channels`. Vision
    transformers are built for square images of `size`.

    Raises:
        ValueError: torchvision has no such classifier (the nearest is named), or it cannot be
            built for this size.
    """
    from torchvision import models

    names = models.list_models(models)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f": did you mean torchvision:{near[0]}?" if near else ""
        raise ValueError(f"torchvision has no classifier {name!r}{hint}")
    builder = models.get_model_builder(name)
    options: dict[str, Any] = {"num_classes": classes}
    if name.startswith("vit_"):
        options["image_size"] = size[0]
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    if "weights_backbone" in inspect.signature(builder).parameters:
        options["weights_backbone"] = None
    try:
        model = builder(weights=None, **options)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise ValueError(f"torchvision:{name} cannot be built for {size}: {error}") from error
    if channels != 3:
        _replace_stem(model, channels)
    return model


def _replace_stem(model: nn.Module, channels: int) -> None:
    """Replace the first convolution by one that takes another number of channels."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels == 3:
            parent = model.get_submodule(name.rpartition(".")[0])
            stem = nn.Conv2d(
                channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                bias=layer.bias is not None,
            )
            nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
            setattr(parent, name.rpartition(".")[2], stem)
            return
    raise ValueError(f"{type(model).__name__} has no convolution of 3 channels to replace")
